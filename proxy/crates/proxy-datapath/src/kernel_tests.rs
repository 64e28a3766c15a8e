//! Against the running kernel, each test in a network namespace and an instance of its own.
//! Skipped, with the reason, without root or without the object.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aya::programs::{SchedClassifier, TcAttachType};
use nix::sched::{CloneFlags, unshare};
use proxy_common::{Live, SERVICE_UP};

use crate::datapath::{Datapath, OpenOptions, OpenReport};
use crate::plan::{Plan, plan};
use crate::{
    Adoption, Answer, AttachedHook, Hook, Mode, NetFacts, Policy, Prefix, Protocol, ServerChange,
    ServerSpec, ServiceSpec, SourcePolicy, SourceRule, SourceVerdict, Unavailable, Usable, object,
};

/// An instance that disappears with its guard.
struct Lab {
    options: OpenOptions,
}

impl Lab {
    fn open(&self) -> (Datapath, OpenReport) {
        Datapath::open(&self.options).unwrap()
    }

    fn plan(&self, services: &[ServiceSpec]) -> Plan {
        let addresses = services.iter().flat_map(|s| s.servers.iter().map(|s| s.addr.ip()));
        let plan = plan(services, &NetFacts::gather(addresses).unwrap());
        assert_eq!(plan.rejected, []);
        plan
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Datapath::detach_instance(self.options.instance.as_deref(), None);
    }
}

#[track_caller]
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// Runs `test` on a thread in a fresh namespace with interfaces `front` (10.1.0.1) and `back`
/// (10.2.0.1).
fn lab(test: impl FnOnce(&Lab) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: needs root");
    }
    if let Err(reason) = object::bytes() {
        return eprintln!("skipped: {reason}");
    }
    let body = move || {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        for (name, address) in [("front", "10.1.0.1/24"), ("back", "10.2.0.1/24")] {
            ip(&format!("link add {name} type veth peer name {name}-peer"));
            ip(&format!("addr add {address} dev {name}"));
            ip(&format!("link set {name} up"));
        }
        let lab = Lab {
            options: OpenOptions {
                instance: Some(format!("test-{}-{number}", std::process::id())),
                connections: 1000,
                cached_flows: Some(64),
                ..OpenOptions::default()
            },
        };
        test(&lab);
    };
    std::thread::spawn(body).join().unwrap();
}

fn server(name: &str, host: u8) -> ServerSpec {
    ServerSpec {
        name: name.to_owned(),
        addr: SocketAddr::from(([10, 2, 0, host], 80)),
        weight: 1,
        usable: Usable::Up,
        backup: false,
        maxconn: 0,
        source: None,
    }
}

fn service(name: &str, port: u16, hosts: &[u8]) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        frontend: name.to_owned(),
        backend: name.to_owned(),
        vips: vec![SocketAddr::from(([10, 1, 0, 1], port))],
        protocol: Protocol::Tcp,
        mode: Mode::FullNat,
        policy: Policy::RoundRobin,
        maxconn: 0,
        client_idle: Duration::from_secs(50),
        server_idle: Duration::from_secs(50),
        connect: Duration::from_secs(5),
        retries: 0,
        responses: 0,
        log: true,
        rate: 0,
        source_rate: None,
        no_server: Answer::Userspace,
        rejects: Answer::Userspace,
        pick_up: false,
        denies: false,
        sources: None,
        servers: hosts.iter().map(|&h| server(&format!("s{h}"), h)).collect(),
        all_backups: false,
    }
}

fn programs_on(interface: &str) -> Vec<u32> {
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress).unwrap();
    programs.iter().map(aya::programs::ProgramInfo::id).collect()
}

fn hook_of(interfaces: &[crate::InterfaceReport], name: &str) -> AttachedHook {
    interfaces.iter().find(|i| i.name == name).unwrap().hook
}

#[test]
fn opens_fresh_and_detaches() {
    lab(|lab| {
        let (datapath, report) = lab.open();
        assert_eq!(report.adoption, Adoption::Fresh);
        assert_eq!(hook_of(&report.interfaces, "lo"), AttachedHook::None);
        assert_eq!(hook_of(&report.interfaces, "front"), AttachedHook::Tc);
        assert_eq!(hook_of(&report.interfaces, "back"), AttachedHook::Tc);
        let path = report.path;
        assert!(path.join("maps/FLOWS").exists());
        assert_eq!(programs_on("front").len(), 1);
        datapath.detach().unwrap();
        assert!(!path.exists());
        assert_eq!(programs_on("front"), []);
    });
}

#[test]
fn one_process_at_a_time() {
    lab(|lab| {
        let (held, _) = lab.open();
        match Datapath::open(&lab.options).map(|_| ()).unwrap_err() {
            Unavailable::InUse { pid, .. } => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other}"),
        }
        drop(held);
        lab.open();
    });
}

#[test]
fn dropped_handle_leaves_everything_and_the_next_takes_over() {
    lab(|lab| {
        let services = [service("web", 80, &[2, 3]), service("api", 81, &[4])];
        let (mut datapath, _) = lab.open();
        let report = datapath.apply(&lab.plan(&services)).unwrap();
        assert_eq!((report.vips_set, report.servers_set, report.rings_set), (2, 3, 2));
        assert!(datapath.apply(&lab.plan(&services)).unwrap().is_unchanged());
        let before = programs_on("front");
        drop(datapath);
        assert_eq!(programs_on("front"), before);

        let (mut datapath, report) = lab.open();
        assert_eq!(report.adoption, Adoption::Adopted);
        let after = programs_on("front");
        assert_eq!(after.len(), 1);
        // The same programs: nothing was loaded again.
        assert_eq!(after, before);
        let report = datapath.apply(&lab.plan(&services)).unwrap();
        assert!(report.is_unchanged(), "{report:?}");
    });
}

#[test]
fn indices_stay_with_their_owners() {
    lab(|lab| {
        let (mut datapath, _) = lab.open();
        datapath.apply(&lab.plan(&[service("web", 80, &[2, 3, 4])])).unwrap();
        let index = |datapath: &Datapath, name: &str| {
            let mut owners = datapath.tables.server_names.iter();
            owners.find(|(_, r)| *r.server == *name).map(|(index, _)| index)
        };
        let three = index(&datapath, "s3");
        drop(datapath);
        let (mut datapath, _) = lab.open();
        let services = [service("new", 81, &[9]), service("web", 80, &[4, 3])];
        let report = datapath.apply(&lab.plan(&services)).unwrap();
        assert_eq!(index(&datapath, "s3"), three);
        assert_eq!(report.vips_set, 1);
        let ring = &datapath.tables.services.iter().find(|s| s.plan.name == "web").unwrap().servers;
        assert_eq!(ring.len(), 2);
        // The removed one may not take connections, and keeps its index while it has some.
        let gone = index(&datapath, "s2").unwrap();
        assert_eq!(
            datapath.tables.maps.reals.get(&gone, 0).unwrap().flags,
            proxy_common::REAL_DRAIN
        );
    });
}

#[test]
fn counters_of_a_reused_index_start_at_zero() {
    lab(|lab| {
        let (mut datapath, _) = lab.open();
        let room = datapath.tables.maps.server_room();
        datapath.apply(&lab.plan(&[service("web", 80, &[2])])).unwrap();
        let busy = Live { connections: 1, ..Live::default() };
        datapath.tables.maps.server_live.set(0, busy, 0).unwrap();
        // As many servers as there are places, in services of 200.
        let hosts: Vec<u8> = (2..202).collect();
        let mut services: Vec<ServiceSpec> = (0..room.div_ceil(200))
            .map(|n| service(&format!("n{n}"), 1000 + n as u16, &hosts))
            .collect();
        for (n, service) in services.iter_mut().enumerate() {
            for server in &mut service.servers {
                server.addr.set_port(n as u16 + 1);
            }
        }
        let report = datapath.apply(&lab.plan(&services)).unwrap();
        assert_eq!(report.left_out.len(), 1, "{:?}", report.left_out);
        datapath.tables.maps.server_live.set(0, Live::default(), 0).unwrap();
        assert_eq!(*datapath.tables.server_names.get(0).unwrap().service, *"web");
        let report = datapath.apply(&lab.plan(&services[1..])).unwrap();
        assert_eq!(report.left_out, []);
    });
}

#[test]
fn one_server_changes_one_ring() {
    lab(|lab| {
        let (mut datapath, _) = lab.open();
        let mut hashed = service("hashed", 82, &[2, 3, 4]);
        hashed.policy = Policy::HashSource;
        datapath.apply(&lab.plan(&[service("web", 80, &[2, 3]), hashed])).unwrap();
        let ring = |datapath: &Datapath, name: &str| {
            let service = datapath.tables.services.iter().find(|s| s.plan.name == name).unwrap();
            let entry = datapath.tables.maps.services.get(&service.index, 0).unwrap();
            assert_eq!(entry.flags & SERVICE_UP, SERVICE_UP);
            let slots = datapath.tables.maps.ring(entry.ring).unwrap();
            let place = |slot: &u16| service.servers.iter().position(|i| *i == u32::from(*slot));
            slots[..entry.ring_len as usize].iter().map(|s| place(s).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(ring(&datapath, "web"), [0, 1]);
        let before = ring(&datapath, "hashed");
        assert_eq!(before.len(), 65_537);

        let down = ServerChange { usable: Usable::Down, weight: 1, maxconn: 0 };
        let report = datapath.set_server("web", "s2", down).unwrap();
        assert_eq!((report.rings_set, report.services_set, report.servers_set), (1, 1, 1));
        assert_eq!(ring(&datapath, "web"), [1]);
        assert_eq!(ring(&datapath, "hashed"), before);
        datapath.set_server("web", "s3", down).unwrap();
        assert_eq!(ring(&datapath, "web"), [0_usize; 0]);
        let heavy = ServerChange { usable: Usable::Up, weight: 2, maxconn: 0 };
        datapath.set_server("web", "s2", heavy).unwrap();
        let up = ServerChange { usable: Usable::Up, weight: 1, maxconn: 0 };
        datapath.set_server("web", "s3", up).unwrap();
        assert_eq!(ring(&datapath, "web"), [0, 1, 0]);
        let error = datapath.set_server("web", "nobody", up).unwrap_err();
        assert_eq!(error.to_string(), "no server nobody in service web");
        // Rings are given back.
        assert_eq!(datapath.tables.rings_in_use(), 2);
    });
}

#[test]
fn removed_service_gives_way() {
    lab(|lab| {
        let (mut datapath, _) = lab.open();
        datapath.apply(&lab.plan(&[service("a", 80, &[2]), service("b", 81, &[3])])).unwrap();
        let report = datapath.apply(&lab.plan(&[service("b", 81, &[3])])).unwrap();
        assert_eq!((report.services, report.vips_removed, report.vips_set), (1, 1, 0));
        assert_eq!(datapath.tables.rings_in_use(), 1);
        let words: u32 = (0..proxy_common::maps::PREFILTER_WORDS)
            .map(|w| datapath.tables.maps.prefilter.get(&w, 0).unwrap().count_ones())
            .sum();
        assert_eq!(words, 1);
        // An address that changes hands is switched, not removed.
        let report = datapath.apply(&lab.plan(&[service("c", 81, &[3])])).unwrap();
        assert_eq!((report.vips_removed, report.vips_set), (0, 1));
    });
}

/// However many services there are, a change of a server finds a ring to write to.
#[test]
fn one_ring_is_always_spare() {
    lab(|lab| {
        let few = Lab { options: OpenOptions { services: 1, ..lab.options.clone() } };
        let (mut datapath, _) = few.open();
        let room = datapath.tables.maps.ring_room();
        let services: Vec<_> =
            (0..room as u16).map(|n| service(&format!("n{n}"), 100 + n, &[2, 3])).collect();
        let report = datapath.apply(&lab.plan(&services)).unwrap();
        assert_eq!(report.services, room as usize - 1);
        let full = "no room for more than 8 rings";
        assert_eq!(report.left_out[0].reason.to_string(), full);
        assert_eq!(report.vips_set, room as usize - 1);
        for usable in [Usable::Down, Usable::Up, Usable::Drain] {
            let change = ServerChange { usable, weight: 1, maxconn: 0 };
            datapath.set_server("n0", "s2", change).unwrap();
        }
        // Those whose predecessor gives way in the same plan fit at once.
        let others: Vec<_> =
            (0..room as u16 - 1).map(|n| service(&format!("m{n}"), 200 + n, &[2])).collect();
        let report = datapath.apply(&lab.plan(&others)).unwrap();
        assert_eq!(report.left_out, []);
        assert_eq!(datapath.tables.rings_in_use(), room - 1);
        std::mem::forget(few);
    });
}

#[test]
fn source_ports_stay_while_connections_use_them() {
    lab(|lab| {
        let (mut datapath, _) = lab.open();
        let mut plan = lab.plan(&[service("web", 80, &[2])]);
        datapath.apply(&plan).unwrap();
        assert_eq!(datapath.tables.nat_ports(), Some((1024, 32_767)));
        plan.nat_ports = Some(40_000..=50_000);
        let busy = Live { connections: 1, ..Live::default() };
        datapath.tables.maps.service_live.set(0, busy, 0).unwrap();
        assert!(datapath.apply(&plan).unwrap().nat_ports_kept);
        assert_eq!(datapath.tables.nat_ports(), Some((1024, 32_767)));
        datapath.tables.maps.service_live.set(0, Live::default(), 0).unwrap();
        assert!(!datapath.apply(&plan).unwrap().nat_ports_kept);
        assert_eq!(datapath.tables.nat_ports(), Some((40_000, 50_000)));
    });
}

/// The control thread moves it in.
#[test]
fn handle_is_send() {
    fn check<T: Send>() {}
    check::<Datapath>();
}

#[test]
fn larger_tables_are_filled_before_they_serve() {
    lab(|lab| {
        let services = [service("web", 80, &[2, 3])];
        let (mut datapath, _) = lab.open();
        datapath.apply(&lab.plan(&services)).unwrap();
        let live = Live { connections: 7, peak: 9, ..Live::default() };
        datapath.tables.maps.service_live.set(0, live, 0).unwrap();
        let (path, before) = (datapath.path().to_owned(), programs_on("front"));
        let rings = datapath.tables.maps.ring_room();
        drop(datapath);

        let larger = Lab { options: OpenOptions { services: 100, ..lab.options.clone() } };
        let (mut datapath, report) = larger.open();
        assert_eq!(report.adoption, Adoption::Grown);
        assert_eq!(programs_on("front"), before);
        assert!(path.join("next/VIPS").exists());
        let report = datapath.apply(&lab.plan(&services)).unwrap();
        assert!(report.switched);
        assert_eq!(report.vips_set, 1);
        assert_ne!(programs_on("front"), before);
        assert_eq!(std::fs::read_dir(path.join("next")).unwrap().count(), 0);
        assert!(datapath.tables.maps.ring_room() > rings);
        assert_eq!(datapath.counters().unwrap().services[0].current, 7);
        drop(datapath);

        let (mut datapath, report) = larger.open();
        assert_eq!(report.adoption, Adoption::Adopted);
        assert!(datapath.apply(&lab.plan(&services)).unwrap().is_unchanged());
        std::mem::forget(larger);
    });
}

#[test]
fn other_version_serves_until_replaced() {
    lab(|lab| {
        let services = [service("web", 80, &[2, 3])];
        let (mut datapath, _) = lab.open();
        datapath.apply(&lab.plan(&services)).unwrap();
        let mut config = datapath.tables.maps.config.get(&0, 0).unwrap();
        config.abi = 999;
        datapath.tables.maps.config.set(0, config, 0).unwrap();
        let before = programs_on("front");
        drop(datapath);

        let (mut datapath, report) = lab.open();
        assert_eq!(report.adoption, Adoption::Replaced { version: 999 });
        assert_eq!(programs_on("front"), before);
        assert!(datapath.refresh().unwrap().is_empty());
        assert!(datapath.apply(&lab.plan(&services)).unwrap().switched);
        assert_ne!(programs_on("front"), before);
        drop(datapath);
        assert_eq!(lab.open().1.adoption, Adoption::Adopted);
    });
}

#[test]
fn pins_of_a_former_namespace_are_dropped() {
    lab(|lab| {
        let (mut datapath, _) = lab.open();
        let mut meta = datapath.tables.maps.meta().unwrap();
        meta.cookie += 1;
        datapath.tables.maps.set_meta(meta).unwrap();
        drop(datapath);
        assert_eq!(lab.open().1.adoption, Adoption::Fresh);
    });
}

#[test]
fn interfaces_come_and_go() {
    lab(|lab| {
        let (mut datapath, _) = lab.open();
        assert_eq!(datapath.refresh().unwrap(), []);
        ip("link add late type veth peer name late-peer");
        ip("link set late up");
        let changed = datapath.refresh().unwrap();
        assert_eq!(hook_of(&changed, "late"), AttachedHook::Tc);
        assert_eq!(programs_on("late").len(), 1);
        ip("link del back");
        datapath.refresh().unwrap();
        let links = std::fs::read_dir(datapath.path().join("links")).unwrap().count();
        assert_eq!(links, 2);
    });
}

#[test]
fn generic_xdp_when_asked() {
    lab(|lab| {
        let generic =
            Lab { options: OpenOptions { hook: Hook::XdpGeneric, ..lab.options.clone() } };
        let (datapath, report) = generic.open();
        assert_eq!(hook_of(&report.interfaces, "front"), AttachedHook::XdpGeneric);
        let status = datapath.status().unwrap();
        let front = status.interfaces.iter().find(|i| i.report.name == "front").unwrap();
        assert_eq!(front.programs.len(), 2, "{status}");
        drop(datapath);
        // Back to tcx alone.
        let (_datapath, report) = lab.open();
        assert_eq!(hook_of(&report.interfaces, "front"), AttachedHook::Tc);
        let pins = std::fs::read_dir(report.path.join("links")).unwrap();
        assert_eq!(pins.count(), 2);
        std::mem::forget(generic);
    });
}

#[test]
fn native_xdp_on_veth_says_what_it_needs() {
    lab(|lab| {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("link set v1 up");
        let (datapath, report) = lab.open();
        assert_eq!(hook_of(&report.interfaces, "v0"), AttachedHook::Tc);
        drop(datapath);
        let asked = Lab { options: OpenOptions { hook: Hook::Xdp, ..lab.options.clone() } };
        let (_datapath, report) = asked.open();
        assert_eq!(hook_of(&report.interfaces, "v0"), AttachedHook::Xdp);
        let note = report.interfaces.iter().find(|i| i.name == "v0").unwrap().note.clone().unwrap();
        assert!(note.contains("checksum offload"), "{note}");
        std::mem::forget(asked);
    });
}

#[test]
fn status_reads_well() {
    lab(|lab| {
        let (mut datapath, _) = lab.open();
        datapath.apply(&lab.plan(&[service("web", 80, &[2, 3])])).unwrap();
        let text = datapath.status().unwrap().to_string();
        for part in ["interface front", "tcx tc=prog:", "table VIPS: 1/", "nat ports: 1024-32767"] {
            assert!(text.contains(part), "{part:?} not in\n{text}");
        }
    });
}

#[test]
fn without_privileges_it_says_so() {
    const CHILD: &str = "SLUICE_TEST_UNPRIVILEGED";
    if std::env::var_os(CHILD).is_some() {
        let error = Datapath::open(&OpenOptions::default()).map(|_| ()).unwrap_err();
        assert!(matches!(error, Unavailable::NoPrivilege { .. }), "{error}");
        return;
    }
    lab(|_| {
        use std::os::unix::process::CommandExt;
        // Where anyone may read it.
        let copy = std::env::temp_dir().join(format!("datapath-test-{}", std::process::id()));
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let status = Command::new(&copy)
            .args(["--exact", "kernel_tests::without_privileges_it_says_so"])
            .env(CHILD, "1")
            .current_dir(Path::new("/"))
            .uid(65_534)
            .gid(65_534)
            .output();
        std::fs::remove_file(copy).unwrap();
        let output = status.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    });
}

/// Rules about clients follow their service: written before it asks, kept by the next handle, gone with it.
#[test]
fn rules_about_clients_come_and_go_with_their_service() {
    let policy = |nets: &[(u128, u8)]| {
        let entry = |(low, len): &(u128, u8)| {
            let rule = SourceRule { verdict: SourceVerdict::Drop, rule: Some(0) };
            (Prefix::new((0xffff << 32) | low, *len), rule)
        };
        let mut entries: Vec<_> = nets.iter().map(entry).collect();
        entries.sort_unstable_by_key(|(prefix, _)| *prefix);
        Some(Arc::new(SourcePolicy { entries, rules: vec!["silent-drop".into()] }))
    };
    lab(move |lab| {
        let mut web = service("web", 80, &[2]);
        web.sources = policy(&[(0x0a00_0000, 104), (0x0a01_0000, 112)]);
        let count = |datapath: &Datapath| datapath.tables.maps.sources.iter().count();
        let asks = |datapath: &Datapath| {
            let entry = datapath.tables.maps.services.get(&0, 0).unwrap();
            entry.flags & proxy_common::SERVICE_SOURCES != 0
        };
        let (mut datapath, _) = lab.open();
        assert_eq!(datapath.apply(&lab.plan(&[web.clone()])).unwrap().sources_set, 2);
        assert_eq!((count(&datapath), asks(&datapath)), (2, true));
        drop(datapath);

        let (mut datapath, _) = lab.open();
        assert!(datapath.apply(&lab.plan(&[web.clone()])).unwrap().is_unchanged());
        // One more, one less.
        let changed = policy(&[(0x0a00_0000, 104), (0x0a02_0000, 112)]);
        assert_eq!(datapath.set_sources("web", changed).unwrap().sources_set, 2);
        assert_eq!(count(&datapath), 2);
        assert_eq!(datapath.counters().unwrap().services[0].rules, [("silent-drop".to_owned(), 0)]);
        assert!(datapath.set_sources("api", None).is_err());
        assert_eq!(datapath.set_sources("web", None).unwrap().sources_set, 2);
        assert_eq!((count(&datapath), asks(&datapath)), (0, false));

        datapath.apply(&lab.plan(&[web])).unwrap();
        datapath.apply(&lab.plan(&[service("api", 81, &[2])])).unwrap();
        assert_eq!(count(&datapath), 0);
    });
}
