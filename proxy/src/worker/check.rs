//! `-c`, `-dC` and `sluice check`: a configuration is read and judged, and nothing is bound.

use std::process::ExitCode;

use proxy_config::{Environment, Form, Sources};
use proxy_types::{Diagnostic, Diagnostics, Severity, Span};
use serde::Serialize;

use crate::accounts;
use crate::args::Args;
use crate::assemble;
use crate::loading::{self, Loaded};

/// 0 when the configuration is valid.
pub(crate) fn check(args: &Args) -> ExitCode {
    loading::set_environment(args);
    // Nothing is going to be counted.
    proxy_state::thread::set_workers(0);
    let Ok(loaded) = loading::load(args) else { return ExitCode::from(1) };
    let Ok(assembled) = assemble::assemble(args, &loaded) else { return ExitCode::from(1) };
    let mut told = Diagnostics::new();
    accounts::find(&loaded.config.global, Diagnostic::warning, &mut told);
    loading::say(args, &told, &loaded.sources);
    if args.verbose {
        if loaded.warned || assembled.warned || told.has_warning() {
            println!("Warnings were found.");
        }
        println!("Configuration file is valid");
    }
    // The process ends soon; taking large configurations apart piece by piece is a tenth of the time.
    std::mem::forget((loaded, assembled));
    ExitCode::SUCCESS
}

/// Prints the configuration as it is read.
pub(crate) fn dump(args: &Args, form: Form) -> ExitCode {
    loading::set_environment(args);
    let Ok(sources) = loading::sources(args) else { return ExitCode::from(1) };
    let options = loading::options(args);
    print!("{}", proxy_config::dump(&sources, &Environment::from_process(), &options, form));
    ExitCode::SUCCESS
}

/// What is said about the configuration, for editors and other programs.
#[derive(Serialize)]
struct Report {
    valid: bool,
    diagnostics: Vec<Said>,
}

#[derive(Serialize)]
struct Said {
    severity: &'static str,
    #[serde(flatten)]
    place: Option<Place>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Related>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    help: Vec<String>,
}

/// Lines and columns count from 1, columns in bytes; the end is behind the last byte.
#[derive(Serialize)]
struct Place {
    file: String,
    line: u32,
    column: u32,
    end_column: u32,
}

#[derive(Serialize)]
struct Related {
    #[serde(flatten)]
    place: Option<Place>,
    text: String,
}

fn place(sources: &Sources, span: Span) -> Option<Place> {
    let file = sources.get(span.file)?.name.clone();
    (!span.is_none()).then(|| Place {
        file,
        line: span.line,
        column: span.start + 1,
        end_column: span.end + 1,
    })
}

fn said(sources: &Sources, diagnostic: &Diagnostic) -> Said {
    Said {
        severity: match diagnostic.severity {
            Severity::Diag => "diag",
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Alert => "alert",
        },
        place: diagnostic.span.and_then(|span| place(sources, span)),
        message: diagnostic.message.clone(),
        expected: diagnostic.expected.clone(),
        related: diagnostic
            .labels
            .iter()
            .map(|label| Related { place: place(sources, label.span), text: label.text.clone() })
            .collect(),
        notes: diagnostic.notes.clone(),
        help: diagnostic.help.clone(),
    }
}

/// `sluice check --json`.
pub(crate) fn json(args: &Args) -> ExitCode {
    loading::set_environment(args);
    let Ok(sources) = loading::sources(args) else { return ExitCode::from(1) };
    let options = loading::options(args);
    let (config, mut diagnostics) =
        proxy_config::load(&sources, &Environment::from_process(), &options);
    let mut valid = config.is_some();
    if let Some(config) = config {
        let loaded = Loaded {
            config,
            sources: sources.clone(),
            warned: diagnostics.has_warning(),
            told: diagnostics.clone(),
        };
        let (assembled, more) = assemble::build(args, &loaded);
        valid = assembled.is_some();
        diagnostics.extend(more);
        accounts::find(&loaded.config.global, Diagnostic::warning, &mut diagnostics);
    }
    let diagnostics = diagnostics.iter().map(|d| said(&sources, d)).collect();
    let report = Report { valid, diagnostics };
    println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    if valid { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
