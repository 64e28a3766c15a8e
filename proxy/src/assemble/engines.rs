//! What connections of each frontend go through.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proxy_config::compile::Stick;
use proxy_config::compile::{CompiledProfile, CompiledStep};
use proxy_config::model::{
    self, Balance, Config, ErrorSource, FilterKind, LogStep, Proxy, TuneH2Side,
};
use proxy_http::h1::Limits;
use proxy_rules::capture::CaptureSlot;
use proxy_rules::logformat::Origin;
use proxy_rules::ruleset::RuleSet;
use proxy_rules::sample::{Expr, Place};
use proxy_rules::source::SourceOutcome;
use proxy_state::{Backend, Registry};
use proxy_stream::env::{
    Back, BalanceKey, Denials, Forwarded, ForwardedPart, Front, Glitches, ServerChoice, StickRule,
};
use proxy_stream::log::{Log, Profile, Step};
use proxy_stream::mux::h2::{Settings, Side};
use proxy_stream::reply::{ErrorReplies, ErrorReply, Reply};
use proxy_stream::trace::Tracer;
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Mode, Spanned};
use rustc_hash::FxHashMap;

use super::fcgi::{self, Apps};
use super::logs::Logs;
use super::rules::Rules;
use super::stats;
use crate::worker::desk::Desk;
use crate::worker::serve::Service;

/// Backends in mode http by name, for `use_backend`.
pub(crate) type Backends = HashMap<Box<[u8]>, Arc<Back>>;

/// `errorfile` files are read whole at start; HAProxy limits them to a buffer, too.
const ERROR_FILE_MAX: u64 = 1 << 20;

/// Bounds of heads from `tune.*` (configuration manual, 3.2).
pub(crate) fn limits(config: &Config) -> Limits {
    let tune = &config.global.tune;
    Limits {
        max_head: tune.bufsize().saturating_sub(tune.maxrewrite()) as usize,
        max_headers: tune.http_maxhdr() as usize,
        relaxed: false,
        any_payload: config.global.h1_accept_payload_with_any_method.is_some(),
        keep_insecure: config.global.h1_do_not_close_on_insecure_transfer_encoding.is_some(),
    }
}

/// `tune.h1.*.glitches-threshold` (configuration manual, 3.2).
pub(crate) fn glitches(config: &Config) -> [Glitches; 2] {
    config.global.tune.h1_glitches.map(|limit| Glitches { threshold: limit.map_or(0, |l| l.value) })
}

/// How HTTP/2 is spoken, from `tune.h2.*` (configuration manual, 3.2). Windows start wider than HAProxy's, which
/// widens them as buffers allow.
pub(crate) fn h2(config: &Config) -> Settings {
    let tune = &config.global.tune.h2;
    let side = |written: &TuneH2Side| {
        let value = |own: Option<Spanned<u32>>, common: Option<Spanned<u32>>, default: u32| {
            own.or(common).map_or(default, |v| v.value)
        };
        let default = Side::default();
        let window = value(written.initial_window_size, tune.initial_window_size, default.window);
        Side {
            window,
            connection_window: value(written.rxbuf, None, default.connection_window).max(window),
            streams: value(
                written.max_concurrent_streams,
                tune.max_concurrent_streams,
                default.streams,
            ),
            glitches: value(written.glitches, None, default.glitches),
            total_streams: value(written.max_total_streams, None, default.total_streams),
        }
    };
    let default = Settings::default();
    Settings {
        front: side(&tune.front),
        back: side(&tune.back),
        header_table: tune.header_table_size.map_or(default.header_table, |v| v.value),
        frame: tune.max_frame_size.map_or(default.frame, |v| v.value),
        websocket: config.global.h2_workaround_bogus_websocket_clients.is_none(),
        log_errors: tune.log_errors.map_or(default.log_errors, |v| v.value),
    }
}

/// `tune.comp.*`, `tune.zlib.*` and `maxcompcpuusage` (configuration manual, 3.2).
pub(crate) fn compression(config: &Config) -> proxy_stream::compress::Settings {
    let tune = &config.global.tune;
    let default = proxy_stream::compress::Settings::default();
    let value = |written: Option<Spanned<u32>>, default: u8| {
        written.and_then(|v| u8::try_from(v.value).ok()).unwrap_or(default)
    };
    proxy_stream::compress::Settings {
        max_level: value(tune.compression_level, default.max_level),
        window: value(tune.zlib_window, default.window),
        memory_level: value(tune.zlib_memory_level, default.memory_level),
        max_cpu: value(tune.max_compression_cpu, default.max_cpu),
    }
}

/// Header names in lower case, and as HTTP/1 peers that insist get them.
pub(crate) type Spellings = FxHashMap<Box<[u8]>, Box<[u8]>>;

/// `h1-case-adjust` and `h1-case-adjust-file` (configuration manual, 3.1).
pub(crate) fn spellings(config: &Config, diagnostics: &mut Diagnostics) -> Spellings {
    let global = &config.global;
    let mut spellings = Spellings::default();
    for (from, to) in &global.h1_case_adjust {
        spellings.insert(from.value.as_bytes().into(), to.value.as_bytes().into());
    }
    let Some(file) = &global.h1_case_adjust_file else { return spellings };
    let wrong = |what: String| {
        Diagnostic::alert(format!("h1-case-adjust-file '{}' : {what}", file.value)).at(file.span)
    };
    let text = match read(Path::new(&file.value)) {
        Ok(text) => text,
        Err(error) => {
            diagnostics.push(wrong(error.to_string()));
            return spellings;
        }
    };
    for (number, line) in (1..).zip(String::from_utf8_lossy(&text).lines()) {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            [from, to] if **from == to.to_ascii_lowercase() => {
                if spellings.insert(from.as_bytes().into(), to.as_bytes().into()).is_some() {
                    diagnostics.push(wrong(format!("line {number}: '{from}' is there twice")));
                }
            }
            _ => diagnostics.push(wrong(format!(
                "line {number}: a name in lower case and the same name are expected"
            ))),
        }
    }
    spellings
}

/// What engines are made with.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) config: &'a Config,
    pub(super) rules: &'a Rules<'a>,
    pub(crate) registry: &'a Arc<Registry>,
    pub(crate) sections: &'a ErrorSections,
    pub(crate) desk: &'a Desk,
    pub(super) apps: &'a Apps,
}

/// What requests and connections that go to a backend go through.
pub(super) fn back(
    proxy: &Proxy,
    backend: Arc<Backend>,
    with: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> Back {
    let Surroundings { config, rules, registry, sections, desk, apps } = *with;
    let mut back = Back::new(backend);
    back.balance_key = balance_key(proxy, rules.balance_key(proxy, diagnostics));
    back.choice = choice(proxy, rules, diagnostics);
    back.forwarded = forwarded(proxy, rules, diagnostics).map(Box::new);
    back.fcgi = proxy.fcgi_app.as_ref().and_then(|name| apps.get(&name.value).cloned());
    // The rules of a `listen` section run once, on its frontend side.
    if !proxy.kind.is_frontend() {
        let compiled = rules.compile(config, proxy, diagnostics);
        back.tracers = tracers(proxy);
        back.limiters = rules.limiters(proxy, diagnostics);
        back.tcp_content = compiled.tcp_content;
        back.inspect_delay = inspect_delay(proxy);
        back.http_request = compiled.http_request;
        back.stats =
            stats::page(config, proxy, registry, compiled.stats_rules, compiled.stats_admin, desk);
        back.redirects = compiled.redirects;
        back.tcp_response = compiled.tcp_response;
        back.response_delay = response_delay(proxy);
        back.http_response = compiled.http_response;
        back.http_after_response = compiled.http_after_response;
    }
    back.replies = replies(proxy, sections, rules.error_rules(proxy, diagnostics), diagnostics);
    back
}

/// `filter trace` of a section.
fn tracers(proxy: &Proxy) -> Vec<Arc<Tracer>> {
    let traces = proxy.filters.lines.iter().filter_map(|line| match &line.kind {
        FilterKind::Trace(trace) => Some(trace),
        _ => None,
    });
    traces
        .map(|trace| {
            Arc::new(Tracer {
                name: trace.name.as_ref().map_or("TRACE", |name| &name.value).into(),
                quiet: trace.quiet,
                random: trace.random,
                most: trace.most,
                hexdump: trace.hexdump,
                dice: Default::default(),
            })
        })
        .collect()
}

/// One service per frontend of the registry, in its order, and the backends by name.
pub(crate) fn services(
    config: &Config,
    rules: &Rules<'_>,
    registry: &Arc<Registry>,
    logs: &Logs<'_>,
    sections: &ErrorSections,
    desk: &Desk,
    diagnostics: &mut Diagnostics,
) -> (Vec<Service>, Backends) {
    let apps = &fcgi::apps(config, rules, logs, diagnostics);
    let place = Surroundings { config, rules, registry, sections, desk, apps };
    let mut backs: HashMap<&str, Arc<Back>> = HashMap::new();
    for proxy in config.backends() {
        let Some(backend) = registry.backend(&proxy.name.value) else { continue };
        let back = back(proxy, backend, &place, diagnostics);
        backs.insert(&proxy.name.value, Arc::new(back));
    }
    let mut services = Vec::new();
    for frontend in registry.frontends() {
        let Some(proxy) = config.proxy(&frontend.name) else { continue };
        let target = match &proxy.settings.default_backend {
            Some(name) => Some(name.value.as_str()),
            None => proxy.kind.is_backend().then_some(proxy.name.value.as_str()),
        };
        let back = target.and_then(|name| backs.get(name)).cloned();
        let compiled = rules.compile(config, proxy, diagnostics);
        let mut front = Front::new(frontend.clone(), back);
        front.listen =
            backs.get(proxy.name.value.as_str()).filter(|_| proxy.kind.is_backend()).cloned();
        front.tracers = tracers(proxy);
        front.limiters = rules.limiters(proxy, diagnostics);
        front.tcp_connection = compiled.tcp_connection;
        front.denials = proxy.settings.l4_deny.map(|time| Denials::new(time.value));
        front.tcp_session = compiled.tcp_session;
        front.tcp_content = compiled.tcp_content;
        front.inspect_delay = inspect_delay(proxy);
        front.http_request = compiled.http_request;
        front.stats =
            stats::page(config, proxy, registry, compiled.stats_rules, compiled.stats_admin, desk);
        front.redirects = compiled.redirects;
        front.monitor_fail = compiled.monitor_fail;
        front.tcp_response = compiled.tcp_response;
        front.response_delay = response_delay(proxy);
        front.http_response = compiled.http_response;
        front.http_after_response = compiled.http_after_response;
        front.use_backend = compiled.use_backends;
        front.force_switch = compiled.force_switch;
        front.replies = replies(proxy, sections, compiled.error_rules, diagnostics);
        front.monitor_uri =
            proxy.settings.monitor_uri.as_ref().map(|uri| uri.value.as_bytes().into());
        let slots = compiled.captures;
        front.request_captures = slots.request.into_inner();
        front.response_captures = slots.response.into_inner();
        front.capture_cookie = proxy.capture_cookie.as_ref().map(|cookie| CaptureSlot {
            header: Some(cookie.name.value.as_str().into()),
            len: cookie.len.min(config.global.tune.http_cookielen()) as usize,
        });
        if let Some(most) = proxy.settings.max_session_srv_conns {
            front.session_connections = most.value as usize;
        }
        front.udp_responses = proxy.settings.udp_responses.map_or(0, |number| number.value);
        if frontend.mode == Mode::Udp {
            of_addresses_only(config, proxy, &front.tcp_connection, diagnostics);
            if let Some(deny) = proxy.settings.l4_deny {
                let message =
                    "'l4-deny' is not possible in mode udp, whose rules the kernel asks by itself";
                diagnostics.push(Diagnostic::alert(message.to_owned()).at(deny.span));
            }
        }
        front.unique_id = compiled.unique_id_format.map(|format| {
            let header = proxy.settings.unique_id_header.as_ref();
            (format, header.map(|name| name.value.as_str().into()))
        });
        let profiles: Vec<_> = compiled.profiles.into_iter().map(profile).collect();
        let routes = logs.routes(proxy, &profiles, diagnostics);
        if !routes.is_empty() {
            let format =
                compiled.log_format.or_else(|| rules.connect_format(frontend.mode, diagnostics));
            let sections = config.log_profiles.iter().zip(&profiles);
            let profiles = sections
                .map(|(section, profile)| {
                    let routes = logs.under(proxy, section, profile, diagnostics);
                    (section.name.value.as_str().into(), routes)
                })
                .collect();
            front.log = format.map(|format| Log {
                format,
                error_format: compiled.error_log_format,
                data: compiled.log_format_sd,
                steps: proxy
                    .settings
                    .log_steps
                    .as_ref()
                    .map(|steps| steps.value.iter().filter_map(|step| origin(*step)).collect()),
                routes,
                profiles,
            });
        }
        let front = Arc::new(front);
        services.push(match frontend.mode {
            Mode::Http => Service::Http(front),
            // No frontend is in mode log.
            Mode::Log | Mode::Tcp => Service::Tcp(front),
            Mode::Udp => Service::Udp(front),
        });
    }
    let backs = backs.into_iter().map(|(name, back)| (name.as_bytes().into(), back)).collect();
    (services, backs)
}

/// Datagrams make no connection that rules could look at: only the client's address is there.
fn of_addresses_only(
    config: &Config,
    proxy: &Proxy,
    rules: &RuleSet,
    diagnostics: &mut Diagnostics,
) {
    let lines = config.rules(proxy, model::RuleSet::TcpRequestConnection);
    for (rule, (_, line)) in rules.iter().zip(lines) {
        let why = if rule.source_prefixes().is_none() {
            "its condition looks at more than the client's address"
        } else if rule.outcome() == SourceOutcome::Other {
            "'accept', 'reject' and 'silent-drop' are possible"
        } else {
            continue;
        };
        let message = format!("'tcp-request connection' rule not possible in mode udp: {why}");
        diagnostics.push(Diagnostic::alert(message).at(line.span));
    }
}

fn profile(compiled: CompiledProfile) -> Arc<Profile> {
    let step = |line: CompiledStep| {
        let step = Step { drop: line.drop, format: line.format, data: line.sd };
        (origin(line.step), step)
    };
    Arc::new(Profile { steps: compiled.steps.into_iter().map(step).collect() })
}

/// What makes the lines of a step; `None` is any.
fn origin(step: LogStep) -> Option<Origin> {
    Some(match step {
        LogStep::Any => return None,
        LogStep::Accept => Origin::TxnAccept,
        LogStep::Close => Origin::TxnClose,
        LogStep::Connect => Origin::TxnConnect,
        LogStep::Error => Origin::SessError,
        LogStep::HttpAfterRes => Origin::HttpAfterRes,
        LogStep::HttpReq => Origin::HttpReq,
        LogStep::HttpRes => Origin::HttpRes,
        LogStep::QuicInit => Origin::QuicInit,
        LogStep::Request => Origin::TxnRequest,
        LogStep::Response => Origin::TxnResponse,
        LogStep::TcpReqConn => Origin::TcpReqConn,
        LogStep::TcpReqCont => Origin::TcpReqCont,
        LogStep::TcpReqSess => Origin::TcpReqSess,
        LogStep::TcpResCont => Origin::TcpResCont,
    })
}

/// What the algorithm of a backend hashes.
fn balance_key(proxy: &Proxy, expression: Option<Expr>) -> Option<BalanceKey> {
    match (proxy.settings.balance.as_ref().map(|balance| &balance.value), expression) {
        (Some(&Balance::Uri { len, depth, whole, path_only }), _) => {
            Some(BalanceKey::Uri { len, depth, whole, path_only })
        }
        (Some(Balance::Header { use_domain_only, .. }), Some(of)) => {
            Some(BalanceKey::Value { of, domain_only: *use_domain_only })
        }
        (_, expression) => expression.map(|of| BalanceKey::Value { of, domain_only: false }),
    }
}

/// `tcp-response inspect-delay`; zero is none.
fn response_delay(proxy: &Proxy) -> Option<Duration> {
    let delay = proxy.settings.tcp_response_inspect_delay.as_ref()?.value;
    (!delay.is_zero()).then_some(delay)
}

/// What binds requests to servers.
fn choice(proxy: &Proxy, rules: &Rules<'_>, diagnostics: &mut Diagnostics) -> ServerChoice {
    let compiled = rules.server_choice(proxy, diagnostics);
    let rdp = proxy.settings.persist_rdp.as_ref().and_then(|name| {
        let text = Spanned::new(format!("req.rdp_cookie({})", name.value), name.span);
        rules.expression(proxy, &text, Place::BeServerChoice, diagnostics)
    });
    let stick = |rule: Stick| StickRule {
        matches: rule.matches,
        on_request: rule.on_request,
        on_response: rule.on_response,
        pattern: rule.pattern,
        table: rule.table,
        condition: rule.condition,
    };
    ServerChoice {
        persist: compiled.persist,
        use_servers: compiled.use_servers,
        rdp,
        sticks: compiled.sticks.into_iter().map(stick).collect(),
    }
}

/// `option forwarded`, in mode http.
fn forwarded(proxy: &Proxy, rules: &Rules<'_>, diagnostics: &mut Diagnostics) -> Option<Forwarded> {
    let http = proxy.settings.mode() == Mode::Http;
    let option = proxy.settings.forwarded.as_ref().filter(|_| http)?;
    let mut part = |part: &Option<model::ForwardedPart>| match part.as_ref()? {
        model::ForwardedPart::Own => Some(ForwardedPart::Own),
        model::ForwardedPart::Expr(text) => rules
            .expression(proxy, text, Place::BeHttpRequest, diagnostics)
            .map(ForwardedPart::Expr),
    };
    let written = &option.value;
    Some(Forwarded {
        proto: written.proto,
        host: part(&written.host),
        by: part(&written.by),
        by_port: part(&written.by_port),
        client: part(&written.client),
        client_port: part(&written.client_port),
    })
}

/// `tcp-request inspect-delay`; zero is none.
fn inspect_delay(proxy: &Proxy) -> Option<Duration> {
    let delay = proxy.settings.tcp_request_inspect_delay.as_ref()?.value;
    (!delay.is_zero()).then_some(delay)
}

/// The answers of a section to errors: `errorfile` and the like, in their order.
fn replies(
    proxy: &Proxy,
    sections: &ErrorSections,
    made: Vec<(usize, RuleSet)>,
    diagnostics: &mut Diagnostics,
) -> ErrorReplies {
    let mut replies = ErrorReplies::default();
    let mut made: HashMap<usize, RuleSet> = made.into_iter().collect();
    for (index, page) in proxy.settings.error_pages.iter().enumerate() {
        if let ErrorSource::Section(name) = &page.source {
            // That the section exists was checked.
            let pages = sections.get(name.value.as_str()).into_iter().flat_map(ErrorReplies::iter);
            let wanted = |status: u16| {
                page.statuses.is_empty() || page.statuses.iter().any(|s| s.value == status)
            };
            for (status, reply) in pages.filter(|(status, _)| wanted(*status)) {
                replies.set(status, reply.clone());
            }
            continue;
        }
        for status in &page.statuses {
            let reply = match &page.source {
                ErrorSource::Default | ErrorSource::Section(_) => {
                    replies.reset(status.value);
                    continue;
                }
                ErrorSource::File(path) => match error_file(path, status.value) {
                    Ok(reply) => ErrorReply::Stored(reply),
                    Err(wrong) => {
                        diagnostics.push(*wrong);
                        continue;
                    }
                },
                ErrorSource::Location { code, url } => {
                    ErrorReply::Stored(Arc::new(Reply::redirection(*code, url.value.as_bytes())))
                }
                ErrorSource::Made(_) => match made.remove(&index) {
                    Some(rules) => ErrorReply::Made(Arc::new(rules)),
                    None => continue,
                },
            };
            replies.set(status.value, reply);
        }
    }
    replies
}

fn error_file(path: &Spanned<String>, status: u16) -> Result<Arc<Reply>, Box<Diagnostic>> {
    read(Path::new(&path.value))
        .map_err(|error| error.to_string())
        .and_then(|text| Reply::parse(&text, status).map_err(|error| error.to_string()))
        .map(Arc::new)
        .map_err(|why| {
            Box::new(Diagnostic::alert(format!("errorfile '{path}' : {why}")).at(path.span))
        })
}

/// The pages of `http-errors` sections by name.
pub(crate) type ErrorSections = FxHashMap<Box<str>, ErrorReplies>;

/// Reads the files of all `http-errors` sections.
pub(crate) fn error_sections(config: &Config, diagnostics: &mut Diagnostics) -> ErrorSections {
    let mut sections = ErrorSections::default();
    for section in &config.http_errors {
        let mut replies = ErrorReplies::default();
        for page in &section.files {
            let ErrorSource::File(path) = &page.source else { continue };
            for status in &page.statuses {
                match error_file(path, status.value) {
                    Ok(reply) => replies.set(status.value, ErrorReply::Stored(reply)),
                    Err(wrong) => diagnostics.push(*wrong),
                }
            }
        }
        sections.insert(section.name.value.as_str().into(), replies);
    }
    sections
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(ERROR_FILE_MAX).read_to_end(&mut text)?;
    Ok(text)
}
