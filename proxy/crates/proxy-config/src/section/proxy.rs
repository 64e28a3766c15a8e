//! `defaults`, `frontend`, `backend` and `listen` sections (configuration manual, 4.2).

use proxy_types::time::Unit;
use proxy_types::{Diagnostic, Endpoint, Mode, PortSpec, Spanned};

use crate::args::{Args, Polarity, last_string, last_word, rest_text};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Table, find, not_yet, removed, row, suggest};
use crate::lexer::between_commas;
use crate::line::{
    balance, bind, capture, cert, check, error_page, filter, log, mail, option, persist, retry,
    rules, server, server_address, shared, stats, stick, timeout,
};
use crate::model::{HttpReuse, LogEntry, LogStep, Proxy, ProxyKind, RuleSet, StateSource};
use crate::place::{check_polarity, check_section, check_shape};

pub(crate) type Parse = fn(&mut Context<'_>, &mut Proxy, &mut Args<'_>) -> Parsed;

const M: &str = "4.2";

pub(crate) const PROXY: Table<Parse> = &[
    CARRIED,
    persist::PERSISTENCE,
    stick::STICK,
    super::sluice::PROXY,
    REMOVED,
    SWITCHING,
    CERTIFICATES,
    &not_yet(On::NAMED_FE, M, "QUIC", ["quic-initial"]),
];

/// Which backends rules may choose.
const SWITCHING: &[Row<Parse>] = &[
    row(
        "use-fcgi-app",
        On::BE,
        "<name>",
        M,
        "the FastCGI application that servers with 'proto fcgi' run",
        |cx, p, args| {
            let name = last_string(cx, args, "the name of an 'fcgi-app' section")?;
            if let Some(known) = &p.fcgi_app {
                let message = "'use-fcgi-app' is there already";
                let diagnostic = Diagnostic::alert(message).at(name.span);
                return Err(cx.report(diagnostic.label(known.span, "here")));
            }
            p.fcgi_app = Some(name);
            Ok(())
        },
    ),
    row("be-unpublished", On::BE, "", M, "rules of other sections pass it over", |cx, p, args| {
        p.unpublished = Some(args.span());
        args.end(cx)
    }),
    row(
        "force-be-switch",
        On::FE,
        "{if|unless} <condition>",
        M,
        "when disabled and unpublished backends are chosen, too",
        |cx, p, args| match rules::condition(cx, args)? {
            Some(condition) => {
                p.force_switch.push(condition);
                Ok(())
            }
            None => Err(args.missing(cx, "'if' or 'unless' and a condition")),
        },
    ),
];

const CERTIFICATES: &[Row<Parse>] = &[
    removed("crt", "3.2", "use 'ssl-f-use crt <file>'"),
    row(
        "ssl-f-use",
        On::FE,
        "crt <filename> [param*]",
        M,
        "a certificate of all 'bind' lines with 'ssl'",
        cert::ssl_f_use,
    ),
];

const CARRIED: &[Row<Parse>] = &[
    row(
        "acl",
        On::NAMED_FE_BE,
        "<aclname> <criterion> [flags] [operator] <value> ...",
        M,
        "names a condition",
        rules::acl,
    ),
    row("backlog", On::DEF_FE, "<conns>", M, "length of the listen queues", |cx, p, args| {
        p.settings.backlog = Some(args.number(cx, 0..=i32::MAX as u32)?);
        args.end(cx)
    }),
    row(
        "balance",
        On::DEF_BE,
        "<algorithm> [<arguments>]",
        M,
        "how a server is chosen",
        balance::balance,
    ),
    row(
        "bind",
        On::FE,
        "[<address>]:<port_range> [, ...] [param*]",
        M,
        "where clients connect",
        |cx, p, args| {
            let bind = bind::bind(cx, args, &format!("in {}", p.label()))?;
            p.binds.push(bind);
            Ok(())
        },
    ),
    row(
        "compression",
        On::ALL,
        "<setting> [<arguments>]",
        M,
        "compresses payload",
        filter::compression,
    ),
    row(
        "default-server",
        On::DEF_BE,
        "[param*]",
        M,
        "options of the servers that follow",
        server::default_server,
    ),
    row(
        "default_backend",
        On::DEF_FE,
        "<backend>",
        M,
        "backend when no use_backend holds",
        |cx, p, args| {
            p.settings.default_backend = Some(last_string(cx, args, "a backend name")?);
            Ok(())
        },
    ),
    row(
        "capture",
        On::FE,
        "{cookie|request header|response header} <name> len <length>",
        M,
        "values for log lines",
        capture::capture,
    ),
    row(
        "declare",
        On::FE,
        "capture {request|response} len <length>",
        M,
        "a slot for a captured value",
        capture::declare,
    ),
    row("description", On::FE_BE, "<string>", M, "text of the statistics", |cx, p, args| {
        p.description = Some(rest_text(cx, args, "a text")?);
        Ok(())
    }),
    row("disabled", On::ALL, "", M, "switches the section off", |cx, p, args| {
        p.settings.disabled = Some(Spanned::new(true, args.span()));
        args.end(cx)
    }),
    row("enabled", On::ALL, "", M, "cancels disabled", |cx, p, args| {
        p.settings.disabled = Some(Spanned::new(false, args.span()));
        args.end(cx)
    }),
    row(
        "error-log-format",
        On::DEF_FE,
        "<fmt>",
        M,
        "text of log lines of what went wrong",
        |cx, p, args| {
            let text = last_word(cx, args, "a log format (quote it when it has spaces)")?;
            p.settings.error_log_format = Some(text);
            Ok(())
        },
    ),
    row("filter", On::FE_BE, "<name> [param*]", M, "adds a filter", filter::filter),
    row(
        "filter-sequence",
        On::FE_BE,
        "{request|response} <name>[,<name>]*",
        M,
        "which filters have their turn, and in which order",
        filter::sequence,
    ),
    row(
        "fullconn",
        On::DEF_BE,
        "<conns>",
        M,
        "load of the backend at which servers reach their maxconn",
        |cx, p, args| {
            p.settings.fullconn = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row(
        "errorfile",
        On::ALL,
        "<code> <file>",
        M,
        "reply of a file instead of an error",
        error_page::errorfile,
    ),
    row(
        "errorfiles",
        On::ALL,
        "<name> [<code> ...]",
        M,
        "replies of an http-errors section",
        error_page::errorfiles,
    ),
    row(
        "load-server-state-from-file",
        On::DEF_BE,
        "{ global | local | none }",
        M,
        "whether servers begin in the states of a file",
        |cx, p, args| {
            let source = args.choice(
                cx,
                &[
                    ("global", StateSource::Global),
                    ("local", StateSource::Local),
                    ("none", StateSource::None),
                ],
            )?;
            p.settings.server_states = Some(source);
            args.end(cx)
        },
    ),
    row(
        "server-state-file-name",
        On::BE,
        "[ use-backend-name | <file> ]",
        M,
        "file with the states of the servers",
        |cx, p, args| {
            let name = args.optional().map(|word| args.text(cx, word)).transpose()?;
            p.server_state_file = name.filter(|name| name.value != "use-backend-name");
            args.end(cx)
        },
    ),
    row(
        "errorloc",
        On::ALL,
        "<code> <url>",
        M,
        "redirection instead of an error",
        error_page::errorloc,
    ),
    row(
        "errorloc302",
        On::ALL,
        "<code> <url>",
        M,
        "redirection instead of an error",
        error_page::errorloc,
    ),
    row(
        "errorloc303",
        On::ALL,
        "<code> <url>",
        M,
        "redirection to another method instead of an error",
        error_page::errorloc,
    ),
    row(
        "http-error",
        On::ALL,
        "status <code> [content-type <type>] [<source> <argument>] [hdr <name> <fmt>]*",
        M,
        "reply of any form instead of an error",
        error_page::http_error,
    ),
    row("guid", On::FE_BE, "<string>", M, "identifier that is unique in the configuration", guid),
    row(
        "hash-balance-factor",
        On::DEF_BE,
        "<factor>",
        M,
        "how far above the average load a hash may go",
        balance::hash_balance_factor,
    ),
    row(
        "hash-preserve-affinity",
        On::DEF_BE,
        "{ always | maxconn | maxqueue }",
        M,
        "when a hash gives its server up",
        balance::hash_preserve_affinity,
    ),
    row(
        "hash-type",
        On::DEF_BE,
        "<method> [<function> [<modifier>]]",
        M,
        "how a hash maps to servers",
        balance::hash_type,
    ),
    row(
        "http-after-response",
        On::NAMED_FE_BE,
        "<action> [{if|unless} <condition>]",
        M,
        "rules on every response",
        |cx, p, args| rules::rule(cx, p, args, RuleSet::HttpAfterResponse),
    ),
    row(
        "email-alert",
        On::ALL,
        "{from|level|mailers|myhostname|to} <value>",
        M,
        "mail about servers that change their state",
        mail::email_alert,
    ),
    row(
        "external-check",
        On::DEF_BE,
        "{command|path} <value>",
        M,
        "the program of 'option external-check'",
        check::external_line,
    ),
    row(
        "http-check",
        On::DEF_BE,
        "<rule> [<arguments>]",
        M,
        "a rule of 'option httpchk'",
        check::http_rule,
    ),
    row(
        "http-request",
        On::NAMED_FE_BE,
        "<action> [{if|unless} <condition>]",
        M,
        "rules on requests",
        |cx, p, args| rules::rule(cx, p, args, RuleSet::HttpRequest),
    ),
    row(
        "http-response",
        On::NAMED_FE_BE,
        "<action> [{if|unless} <condition>]",
        M,
        "rules on responses of servers",
        |cx, p, args| rules::rule(cx, p, args, RuleSet::HttpResponse),
    ),
    row(
        "http-reuse",
        On::DEF_BE,
        "{never|safe|aggressive|always}",
        M,
        "which connections to servers requests may share",
        |cx, p, args| {
            const MODES: &[(&str, HttpReuse)] = &[
                ("never", HttpReuse::Never),
                ("safe", HttpReuse::Safe),
                ("aggressive", HttpReuse::Aggressive),
                ("always", HttpReuse::Always),
            ];
            p.settings.http_reuse = Some(args.choice(cx, MODES)?);
            args.end(cx)
        },
    ),
    row(
        "http-send-name-header",
        On::DEF_BE,
        "<header>",
        M,
        "header that tells servers their names",
        |cx, p, args| {
            let name = args.string(cx, "a header name")?;
            let fixed = ["host", "content-length", "transfer-encoding", "connection"];
            if !option::is_header_name(&name) || fixed.contains(&name.to_lowercase().as_str()) {
                let message = format!("'{name}' cannot be used as header for the server's name");
                return Err(args.wrong(cx, name.span, message));
            }
            p.settings.http_send_name_header = Some(name);
            args.end(cx)
        },
    ),
    row("id", On::FE_BE, "<value>", M, "number in the statistics", |cx, p, args| {
        p.id = Some(args.number(cx, 1..=i32::MAX as u32)?);
        args.end(cx)
    }),
    row(
        "log",
        On::ALL,
        "global | <target> [len <length>] [format <format>] <facility> [<level> [<minlevel>]]",
        M,
        "adds a log target",
        log_line as Parse,
    )
    .negatable(),
    row("log-format", On::DEF_FE, "<fmt>", M, "text of log lines", |cx, p, args| {
        let text = last_word(cx, args, "a log format (quote it when it has spaces)")?;
        p.settings.log_format = Some(text);
        p.settings.log_option = None;
        Ok(())
    }),
    row(
        "log-format-sd",
        On::DEF_FE,
        "<fmt>",
        M,
        "structured data of lines in format rfc5424",
        |cx, p, args| {
            let text = last_word(cx, args, "a log format (quote it when it has spaces)")?;
            p.settings.log_format_sd = Some(text);
            Ok(())
        },
    ),
    row("log-steps", On::DEF_FE, "<steps>", M, "when log lines are made", log_steps as Parse),
    row("log-tag", On::ALL, "<string>", M, "tag in syslog headers", |cx, p, args| {
        p.settings.log_tag = Some(last_string(cx, args, "a tag")?);
        Ok(())
    }),
    row("maxconn", On::DEF_FE, "<conns>", M, "connections of the frontend", |cx, p, args| {
        p.settings.maxconn = Some(args.number(cx, 0..=i32::MAX as u32)?);
        args.end(cx)
    }),
    row("mode", On::ALL, "{tcp|http}", M, "what the proxy speaks", mode),
    row(
        "clitcpka-cnt",
        On::DEF_FE,
        "<count>",
        M,
        "probes of 'option clitcpka' before a client is lost",
        |cx, p, args| {
            p.settings.clitcpka.count = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row(
        "clitcpka-idle",
        On::DEF_FE,
        "<timeout>",
        M,
        "silence before the first probe",
        |cx, p, args| {
            p.settings.clitcpka.idle = Some(args.timer_in(cx, Unit::Second)?);
            args.end(cx)
        },
    ),
    row("clitcpka-intvl", On::DEF_FE, "<timeout>", M, "time between probes", |cx, p, args| {
        p.settings.clitcpka.interval = Some(args.timer_in(cx, Unit::Second)?);
        args.end(cx)
    }),
    row(
        "max-keep-alive-queue",
        On::DEF_BE,
        "<value>",
        M,
        "queue of a server beyond which its idle connection is left",
        |cx, p, args| {
            p.settings.max_keep_alive_queue = Some(args.number(cx, -1..=i32::MAX)?);
            args.end(cx)
        },
    ),
    row(
        "max-session-srv-conns",
        On::DEF_FE,
        "<nb>",
        M,
        "idle server connections that a session may keep to itself",
        |cx, p, args| {
            p.settings.max_session_srv_conns = Some(args.number(cx, 0..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row(
        "rate-limit",
        On::DEF_FE,
        "sessions <rate>",
        M,
        "new sessions per second",
        |cx, p, args| {
            args.choice(cx, &[("sessions", ())])?;
            p.settings.rate_limit_sessions = Some(args.number(cx, 0..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row(
        "srvtcpka-cnt",
        On::DEF_BE,
        "<count>",
        M,
        "probes of 'option srvtcpka' before a server is lost",
        |cx, p, args| {
            p.settings.srvtcpka.count = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row(
        "srvtcpka-idle",
        On::DEF_BE,
        "<timeout>",
        M,
        "silence before the first probe",
        |cx, p, args| {
            p.settings.srvtcpka.idle = Some(args.timer_in(cx, Unit::Second)?);
            args.end(cx)
        },
    ),
    row("srvtcpka-intvl", On::DEF_BE, "<timeout>", M, "time between probes", |cx, p, args| {
        p.settings.srvtcpka.interval = Some(args.timer_in(cx, Unit::Second)?);
        args.end(cx)
    }),
    row(
        "monitor",
        On::FE,
        "fail {if|unless} <condition>",
        M,
        "when the monitor's answer is a failure",
        rules::monitor as Parse,
    ),
    row(
        "monitor-uri",
        On::DEF_FE,
        "<uri>",
        M,
        "path that tells that the balancer lives",
        |cx, p, args| {
            p.settings.monitor_uri = Some(last_string(cx, args, "a URI")?);
            Ok(())
        },
    ),
    row("option", On::ALL, "<name> [<arguments>]", M, "sets an option", option::option as Parse)
        .negatable(),
    row(
        "redirect",
        On::FE_BE,
        "{location|prefix|scheme} <to> [code <code>] <option> [{if|unless} <condition>]",
        M,
        "redirects after the http-request rules",
        |cx, p, args| rules::rule(cx, p, args, RuleSet::Redirect),
    ),
    row(
        "retry-on",
        On::DEF_BE,
        "<keyword|status>*",
        M,
        "failures that are tried again",
        retry::retry_on,
    ),
    row(
        "retries",
        On::DEF_BE,
        "<value>",
        M,
        "attempts after a failed connection",
        |cx, p, args| {
            p.settings.retries = Some(args.number(cx, 0..=1000)?);
            args.end(cx)
        },
    ),
    row("server", On::BE, "<name> <address>[:[port]] [param*]", M, "adds a server", server::server),
    row(
        "server-template",
        On::BE,
        "<prefix> <num | range> <fqdn>[:<port>] [param*]",
        M,
        "adds servers that differ by their names",
        server::template,
    ),
    row(
        "source",
        On::DEF_BE,
        "<addr>[:<port>] [usesrc {<addr>|client|clientip|hdr_ip(<hdr>[,<occ>])}] [interface <name>]",
        M,
        "where connections to servers come from",
        |cx, p, args| {
            let source = server_address::source_address(cx, args)?;
            if matches!(
                source.address.endpoint,
                Endpoint::Inet { port: PortSpec::Range { .. }, .. }
            ) {
                return Err(args.wrong(cx, source.span, "port range not permitted here"));
            }
            p.settings.source = Some(source);
            args.end(cx)
        },
    ),
    row("stats", On::ALL, "<setting> [<arguments>]", M, "the statistics page", stats::stats),
    row(
        "tcp-check",
        On::DEF_BE,
        "<rule> [<arguments>]",
        M,
        "a rule of 'option tcp-check'",
        check::tcp_rule,
    ),
    row(
        "tcp-request",
        On::ALL,
        "{connection|session|content} <action> ... | inspect-delay <timeout>",
        M,
        "rules on connections",
        rules::tcp_request,
    ),
    row(
        "tcp-response",
        On::ALL,
        "content <action> ... | inspect-delay <timeout>",
        M,
        "rules on responses over TCP",
        rules::tcp_response,
    ),
    row("timeout", On::ALL, "<name> <timeout>", M, "how long to wait", timeout::timeout),
    row("unique-id-format", On::ALL, "<fmt>", M, "text of unique ids", |cx, p, args| {
        p.settings.unique_id_format = Some(last_word(cx, args, "a log format")?);
        Ok(())
    }),
    row(
        "unique-id-header",
        On::DEF_FE,
        "<name>",
        M,
        "header field that carries the unique id",
        |cx, p, args| {
            p.settings.unique_id_header = Some(last_string(cx, args, "the name of a field")?);
            Ok(())
        },
    ),
    row(
        "use_backend",
        On::FE,
        "<backend> [{if|unless} <condition>]",
        M,
        "backend when a condition holds",
        rules::use_backend,
    ),
];

const REMOVED: &[Row<Parse>] = &[
    removed("appsession", "1.6", "use 'cookie' or a stick table"),
    removed("bind-process", "2.5", "use 'thread' on 'bind' lines"),
    removed("block", "2.1", "use 'http-request deny'"),
    removed("clitimeout", "2.1", "use 'timeout client'"),
    removed("contimeout", "2.1", "use 'timeout connect', 'timeout queue' or 'timeout tarpit'"),
    removed("dispatch", "3.5", "use a 'server' line with the address"),
    removed("grace", "2.5", "use 'grace' in the global section"),
    removed("monitor-net", "2.5", "use 'http-request return status 200 if { src <network> }'"),
    removed("redispatch", "2.1", "use 'option redispatch'"),
    removed("reqadd", "2.1", "use 'http-request add-header'"),
    removed("reqallow", "2.1", "use 'http-request allow'"),
    removed("reqdel", "2.1", "use 'http-request del-header'"),
    removed("reqdeny", "2.1", "use 'http-request deny'"),
    removed("reqiallow", "2.1", "use 'http-request allow'"),
    removed("reqidel", "2.1", "use 'http-request del-header'"),
    removed("reqideny", "2.1", "use 'http-request deny'"),
    removed("reqipass", "2.1", "use 'http-request' with a condition"),
    removed("reqirep", "2.1", "use 'http-request replace-header' or 'replace-uri'"),
    removed("reqitarpit", "2.1", "use 'http-request tarpit'"),
    removed("reqpass", "2.1", "use 'http-request' with a condition"),
    removed("reqrep", "2.1", "use 'http-request replace-header' or 'replace-uri'"),
    removed("reqtarpit", "2.1", "use 'http-request tarpit'"),
    removed("rspadd", "2.1", "use 'http-response add-header'"),
    removed("rspdel", "2.1", "use 'http-response del-header'"),
    removed("rspdeny", "2.1", "use 'http-response deny'"),
    removed("rspidel", "2.1", "use 'http-response del-header'"),
    removed("rspideny", "2.1", "use 'http-response deny'"),
    removed("rspirep", "2.1", "use 'http-response replace-header'"),
    removed("rsprep", "2.1", "use 'http-response replace-header'"),
    removed("srvtimeout", "2.1", "use 'timeout server'"),
    removed("transparent", "3.5", "use 'server <name> 0.0.0.0'"),
];

fn log_steps(cx: &mut Context<'_>, p: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "'all', or a list of accept, connect, request, response and close";
    let word = args.string(cx, WHAT)?;
    let mut steps = Vec::new();
    for name in between_commas(&word) {
        match LogStep::OF_STREAMS.iter().find(|(known, _)| *known == name.value) {
            Some((_, step)) => steps.push(*step),
            None if name.value == "all" => {
                steps.extend(LogStep::OF_STREAMS.iter().map(|(_, step)| *step));
            }
            None => {
                let message = format!("'{}' : unknown step '{}'", args.name(), name.value);
                let diagnostic = Diagnostic::alert(message).at(name.span);
                return Err(cx.report(diagnostic.expected(format!("expected {WHAT}"))));
            }
        }
    }
    p.settings.log_steps = Some(Spanned::new(steps, word.span));
    args.end(cx)
}

pub(crate) fn log_line(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    if args.polarity != Polarity::Set {
        args.end(cx)?;
        proxy.settings.logs.clear();
        return Ok(());
    }
    let entry = match args.accept("global") {
        Some(_) => {
            args.end(cx)?;
            LogEntry::Global { span: args.span(), targets: cx.global_logs }
        }
        None => LogEntry::Target(log::target(cx, args)?),
    };
    proxy.settings.logs.push(entry);
    Ok(())
}

fn mode(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let word = args.word(cx, "'tcp' or 'http'")?;
    let value = match word.value.as_str() {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "udp" => Mode::Udp,
        "health" => {
            let text = "'mode health' is not supported anymore since version 2.5";
            let help = "use 'http-request return status 200' in a frontend of 'mode http'";
            return Err(cx.report(Diagnostic::alert(text).at(word.span).help(help)));
        }
        "log" if proxy.kind == ProxyKind::Backend || proxy.kind == ProxyKind::Defaults => Mode::Log,
        "log" => {
            let text = format!("'mode log' is not possible in a '{}' section", proxy.kind.as_str());
            let help = "only backends take log messages";
            return Err(cx.report(Diagnostic::alert(text).at(word.span).help(help)));
        }
        "spop" | "haterm" => {
            return Err(
                cx.alert(word.span, format!("'mode {}': known, not carried yet", word.value))
            );
        }
        other => {
            let near = proxy_types::text::nearest(other, ["tcp", "http"]);
            let message = format!("unknown proxy mode '{other}'");
            return Err(cx.report(
                Diagnostic::alert(message)
                    .at(word.span)
                    .expected("expected 'tcp' or 'http'")
                    .did_you_mean(near),
            ));
        }
    };
    args.end(cx)?;
    proxy.settings.mode = Some(Spanned::new(value, word.span));
    Ok(())
}

fn guid(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    proxy.guid = Some(shared::guid(cx, args)?);
    args.end(cx)
}

/// One line of such a section.
pub(crate) fn line(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let Some(row) = find(PROXY, args.name()) else {
        let message =
            format!("unknown keyword '{}' in '{}' section", args.name(), proxy.kind.as_str());
        let near = suggest(PROXY, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    check_polarity(cx, row, args)?;
    check_section(cx, row, proxy, args)?;
    let span = args.keyword_span();
    check_shape(cx, row, args, true)?;
    let parse =
        cx.carried(row, "keyword", format_args!("in '{}' section", proxy.kind.as_str()), span)?;
    parse(cx, proxy, args)
}
