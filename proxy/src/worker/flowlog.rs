//! Log lines of flows that the kernel carried: the same format and targets as everywhere.

use std::sync::Arc;

use proxy_datapath::{EndReason, EndedFlow};
use proxy_state::Now;
use proxy_stream::env::{Env, Front};
use proxy_stream::log::{FlowLines, FlowRecord};

/// Writes lines for ended flows.
pub(crate) struct FlowLog {
    env: Arc<Env>,
    fronts: Vec<Arc<Front>>,
    lines: FlowLines,
}

impl FlowLog {
    pub(crate) fn new(env: Arc<Env>, fronts: Vec<Arc<Front>>) -> Self {
        Self { env, fronts, lines: FlowLines::default() }
    }

    /// Writes the line of one flow, when its frontend logs.
    pub(crate) fn write(&self, flow: &EndedFlow, now: Now) {
        let Some(front) = self.fronts.iter().find(|front| *front.frontend.name == *flow.service)
        else {
            return;
        };
        let backend = front.default_backend.as_ref().map(|back| &back.backend);
        let record = FlowRecord {
            client: flow.client,
            listener: flow.vip,
            source: Some(flow.source),
            server: backend.and_then(|backend| backend.server(&flow.server)),
            server_addr: Some(flow.server_addr),
            start: flow.start,
            duration: flow.duration,
            connect: flow.established.then_some(flow.connect),
            bytes_in: flow.bytes_in,
            bytes_out: flow.bytes_out,
            ended: termination(flow),
        };
        self.lines.write(&self.env, front, &record, now);
    }
}

/// The letters that a proxy would have logged (configuration manual, 8.5).
fn termination(flow: &EndedFlow) -> [u8; 2] {
    match (flow.reason, flow.established) {
        // Silence is how a flow of datagrams ends.
        (EndReason::Idle, _) if flow.protocol == proxy_datapath::Protocol::Udp => *b"--",
        (EndReason::ClientFin | EndReason::ServerFin | EndReason::Answered, _) => *b"--",
        (EndReason::ClientReset | EndReason::Replaced, true) => *b"CD",
        (EndReason::ClientReset | EndReason::Replaced, false) => *b"CC",
        (EndReason::ServerReset, true) => *b"SD",
        (EndReason::ServerReset, false) => *b"SC",
        (EndReason::Idle, _) => *b"cD",
        (EndReason::Embryonic, _) => *b"sC",
        (EndReason::Killed, _) => *b"KD",
    }
}
