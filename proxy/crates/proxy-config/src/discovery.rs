//! The master's look at the configuration: only `global` sections, and of them only the keywords that concern the
//! process itself. Everything else is the worker's, who reports what is wrong with it.
//!
//! Lines of other sections are not even cut into words, so the pass costs little memory and time whatever the size
//! of the configuration. The keywords are the rows of the `global` section: there is no second parser of them.

use proxy_types::Diagnostics;

use crate::args::Args;
use crate::cond::{Blocks, Facts, evaluate_words};
use crate::context::Context;
use crate::lexer::{self, Variables, Word};
use crate::model::Global;
use crate::section::global;
use crate::section::names::section_names;
use crate::{Environment, Options, Sources};

/// What the master obeys.
pub const KEYWORDS: &[&str] = &[
    "daemon",
    "expose-deprecated-directives",
    "expose-experimental-directives",
    "localpeer",
    "master-worker",
    "mworker-max-reloads",
    "pidfile",
    "presetenv",
    "quiet",
    "resetenv",
    "setenv",
    "unsetenv",
    "zero-warning",
];

/// What the pass found.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Only the fields of [`KEYWORDS`] are ever set.
    pub global: Global,
    /// The environment after `setenv` and its kin.
    pub environment: Environment,
}

/// Looks at all sources. Alerts mean that a process keyword has a bad value; the master must not go on then.
pub fn discover(
    sources: &Sources,
    environment: &Environment,
    options: &Options,
) -> (Discovery, Diagnostics) {
    let mut cx = Context::new(environment.clone(), options);
    let mut found = Global::default();
    for (file, source) in sources.iter() {
        let mut blocks = Blocks::default();
        let mut in_global = false;
        for number in 1..=source.line_count() as u32 {
            let line = source.line(number);
            let passed_over = |first: &[u8]| {
                !first.starts_with(b".") && (!in_global && first != b"global" || !blocks.active())
            };
            if lexer::first_plain(line).is_some_and(passed_over) {
                continue;
            }
            let section = if in_global { "global" } else { "" };
            let variables = PseudoVariables { env: &cx.env, source: &source.name, number, section };
            let Ok(words) = lexer::words(line, file, number, &variables) else { continue };
            let Some(word) = words.first() else { continue };
            match word.value.as_str() {
                name if name.starts_with('.') => blocks_directive(&cx, &mut blocks, &words),
                _ if !blocks.active() => {}
                "global" => in_global = true,
                name if section_names().any(|section| section == name) => in_global = false,
                _ if in_global => {
                    let mut args = Args::new(&words);
                    if KEYWORDS.contains(&args.name()) {
                        // The mistake, if any, is in the diagnostics.
                        let _ = global::line(&mut cx, &mut found, &mut args);
                    }
                }
                _ => {}
            }
        }
    }
    (Discovery { global: found, environment: cx.env }, cx.diagnostics)
}

/// Conditional blocks as the worker will see them. Their mistakes are the worker's to report.
fn blocks_directive(cx: &Context<'_>, blocks: &mut Blocks, words: &[Word]) {
    let condition =
        || evaluate_words(&words[1..], &Facts { env: &cx.env, program: &cx.options.program });
    let first = &words[0];
    let _ = match first.value.as_str() {
        ".if" => blocks.on_if(first.span.line, condition).map_err(drop),
        ".elif" => blocks.on_elif(condition).map(drop).map_err(drop),
        ".else" => blocks.on_else().map_err(drop),
        ".endif" => blocks.on_endif().map_err(drop),
        _ => Ok(()),
    };
}

struct PseudoVariables<'a> {
    env: &'a Environment,
    source: &'a str,
    number: u32,
    section: &'a str,
}

impl Variables for PseudoVariables<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            ".FILE" => Some(self.source.to_owned()),
            ".LINE" => Some(self.number.to_string()),
            ".SECTION" => Some(self.section.to_owned()),
            _ => self.env.get(name).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> (Discovery, Vec<String>) {
        let env: Environment = [("A", "a"), ("B", "b")].into_iter().collect();
        let sources = Sources::from_text("t", text);
        let (found, diagnostics) = discover(&sources, &env, &Options::default());
        (found, diagnostics.iter().map(|d| d.message.clone()).collect())
    }

    #[test]
    fn only_process_keywords_of_global_count() {
        let (found, messages) = run(
            "global\n daemon\n maxconn nonsense\n nosuchkeyword\n pidfile \"/run/$A.pid\"\n mworker-max-reloads 3\n\
             \x20setenv C c\n unsetenv B\n\
             frontend f\n daemon x\n pidfile no\n broken \"quote\n\
             .if defined(C)\n\"global\"\n quiet # yes\n.else\nglobal\n zero-warning\n.endif\n\
             defaults\n master-worker\n",
        );
        assert_eq!(messages, [""; 0]);
        let global = &found.global;
        assert!(global.daemon.is_some() && global.quiet.is_some());
        assert!(global.zero_warning.is_none() && global.master_worker.is_none());
        assert_eq!(global.pidfile.as_ref().map(|p| p.value.as_str()), Some("/run/a.pid"));
        assert_eq!(global.mworker_max_reloads.map(|n| n.value), Some(3));
        assert!(global.maxconn.is_none());
        assert_eq!(found.environment.iter().collect::<Vec<_>>(), [("A", "a"), ("C", "c")]);
    }

    #[test]
    fn bad_values_are_errors() {
        let (_, messages) = run(
            "global\n mworker-max-reloads many\n setenv X\n pidfile\n master-worker x\n daemon on\n",
        );
        assert_eq!(messages.len(), 5, "{messages:?}");
    }

    #[test]
    fn every_keyword_has_a_row() {
        for name in KEYWORDS {
            assert!(crate::keyword::find(global::GLOBAL, name).is_some(), "{name}");
        }
    }
}
