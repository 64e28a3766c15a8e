//! The words of Sluice's own: how the kernel carries proxies (docs/configuration.md).

use std::time::Duration;

use proxy_types::Spanned;

use super::global_row::{Parse, global};
use crate::args::{Args, last_string};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, row};
use crate::lexer::between_commas;
use crate::model::{L4Answer, L4Hook, L4Mode, L4Policy, Proxy};

type ParseProxy = fn(&mut Context<'_>, &mut Proxy, &mut Args<'_>) -> Parsed;

const L4_POLICIES: &[(&str, L4Policy)] =
    &[("off", L4Policy::Off), ("auto", L4Policy::Auto), ("require", L4Policy::Require)];
const L4_MODES: &[(&str, L4Mode)] = &[
    ("fullnat", L4Mode::FullNat),
    ("nat", L4Mode::Nat),
    ("dsr", L4Mode::Dsr),
    ("ipip", L4Mode::IpIp),
];
const L4_HOOKS: &[(&str, L4Hook)] = &[
    ("auto", L4Hook::Auto),
    ("xdp", L4Hook::Xdp),
    ("xdp-generic", L4Hook::XdpGeneric),
    ("tc", L4Hook::Tc),
];

const L4_ANSWERS: &[(&str, L4Answer)] = &[
    ("userspace", L4Answer::Userspace),
    ("drop", L4Answer::Drop),
    ("reset", L4Answer::Reset),
    ("unreachable", L4Answer::Unreachable),
];

pub(super) const GLOBAL: &[Row<Parse>] = &[
    global(
        "legacy-syntax",
        "accept",
        "Sluice",
        "translates words that the language has lost",
        // Whoever reads the sources looks for it first, and translates it away.
        |cx, _, args| {
            args.choice(cx, &[("accept", ())])?;
            args.end(cx)
        },
    ),
    global(
        "l4",
        "{off|auto|require}",
        "Sluice",
        "whether the kernel carries proxies of mode tcp and udp",
        |cx, g, args| {
            g.l4 = Some(l4_policy(cx, args)?);
            Ok(())
        },
    ),
    global(
        "l4-cached-flows",
        "<number>",
        "Sluice",
        "directions of connections that kernel programs keep at hand on each CPU",
        |cx, g, args| {
            g.l4_cached_flows = Some(args.number(cx, 64..=1 << 21)?);
            args.end(cx)
        },
    ),
    global(
        "l4-hook",
        "{auto|xdp|xdp-generic|tc}",
        "Sluice",
        "where kernel programs are attached",
        |cx, g, args| {
            g.l4_hook = Some(args.choice(cx, L4_HOOKS)?);
            args.end(cx)
        },
    ),
    global(
        "l4-instance",
        "<name>",
        "Sluice",
        "keeps several balancers on one host apart",
        |cx, g, args| {
            let name = last_string(cx, args, "a name")?;
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.len() > 32 || !name.chars().all(fits) {
                let text = "letters, digits, '-' and '_' are expected, 32 at most";
                return Err(args.wrong(cx, name.span, text));
            }
            g.l4_instance = Some(name);
            Ok(())
        },
    ),
    global(
        "l4-interface",
        "<ifname>[,<ifname>]*",
        "Sluice",
        "interfaces that kernel programs are attached to",
        |cx, g, args| {
            let word = args.word(cx, "interface names separated by commas")?;
            args.end(cx)?;
            for name in between_commas(word) {
                if name.is_empty() || name.len() > 15 || name.contains(['/', ' ']) {
                    let message = format!("invalid interface name '{name}'");
                    return Err(args.wrong(cx, name.span, message));
                }
                g.l4_interfaces.push(name.map(str::to_owned));
            }
            Ok(())
        },
    ),
    global(
        "l4-max-clients",
        "<number>",
        "Sluice",
        "clients whose rates the kernel knows, and as many that it turns away",
        |cx, g, args| {
            g.l4_max_clients = Some(args.number(cx, 64..=1 << 24)?);
            args.end(cx)
        },
    ),
    global(
        "l4-max-flows",
        "<number>",
        "Sluice",
        "connections that the kernel carries at once",
        |cx, g, args| {
            g.l4_max_flows = Some(args.number(cx, 64..=1 << 26)?);
            args.end(cx)
        },
    ),
    global(
        "l4-mode",
        "{fullnat|nat|dsr|ipip}",
        "Sluice",
        "how packets reach servers and answers clients",
        |cx, g, args| {
            g.l4_mode = Some(l4_mode(cx, args)?);
            Ok(())
        },
    ),
];

pub(super) const PROXY: &[Row<ParseProxy>] = &[
    row(
        "l4",
        On::DEF_FE,
        "{off|auto|require}",
        "Sluice",
        "whether the kernel carries the proxy",
        |cx, p, args| {
            p.settings.l4 = Some(l4_policy(cx, args)?);
            Ok(())
        },
    ),
    row(
        "l4-deny",
        On::DEF_FE,
        "<time>",
        "Sluice",
        "how long the kernel turns away whom a connection rule rejected",
        |cx, p, args| {
            const LONGEST: Duration = Duration::from_secs(24 * 3600);
            let time = args.timer(cx)?;
            if time.value < Duration::from_millis(100) || time.value > LONGEST {
                let text = "a time of 100 ms at least and 24 hours at most is expected";
                return Err(args.wrong(cx, time.span, text));
            }
            p.settings.l4_deny = Some(time);
            args.end(cx)
        },
    ),
    row(
        "l4-mode",
        On::DEF_FE,
        "{fullnat|nat|dsr|ipip}",
        "Sluice",
        "how packets reach servers and answers clients",
        |cx, p, args| {
            p.settings.l4_mode = Some(l4_mode(cx, args)?);
            Ok(())
        },
    ),
    row(
        "l4-no-server",
        On::DEF_FE,
        "{userspace|drop|reset|unreachable}",
        "Sluice",
        "what the kernel answers while no server lives",
        |cx, p, args| {
            p.settings.l4_no_server = Some(args.choice(cx, L4_ANSWERS)?);
            args.end(cx)
        },
    ),
    row(
        "l4-pick-up",
        On::DEF_FE,
        "{off|on}",
        "Sluice",
        "whether the kernel carries on connections of another balancer",
        |cx, p, args| {
            p.settings.l4_pick_up = Some(args.choice(cx, &[("off", false), ("on", true)])?);
            args.end(cx)
        },
    ),
    row(
        "l4-reject",
        On::DEF_FE,
        "{userspace|drop|reset|unreachable}",
        "Sluice",
        "what the kernel answers clients that a rule rejects",
        |cx, p, args| {
            p.settings.l4_reject = Some(args.choice(cx, L4_ANSWERS)?);
            args.end(cx)
        },
    ),
    row(
        "l4-source-rate",
        On::DEF_FE,
        "<number> [<period>]",
        "Sluice",
        "most new connections of one client in the kernel",
        |cx, p, args| {
            const LONGEST: Duration = Duration::from_secs(3600);
            let number = args.number(cx, 1..=u32::MAX)?;
            let mut period = Spanned::new(Duration::from_secs(1), number.span);
            if args.peek().is_some() {
                period = args.timer(cx)?;
            }
            if period.value < Duration::from_millis(1) || period.value > LONGEST {
                let text = "a period is a millisecond at least and an hour at most";
                return Err(args.wrong(cx, period.span, text));
            }
            p.settings.l4_source_rate =
                Some(Spanned::new((number.value, period.value), number.span));
            args.end(cx)
        },
    ),
    row(
        "udp-responses",
        On::DEF_FE,
        "<number>",
        "Sluice",
        "datagrams of the server that end a flow of mode udp",
        |cx, p, args| {
            p.settings.udp_responses = Some(args.number(cx, 0..=u8::MAX)?);
            args.end(cx)
        },
    ),
];

fn l4_policy(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<L4Policy>> {
    let value = args.choice(cx, L4_POLICIES)?;
    args.end(cx)?;
    Ok(value)
}

fn l4_mode(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<L4Mode>> {
    let value = args.choice(cx, L4_MODES)?;
    args.end(cx)?;
    Ok(value)
}
