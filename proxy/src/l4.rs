//! `sluice l4 decap`, and `sluice l4 status|flows|drops`: what is pinned in the kernel, read beside the process that serves or after one that
//! is gone. The same as `show l4` on the stats socket, as far as the pins tell.

mod pcap;
mod trace;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use proxy_datapath::{Counters, Flow, FlowStatus, Protocol, Status, Traffic, View};
use serde_json::{Value, json};

use crate::args::{L4Decap, L4Flows, L4Show, L4What};
use crate::messages;

/// Flows shown when nothing is said, as on the stats socket.
const FLOWS: usize = 1000;

pub(crate) fn show(show: &L4Show) -> ExitCode {
    let outcome = match &show.what {
        L4What::Trace(wanted) => View::open(show.instance.as_deref(), None)
            .map_err(Into::into)
            .and_then(|view| trace::run(&view, wanted, show.json))
            .map(|()| String::new()),
        _ => text(show),
    };
    match outcome {
        Ok(text) => {
            // Whoever reads may have seen enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            messages::alert(format_args!("layer 4 in the kernel: {error}"));
            ExitCode::from(1)
        }
    }
}

/// `sluice l4 decap`.
pub(crate) fn decap(wanted: &L4Decap) -> ExitCode {
    let done = if wanted.balancers.is_empty() {
        proxy_datapath::decap::detach(&wanted.interface, None)
    } else {
        proxy_datapath::decap::attach(&wanted.interface, &wanted.balancers, None)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            messages::alert(format_args!("layer 4 in the kernel: {error}"));
            ExitCode::from(1)
        }
    }
}

fn text(show: &L4Show) -> anyhow::Result<String> {
    let view = View::open(show.instance.as_deref(), None)?;
    let (value, text) = match &show.what {
        L4What::Status => {
            let (status, counters) = (view.status()?, view.counters()?);
            (status_json(&status, &counters), status_text(&status, &counters))
        }
        L4What::Drops => {
            let rows = drops(&view.counters()?);
            (drops_json(&rows), drops_text(&rows))
        }
        L4What::Trace(_) => return Ok(String::new()),
        L4What::Flows(wanted) => {
            let flows = view.flows().filter(|flow| match flow {
                Ok(flow) => is_wanted(flow, wanted),
                Err(_) => true,
            });
            let flows: Vec<_> =
                flows.take(wanted.max.unwrap_or(FLOWS)).collect::<Result<_, _>>()?;
            (Value::Array(flows.iter().map(flow_json).collect()), flows_text(&flows))
        }
    };
    Ok(if show.json { format!("{value:#}\n") } else { text })
}

fn is_wanted(flow: &Flow, wanted: &L4Flows) -> bool {
    wanted.client.is_none_or(|ip| ip == flow.client.ip())
        && wanted.frontend.as_ref().is_none_or(|name| **name == *flow.service)
        && wanted.server.as_ref().is_none_or(|name| **name == *flow.server)
}

/// A connection's state as `show l4 flows` names it.
pub(crate) fn state(flow: &Flow) -> &'static str {
    match flow.status {
        FlowStatus::Closed => "closed",
        FlowStatus::SynSent if flow.protocol == Protocol::Udp => "unanswered",
        _ if flow.protocol == Protocol::Udp => "lasting",
        FlowStatus::SynSent => "syn-sent",
        FlowStatus::SynReceived => "syn-received",
        FlowStatus::Established => "established",
        FlowStatus::HalfClosed => "half-closed",
    }
}

/// Whose packets (a frontend, or `-` for all), what became of them, how many.
pub(crate) fn drops(counters: &Counters) -> Vec<(String, String, u64)> {
    let all = counters.reasons.iter().map(|(name, packets)| ("-".into(), (*name).into(), *packets));
    let of_services = counters.services.iter().flat_map(|service| {
        let rules = service
            .rules
            .iter()
            .map(|(rule, packets)| (service.frontend.clone(), rule.replace(' ', "_"), *packets));
        [
            ("denied", service.traffic.denied),
            ("full", service.traffic.passed_full),
            ("no_server", service.traffic.passed_no_server),
            ("no_room", service.traffic.passed_no_room),
            ("failed", service.traffic.flows_failed),
        ]
        .map(|(reason, packets)| (service.frontend.clone(), reason.to_owned(), packets))
        .into_iter()
        .chain(rules)
    });
    all.chain(of_services).collect()
}

fn drops_text(rows: &[(String, String, u64)]) -> String {
    let mut text = String::from("# frontend reason packets\n");
    for (frontend, reason, packets) in rows {
        let _ = writeln!(text, "{frontend} {reason} {packets}");
    }
    text
}

fn drops_json(rows: &[(String, String, u64)]) -> Value {
    let row = |(frontend, reason, packets): &(String, String, u64)| json!({ "frontend": frontend, "reason": reason, "packets": packets });
    rows.iter().map(row).collect()
}

fn flows_text(flows: &[Flow]) -> String {
    let mut text = String::new();
    for flow in flows {
        let _ = writeln!(
            text,
            "{} -> {} fe={} src={} srv={} dst={} state={} age={}s idle={}s in={} out={}",
            flow.client,
            flow.vip,
            flow.service,
            flow.source,
            flow.server,
            flow.server_addr,
            state(flow),
            flow.age.as_secs(),
            flow.idle.as_secs(),
            flow.bytes_in,
            flow.bytes_out,
        );
    }
    text
}

fn flow_json(flow: &Flow) -> Value {
    json!({
        "client": flow.client.to_string(),
        "listener": flow.vip.to_string(),
        "frontend": &*flow.service,
        "source": flow.source.to_string(),
        "server": &*flow.server,
        "server_address": flow.server_addr.to_string(),
        "protocol": flow.protocol.name(),
        "state": state(flow),
        "age_seconds": flow.age.as_secs_f64(),
        "idle_seconds": flow.idle.as_secs_f64(),
        "packets_in": flow.packets_in,
        "bytes_in": flow.bytes_in,
        "packets_out": flow.packets_out,
        "bytes_out": flow.bytes_out,
    })
}

fn traffic_json(name: &str, current: u32, peak: u32, traffic: &Traffic) -> Value {
    json!({
        "name": name,
        "current": current,
        "peak": peak,
        "flows": traffic.flows_new,
        "established": traffic.flows_established,
        "failed": traffic.flows_failed,
        "packets_in": traffic.packets_in,
        "bytes_in": traffic.bytes_in,
        "packets_out": traffic.packets_out,
        "bytes_out": traffic.bytes_out,
    })
}

fn status_json(status: &Status, counters: &Counters) -> Value {
    let interface = |interface: &proxy_datapath::InterfaceStatus| {
        let programs: serde_json::Map<_, _> = interface
            .programs
            .iter()
            .map(|(hook, id)| ((*hook).to_owned(), Value::from(*id)))
            .collect();
        json!({
            "index": interface.report.ifindex,
            "name": interface.report.name,
            "hook": interface.report.hook.name(),
            "programs": programs,
        })
    };
    let service = |service: &proxy_datapath::ServiceCounters| {
        let mut value =
            traffic_json(&service.name, service.current, service.peak, &service.traffic);
        let servers = service
            .servers
            .iter()
            .map(|server| traffic_json(&server.name, server.current, server.peak, &server.traffic));
        value["servers"] = servers.collect();
        value
    };
    let table = |table: &proxy_datapath::TableStatus| json!({ "name": table.name, "used": table.used, "size": table.size, "bytes": table.bytes });
    json!({
        "instance": status.path.display().to_string(),
        "version": status.version,
        "pending": status.pending,
        "memory_bytes": status.memory,
        "nat_ports": status.nat_ports.map(|(first, last)| [first, last]),
        "interfaces": status.interfaces.iter().map(interface).collect::<Vec<_>>(),
        "tables": status.tables.iter().map(table).collect::<Vec<_>>(),
        "frontends": counters.services.iter().map(service).collect::<Vec<_>>(),
    })
}

fn status_text(status: &Status, counters: &Counters) -> String {
    let mut text = status.to_string();
    let mut rows = vec![
        [
            "frontend",
            "server",
            "current",
            "peak",
            "flows",
            "failed",
            "packets in",
            "bytes in",
            "packets out",
            "bytes out",
        ]
        .map(str::to_owned),
    ];
    let row = |frontend: &str, server: &str, current: u32, peak: u32, t: &Traffic| {
        [
            frontend.to_owned(),
            server.to_owned(),
            current.to_string(),
            peak.to_string(),
            t.flows_new.to_string(),
            t.flows_failed.to_string(),
            t.packets_in.to_string(),
            t.bytes_in.to_string(),
            t.packets_out.to_string(),
            t.bytes_out.to_string(),
        ]
    };
    for service in &counters.services {
        let name = &service.name;
        rows.push(row(name, "-", service.current, service.peak, &service.traffic));
        for server in &service.servers {
            rows.push(row(name, &server.name, server.current, server.peak, &server.traffic));
        }
    }
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Names to the left, numbers to the right.
            let _ = if at < 2 {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
