//! Servers and backends that commands add while a worker runs (management manual, 9.3 "add server", "add backend").
//!
//! The words are read by the tables that read configurations. Mistakes are one text, as commands answer.

use proxy_types::{Mode, Severity, Span, Spanned, Transport};

use crate::args::Args;
use crate::context::{Context, Elsewhere};
use crate::lexer::Word;
use crate::line::server;
use crate::line::server_from::{self, Origin};
use crate::line::server_words;
use crate::line::shared::is_name_char;
use crate::model::{Config, DefaultsId, Proto, Proxy, ProxyKind, RuleSet, Server};
use crate::{Environment, Options, resolve};

/// What the words of a command may name.
pub struct Known<'a> {
    pub config: &'a Config,
    /// A section as it is now, with the servers that were added and without those that were removed.
    pub section: &'a dyn Fn(&str) -> Option<&'a Proxy>,
}

/// Reads a server of `section`: its name, its address, its settings.
///
/// # Errors
/// What is wrong with them, in HAProxy's words where it has some.
pub fn server(words: &[String], section: &Proxy, known: &Known<'_>) -> Result<Server, String> {
    let options = Options::default();
    let mut cx = Context::new(Environment::default(), &options);
    let words: Vec<Word> = std::iter::once("server".to_owned())
        .chain(words.iter().cloned())
        .map(|word| Spanned::new(word.into(), Span::NONE))
        .collect();
    if let Some(origin) = server_from::elsewhere(&words, &section.name.value) {
        let section = (known.section)(origin.backend()).filter(|p| p.kind.is_backend());
        cx.origin = Elsewhere::named(section.and_then(|section| origin.settings(section)));
    }
    if let Some(text) = purged(&words, section, known) {
        return Err(format!("'from' : '{text}' was purged (see 'tune.defaults.purge')."));
    }
    let server = server::dynamic(&mut cx, section, &mut Args::new(&words));
    if let Ok(server) = &server {
        misfits(&mut cx, known.config, section, server);
    }
    let name = words.get(1).map_or("", |name| name.value.as_str());
    let prefix = format!("'server {}/{name}' : ", section.name.value);
    let wrong = cx.diagnostics.iter().find(|d| d.severity == Severity::Alert);
    match (server, wrong) {
        (Ok(server), None) => Ok(server),
        (_, Some(wrong)) => {
            let text = wrong.message.strip_prefix(&prefix).unwrap_or(&wrong.message);
            Err(if text.ends_with('?') { text.to_owned() } else { format!("{text}.") })
        }
        (Err(_), None) => Err("it is not carried yet.".to_owned()),
    }
}

/// The origin that a line names although `tune.defaults.purge` took it away.
fn purged<'w>(words: &'w [Word], section: &Proxy, known: &Known<'_>) -> Option<&'w str> {
    let at = words.iter().position(|word| word.value == "from")?;
    let text = words.get(at + 1)?.value.as_str();
    let (backend, server) = match Origin::parse(text)? {
        Origin::None => return None,
        Origin::Backend(backend) => (backend, None),
        Origin::Server { backend, server } => (backend, Some(server)),
    };
    let found = if backend.is_empty() { Some(section) } else { (known.section)(backend) };
    let is_server = server.is_some_and(|name| {
        found.is_some_and(|section| section.servers.iter().any(|s| s.name.value == name))
    });
    (known.config.global.tune.purge_servers && !is_server).then_some(text)
}

/// Settings that do not fit together, or to the section.
fn misfits(cx: &mut Context<'_>, config: &Config, section: &Proxy, server: &Server) {
    let options = &server.options;
    let datagrams = server.address.value.transport == Some(Transport::Datagram);
    if datagrams && section.settings.mode() != Mode::Udp {
        cx.alert(server.address.span, "datagram address not acceptable");
    }
    if section.settings.mode() != Mode::Http
        && options.proto.is_some_and(|proto| proto.value == Proto::H2)
    {
        cx.alert(server.span, "MUX protocol is not usable for server");
    }
    if options.names.resolvers.is_some() || server.srv_record().is_some() {
        cx.alert(server.span, "'resolvers' option is not accepted for dynamic server");
    }
    resolve::server(cx, config, section, server);
}

/// The words that [`server`] knows, with their arguments.
pub fn server_words() -> impl Iterator<Item = (&'static str, &'static str)> {
    std::iter::once(("from", "{none|be:[<backend>]|srv:[<backend>/]<server>}"))
        .chain(server_words::dynamic_words().filter(|(name, _)| *name != "from"))
}

/// Makes a backend with the settings of a `defaults` section.
///
/// # Errors
/// Why there can be none.
pub fn backend(
    config: &Config,
    name: &str,
    from: &str,
    mode: Option<Mode>,
    guid: Option<&str>,
) -> Result<Proxy, String> {
    let bad = |text: &str| text.chars().find(|c| !is_name_char(*c));
    if let Some(c) = bad(name) {
        return Err(format!("character '{c}' is not permitted in backend name '{name}'."));
    }
    if let Some(guid) =
        guid.filter(|guid| guid.is_empty() || guid.len() > 127 || bad(guid).is_some())
    {
        return Err(format!("invalid guid '{guid}'."));
    }
    let mut named = config.defaults.iter().enumerate().filter(|(_, section)| {
        !config.global.tune.purge_proxies
            && !section.name.value.is_empty()
            && section.name.value == from
    });
    let Some((at, defaults)) = named.next() else {
        return Err(format!("Cannot find default proxy '{from}'."));
    };
    if named.next().is_some() {
        return Err(format!("Several default proxies are called '{from}'."));
    }
    let mode = mode.or_else(|| defaults.settings.mode.map(|mode| mode.value));
    let mode = mode.ok_or("Mode is required as the default proxy does not set it.")?;
    if !matches!(mode, Mode::Tcp | Mode::Http) {
        return Err("Only TCP and HTTP backends can be created.".to_owned());
    }
    let id = DefaultsId(at);
    let rules = |sets: &[RuleSet]| defaults.rules.iter().any(|rule| sets.contains(&rule.set));
    let of_frontends = || {
        let mut users = config.proxies.iter().filter(|proxy| proxy.defaults == Some(id));
        users.any(|proxy| proxy.kind == ProxyKind::Frontend)
    };
    if rules(&[RuleSet::TcpRequestConnection, RuleSet::TcpRequestSession]) {
        return Err(format!(
            "Default proxy '{from}' has 'tcp-request connection' or 'tcp-request session' rules, \
             which a backend cannot have."
        ));
    }
    if !defaults.rules.is_empty() && of_frontends() {
        return Err(format!(
            "Default proxy '{from}' has TCP/HTTP rules and is used by frontends, so that a backend cannot use it."
        ));
    }
    let name = Spanned::builtin(name.to_owned());
    let mut proxy = Proxy::new(ProxyKind::Backend, name, Span::NONE);
    proxy.defaults = Some(id);
    proxy.explicit_defaults = true;
    proxy.settings = defaults.settings.clone();
    proxy.settings.mode = Some(Spanned::builtin(mode));
    proxy.guid = guid.map(|guid| Spanned::builtin(guid.to_owned()));
    proxy.unpublished = Some(Span::NONE);
    resolve::fall_back(&mut proxy);
    Ok(proxy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sources;

    const TEXT: &str = "defaults d\n mode http\ndefaults bare\n\
        defaults early\n mode tcp\n tcp-request connection accept\n\
        backend b from d\n default-server weight 7 check\n default-server name n inter 9s\n server s 127.0.0.1:80 weight 3\n\
        backend c from d\n default-server name n weight 11\nbackend t from d\n mode tcp\n";

    fn config(text: &str) -> Config {
        let sources = Sources::from_text("t", text);
        let (config, told) = crate::load(&sources, &Environment::default(), &Options::default());
        config.unwrap_or_else(|| panic!("{told:?}"))
    }

    fn read(section: &str, line: &str) -> Result<Server, String> {
        let config = config(TEXT);
        let find = |name: &str| config.proxy(name);
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        server(&words, find(section).unwrap(), &Known { config: &config, section: &find })
    }

    #[test]
    fn servers_start_from_nothing_unless_they_say_so() {
        let weight = |section: &str, line: &str| read(section, line).unwrap().options.weight();
        assert_eq!(weight("b", "x 127.0.0.1:80"), 1);
        assert_eq!(weight("b", "x 127.0.0.1:80 from none"), 1);
        assert_eq!(weight("b", "x 127.0.0.1:80 from be:"), 7);
        assert_eq!(weight("b", "x 127.0.0.1:80 from be: weight 8"), 8);
        assert_eq!(weight("b", "x 127.0.0.1:80 from srv:s"), 3);
        assert_eq!(weight("b", "x 127.0.0.1:80 from srv:n"), 1);
        assert_eq!(weight("c", "x 127.0.0.1:80 from be:b"), 7);
        assert_eq!(weight("b", "x 127.0.0.1:80 from srv:c/n"), 11);
        assert!(read("b", "x 127.0.0.1:80 from srv:s").unwrap().options.is_checked());
    }

    #[track_caller]
    fn refused(section: &str, line: &str, with: &str) {
        assert_eq!(read(section, line).unwrap_err(), with);
    }

    #[test]
    fn mistakes_are_told_as_haproxy_tells_them() {
        refused("b", "x", "'server' expects <name> and <addr>[:<port>] as arguments.");
        refused(
            "b",
            "x 127.0.0.1:80 redir /",
            "'redir' option is not accepted for dynamic server.",
        );
        refused(
            "b",
            "x 127.0.0.1:80 wieght 3",
            "unknown keyword 'wieght'; did you mean 'weight' maybe ?",
        );
        refused("t", "x 127.0.0.1:80 proto h2", "MUX protocol is not usable for server.");
        refused("b", "a!b 127.0.0.1:80", "character '!' is not permitted in server name 'a!b'.");
        assert!(read("b", "x 127.0.0.1:80 weight 3 from be:").unwrap_err().contains("before all"));
        assert!(read("b", "x 127.0.0.1:80 from srv:zz").unwrap_err().contains("unable to find"));
        assert!(read("b", "x 127.0.0.1:80 from elsewhere").unwrap_err().contains("expects 'none'"));
        assert!(read("b", "x 127.0.0.1 check").unwrap_err().contains("neither service port"));
    }

    #[test]
    fn backends_come_from_defaults() {
        let config = config(TEXT);
        let add = |name, from, mode| backend(&config, name, from, mode, None);
        assert_eq!(add("x", "d", None).unwrap().settings.mode(), Mode::Http);
        assert_eq!(add("x", "bare", Some(Mode::Tcp)).unwrap().settings.mode(), Mode::Tcp);
        assert!(add("x", "bare", None).unwrap_err().starts_with("Mode is required"));
        assert_eq!(add("x", "no", None).unwrap_err(), "Cannot find default proxy 'no'.");
        assert!(add("x", "early", None).unwrap_err().contains("a backend cannot have"));
        assert!(add("x y", "d", None).is_err());
    }

    proptest::proptest! {
        /// Whatever the words are, there is an answer, and what is taken has the name that was asked for.
        #[test]
        fn any_words_are_answered(
            words in proptest::collection::vec(
                proptest::sample::select(
                    server_words().map(|(word, _)| word).chain([
                        "x", "127.0.0.1:80", "[::1]:80", "from", "be:", "srv:s", "none", "3", "5s", "on", "h2", "/p", "",
                    ]).collect::<Vec<_>>()
                ),
                0..8,
            ),
            noise in ".{0,12}",
        ) {
            let mut line = vec!["x".to_owned(), "127.0.0.1:80".to_owned()];
            line.extend(words.iter().map(|word| (*word).to_owned()));
            line.push(noise);
            let config = config(TEXT);
            let find = |name: &str| config.proxy(name);
            let known = Known { config: &config, section: &find };
            match server(&line, find("b").unwrap(), &known) {
                Ok(server) => proptest::prop_assert_eq!(&server.name.value, "x"),
                Err(text) => proptest::prop_assert!(!text.is_empty()),
            }
        }
    }

    #[test]
    fn purged_settings_are_gone() {
        let config = config("global\n tune.defaults.purge\ndefaults d\n mode http\n");
        assert!(backend(&config, "x", "d", None, None).is_err());
        assert!(config.global.tune.purge_proxies && !config.global.tune.purge_servers);
    }
}
