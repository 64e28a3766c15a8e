//! `email-alert` (configuration manual, 4.2).

use proxy_types::Spanned;

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::model::{LogLevel, Proxy};

#[derive(Clone, Copy)]
enum What {
    From,
    Level,
    Mailers,
    MyHostname,
    To,
}

pub(crate) fn email_alert(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const WHAT: &[(&str, What)] = &[
        ("from", What::From),
        ("level", What::Level),
        ("mailers", What::Mailers),
        ("myhostname", What::MyHostname),
        ("to", What::To),
    ];
    let what = args.choice(cx, WHAT)?.value;
    let alert = &mut proxy.settings.email_alert;
    match what {
        What::From => alert.from = Some(safe(cx, args, "an address")?),
        What::Level => alert.level = Some(args.choice(cx, LogLevel::ALL)?),
        What::Mailers => {
            alert.mailers = Some(args.string(cx, "the name of a 'mailers' section")?);
        }
        What::MyHostname => alert.myhostname = Some(safe(cx, args, "a host name")?),
        What::To => alert.to = Some(safe(cx, args, "an address")?),
    }
    args.end(cx)
}

/// A word that goes into a line of the dialogue and must not be able to end it.
fn safe(cx: &mut Context<'_>, args: &mut Args<'_>, what: &str) -> Parsed<Spanned<String>> {
    let word = args.string(cx, what)?;
    if word.value.is_empty() || word.value.contains(|c: char| c.is_control() || "<> ".contains(c)) {
        return Err(args.wrong(cx, word.span, format!("{what} is expected, got '{word}'")));
    }
    Ok(word)
}
