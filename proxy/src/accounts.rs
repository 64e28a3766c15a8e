//! The system's accounts that a configuration names: `user` and `group`.

use nix::unistd::{Group, User};
use proxy_config::model::Global;
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Spanned};

/// Numbers of the accounts that `user` and `group` name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// Looks the names up. Each that this machine does not know is told through `tell`: a start fails for it, a mere check
/// may be made on another machine than the one that will serve.
pub(crate) fn find(
    global: &Global,
    tell: fn(String) -> Diagnostic,
    told: &mut Diagnostics,
) -> Accounts {
    let mut unknown = |kind: &str, name: &Spanned<String>| {
        told.push(
            tell(format!("cannot find {kind} id for '{}'", name.value))
                .at(name.span)
                .help(format!("create the {kind} on the machine that serves, or name one it has")),
        );
    };
    let mut accounts = Accounts::default();
    if let Some(name) = &global.user {
        match User::from_name(&name.value) {
            Ok(Some(user)) => accounts.uid = Some(user.uid.as_raw()),
            _ => unknown("user", name),
        }
    }
    if let Some(name) = &global.group {
        match Group::from_name(&name.value) {
            Ok(Some(group)) => accounts.gid = Some(group.gid.as_raw()),
            _ => unknown("group", name),
        }
    }
    accounts
}
