use super::*;
use crate::net::{LocalAddress, Route};

fn facts() -> NetFacts {
    let address = |ip: &str| LocalAddress { ifindex: 2, ip: ip.parse().unwrap() };
    let route = |to: &str, source: &str| {
        let route = Route {
            ifindex: 3,
            source: Some(source.parse().unwrap()),
            gateway: None,
            local: false,
        };
        (to.parse().unwrap(), route)
    };
    NetFacts {
        addresses: ["127.0.0.1", "10.1.0.1", "10.2.0.1", "fd01::1", "fe80::1", "::1"]
            .into_iter()
            .map(address)
            .collect(),
        routes: [
            route("10.2.0.2", "10.2.0.1"),
            route("10.2.0.3", "10.2.0.1"),
            route("fd02::2", "fd01::1"),
        ]
        .into_iter()
        .collect(),
        nat_ports: Some(1024..=32767),
        ..NetFacts::default()
    }
}

fn server(name: &str, addr: &str) -> ServerSpec {
    ServerSpec {
        name: name.to_owned(),
        addr: addr.parse().unwrap(),
        weight: 1,
        usable: Usable::Up,
        backup: false,
        maxconn: 0,
        source: None,
    }
}

fn service(name: &str, vips: &[&str], servers: Vec<ServerSpec>) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        frontend: name.to_owned(),
        backend: name.to_owned(),
        vips: vips.iter().map(|v| v.parse().unwrap()).collect(),
        protocol: Protocol::Tcp,
        mode: Mode::FullNat,
        policy: Policy::RoundRobin,
        maxconn: 0,
        client_idle: Duration::from_secs(50),
        server_idle: Duration::from_secs(60),
        connect: Duration::from_secs(5),
        retries: 0,
        responses: 0,
        log: false,
        rate: 0,
        source_rate: None,
        no_server: Answer::Userspace,
        rejects: Answer::Userspace,
        pick_up: false,
        denies: false,
        sources: None,
        servers,
        all_backups: false,
    }
}

fn two() -> Vec<ServerSpec> {
    vec![server("a", "10.2.0.2:80"), server("b", "10.2.0.3:80")]
}

/// The addresses of each service and the refusals, as text.
#[track_caller]
fn check(services: &[ServiceSpec], expected: &[&str]) {
    let plan = plan(services, &facts());
    let mut lines: Vec<String> =
        plan.services.iter().map(|s| format!("{} {:?}", s.name, s.vips)).collect();
    lines.extend(plan.rejected.iter().map(ToString::to_string));
    assert_eq!(lines, expected);
}

#[test]
fn plain_service() {
    check(&[service("web", &["10.1.0.1:80"], two())], &["web [10.1.0.1:80]"]);
    let plan = plan(&[service("web", &["10.1.0.1:80"], two())], &facts());
    let server = &plan.services[0].servers[0];
    assert_eq!(server.source, Some("10.2.0.1".parse().unwrap()));
    assert_eq!(server.ifindex, 3);
    assert_eq!(plan.services[0].idle, Duration::from_secs(50));
}

#[test]
fn wildcards_stand_for_local_addresses() {
    check(&[service("web", &["0.0.0.0:80"], two())], &["web [10.1.0.1:80, 10.2.0.1:80]"]);
    let v6 = vec![server("a", "[fd02::2]:80")];
    check(&[service("six", &["[::]:80"], v6)], &["six [[fd01::1]:80]"]);
    check(
        &[service("any", &["0.0.0.0:80"], two()), service("one", &["10.1.0.1:80"], two())],
        &["any [10.2.0.1:80]", "one [10.1.0.1:80]"],
    );
}

#[test]
fn families_do_not_mix() {
    check(
        &[service("web", &["10.1.0.1:80", "[fd01::1]:80"], two())],
        &[
            "web [10.1.0.1:80]",
            "web on [fd01::1]:80: server a has another address family than the listener",
        ],
    );
    let mut limited = service("web", &["10.1.0.1:80", "[fd01::1]:80"], two());
    limited.maxconn = 10;
    check(&[limited], &["web: server a has another address family than the listener"]);
    let mut mixed = two();
    mixed.push(server("c", "[fd02::2]:80"));
    check(
        &[service("web", &["10.1.0.1:80"], mixed)],
        &["web: server c has another address family than the listener"],
    );
    let mapped = vec![server("a", "[::ffff:10.2.0.2]:80")];
    check(&[service("web", &["10.1.0.1:80"], mapped)], &["web [10.1.0.1:80]"]);
}

#[test]
fn refusals() {
    check(&[service("web", &["10.1.0.1:80"], vec![])], &["web: no servers"]);
    check(
        &[service("web", &["127.0.0.1:80"], two())],
        &["web: 127.0.0.1 is a loopback, link-local or multicast address"],
    );
    check(
        &[service("web", &["10.1.0.1:80"], vec![server("a", "127.0.0.1:8080")])],
        &["web: server a is on this host"],
    );
    check(
        &[service("web", &["10.1.0.1:80"], vec![server("a", "10.2.0.1:8080")])],
        &["web: server a is on this host"],
    );
    // A port of zero is the listener's.
    check(
        &[service("web", &["10.1.0.1:80"], vec![server("a", "10.2.0.2:0")])],
        &["web [10.1.0.1:80]"],
    );
    check(
        &[service("x", &["10.1.0.1:80"], two()), service("y", &["10.1.0.1:80"], two())],
        &["x: the address is shared with y", "y: the address is shared with x"],
    );
    let mut foreign = two();
    foreign[1].source = Some("192.0.2.1".parse().unwrap());
    check(
        &[service("web", &["10.1.0.1:80"], foreign)],
        &["web: server b: source 192.0.2.1 is no address of this host"],
    );
}

#[test]
fn full_nat_needs_ports_and_nat_does_not() {
    let facts = NetFacts { nat_ports: None, ..facts() };
    let mut spec = service("web", &["10.1.0.1:80"], two());
    assert_eq!(plan(&[spec.clone()], &facts).rejected[0].reason, Ineligible::NoNatPorts);
    spec.mode = Mode::Nat;
    assert_eq!(plan(&[spec], &facts).services[0].servers[0].source, None);
}

#[test]
fn servers_that_answer_by_themselves_need_the_port_and_the_way() {
    let mut facts = facts();
    let mut spec = service("web", &["10.1.0.1:80"], vec![server("a", "10.2.0.2:80")]);
    let source = |spec: &ServiceSpec, facts: &NetFacts| {
        let plan = plan(std::slice::from_ref(spec), facts);
        plan.services.first().map(|service| service.servers[0].source).ok_or(plan.rejected)
    };
    let rejected =
        |result: Result<Option<IpAddr>, Vec<Rejected>>| result.unwrap_err()[0].to_string();
    spec.mode = Mode::Direct;
    assert_eq!(source(&spec, &facts), Ok(None));
    spec.mode = Mode::Tunnel;
    assert_eq!(source(&spec, &facts), Ok(Some("10.2.0.1".parse().unwrap())));
    // No port of full NAT is needed.
    facts.nat_ports = None;
    assert!(source(&spec, &facts).is_ok());
    for route in facts.routes.values_mut() {
        route.gateway = Some("10.2.0.254".parse().unwrap());
    }
    assert!(source(&spec, &facts).is_ok());
    spec.mode = Mode::Direct;
    let why = rejected(source(&spec, &facts));
    assert_eq!(why, "web: server a is behind a router, where only its address would lead to it");
    spec.mode = Mode::Tunnel;
    spec.servers[0].addr.set_port(8080);
    let why = rejected(source(&spec, &facts));
    assert_eq!(
        why,
        "web: server a has another port than the listener, which its mode does not translate"
    );
}

#[test]
fn unreachable_servers_take_no_flows() {
    let mut servers = two();
    servers.push(server("far", "192.0.2.9:80"));
    let plan = plan(&[service("web", &["10.1.0.1:80"], servers)], &facts());
    assert_eq!(plan.services[0].active(), [0, 1]);
}

#[test]
fn who_is_active() {
    let mut servers = two();
    servers.push(server("c", "10.2.0.2:81"));
    servers.push(server("d", "10.2.0.2:82"));
    servers[2].backup = true;
    servers[3].backup = true;
    let mut service =
        plan(&[service("web", &["10.1.0.1:80"], servers)], &facts()).services.remove(0);
    assert_eq!(service.active(), [0, 1]);
    service.servers[0].usable = Usable::Down;
    assert_eq!(service.active(), [1]);
    service.servers[1].weight = 0;
    assert_eq!(service.active(), [2]);
    service.all_backups = true;
    assert_eq!(service.active(), [2, 3]);
    service.servers[3].usable = Usable::Drain;
    assert_eq!(service.active(), [2]);
    service.servers[2].usable = Usable::Down;
    assert!(service.active().is_empty());
}

#[test]
fn identity_is_fixed() {
    assert_eq!(stable_id(&["web"]), 0x3d7d_6ef6_19ea_9383);
    assert_ne!(stable_id(&["ab", "c"]), stable_id(&["a", "bc"]));
    let id = |name: &str, addr: &str| {
        let spec = service(name, &["10.1.0.1:80"], vec![server("a", addr)]);
        plan(&[spec], &facts()).services[0].servers[0].id
    };
    assert_eq!(id("x", "10.2.0.2:80"), id("x", "10.2.0.2:80"));
    assert_ne!(id("x", "10.2.0.2:80"), id("x", "10.2.0.3:80"));
    assert_ne!(id("x", "10.2.0.2:80"), id("y", "10.2.0.2:80"));
}

#[test]
fn one_port_of_each_protocol() {
    let mut dns = service("dns", &["10.1.0.1:53"], vec![server("a", "10.2.0.2:53")]);
    dns.protocol = Protocol::Udp;
    let tcp = service("dns-tcp", &["10.1.0.1:53"], vec![server("a", "10.2.0.2:53")]);
    check(&[dns.clone(), tcp], &["dns [10.1.0.1:53]", "dns-tcp [10.1.0.1:53]"]);
    let again = ServiceSpec { name: "again".to_owned(), ..dns.clone() };
    check(
        &[dns, again],
        &["dns: the address is shared with again", "again: the address is shared with dns"],
    );
}
