//! From the forked process to one that serves, step by step, each of which may stop the start.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use proxy_config::compile::{GlobalVar, VarValue};
use proxy_config::model::Config;
use proxy_config::model::{self};
use proxy_net::accept::Switch;
use proxy_net::clock;
use proxy_net::listener::Inherited;
use proxy_net::sockopt::Buffers;
use proxy_net::stop::StopSource;
use proxy_rules::action::service::PROMETHEUS;
use proxy_rules::sample::context::Clock as EvalClock;
use proxy_rules::sample::context::{Date, Shared};
use proxy_rules::sample::{EvalCtx, Sample};
use proxy_rules::users::{Password, User, Userlist};
use proxy_rules::vars::{Limits, ProcVars};
use proxy_stream::backend::Mailboxes;
use proxy_stream::env::{CloseSpread, Env};
use proxy_stream::log::ring::Rings;
use proxy_tls::live::Delays;
use proxy_types::{Diagnostic, Diagnostics, Spanned};

use super::acme::{self, Acme};
use super::admin::{self, Fixed};
use super::checks::{self, Logs};
use super::control::{Control, End};
use super::cpus::Plan;
use super::farms::Farms;
use super::flowlog::FlowLog;
use super::handover::Predecessor;
use super::l4::KernelPath;
use super::link::Link;
use super::listen::{self, BindContext, Listeners};
use super::logs;
use super::mail::Mail;
use super::names;
use super::ocsp::Updater;
use super::signals::Signals;
use super::sources::SourceRules;
use super::threads::{self, Common, Port};
use super::{Ready, listen::local, peers};
use crate::accounts;
use crate::args::{self, Args, StopStyle};
use crate::assemble::workshop::Workshop;
use crate::assemble::{self, Assembled, stats};
use crate::loading::{self, Loaded};
use crate::privileges::{Identity, raise_descriptor_limit};
use crate::{daemon, messages, sys};

/// Runs the worker to its end; the exit code.
pub(crate) fn run(args: Args, ready: Ready) -> u8 {
    restore_signals();
    loading::set_environment(&args);
    let Ok(mut loaded) = loading::load(&args) else { return 1 };
    let global = &loaded.config.global;
    let usual = renice(global.renice_startup);
    // Counters have a shard per thread from the moment they are made.
    let plan = Arc::new(Plan::new(&loaded.config.global));
    if args.show_cpus {
        print!("{}", plan.describe());
    }
    let threads = plan.threads();
    proxy_state::thread::set_workers(threads);
    if let Some(on) = loaded.config.global.stats.max_counters {
        proxy_state::counters::keep_peaks(on.value);
    }
    let Ok(assembled) = assemble::assemble(&args, &loaded) else { return 1 };
    let config = &loaded.config;
    // The runtime API alone is something to serve: health checks of backends can be all that is wanted.
    if config.global.stats.sockets.is_empty()
        && config.frontends().all(|proxy| proxy.settings.is_disabled() || proxy.binds.is_empty())
    {
        messages::alert(format_args!(
            "[{}] No enabled listener found (check for 'bind' directives) ! Exiting.",
            args.files.first().map(|f| f.display().to_string()).unwrap_or_default()
        ));
        return 1;
    }
    renice(loaded.config.global.renice_runtime.or(usual));
    forget_servers(&mut loaded.config);
    let loaded = Rc::new(loaded);
    start(&args, &loaded, assembled, ready, &plan).unwrap_or(1)
}

/// The lines of servers weigh more than all the rest, and have become live servers. Where the kernel may carry
/// connections they are looked at again, and by their guid counters are kept.
fn forget_servers(config: &mut Config) {
    for proxy in
        config.proxies.iter_mut().filter(|proxy| proxy.settings.mode() == proxy_types::Mode::Http)
    {
        proxy.servers.retain(|server| server.guid.is_some());
        proxy.servers.shrink_to_fit();
    }
}

/// Changes the scheduling priority of the process; what it was before, when it was changed.
fn renice(to: Option<Spanned<i32>>) -> Option<Spanned<i32>> {
    let to = to?;
    let before = sys::priority();
    if let Err(error) = sys::set_priority(to.value) {
        messages::warning(format_args!("cannot change the priority to {to} : {error}"));
        return None;
    }
    Some(Spanned::new(before, to.span))
}

fn start(
    args: &Args,
    loaded: &Rc<Loaded>,
    mut assembled: Assembled,
    ready: Ready,
    plan: &Arc<Plan>,
) -> Result<u8, ()> {
    let config = &loaded.config;
    let threads = plan.threads();
    raise_limits(config, &assembled)?;
    let (control_socket, predecessor, launcher, standalone) = match ready {
        Ready::Master { control, predecessor } => (Some(control), predecessor, None, false),
        Ready::Standalone { launcher } => (None, None, launcher, true),
    };
    let predecessor = predecessor.as_ref().and_then(meet);
    let mut inherited = inherit(args, predecessor.as_ref())?;
    let context = BindContext {
        overrides: &assembled.overrides,
        plan,
        no_reuse_port: args.no_reuseport || config.global.noreuseport.is_some(),
    };
    let old: &[i32] = if control_socket.is_some() { &[] } else { &args.old_pids };
    let bound = listen::with_old_processes_paused(old, || {
        Listeners::bind(config, &assembled.registry, context, &mut inherited)
    });
    let mut listeners = match bound {
        Ok(listeners) => listeners,
        Err(errors) => {
            listen::report(&errors, &loaded.sources);
            return Err(());
        }
    };
    let identity = identity(args, loaded)?;
    let mut acme_plan = std::mem::take(&mut assembled.acme);
    let handed = handed(&acme_plan, predecessor.as_ref());
    acme::open_accounts(&mut acme_plan)
        .map_err(|error| messages::alert(format_args!("{error}")))?;
    if let Some(predecessor) = &predecessor
        && let Err(error) = predecessor.release_kernel_path()
    {
        tracing::debug!(%error, "the old worker did not answer");
    }
    let epoch = clock::precise();
    let mut env = assembled.env(config, epoch);
    env.services.push((
        PROMETHEUS,
        assemble::metrics::service(assembled.registry.clone(), Box::new(assembled.desk.clone())),
    ));
    let (asker, asks) = proxy_names::asker();
    env.names = Some(asker);
    let env = Arc::new(env);
    let fronts = assembled.services.iter().map(|service| service.front());
    let sources = SourceRules::new(env.clone(), &assembled.decisions, fronts);
    let kernel = KernelPath::open(config, &assembled.decisions, sources);
    kernel.check_required(&assembled.decisions)?;
    let fronts: Vec<_> = assembled.services.iter().map(|service| service.front().clone()).collect();
    assembled.transport.enter(&env.shared, epoch);
    if let Err((place, error)) = assembled.transport.open_files(&loaded.sources) {
        messages::alert(format_args!("{place} : cannot make the backing file : {error}"));
        return Err(());
    }
    if let Err(error) = listeners.publish() {
        messages::alert(format_args!("{error}"));
        return Err(());
    }
    drop(inherited);
    write_pidfile(args, config, standalone);
    identity.assume(kernel.is_held()).map_err(|error| messages::alert(format_args!("{error}")))?;

    if args.no_splice || config.global.nosplice.is_some() {
        proxy_net::splice::set_max_pipes(0);
    }
    let process = &assembled.registry.process;
    if let Some(key) = config.global.anonkey {
        process.anon_key.store(key.value, Ordering::Relaxed);
    }
    if let Some(limit) = config.global.maxpipes {
        proxy_net::splice::set_max_pipes(limit.value as usize);
    }
    if let Some(size) = config.global.tune.pipesize {
        // What does not fit is beyond what the kernel gives anyway.
        proxy_net::splice::set_pipe_size(i32::try_from(size.value).unwrap_or(i32::MAX));
    }
    if let Some(limit) = config.global.maxconnrate {
        process.set_conn_rate_limit(limit.value);
    }
    let tune = &config.global.tune;
    let scaled =
        |limit: Option<Spanned<u32>>, unit: u64| u64::from(limit.map_or(0, |l| l.value)) * unit;
    process.compress_rate_limit.store(scaled(tune.max_compression_rate, 1024), Ordering::Relaxed);
    process.compress_memory_limit.store(scaled(tune.max_zlib_memory, 1 << 20), Ordering::Relaxed);
    if let Some(limit) = config.global.maxsessrate {
        process.set_sess_rate_limit(limit.value);
    }
    if let Some(limit) = config.global.maxsslconn {
        process.set_tls_conn_limit(limit.value);
    }
    if let Some(limit) = config.global.maxsslrate {
        process.set_tls_rate_limit(limit.value);
    }
    let stop = StopSource::new();
    let switches: Vec<Switch> =
        assembled.registry.frontends().iter().map(|_| Switch::new()).collect();
    let ports = ports(&listeners, &assembled, &switches, threads)?;
    let logs = Arc::new(Logs::new(assembled.backend_logs));
    let farms = Rc::new(Farms {
        registry: assembled.registry.clone(),
        workshop: Workshop {
            loaded: loaded.clone(),
            overrides: assembled.overrides,
            var_names: assembled.var_names,
            patterns: assembled.patterns.clone(),
            public_keys: assembled.public_keys,
            certificates: assembled.certificates.clone(),
            http_errors: assembled.http_errors,
            desk: assembled.desk,
            carried: assembled.transport.carried(),
        },
        env: env.clone(),
        fronts: fronts.clone(),
        methods: assembled.check_methods.clone(),
        logs: logs.clone(),
        names: Default::default(),
        mail: Default::default(),
        decisions: assembled.decisions.into(),
        changed: Default::default(),
    });
    let control = Rc::new(Control {
        registry: assembled.registry.clone(),
        epoch,
        kernel,
        farms: farms.clone(),
        patterns: assembled.patterns.clone(),
        flow_log: FlowLog::new(env.clone(), fronts),
        log: assembled.process_log.clone(),
        stop: stop.clone(),
        listeners: std::cell::RefCell::new(listeners),
        switches,
        admin: std::cell::OnceCell::new(),
        threads: std::cell::OnceCell::new(),
        acme: std::cell::OnceCell::new(),
        link: std::cell::OnceCell::new(),
        given_away: std::cell::Cell::new(false),
        steered: std::cell::RefCell::default(),
        grace: config.global.grace.map(|delay| delay.value).unwrap_or_default(),
        hard_stop_after: config.global.hard_stop_after.map(|limit| limit.value),
    });
    let names = names::names(&control, assembled.names, &logs);
    let _ = farms.names.set(names.clone());
    let ocsp = &config.global.tls.ocsp;
    let (min, max) = ocsp.delays();
    let updater = Rc::new(Updater {
        store: assembled.certificates.clone(),
        delays: Delays { min: min.into(), max: max.into() },
        retries: config.global.http_client.retries(),
        proxy: ocsp.http_proxy.as_ref().map(|proxy| proxy.value.clone()),
        disabled: ocsp.disable.is_some_and(|off| off.value),
        log: assembled.process_log.clone(),
    });
    let roots = std::mem::replace(&mut acme_plan.roots, Ok(Vec::new()));
    let http = acme::Http::new(&config.global.http_client, roots);
    let means = acme::Means {
        store: assembled.certificates.clone(),
        patterns: assembled.patterns.clone(),
        names: names.clone(),
        http: http.clone(),
        log: assembled.process_log.clone(),
        ring: assembled.transport.rings.find("dpapi").cloned(),
    };
    let acme = Acme::new(acme_plan, means, &handed);
    let _ = control.acme.set(acme.clone());
    let most = config.global.tune.peers_max_updates.map_or(200, |most| most.value as usize);
    let places = peers::places(
        assembled.peers,
        &control.listeners.borrow(),
        predecessor.is_some() || !args.old_pids.is_empty(),
        env.now(clock::precise()),
    )
    .map_err(|error| messages::alert(format_args!("cannot share listening sockets: {error}")))?;
    let rings = assembled.transport.rings.clone();
    let carried = logs::carried(assembled.transport, &control.listeners.borrow())
        .map_err(|error| messages::alert(format_args!("cannot share sockets: {error}")))?;
    let sections = places.iter().map(|place| place.section.clone()).collect();
    let admin = admin::admin(
        &control,
        env.shared.clone(),
        names.clone(),
        updater.clone(),
        Fixed {
            threads: u32::try_from(threads).unwrap_or(u32::MAX),
            sockets: admin::describe(&control.listeners.borrow().cli),
            loaded: loaded.clone(),
            acme: acme.clone(),
            http,
            public_keys: env.shared.public_keys.clone(),
            peers: sections,
            rings: rings.clone(),
            traces: assembled.traces,
        },
    );
    let _ = control.admin.set(admin.clone());
    proxy_state::thread::register(proxy_state::thread::control());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| messages::alert(format_args!("cannot start the runtime: {error}")))?;
    let signals = {
        let _within = runtime.enter();
        Signals::listen()
    };
    let checked = env.clone();
    let common = Common {
        env,
        stop: stop.handle(),
        // -1 asks for no limit.
        batch: config
            .global
            .tune
            .maxaccept
            .map_or(64, |n| usize::try_from(n.value).unwrap_or(usize::MAX)),
        reject_privileged: config.global.reject_privileged_tcp.is_some_and(|on| on.value),
        plan: plan.clone(),
    };
    let (mut handles, mut jobs) = (Vec::with_capacity(threads), Vec::with_capacity(threads));
    for (index, ports) in ports.into_iter().enumerate() {
        let handle = threads::spawn(index, ports, common.clone())
            .map_err(|error| messages::alert(format_args!("cannot start a thread: {error}")))?;
        handles.push(handle.0);
        jobs.push(handle.1);
    }
    let _ = control.threads.set(jobs);
    let exchange = peers::spawn(places, checked.clone(), stop.handle(), most)
        .map_err(|error| messages::alert(format_args!("cannot start a thread: {error}")))?;
    handles.extend(exchange);
    let carrier = logs::spawn(carried, checked.clone(), stop.handle())
        .map_err(|error| messages::alert(format_args!("cannot start a thread: {error}")))?;
    handles.extend(carrier);
    let local = tokio::task::LocalSet::new();
    let end = local.block_on(&runtime, async {
        tokio::task::spawn_local(updater.run());
        acme.start();
        let link = match control_socket.map(Link::new).transpose() {
            Ok(link) => link.map(Rc::new),
            Err(error) => {
                messages::alert(format_args!("the master cannot be reached: {error}"));
                return Err(());
            }
        };
        admin::listen(&control, &admin, config);
        tokio::task::spawn_local(assembled.clerk.serve(admin));
        let spread = checks::Spread {
            percent: config.global.spread_checks.map_or(0, |percent| percent.value),
            within: config.global.max_spread_checks.map(|limit| limit.value),
        };
        names.start(asks);
        let unreachable = Box::new(move |server: &Arc<_>| names.refresh(server));
        let mail = Arc::new(Mail::start(assembled.mail, &checked.shared.hostname));
        let _ = farms.mail.set(mail.clone());
        checks::start(
            &checked,
            assembled.check_methods,
            stop.handle(),
            spread,
            logs,
            unreachable,
            mail,
        );
        say_ready(args, link.as_deref(), predecessor, launcher, &rings);
        // What reading the configuration took is more than what it came to.
        sys::give_memory_back();
        Ok(control.run(link, signals).await)
    })?;
    control.finish(end);
    for handle in handles {
        let _ = handle.join();
    }
    // In debug mode Ctrl-C is the way to leave, not a failure.
    let left = args.debug && end == End::Interrupted;
    Ok(if left { 0 } else { end.code() })
}

/// The master blocks what it reads through its signal descriptor; the worker handles signals itself.
fn restore_signals() {
    let _ = nix::sys::signal::SigSet::all().thread_unblock();
}

/// Raises the limit of descriptors. What cannot be raised stops the start under `strict-limits`.
fn raise_limits(config: &Config, assembled: &Assembled) -> Result<(), ()> {
    let maxconn = u64::from(assembled.registry.process.maxconn());
    let computed = maxconn * 2 + assemble::state::RESERVED_DESCRIPTORS;
    let wanted = config.global.ulimit_n.map_or(computed, |limit| u64::from(limit.value));
    if let Err(limit) = raise_descriptor_limit(wanted) {
        let text = format!(
            "FD limit ({limit}) too low for maxconn={maxconn}. Please raise 'ulimit-n' to {wanted} or more to avoid any trouble."
        );
        if config.global.strict_limits.is_none_or(|strict| strict.value) {
            messages::alert(format_args!("{text}"));
            return Err(());
        }
        messages::warning(format_args!("{text}"));
    }
    Ok(())
}

fn meet(control: &OwnedFd) -> Option<Predecessor> {
    Predecessor::meet(control)
        .map_err(|error| {
            messages::notice(format_args!("the old worker cannot be reached: {error}"))
        })
        .ok()
}

/// The listening sockets of the process that is replaced: the old worker's, or of whom `-x` names.
fn inherit(args: &Args, predecessor: Option<&Predecessor>) -> Result<Inherited, ()> {
    let named = args.listeners_from.as_deref();
    if named == Some(args::NO_LISTENERS) {
        return Ok(Inherited::none());
    }
    match (predecessor, named) {
        (Some(predecessor), _) => Ok(receive_listeners(predecessor)),
        // The socket of a worker that is gone.
        (None, Some(name)) if name.starts_with("sockpair@") => Ok(Inherited::none()),
        (None, Some(name)) => listen::fetch(name).map_err(|error| {
            messages::alert(format_args!(
                "Failed to get the sockets from the old process at '{name}' : {error}. Its stats socket needs 'expose-fd listeners'; '-x {}' starts without them.",
                args::NO_LISTENERS
            ));
        }),
        (None, None) => Ok(Inherited::none()),
    }
}

/// What the worker before got by ACME, when there is something to be had.
fn handed(
    plan: &assemble::tls::acme::Plan,
    predecessor: Option<&Predecessor>,
) -> BTreeMap<String, String> {
    let Some(predecessor) = predecessor.filter(|_| !plan.certificates.is_empty()) else {
        return BTreeMap::new();
    };
    predecessor.certificates().unwrap_or_else(|error| {
        messages::notice(format_args!("the old worker gives no certificates: {error}"));
        BTreeMap::new()
    })
}

fn receive_listeners(predecessor: &Predecessor) -> Inherited {
    predecessor.listeners().unwrap_or_else(|error| {
        messages::warning(format_args!(
            "listening sockets could not be taken over: {error}. Binding them anew."
        ));
        Inherited::none()
    })
}

/// `user`, `group`, `uid`, `gid`, `chroot`.
fn identity(args: &Args, loaded: &Loaded) -> Result<Identity, ()> {
    let global = &loaded.config.global;
    let mut identity = Identity {
        uid: global.uid.map(|uid| uid.value),
        gid: global.gid.map(|gid| gid.value),
        chroot: global.chroot.as_ref().map(|path| path.value.clone().into()),
        // The configuration knows names of capabilities only.
        capabilities: global
            .setcap
            .iter()
            .filter_map(|name| name.value.to_ascii_uppercase().parse().ok())
            .collect(),
        dumpable: global.set_dumpable.map(|on| on.value),
        may_gain_rights: global.insecure_setuid_wanted.is_some(),
    };
    let mut told = Diagnostics::new();
    let accounts = accounts::find(global, Diagnostic::alert, &mut told);
    loading::say(args, &told, &loaded.sources);
    if told.has_alert() {
        return Err(());
    }
    identity.uid = accounts.uid.or(identity.uid);
    identity.gid = accounts.gid.or(identity.gid);
    Ok(identity)
}

/// Without a master the worker writes its own pid.
fn write_pidfile(args: &Args, config: &Config, standalone: bool) {
    let configured = config.global.pidfile.as_ref().map(|path| path.value.as_str().into());
    let Some(path) = args.pidfile.clone().or(configured).filter(|_| standalone) else { return };
    if let Err(error) = std::fs::write(&path, format!("{}\n", std::process::id())) {
        messages::warning(format_args!("cannot write the pid file {}: {error}", path.display()));
    }
}

/// The accept loops of each thread.
fn ports(
    listeners: &Listeners,
    assembled: &Assembled,
    switches: &[Switch],
    threads: usize,
) -> Result<Vec<Vec<Port>>, ()> {
    let mut ports: Vec<Vec<Port>> = (0..threads).map(|_| Vec::new()).collect();
    for listener in &listeners.frontends {
        let frontends = assembled.registry.frontends();
        let Some(index) = frontends.iter().position(|f| f.id == listener.frontend.id) else {
            continue;
        };
        let Some(service) = assembled.services.get(index) else { continue };
        let sockets = listener.bound.for_threads(listener.threads.len()).map_err(|error| {
            messages::alert(format_args!("cannot share listening sockets: {error}"));
        })?;
        for (&thread, sockets) in listener.threads.iter().zip(sockets) {
            for socket in sockets {
                ports[thread].push(Port {
                    socket,
                    frontend: listener.frontend.clone(),
                    listener: listener.listener.clone(),
                    service: service.clone(),
                    switch: switches[index].clone(),
                    local: local(&listener.bound).filter(|addr| !addr.ip().is_unspecified()),
                });
            }
        }
    }
    Ok(ports)
}

/// The service is up: the master, or old processes and the launcher, learn it.
fn say_ready(
    args: &Args,
    link: Option<&Link>,
    predecessor: Option<Predecessor>,
    launcher: Option<daemon::LauncherPipe>,
    rings: &Rings,
) {
    messages::stop_recording();
    if let Some(ring) = rings.find("startup-logs") {
        ring.append(messages::startup_log().split_inclusive(|byte| *byte == b'\n'));
    }
    if let Some(link) = link {
        if let Err(error) = link.say_ready() {
            messages::warning(format_args!("the master cannot be told: {error}"));
        }
    } else {
        let signal = match args.stop_style {
            StopStyle::Finish => nix::sys::signal::Signal::SIGUSR1,
            StopStyle::Terminate => nix::sys::signal::Signal::SIGTERM,
        };
        for pid in &args.old_pids {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), signal);
        }
    }
    if let Some(predecessor) = predecessor {
        predecessor.serving();
    }
    if let Some(launcher) = launcher {
        launcher.ready(!args.verbose);
    } else if args.background && !args.verbose {
        daemon::leave_terminal();
    }
}

/// Sets the variables of the process that the configuration names, in order: later ones may use earlier ones.
fn set_global_vars(vars: &[GlobalVar], shared: &Shared) {
    let wall = clock::wall();
    let clock = EvalClock {
        date: Date { secs: wall.secs, usec: 0 },
        utc_offset: clock::utc_offset(wall.secs),
        ..EvalClock::default()
    };
    let random = std::cell::Cell::new(u64::from(std::process::id()) | 1);
    for GlobalVar { var, value } in vars {
        let scratch = bumpalo::Bump::new();
        let cx = EvalCtx::new(&scratch, shared, clock, &random);
        let value = match value {
            VarValue::Expr(expr) => expr.eval(&cx),
            VarValue::Format(format) => Some(Sample::Str(format.render(&cx))),
        };
        if let Some(value) = value {
            cx.set_var(*var, value);
        }
    }
}

/// The user lists, with the groups that either side tells.
fn userlists(config: &Config) -> Vec<Userlist> {
    let user = |list: &model::Userlist, user: &model::User| {
        let of_groups = list.groups.iter();
        let of_groups = of_groups.filter(|g| g.users.iter().any(|u| u.value == user.name.value));
        let own = user.groups.iter().map(|name| &name.value);
        let groups = of_groups.map(|g| &g.name.value).chain(own).map(|n| n.as_str().into());
        let password = match &user.password {
            Some(model::Password::Crypt(hash)) => Password::crypt(&hash.value).ok()?,
            Some(model::Password::Plain(text)) => Password::Plain(text.value.as_bytes().into()),
            // Without a password nobody is this user.
            None => return None,
        };
        Some(User { name: user.name.value.as_str().into(), password, groups: groups.collect() })
    };
    let list = |list: &model::Userlist| Userlist {
        name: list.name.value.as_str().into(),
        users: list.users.iter().filter_map(|u| user(list, u)).collect(),
    };
    config.userlists.iter().map(list).collect()
}

impl Assembled {
    /// What the engine shares, with times counted from `epoch`.
    fn env(&self, config: &Config, epoch: clock::Tick) -> Env {
        let host = nix::unistd::gethostname().unwrap_or_default();
        let host = host.to_string_lossy();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shared = Shared {
            registry: self.registry.clone(),
            patterns: self.patterns.clone(),
            public_keys: self.public_keys.clone(),
            userlists: userlists(config),
            var_names: self.var_names.clone(),
            proc_vars: ProcVars::limited(var_limits(&config.global.tune.vars)),
            hostname: host.as_ref().into(),
            node: stats::node(config).into(),
            pid: std::process::id(),
            nbthread: u32::try_from(proxy_state::thread::workers()).unwrap_or(u32::MAX),
            started: Date {
                secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                usec: since.subsec_micros(),
            },
            bufsize: self.bufsize,
            jwe: config.global.jwe,
            is_local: proxy_net::local::is_local,
            env: config
                .environment
                .iter()
                .map(|(name, value)| (name.into(), value.as_bytes().into()))
                .collect(),
        };
        set_global_vars(&self.global_vars, &shared);
        let mut env = Env::new(shared, epoch);
        env.limits = self.limits;
        env.utc_offset = clock::utc_offset(clock::wall().secs);
        if let Some(length) = config.global.tune.http_logurilen {
            env.log_uri_len = length.value as usize;
        }
        let codes = [config.global.http_err_codes, config.global.http_fail_codes];
        for (set, configured) in env.codes.iter_mut().zip(codes) {
            *set = configured.unwrap_or(*set);
        }
        env.glitches = self.glitches;
        env.h2 = self.h2;
        env.kill_cpu = config.global.tune.glitches_kill_cpu.map_or(0, |busy| busy.value);
        if config.global.tune.idle_pool_shared.is_none_or(|shared| shared.value) {
            env.mailboxes = Mailboxes::new(proxy_state::thread::workers());
        }
        env.compression = self.compression;
        env.close_spread = match config.global.close_spread_time.map(|spread| spread.value) {
            None => CloseSpread::AtOnce,
            Some(model::CloseSpread::Infinite) => CloseSpread::Never,
            Some(model::CloseSpread::Within(time)) => CloseSpread::Within(time),
        };
        let tune = &config.global.tune;
        env.server_buffers = Buffers {
            receive: tune.rcvbuf_server.map(|bytes| bytes.value),
            send: tune.sndbuf_server.map(|bytes| bytes.value),
            unsent: tune.notsent_lowat_server.map(|bytes| bytes.value),
        };
        env.spellings = self.spellings.clone();
        env.http_errors = self.http_errors.clone();
        env.backends = self.backends.clone().into_iter().collect();
        env
    }
}

fn var_limits(sizes: &model::VarSizes) -> Limits {
    let bytes = |size: Option<Spanned<u32>>| size.map(|size| size.value);
    Limits {
        check: bytes(sizes.check),
        global: bytes(sizes.global),
        proc: bytes(sizes.proc),
        reqres: bytes(sizes.reqres),
        sess: bytes(sizes.sess),
        txn: bytes(sizes.txn),
    }
}
