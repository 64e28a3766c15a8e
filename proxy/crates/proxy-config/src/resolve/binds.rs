//! `unix-bind`: what `bind` lines with UNIX sockets do not say themselves (configuration manual, 3.1).

use proxy_types::Endpoint;

use crate::model::{Config, UnixAccess};

pub(super) fn complete(config: &mut Config) {
    let defaults = config.global.unix_bind.clone();
    let prefix = config.global.unix_bind_prefix.as_ref().map(|prefix| prefix.value.clone());
    let of_peers = config.peers.iter_mut().map(|section| &mut section.proxy);
    for bind in config.proxies.iter_mut().chain(of_peers).flat_map(|proxy| &mut proxy.binds) {
        inherit(&mut bind.unix, &defaults);
        let Some(prefix) = &prefix else { continue };
        for address in &mut bind.addresses {
            if let Endpoint::Unix(path) = &mut address.value.endpoint {
                // Text in front of the path, which may be absolute itself.
                path.insert_str(0, prefix);
            }
        }
    }
}

fn inherit(own: &mut UnixAccess, defaults: &UnixAccess) {
    let UnixAccess { mode, user, uid, group, gid } = defaults.clone();
    own.mode = own.mode.or(mode);
    // A number and a name are two ways to say one thing.
    if own.user.is_none() && own.uid.is_none() {
        (own.user, own.uid) = (user, uid);
    }
    if own.group.is_none() && own.gid.is_none() {
        (own.group, own.gid) = (group, gid);
    }
}
