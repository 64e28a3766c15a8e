//! The usual topology: a client, a balancer and some servers, each in a namespace of its own.
//!
//! ```text
//!            10.1.0.0/24                10.2.N.0/24
//!            fd01::/64                  fd02:N::/64
//!   client --------------- balancer --------------- server N
//!       .2  eth0     front  .1 .1  sN         eth0  .2
//! ```

use anyhow::Result;

use crate::netns::{NetNs, veth};

/// Client, balancer and servers; see the module's drawing for the addresses.
///
/// Client and servers have their default route through the balancer, which forwards.
#[derive(Debug)]
pub struct Lab {
    /// Where connections come from: `10.1.0.2`, `fd01::2` on `eth0`.
    pub client: NetNs,
    /// Where Sluice runs: interface `front` toward the client, `s1`, `s2` ... toward the servers.
    pub balancer: NetNs,
    /// Server N (from 1) is `10.2.N.2` and `fd02:N::2` on `eth0`.
    pub servers: Vec<NetNs>,
}

impl Lab {
    /// The balancer's addresses on the client's side.
    pub const FRONT_V4: &str = "10.1.0.1";
    /// See [`Lab::FRONT_V4`].
    pub const FRONT_V6: &str = "fd01::1";

    /// Makes the topology with namespaces of generated names.
    pub fn new(servers: usize) -> Result<Self> {
        let servers = (1..=servers).map(|n| NetNs::new(&format!("s{n}"))).collect::<Result<_>>()?;
        Self::join(NetNs::new("client")?, NetNs::new("balancer")?, servers)
    }

    /// Makes the topology with the names `<prefix>-client`, `<prefix>-balancer`, `<prefix>-s1` ...
    pub fn named(prefix: &str, servers: usize) -> Result<Self> {
        let make = |part: &str| NetNs::named(&format!("{prefix}-{part}"));
        let servers = (1..=servers).map(|n| make(&format!("s{n}"))).collect::<Result<_>>()?;
        Self::join(make("client")?, make("balancer")?, servers)
    }

    fn join(client: NetNs, balancer: NetNs, servers: Vec<NetNs>) -> Result<Self> {
        balancer.enable_forwarding()?;
        veth(&client, "eth0", &balancer, "front")?;
        client.add_address("eth0", "10.1.0.2/24")?;
        client.add_address("eth0", "fd01::2/64")?;
        balancer.add_address("front", "10.1.0.1/24")?;
        balancer.add_address("front", "fd01::1/64")?;
        client.add_default_route(Self::FRONT_V4)?;
        client.add_default_route(Self::FRONT_V6)?;
        for (index, server) in servers.iter().enumerate() {
            let n = index + 1;
            let port = format!("s{n}");
            veth(server, "eth0", &balancer, &port)?;
            server.add_address("eth0", &format!("10.2.{n}.2/24"))?;
            server.add_address("eth0", &format!("fd02:{n}::2/64"))?;
            balancer.add_address(&port, &format!("10.2.{n}.1/24"))?;
            balancer.add_address(&port, &format!("fd02:{n}::1/64"))?;
            server.add_default_route(&format!("10.2.{n}.1"))?;
            server.add_default_route(&format!("fd02:{n}::1"))?;
        }
        Ok(Self { client, balancer, servers })
    }

    /// The IPv4 address of server `n` (from 1).
    pub fn server_v4(n: usize) -> String {
        format!("10.2.{n}.2")
    }

    /// The IPv6 address of server `n` (from 1).
    pub fn server_v6(n: usize) -> String {
        format!("fd02:{n}::2")
    }

    /// Leaves all namespaces in place.
    pub fn keep(self) {
        self.client.keep();
        self.balancer.keep();
        self.servers.into_iter().for_each(NetNs::keep);
    }
}
