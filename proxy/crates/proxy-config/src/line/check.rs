//! `option httpchk`, `option tcp-check`, `http-check` and `tcp-check` (configuration manual, 4.2). The rules
//! are kept as words; `proxy-rules` compiles them.

use proxy_types::{Diagnostic, Spanned};

use crate::args::{Args, Polarity};
use crate::context::{Context, Parsed};
use crate::model::{CheckLine, CheckOption, Checks, MySqlForm, MySqlUser, Protocol, Proxy};

/// `option httpchk [<method>] [<uri> [<version> [<host>]]]`; one word is the URI.
pub(crate) fn httpchk(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let is_http = |option: &CheckOption| matches!(option, CheckOption::Http { .. });
    if args.polarity != Polarity::Set {
        return switch_off(cx, checks, args, is_http);
    }
    for word in args.clone().rest() {
        args.text(cx, word)?;
    }
    let mut words = args.rest().iter().cloned();
    let first = words.next();
    let second = words.next();
    let (method, uri) = match (first, second) {
        (uri, None) => (None, uri),
        (method, uri) => (method, uri),
    };
    let (version, host) = (words.next(), words.next());
    if let Some(word) = words.next() {
        return Err(args.wrong(cx, word.span, "'option httpchk' takes four words at most"));
    }
    if let Some(version) = &version
        && version.value.contains(['\r', '\n'])
    {
        let message = "'option httpchk' : hiding headers or body at the end of the version string is \
                       not supported anymore";
        return Err(cx.report(
            Diagnostic::alert(message).at(version.span).help("use 'http-check send' instead"),
        ));
    }
    let option = CheckOption::Http { method, uri, version, host };
    checks.option = Some(Spanned::new(option, span));
    Ok(())
}

pub(crate) fn tcp_check(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    if args.polarity != Polarity::Set {
        return switch_off(cx, checks, args, |option| *option == CheckOption::Tcp);
    }
    args.end(cx)?;
    checks.option = Some(Spanned::new(CheckOption::Tcp, args.span()));
    Ok(())
}

/// An option that makes checks speak a protocol.
fn protocol(
    cx: &mut Context<'_>,
    checks: &mut Checks,
    args: &mut Args<'_>,
    is_it: impl Fn(&Protocol) -> bool,
    parse: impl FnOnce(&mut Context<'_>, &mut Args<'_>) -> Parsed<Protocol>,
) -> Parsed {
    if args.polarity != Polarity::Set {
        return switch_off(cx, checks, args, |option| match option {
            CheckOption::Protocol(protocol) => is_it(protocol),
            _ => false,
        });
    }
    let span = args.span();
    let protocol = parse(cx, args)?;
    args.end(cx)?;
    checks.option = Some(Spanned::new(CheckOption::Protocol(protocol), span));
    Ok(())
}

pub(crate) fn ldap(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    protocol(cx, checks, args, |p| *p == Protocol::Ldap, |_, _| Ok(Protocol::Ldap))
}

pub(crate) fn spop(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    protocol(cx, checks, args, |p| *p == Protocol::Spop, |_, _| Ok(Protocol::Spop))
}

pub(crate) fn external(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    if args.polarity != Polarity::Set {
        return switch_off(cx, checks, args, |option| *option == CheckOption::External);
    }
    args.end(cx)?;
    checks.option = Some(Spanned::new(CheckOption::External, args.span()));
    Ok(())
}

/// `external-check command <command>` and `external-check path <path>`.
pub(crate) fn external_line(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
) -> Parsed {
    let is_command = args.choice(cx, &[("command", true), ("path", false)])?.value;
    let checks = &mut proxy.settings.checks;
    if is_command {
        checks.command = Some(args.string(cx, "a command")?);
    } else {
        checks.path = Some(args.string(cx, "a list of directories")?);
    }
    args.end(cx)
}

pub(crate) fn redis(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    protocol(cx, checks, args, |p| *p == Protocol::Redis, |_, _| Ok(Protocol::Redis))
}

pub(crate) fn ssl_hello(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    protocol(cx, checks, args, |p| *p == Protocol::SslHello, |_, _| Ok(Protocol::SslHello))
}

/// `option pgsql-check user <username>`
pub(crate) fn pgsql(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    let is_it = |protocol: &Protocol| matches!(protocol, Protocol::PgSql(_));
    protocol(cx, checks, args, is_it, |cx, args| {
        args.choice(cx, &[("user", ())])?;
        Ok(Protocol::PgSql(args.string(cx, "a user name")?.value))
    })
}

/// `option mysql-check [user <username> [post-41|pre-41|post-80]]`
pub(crate) fn mysql(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    const FORMS: &[(&str, MySqlForm)] = &[
        ("post-41", MySqlForm::Post41),
        ("post-80", MySqlForm::Post80),
        ("pre-41", MySqlForm::Pre41),
    ];
    let is_it = |protocol: &Protocol| matches!(protocol, Protocol::MySql(_));
    protocol(cx, checks, args, is_it, |cx, args| {
        if args.peek().is_none() {
            return Ok(Protocol::MySql(None));
        }
        args.choice(cx, &[("user", ())])?;
        let name = args.string(cx, "a user name")?.value;
        let form = match args.peek() {
            Some(_) => args.choice(cx, FORMS)?.value,
            None => MySqlForm::default(),
        };
        Ok(Protocol::MySql(Some(MySqlUser { name, form })))
    })
}

/// `option smtpchk [<hello> <domain>]`
pub(crate) fn smtp(cx: &mut Context<'_>, checks: &mut Checks, args: &mut Args<'_>) -> Parsed {
    let is_it = |protocol: &Protocol| matches!(protocol, Protocol::Smtp { .. });
    protocol(cx, checks, args, is_it, |_, args| {
        let hello = args.optional().map(|word| word.value.to_ascii_uppercase());
        // A command without a domain is not used, as in HAProxy.
        let (hello, domain) = match (hello.as_deref(), args.optional()) {
            (Some("EHLO"), Some(domain)) => ("EHLO", domain.value.to_string()),
            (Some(_), Some(domain)) => ("HELO", domain.value.to_string()),
            _ => ("HELO", "localhost".to_owned()),
        };
        Ok(Protocol::Smtp { hello: hello.to_owned(), domain })
    })
}

/// `no option`: only what is in force can be taken back.
fn switch_off(
    cx: &mut Context<'_>,
    checks: &mut Checks,
    args: &mut Args<'_>,
    is_it: impl Fn(&CheckOption) -> bool,
) -> Parsed {
    args.end(cx)?;
    let option = &mut checks.option;
    if option.as_ref().is_some_and(|option| is_it(&option.value)) {
        *option = None;
    }
    Ok(())
}

/// A rule of `http-check`. The first of a section takes the place of those of its defaults.
pub(crate) fn http_rule(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let line = CheckLine { span: args.span(), words: args.rest().to_vec() };
    if !std::mem::replace(&mut proxy.own_checks.http, true) {
        proxy.settings.checks.http.clear();
    }
    connect_comes_first(cx, args, &proxy.settings.checks.http, &line)?;
    proxy.settings.checks.http.push(line);
    Ok(())
}

/// A rule of `tcp-check`; see [`http_rule`].
pub(crate) fn tcp_rule(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let line = CheckLine { span: args.span(), words: args.rest().to_vec() };
    if !std::mem::replace(&mut proxy.own_checks.tcp, true) {
        proxy.settings.checks.tcp.clear();
    }
    connect_comes_first(cx, args, &proxy.settings.checks.tcp, &line)?;
    proxy.settings.checks.tcp.push(line);
    Ok(())
}

/// A script that connects itself begins with that; variables and comments may come before.
fn connect_comes_first(
    cx: &mut Context<'_>,
    args: &Args<'_>,
    before: &[CheckLine],
    line: &CheckLine,
) -> Parsed {
    const NO_STEPS: [&str; 4] = ["comment", "disable-on-404", "send-state", "unset-var"];
    let word = |line: &CheckLine| {
        line.words.first().map_or(String::new(), |word| word.value.as_str().to_owned())
    };
    if word(line) != "connect" {
        return Ok(());
    }
    let is_step = |line: &&CheckLine| {
        let word = word(line);
        let name = word.split('(').next().unwrap_or_default();
        !NO_STEPS.contains(&name) && !name.starts_with("set-var") && !name.starts_with("unset-var")
    };
    let Some(first) = before.iter().find(is_step).filter(|first| word(first) != "connect") else {
        return Ok(());
    };
    let message = format!(
        "'{} connect' : first step MUST also be a 'connect', optionally preceded by a 'set-var', an \
         'unset-var' or a 'comment', when there is a 'connect' rule",
        args.name()
    );
    let diagnostic = Diagnostic::alert(message).at(line.span);
    Err(cx.report(diagnostic.label(first.span, "the first step is this one")))
}
