//! What each kind of object counts. Names follow the statistics columns (management manual, 9.1) where one exists.

use super::counters;

counters! {
    /// Counters of a frontend.
    pub struct FrontendCounters {
        /// Connections accepted (`conn_tot`).
        conn_tot,
        /// Sessions accepted after the connection rules (`stot`).
        sess_tot,
        /// Bytes received from clients (`bin`, `reqbin`).
        bytes_in,
        /// Bytes sent to clients (`bout`, `resbout`).
        bytes_out,
        /// Request bytes passed on (`reqbout`).
        req_bytes_out,
        /// Response bytes taken in (`resbin`).
        res_bytes_in,
        /// Requests denied by rules (`dreq`).
        denied_req,
        /// Responses denied by rules (`dresp`).
        denied_resp,
        /// Connections denied by `tcp-request connection` (`dcon`).
        denied_conn,
        /// Sessions denied by `tcp-request session` (`dses`).
        denied_sess,
        /// Requests that failed on the client's side (`ereq`).
        err_req,
        /// Requests answered here: monitor, statistics, redirects by service (`intercepted`).
        intercepted,
        /// Header rewrites that failed (`wrew`).
        failed_rewrites,
        /// Internal errors (`eint`).
        internal_errors,
        /// HTTP requests (`req_tot`): the sum of the versions.
        req_tot,
        /// HTTP/1 requests (`h1req`).
        h1_req,
        h2_req,
        /// HTTP/1 sessions (`h1sess`).
        h1_sess,
        h2_sess,
        /// Responses by class; `hrsp_other` is for codes outside 100-599 (`hrsp_1xx` ...).
        hrsp_1xx, hrsp_2xx, hrsp_3xx, hrsp_4xx, hrsp_5xx, hrsp_other,
        /// Transfers aborted by the client.
        cli_aborts,
        /// Transfers aborted by the server.
        srv_aborts,
        /// Bytes of responses given to the compressor, that came out of it, and that passed it by at its limits
        /// (`comp_in`, `comp_out`, `comp_byp`).
        comp_in, comp_out, comp_byp,
        /// Responses that were compressed (`comp_rsp`).
        comp_rsp,
        /// Look-ups in caches, responses from there, and early hints from there.
        cache_lookups, cache_hits, cache_hint_hits,
        /// Bytes of bodies that the kernel carried, from the client and to it (`h1_spliced_bytes_in`, `_out`).
        spliced_in, spliced_out,
    }
}

counters! {
    /// What a frontend or a backend counts of the protocols of its connections (columns `h1_*`, `h2_*`).
    pub struct MuxCounters {
        /// Connections of HTTP/1, and those of them that ended.
        h1_conn, h1_conn_end,
        /// Requests on them.
        h1_stream, h1_stream_end,
        /// Bytes received and sent on them.
        h1_in, h1_out,
        /// Connections of HTTP/2, and those of them that ended.
        h2_conn, h2_conn_end,
        h2_stream, h2_stream_end,
        /// Frames received.
        h2_headers, h2_data, h2_settings, h2_rst, h2_goaway,
        /// Faults of the peer that ended connections, and streams.
        h2_conn_errors, h2_stream_errors,
        /// Frames sent.
        h2_rst_sent, h2_goaway_sent,
    }
}

counters! {
    /// Counters of a listener, shown with `option socket-stats`.
    pub struct ListenerCounters {
        /// Connections accepted.
        conn_tot,
        /// Sessions accepted (`stot`).
        sess_tot,
        /// Bytes received from clients (`bin`).
        bytes_in,
        /// Bytes sent to clients (`bout`).
        bytes_out,
        /// Request bytes passed on (`reqbout`).
        req_bytes_out,
        /// Response bytes taken in (`resbin`).
        res_bytes_in,
        denied_req, denied_resp, denied_conn, denied_sess, err_req, failed_rewrites, internal_errors,
    }
}

counters! {
    /// Counters of a backend.
    pub struct BackendCounters {
        /// Sessions that reached the backend (`stot`).
        sess_tot,
        /// Bytes from clients (`bin`, `reqbin`).
        bytes_in,
        /// Bytes to clients (`bout`, `resbout`).
        bytes_out,
        /// Request bytes sent to servers (`reqbout`).
        req_bytes_out,
        /// Response bytes received from servers (`resbin`).
        res_bytes_in,
        denied_req, denied_resp,
        /// Connection attempts that failed for good (`econ`).
        err_conn,
        /// Response errors (`eresp`).
        err_resp,
        /// Connection attempts repeated (`wretr`).
        retries,
        /// Requests moved to another server (`wredis`).
        redispatches,
        /// Changes of the whole backend from up to down (`chkdown`).
        down_transitions,
        /// Servers picked by the algorithm (`lbtot`).
        lb_tot,
        hrsp_1xx, hrsp_2xx, hrsp_3xx, hrsp_4xx, hrsp_5xx, hrsp_other,
        /// HTTP requests (`req_tot`).
        req_tot,
        cli_aborts, srv_aborts, intercepted, failed_rewrites, internal_errors,
        /// Connections opened to servers (`connect`).
        connect,
        /// Idle connections used again (`reuse`).
        reuse,
        /// As a frontend's.
        comp_in, comp_out, comp_byp, comp_rsp, cache_lookups, cache_hits, cache_hint_hits,
        /// As a frontend's, from servers and to them.
        spliced_in, spliced_out,
    }
}

counters! {
    /// Counters of a server.
    pub struct ServerCounters {
        /// Sessions given to the server (`stot`).
        sess_tot,
        bytes_in, bytes_out, req_bytes_out, res_bytes_in,
        denied_resp,
        /// Connection attempts that failed for good (`econ`).
        err_conn,
        /// Response errors (`eresp`).
        err_resp,
        retries,
        /// Requests moved away from this server (`wredis`).
        redispatches,
        /// Health checks that failed while the server was up (`chkfail`).
        failed_checks,
        /// Changes from up to down (`chkdown`).
        down_transitions,
        /// Errors seen in traffic by `observe` (`hanafail`).
        failed_hana,
        /// Times the algorithm picked it (`lbtot`).
        lb_tot,
        hrsp_1xx, hrsp_2xx, hrsp_3xx, hrsp_4xx, hrsp_5xx, hrsp_other,
        /// HTTP requests.
        req_tot,
        cli_aborts, srv_aborts, failed_rewrites, internal_errors,
        connect, reuse,
    }
}

counters! {
    /// Counters of the worker as a whole (`show info`).
    pub struct ProcessCounters {
        /// Connections accepted on any listener, the command sockets included (`CumConns`).
        conn_tot,
        /// Requests: HTTP requests, sessions of other modes and commands (`CumReq`).
        req_tot,
        /// Bytes sent to peers on both sides (`TotalBytesOut`).
        bytes_out,
        /// Bytes of those that went through splice(2) (`TotalSplicedBytesOut`).
        spliced_bytes_out,
        /// TLS connections on both sides (`CumSslConns`).
        tls_tot,
        /// Log lines that could not be sent (`DroppedLogs`).
        dropped_logs,
        /// Log messages received by `log-forward` sections (`CumRecvLogs`).
        received_logs,
    }
}

macro_rules! count_status {
    ($($set:ident)*) => {$(
        impl $set {
            /// Counts a response by the class of its status.
            pub fn count_status(&self, status: u16) {
                match status / 100 {
                    1 => self.hrsp_1xx.inc(),
                    2 => self.hrsp_2xx.inc(),
                    3 => self.hrsp_3xx.inc(),
                    4 => self.hrsp_4xx.inc(),
                    5 => self.hrsp_5xx.inc(),
                    _ => self.hrsp_other.inc(),
                }
            }
        }
    )*};
}
count_status!(FrontendCounters BackendCounters ServerCounters);
