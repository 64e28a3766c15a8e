//! The host build of the packet core beside the kernel's: the same tables and the same frames, so that
//! each row of these tests is two.

use std::net::IpAddr;

use proxy_common::{
    Config, DenyEntry, ExpireRequest, HOOK_TC, HOOK_XDP, INTERFACE_XDP_OUT, POLICY_LEASTCONN,
    RealEntry, Reason, Ring, ServiceEntry, SourceKey, SourceNet, SourceRuling, VipEntry, VipKey,
    maps,
};
use proxy_ebpf::{
    Hop, NoWay, Path, Scratch, Verdict, expire,
    host::{HostFrame, HostTables, Routes},
    process,
};

use crate::{
    bed::{CLIENT_NEIGHBOUR, Hook, Outcome, SERVER_NEIGHBOUR},
    frame::Mac,
};

/// Counters that depend on the CPU, or on the time.
const UNLIKE: [Reason; 5] = [
    Reason::CacheHit,
    Reason::CacheMiss,
    Reason::CacheEvicted,
    Reason::EmbryonicEvicted,
    Reason::ClosingRecycled,
];
const MTU: u16 = 1500;

/// The network of the [`Bed`](crate::bed::Bed).
#[derive(Clone, Copy)]
pub(crate) struct Network {
    pub(crate) client_if: u32,
    pub(crate) server_if: u32,
    pub(crate) client_mac: Mac,
    pub(crate) server_mac: Mac,
}

struct Facts<'a> {
    network: Network,
    hook: Hook,
    ingress: u32,
    xdp_out: &'a [u32],
}

impl Routes for Facts<'_> {
    fn route(&self, path: &Path<'_>, hop: &mut Hop) -> Result<(), NoWay> {
        let ip = IpAddr::from(*path.dst);
        let (prefix, host) = match ip {
            IpAddr::V4(ip) => (ip.octets()[..3].to_vec(), ip.octets()[3].into()),
            IpAddr::V6(ip) => (ip.octets()[..8].to_vec(), ip.segments()[7]),
        };
        let to_client = prefix == [198, 51, 100] || prefix == [0x20, 1, 0xd, 0xb8, 0, 0xc, 0, 0];
        let to_server = prefix == [10, 0, 0] || prefix == [0xfd, 0, 0, 0, 0, 0, 0, 0];
        let Network { client_if, server_if, client_mac, server_mac } = self.network;
        let (ifindex, dst, src) = if to_client {
            (client_if, CLIENT_NEIGHBOUR, client_mac)
        } else {
            (server_if, SERVER_NEIGHBOUR, server_mac)
        };
        let fits = path.len <= MTU;
        match self.hook {
            Hook::Xdp => {
                let sendable = ifindex == self.ingress || self.xdp_out.contains(&ifindex);
                let known = [9, 10, 11, 12, 0x10, 0x11, 0x12].contains(&host);
                if !(to_client || to_server) || !fits || !known || !sendable {
                    return Err(NoWay { reason: Reason::Deferred, known: Verdict::Pass });
                }
                let [a, b, c, d, e, f] = dst;
                let [g, h, i, j, k, l] = src;
                let word = u32::from_ne_bytes;
                let data = [word([a, b, c, d]), word([e, f, g, h]), word([i, j, k, l]), 0];
                *hop = Hop { ifindex, data, mtu: MTU, path_mtu: MTU };
            }
            Hook::Decap => unreachable!("no way is asked there"),
            Hook::Tc if !(to_client || to_server) => {
                return Err(NoWay { reason: Reason::NoRoute, known: Verdict::Drop });
            }
            Hook::Tc if !fits => {
                hop.path_mtu = MTU;
                return Err(NoWay { reason: Reason::TooBig, known: Verdict::Drop });
            }
            Hook::Tc => {
                let mtu = if path.len == 0 { 0 } else { MTU };
                *hop = Hop { ifindex, data: path.dst.words, mtu, path_mtu: MTU };
            }
        }
        Ok(())
    }
}

/// The host's tables, as long as they can be told to be the kernel's.
pub(crate) struct Twin {
    network: Network,
    tables: HostTables,
    scratch: Scratch,
    xdp_out: Vec<u32>,
    /// Something is decided by chance or by the time: from here on the two may differ.
    apart: bool,
}

impl Twin {
    pub(crate) fn new(network: Network) -> Self {
        let tables = HostTables::new(Config::default(), vec![RealEntry::default(); 4], 64);
        Self { network, tables, scratch: Scratch::default(), xdp_out: Vec::new(), apart: false }
    }

    /// Follows a write to an array.
    pub(crate) fn set(&mut self, map: &str, index: u32, bytes: &[u8]) {
        let at = index as usize;
        match map {
            maps::CONFIG => {
                let config: Config = read(bytes);
                // Which port a connection gets is a matter of the time.
                self.apart |= config.nat_port_last > config.nat_port_first;
                self.tables.set_config(config);
            }
            maps::PREFILTER => self.tables.prefilter[at] = read(bytes),
            maps::SERVICES => {
                let service: ServiceEntry = read(bytes);
                self.apart |= service.policy == POLICY_LEASTCONN || at > 0;
                self.tables.services = vec![service];
            }
            maps::REALS => self.tables.reals[at] = read(bytes),
            maps::RINGS => {
                let ring: Ring = read(bytes);
                self.tables.ring = ring.slots[..64].iter().map(|slot| u32::from(*slot)).collect();
            }
            maps::INTERFACES => {
                self.xdp_out.retain(|known| *known != index);
                if read::<u32>(bytes) & INTERFACE_XDP_OUT != 0 {
                    self.xdp_out.push(index);
                }
            }
            _ => self.apart = true,
        }
    }

    pub(crate) fn vip(&mut self, key: VipKey) {
        self.tables.vips.insert(key, VipEntry::default());
    }

    pub(crate) fn deny(&mut self, net: SourceNet, entry: DenyEntry) {
        self.tables.denied.borrow_mut().insert(net, entry);
    }

    pub(crate) fn source(&mut self, key: SourceKey, ruling: SourceRuling) {
        let len = key.prefix_len - SourceKey::SERVICE_BITS;
        let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
        let bits = u128::from_be_bytes(key.net.addr.octets()) & mask;
        self.tables.sources.insert((key.net.service, len, bits), ruling);
    }

    /// Treats the frame as the kernel did, and compares.
    pub(crate) fn run(&mut self, hook: Hook, interface: u32, frame: &[u8], kernel: &Outcome) {
        if self.apart {
            return;
        }
        self.tables.now.set(now());
        let facts =
            Facts { network: self.network, hook, ingress: interface, xdp_out: &self.xdp_out };
        let (tables, scratch) = (&self.tables, &mut self.scratch);
        let (verdict, bytes) = match hook {
            Hook::Xdp => {
                let mut frame = HostFrame::<HOOK_XDP, _>::new(frame.to_vec(), interface, facts);
                (process(&mut frame, tables, scratch), frame.bytes)
            }
            Hook::Decap => return,
            Hook::Tc => {
                let mut frame = HostFrame::<HOOK_TC, _>::new(frame.to_vec(), interface, facts);
                (process(&mut frame, tables, scratch), frame.bytes)
            }
        };
        let host = match verdict {
            Verdict::Pass => {
                assert_eq!(bytes, frame, "host: passed, but changed");
                Outcome::Pass
            }
            Verdict::Drop => Outcome::Drop,
            Verdict::Answer => unreachable!("given by then"),
            Verdict::Transmit => Outcome::Transmit(bytes),
            Verdict::Redirect => Outcome::Redirect(bytes),
        };
        assert_eq!(host, *kernel, "the host's core (left) and the kernel's differ");
    }

    pub(crate) fn expire(&mut self, requests: &[ExpireRequest], kernel: u32) {
        let mut ended = 0;
        for request in requests {
            // Each side has its own start of the same connection.
            let created_ns = match self.tables.flows.borrow().get(&request.key) {
                Some(cell) if request.created_ns != 0 => cell.created_ns(),
                _ => request.created_ns,
            };
            let request = ExpireRequest { created_ns, ..*request };
            ended += u32::from(expire::expire(&self.tables, &mut self.scratch, &request));
        }
        if !self.apart {
            assert_eq!(ended, kernel, "the host's core ended so many, the kernel's others");
        }
    }

    /// Compares what was counted and how many entries there are.
    pub(crate) fn compare(&self, entries: usize, counted: impl Fn(Reason) -> u64) {
        if self.apart {
            return;
        }
        assert_eq!(self.tables.flows.borrow().len(), entries, "entries of the host's core");
        let counters = self.tables.counters.borrow();
        for (reason, name) in Reason::ALL {
            if !UNLIKE.contains(&reason) {
                let host = counters.get(&reason).copied().unwrap_or(0);
                assert_eq!(host, counted(reason), "{name} of the host's core and the kernel's");
            }
        }
    }
}

/// A value from its bytes.
fn read<T: aya::Pod>(bytes: &[u8]) -> T {
    assert_eq!(bytes.len(), size_of::<T>());
    // SAFETY: as many bytes as the type has, of which any make a value.
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE).unwrap();
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
