//! Configuration text to typed, spanned configuration. Opens nothing but configuration sources.
//!
//! ```text
//! source ─▶ lexer ─▶ cond ─▶ reader ─▶ section/*, line/* (tables of keyword rows) ─▶ model ─▶ resolve
//! files     words    .if     sections  one row per keyword, a function for each         cross references
//! ```
//!
//! [`load`] runs all of it and reports every problem of every file in one go; [`render`] writes the problems;
//! [`discovery`] is the small pass of the master process, which never builds a [`Config`].
//!
//! To add a keyword, write one row and its function in the table of its section or line, and its field in the
//! model. A keyword that is known and not carried is a name in a `not_yet` group of that table.
#![forbid(unsafe_code)]

mod args;
pub mod compile;
pub mod cond;
mod context;
pub mod crt_list;
pub mod discovery;
mod dump;
mod env;
pub mod keyword;
pub mod legacy;
pub mod lexer;
mod limits;
mod line;
pub mod listing;
mod mask;
pub mod model;
mod options;
mod place;
mod reader;
pub mod reference;
pub mod render;
mod resolve;
pub mod runtime;
mod section;
pub mod source;
pub mod text;

pub use dump::Form;
pub use env::Environment;
pub use model::Config;
pub use options::{Options, Program};
pub use source::Sources;

use proxy_types::Diagnostics;

/// Reads a configuration. There is one only when no alert was found; everything else that is worth telling is in
/// the diagnostics either way.
pub fn load(
    sources: &Sources,
    environment: &Environment,
    options: &Options,
) -> (Option<Config>, Diagnostics) {
    let mut cx = context::Context::new(environment.clone(), options);
    let mut config = reader::read(&mut cx, sources);
    resolve::resolve(&mut cx, sources, &mut config);
    config.environment = cx.env;
    cx.diagnostics.sort_by_place();
    let valid = !cx.diagnostics.has_alert();
    (valid.then_some(config), cx.diagnostics)
}

/// The configuration as it is read, in a canonical form; lines with mistakes are in it as they are.
pub fn dump(sources: &Sources, environment: &Environment, options: &Options, form: Form) -> String {
    let mut cx = context::Context::new(environment.clone(), options);
    let mut recorder = dump::Recorder::default();
    reader::read_into(&mut cx, sources, Some(&mut recorder));
    recorder.write(form)
}

#[cfg(test)]
mod tests;
