//! `show l4`: which path carries each frontend, the state of the kernel data path, its flows and what it
//! did not carry.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use crate::context::L4Filter;
use std::fmt::Write;

const ABSENT: &str = "The kernel data path is not available in this process.";

fn show_l4(call: &mut Call<'_>) -> Answer {
    let Some(view) = &call.admin.l4 else {
        return Err(Reply::line(ABSENT));
    };
    let rows = view.rows();
    let titles = ["# frontend", "listener", "path", "reason"].map(str::to_owned);
    let table: Vec<[String; 4]> = std::iter::once(titles)
        .chain(rows.into_iter().map(|r| {
            let reason = if r.reason.is_empty() { "-".into() } else { r.reason };
            [r.frontend, r.listener, r.path, reason]
        }))
        .collect();
    let width =
        |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [frontend, listener, path, reason] in &table {
        let _ = writeln!(text, "{frontend:a$} {listener:b$} {path:c$} {reason}");
    }
    for (name, value) in view.status() {
        let _ = writeln!(text, "{name}: {value}");
    }
    Ok(Reply::Text(text))
}

/// Flows shown when nothing is said.
const FLOWS: usize = 1000;

const FLOWS_HELP: &str = "Usage: show l4 flows [<options>*]
   client <ip>   only flows of this client
   frontend <f>  only flows of this frontend
   max <n>       at most so many (default: 1000)
   server <b/s>  only flows to this server
";

fn filter(args: &[String]) -> Result<L4Filter, Reply> {
    let mut filter = L4Filter { max: FLOWS, ..L4Filter::default() };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| Reply::Text(FLOWS_HELP.into()))?;
        match word.as_str() {
            "frontend" => filter.frontend = Some(value.clone()),
            "server" => filter.server = Some(value.clone()),
            "client" => {
                let ip = value.parse().map_err(|_| Reply::line("Invalid address."))?;
                filter.client = Some(ip);
            }
            "max" => filter.max = value.parse().map_err(|_| Reply::line("Invalid number."))?,
            _ => return Err(Reply::Text(FLOWS_HELP.into())),
        }
    }
    Ok(filter)
}

fn show_flows(call: &mut Call<'_>) -> Answer {
    let filter = filter(call.args)?;
    let Some(view) = &call.admin.l4 else { return Err(Reply::line(ABSENT)) };
    let mut text = String::new();
    for flow in view.flows(&filter) {
        let _ = writeln!(
            text,
            "{} -> {} fe={} src={} srv={} dst={} state={} age={}s idle={}s in={} out={}",
            flow.client,
            flow.vip,
            flow.frontend,
            flow.source,
            flow.server,
            flow.server_addr,
            flow.state,
            flow.age_secs,
            flow.idle_secs,
            flow.bytes_in,
            flow.bytes_out,
        );
    }
    Ok(Reply::Text(text))
}

fn show_drops(call: &mut Call<'_>) -> Answer {
    let Some(view) = &call.admin.l4 else { return Err(Reply::line(ABSENT)) };
    let mut text = String::from("# frontend reason packets\n");
    for (frontend, reason, packets) in view.drops() {
        let _ = writeln!(text, "{frontend} {reason} {packets}");
    }
    Ok(Reply::Text(text))
}

fn show_denied(call: &mut Call<'_>) -> Answer {
    let Some(view) = &call.admin.l4 else { return Err(Reply::line(ABSENT)) };
    let mut text = String::from("# frontend client seconds\n");
    for (frontend, client, left) in view.denied() {
        let _ = writeln!(text, "{frontend} {client} {left}");
    }
    Ok(Reply::Text(text))
}

fn clear_denied(call: &mut Call<'_>) -> Answer {
    let Some(view) = &call.admin.l4 else { return Err(Reply::line(ABSENT)) };
    let client = match call.args {
        [] => return Err(Reply::line("A client's address or 'all' is expected.")),
        [all] if all == "all" => None,
        [client, ..] => Some(client.parse().map_err(|_| Reply::line("Invalid address."))?),
    };
    let forgiven = view.forgive(client);
    if forgiven == 0 && client.is_some() {
        return Err(Reply::line("This client is not turned away."));
    }
    Ok(Reply::line(format!("{forgiven} let in again.")))
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["clear", "l4", "denied"],
        usage: "{<ip>|all}",
        doc: "let in clients that the kernel turns away (l4-deny)",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: clear_denied,
    },
    Command {
        words: &["show", "l4", "denied"],
        usage: "",
        doc: "show the clients that the kernel turns away (l4-deny)",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: show_denied,
    },
    Command {
        words: &["show", "l4"],
        usage: "",
        doc: "show the path of each frontend and the state of the kernel data path",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: show_l4,
    },
    Command {
        words: &["show", "l4", "drops"],
        usage: "",
        doc: "show how many packets the kernel path did not translate, by reason",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: show_drops,
    },
    Command {
        words: &["show", "l4", "flows"],
        usage: "[<options>*]",
        doc: "show the connections that the kernel carries",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: show_flows,
    },
];
