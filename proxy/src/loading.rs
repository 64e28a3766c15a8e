//! From the command line to a configuration without errors, with everything said about it on the way.

use std::io::IsTerminal;

use proxy_config::legacy::{self, Translation};
use proxy_config::model::{Config, TlsVerify};
use proxy_config::render::{RenderOptions, render};
use proxy_config::{Environment, Options, Program, Sources};
use proxy_types::{Diagnostics, Severity, Span, Spanned};

use crate::args::Args;
use crate::messages::{self, Level};
use crate::{build_report, sys, version};

/// A configuration and where it came from.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) sources: Sources,
    pub(crate) warned: bool,
    /// What was printed already: the next steps compile the same words and say nothing of it again.
    pub(crate) told: Diagnostics,
}

/// What conditions in the configuration, and `-cc`, can ask about this program.
pub(crate) fn program() -> Program {
    Program {
        features: build_report::features(),
        // What HAProxy says when it is built with this library.
        tls_library: Some("AWS-LC"),
        openssl_version: Some("1.1.1"),
        awslc_api: Some(35),
        ..Program::default()
    }
}

/// Sets the variables that HAProxy's users find in their configuration and in `show env`.
pub(crate) fn set_environment(args: &Args) {
    let files: Vec<_> = args.files.iter().map(|file| file.to_string_lossy()).collect();
    let local_peer = args.local_peer.clone().or_else(|| {
        nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned())
    });
    sys::set_env("HAPROXY_BRANCH", version::COMPATIBLE_WITH);
    sys::set_env("HAPROXY_CFGFILES", &files.join(";"));
    sys::set_env("HAPROXY_STARTUP_VERSION", version::VERSION);
    sys::set_env("HAPROXY_LOCALPEER", local_peer.as_deref().unwrap_or("localhost"));
}

/// How the configuration is to be read.
pub(crate) fn options(args: &Args) -> Options {
    Options { program: program(), has_local_peer: args.local_peer.is_some() }
}

/// The text of the configuration.
///
/// # Errors
/// A file cannot be read; it has been printed.
pub(crate) fn sources(args: &Args) -> Result<Sources, ()> {
    translated(args).map(|(sources, _)| sources)
}

/// The text of the configuration, and how it was translated if that was asked for.
fn translated(args: &Args) -> Result<(Sources, Option<String>), ()> {
    let sources = Sources::read(&args.files).map_err(|error| {
        messages::alert(format_args!(
            "Cannot open configuration file/directory {} : {}",
            error.path.display(),
            error.error
        ));
    })?;
    if !(args.legacy || args.fix || legacy::is_asked_for(&sources)) {
        return Ok((sources, None));
    }
    let translation = legacy::translate(&sources);
    let diff = translation.diff(&sources);
    if args.fix {
        write(&translation)?;
    }
    Ok((translation.sources, Some(diff).filter(|diff| !diff.is_empty())))
}

/// Puts translated files in the place of the old ones.
fn write(translation: &Translation) -> Result<(), ()> {
    let mut files: Vec<_> = translation.changes.iter().map(|change| change.file).collect();
    files.dedup();
    for source in files.into_iter().filter_map(|file| translation.sources.get(file)) {
        let new = format!("{}.new", source.name);
        let done = std::fs::metadata(&source.name)
            .and_then(|old| {
                std::fs::write(&new, source.bytes())?;
                std::fs::set_permissions(&new, old.permissions())
            })
            .and_then(|()| std::fs::rename(&new, &source.name));
        if let Err(error) = done {
            messages::alert(format_args!("Cannot write {} : {error}", source.name));
            return Err(());
        }
    }
    Ok(())
}

/// Reads the configuration and prints what is to be said about it.
///
/// # Errors
/// There was an alert; it has been printed.
pub(crate) fn load(args: &Args) -> Result<Loaded, ()> {
    let (sources, diff) = translated(args)?;
    if let Some(diff) = diff {
        let what = if args.fix { "were" } else { "are" };
        messages::notice(format_args!("old words {what} translated:\n{diff}"));
    }
    let options = options(args);
    let (config, diagnostics) =
        proxy_config::load(&sources, &Environment::from_process(), &options);
    say(args, &diagnostics, &sources);
    let warned = diagnostics.has_warning();
    let mut config = config.ok_or(())?;
    if args.no_server_verify {
        config.global.tls.server_verify = Some(Spanned::new(TlsVerify::None, Span::NONE));
    }
    let strict = args.zero_warning || config.global.zero_warning.is_some();
    if warned && strict {
        messages::alert(format_args!(
            "Some warnings were found and 'zero-warning' is set. Aborting."
        ));
        return Err(());
    }
    Ok(Loaded { config, sources, warned, told: diagnostics })
}

/// Prints diagnostics: HAProxy's lines first, then excerpts.
pub(crate) fn say(args: &Args, diagnostics: &Diagnostics, sources: &Sources) {
    if diagnostics.is_empty() {
        return;
    }
    let options = RenderOptions {
        pid: std::process::id(),
        colors: std::io::stderr().is_terminal(),
        diag: args.diagnostics,
        terse: false,
    };
    let level =
        diagnostics.iter().map(|d| d.severity).max().map_or(
            Level::Diag,
            |severity| match severity {
                Severity::Diag => Level::Diag,
                Severity::Notice => Level::Notice,
                Severity::Warning => Level::Warning,
                Severity::Alert => Level::Alert,
            },
        );
    messages::raw(level, &render(diagnostics, sources, &options));
}
