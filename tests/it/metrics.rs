//! `http-request use-service prometheus-exporter`: HAProxy's names, in the text format.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tests::client::get;
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

/// Metrics of HAProxy 2.6 and their types, of a configuration with every kind of object.
const NAMES: &str = include_str!("metrics_names.txt");
/// Those that are shown only where there is a value, which HAProxy 2.6 shows as NaN.
const EMPTY: [&str; 7] = [
    "haproxy_process_current_zlib_memory",
    "haproxy_process_max_zlib_memory",
    "haproxy_server_idle_connections_limit",
    "haproxy_server_queue_limit",
    "haproxy_server_limit_sessions",
    "haproxy_server_check_code",
    "haproxy_server_current_throttle",
];

fn start() -> Result<(Sluice, SocketAddr, HttpServer)> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let config = format!(
        "
{DEFAULTS}
frontend web
    bind {address} name main
    option socket-stats
    http-request use-service prometheus-exporter if {{ path /metrics }}
    default_backend app
backend app
    stick-table type ip size 1k store http_req_rate(10s)
    server s1 {0} check
    server s2 {0} disabled
    server s3 {0}
",
        server.address(),
    );
    Ok((Sluice::config(config).start()?, address, server))
}

/// Samples by name and labels, after a check of the format as a scraper makes it.
fn parse(text: &str) -> Result<(HashMap<String, String>, HashMap<String, f64>)> {
    let (mut types, mut samples) = (HashMap::new(), HashMap::new());
    let mut seen = HashSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').context("help")?;
            ensure!(!help.is_empty() && seen.insert(name.to_owned()), "{name} twice");
            current = name.into();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("type")?;
            ensure!(name == current && matches!(kind, "counter" | "gauge"), "{line}");
            types.insert(name.into(), kind.into());
        } else {
            let (series, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let name = series.split('{').next().unwrap_or_default();
            ensure!(name == current, "{line} under {current}");
            let value: f64 = value.parse().with_context(|| line.to_owned())?;
            ensure!(samples.insert(series.into(), value).is_none(), "{series} twice");
        }
    }
    Ok((types, samples))
}

fn scrape(address: SocketAddr, query: &str) -> Result<String> {
    let reply = get(address, &format!("/metrics{query}"))?;
    ensure!(reply.status == 200, "{}", reply.head);
    ensure!(reply.header("content-type") == Some("text/plain; version=0.0.4"), "{}", reply.head);
    Ok(reply.text())
}

#[test]
fn names_and_types_are_those_of_haproxy() -> Result<()> {
    let (_sluice, address, _server) = start()?;
    let (types, samples) = parse(&scrape(address, "")?)?;
    let mut missing = Vec::new();
    for line in NAMES.lines() {
        let (name, kind) = line.split_once(' ').context("row")?;
        match types.get(name) {
            Some(found) => ensure!(found == kind, "{name} is a {found}"),
            None if EMPTY.contains(&name) => {}
            None => missing.push(name),
        }
    }
    ensure!(missing.is_empty(), "{missing:?}");
    for (series, value) in [
        ("haproxy_server_status{proxy=\"app\",server=\"s2\",state=\"MAINT\"}", 1.0),
        ("haproxy_server_status{proxy=\"app\",server=\"s3\",state=\"UP\"}", 1.0),
        ("haproxy_backend_status{proxy=\"app\",state=\"UP\"}", 1.0),
        ("haproxy_frontend_status{proxy=\"web\",state=\"DOWN\"}", 0.0),
        ("haproxy_listener_status{proxy=\"web\",listener=\"main\",state=\"OPEN\"}", 1.0),
        ("haproxy_backend_agg_server_status{proxy=\"app\",state=\"MAINT\"}", 1.0),
        ("haproxy_backend_agg_server_status{proxy=\"app\",state=\"UP\"}", 2.0),
        ("haproxy_sticktable_size{name=\"app\",type=\"ip\"}", 1024.0),
        ("haproxy_process_current_connections", 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    Ok(())
}

#[test]
fn counters_move_with_requests() -> Result<()> {
    let (_sluice, address, _server) = start()?;
    for _ in 0..3 {
        ensure!(get(address, "/")?.status == 200);
    }
    eventually("three responses", PATIENCE, || {
        let samples = scrape(address, "").and_then(|text| parse(&text));
        samples.is_ok_and(|(_, samples)| {
            let of = |series: &str| samples.get(series).copied().unwrap_or(-1.0);
            let codes = |proxy| format!("haproxy_{proxy},code=\"2xx\"}}");
            of(&codes("backend_http_responses_total{proxy=\"app\"")) >= 3.0
                && of("haproxy_frontend_http_requests_total{proxy=\"web\"}") > 3.0
                && of("haproxy_backend_sessions_total{proxy=\"app\"}") == 3.0
                && of("haproxy_process_requests_total") > 3.0
        })
    })
}

#[test]
fn the_query_narrows_what_is_shown() -> Result<()> {
    let (_sluice, address, _server) = start()?;
    let text = scrape(address, "?scope=global")?;
    assert!(text.lines().all(|line| line.contains("haproxy_process_")), "{text}");
    let text = scrape(address, "?scope=server&scope=sticktable&no-maint")?;
    assert!(text.contains("server=\"s1\"") && !text.contains("server=\"s2\""), "{text}");
    assert!(text.contains("haproxy_sticktable_used") && !text.contains("haproxy_process_"));
    assert_eq!(scrape(address, "?scope=")?, "");
    assert_eq!(get(address, "/metrics?scope=nope")?.status, 400);
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let text = scrape(address, "?metrics=haproxy_process_uptime_seconds,haproxy_server_weight")?;
    let (types, samples) = parse(&text)?;
    assert_eq!((types.len(), samples.len()), (2, 4), "{text}");
    let text = scrape(address, "?metrics=-haproxy_process_uptime_seconds")?;
    assert!(!text.contains("uptime_seconds") && text.contains("haproxy_process_nbthread"));
    let text = scrape(address, "?scope=global&extra-counters")?;
    let series = "sluice_frontend_path_info{proxy=\"web\",path=\"userspace\",reason=\"";
    assert!(text.contains(series), "{text}");
    parse(&text).map(drop)
}

#[test]
fn a_service_that_there_is_not_stops_the_start() -> Result<()> {
    let config = "
frontend web
    mode http
    bind 127.0.0.1:0
    http-request use-service prometheus-exportr
";
    let output = Sluice::config(config).arg("-c").run()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() || !text.contains("prometheus-exportr") {
        bail!("{text}");
    }
    Ok(())
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let dashboard = include_str!("../../examples/grafana-sluice.json");
    let (_sluice, address, _server) = start()?;
    let (types, _) = parse(&scrape(address, "?extra-counters")?)?;
    let words = dashboard.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let asked: HashSet<&str> =
        words.filter(|word| word.starts_with("haproxy_") || word.starts_with("sluice_")).collect();
    ensure!(asked.len() > 20, "{asked:?}");
    for name in asked {
        ensure!(types.contains_key(name), "{name}");
    }
    Ok(())
}
