//! `cargo xtask netns`: the demo's network, made and removed by hand.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use tests::lab::Lab;
use tests::netns::{list, remove, run};

/// Prefix of the namespaces' names.
pub(crate) const PREFIX: &str = "sluicelab";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make the namespaces and join them by veth pairs
    Make {
        /// Number of servers
        #[arg(long, default_value_t = 3)]
        servers: usize,
    },
    /// Show the namespaces and their addresses
    List,
    /// Run a command in one of them: `cargo xtask netns exec client curl http://10.1.0.1/`
    Exec {
        /// client, balancer, s1, s2 ...
        namespace: String,
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Remove them, with all processes inside, and what a killed run left
    Clean,
}

pub(crate) fn main(command: &Command) -> Result<()> {
    match command {
        Command::Make { servers } => {
            if !list(PREFIX).is_empty() {
                bail!("they exist already; `cargo xtask netns clean` removes them");
            }
            Lab::named(PREFIX, *servers)?.keep();
            show_all()
        }
        Command::List => show_all(),
        Command::Exec { namespace, command } => exec(namespace, command),
        Command::Clean => {
            clean();
            Ok(())
        }
    }
}

/// Removes the lab's namespaces, and those that dead test processes have left.
pub(crate) fn clean() {
    for name in list(PREFIX) {
        remove(&name);
    }
    tests::netns::remove_orphans();
}

fn show_all() -> Result<()> {
    let names = list(PREFIX);
    if names.is_empty() {
        println!("none; `cargo xtask netns make` makes them");
    }
    for name in names {
        println!("{}", name.strip_prefix(&format!("{PREFIX}-")).unwrap_or(&name));
        let links =
            run(std::process::Command::new("ip").args(["-n", &name, "-brief", "address", "show"]))?;
        for link in links.lines().filter(|line| !line.starts_with("lo ")) {
            let words: Vec<&str> = link.split_whitespace().collect();
            let addresses: Vec<&str> =
                words.iter().skip(2).copied().filter(|word| !word.starts_with("fe80:")).collect();
            let interface = words.first().and_then(|word| word.split('@').next()).unwrap_or("?");
            println!("    {interface:<6} {}", addresses.join("  "));
        }
    }
    Ok(())
}

fn exec(namespace: &str, command: &[String]) -> Result<()> {
    let name = format!("{PREFIX}-{namespace}");
    if !list(PREFIX).contains(&name) {
        bail!("no namespace {namespace:?}; `cargo xtask netns list` shows them");
    }
    // `nsenter`, because `ip netns exec` hides the host's bpffs.
    let error = std::process::Command::new("nsenter")
        .arg(format!("--net=/run/netns/{name}"))
        .arg("--")
        .args(command)
        .exec();
    Err(error).context("nsenter")
}
