//! Certificates by ACME: what becomes of them, and what is asked for by hand (management manual, 9.3).

use std::fmt::Write;

use proxy_rules::x509;

use crate::command::{Answer, Call, Command, Reply};

const DAY: i64 = 24 * 3600;

/// `89d 23h01m13s`; what is over takes no time.
fn left(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, rest) = (seconds / DAY, seconds % DAY);
    format!("{days}d {}h{:02}m{:02}s", rest / 3600, rest / 60 % 60, rest % 60)
}

fn status(call: &mut Call<'_>) -> Answer {
    let mut text = String::from(
        "# certificate\tsection\tstate\texpiration date (UTC)\texpires in\tscheduled date (UTC)\tscheduled in\n",
    );
    for row in call.admin.process.acme() {
        let time = |at: i64| if at > 0 { x509::iso_seconds(at) } else { "-".to_owned() };
        let due = if row.state == "Running" { 0 } else { row.due - row.now };
        let _ = writeln!(
            text,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            row.certificate,
            row.section,
            row.state,
            time(row.expires),
            left(row.expires - row.now),
            time(row.due),
            left(due),
        );
    }
    Ok(Reply::Text(text))
}

fn renew(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'acme renew' expects a certificate"));
    }
    match call.admin.process.renew_acme(name) {
        Ok(()) => Ok(Reply::Text(String::new())),
        Err(why) => Err(Reply::line(format!("Can't renew the certificate '{name}': {why}."))),
    }
}

fn ready(call: &mut Call<'_>) -> Answer {
    let (name, word, domain) = (call.arg(0), call.arg(1), call.arg(2));
    if name.is_empty() || word != "domain" || domain.is_empty() {
        return Err(Reply::line("'acme challenge_ready' expects <crt> domain <domain>"));
    }
    match call.admin.process.confirm_acme(name, domain) {
        Ok(0) => Ok(Reply::line("All challenges are ready.")),
        Ok(left) => Ok(Reply::line(format!("Challenge is ready, {left} remaining."))),
        Err(why) => Err(Reply::line(format!("Can't take the challenge of '{name}': {why}."))),
    }
}

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["acme", "challenge_ready"],
        "<crt> domain <domain>",
        "tell that the DNS record of a domain is set",
        ready,
    ),
    Command::admin(&["acme", "renew"], "<crt>", "renew a certificate by ACME now", renew),
    Command::admin(
        &["acme", "status"],
        "",
        "show the certificates that are renewed by ACME",
        status,
    ),
];

#[cfg(test)]
mod tests {
    use super::left;

    #[test]
    fn times_that_are_left() {
        assert_eq!(left(-5), "0d 0h00m00s");
        assert_eq!(left(89 * 86400 + 23 * 3600 + 73), "89d 23h01m13s");
    }
}
