//! `sluice ctl completion`: what a shell has to know to complete command lines of `sluice`.

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueEnum, ValueHint};
use clap_complete::{Shell, generate};

use crate::args;

/// Shells there is a completion for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target(Shell);

impl ValueEnum for Target {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Shell::Bash), Self(Shell::Zsh), Self(Shell::Fish)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.to_possible_value()
    }
}

/// The script for a shell.
pub(super) fn script(target: Target) -> String {
    let mut out = Vec::new();
    generate(target.0, &mut program(), "sluice", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The whole command line, as far as the shells' generators can tell it: HAProxy's flags of more than one letter
/// are beyond them.
fn program() -> Command {
    let flag = |flag: args::Letter| {
        let arg = Arg::new(flag.name).short(flag.letter).help(flag.doc);
        if flag.takes_value {
            arg.value_hint(ValueHint::AnyPath)
        } else {
            arg.action(ArgAction::SetTrue)
        }
    };
    let file = || Arg::new("f").short('f').value_hint(ValueHint::AnyPath).help("configuration");
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let l4 = |name: &'static str| Command::new(name).arg(switch("json")).arg(Arg::new("instance"));
    Command::new("sluice")
        .args(args::letters().map(flag))
        .subcommand(super::Ctl::command().name("ctl").about("Talk to a running process"))
        .subcommand(
            Command::new("check")
                .about("Check a configuration")
                .arg(file())
                .args(["json", "dump", "fix"].map(switch)),
        )
        .subcommand(
            Command::new("explain")
                .about("Tell the path of each frontend")
                .arg(file())
                .arg(switch("json")),
        )
        .subcommand(
            Command::new("l4")
                .about("What is in the kernel")
                .subcommands(["status", "flows", "drops", "detach", "decap"].map(l4)),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_the_commands() {
        program().debug_assert();
        for target in Target::value_variants() {
            let script = script(*target);
            for word in ["ctl", "servers", "drain", "top", "explain", "--json"] {
                let word =
                    if target.0 == Shell::Fish { word.trim_start_matches('-') } else { word };
                assert!(script.contains(word), "{word} in {target:?}");
            }
        }
    }
}
