//! Rules that stand where they are not evaluated: each set has its turn, whatever the order of lines, and behind a
//! rule that always decides no other of its set matters.

use proxy_types::{Diagnostic, Span};

use crate::context::Context;
use crate::model::{Config, Proxy, RuleLine, RuleSet};

/// Sets in the order of their evaluation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    TcpConnection,
    TcpSession,
    TcpContent,
    Monitor,
    HttpRequest,
    Redirect,
    UseBackend,
    UseServer,
}

impl Turn {
    const ALL: [Self; 8] = [
        Self::TcpConnection,
        Self::TcpSession,
        Self::TcpContent,
        Self::Monitor,
        Self::HttpRequest,
        Self::Redirect,
        Self::UseBackend,
        Self::UseServer,
    ];

    fn of(set: RuleSet) -> Option<Self> {
        Some(match set {
            RuleSet::TcpRequestConnection => Self::TcpConnection,
            RuleSet::TcpRequestSession => Self::TcpSession,
            RuleSet::TcpRequestContent => Self::TcpContent,
            RuleSet::MonitorFail => Self::Monitor,
            RuleSet::HttpRequest => Self::HttpRequest,
            RuleSet::Redirect => Self::Redirect,
            RuleSet::HttpAfterResponse
            | RuleSet::HttpResponse
            | RuleSet::StatsHttpRequest
            | RuleSet::TcpResponseContent => return None,
        })
    }

    /// With its article, as the set that came first.
    fn before(self) -> &'static str {
        match self {
            Self::TcpConnection => "a 'tcp-request connection'",
            Self::TcpSession => "a 'tcp-request session'",
            Self::TcpContent => "a 'tcp-request content'",
            Self::Monitor => "a 'monitor fail'",
            Self::HttpRequest => "an 'http-request'",
            Self::Redirect => "a 'redirect'",
            Self::UseBackend => "a 'use_backend'",
            Self::UseServer => "a 'use-server'",
        }
    }

    /// As the set that came late.
    fn keyword(self) -> &'static str {
        match self {
            Self::TcpConnection | Self::TcpSession | Self::TcpContent => "tcp-request",
            Self::Monitor => "monitor fail",
            Self::HttpRequest => "http-request",
            Self::Redirect => "redirect",
            Self::UseBackend => "use_backend",
            Self::UseServer => "use-server",
        }
    }
}

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for proxy in config.defaults.iter().chain(&config.proxies) {
        misplaced(cx, proxy);
        for set in [RuleSet::HttpRequest, RuleSet::HttpResponse, RuleSet::HttpAfterResponse] {
            unreachable(cx, proxy, set);
        }
    }
}

fn misplaced(cx: &mut Context<'_>, proxy: &Proxy) {
    let rules = proxy.rules.iter().filter_map(|rule| Some((rule.span, Turn::of(rule.set)?)));
    let mut lines: Vec<(Span, Turn)> = rules
        .chain(proxy.use_backends.iter().map(|rule| (rule.span, Turn::UseBackend)))
        .chain(proxy.use_servers.iter().map(|rule| (rule.span, Turn::UseServer)))
        .collect();
    lines.sort_by_key(|(span, _)| (span.file, span.line, span.start));
    let mut seen: Vec<Turn> = Vec::new();
    for (span, turn) in lines {
        // Each misplaced rule is told once, by the first set that it should have preceded.
        let later = Turn::ALL.into_iter().find(|other| *other > turn && seen.contains(other));
        if let Some(later) = later {
            let message = format!(
                "a '{}' rule placed after {} rule will still be processed before.",
                turn.keyword(),
                later.before()
            );
            cx.report(Diagnostic::warning(message).at(span));
        }
        if !seen.contains(&turn) {
            seen.push(turn);
        }
    }
}

/// Actions that end the evaluation of their set.
const FINAL: [&str; 6] = ["allow", "auth", "deny", "redirect", "return", "tarpit"];

fn unreachable(cx: &mut Context<'_>, proxy: &Proxy, set: RuleSet) {
    let rules: Vec<&RuleLine> = proxy.rules.iter().filter(|rule| rule.set == set).collect();
    for pair in rules.windows(2) {
        let is_final = pair[0].words.first().is_some_and(|w| FINAL.contains(&w.value.as_str()));
        let has_condition =
            pair[0].words.iter().any(|w| matches!(w.value.as_str(), "if" | "unless"));
        if is_final && !has_condition {
            let message = format!(
                "previous '{}' action is final and has no condition attached, further entries are NOOP.",
                set.as_str()
            );
            let diagnostic = Diagnostic::warning(message).at(pair[1].span);
            cx.report(diagnostic.label(pair[0].span, "the previous action"));
        }
    }
}
