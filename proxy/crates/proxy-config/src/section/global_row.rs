//! What a row of the tables of `global` is made of.

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, row};
use crate::model::Global;

pub(crate) type Parse = fn(&mut Context<'_>, &mut Global, &mut Args<'_>) -> Parsed;

pub(crate) const fn global(
    name: &'static str,
    syntax: &'static str,
    manual: &'static str,
    doc: &'static str,
    parse: Parse,
) -> Row<Parse> {
    row(name, On::HERE, syntax, manual, doc, parse)
}
