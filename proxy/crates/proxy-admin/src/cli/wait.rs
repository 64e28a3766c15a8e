//! `wait`: for some time, or until a server or backend can be taken away (management manual, 9.3 "wait").

use super::named::{backend, server};
use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use proxy_state::Server;
use proxy_state::backend::InUse;
use proxy_types::time::parse_timer;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often the condition is looked at.
const STEP: Duration = Duration::from_millis(5);

const USAGE: &str = "\
Usage: wait {-h|<delay>} [<condition> [<args>...]]
  Waits until the condition holds, cannot hold any more, or the delay is over.
  Without a condition only the delay counts. Its unit is ms unless another is given.
Conditions:
  - be-removable <proxy>          : 'del backend' would take the backend away
  - srv-removable <proxy>/<server>: 'del server' would take the server away";

/// Whether the condition holds; an error is final.
type Condition = Box<dyn Fn() -> Result<bool, String>>;

fn wait(call: &mut Call<'_>) -> Answer {
    let (delay, condition, args) = (call.arg(0), call.arg(1), call.args.get(2..).unwrap_or(&[]));
    if delay.is_empty() || delay == "-h" || condition == "-h" {
        return Err(Reply::line(USAGE));
    }
    let delay = parse_timer(delay)
        .map_err(|_| Reply::line(format!("Invalid duration '{delay}' for 'wait'.")))?;
    let holds: Option<Condition> = match condition {
        "" => None,
        "srv-removable" => Some(server_removable(call, args)?),
        "be-removable" => Some(backend_removable(call, args)?),
        _ => return Err(Reply::line(USAGE)),
    };
    Ok(Reply::Later(Box::pin(async move {
        let Some(holds) = holds else {
            tokio::time::sleep(delay).await;
            return Reply::done();
        };
        let until = tokio::time::Instant::now() + delay;
        loop {
            match holds() {
                Ok(true) => return Reply::line("Done."),
                Err(why) => return Reply::line(why),
                Ok(false) => {}
            }
            if tokio::time::Instant::now() >= until {
                return Reply::line("Wait delay expired.");
            }
            tokio::time::sleep_until(until.min(tokio::time::Instant::now() + STEP)).await;
        }
    })))
}

fn server_removable(call: &Call<'_>, args: &[String]) -> Result<Condition, Reply> {
    let path = args.first().map_or("", String::as_str);
    let server: Arc<Server> = server(call, path)?;
    Ok(Box::new(move || {
        // Another session may have been faster.
        if server.is_gone() {
            return Err("No such server.".to_owned());
        }
        match server.is_removable() {
            Ok(()) => Ok(true),
            Err(InUse::Connections) => Ok(false),
            Err(why) => Err(why.to_string()),
        }
    }))
}

fn backend_removable(call: &Call<'_>, args: &[String]) -> Result<Condition, Reply> {
    let name = args.first().map_or("", String::as_str);
    let found = backend(call, name).ok_or_else(|| Reply::line("No such backend."))?;
    let admin = Rc::clone(call.admin);
    Ok(Box::new(move || {
        let known = admin.registry.backend(&found.name);
        if known.is_none_or(|known| !Arc::ptr_eq(&known, &found)) {
            return Err("No such backend.".to_owned());
        }
        admin.builder.backend_removable(&found)
    }))
}

pub(super) static COMMANDS: &[Command] = &[Command {
    words: &["wait"],
    usage: "{-h|<delay>} [<condition> [<args>...]]",
    doc: "wait for a delay or for a condition",
    level: Level::User,
    mode: SessionMode::Any,
    run: wait,
}];
