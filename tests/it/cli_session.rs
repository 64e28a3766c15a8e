//! One session of every command that HAProxy 2.6 has too, sent to both programs: the answers are the same, up to
//! numbers, or the reason why they are not stands here.

use anyhow::{Result, ensure};
use tests::Sluice;
use tests::net::loopback;
use tests::sluice::{DEFAULTS, Files, Peer, peer};

/// How much of an answer has to be the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Same {
    /// All of it, numbers apart.
    Text,
    /// The first line, numbers apart.
    FirstLine,
    /// Nothing, for this reason, as long as there is an answer.
    Not(&'static str),
}

use Same::{FirstLine, Not, Text};

/// In this order: later lines see what earlier ones changed.
const SESSION: &[(&str, Same)] = &[
    ("show version", Not("the version")),
    ("show info", Not("3.5 has more lines, and pools of C are not here")),
    ("show cli level", Text),
    ("show cli sockets", FirstLine),
    ("show backend", Text),
    ("show stat", Not("3.5 has more columns")),
    ("show stat typed", Not("3.5 has more columns")),
    ("show schema json", Not("3.5 has another schema")),
    ("show errors", FirstLine),
    ("show sess", Not("the threads and the session that asks")),
    ("show servers state", Text),
    ("show servers state app", Text),
    ("show servers state nope", Text),
    ("show servers conn app", Not("3.5 has more columns")),
    ("show env NO_SUCH_VARIABLE", Text),
    ("show acl", FirstLine),
    ("show map", FirstLine),
    ("show map @MAP@", Text),
    ("add map @MAP@ key3 value3", Text),
    ("add map @MAP@ key4", Text),
    ("get map @MAP@ key3", Text),
    ("get map @MAP@ nothing", Text),
    ("get map nope key", Text),
    ("set map @MAP@ key3 other", Text),
    ("set map @MAP@ nothing other", Text),
    ("del map @MAP@ key3", Text),
    ("del map @MAP@ key3", Text),
    ("prepare map @MAP@", Text),
    ("add map @@1 @MAP@ a b", Text),
    ("show map @@1 @MAP@", Text),
    ("commit map @@1 @MAP@", Text),
    ("commit map @@7 @MAP@", Text),
    ("clear map @MAP@", Text),
    ("show map @MAP@", Text),
    ("add acl @ACL@ 10.0.0.1", Text),
    ("add acl @ACL@ nonsense", Text),
    ("get acl @ACL@ 10.0.0.1", Text),
    ("del acl @ACL@ 10.0.0.1", Text),
    ("del acl @ACL@ 10.9.9.9", Text),
    ("show acl @ACL@", Text),
    ("prepare acl @ACL@", Text),
    ("clear acl @ACL@", Text),
    ("show table", Text),
    ("set table app key 127.0.0.1 data.gpc0 5", Text),
    ("set table app key 127.0.0.1 data.nope 5", Text),
    ("show table app", FirstLine),
    ("show table app key 127.0.0.1", Not("3.5 tells the shard of an entry")),
    ("show table app data.gpc0 gt 1", FirstLine),
    ("show table nope", Text),
    ("clear table app key 127.0.0.1", Text),
    ("clear table app", Text),
    ("get weight app/s1", Text),
    ("set weight app/s1 5", Text),
    ("set weight app/s1 50%", Text),
    ("set weight app/s1 9999", Text),
    ("set weight app/s1 x", Text),
    ("set weight app/nope 5", Text),
    ("get weight app/s1", Text),
    ("set server app/s1 state drain", Text),
    ("set server app/s1 state nope", Text),
    ("set server app/s1 state ready", Text),
    ("set server app/s1 weight 10", Text),
    ("set server app/s1 addr 127.0.0.1 port 2", Text),
    ("set server app/s1 health up", Text),
    ("set server app/s1 nope", Not("the usage lists what there is, in the order of 3.5")),
    ("set server nope/s1 state ready", Text),
    ("set server app", Text),
    ("disable server app/s2", Text),
    ("enable server app/s2", Text),
    ("disable health app/s2", Text),
    ("enable health app/s2", Text),
    ("disable agent app/s2", Text),
    ("enable agent app/s2", Text),
    ("set maxconn global 100", Text),
    ("set maxconn global x", Not("HAProxy takes a word that is no number for 0")),
    ("set maxconn frontend web 50", Text),
    ("set maxconn frontend nope 50", Text),
    ("set maxconn server app/s1 7", Text),
    ("set rate-limit connections global 10", Text),
    ("set rate-limit connections global 0", Text),
    ("set rate-limit nope global 0", Text),
    ("set timeout cli 30", Text),
    ("set timeout cli x", Text),
    ("set severity-output number", Text),
    ("set dynamic-cookie-key backend app key", Text),
    ("enable dynamic-cookie backend app", Text),
    ("disable dynamic-cookie backend app", Text),
    ("get var proc.nothing", Text),
    ("disable frontend web", Text),
    ("disable frontend nope", Text),
    ("enable frontend web", Text),
    ("enable frontend web", Text),
    ("shutdown session 0x0", Not("streams have numbers here; none is an address of nothing")),
    ("shutdown sessions server app/s1", Text),
    ("shutdown sessions server app/nope", Text),
    ("show resolvers", Text),
    ("show resolvers nope", Text),
    ("show stat domain resolvers", FirstLine),
    ("show stat domain resolvers typed", Not("3.5 has more tags")),
    ("show stat domain nope", Text),
    ("show peers", Not("the addresses of C structures")),
    ("show cache", Text),
    ("show tls-keys", Text),
    ("show ssl cert", Not("3.5 prints the title of an empty list, too")),
    ("show ssl cert nope.pem", Text),
    ("show ssl ca-file", FirstLine),
    ("show ssl crl-file", FirstLine),
    ("show ssl crt-list", Text),
    ("show ssl ocsp-response", Not("3.5 prints the title of an empty list, too")),
    ("new ssl cert new.pem", Text),
    ("abort ssl cert nope.pem", Text),
    ("commit ssl cert nope.pem", Text),
    ("del ssl cert nope.pem", Text),
    ("show startup-logs", Not("what each program says of itself")),
    ("show ssl providers", FirstLine),
    ("expert-mode on; debug dev delay 1", Text),
    ("expert-mode on; debug dev loop 1", Text),
    ("expert-mode on; debug dev write 10", Text),
    ("expert-mode on; debug dev check", Text),
    ("expert-mode on; debug dev warn", Text),
    ("expert-mode on; debug dev log hello", Text),
    ("expert-mode on; debug dev close", Not("no command reaches into descriptors here")),
    ("expert-mode on; debug dev fd", Not("descriptors are described in words")),
    ("httpclient GET http://127.0.0.1:1/", Text),
    ("expert-mode on; httpclient", Text),
    ("set profiling tasks on", Not("perf(1) profiles")),
    ("show profiling", Not("perf(1) profiles")),
    ("show activity", Not("threads count other things")),
    ("show fd", Not("descriptors are described in words")),
    ("show libs", Not("other libraries")),
    ("show pools", Not("there are no pools")),
    ("show tasks", FirstLine),
    ("show threads", Not("the kernel's view of threads")),
    ("show trace", Not("other sources")),
    ("show events", FirstLine),
    ("clear counters", Text),
    ("clear counters all", Text),
    ("operator;show cli level", Text),
    ("user;show cli level", Text),
    ("user;clear counters", Text),
    ("shutdown frontend web", Text),
    ("enable frontend web", Text),
];

fn config(files: &Files) -> Result<String> {
    let map = files.write("keys.map", "key1 value1\nkey2 value2\n")?;
    let acl = files.write("networks.acl", "192.168.0.0/16\n")?;
    let address = loopback()?;
    Ok(format!(
        "
{DEFAULTS}
frontend web
    bind {address}
    maxconn 200
    acl known src -f {}
    http-request set-header x-value %[path,map({})] if known
    default_backend app
backend app
    cookie SRV insert
    stick-table type ip size 1k store gpc0,conn_cnt
    server s1 127.0.0.1:1 cookie a weight 10 check inter 600s
    server s2 127.0.0.1:2 disabled
",
        acl.display(),
        map.display()
    ))
}

/// Numbers, addresses of C structures and paths become what they are.
fn plain(text: &str, directory: &str) -> String {
    let text = text.replace(directory, "@DIR@");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let number = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let Some(hex) = rest.strip_prefix("0x") {
            let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            out.push('N');
            rest = &hex[end..];
        } else if number > 0 {
            out.push('N');
            rest = &rest[number..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_command_answers_as_haproxy_does() -> Result<()> {
    if peer() == Peer::Haproxy || !std::path::Path::new("/usr/sbin/haproxy").exists() {
        return Ok(());
    }
    let mut both = Vec::new();
    for program in [Peer::Sluice, Peer::Haproxy] {
        let files = Files::new()?;
        let running = Sluice::config(config(&files)?).program(program).start()?;
        both.push((running, files));
    }
    let mut different = Vec::new();
    for (line, same) in SESSION {
        let mut answers = Vec::new();
        for (running, files) in &both {
            let directory = files.path("").display().to_string();
            let line = line
                .replace("@MAP@", &files.path("keys.map").display().to_string())
                .replace("@ACL@", &files.path("networks.acl").display().to_string())
                .replace("@@", "@");
            answers.push(plain(&running.stats().command(&line)?, directory.trim_end_matches('/')));
        }
        let shown = |text: &String| match same {
            Text => text.clone(),
            FirstLine => text.lines().next().unwrap_or_default().to_owned(),
            Not(_) => String::new(),
        };
        let unknown = answers[0].starts_with("Unknown command");
        if unknown || shown(&answers[0]) != shown(&answers[1]) {
            different.push(format!(
                "{line}\n  ours: {:?}\n  HAProxy's: {:?}",
                shown(&answers[0]),
                shown(&answers[1])
            ));
        }
    }
    ensure!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    Ok(())
}
