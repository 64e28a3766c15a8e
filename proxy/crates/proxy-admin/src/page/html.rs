//! The page for people.

use super::change::ACTIONS;
use super::options::{Form, Options};
use super::spec::{Page, Request};
use crate::stats::columns::COLUMNS;
use crate::stats::{Kind, Object, Value};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rustc_hash::FxHashMap;
use std::sync::OnceLock;

/// Columns of a table: the group's title, then title and column of `show stat`.
const GROUPS: &[(&str, &[(&str, &str)])] = &[
    ("Queue", &[("Cur", "qcur"), ("Max", "qmax"), ("Limit", "qlimit")]),
    ("Session rate", &[("Cur", "rate"), ("Max", "rate_max"), ("Limit", "rate_lim")]),
    (
        "Sessions",
        &[
            ("Cur", "scur"),
            ("Max", "smax"),
            ("Limit", "slim"),
            ("Total", "stot"),
            ("LbTot", "lbtot"),
            ("Last", "lastsess"),
        ],
    ),
    ("Bytes", &[("In", "bin"), ("Out", "bout")]),
    ("Denied", &[("Req", "dreq"), ("Resp", "dresp")]),
    ("Errors", &[("Req", "ereq"), ("Conn", "econ"), ("Resp", "eresp")]),
    ("Warnings", &[("Retr", "wretr"), ("Redis", "wredis")]),
    (
        "Server",
        &[
            ("LastChk", "check_status"),
            ("Wght", "weight"),
            ("Act", "act"),
            ("Bck", "bck"),
            ("Chk", "chkfail"),
            ("Dwn", "chkdown"),
            ("Dwntme", "downtime"),
            ("Thrtle", "throttle"),
        ],
    ),
];

/// The value of a column of `show stat` by name.
fn value(object: &Object, name: &str) -> Value {
    static POSITIONS: OnceLock<FxHashMap<&'static str, usize>> = OnceLock::new();
    let positions =
        POSITIONS.get_or_init(|| COLUMNS.iter().enumerate().map(|(at, c)| (c.name, at)).collect());
    positions.get(name).map_or(Value::None, |&at| (COLUMNS[at].value)(object))
}

/// `3d4h`, `4m12s`.
fn age(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs}s"),
        60..3600 => format!("{}m{}s", secs / 60, secs % 60),
        3600..86400 => format!("{}h{}m", secs / 3600, secs % 3600 / 60),
        _ => format!("{}d{}h", secs / 86400, secs % 86400 / 3600),
    }
}

fn cell(object: &Object, name: &str) -> String {
    match (name, value(object, name)) {
        ("downtime", Value::U32(secs)) => age(secs.into()),
        ("lastsess", Value::S32(secs)) => u64::try_from(secs).map_or_else(|_| "?".to_owned(), age),
        ("check_status", Value::Str(status)) => {
            let took = value(object, "check_duration");
            match took {
                Value::None => status.into_owned(),
                took => format!("{status} in {took}ms"),
            }
        }
        (_, value) => value.to_string(),
    }
}

/// The class that colours a row.
fn class(object: &Object, status: &str) -> &'static str {
    match &object.kind {
        Kind::Frontend(_) => "frontend",
        Kind::Listener(..) => "listener",
        Kind::Backend(..) => "backend",
        Kind::Server { .. } => match status {
            text if text.starts_with("MAINT") => "maint",
            text if text.starts_with("DRAIN") => "drain",
            "UP" => "up",
            "DOWN" => "down",
            "no check" => "nocheck",
            // `UP 1/3`, `DOWN 1/2`: on the way to the other state.
            _ => "going",
        },
    }
}

fn row(page: &Page, object: &Object, admin: bool) -> Markup {
    let status = value(object, "status").to_string();
    let name = value(object, "svname").to_string();
    let since = match value(object, "lastchg") {
        Value::U32(secs) => age(secs.into()),
        _ => String::new(),
    };
    let legend = if page.legends {
        let words = ["addr", "cookie", "algo", "mode"]
            .map(|column| (column, value(object, column)))
            .into_iter()
            .filter(|(_, value)| *value != Value::None)
            .map(|(column, value)| format!("{column}: {value}"))
            .collect::<Vec<_>>();
        format!("id: {}, {}", object.id(), words.join(", "))
    } else {
        String::new()
    };
    html! {
        tr class=(class(object, &status)) {
            @if admin {
                td {
                    @if matches!(object.kind, Kind::Server { .. }) {
                        input type="checkbox" name="s" value=(name);
                    }
                }
            }
            td.name title=[(!legend.is_empty()).then_some(&legend)] { (name) }
            @for (group, columns) in GROUPS {
                @if *group == "Server" {
                    td.status { (since) " " (status) }
                }
                @for (_, column) in *columns { td { (cell(object, column)) } }
            }
        }
    }
}

/// The table, in a form where its servers may be changed.
fn section(page: &Page, objects: &[Object], admin: bool) -> Markup {
    let Some(first) = objects.first() else { return html! {} };
    let admin = admin && objects.iter().any(|o| matches!(o.kind, Kind::Server { .. }));
    if !admin {
        return table(page, objects, false);
    }
    html! {
        form method="post" {
            (table(page, objects, true))
            p.change {
                "Checked servers: "
                select name="action" {
                    option value="" {}
                    @for (word, label, _) in ACTIONS.iter().filter(|(_, label, _)| !label.is_empty()) {
                        option value=(word) { (label) }
                    }
                }
                input type="hidden" name="b" value={ "#" (first.proxy_id()) };
                input type="submit" value="Apply";
            }
        }
    }
}

fn table(page: &Page, objects: &[Object], admin: bool) -> Markup {
    let Some(first) = objects.first() else { return html! {} };
    html! {
        table id=(first.proxy_name()) {
            caption {
                (first.proxy_name())
                @if page.legends { small { "mode: " (first.mode().as_str()) ", id: " (first.proxy_id()) } }
            }
            thead {
                tr {
                    @if admin { th rowspan="2" {} }
                    th rowspan="2" {}
                    @for (group, columns) in GROUPS {
                        th colspan=(columns.len() + usize::from(*group == "Server")) { (group) }
                    }
                }
                tr {
                    @for (group, columns) in GROUPS {
                        @if *group == "Server" { th { "Status" } }
                        @for (title, _) in *columns { th { (title) } }
                    }
                }
            }
            tbody { @for object in objects { (row(page, object, admin)) } }
        }
    }
}

/// The whole document.
pub(super) fn page(
    page: &Page,
    options: &Options,
    objects: &[Object],
    request: &Request<'_>,
) -> Markup {
    let now = request.now;
    let registry = &page.registry;
    let process = &registry.process;
    let version = if page.show_version { page.product.version.as_str() } else { "" };
    let link = |change: fn(&mut Options)| {
        // A message is told once.
        let again = Options { outcome: None, ..options.clone() };
        again.link(&page.uri, change)
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title {
                    "Statistics Report for " (page.product.name)
                    @if let Some(node) = &page.node { " on " (node) }
                }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                h1 {
                    (page.product.name) " " small { (version) }
                    @if let Some(node) = &page.node { " on " (node) }
                }
                @if let Some(description) = &page.description { p { (description) } }
                div.about {
                    div {
                        p { "pid " (page.process.pid) ", " (page.process.threads) " threads, up " (age(now.secs())) }
                        p { "limit: maxconn " (process.maxconn()) }
                        p {
                            "current connections " (process.connections.get())
                            ", connection rate " (process.connection_rate.get(now)) "/s"
                            ", session rate " (process.session_rate.get(now)) "/s"
                        }
                    }
                    div {
                        p {
                            @if options.up {
                                a href=(link(|o| o.up = false)) { "Show all servers" }
                            } @else {
                                a href=(link(|o| o.up = true)) { "Hide servers that are down" }
                            }
                            @if page.refresh.is_some() {
                                @if options.no_refresh {
                                    a href=(link(|o| o.no_refresh = false)) { "Refresh" }
                                } @else {
                                    a href=(link(|o| o.no_refresh = true)) { "Stop refresh" }
                                }
                            }
                        }
                        p {
                            a href=(link(|_| ())) { "Reload now" }
                            a href=(link(|o| o.form = Form::Csv)) { "CSV" }
                            a href=(link(|o| o.form = Form::Json)) { "JSON" }
                            a href=(link(|o| o.form = Form::JsonSchema)) { "JSON schema" }
                        }
                    }
                }
                @if let Some((class, words)) = options.outcome.map(|outcome| outcome.message()) {
                    p.message.(class) { a href=(link(|_| ())) title="Remove this message" { "[X]" } " " (words) }
                }
                @for proxy in objects.chunk_by(|a, b| a.proxy_id() == b.proxy_id()) {
                    (section(page, proxy, request.admin))
                }
            }
        }
    }
}
