//! The `global` section (configuration manual, 3).

use proxy_rules::jwe::Allowed;
use proxy_state::status::StatusSet;
use std::time::Duration;

use proxy_types::{Span, Spanned};

use super::{
    AcceptFamily, AddressFamily, Bind, Cpus, L4Hook, L4Mode, L4Policy, LogTarget, TlsGlobal,
    UnixAccess,
};
use crate::lexer::Word;

/// Process-wide settings. Several `global` sections add up.
#[derive(Clone, Debug, Default)]
pub struct Global {
    /// `h1-case-adjust`: names in lower case and as they are to be sent.
    pub h1_case_adjust: Vec<(Spanned<String>, Spanned<String>)>,
    /// `h1-case-adjust-file`: names one pair a line, opened at start.
    pub h1_case_adjust_file: Option<Spanned<String>>,
    /// `jwt.decrypt_alg_list` and `jwt.decrypt_enc_list`.
    pub jwe: Allowed,
    /// `http-err-codes` and `http-fail-codes`.
    pub http_err_codes: Option<StatusSet>,
    pub http_fail_codes: Option<StatusSet>,
    pub h1_accept_payload_with_any_method: Option<Span>,
    pub h1_do_not_close_on_insecure_transfer_encoding: Option<Span>,
    pub h2_workaround_bogus_websocket_clients: Option<Span>,
    /// `set-var` and `set-var-fmt`, in order.
    pub set_vars: Vec<SetVar>,
    // 3.1, process management and security.
    pub chroot: Option<Spanned<String>>,
    pub daemon: Option<Span>,
    /// Where threads run.
    pub cpus: Cpus,
    /// Counters to begin with.
    pub stats_file: Option<Spanned<String>>,
    /// Hashes names in answers of the runtime API; 0 is none.
    pub anonkey: Option<Spanned<u32>>,
    pub close_spread_time: Option<Spanned<CloseSpread>>,
    /// `dns-accept-family`; `auto` by default.
    pub dns_accept_family: Option<Spanned<AcceptFamily>>,
    /// `httpclient.resolvers.disabled`.
    pub no_default_resolvers: Option<Spanned<bool>>,
    /// `httpclient.*`.
    pub http_client: HttpClient,
    pub default_path: Option<Spanned<DefaultPath>>,
    pub description: Option<Word>,
    pub expose_deprecated_directives: Option<Span>,
    pub expose_experimental_directives: Option<Span>,
    pub fd_hard_limit: Option<Spanned<u32>>,
    pub gid: Option<Spanned<u32>>,
    /// `harden.reject-privileged-ports.tcp`: off by default.
    pub reject_privileged_tcp: Option<Spanned<bool>>,
    /// `external-check`, and whether its programs keep the environment.
    pub external_check: Option<Spanned<bool>>,
    /// `insecure-fork-wanted`: the process may start others.
    pub insecure_fork_wanted: Option<Span>,
    /// `insecure-setuid-wanted`: programs that it starts may gain rights.
    pub insecure_setuid_wanted: Option<Span>,
    /// Group name; looked up at start.
    pub group: Option<Spanned<String>>,
    /// How long a soft stop may take.
    pub hard_stop_after: Option<Spanned<Duration>>,
    /// Delay between SIGUSR1 and the stop.
    pub grace: Option<Spanned<Duration>>,
    pub localpeer: Option<Spanned<String>>,
    pub logs: Vec<LogTarget>,
    /// `log-send-hostname [name]`: `Some(None)` asks for the host's own name.
    pub log_send_hostname: Option<Spanned<Option<String>>>,
    pub log_tag: Option<Spanned<String>>,
    pub master_worker: Option<Spanned<MasterWorker>>,
    /// 50 by default.
    pub mworker_max_reloads: Option<Spanned<u32>>,
    /// `server-state-base`: the directory of relative names of state files.
    pub server_state_base: Option<Spanned<String>>,
    /// `server-state-file`: states of servers, of all backends.
    pub server_state_file: Option<Spanned<String>>,
    /// Threads; the number of CPUs the process may use by default.
    pub nbthread: Option<Spanned<u32>>,
    pub node: Option<Spanned<String>>,
    pub pidfile: Option<Spanned<String>>,
    /// `pp2-never-send-local`.
    pub pp2_never_send_local: Option<Span>,
    /// `tune.renice.startup` and `tune.renice.runtime`, -20 to 19.
    pub renice_startup: Option<Spanned<i32>>,
    pub renice_runtime: Option<Spanned<i32>>,
    pub set_dumpable: Option<Spanned<bool>>,
    /// Linux capabilities kept when the user changes, as `caps` spells them.
    pub setcap: Vec<Spanned<String>>,
    pub stats: StatsGlobal,
    /// `strict-limits`: on by default.
    pub strict_limits: Option<Spanned<bool>>,
    pub uid: Option<Spanned<u32>>,
    /// RLIMIT_NOFILE; computed by default.
    pub ulimit_n: Option<Spanned<u32>>,
    /// User name; looked up at start.
    pub user: Option<Spanned<String>>,
    /// `unix-bind`: what `bind` lines with UNIX sockets do not say themselves.
    pub unix_bind: UnixAccess,
    /// `unix-bind prefix`: in front of the paths of `bind` lines.
    pub unix_bind_prefix: Option<Spanned<String>>,

    // 3.2, performance tuning.
    /// Connections of the process; computed from the descriptor limit by default.
    pub maxconn: Option<Spanned<u32>>,
    /// Connections per second.
    pub maxconnrate: Option<Spanned<u32>>,
    /// Sessions per second.
    pub maxsessrate: Option<Spanned<u32>>,
    /// Connections over TLS at once; 0 is no limit.
    pub maxsslconn: Option<Spanned<u32>>,
    /// Connections of clients over TLS per second.
    pub maxsslrate: Option<Spanned<u32>>,
    /// Pipes for splicing; a quarter of `maxconn` by default.
    pub maxpipes: Option<Spanned<u32>>,
    /// `noreuseport`.
    pub noreuseport: Option<Span>,
    /// `nosplice`.
    pub nosplice: Option<Span>,
    /// Longest time over which first checks are spread.
    pub max_spread_checks: Option<Spanned<Duration>>,
    /// Percentage of random change of check intervals, 0 to 50.
    pub spread_checks: Option<Spanned<u32>>,
    pub tune: Tune,
    pub tls: TlsGlobal,

    // 3.3, debugging.
    pub quiet: Option<Span>,
    pub zero_warning: Option<Span>,

    // Sluice's own.
    pub l4: Option<Spanned<L4Policy>>,
    pub l4_hook: Option<Spanned<L4Hook>>,
    /// Name that keeps the pinned maps of several balancers on one host apart.
    pub l4_instance: Option<Spanned<String>>,
    /// Interfaces to attach to; those that carry the addresses of eligible listeners by default.
    pub l4_interfaces: Vec<Spanned<String>>,
    pub l4_mode: Option<Spanned<L4Mode>>,
    /// `l4-cached-flows`: directions of connections that each CPU keeps at hand.
    pub l4_cached_flows: Option<Spanned<u32>>,
    /// `l4-max-clients`: clients whose rates are known, and as many that are turned away.
    pub l4_max_clients: Option<Spanned<u32>>,
    /// `l4-max-flows`: connections that the kernel carries at once.
    pub l4_max_flows: Option<Spanned<u32>>,
}

/// `close-spread-time`: over which time idle connections end at a soft stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseSpread {
    /// Connections end by their own timeouts only.
    Infinite,
    Within(Duration),
}

/// `master-worker [exit-on-failure|no-exit-on-failure]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MasterWorker {
    /// Whether the crash of a worker ends the master and all other workers. Not by default: the worker is started again.
    pub exit_on_failure: bool,
}

/// `stats ...` of the `global` section: the runtime API.
#[derive(Clone, Debug, Default)]
pub struct StatsGlobal {
    pub sockets: Vec<Bind>,
    /// 10 by default.
    pub maxconn: Option<Spanned<u32>>,
    /// 10 s by default.
    pub timeout: Option<Spanned<Duration>>,
    /// `calculate-max-counters`: true by default.
    pub max_counters: Option<Spanned<bool>>,
}

/// Where relative paths start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultPath {
    /// The directory of the configuration file.
    Config,
    /// The directory the process was started in. The default.
    Current,
    Origin(String),
    /// The parent of the directory of the configuration file.
    Parent,
}

/// `tune.h2.*` of one side, `fe` or `be`; what is not set comes from the common settings.
#[derive(Clone, Debug, Default)]
pub struct TuneH2Side {
    /// `glitches-threshold`; 0 is no limit.
    pub glitches: Option<Spanned<u32>>,
    /// `initial-window-size`, in bytes.
    pub initial_window_size: Option<Spanned<u32>>,
    /// `max-concurrent-streams`; 0 is no limit.
    pub max_concurrent_streams: Option<Spanned<u32>>,
    /// `fe.max-total-streams`; 0 is no limit.
    pub max_total_streams: Option<Spanned<u32>>,
    /// `rxbuf`, in bytes.
    pub rxbuf: Option<Spanned<u32>>,
}

/// `tune.h2.*`.
#[derive(Clone, Debug, Default)]
pub struct TuneH2 {
    pub front: TuneH2Side,
    pub back: TuneH2Side,
    /// `header-table-size`: 4096 bytes by default.
    pub header_table_size: Option<Spanned<u32>>,
    /// `initial-window-size` of both sides.
    pub initial_window_size: Option<Spanned<u32>>,
    /// `max-concurrent-streams` of both sides: 100 by default.
    pub max_concurrent_streams: Option<Spanned<u32>>,
    /// `log-errors`: whether connections that cannot be understood are logged, as by default.
    pub log_errors: Option<Spanned<bool>>,
    /// `max-frame-size`: 16,384 bytes by default.
    pub max_frame_size: Option<Spanned<u32>>,
}

/// The `tune.*` settings that mean something outside HAProxy.
/// `tune.vars.*-max-size`: most bytes that values of variables may have; without, as many as there are.
#[derive(Clone, Debug, Default)]
pub struct VarSizes {
    pub check: Option<Spanned<u32>>,
    pub global: Option<Spanned<u32>>,
    pub proc: Option<Spanned<u32>>,
    pub reqres: Option<Spanned<u32>>,
    pub sess: Option<Spanned<u32>>,
    pub txn: Option<Spanned<u32>>,
}

#[derive(Clone, Debug, Default)]
pub struct Tune {
    /// `tune.bufsize`: 16384 bytes by default.
    pub bufsize: Option<Spanned<u32>>,
    /// `tune.comp.maxlevel`: 0 to 9, 1 by default.
    pub compression_level: Option<Spanned<u32>>,
    /// `tune.h1.fe.glitches-threshold` and `tune.h1.be.glitches-threshold`; 0 is no limit.
    pub h1_glitches: [Option<Spanned<u32>>; 2],
    pub h2: TuneH2,
    /// `tune.cli.max-payload-size`: 128 kB by default.
    pub cli_payload: Option<Spanned<u32>>,
    /// `tune.http.cookielen`: 63 bytes by default.
    pub http_cookielen: Option<Spanned<u32>>,
    /// `tune.glitches.kill.cpu-usage`, in percent.
    pub glitches_kill_cpu: Option<Spanned<u32>>,
    /// `tune.idle-pool.shared` other than `off`.
    pub idle_pool_shared: Option<Spanned<bool>>,
    /// `tune.http.logurilen`: 1024 bytes by default.
    pub http_logurilen: Option<Spanned<u32>>,
    /// `tune.http.maxhdr`: 101 by default.
    pub http_maxhdr: Option<Spanned<u32>>,
    /// `tune.maxaccept`: connections taken in a row, -1 without limit.
    pub maxaccept: Option<Spanned<i32>>,
    /// `tune.maxrewrite`: 1024 bytes by default, at most half of `bufsize`.
    pub maxrewrite: Option<Spanned<u32>>,
    /// `maxcompcpuusage`, in percent of a thread's time; 100 by default, which is no limit.
    pub max_compression_cpu: Option<Spanned<u32>>,
    /// `maxcomprate`, in kilobytes per second; 0 by default, which is no limit.
    pub max_compression_rate: Option<Spanned<u32>>,
    /// `maxzlibmem`, in megabytes; 0 by default, which is no limit.
    pub max_zlib_memory: Option<Spanned<u32>>,
    /// `tune.notsent-lowat.client`: TCP_NOTSENT_LOWAT of client connections, in bytes.
    pub notsent_lowat_client: Option<Spanned<u32>>,
    /// `tune.notsent-lowat.server`.
    pub notsent_lowat_server: Option<Spanned<u32>>,
    /// `tune.peers.max-updates-at-once`: 200 by default.
    pub peers_max_updates: Option<Spanned<u32>>,
    /// `tune.defaults.purge`: commands cannot make backends from `defaults` sections, servers from `default-server`.
    pub purge_proxies: bool,
    pub purge_servers: bool,
    /// `tune.stick-counters`: 3 by default, 100 at most.
    pub stick_counters: Option<Spanned<u8>>,
    /// `tune.pipesize`, in bytes.
    pub pipesize: Option<Spanned<u32>>,
    /// `tune.rcvbuf.backend`: SO_RCVBUF of sockets that send log messages as datagrams.
    pub rcvbuf_backend: Option<Spanned<u32>>,
    /// `tune.sndbuf.backend`: their SO_SNDBUF.
    pub sndbuf_backend: Option<Spanned<u32>>,
    /// `tune.vars.*-max-size`, in bytes.
    pub vars: VarSizes,
    /// `tune.rcvbuf.client`, in bytes: SO_RCVBUF of client connections.
    pub rcvbuf_client: Option<Spanned<u32>>,
    /// `tune.rcvbuf.frontend`: SO_RCVBUF of `dgram-bind` sockets.
    pub rcvbuf_frontend: Option<Spanned<u32>>,
    /// `tune.sndbuf.frontend`: their SO_SNDBUF.
    pub sndbuf_frontend: Option<Spanned<u32>>,
    /// `tune.rcvbuf.server`.
    pub rcvbuf_server: Option<Spanned<u32>>,
    /// `tune.sndbuf.client`, in bytes: SO_SNDBUF of client connections.
    pub sndbuf_client: Option<Spanned<u32>>,
    /// `tune.sndbuf.server`.
    pub sndbuf_server: Option<Spanned<u32>>,
    /// `tune.zlib.memlevel`: 1 to 9, 8 by default.
    pub zlib_memory_level: Option<Spanned<u32>>,
    /// `tune.zlib.windowsize`: 8 to 15 bits, 15 by default.
    pub zlib_window: Option<Spanned<u32>>,
}

impl Tune {
    /// 3.2 "tune.bufsize".
    pub fn bufsize(&self) -> u32 {
        self.bufsize.map_or(16_384, |v| v.value)
    }

    /// 3.2 "tune.stick-counters".
    pub fn stick_counters(&self) -> u8 {
        self.stick_counters.map_or(proxy_rules::track::COUNTERS, |v| v.value)
    }

    /// 3.2 "tune.http.cookielen".
    pub fn http_cookielen(&self) -> u32 {
        self.http_cookielen.map_or(63, |v| v.value)
    }

    /// 3.2 "tune.maxrewrite": readjusted to half of the buffer.
    pub fn maxrewrite(&self) -> u32 {
        self.maxrewrite.map_or(1024, |v| v.value).min(self.bufsize() / 2)
    }

    /// 3.2 "tune.http.maxhdr".
    pub fn http_maxhdr(&self) -> u32 {
        self.http_maxhdr.map_or(101, |v| v.value)
    }
}

/// `set-var <name> <expr>` or `set-var-fmt <name> <fmt>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetVar {
    pub span: Span,
    /// `proc.<name>`.
    pub name: Spanned<String>,
    /// An expression, or a format.
    pub value: Word,
    pub is_format: bool,
}

/// `httpclient.*` (3.4): how what this program asks for itself is sent.
#[derive(Clone, Debug, Default)]
pub struct HttpClient {
    pub prefer: Option<Spanned<AddressFamily>>,
    /// 3 by default.
    pub retries: Option<Spanned<u32>>,
    /// `@system-ca` by default.
    pub ca_file: Option<Spanned<String>>,
    /// On by default.
    pub verify: Option<Spanned<bool>>,
    /// 5 s by default.
    pub connect: Option<Spanned<Duration>>,
}

impl HttpClient {
    /// How often a request that failed is sent again.
    pub fn retries(&self) -> u32 {
        self.retries.map_or(3, |retries| retries.value)
    }
}
