//! What commands work on, and what they ask of the worker around them.

use crate::Level;
use crate::builder::Builder;
use crate::stats_file::Identified;
use proxy_names::Names;
use proxy_rules::sample::context::Shared;
use proxy_state::{Now, Registry};
use proxy_stream::log::Sink;
use proxy_stream::log::ring::Rings;
use proxy_stream::peers::section::Section as PeersSection;
use proxy_stream::traces::Sinks;
use proxy_tls::live::Store as CertificateStore;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// An answer that takes a while, because it comes from other threads.
pub type Later<T> = Pin<Box<dyn Future<Output = T>>>;

/// Who this is.
#[derive(Clone, Debug)]
pub struct Product {
    /// `Name` of `show info`.
    pub name: &'static str,
    pub version: String,
    /// `2026/11/23`.
    pub release_date: String,
}

/// What every session shares.
pub struct Admin {
    pub registry: Arc<Registry>,
    /// What expressions share: pattern lists, variables of the process.
    pub shared: Arc<Shared>,
    /// The certificates of listeners and servers.
    pub certificates: Arc<CertificateStore>,
    /// Names resolved at run time; `None` where nothing resolves.
    pub names: Option<Rc<Names>>,
    /// Makes servers and backends.
    pub builder: Rc<dyn Builder>,
    /// The `peers` sections that exchange something.
    pub peers: Vec<Arc<PeersSection>>,
    /// What is kept in memory of log messages.
    pub rings: Arc<Rings>,
    /// Where traces may go.
    pub traces: Sinks,
    /// The targets of the process itself.
    pub log: Option<Arc<dyn Sink>>,
    pub product: Product,
    /// Longest payload of a command, in bytes (`tune.cli.max-payload-size`).
    pub payload_max: usize,
    pub process: Box<dyn ProcessView>,
    /// `None` when the kernel data path is compiled out or switched off.
    pub l4: Option<Box<dyn L4View>>,
}

/// Facts of the process that only the worker knows, at the moment of asking.
#[derive(Clone, Debug, Default)]
pub struct ProcessFacts {
    pub pid: u32,
    /// Worker threads.
    pub threads: u32,
    /// `node`, by default the host name.
    pub node: String,
    /// `description` of the global section.
    pub description: Option<String>,
    /// Limit on descriptors (`Ulimit-n`).
    pub fd_limit: u64,
    /// Sockets the process may open (`Maxsock`).
    pub max_sockets: u64,
    /// Limit on memory in bytes, 0 for none (`Memmax_bytes`).
    pub memory_limit: u64,
    /// Memory taken by buffers and pools, and the part of it in use; or else the resident size.
    pub memory_allocated: u64,
    pub memory_used: u64,
    /// Pipes for splicing: limit, in use, idle.
    pub max_pipes: u64,
    pub pipes_used: u64,
    pub pipes_free: u64,
    /// Tasks alive (`Tasks`).
    pub tasks: u64,
    /// Tasks ready to run (`Run_queue`).
    pub run_queue: u64,
    /// Share of the last second spent waiting, in percent.
    pub idle_percent: u32,
    /// The worker is leaving.
    pub stopping: bool,
    /// Connections and listeners that keep the process alive.
    pub jobs: u64,
    pub unstoppable_jobs: u64,
    /// Listening sockets.
    pub listeners: u64,
    /// Peers that are connected and known (`ActivePeers`), and those that are connected (`ConnectedPeers`).
    pub active_peers: u64,
    pub connected_peers: u64,
}

/// A command socket, for `show cli sockets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliSocket {
    /// `unix@/run/sluice.sock`, `ipv4@127.0.0.1:9999`.
    pub address: String,
    pub level: Level,
}

/// A stream, for `show sess`.
#[derive(Clone, Debug, Default)]
pub struct SessionInfo {
    /// Identifies the stream in `shutdown session`.
    pub id: u64,
    /// `tcpv4`, `tcpv6`, `unix_stream`.
    pub proto: String,
    pub source: String,
    pub frontend: String,
    pub backend: Option<String>,
    pub server: Option<String>,
    /// Thread that runs it.
    pub thread: u32,
    pub age_secs: u64,
    /// What it waits for.
    pub phase: &'static str,
}

/// A certificate that is renewed by ACME. Times are in seconds since 1970, 0 where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeRow {
    pub certificate: String,
    pub section: String,
    /// `Running`, `Scheduled` or `Stopped`.
    pub state: &'static str,
    pub expires: i64,
    /// When it is to be renewed.
    pub due: i64,
    pub now: i64,
}

/// What the worker tells and does for commands. All calls come from the control thread.
pub trait ProcessView {
    /// Time since the start of the worker.
    fn now(&self) -> Now;

    /// Wall clock.
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn facts(&self) -> ProcessFacts;

    /// What was logged while starting, as it was printed.
    fn startup_logs(&self) -> String;

    /// What has a guid.
    fn identified(&self) -> Vec<Identified> {
        Vec::new()
    }

    fn cli_sockets(&self) -> Vec<CliSocket>;

    /// The environment the worker sees.
    fn environment(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
            .collect()
    }

    /// The streams that live now.
    fn sessions(&self) -> Later<Vec<SessionInfo>>;

    /// Ends a stream; `false` when there is none of that id.
    fn shutdown_session(&self, id: u64) -> Later<bool>;

    /// A change made by a command, for the log.
    fn notice(&self, text: &str);

    /// The certificates that are renewed by ACME.
    fn acme(&self) -> Vec<AcmeRow> {
        Vec::new()
    }

    /// Renews a certificate now.
    ///
    /// # Errors
    /// Why not.
    fn renew_acme(&self, _certificate: &str) -> Result<(), &'static str> {
        Err("it has no 'acme'")
    }

    /// The record of a domain is set; how many are still waited for.
    ///
    /// # Errors
    /// Nobody waits for it.
    fn confirm_acme(&self, _certificate: &str, _domain: &str) -> Result<usize, &'static str> {
        Err("it has no 'acme'")
    }

    /// Lets tokens be verified with a certificate that is loaded.
    ///
    /// # Errors
    /// Why not.
    fn allow_tokens(&self, certificate: &str) -> Result<(), String> {
        Err(format!("Can't find the certificate '{certificate}'."))
    }

    /// Sends an HTTP request without a body: the response as it is on the wire, or why there is none.
    fn request(&self, _method: &'static str, _url: &str) -> Later<Result<String, String>> {
        Box::pin(std::future::ready(Err("nobody sends requests here".to_owned())))
    }

    /// Asks a responder for an OCSP response; `None` when the process is leaving.
    fn update_ocsp(&self, job: proxy_tls::live::Job) -> Later<Option<proxy_tls::live::Course>>;
}

/// How one listener is carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct L4Row {
    pub frontend: String,
    /// Address of the listener.
    pub listener: String,
    /// `l4-xdp`, `l4-tc`, `splice`, `userspace`.
    pub path: String,
    /// Why not a faster one; empty when there is none.
    pub reason: String,
}

/// The kernel data path as operators see it.
pub trait L4View {
    fn rows(&self) -> Vec<L4Row>;

    /// State of the data path as names and values: attached programs, map fill, counters.
    fn status(&self) -> Vec<(String, String)>;

    /// Tables of the kernel programs: name, entries used, entries there may be.
    fn tables(&self) -> Vec<(String, u64, u64)>;

    /// The flows in the kernel that the filter wants.
    fn flows(&self, filter: &L4Filter) -> Vec<L4Flow>;

    /// Packets by what became of them, apart from those that were translated: whose (a frontend, or `-` for
    /// all), the reason, how many.
    fn drops(&self) -> Vec<(String, String, u64)>;

    /// What the kernel carried, by frontend and server.
    fn carried(&self) -> Vec<crate::outside::Carried>;

    /// Clients that are turned away from their first packet on: the frontend, the address, the seconds left.
    fn denied(&self) -> Vec<(String, std::net::IpAddr, u64)>;

    /// Lets one of them or all in again; how many there were.
    fn forgive(&self, client: Option<std::net::IpAddr>) -> usize;
}

/// Which flows `show l4 flows` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct L4Filter {
    pub frontend: Option<String>,
    /// `<backend>/<server>`.
    pub server: Option<String>,
    /// The client's address.
    pub client: Option<std::net::IpAddr>,
    /// At most so many.
    pub max: usize,
}

/// A connection that the kernel carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L4Flow {
    pub frontend: String,
    /// `<backend>/<server>`.
    pub server: String,
    pub client: std::net::SocketAddr,
    /// The address the client connected to.
    pub vip: std::net::SocketAddr,
    /// What the server takes for the client.
    pub source: std::net::SocketAddr,
    pub server_addr: std::net::SocketAddr,
    pub state: &'static str,
    pub age_secs: u64,
    pub idle_secs: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}
