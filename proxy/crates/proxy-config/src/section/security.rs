//! Rights and limits of the process in the `global` section (configuration manual, 3.1).

use proxy_types::Spanned;

use super::global_row::{Parse, global};
use crate::args::{Args, Polarity};
use crate::context::{Context, Parsed};
use crate::keyword::Row;
use crate::lexer::between_commas;
use crate::line::bind;
use crate::model::{CloseSpread, Global};

const M: &str = "3.1";

/// What `setcap` may name.
const CAPABILITIES: [&str; 4] =
    ["cap_net_admin", "cap_net_bind_service", "cap_net_raw", "cap_sys_admin"];

pub(super) const SECURITY: &[Row<Parse>] = &[
    global(
        "close-spread-time",
        "{<time>|infinite}",
        M,
        "over which time idle connections end at a soft stop",
        |cx, g, args| {
            g.close_spread_time = Some(match args.accept("infinite") {
                Some(span) => Spanned::new(CloseSpread::Infinite, span),
                None => {
                    let time = args.timer(cx)?;
                    Spanned::new(CloseSpread::Within(time.value), time.span)
                }
            });
            args.end(cx)
        },
    ),
    global(
        "harden.reject-privileged-ports.tcp",
        "{on|off}",
        M,
        "refuses clients with source ports below 1024",
        |cx, g, args| {
            g.reject_privileged_tcp = Some(args.choice(cx, &[("on", true), ("off", false)])?);
            args.end(cx)
        },
    ),
    global(
        "pp2-never-send-local",
        "",
        M,
        "checks send PROXY where the PROXY protocol 2 says LOCAL",
        |cx, g, args| {
            g.pp2_never_send_local = Some(args.span());
            args.end(cx)
        },
    ),
    global("external-check", "[preserve-env]", M, "lets programs check servers", |cx, g, args| {
        let span = args.span();
        let keeps = args.accept("preserve-env").is_some();
        g.external_check = Some(Spanned::new(keeps, span));
        args.end(cx)
    }),
    global("insecure-fork-wanted", "", M, "lets the process start others", |cx, g, args| {
        g.insecure_fork_wanted = (args.polarity == Polarity::Set).then(|| args.span());
        args.end(cx)
    })
    .negatable(),
    global(
        "insecure-setuid-wanted",
        "",
        M,
        "lets programs that the process starts gain rights",
        |cx, g, args| {
            g.insecure_setuid_wanted = (args.polarity == Polarity::Set).then(|| args.span());
            args.end(cx)
        },
    )
    .negatable(),
    global(
        "set-dumpable",
        "[on|off|libs]",
        M,
        "whether a crash leaves a core dump",
        |cx, g, args| {
            let mut value = Spanned::new(args.polarity == Polarity::Set, args.span());
            if args.polarity == Polarity::Set && args.peek().is_some() {
                // The binary is linked statically: there are no libraries to keep with it.
                value = args.choice(cx, &[("on", true), ("off", false), ("libs", true)])?;
            }
            g.set_dumpable = Some(value);
            args.end(cx)
        },
    )
    .negatable(),
    global("setcap", "<name>[,<name>...]", M, "capabilities kept when the user changes", setcap),
    global(
        "strict-limits",
        "",
        M,
        "a limit that cannot be raised stops the start",
        |cx, g, args| {
            g.strict_limits = Some(Spanned::new(args.polarity != Polarity::No, args.span()));
            args.end(cx)
        },
    )
    .negatable(),
    global(
        "tune.renice.runtime",
        "<number>",
        "3.2",
        "scheduling priority while serving",
        |cx, g, args| {
            g.renice_runtime = Some(args.number(cx, -20..=19)?);
            args.end(cx)
        },
    ),
    global(
        "tune.renice.startup",
        "<number>",
        "3.2",
        "scheduling priority while the configuration is read",
        |cx, g, args| {
            g.renice_startup = Some(args.number(cx, -20..=19)?);
            args.end(cx)
        },
    ),
    global(
        "unix-bind",
        "[prefix <prefix>] [mode <mode>] [user <user>] [uid <uid>] [group <group>] [gid <gid>]",
        M,
        "what 'bind' lines with UNIX sockets do not say",
        unix_bind,
    ),
];

fn setcap(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    let word = args.word(cx, "names of capabilities separated by commas")?;
    args.end(cx)?;
    for name in between_commas(word) {
        if !CAPABILITIES.contains(&name.value) {
            let message = format!(
                "unsupported capability '{name}', expected {}",
                CAPABILITIES.map(|name| format!("'{name}'")).join(", ")
            );
            return Err(args.wrong(cx, name.span, message));
        }
        g.setcap.push(name.map(str::to_owned));
    }
    Ok(())
}

fn unix_bind(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    while let Some(word) = args.optional() {
        let access = &mut g.unix_bind;
        match word.value.as_str() {
            "gid" => access.gid = Some(args.number(cx, 0..=u32::MAX)?),
            "group" => access.group = Some(args.string(cx, "a group name")?),
            "mode" => access.mode = Some(bind::file_mode(cx, args)?),
            "prefix" => g.unix_bind_prefix = Some(args.string(cx, "a directory")?),
            "uid" => access.uid = Some(args.number(cx, 0..=u32::MAX)?),
            "user" => access.user = Some(args.string(cx, "a user name")?),
            other => {
                let message = format!(
                    "expects 'prefix', 'mode', 'user', 'uid', 'group' or 'gid', got '{other}'"
                );
                return Err(args.wrong(cx, word.span, message));
            }
        }
    }
    Ok(())
}
