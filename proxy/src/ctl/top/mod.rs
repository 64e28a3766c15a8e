//! `sluice ctl top`: frontends and servers as they work, with their rates; servers can be drained and put back.

mod model;
mod screen;
mod view;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::{Value, json};

use super::client::{Rows, Socket};
use super::{CtlError, first_line, set_state};
use model::{Model, Object};
use screen::{Effect, Screen};

/// How to look.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Seconds between two looks.
    #[arg(short, long, default_value_t = 1.0, value_parser = seconds)]
    delay: f64,
    /// Leave after so many looks.
    #[arg(short = 'n', long)]
    count: Option<u64>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(delay) if (0.1..=3600.0).contains(&delay) => Ok(delay),
        _ => Err("0.1 to 3600 seconds".into()),
    }
}

/// Shows it until the user leaves; with `as_json` one object per look, for programs.
pub(super) fn run(socket: Socket<'_>, options: &Options, as_json: bool) -> Result<(), CtlError> {
    let mut model = Model::default();
    let begin = Instant::now();
    // A socket that cannot be reached at the start is an error; later it may come back.
    look(socket, &mut model, begin)?;
    let delay = Duration::from_secs_f64(options.delay);
    let mut left = options.count;
    if as_json {
        while left != Some(0) {
            std::thread::sleep(delay);
            look(socket, &mut model, begin)?;
            let mut out = io::stdout().lock();
            // Whoever read it has left.
            if writeln!(out, "{}", report(&model)).and_then(|()| out.flush()).is_err() {
                return Ok(());
            }
            left = left.map(|left| left - 1);
        }
        return Ok(());
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(CtlError::Terminal("'top' needs a terminal; '--json top' does not".into()));
    }
    let failed = |error: io::Error| CtlError::Terminal(error.to_string());
    let colours = std::env::var_os("NO_COLOR").is_none();
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let mut screen = Screen::default();
    let mut next = Instant::now() + delay;
    let outcome = loop {
        let drawn = terminal.draw(|frame| view::draw(frame, &model, &mut screen, colours));
        if let Err(error) = drawn {
            break Err(failed(error));
        }
        match typed(next) {
            Err(error) => break Err(failed(error)),
            Ok(Some(code)) => match screen.key(code, &model) {
                Effect::Nothing => {}
                Effect::Quit => break Ok(()),
                Effect::Do(change) => {
                    screen.message = match set_state(socket, &change.server, change.state) {
                        Ok(_) => format!("{} is set to {}.", change.server, change.state),
                        Err(error) => error.to_string(),
                    };
                    next = Instant::now();
                }
            },
            Ok(None) => {}
        }
        if Instant::now() < next {
            continue;
        }
        if left == Some(0) {
            break Ok(());
        }
        left = left.map(|left| left - 1);
        if let Err(error) = look(socket, &mut model, begin) {
            screen.message = error.to_string();
        }
        next = Instant::now() + delay;
    };
    ratatui::restore();
    outcome
}

/// The next key before `until`; Ctrl-C is `q`.
fn typed(until: Instant) -> io::Result<Option<KeyCode>> {
    if !event::poll(until.saturating_duration_since(Instant::now()))? {
        return Ok(None);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) => {
            let break_off = key.modifiers.contains(KeyModifiers::CONTROL);
            let leave = break_off && key.code == KeyCode::Char('c');
            Some(if leave { KeyCode::Char('q') } else { key.code })
        }
        _ => None,
    })
}

fn look(socket: Socket<'_>, model: &mut Model, begin: Instant) -> Result<(), CtlError> {
    let stat = socket.ask("show stat")?;
    let at = begin.elapsed();
    let rows = Rows::parse(&stat).ok_or_else(|| CtlError::Answer(first_line(&stat)))?;
    let info = socket.ask("show info")?;
    let paths = socket.ask("show l4")?;
    model.observe(&rows, &info, &paths, at);
    Ok(())
}

fn report(model: &Model) -> Value {
    let object = |object: &Object| {
        json!({
            "name": object.name(),
            "status": object.status,
            "detail": object.detail,
            "sessions": object.sessions.parse::<u64>().ok(),
            "queue": object.queue.parse::<u64>().ok(),
            "weight": object.weight.parse::<u64>().ok(),
            "sessions_per_second": object.rates.sessions,
            "requests_per_second": object.rates.requests,
            "bytes_in_per_second": object.rates.bytes_in,
            "bytes_out_per_second": object.rates.bytes_out,
        })
    };
    let list = |objects: &[Object]| objects.iter().map(object).collect::<Vec<_>>();
    json!({ "frontends": list(&model.frontends), "servers": list(&model.servers) })
}
