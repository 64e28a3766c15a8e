//! `log <target> [len <n>] [format <f>] <facility> [<level> [<minlevel>]]` (configuration manual, 4.2 "log").

use proxy_types::{Address, Diagnostic, Endpoint, Host, PortSpec, Spanned, Transport, text};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::lexer::Word;
use crate::model::{Facility, LogDestination, LogFormat, LogLevel, LogSample, LogTarget};

/// Port of syslog over UDP.
const SYSLOG_PORT: u16 = 514;

pub(crate) fn target(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<LogTarget> {
    let word = args.word(cx, "<address> and <facility> or 'global' as arguments")?;
    let destination = destination(cx, args, word)?;
    let mut max_len = 1024;
    let mut format = None;
    let mut sample = None;
    let mut profile = None;
    let facility = loop {
        let word = args.word(cx, "a facility")?;
        match word.value.as_str() {
            "len" => max_len = args.number(cx, 80..=65535)?.value,
            "format" => format = Some(args.choice(cx, LogFormat::ALL)?),
            "sample" => sample = Some(read_sample(cx, args)?),
            "profile" => {
                profile = Some(args.string(cx, "the name of a 'log-profile' section")?);
            }
            name => match Facility::from_name(name) {
                Some(facility) => break facility,
                None => {
                    let near = text::nearest(name, Facility::NAMES.iter().copied());
                    let message = format!("'{}' : unknown log facility '{name}'", args.name());
                    let known = format!("expected one of {}", Facility::NAMES.join(", "));
                    return Err(cx.report(
                        Diagnostic::alert(message).at(word.span).expected(known).did_you_mean(near),
                    ));
                }
            },
        }
    };
    let level = match args.peek() {
        Some(_) => args.choice(cx, LogLevel::ALL)?.value,
        None => LogLevel::Debug,
    };
    let min_level = match args.peek() {
        Some(_) => args.choice(cx, LogLevel::ALL)?.value,
        None => LogLevel::Emerg,
    };
    args.end(cx)?;
    Ok(LogTarget {
        span: args.span(),
        destination,
        max_len,
        sample,
        format,
        profile,
        facility,
        level,
        min_level,
    })
}

/// `2,5-8:10`.
fn read_sample(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<LogSample>> {
    let word = args.word(cx, "ranges and a size, such as 1,3-4:10")?;
    let read = || {
        let (ranges, size) = word.value.rsplit_once(':')?;
        let size: u32 = size.parse().ok().filter(|size| *size > 0)?;
        let range = |text: &str| {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            let (low, high): (u32, u32) = (low.parse().ok()?, high.parse().ok()?);
            (0 < low && low <= high && high <= size).then_some((low, high))
        };
        let mut ranges: Vec<_> = ranges.split(',').map(range).collect::<Option<_>>()?;
        ranges.sort_unstable();
        let apart = ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
        apart.then_some(LogSample { ranges, size })
    };
    match read() {
        Some(sample) => Ok(Spanned::new(sample, word.span)),
        None => {
            let message = format!("'{}' : '{}' is no sample", args.name(), word.value);
            let expected =
                "expected ranges that do not overlap and the size of a round, such as 1,3-4:10";
            Err(cx.report(Diagnostic::alert(message).at(word.span).expected(expected)))
        }
    }
}

/// Datagrams unless a prefix says otherwise.
fn over(address: Address) -> LogDestination {
    match address.transport {
        Some(Transport::Stream) => LogDestination::Stream(address),
        _ => LogDestination::Datagram(address),
    }
}

fn destination(
    cx: &mut Context<'_>,
    args: &Args<'_>,
    word: &Word,
) -> Parsed<Spanned<LogDestination>> {
    let at = |value| Ok(Spanned::new(value, word.span));
    match word.value.as_str() {
        "stdout" => return at(LogDestination::Stdout),
        "stderr" => return at(LogDestination::Stderr),
        _ => {}
    }
    type Named = fn(String) -> LogDestination;
    let named: [(&str, Named); 2] =
        [("ring@", LogDestination::Ring), ("backend@", LogDestination::Backend)];
    for (prefix, make) in named {
        match word.value.strip_prefix(prefix) {
            Some("") => {
                let message = format!("'{}' : a name is missing behind '{prefix}'", args.name());
                return Err(cx.alert(word.span, message));
            }
            Some(name) => return at(make(name.to_owned())),
            None => {}
        }
    }
    let address = args.parse_address(cx, word, 0, &word.value)?.value;
    match (&address.endpoint, address.transport) {
        (Endpoint::Fd(fd), None) => at(LogDestination::Fd(*fd)),
        (_, Some(Transport::Mptcp | Transport::Quic)) => {
            let message = format!("'{}' over such a stream: known, not carried yet", args.name());
            Err(cx.alert(word.span, message))
        }
        (Endpoint::Inet { port: PortSpec::Offset(_) | PortSpec::Range { .. }, .. }, _) => {
            Err(args.wrong(cx, word.span, format!("a single port is expected in '{}'", word.value)))
        }
        (Endpoint::Inet { family, host, port: PortSpec::None }, transport) => {
            let (family, host): (_, Host) = (*family, host.clone());
            let port = PortSpec::Port(SYSLOG_PORT);
            at(over(Address { transport, endpoint: Endpoint::Inet { family, host, port } }))
        }
        (Endpoint::Inet { .. } | Endpoint::Unix(_) | Endpoint::Abstract { .. }, _) => {
            at(over(address))
        }
        (Endpoint::Fd(_) | Endpoint::SockPair(_), _) => {
            Err(args.wrong(cx, word.span, format!("cannot log to '{}'", word.value)))
        }
    }
}
