//! Nameservers: `show resolvers`.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use proxy_names::SectionView;
use std::fmt::Write;

/// The sections with their counters.
pub(super) fn sections(call: &Call<'_>) -> Vec<SectionView> {
    call.admin.names.as_ref().map(|names| names.sections()).unwrap_or_default()
}

fn show(call: &mut Call<'_>) -> Answer {
    let mut sections = sections(call);
    let wanted = call.arg(0);
    if !wanted.is_empty() {
        sections.retain(|section| section.name == wanted);
        if sections.is_empty() {
            return Err(Reply::line("Can't find that resolvers section"));
        }
    }
    let mut text = String::new();
    for section in sections {
        let _ = writeln!(text, "Resolvers section {}", section.name);
        for nameserver in section.nameservers {
            let _ = writeln!(text, " nameserver {}:", nameserver.name);
            for (name, value) in nameserver.counters {
                // The statistics call it otherwise.
                let name = if name == "send_error" { "snd_error" } else { name };
                let _ = writeln!(text, "  {:<13}{value}", format!("{name}:"));
            }
        }
    }
    Ok(Reply::Text(text))
}

pub(super) static COMMANDS: &[Command] = &[Command {
    words: &["show", "resolvers"],
    usage: "[id]",
    doc: "show what was counted of nameservers (of all sections or one)",
    level: Level::User,
    mode: SessionMode::Any,
    run: show,
}];
