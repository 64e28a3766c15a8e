//! `sluice`: argv decides between a check, an explanation, a standalone worker and a master.
//!
//! The master path stays free of the configuration model, of threads and of the async runtime:
//! see [`master`]. Everything a worker does starts in [`worker::run`].

mod accounts;
mod archive;
mod args;
mod assemble;
mod build_report;
mod ctl;
mod daemon;
mod discovery;
mod filters;
mod ipc;
mod keywords;
mod l4;
mod loading;
mod master;
mod messages;
mod paths;
mod privileges;
mod sys;
mod version;
mod worker;

use std::process::ExitCode;

use args::{Action, Args};
use proxy_config::Form;

fn main() -> ExitCode {
    let raw: Vec<_> = std::env::args_os().collect();
    if raw.get(1).is_some_and(|word| word == "ctl") {
        return ctl::run(&raw[1..]);
    }
    let mut args = match args::parse(&raw) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("{error}");
            eprint!("{}", args::usage());
            return ExitCode::from(1);
        }
    };
    messages::set_quiet(args.quiet);
    for notice in &args.notices {
        messages::notice(format_args!("{notice}"));
    }
    args.initial_dir = std::env::current_dir().ok();
    if let Some(dir) = &args.chdir
        && let Err(error) = std::env::set_current_dir(dir)
    {
        messages::alert(format_args!("Could not change to directory {} : {error}", dir.display()));
        return ExitCode::from(1);
    }
    match &args.action {
        Action::Usage => {
            println!("{}", version::banner());
            print!("{}", args::usage());
            ExitCode::from(1)
        }
        Action::Version { verbose } => {
            print!("{}", build_report::report(*verbose));
            ExitCode::SUCCESS
        }
        Action::VersionOnly { branch } => {
            println!("{}", if *branch { version::COMPATIBLE_WITH } else { version::VERSION });
            ExitCode::SUCCESS
        }
        Action::Condition(text) => worker::condition(text),
        Action::Check => {
            let code = worker::check::check(&args);
            if let Some(key) = args.dump {
                worker::check::dump(&args, Form::Lines { key });
            }
            if args.list_libraries {
                print!("{}", build_report::libraries());
            }
            list_keywords(&args);
            if code == ExitCode::SUCCESS && !archive(&args) {
                return ExitCode::from(1);
            }
            code
        }
        Action::CheckJson => worker::check::json(&args),
        Action::Dump => worker::check::dump(&args, Form::Resolved),
        Action::Explain { json } => worker::explain(&args, *json),
        Action::L4Detach { instance } => detach(instance.as_deref()),
        Action::L4Decap(decap) => l4::decap(decap),
        Action::L4Show(show) => l4::show(show),
        Action::Run => {
            list_keywords(&args);
            if !archive(&args) || !limit_memory(&args) {
                return ExitCode::from(1);
            }
            run(args)
        }
    }
}

/// `-dK`.
fn list_keywords(args: &Args) {
    if let Some(classes) = &args.keyword_classes {
        print!("{}", keywords::list(classes));
    }
}

/// `-dA`; whether all is well.
fn archive(args: &Args) -> bool {
    let Some(path) = &args.archive else { return true };
    archive::write(path, &build_report::files())
        .inspect_err(|error| {
            messages::alert(format_args!("cannot write the archive {} : {error}", path.display()));
        })
        .is_ok()
}

/// `-m`; whether all is well. A reload inherits the limit and sets it again.
fn limit_memory(args: &Args) -> bool {
    let Some(megabytes) = args.memory_mb.filter(|limit| *limit > 0) else { return true };
    privileges::limit_memory(u64::from(megabytes) << 20)
        .inspect_err(|error| {
            messages::alert(format_args!("memory cannot be limited to {megabytes} MB : {error}"));
        })
        .is_ok()
}

/// Takes out of the kernel what a process has left there; flows end.
fn detach(instance: Option<&str>) -> ExitCode {
    match proxy_datapath::Datapath::detach_instance(instance, None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            messages::alert(format_args!("layer 4 in the kernel: {error}"));
            ExitCode::from(1)
        }
    }
}

/// Starts serving: as a daemon or not, with a master or not.
fn run(mut args: Args) -> ExitCode {
    let reexec = ipc::ReexecState::take_from_env();
    let discovered = match discovery::run(&args) {
        Ok(discovered) => discovered,
        Err(()) if reexec.is_some() => discovery::Discovered::failed(),
        Err(()) => return ExitCode::from(1),
    };
    let with_master = (args.master || reexec.is_some()) && !args.foreground_debug;
    if !args.master_sockets.is_empty() && !with_master {
        messages::alert(format_args!("-S needs the master-worker mode (-W or -Ws)"));
        return ExitCode::from(1);
    }
    messages::set_quiet(args.quiet || (discovered.quiet && !args.verbose));
    let background = (args.daemon || (discovered.daemon && !args.foreground)) && !args.systemd;
    args.background = background;
    let launcher = if background && reexec.is_none() {
        match daemon::detach() {
            Ok(daemon::Side::Launcher(code)) => return code,
            Ok(daemon::Side::Daemon(pipe)) => Some(pipe),
            Err(error) => {
                messages::alert(format_args!("cannot go to background: {error}"));
                return ExitCode::from(1);
            }
        }
    } else {
        None
    };
    if with_master {
        master::run(args, discovered, reexec, launcher)
    } else {
        messages::begin_startup_log();
        let ready = worker::Ready::Standalone { launcher };
        ExitCode::from(worker::run(args, ready))
    }
}
