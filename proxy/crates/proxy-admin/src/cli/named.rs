//! The proxies and servers that arguments name.

use crate::command::{Call, Reply};
use proxy_state::{Backend, Frontend, Server};
use proxy_types::ProxyId;
use std::sync::Arc;

/// The frontend an argument names.
pub(super) fn frontend<'a>(call: &Call<'a>, name: &str) -> Result<&'a Arc<Frontend>, Reply> {
    if name.is_empty() {
        return Err(Reply::line("A frontend name is expected."));
    }
    call.admin.registry.frontend(name).ok_or_else(|| Reply::line("No such frontend."))
}

/// The backend an argument names or numbers.
pub(super) fn backend(call: &Call<'_>, name: &str) -> Option<Arc<Backend>> {
    let registry = &call.admin.registry;
    let by_id =
        || registry.backend_by_id(ProxyId(name.strip_prefix('#').unwrap_or(name).parse().ok()?));
    registry.backend(name).or_else(by_id)
}

/// The server that `backend/server` names; either may be a number, with `#` or without.
pub(super) fn server(call: &Call<'_>, path: &str) -> Result<Arc<Server>, Reply> {
    let (farm, name) =
        path.split_once('/').ok_or_else(|| Reply::line("Require 'backend/server'."))?;
    let farm = backend(call, farm).ok_or_else(|| Reply::line("No such backend."))?;
    let by_id = || {
        let id = name.strip_prefix('#')?.parse().ok()?;
        farm.server_by_id(proxy_types::ServerId(id))
    };
    farm.server(name).or_else(by_id).ok_or_else(|| Reply::line("No such server."))
}
