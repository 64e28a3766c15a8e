//! `show sess`, `shutdown session`.

use crate::Level;
use crate::anon::Anon;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use crate::context::SessionInfo;

/// Filters of `show sess`.
#[derive(Default)]
struct Filter {
    id: Option<u64>,
    frontend: Option<String>,
    backend: Option<String>,
    server: Option<String>,
    older: u64,
}

impl Filter {
    fn parse(args: &[String]) -> Result<Self, Reply> {
        let mut filter = Self::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .cloned()
                    .ok_or_else(|| Reply::line(format!("Missing argument after '{word}'.")))
            };
            match word.as_str() {
                "all" => {}
                "frontend" => filter.frontend = Some(value()?),
                "backend" => filter.backend = Some(value()?),
                "server" => filter.server = Some(value()?),
                "older" => {
                    filter.older = value()?
                        .trim_end_matches('s')
                        .parse()
                        .map_err(|_| Reply::line("Invalid age."))?;
                }
                id => filter.id = Some(parse_id(id).ok_or_else(|| Reply::Text(HELP.into()))?),
            }
        }
        Ok(filter)
    }

    fn wants(&self, s: &SessionInfo) -> bool {
        let server = || Some(format!("{}/{}", s.backend.as_ref()?, s.server.as_ref()?));
        self.id.is_none_or(|id| id == s.id)
            && self.frontend.as_ref().is_none_or(|f| *f == s.frontend)
            && self.backend.as_ref().is_none_or(|b| Some(b) == s.backend.as_ref())
            && self.server.as_ref().is_none_or(|wanted| Some(wanted) == server().as_ref())
            && s.age_secs >= self.older
    }
}

const HELP: &str = "Usage: show sess [<id> | all | help] [<options>*]
   backend <b>   only streams of this backend
   frontend <f>  only streams of this frontend
   older <age>   only streams older than <age> seconds
   server <b/s>  only streams of this server
";

fn parse_id(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn line(s: &SessionInfo, anon: Anon) -> String {
    let name = |n: &Option<String>| n.clone().unwrap_or_else(|| "<NONE>".into());
    let server = s.server.clone().unwrap_or_else(|| "<none>".into());
    format!(
        "{:#x}: proto={} src={} fe={} be={} srv={} ts={:02x} age={}s st={}\n",
        s.id,
        s.proto,
        anon.address(&s.source),
        anon.name(&s.frontend),
        anon.name(&name(&s.backend)),
        anon.name(&server),
        s.thread,
        s.age_secs,
        s.phase,
    )
}

fn show_sess(call: &mut Call<'_>) -> Answer {
    if call.arg(0) == "help" {
        return Ok(Reply::Text(HELP.into()));
    }
    let filter = Filter::parse(call.args)?;
    let sessions = call.admin.process.sessions();
    let anon = call.session.anon;
    Ok(Reply::Later(Box::pin(async move {
        let mut sessions = sessions.await;
        sessions.retain(|s| filter.wants(s));
        if sessions.is_empty() && filter.id.is_some() {
            return Reply::line("Session not found.");
        }
        Reply::Pieces(Box::new(sessions.into_iter().map(move |s| line(&s, anon))))
    })))
}

fn shutdown_session(call: &mut Call<'_>) -> Answer {
    let id = parse_id(call.arg(0))
        .ok_or_else(|| Reply::line("Session pointer expected (use 'show sess')."))?;
    let done = call.admin.process.shutdown_session(id);
    Ok(Reply::Later(Box::pin(async move {
        if done.await { Reply::done() } else { Reply::line("No such session (use 'show sess').") }
    })))
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["show", "sess"],
        usage: "[<id>|all|help] [<opts>*]",
        doc: "report the list of current sessions or one of them",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: show_sess,
    },
    Command {
        words: &["shutdown", "session"],
        usage: "[id]",
        doc: "kill a specific session",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: shutdown_session,
    },
];
