//! `show peers` (management manual, 9.3).

use std::fmt::Write as _;
use std::sync::Arc;

use proxy_state::Now;
use proxy_stream::peers::dictionary;
use proxy_stream::peers::lesson::Lesson;
use proxy_stream::peers::section::{Peer, Section};

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};

/// How long until then, as HAProxy writes it.
fn until(at: Option<Now>, now: Now) -> String {
    match at {
        None => "<NEVER>".to_owned(),
        Some(at) if at <= now => "<PAST>".to_owned(),
        Some(at) => format!("{}s", at.ms_since(now).div_ceil(1000)),
    }
}

fn since(at: Option<Now>, now: Now) -> String {
    at.map_or_else(|| "<NEVER>".to_owned(), |at| format!("{}s", now.secs_since(at)))
}

/// Identifies something as long as it lives, as HAProxy's pointers do.
fn pointer<T>(of: &T) -> String {
    format!("0x{:x}", std::ptr::from_ref(of).addr())
}

fn section(section: &Arc<Section>, with_texts: bool, now: Now) -> String {
    let lesson = section.lesson();
    let learning = match lesson {
        Lesson::Local { .. } => "local",
        Lesson::Remote { .. } => "remote",
        Lesson::Done => "done",
    };
    let timeout = if lesson.is_done() { Some(Now(0)) } else { lesson.deadline() };
    let mut out = format!(
        "{}: id={} disabled=0 resync={learning} resync_timeout={}\n",
        pointer(&**section),
        section.name,
        until(timeout, now)
    );
    for one in &section.peers {
        peer(&mut out, section, one, with_texts, now);
    }
    out
}

fn peer(out: &mut String, section: &Section, peer: &Peer, with_texts: bool, now: Now) {
    let state = peer.state().clone();
    let place = if peer.is_local { "local" } else { "remote" };
    let active = if state.active { "active" } else { "inactive" };
    let address = peer.address.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let _ = writeln!(
        out,
        "  {}: id={}({place},{active}) addr={address} last_status={} last_hdshk={}",
        pointer(peer),
        peer.name,
        state.link.name(),
        since(state.last_handshake, now)
    );
    let _ = writeln!(
        out,
        "        reconnect={} heartbeat={} confirm={} tx_hbt={} rx_hbt={} no_hbt={} new_conn={} proto_err={} coll={} tx_updt={} rx_updt={}",
        until(state.reconnect_at, now),
        until(state.heartbeat_at, now),
        state.confirm,
        state.heartbeats_sent,
        state.heartbeats_received,
        state.silences,
        state.connections,
        state.protocol_errors,
        state.collisions,
        state.updates_sent,
        state.updates_received
    );
    let _ = writeln!(out, "        shared tables:");
    for (shared, progress) in section.tables.iter().zip(&state.tables) {
        let journal = shared.table.journal();
        let last = journal.map_or(0, proxy_state::stick::Journal::last);
        let _ = writeln!(
            out,
            "          {} local_id={} remote_id={} shard={}\n              last_acked={} last_pushed={} last_get={}\n              table:{} id={} update={last} kept={}",
            pointer(shared),
            shared.id,
            progress.remote_id,
            peer.shard,
            progress.acked,
            progress.pushed,
            progress.got,
            pointer(&*shared.table),
            shared.table.spec.name,
            journal.map_or(0, proxy_state::stick::Journal::len),
        );
    }
    if !with_texts {
        let _ = writeln!(out, "        Dictionary cache not dumped (use \"show peers dict\")");
        return;
    }
    for (title, texts) in [("TX", &state.told), ("RX", &state.heard)] {
        let _ = writeln!(
            out,
            "        {title} dictionary cache ({}/{}):",
            texts.len(),
            dictionary::SIZE
        );
        for (number, text) in texts {
            let _ = writeln!(out, "          {number:3} -> {text}");
        }
    }
}

/// `show peers [dict|-] [<section>]`.
fn show(call: &mut Call<'_>) -> Answer {
    let (with_texts, name) = match call.arg(0) {
        "dict" => (true, call.arg(1)),
        "-" => (false, call.arg(1)),
        name => (false, name),
    };
    let all = &call.admin.peers;
    if !name.is_empty() && !all.iter().any(|section| *section.name == *name) {
        return Err(Reply::line("No such peers"));
    }
    let now = call.now;
    let wanted = all.iter().filter(|section| name.is_empty() || *section.name == *name);
    Ok(Reply::Text(wanted.map(|one| section(one, with_texts, now)).collect()))
}

pub(super) static COMMANDS: &[Command] = &[Command {
    words: &["show", "peers"],
    usage: "[dict|-] [section]",
    doc: "dump some information about all the peers or this peers section",
    level: Level::User,
    mode: SessionMode::Any,
    run: show,
}];
