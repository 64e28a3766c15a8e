//! `resolvers` sections, and the servers whose names they resolve.

use std::net::{IpAddr, SocketAddr};

use proxy_config::model::{
    AcceptFamily, AddressFamily, Config, NameserverLine, Proxy, Resolvers, Server,
};
use proxy_names::{Accept, Family, Hold, NamesSpec, NameserverSpec, SectionSpec, WatchSpec};
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Span, Transport};

use super::state::Overrides;

/// Where the system keeps its nameservers (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The section that always exists (configuration manual, 5.3.2).
const DEFAULT: &str = "default";
/// RFC 1035, 4.2.
const PORT: u16 = 53;

/// Builds the specs of everything that is resolved at run time.
pub(crate) fn names(
    config: &Config,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> NamesSpec {
    let mut sections: Vec<SectionSpec> = config
        .resolvers
        .iter()
        .map(|section| self::section(section, overrides, diagnostics))
        .collect();
    let is_disabled = config.global.no_default_resolvers.is_some_and(|off| off.value);
    if !is_disabled && !sections.iter().any(|section| section.name == DEFAULT) {
        let nameservers =
            std::fs::read_to_string(RESOLV_CONF).map(|text| resolv_conf(&text)).unwrap_or_default();
        if !nameservers.is_empty() {
            sections.push(SectionSpec { nameservers, ..SectionSpec::new(DEFAULT) });
        }
    }
    let mut watches = Vec::new();
    for proxy in config.backends() {
        for server in &proxy.servers {
            let Some(watch) = watch(proxy, server) else { continue };
            if !sections.iter().any(|section| section.name == watch.section) {
                let span = server.options.names.resolvers.as_ref().map_or(Span::NONE, |r| r.span);
                let text = format!("no nameserver found for resolvers '{}'", watch.section);
                let help = format!("{RESOLV_CONF} names none: write a 'resolvers' section");
                diagnostics.push(Diagnostic::alert(text).at(span).help(help));
            }
            watches.push(watch);
        }
    }
    let accept = match config.global.dns_accept_family.map(|family| family.value) {
        _ if overrides.resolver.ipv4_only => Accept::Only(Family::V4),
        None | Some(AcceptFamily::Auto) => Accept::Auto,
        Some(AcceptFamily::Both) => Accept::Both,
        Some(AcceptFamily::Only(only)) => Accept::Only(family(only)),
    };
    NamesSpec { sections, watches, accept }
}

pub(crate) fn family(written: AddressFamily) -> Family {
    match written {
        AddressFamily::V4 => Family::V4,
        AddressFamily::V6 => Family::V6,
    }
}

fn watch(proxy: &Proxy, server: &Server) -> Option<WatchSpec> {
    let names = &server.options.names;
    let section = names.resolvers.as_ref()?;
    Some(WatchSpec {
        backend: proxy.name.value.clone(),
        server: server.name.value.clone(),
        section: section.value.clone(),
        prefer: names.prefer.map(|prefer| family(prefer.value)).unwrap_or_default(),
        // Prefixes were checked when they were read.
        nets: names
            .nets
            .iter()
            .filter_map(|net| ipnet::IpNet::new(net.address, net.prefix).ok())
            .collect(),
        duplicates: names.allow_duplicates,
        ignore_weight: names.ignore_weight,
    })
}

fn section(
    section: &Resolvers,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> SectionSpec {
    let mut spec = SectionSpec::new(section.name.value.clone());
    let hold = &section.hold;
    let default = Hold::default();
    spec.hold = Hold {
        nx: hold.nx.map_or(default.nx, |period| period.value),
        other: hold.other.map_or(default.other, |period| period.value),
        refused: hold.refused.map_or(default.refused, |period| period.value),
        timeout: hold.timeout.map_or(default.timeout, |period| period.value),
        obsolete: hold.obsolete.map_or(default.obsolete, |period| period.value),
        valid: hold.valid.map_or(default.valid, |period| period.value),
    };
    if let Some(payload) = section.accepted_payload_size {
        spec.payload = payload.value;
    }
    if let Some(retries) = section.resolve_retries {
        spec.retries = retries.value;
    }
    if let Some(time) = section.timeout_resolve {
        spec.resolve = time.value;
    }
    if let Some(time) = section.timeout_retry {
        spec.retry = time.value;
    }
    for line in &section.nameservers {
        match line {
            NameserverLine::Nameserver(nameserver) => {
                let address = &nameserver.address;
                let resolved = overrides.resolver.target(&address.value, PORT);
                let Some(addr) = resolved.ok().and_then(|addr| addr.inet()) else {
                    let text = format!(
                        "nameserver '{}' : invalid address: '{}'",
                        nameserver.name, address.value
                    );
                    diagnostics.push(Diagnostic::alert(text).at(address.span));
                    continue;
                };
                spec.nameservers.push(NameserverSpec {
                    name: nameserver.name.value.clone(),
                    addr,
                    stream: address.value.transport == Some(Transport::Stream),
                    maxconn: nameserver.maxconn.map_or(0, |limit| limit.value),
                });
            }
            NameserverLine::ResolvConf(span) => {
                let text = match std::fs::read_to_string(RESOLV_CONF) {
                    Ok(text) => text,
                    Err(error) => {
                        let text = format!("'parse-resolv-conf' : {RESOLV_CONF}: {error}");
                        diagnostics.push(Diagnostic::alert(text).at(*span));
                        continue;
                    }
                };
                let found = resolv_conf(&text);
                if found.is_empty() {
                    let text = format!("'parse-resolv-conf' : no nameserver in {RESOLV_CONF}");
                    diagnostics.push(Diagnostic::warning(text).at(*span));
                }
                for nameserver in found {
                    if spec.nameservers.iter().any(|known| known.name == nameserver.name) {
                        let text = format!(
                            "'parse-resolv-conf' : nameserver '{}' is there already, it is left out",
                            nameserver.name
                        );
                        diagnostics.push(Diagnostic::warning(text).at(*span));
                        continue;
                    }
                    spec.nameservers.push(nameserver);
                }
            }
        }
    }
    spec
}

/// The nameservers of a resolv.conf(5), each under its address as name.
fn resolv_conf(text: &str) -> Vec<NameserverSpec> {
    let mut found: Vec<NameserverSpec> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        if found.iter().any(|known| known.addr.ip() == ip) {
            continue;
        }
        let addr = SocketAddr::new(ip, PORT);
        found.push(NameserverSpec { name: ip.to_string(), addr, stream: false, maxconn: 0 });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_of_the_system() {
        let text = "# made by hand\nsearch a.test\nnameserver 10.0.0.1\n nameserver\tfd00::1 # two\n\
                    nameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameservers 10.0.0.2\nnameserver\n";
        let found: Vec<_> = resolv_conf(text).into_iter().map(|n| n.addr.to_string()).collect();
        assert_eq!(found, ["10.0.0.1:53", "[fd00::1]:53"]);
    }
}
