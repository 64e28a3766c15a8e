//! What the process says of itself: version, environment, backends, errors, startup logs.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply};

fn show_version(call: &mut Call<'_>) -> Answer {
    Ok(Reply::line(call.admin.product.version.clone()))
}

fn show_env(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    let mut vars = call.admin.process.environment();
    if !name.is_empty() {
        vars.retain(|(key, _)| key == name);
        if vars.is_empty() {
            return Err(Reply::line("Variable not found"));
        }
    }
    // An answer holds no empty line, so a value's line ends are written as `\n`.
    let line = |(key, value): (String, String)| format!("{key}={}\n", value.replace('\n', "\\n"));
    Ok(Reply::Text(vars.into_iter().map(line).collect()))
}

fn show_backend(call: &mut Call<'_>) -> Answer {
    let mut text = String::from("# name\n");
    for backend in call.admin.registry.backends().iter() {
        text.push_str(&backend.name);
        text.push('\n');
    }
    Ok(Reply::Text(text))
}

/// `23/Nov/2026:09:18:57.564`.
pub(super) fn date(secs: u64, millis: u32) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (mut days, of_day) = (secs / 86400, secs % 86400);
    let leap = |y: u64| y.is_multiple_of(4) && !y.is_multiple_of(100) || y.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!(
        "{:02}/{}/{year}:{:02}:{:02}:{:02}.{millis:03}",
        days + 1,
        MONTHS[month],
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

fn show_startup_logs(call: &mut Call<'_>) -> Answer {
    Ok(Reply::Text(call.admin.process.startup_logs()))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::new(
        &["show", "version"],
        "",
        "show version of the current process",
        Level::User,
        show_version,
    ),
    Command::new(
        &["show", "env"],
        "[var]",
        "dump environment variables known to the process",
        Level::Operator,
        show_env,
    ),
    Command::new(
        &["show", "backend"],
        "",
        "list backends in the current running config",
        Level::User,
        show_backend,
    ),
    Command::new(
        &["show", "startup-logs"],
        "",
        "report logs emitted during startup",
        Level::User,
        show_startup_logs,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_in_logs() {
        assert_eq!(date(0, 0), "01/Jan/1970:00:00:00.000");
        assert_eq!(date(951_782_400, 7), "29/Feb/2000:00:00:00.007");
        assert_eq!(date(1_795_425_537, 564), "23/Nov/2026:09:18:57.564");
    }
}
