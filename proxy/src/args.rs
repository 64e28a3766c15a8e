//! The command line: HAProxy's flags, one row each, and Sluice's own subcommands.
//!
//! Management manual, section 3 "Starting".

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::PathBuf;

/// What the process was started to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Action {
    /// No configuration was given.
    #[default]
    Usage,
    Version {
        verbose: bool,
    },
    /// `-vq`, `-vqs`: the version alone; `-vqb`: the branch of HAProxy whose language it is.
    VersionOnly {
        branch: bool,
    },
    /// `-cc`: evaluate one condition.
    Condition(String),
    /// `-c`: check the configuration.
    Check,
    /// `sluice check --json`.
    CheckJson,
    /// `sluice check --dump`.
    Dump,
    /// `sluice l4 detach`: takes the kernel path of an instance out of the kernel.
    L4Detach {
        instance: Option<String>,
    },
    /// `sluice l4 decap`: the server's side of `l4-mode ipip`.
    L4Decap(L4Decap),
    /// `sluice l4 status`, `flows` or `drops`: reads what is in the kernel.
    L4Show(L4Show),
    /// `sluice explain`.
    Explain {
        json: bool,
    },
    Run,
}

/// The server's side of tunnels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct L4Decap {
    pub(crate) interface: String,
    /// Whose packets are taken out of others; empty to stop it.
    pub(crate) balancers: Vec<std::net::IpAddr>,
}

/// What `sluice l4` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct L4Show {
    pub(crate) what: L4What,
    pub(crate) instance: Option<String>,
    pub(crate) json: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum L4What {
    Status,
    Drops,
    Flows(L4Flows),
    Trace(L4Trace),
}

/// Which packets `sluice l4 trace` shows, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct L4Trace {
    /// One of so many.
    pub(crate) every: u32,
    pub(crate) max: Option<u64>,
    pub(crate) seconds: Option<u64>,
    /// Where they are written, beside.
    pub(crate) pcap: Option<PathBuf>,
}

impl Default for L4Trace {
    fn default() -> Self {
        Self { every: 1, max: None, seconds: None, pcap: None }
    }
}

/// Which connections `sluice l4 flows` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct L4Flows {
    pub(crate) client: Option<std::net::IpAddr>,
    pub(crate) frontend: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) max: Option<usize>,
}

/// How old processes are asked to leave once the new one serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StopStyle {
    /// `-sf`: finish what is in progress.
    #[default]
    Finish,
    /// `-st`: terminate at once.
    Terminate,
}

/// The parsed command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args {
    pub(crate) action: Action,
    /// `-f`, and what follows `--`.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) master: bool,
    pub(crate) systemd: bool,
    /// `-S`, as written: address and options separated by commas.
    pub(crate) master_sockets: Vec<String>,
    pub(crate) daemon: bool,
    /// `-D` or `daemon`, once nothing speaks against it: the terminal is left when the service is up.
    pub(crate) background: bool,
    /// `-db` or `-d`: never go to background.
    pub(crate) foreground: bool,
    /// `-d`: foreground, and a trace of what happens on standard output.
    pub(crate) debug: bool,
    /// `-db` also keeps the process single.
    pub(crate) foreground_debug: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    pub(crate) chdir: Option<PathBuf>,
    /// Where the process was started: a reload starts from there again.
    pub(crate) initial_dir: Option<PathBuf>,
    pub(crate) pidfile: Option<PathBuf>,
    pub(crate) local_peer: Option<String>,
    pub(crate) maxconn: Option<u32>,
    pub(crate) proxy_maxconn: Option<u32>,
    pub(crate) memory_mb: Option<u32>,
    pub(crate) old_pids: Vec<i32>,
    pub(crate) stop_style: StopStyle,
    /// `-x`: where to ask for the listening sockets of the old process.
    pub(crate) listeners_from: Option<String>,
    /// `-dW`: refuse to start after any warning.
    pub(crate) zero_warning: bool,
    /// `-dD`: diagnostics about suspicious statements.
    pub(crate) diagnostics: bool,
    /// `-dr`: failed address resolution of a server is not an error.
    pub(crate) ignore_resolution: bool,
    /// `-dS`: no splice(2).
    pub(crate) no_splice: bool,
    /// `-dR`: no SO_REUSEPORT.
    pub(crate) no_reuseport: bool,
    /// `-4`: resolve names to IPv4 only.
    pub(crate) ipv4_only: bool,
    /// `--legacy`: words that the language has lost are translated.
    pub(crate) legacy: bool,
    /// `sluice check --fix`: the translation is written to the files.
    pub(crate) fix: bool,
    /// `-dV`: certificates of servers are not looked at.
    pub(crate) no_server_verify: bool,
    /// `-dC`: the configuration is printed as it was read; with a key other than 0 it tells no names.
    pub(crate) dump: Option<u32>,
    /// `-dA`: the program and its libraries are written to this file.
    pub(crate) archive: Option<PathBuf>,
    /// `-dc`: where threads run is told.
    pub(crate) show_cpus: bool,
    /// `-dL`: the libraries in use are printed.
    pub(crate) list_libraries: bool,
    /// `-dt`: what is traced on standard error.
    pub(crate) traces: Option<String>,
    /// `-dK`: classes of words to list.
    pub(crate) keyword_classes: Option<String>,
    /// What the user should know about flags that mean nothing here.
    pub(crate) notices: Vec<String>,
}

/// A command line that cannot be used, in words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ArgsError {
    #[error("unknown option '{0}'")]
    Unknown(String),
    #[error("'{flag}' expects {expected}")]
    Missing { flag: String, expected: &'static str },
    #[error("'{flag}' expects {expected}, not '{found}'")]
    Invalid { flag: String, expected: &'static str, found: String },
}

/// What `-x` names to start without the listening sockets of another process.
pub(crate) const NO_LISTENERS: &str = "/dev/null";

type Apply = fn(&mut Args, &str) -> Result<(), &'static str>;

/// How a flag takes its value.
enum Takes {
    /// None.
    Nothing(fn(&mut Args)),
    /// The next word; what is expected, and what to do with it.
    Word(&'static str, Apply),
    /// Any number of words up to the next one that starts with a dash.
    Words(Apply),
    /// A C-internal or removed knob: accepted, and the user is told why it does nothing.
    NoEffect(&'static str),
    /// As `NoEffect`, with a value glued to the flag; whether it is one.
    NoEffectGlued(&'static str, fn(&str) -> bool),
    /// A value glued to the flag.
    Glued(Apply),
}

/// One row per flag.
struct Flag {
    name: &'static str,
    takes: Takes,
    doc: &'static str,
}

const fn flag(name: &'static str, takes: Takes, doc: &'static str) -> Flag {
    Flag { name, takes, doc }
}

const NO_POLLER: &str = "there is a single poller, epoll";

fn number(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "a number")
}

fn run(args: &mut Args) {
    if matches!(args.action, Action::Usage) {
        args.action = Action::Run;
    }
}

/// Every flag. Longer names stand before their prefixes.
static FLAGS: &[Flag] = &[
    flag(
        "-f",
        Takes::Word("a file or a directory", |a, v| {
            a.files.push(v.into());
            run(a);
            Ok(())
        }),
        "<file|dir>  read this configuration; repeatable",
    ),
    flag(
        "-cc",
        Takes::Word("a condition", |a, v| {
            a.action = Action::Condition(v.to_owned());
            Ok(())
        }),
        "<condition>  evaluate a condition and exit",
    ),
    flag("-c", Takes::Nothing(|a| a.action = Action::Check), "check the configuration and exit"),
    flag(
        "-vv",
        Takes::Nothing(|a| a.action = Action::Version { verbose: true }),
        "show version and build details",
    ),
    flag(
        "-vqb",
        Takes::Nothing(|a| a.action = Action::VersionOnly { branch: true }),
        "show the branch of HAProxy whose configuration language this is",
    ),
    flag(
        "-vqs",
        Takes::Nothing(|a| a.action = Action::VersionOnly { branch: false }),
        "show the version and nothing else",
    ),
    flag(
        "-vq",
        Takes::Nothing(|a| a.action = Action::VersionOnly { branch: false }),
        "show the version and nothing else",
    ),
    flag(
        "-v",
        Takes::Nothing(|a| a.action = Action::Version { verbose: false }),
        "show the version",
    ),
    flag(
        "-V",
        Takes::Nothing(|a| {
            a.verbose = true;
            a.quiet = false;
        }),
        "verbose (reverts -q)",
    ),
    flag(
        "-q",
        Takes::Nothing(|a| {
            a.quiet = true;
            a.verbose = false;
        }),
        "quiet",
    ),
    flag("-W", Takes::Nothing(|a| a.master = true), "master-worker mode"),
    flag(
        "-Ws",
        Takes::Nothing(|a| {
            a.master = true;
            a.systemd = true;
        }),
        "master-worker mode with systemd notifications",
    ),
    flag(
        "-S",
        Takes::Word("an address", |a, v| {
            a.master_sockets.push(v.to_owned());
            Ok(())
        }),
        "<bind>[,<option>...]  master CLI",
    ),
    flag("-D", Takes::Nothing(|a| a.daemon = true), "go to background"),
    flag(
        "-db",
        Takes::Nothing(|a| {
            a.foreground = true;
            a.foreground_debug = true;
        }),
        "stay in foreground, without a master",
    ),
    flag(
        "-d",
        Takes::Nothing(|a| {
            a.foreground = true;
            a.debug = true;
        }),
        "debug: foreground, show events",
    ),
    flag(
        "-p",
        Takes::Word("a file", |a, v| {
            a.pidfile = Some(v.into());
            Ok(())
        }),
        "<file>  write the pid here",
    ),
    flag(
        "-sf",
        Takes::Words(|a, v| {
            a.stop_style = StopStyle::Finish;
            pid(a, v)
        }),
        "<pid>*  ask old processes to finish",
    ),
    flag(
        "-st",
        Takes::Words(|a, v| {
            a.stop_style = StopStyle::Terminate;
            pid(a, v)
        }),
        "<pid>*  terminate old processes",
    ),
    flag(
        "-x",
        Takes::Word("a socket", |a, v| {
            a.listeners_from = Some(v.to_owned());
            Ok(())
        }),
        "<socket>  get listening sockets from an old process",
    ),
    flag(
        "-C",
        Takes::Word("a directory", |a, v| {
            a.chdir = Some(v.into());
            Ok(())
        }),
        "<dir>  change directory first",
    ),
    flag(
        "-L",
        Takes::Word("a name", |a, v| {
            a.local_peer = Some(v.to_owned());
            Ok(())
        }),
        "<name>  local peer name",
    ),
    flag(
        "-n",
        Takes::Word("a number", |a, v| {
            a.maxconn = Some(number(v)?);
            Ok(())
        }),
        "<n>  process-wide maxconn",
    ),
    flag(
        "-N",
        Takes::Word("a number", |a, v| {
            a.proxy_maxconn = Some(number(v)?);
            Ok(())
        }),
        "<n>  default maxconn of a proxy",
    ),
    flag(
        "-m",
        Takes::Word("a number", |a, v| {
            a.memory_mb = Some(number(v)?);
            Ok(())
        }),
        "<MB>  memory limit",
    ),
    flag(
        "--legacy",
        Takes::Nothing(|a| a.legacy = true),
        "translate words that the language has lost, and show how",
    ),
    flag("-4", Takes::Nothing(|a| a.ipv4_only = true), "resolve names to IPv4 only"),
    flag("-dW", Takes::Nothing(|a| a.zero_warning = true), "refuse to start after a warning"),
    flag("-dD", Takes::Nothing(|a| a.diagnostics = true), "warn about suspicious statements"),
    flag(
        "-dr",
        Takes::Nothing(|a| a.ignore_resolution = true),
        "ignore failures to resolve server names",
    ),
    flag("-dS", Takes::Nothing(|a| a.no_splice = true), "no splice(2)"),
    flag("-dR", Takes::Nothing(|a| a.no_reuseport = true), "no SO_REUSEPORT"),
    flag(
        "-dM",
        Takes::NoEffectGlued(
            "memory is not poisoned: uninitialised memory cannot be read",
            is_memory_debugging,
        ),
        "[<byte>[,]][<option>,...]  memory debugging",
    ),
    flag("-dI", Takes::NoEffect("forking is not restricted"), "insecure fork"),
    flag("-dF", Takes::NoEffect("there is no fast-forward mode to disable"), "no fast-forward"),
    flag("-dG", Takes::NoEffect("getaddrinfo() is the only resolver at start"), "no getaddrinfo()"),
    flag("-dZ", Takes::NoEffect("there is no zero-copy mode to disable"), "no zero-copy"),
    flag("-dT", Takes::NoEffect("kTLS is not used"), "no kTLS"),
    flag("-dV", Takes::Nothing(|a| a.no_server_verify = true), "no TLS verification of servers"),
    flag(
        "-dK",
        Takes::Glued(|a, v| {
            a.keyword_classes = Some(v.to_owned());
            Ok(())
        }),
        "<class>[,<class>]*  list keywords after reading the configuration; -dKhelp",
    ),
    flag(
        "-dC",
        Takes::Glued(|a, v| {
            a.dump = Some(match v {
                "" => 0,
                key => key.parse().map_err(|_| "a key from 0 to 4294967295")?,
            });
            Ok(())
        }),
        "[<key>]  print the configuration as it is read (with -c); with a key, without names and secrets",
    ),
    flag(
        "-dA",
        Takes::Glued(|a, v| {
            a.archive =
                Some(Some(v).filter(|v| !v.is_empty()).ok_or("a file right behind it")?.into());
            Ok(())
        }),
        "<file>  write the program and its libraries to a tar archive",
    ),
    flag("-dL", Takes::Nothing(|a| a.list_libraries = true), "list the libraries in use (with -c)"),
    flag("-dc", Takes::Nothing(|a| a.show_cpus = true), "tell which CPUs threads run on"),
    flag(
        "-dt",
        Takes::Glued(|a, v| {
            a.traces = Some(v.to_owned());
            Ok(())
        }),
        "[<source>[:<level>[:<verbosity>]],...]  traces on standard error",
    ),
    flag("-de", Takes::NoEffect(NO_POLLER), "no epoll"),
    flag("-dk", Takes::NoEffect(NO_POLLER), "no kqueue"),
    flag("-dp", Takes::NoEffect(NO_POLLER), "no poll"),
    flag("-dv", Takes::NoEffect(NO_POLLER), "no event ports"),
];

/// What `-dM` takes: a byte, options between commas.
fn is_memory_debugging(text: &str) -> bool {
    const OPTIONS: [&str; 10] = [
        "fail",
        "merge",
        "cold-first",
        "hot-first",
        "integrity",
        "backup",
        "global",
        "cache",
        "caller",
        "tag",
    ];
    let byte = |word: &str| match word.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).is_ok(),
        None => word.parse::<u8>().is_ok(),
    };
    text.split(',').enumerate().all(|(at, word)| {
        let option = word.strip_prefix("no-").unwrap_or(word);
        word.is_empty() || at == 0 && byte(word) || option == "poison" || OPTIONS.contains(&option)
    })
}

fn pid(args: &mut Args, text: &str) -> Result<(), &'static str> {
    args.old_pids.push(text.parse().ok().filter(|pid| *pid > 0).ok_or("process ids")?);
    Ok(())
}

/// Parses the whole command line, the program's name included.
///
/// # Errors
/// The first word that cannot be used.
pub(crate) fn parse(argv: &[OsString]) -> Result<Args, ArgsError> {
    if argv.get(1).is_some_and(|word| word == "explain") {
        return explain(&argv[2..]);
    }
    if argv.get(1).is_some_and(|word| word == "check") {
        return check(&argv[2..]);
    }
    if argv.get(1).is_some_and(|word| word == "l4") {
        return l4(&argv[2..]);
    }
    parse_flags(argv.get(1..).unwrap_or_default())
}

fn parse_flags(words: &[OsString]) -> Result<Args, ArgsError> {
    let mut args = Args::default();
    let mut rest = words.iter().map(OsString::as_os_str).peekable();
    while let Some(word) = rest.next() {
        if word == "--" {
            for file in rest.by_ref() {
                args.files.push(file.into());
                run(&mut args);
            }
            break;
        }
        let text = word.to_string_lossy();
        let found = FLAGS.iter().find(|flag| match flag.takes {
            Takes::Glued(_) | Takes::NoEffectGlued(..) => text.starts_with(flag.name),
            _ => text == flag.name,
        });
        let Some(flag) = found else { return Err(ArgsError::Unknown(text.into_owned())) };
        match &flag.takes {
            Takes::Nothing(apply) => apply(&mut args),
            Takes::Word(expected, apply) => {
                let Some(value) = rest.next() else {
                    return Err(ArgsError::Missing { flag: flag.name.into(), expected });
                };
                apply_word(&mut args, flag, value, *apply)?;
            }
            Takes::Words(apply) => {
                while let Some(value) = rest.next_if(|next| !starts_with_dash(next)) {
                    apply_word(&mut args, flag, value, *apply)?;
                }
            }
            Takes::NoEffectGlued(_, is_value) if !is_value(&text[flag.name.len()..]) => {
                return Err(ArgsError::Unknown(text.into_owned()));
            }
            Takes::NoEffect(why) | Takes::NoEffectGlued(why, _) => {
                args.notices.push(format!("option {text} has no effect: {why}"));
            }
            Takes::Glued(apply) => {
                let value = OsStr::new(&text[flag.name.len()..]);
                apply_word(&mut args, flag, value, *apply)?;
            }
        }
    }
    if matches!(args.action, Action::Check) && args.files.is_empty() {
        args.action = Action::Usage;
    }
    Ok(args)
}

fn starts_with_dash(word: &OsStr) -> bool {
    word.to_string_lossy().starts_with('-')
}

fn apply_word(args: &mut Args, flag: &Flag, value: &OsStr, apply: Apply) -> Result<(), ArgsError> {
    let text = value.to_string_lossy();
    apply(args, &text).map_err(|expected| ArgsError::Invalid {
        flag: flag.name.into(),
        expected,
        found: text.into_owned(),
    })
}

/// `sluice explain [--json] -f file ...`
fn explain(words: &[OsString]) -> Result<Args, ArgsError> {
    let json = words.iter().any(|word| word == "--json");
    let flags: Vec<_> = words.iter().filter(|word| *word != "--json").cloned().collect();
    let mut args = parse_flags(&flags)?;
    args.action = if args.files.is_empty() { Action::Usage } else { Action::Explain { json } };
    Ok(args)
}

/// `sluice check [--json|--dump|--fix] -f file ...`
fn check(words: &[OsString]) -> Result<Args, ArgsError> {
    let own = |word: &&OsString| ["--json", "--dump", "--fix"].iter().any(|own| *word == own);
    let fix = words.iter().any(|word| word == "--fix");
    let json = words.iter().any(|word| word == "--json");
    let dump = words.iter().any(|word| word == "--dump");
    let flags: Vec<_> = words.iter().filter(|word| !own(word)).cloned().collect();
    let mut args = parse_flags(&flags)?;
    args.verbose = true;
    args.fix = fix;
    args.action = match (args.files.is_empty(), json, dump) {
        (true, ..) => Action::Usage,
        (false, true, _) => Action::CheckJson,
        (false, false, true) => Action::Dump,
        (false, false, false) => Action::Check,
    };
    Ok(args)
}

/// `sluice l4 detach|status|flows|drops|trace [<instance>] ...`
fn l4(words: &[OsString]) -> Result<Args, ArgsError> {
    let mut texts = words.iter().map(|word| word.to_string_lossy().into_owned()).peekable();
    let with = |action| Ok(Args { action, ..Args::default() });
    let Some(verb) = texts.next() else { return with(Action::Usage) };
    let mut what = match verb.as_str() {
        "decap" => return decap(texts),
        "detach" => None,
        "status" => Some(L4What::Status),
        "drops" => Some(L4What::Drops),
        "flows" => Some(L4What::Flows(L4Flows::default())),
        "trace" => Some(L4What::Trace(L4Trace::default())),
        _ => return Err(ArgsError::Unknown(verb)),
    };
    let instance = texts.next_if(|word| !word.starts_with('-'));
    let mut json = false;
    while let Some(word) = texts.next() {
        let mut value = |expected| {
            texts.next().ok_or_else(|| ArgsError::Missing { flag: word.clone(), expected })
        };
        match (word.as_str(), &mut what) {
            ("--json", Some(_)) => json = true,
            ("--client", Some(L4What::Flows(wanted))) => {
                wanted.client = Some(parsed(&word, value("an address")?, "an address")?);
            }
            ("--frontend", Some(L4What::Flows(wanted))) => {
                wanted.frontend = Some(value("the name of a frontend")?);
            }
            ("--server", Some(L4What::Flows(wanted))) => {
                wanted.server = Some(value("the name of a server")?);
            }
            ("--max", Some(L4What::Flows(wanted))) => {
                wanted.max = Some(parsed(&word, value("a number")?, "a number")?);
            }
            ("--every", Some(L4What::Trace(wanted))) => {
                wanted.every = parsed(&word, value("a number")?, "a number")?;
            }
            ("--max", Some(L4What::Trace(wanted))) => {
                wanted.max = Some(parsed(&word, value("a number")?, "a number")?);
            }
            ("--seconds", Some(L4What::Trace(wanted))) => {
                wanted.seconds = Some(parsed(&word, value("a number")?, "a number")?);
            }
            ("--pcap", Some(L4What::Trace(wanted))) => {
                wanted.pcap = Some(value("the name of a file")?.into());
            }
            _ => return Err(ArgsError::Unknown(word)),
        }
    }
    with(match what {
        None => Action::L4Detach { instance },
        Some(what) => Action::L4Show(L4Show { what, instance, json }),
    })
}

/// `sluice l4 decap <interface> {off|<balancer>...}`
fn decap(mut texts: impl Iterator<Item = String>) -> Result<Args, ArgsError> {
    let missing = |expected| ArgsError::Missing { flag: "decap".into(), expected };
    let interface = texts.next().ok_or_else(|| missing("an interface"))?;
    let mut balancers = Vec::new();
    let mut off = false;
    for word in texts {
        match word.as_str() {
            "off" if balancers.is_empty() && !off => off = true,
            _ if off => return Err(ArgsError::Unknown(word)),
            _ => balancers.push(parsed("decap", word, "the address of a balancer")?),
        }
    }
    if balancers.is_empty() && !off {
        return Err(missing("the addresses of the balancers, or off"));
    }
    let action = Action::L4Decap(L4Decap { interface, balancers });
    Ok(Args { action, ..Args::default() })
}

fn parsed<T: std::str::FromStr>(
    flag: &str,
    found: String,
    expected: &'static str,
) -> Result<T, ArgsError> {
    found.parse().map_err(|_| ArgsError::Invalid { flag: flag.to_owned(), expected, found })
}

/// A flag of one letter, as shells complete it.
pub(crate) struct Letter {
    /// With its dash.
    pub(crate) name: &'static str,
    pub(crate) letter: char,
    pub(crate) takes_value: bool,
    pub(crate) doc: &'static str,
}

/// Every flag of one letter.
pub(crate) fn letters() -> impl Iterator<Item = Letter> {
    FLAGS.iter().filter_map(|flag| {
        let mut letters = flag.name.strip_prefix('-')?.chars();
        let letter = letters.next().filter(char::is_ascii_alphanumeric)?;
        letters.next().is_none().then_some(Letter {
            name: flag.name,
            letter,
            takes_value: matches!(flag.takes, Takes::Word(..)),
            doc: flag.doc,
        })
    })
}

/// The usage text.
pub(crate) fn usage() -> String {
    let mut out = String::from(
        "Usage : sluice [-f <file|dir>]* [options] [-- <file>*]\n\
         \x20       sluice explain [--json] -f <file|dir>   which path each frontend takes, and why\n\
         \x20       sluice check [--json|--dump|--fix] -f <file|dir>   judges, prints or translates a configuration\n\
         \x20       sluice ctl [-s <socket>] <command>      asks and changes a running process; 'sluice ctl help'\n\
         \x20       sluice l4 detach [<instance>]           ends the kernel path that a dead process left\n\
         \x20       sluice l4 decap <interface> {off|<balancer>...}   on servers of l4-mode ipip: takes the outer header off\n\
         \x20       sluice l4 status|drops [<instance>] [--json]   what is in the kernel, and what it did not carry\n\
         \x20       sluice l4 flows [<instance>] [--json] [--client <ip>] [--frontend <name>] [--server <name>] [--max <n>]\n\
         \x20       sluice l4 trace [<instance>] [--json] [--every <n>] [--max <n>] [--seconds <n>] [--pcap <file>]   packets that are not sent on\n",
    );
    for flag in FLAGS {
        let note = match flag.takes {
            Takes::NoEffect(_) | Takes::NoEffectGlued(..) => " (no effect)",
            _ => "",
        };
        let _ = writeln!(out, "        {:<4} {}{note}", flag.name, flag.doc);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str) -> Result<Args, ArgsError> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&words)
    }

    #[test]
    fn files_and_modes() {
        let args = check("sluice -W -f a.cfg -f dir -p /run/x.pid -- b.cfg -c.cfg").unwrap();
        assert_eq!(args.action, Action::Run);
        assert!(args.master);
        assert_eq!(args.files.len(), 4);
        assert_eq!(args.pidfile.as_deref(), Some(std::path::Path::new("/run/x.pid")));
        assert_eq!(check("sluice").unwrap().action, Action::Usage);
        assert_eq!(check("sluice -c -f x").unwrap().action, Action::Check);
        assert_eq!(check("sluice -f x -c").unwrap().action, Action::Check);
        assert_eq!(
            check("sluice l4 detach one").unwrap().action,
            Action::L4Detach { instance: Some("one".into()) }
        );
        assert_eq!(check("sluice l4 detach").unwrap().action, Action::L4Detach { instance: None });
        assert_eq!(check("sluice check -f x").unwrap().action, Action::Check);
        assert_eq!(check("sluice check --json -f x").unwrap().action, Action::CheckJson);
        assert_eq!(check("sluice check -f x --dump").unwrap().action, Action::Dump);
        assert_eq!(check("sluice check --dump").unwrap().action, Action::Usage);
        assert_eq!(check("sluice l4").unwrap().action, Action::Usage);
        assert!(check("sluice l4 attach").is_err() && check("sluice l4 detach a b").is_err());
        let show = |what, instance: Option<&str>, json| {
            let instance = instance.map(str::to_owned);
            Action::L4Show(L4Show { what, instance, json })
        };
        let action = |line| check(line).unwrap().action;
        assert_eq!(action("sluice l4 status"), show(L4What::Status, None, false));
        assert_eq!(action("sluice l4 drops one --json"), show(L4What::Drops, Some("one"), true));
        let wanted = L4Flows {
            client: Some([10, 0, 0, 1].into()),
            server: Some("s1".into()),
            max: Some(3),
            ..L4Flows::default()
        };
        let trace = L4Trace { every: 10, max: Some(3), seconds: None, pcap: Some("f".into()) };
        let line = "sluice l4 trace one --every 10 --max 3 --pcap f";
        assert_eq!(action(line), show(L4What::Trace(trace), Some("one"), false));
        let line = "sluice l4 flows --client 10.0.0.1 --server s1 --max 3";
        assert_eq!(action(line), show(L4What::Flows(wanted), None, false));
        let decap = |balancers: &[[u8; 4]]| {
            let balancers = balancers.iter().map(|ip| (*ip).into()).collect();
            Action::L4Decap(L4Decap { interface: "eth0".into(), balancers })
        };
        assert_eq!(
            action("sluice l4 decap eth0 10.0.0.1 10.0.0.2"),
            decap(&[[10, 0, 0, 1], [10, 0, 0, 2]])
        );
        assert_eq!(action("sluice l4 decap eth0 off"), decap(&[]));
        for wrong in [
            "decap",
            "decap eth0",
            "decap eth0 x",
            "decap eth0 off 10.0.0.1",
            "status --max 3",
            "flows --max x",
            "flows --client",
            "detach --json",
        ] {
            assert!(check(&format!("sluice l4 {wrong}")).is_err(), "{wrong}");
        }
        assert_eq!(
            check("sluice explain -f x --json").unwrap().action,
            Action::Explain { json: true }
        );
    }

    #[test]
    fn old_pids_end_at_the_next_flag() {
        let args = check("sluice -sf 12 13 -f a.cfg -st").unwrap();
        assert_eq!(args.old_pids, [12, 13]);
        assert_eq!(args.stop_style, StopStyle::Finish);
        assert_eq!(check("sluice -st 7 -f a").unwrap().stop_style, StopStyle::Terminate);
    }

    #[test]
    fn flags_without_effect_say_so() {
        let args = check("sluice -dM -dI -dM0x50,no-merge,poison -dW -f a").unwrap();
        assert!(args.zero_warning);
        assert_eq!(args.notices.len(), 3);
        assert_eq!(check("sluice -dMfast -f a").unwrap_err(), ArgsError::Unknown("-dMfast".into()));
    }

    #[test]
    fn bad_words_are_named() {
        assert_eq!(check("sluice -Z").unwrap_err(), ArgsError::Unknown("-Z".into()));
        assert_eq!(
            check("sluice -n many -f a").unwrap_err().to_string(),
            "'-n' expects a number, not 'many'"
        );
        assert_eq!(
            check("sluice -f").unwrap_err().to_string(),
            "'-f' expects a file or a directory"
        );
        assert!(check("sluice -dA -f a").unwrap_err().to_string().contains("a file"));
        assert!(check("sluice -dCx -c -f a").is_err());
    }

    #[test]
    fn values_stand_right_behind_some_flags() {
        let args = check("sluice -dA/tmp/l.tar -dC77 -dc -dKcfg,cli -c -f a").unwrap();
        assert_eq!(args.archive.as_deref(), Some(std::path::Path::new("/tmp/l.tar")));
        assert_eq!((args.dump, args.show_cpus), (Some(77), true));
        assert_eq!(args.keyword_classes.as_deref(), Some("cfg,cli"));
        assert_eq!(check("sluice -dC -c -f a").unwrap().dump, Some(0));
        let version = |line| check(line).unwrap().action;
        assert_eq!(version("sluice -vq"), Action::VersionOnly { branch: false });
        assert_eq!(version("sluice -vqb"), Action::VersionOnly { branch: true });
    }

    #[test]
    fn reference_page_is_up_to_date() {
        let mut page = String::from(
            "# Command line\n\nThis page is made from the rows that the program is made of\n\
             (`UPDATE_EXPECT=1 cargo test -p proxy --bins reference` rewrites it).\n\n```text\n",
        );
        page.push_str(&usage());
        page.push_str("```\n");
        crate::keywords::expect_page("command-line.md", &page);
    }

    #[test]
    fn names_are_unique_and_none_hides_another() {
        for (i, flag) in FLAGS.iter().enumerate() {
            for other in &FLAGS[..i] {
                assert_ne!(flag.name, other.name);
                let glued = matches!(other.takes, Takes::Glued(_) | Takes::NoEffectGlued(..));
                assert!(!(glued && flag.name.starts_with(other.name)), "{}", flag.name);
            }
        }
    }
}
