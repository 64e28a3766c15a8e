//! Names that stick tables and `peers` sections have for each other.

use proxy_types::{Diagnostic, Spanned, text};

use crate::context::Context;
use crate::model::{Config, StickTable};

/// The names of all stick tables.
pub(super) fn table_names(config: &Config) -> Vec<String> {
    tables(config).map(|(name, _)| name).collect()
}

/// Every stick table with the name that the configuration has for it.
fn tables(config: &Config) -> impl Iterator<Item = (String, &StickTable)> {
    let of_proxies = config
        .proxies
        .iter()
        .filter_map(|proxy| Some((proxy.name.value.clone(), proxy.stick_table.as_ref()?)));
    let of_peers = config.peers.iter().flat_map(|section| {
        section.tables.iter().map(|(name, table)| (section.table_name(&name.value), table))
    });
    of_proxies.chain(of_peers)
}

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for (name, table) in tables(config) {
        if let Some(section) = &table.peers {
            known(cx, &name, section, "peers section", &section_names(config));
        }
        let Some(target) = &table.write_to else { continue };
        let names = table_names(config);
        if !known(cx, &name, target, "stick table", &names) {
            continue;
        }
        let other = tables(config).find(|(name, _)| *name == target.value);
        let wrong = match other {
            _ if name == target.value => Some("that is the table itself"),
            Some((_, other)) if other.key != table.key => Some("its keys are of another kind"),
            _ => None,
        };
        if let Some(why) = wrong {
            let message =
                format!("stick table '{name}': cannot write to '{}': {why}", target.value);
            cx.report(Diagnostic::alert(message).at(target.span));
        }
    }
}

fn section_names(config: &Config) -> Vec<String> {
    config.peers.iter().map(|section| section.name.value.clone()).collect()
}

/// Reports a name that is none.
fn known(
    cx: &mut Context<'_>,
    table: &str,
    name: &Spanned<String>,
    what: &str,
    names: &[String],
) -> bool {
    let known = names.contains(&name.value);
    if !known {
        let message = format!("stick table '{table}': unable to find {what} '{}'", name.value);
        let near = text::nearest(&name.value, names.iter().map(String::as_str));
        cx.report(Diagnostic::alert(message).at(name.span).did_you_mean(near));
    }
    known
}
