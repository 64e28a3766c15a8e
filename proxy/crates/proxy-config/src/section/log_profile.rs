//! `log-profile` sections (configuration manual, 8.3.5).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::model::{LogProfile, LogStep, ProfileStep};

type Parse = fn(&mut Context<'_>, &mut LogProfile, &mut Args<'_>) -> Parsed;

const M: &str = "8.3.5";

pub(crate) const LOG_PROFILE: Table<Parse> = &[&[
    row("log-tag", On::HERE, "<string>", M, "tag in syslog headers", |cx, profile, args| {
        profile.log_tag = Some(args.string(cx, "a tag")?);
        args.end(cx)
    }),
    row(
        "on",
        On::HERE,
        "<step> [drop] [format <fmt>] [sd <sd_fmt>]",
        M,
        "lines of one step, in another form or not at all",
        on,
    ),
]];

fn on(cx: &mut Context<'_>, profile: &mut LogProfile, args: &mut Args<'_>) -> Parsed {
    let step = args.choice(cx, LogStep::OF_PROFILES)?;
    args.rename(format!("on {}", args.keyword()));
    let mut line = ProfileStep { step: step.value, drop: false, format: None, sd: None };
    let mut is_empty = true;
    while let Some(word) = args.optional() {
        is_empty = false;
        match word.value.as_str() {
            "drop" => line.drop = true,
            "format" => line.format = Some(args.word(cx, "a log format")?.clone()),
            "sd" => line.sd = Some(args.word(cx, "a format of structured data")?.clone()),
            other => {
                let message = format!("'{}' : unknown parameter '{other}'", args.name());
                let expected = "expected 'drop', 'format' or 'sd'";
                return Err(cx.report(Diagnostic::alert(message).at(word.span).expected(expected)));
            }
        }
    }
    if is_empty {
        return Err(args.missing(cx, "'drop', 'format' or 'sd'"));
    }
    // The last line about a step counts.
    profile.steps.retain(|known| known.step != line.step);
    profile.steps.push(line);
    Ok(())
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> LogProfile {
    let span = args.span();
    let name = args.string(cx, "a name as argument");
    let _ = args.end(cx);
    LogProfile {
        name: name.unwrap_or_else(|_| Spanned::new(String::new(), span)),
        log_tag: None,
        steps: Vec::new(),
    }
}

/// One line of the section.
pub(crate) fn line(cx: &mut Context<'_>, profile: &mut LogProfile, args: &mut Args<'_>) -> Parsed {
    let Some(row) = find(LOG_PROFILE, args.name()) else {
        let message = format!("unknown keyword '{}' in 'log-profile' section", args.name());
        let near = suggest(LOG_PROFILE, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    let parse = cx.carried(row, "keyword", "in 'log-profile' section", args.keyword_span())?;
    parse(cx, profile, args)
}
