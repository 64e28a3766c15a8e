//! What connections of each frontend go through.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use proxy_config::model::{Config, Proxy};
use proxy_http::h1::Limits;
use proxy_state::Registry;
use proxy_stream::env::{Back, Front};
use proxy_stream::reply::{ErrorReplies, Reply};
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Mode};

use crate::worker::serve::Service;

/// Backends in mode http by name, for `use_backend`.
pub(crate) type Backends = HashMap<Box<[u8]>, Arc<Back>>;

/// `errorfile` files are read whole at start; HAProxy limits them to a buffer, too.
const ERROR_FILE_MAX: u64 = 1 << 20;

/// Bounds of heads from `tune.*` (configuration manual, 3.2).
pub(crate) fn limits(config: &Config) -> Limits {
    let tune = &config.global.tune;
    Limits {
        max_head: tune.bufsize().saturating_sub(tune.maxrewrite()) as usize,
        max_headers: tune.http_maxhdr() as usize,
        relaxed: false,
    }
}

/// One service per frontend of the registry, in its order, and the backends by name.
pub(crate) fn services(
    config: &Config,
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) -> (Vec<Service>, Backends) {
    let mut backs: HashMap<&str, Arc<Back>> = HashMap::new();
    for proxy in config.backends().filter(|proxy| proxy.settings.mode() == Mode::Http) {
        let Some(backend) = registry.backend(&proxy.name.value) else { continue };
        let mut back = Back::new(backend.clone());
        back.replies = replies(proxy, diagnostics);
        backs.insert(&proxy.name.value, Arc::new(back));
    }
    let mut services = Vec::new();
    for frontend in registry.frontends() {
        let Some(proxy) = config.proxy(&frontend.name) else { continue };
        let target = match &proxy.settings.default_backend {
            Some(name) => Some(name.value.as_str()),
            None => proxy.kind.is_backend().then_some(proxy.name.value.as_str()),
        };
        let back = target.and_then(|name| backs.get(name)).cloned();
        let mut front = Front::new(frontend.clone(), back);
        front.replies = replies(proxy, diagnostics);
        front.monitor_uri =
            proxy.settings.monitor_uri.as_ref().map(|uri| uri.value.as_bytes().into());
        services.push(Service::Http(Arc::new(front)));
    }
    let backs = backs.into_iter().map(|(name, back)| (name.as_bytes().into(), back)).collect();
    (services, backs)
}

/// The `errorfile`s of a section.
fn replies(proxy: &Proxy, diagnostics: &mut Diagnostics) -> ErrorReplies {
    let mut replies = ErrorReplies::default();
    for file in &proxy.settings.error_files {
        let path = Path::new(&file.path.value);
        let outcome = read(path)
            .map_err(|error| error.to_string())
            .and_then(|text| Reply::parse(&text).map_err(|error| error.to_string()));
        match outcome {
            Ok(reply) => replies.set(file.status.value, Arc::new(reply)),
            Err(why) => diagnostics.push(
                Diagnostic::alert(format!("errorfile '{}' : {why}", file.path.value))
                    .at(file.path.span),
            ),
        }
    }
    replies
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(ERROR_FILE_MAX).read_to_end(&mut text)?;
    Ok(text)
}
