//! The metrics of proxies and servers, each a column of the statistics under HAProxy's name.

/// How a value of a column becomes samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A sample per state a server's check may be in; 1 for the one it is in.
    CheckState,
    /// How many servers of a backend are in each check state.
    CheckStates,
    /// With this label `code`.
    Code(&'static str),
    Number,
    /// Milliseconds, shown as seconds.
    Millis,
    /// How many servers of a backend are in each state.
    ServerStates,
    /// A sample per state; 1 for the one the object is in.
    State,
}

/// A row of [`METRICS`].
pub(super) struct Metric {
    /// Letters of the objects that have it: Frontend, Listener, Backend, Server.
    pub(super) objects: &'static str,
    /// Without `haproxy_` and the kind of object.
    pub(super) name: &'static str,
    /// Of [`crate::stats::columns::COLUMNS`].
    pub(super) column: &'static str,
    pub(super) form: Form,
}

macro_rules! metrics {
    ($($objects:ident $name:ident = $column:ident $($form:expr)?;)*) => {
        /// Every metric, in the order of the columns.
        pub(super) static METRICS: &[Metric] = &[$(Metric {
            objects: stringify!($objects),
            name: stringify!($name),
            column: stringify!($column),
            form: metrics!(@ $($form)?),
        },)*];
    };
    (@) => { Form::Number };
    (@ $form:expr) => { $form };
}

metrics! {
    BS current_queue = qcur;
    BS max_queue = qmax;
    FLBS current_sessions = scur;
    FLBS max_sessions = smax;
    FLBS limit_sessions = slim;
    FLBS sessions_total = stot;
    FLBS bytes_in_total = bin;
    FLBS bytes_out_total = bout;
    FLB requests_denied_total = dreq;
    FLBS responses_denied_total = dresp;
    FL request_errors_total = ereq;
    BS connection_errors_total = econ;
    BS response_errors_total = eresp;
    BS retry_warnings_total = wretr;
    BS redispatch_warnings_total = wredis;
    FLBS status = status Form::State;
    BS weight = weight;
    B active_servers = act;
    B backup_servers = bck;
    S check_failures_total = chkfail;
    BS check_up_down_total = chkdown;
    BS check_last_change_seconds = lastchg;
    BS downtime_seconds_total = downtime;
    S queue_limit = qlimit;
    S current_throttle = throttle;
    BS loadbalanced_total = lbtot;
    F limit_session_rate = rate_lim;
    FBS max_session_rate = rate_max;
    S check_status = check_status Form::CheckState;
    S check_code = check_code;
    S check_duration_seconds = check_duration Form::Millis;
    FBS http_responses_total = hrsp_1xx Form::Code("1xx");
    FBS http_responses_total = hrsp_2xx Form::Code("2xx");
    FBS http_responses_total = hrsp_3xx Form::Code("3xx");
    FBS http_responses_total = hrsp_4xx Form::Code("4xx");
    FBS http_responses_total = hrsp_5xx Form::Code("5xx");
    FBS http_responses_total = hrsp_other Form::Code("other");
    F http_requests_rate_max = req_rate_max;
    FB http_requests_total = req_tot;
    BS client_aborts_total = cli_abrt;
    BS server_aborts_total = srv_abrt;
    FB http_comp_bytes_in_total = comp_in;
    FB http_comp_bytes_out_total = comp_out;
    FB http_comp_bytes_bypassed_total = comp_byp;
    FB http_comp_responses_total = comp_rsp;
    BS last_session_seconds = lastsess;
    BS queue_time_average_seconds = qtime Form::Millis;
    BS connect_time_average_seconds = ctime Form::Millis;
    BS response_time_average_seconds = rtime Form::Millis;
    BS total_time_average_seconds = ttime Form::Millis;
    F connections_rate_max = conn_rate_max;
    F connections_total = conn_tot;
    F intercepted_requests_total = intercepted;
    FL denied_connections_total = dcon;
    FL denied_sessions_total = dses;
    FLBS failed_header_rewriting_total = wrew;
    BS connection_attempts_total = connect;
    BS connection_reuses_total = reuse;
    FB http_cache_lookups_total = cache_lookups;
    FB http_cache_hits_total = cache_hits;
    S idle_connections_current = srv_icur;
    S idle_connections_limit = src_ilim;
    BS max_queue_time_seconds = qtime_max Form::Millis;
    BS max_connect_time_seconds = ctime_max Form::Millis;
    BS max_response_time_seconds = rtime_max Form::Millis;
    BS max_total_time_seconds = ttime_max Form::Millis;
    FLBS internal_errors_total = eint;
    S unsafe_idle_connections_current = idle_conn_cur;
    S safe_idle_connections_current = safe_conn_cur;
    S used_connections_current = used_conn_cur;
    S need_connections_current = need_conn_est;
    BS uweight = uweight;
    B agg_server_status = agg_server_status Form::ServerStates;
    B agg_server_check_status = agg_server_check_status Form::ServerStates;
    B agg_check_status = agg_check_status Form::CheckStates;
}

/// Fields of `show info`, and their metrics without `haproxy_process_`.
pub(super) static PROCESS: &[(&str, &str)] = &[
    ("Nbthread", "nbthread"),
    ("Nbproc", "nbproc"),
    ("Process_num", "relative_process_id"),
    ("Uptime_sec", "uptime_seconds"),
    ("PoolFailed", "pool_failures_total"),
    ("Ulimit-n", "max_fds"),
    ("Maxsock", "max_sockets"),
    ("Maxconn", "max_connections"),
    ("Hard_maxconn", "hard_max_connections"),
    ("CurrConns", "current_connections"),
    ("CumConns", "connections_total"),
    ("CumReq", "requests_total"),
    ("MaxSslConns", "max_ssl_connections"),
    ("CurrSslConns", "current_ssl_connections"),
    ("CumSslConns", "ssl_connections_total"),
    ("Maxpipes", "max_pipes"),
    ("PipesUsed", "pipes_used_total"),
    ("PipesFree", "pipes_free_total"),
    ("ConnRate", "current_connection_rate"),
    ("ConnRateLimit", "limit_connection_rate"),
    ("MaxConnRate", "max_connection_rate"),
    ("SessRate", "current_session_rate"),
    ("SessRateLimit", "limit_session_rate"),
    ("MaxSessRate", "max_session_rate"),
    ("SslRate", "current_ssl_rate"),
    ("SslRateLimit", "limit_ssl_rate"),
    ("MaxSslRate", "max_ssl_rate"),
    ("SslFrontendKeyRate", "current_frontend_ssl_key_rate"),
    ("SslFrontendMaxKeyRate", "max_frontend_ssl_key_rate"),
    ("SslFrontendSessionReuse_pct", "frontend_ssl_reuse"),
    ("SslBackendKeyRate", "current_backend_ssl_key_rate"),
    ("SslBackendMaxKeyRate", "max_backend_ssl_key_rate"),
    ("SslCacheLookups", "ssl_cache_lookups_total"),
    ("SslCacheMisses", "ssl_cache_misses_total"),
    ("CompressBpsIn", "http_comp_bytes_in_total"),
    ("CompressBpsOut", "http_comp_bytes_out_total"),
    ("CompressBpsRateLim", "limit_http_comp"),
    ("Tasks", "current_tasks"),
    ("Run_queue", "current_run_queue"),
    ("Idle_pct", "idle_time_percent"),
    ("Stopping", "stopping"),
    ("Jobs", "jobs"),
    ("Unstoppable Jobs", "unstoppable_jobs"),
    ("Listeners", "listeners"),
    ("ActivePeers", "active_peers"),
    ("ConnectedPeers", "connected_peers"),
    ("DroppedLogs", "dropped_logs_total"),
    ("BusyPolling", "busy_polling_enabled"),
    ("FailedResolutions", "failed_resolutions"),
    ("TotalBytesOut", "bytes_out_total"),
    ("TotalSplicedBytesOut", "spliced_bytes_out_total"),
    ("BytesOutRate", "bytes_out_rate"),
    ("CumRecvLogs", "recv_logs_total"),
    ("Build info", "build_info"),
    ("Memmax_bytes", "max_memory_bytes"),
    ("PoolAlloc_bytes", "pool_allocated_bytes"),
    ("PoolUsed_bytes", "pool_used_bytes"),
    ("Start_time_sec", "start_time_seconds"),
];
