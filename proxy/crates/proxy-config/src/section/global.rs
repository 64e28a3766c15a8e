//! The `global` section (configuration manual, 3).

use proxy_state::status::StatusSet;
use proxy_types::{Diagnostic, Spanned};

use super::global_row::{Parse, global};
use crate::args::{Args, Polarity, last_string, rest_text};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Table, find, not_yet, removed, suggest};
use crate::lexer::between_commas;
use crate::limits::{COUNT_MAX, THREADS_MAX};
use crate::line::{bind, log};
use crate::model::{AcceptFamily, AddressFamily, DefaultPath, Global, MasterWorker};
use crate::place::{check_polarity, check_shape};

pub(crate) const GLOBAL: Table<Parse> = &[
    PROCESS,
    super::cpus::CPUS,
    super::security::SECURITY,
    super::environment::ENVIRONMENT,
    super::tune::TUNING,
    super::tune::NO_EFFECT,
    super::tune::H2,
    super::sluice::GLOBAL,
    super::tls::GLOBAL,
    super::tls::NO_EFFECT,
    &[
        removed("nbproc", "2.5", "use 'nbthread'"),
        removed("debug", "2.0", "use the command line argument '-d'"),
    ],
    &not_yet(On::HERE, "3.1", "process", ["shm-stats-file", "shm-stats-file-max-objects"]),
    &not_yet(On::HERE, "3.4", "HTTP client", ["httpclient.resolvers.id"]),
    &not_yet(On::HERE, "3.2", "Lua", ["lua-load", "lua-load-per-thread", "lua-prepend-path"]),
    &not_yet(
        On::HERE,
        "3.1",
        "device detection",
        [
            "51degrees-allow-unmatched",
            "51degrees-cache-size",
            "51degrees-data-file",
            "51degrees-difference",
            "51degrees-drift",
            "51degrees-property-name-list",
            "51degrees-property-separator",
            "51degrees-use-performance-graph",
            "51degrees-use-predictive-graph",
            "deviceatlas-json-file",
            "deviceatlas-log-level",
            "deviceatlas-properties-cookie",
            "deviceatlas-separator",
            "wurfl-cache-size",
            "wurfl-data-file",
            "wurfl-information-list",
            "wurfl-information-list-separator",
        ],
    ),
];

fn codes(cx: &mut Context<'_>, args: &mut Args<'_>, set: &mut StatusSet) -> Parsed {
    loop {
        let word = args.string(cx, "a range of status codes")?;
        set.change(&word.value).map_err(|why| args.wrong(cx, word.span, why))?;
        if args.peek().is_none() {
            return Ok(());
        }
    }
}

/// `h1-case-adjust <from> <to>`.
fn h1_case_adjust(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    let from = args.string(cx, "a header name in lower case")?;
    let to = args.string(cx, "the same name as it is to be sent")?;
    args.end(cx)?;
    if from.value != to.value.to_ascii_lowercase() {
        let message = format!("'{to}' is not '{from}' in another case");
        return Err(args.wrong(cx, to.span, message));
    }
    if let Some((known, _)) = g.h1_case_adjust.iter().find(|(known, _)| known.value == from.value) {
        let message = format!("'{from}' is adjusted already");
        let diagnostic = Diagnostic::alert(message).at(from.span).label(known.span, "here");
        return Err(cx.report(diagnostic));
    }
    g.h1_case_adjust.push((from, to));
    Ok(())
}

const PROCESS: &[Row<Parse>] = &[
    global(
        "anonkey",
        "<key>",
        "3.3",
        "hashes names in answers of the runtime API that are not to tell them",
        |cx, g, args| {
            g.anonkey = Some(args.number(cx, 0..=u32::MAX)?);
            args.end(cx)
        },
    ),
    global("stats-file", "<path>", "3.1", "counters to begin with", |cx, g, args| {
        g.stats_file = Some(last_string(cx, args, "the path of a file")?);
        Ok(())
    }),
    global("chroot", "<dir>", "3.1", "changes the root directory", |cx, g, args| {
        g.chroot = Some(last_string(cx, args, "a directory")?);
        Ok(())
    }),
    global("daemon", "", "3.1", "runs in the background", |cx, g, args| {
        g.daemon = Some(args.span());
        args.end(cx)
    }),
    global(
        "default-path",
        "{current|config|parent|origin <path>}",
        "3.1",
        "where relative paths start",
        default_path,
    ),
    global("description", "<text>", "3.1", "text of the statistics", |cx, g, args| {
        g.description = Some(rest_text(cx, args, "a text")?);
        Ok(())
    }),
    global("server-state-base", "<directory>", "3.1", "where state files are", |cx, g, args| {
        g.server_state_base = Some(args.string(cx, "a directory")?);
        args.end(cx)
    }),
    global(
        "server-state-file",
        "<file>",
        "3.1",
        "states of servers to start with",
        |cx, g, args| {
            g.server_state_file = Some(args.string(cx, "a file")?);
            args.end(cx)
        },
    ),
    global(
        "expose-deprecated-directives",
        "",
        "3.1",
        "permits deprecated keywords",
        |cx, g, args| {
            g.expose_deprecated_directives = Some(args.span());
            args.end(cx)
        },
    ),
    global(
        "expose-experimental-directives",
        "",
        "3.1",
        "permits experimental keywords",
        |cx, g, args| {
            g.expose_experimental_directives = Some(args.span());
            cx.experimental = true;
            args.end(cx)
        },
    ),
    global(
        "fd-hard-limit",
        "<number>",
        "3.1",
        "most file descriptors, whatever the system allows",
        |cx, g, args| {
            g.fd_hard_limit = Some(args.number(cx, 1..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "http-err-codes",
        "[+-]<range>[,...] ...",
        "3.1",
        "status codes that count as errors of clients",
        |cx, g, args| {
            let set = g.http_err_codes.get_or_insert(StatusSet::ERRORS);
            codes(cx, args, set)
        },
    ),
    global(
        "jwt.decrypt_alg_list",
        "<list>",
        "3.1",
        "algorithms that encrypted tokens may use",
        |cx, g, args| {
            let list = last_string(cx, args, "names between colons")?;
            g.jwe.set_algorithms(&list.value).map_err(|why| args.wrong(cx, list.span, why))
        },
    ),
    global(
        "jwt.decrypt_enc_list",
        "<list>",
        "3.1",
        "encryptions that encrypted tokens may use",
        |cx, g, args| {
            let list = last_string(cx, args, "names between colons")?;
            g.jwe.set_encryptions(&list.value).map_err(|why| args.wrong(cx, list.span, why))
        },
    ),
    global(
        "http-fail-codes",
        "[+-]<range>[,...] ...",
        "3.1",
        "status codes that count as failures of servers",
        |cx, g, args| {
            let set = g.http_fail_codes.get_or_insert(StatusSet::FAILURES);
            codes(cx, args, set)
        },
    ),
    global(
        "h1-case-adjust",
        "<from> <to>",
        "3.1",
        "case of a header name for HTTP/1 peers that insist on it",
        h1_case_adjust,
    ),
    global(
        "h1-case-adjust-file",
        "<file>",
        "3.1",
        "as h1-case-adjust, from a file",
        |cx, g, args| {
            g.h1_case_adjust_file = Some(last_string(cx, args, "a file name")?);
            Ok(())
        },
    ),
    global(
        "dns-accept-family",
        "<family>[,...]",
        "3.1",
        "address families that names are resolved to",
        dns_accept_family,
    ),
    global(
        "httpclient.resolvers.disabled",
        "<on|off>",
        "3.4",
        "whether the section 'default' is made of /etc/resolv.conf",
        |cx, g, args| {
            let value = args.choice(cx, &[("on", true), ("off", false)])?;
            g.no_default_resolvers = Some(value);
            args.end(cx)
        },
    ),
    global(
        "httpclient.resolvers.prefer",
        "<ipv4|ipv6>",
        "3.4",
        "which addresses of authorities are tried first",
        |cx, g, args| {
            const FAMILIES: &[(&str, AddressFamily)] =
                &[("ipv4", AddressFamily::V4), ("ipv6", AddressFamily::V6)];
            g.http_client.prefer = Some(args.choice(cx, FAMILIES)?);
            args.end(cx)
        },
    ),
    global(
        "httpclient.retries",
        "<number>",
        "3.4",
        "attempts after the first to connect",
        |cx, g, args| {
            g.http_client.retries = Some(args.number(cx, 0..=100)?);
            args.end(cx)
        },
    ),
    global(
        "httpclient.ssl.ca-file",
        "<cafile>",
        "3.4",
        "who is trusted to say which server is which",
        |cx, g, args| {
            g.http_client.ca_file = Some(last_string(cx, args, "a file")?);
            Ok(())
        },
    ),
    global(
        "httpclient.ssl.verify",
        "[none|required]",
        "3.4",
        "whether servers must prove who they are",
        |cx, g, args| {
            g.http_client.verify = Some(args.choice(cx, &[("none", false), ("required", true)])?);
            args.end(cx)
        },
    ),
    global(
        "httpclient.timeout.connect",
        "<timeout>",
        "3.4",
        "longest time to connect",
        |cx, g, args| {
            g.http_client.connect = Some(args.timer(cx)?);
            args.end(cx)
        },
    ),
    global(
        "h1-accept-payload-with-any-method",
        "",
        "3.1",
        "takes requests in HTTP/1.0 with a payload whatever their method",
        |cx, g, args| {
            g.h1_accept_payload_with_any_method = Some(args.span());
            args.end(cx)
        },
    ),
    global(
        "h1-do-not-close-on-insecure-transfer-encoding",
        "",
        "3.1",
        "keeps connections after messages with two lengths",
        |cx, g, args| {
            g.h1_do_not_close_on_insecure_transfer_encoding = Some(args.span());
            args.end(cx)
        },
    ),
    global(
        "h2-workaround-bogus-websocket-clients",
        "",
        "3.1",
        "does not tell clients that WebSocket works over HTTP/2",
        |cx, g, args| {
            let on = args.polarity == Polarity::Set;
            g.h2_workaround_bogus_websocket_clients = on.then(|| args.span());
            args.end(cx)
        },
    )
    .negatable(),
    global("gid", "<number>", "3.1", "group number of the process", |cx, g, args| {
        g.gid = Some(args.number(cx, 0..=u32::MAX)?);
        args.end(cx)
    }),
    global("grace", "<time>", "3.1", "delay before a soft stop", |cx, g, args| {
        g.grace = Some(args.timer(cx)?);
        args.end(cx)
    }),
    global("group", "<name>", "3.1", "group name of the process", |cx, g, args| {
        g.group = Some(last_string(cx, args, "a group name")?);
        Ok(())
    }),
    global("hard-stop-after", "<time>", "3.1", "longest soft stop", |cx, g, args| {
        g.hard_stop_after = Some(args.timer(cx)?);
        args.end(cx)
    }),
    global("localpeer", "<name>", "3.1", "name of this peer", |cx, g, args| {
        let name = last_string(cx, args, "a name")?;
        if cx.options.has_local_peer || cx.peers_seen {
            let why = match cx.peers_seen {
                true => "a 'peers' section stands before it",
                false => "the command line has '-L'",
            };
            cx.warn(name.span, format!("'localpeer' ignored: {why}"));
            return Ok(());
        }
        cx.env.set("HAPROXY_LOCALPEER", name.value.clone());
        g.localpeer = Some(name);
        Ok(())
    }),
    global(
        "log",
        "<target> [len <length>] [format <format>] <facility> [<level> [<minlevel>]]",
        "3.1",
        "adds a log target",
        |cx, g, args| {
            if args.polarity == Polarity::No {
                args.end(cx)?;
                g.logs.clear();
                cx.global_logs = 0;
                return Ok(());
            }
            g.logs.push(log::target(cx, args)?);
            cx.global_logs = g.logs.len();
            Ok(())
        },
    )
    .negatable(),
    global(
        "log-send-hostname",
        "[<string>]",
        "3.1",
        "host name in syslog headers",
        |cx, g, args| {
            let span = args.span();
            let name = args.optional().map(|word| args.text(cx, word)).transpose()?;
            args.end(cx)?;
            g.log_send_hostname = Some(Spanned::new(name.map(|name| name.value), span));
            Ok(())
        },
    ),
    global("log-tag", "<string>", "3.1", "tag in syslog headers", |cx, g, args| {
        g.log_tag = Some(last_string(cx, args, "a tag")?);
        Ok(())
    }),
    global(
        "master-worker",
        "{exit-on-failure|no-exit-on-failure}",
        "3.1",
        "a master supervises the worker",
        |cx, g, args| {
            let exit_on_failure = match args.peek() {
                None => {
                    let message = "'master-worker' without an argument is not supported anymore since version 3.5";
                    let help = "start the process with -W or -Ws instead";
                    return Err(cx.report(Diagnostic::alert(message).at(args.span()).help(help)));
                }
                Some(_) => {
                    args.choice(cx, &[("exit-on-failure", true), ("no-exit-on-failure", false)])?
                        .value
                }
            };
            g.master_worker = Some(Spanned::new(MasterWorker { exit_on_failure }, args.span()));
            args.end(cx)
        },
    ),
    global(
        "mworker-max-reloads",
        "<number>",
        "3.1",
        "reloads that an old worker survives",
        |cx, g, args| {
            g.mworker_max_reloads = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global("nbthread", "<number>", "3.1", "number of threads", |cx, g, args| {
        g.nbthread = Some(args.number(cx, 1..=THREADS_MAX)?);
        args.end(cx)
    }),
    global("node", "<name>", "3.1", "name of this node", |cx, g, args| {
        g.node = Some(last_string(cx, args, "a name")?);
        Ok(())
    }),
    global("pidfile", "<pidfile>", "3.1", "file for the process id", |cx, g, args| {
        g.pidfile = Some(last_string(cx, args, "a file name")?);
        Ok(())
    }),
    global("quiet", "", "3.3", "no messages while starting", |cx, g, args| {
        g.quiet = Some(args.span());
        args.end(cx)
    }),
    global("stats", "{socket|timeout|maxconn} ...", "3.1", "the runtime API", stats),
    global("uid", "<number>", "3.1", "user number of the process", |cx, g, args| {
        g.uid = Some(args.number(cx, 0..=u32::MAX)?);
        args.end(cx)
    }),
    global("ulimit-n", "<number>", "3.1", "file descriptors of the process", |cx, g, args| {
        g.ulimit_n = Some(args.number(cx, 1..=COUNT_MAX)?);
        args.end(cx)
    }),
    global("user", "<name>", "3.1", "user name of the process", |cx, g, args| {
        g.user = Some(last_string(cx, args, "a user name")?);
        Ok(())
    }),
    global("zero-warning", "", "3.3", "warnings stop the start", |cx, g, args| {
        g.zero_warning = Some(args.span());
        args.end(cx)
    }),
];

fn dns_accept_family(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "'ipv4', 'ipv6' and 'auto', separated by commas";
    let word = args.string(cx, WHAT)?;
    let (mut v4, mut v6, mut auto) = (false, false, false);
    for family in between_commas(&word) {
        match family.value {
            "ipv4" => v4 = true,
            "ipv6" => v6 = true,
            "auto" => auto = true,
            other => {
                let message = format!("'{}' : unknown family '{other}'", args.name());
                let diagnostic = Diagnostic::alert(message).at(family.span);
                return Err(cx.report(diagnostic.expected(format!("expected {WHAT}"))));
            }
        }
    }
    let value = match (auto, v4, v6) {
        (true, ..) => AcceptFamily::Auto,
        (false, true, false) => AcceptFamily::Only(AddressFamily::V4),
        (false, false, true) => AcceptFamily::Only(AddressFamily::V6),
        (false, ..) => AcceptFamily::Both,
    };
    g.dns_accept_family = Some(Spanned::new(value, word.span));
    args.end(cx)
}

fn default_path(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    const CHOICES: &[(&str, u8)] = &[("current", 0), ("config", 1), ("parent", 2), ("origin", 3)];
    let span = args.span();
    let value = match args.choice(cx, CHOICES)?.value {
        0 => DefaultPath::Current,
        1 => DefaultPath::Config,
        2 => DefaultPath::Parent,
        _ => DefaultPath::Origin(args.string(cx, "a directory after 'origin'")?.value),
    };
    args.end(cx)?;
    g.default_path = Some(Spanned::new(value, span));
    Ok(())
}

pub(crate) const STATS: Table<Parse> = &[&[
    global(
        "calculate-max-counters",
        "[on|off]",
        "3.1",
        "whether the highest values are kept, too",
        |cx, g, args| {
            let on = match args.peek() {
                None => Spanned::new(true, args.span()),
                Some(_) => args.choice(cx, &[("off", false), ("on", true)])?,
            };
            g.stats.max_counters = Some(on);
            args.end(cx)
        },
    ),
    global("maxconn", "<connections>", "3.1", "connections of the runtime API", |cx, g, args| {
        g.stats.maxconn = Some(args.number(cx, 1..=COUNT_MAX)?);
        args.end(cx)
    }),
    global(
        "socket",
        "[<address:port>|<path>] [param*]",
        "3.1",
        "where the runtime API listens",
        |cx, g, args| {
            let socket = bind::bind(cx, args, "in 'global' section")?;
            g.stats.sockets.push(socket);
            Ok(())
        },
    ),
    global("timeout", "<timeout>", "3.1", "inactivity of the runtime API", |cx, g, args| {
        let value = args.timer(cx)?;
        if value.is_zero() {
            return Err(args.wrong(cx, value.span, "a positive delay is expected"));
        }
        g.stats.timeout = Some(value);
        args.end(cx)
    }),
]];

fn stats(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "'socket', 'timeout' or 'maxconn'";
    let Some(word) = args.deepen() else { return Err(args.missing(cx, WHAT)) };
    let Some(row) = find(STATS, &word.value) else {
        let message = format!("'stats' expects {WHAT} in 'global' section, got '{}'", word.value);
        let near = suggest(STATS, &word.value);
        return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
    };
    let parse = cx.carried(row, "'stats' keyword", "in 'global' section", word.span)?;
    parse(cx, g, args)
}

/// One line of the section.
pub(crate) fn line(cx: &mut Context<'_>, global: &mut Global, args: &mut Args<'_>) -> Parsed {
    let place = "in 'global' section";
    let Some(row) = find(GLOBAL, args.name()) else {
        let message = format!("unknown keyword '{}' {place}", args.name());
        let near = suggest(GLOBAL, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    check_polarity(cx, row, args)?;
    let span = args.keyword_span();
    check_shape(cx, row, args, true)?;
    let parse = cx.carried(row, "keyword", place, span)?;
    parse(cx, global, args)?;
    if args.name().starts_with("ssl-default-") {
        global.tls.step(args.span());
    }
    Ok(())
}
