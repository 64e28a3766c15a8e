//! The words of ACLs, conditions and rules to what `proxy-rules` evaluates.
//!
//! `load` does this once to find the mistakes, with a loader that has no files, and forgets the result; `assemble`
//! does it again with the real one and keeps it. The model stays plain data that way.

use proxy_rules::acl::{AclTable, Condition};
use proxy_rules::sample::Place;
use proxy_rules::sample::parse::{Loader, Named, ParseCx, words};
use proxy_rules::vars::VarNames;
use proxy_types::{DiagSink, Mode, Spanned};

use crate::model::{self, Proxy};

/// Where compiled things get their surroundings from.
pub struct Compiler<'a> {
    /// One for the whole configuration.
    pub vars: &'a VarNames,
    /// Gives the files that ACLs and rules name.
    pub loader: &'a dyn Loader,
    pub diag: &'a mut dyn DiagSink,
    /// Of the section that is compiled.
    pub mode: Mode,
    /// Takes the sections that expressions name.
    pub refs: Vec<Spanned<Named>>,
}

/// Finds every file, and nothing in it: for checks that must not touch files.
pub struct BlankFiles;

impl Loader for BlankFiles {
    fn load(&self, _name: &str) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }
}

impl Compiler<'_> {
    fn parse(&mut self, place: Place) -> ParseCx<'_> {
        ParseCx {
            place,
            mode: self.mode,
            vars: self.vars,
            loader: self.loader,
            diag: self.diag,
            refs: &mut self.refs,
        }
    }

    /// The ACLs of a section. Those that have mistakes are left out and told.
    pub fn acls(&mut self, section: &Proxy) -> AclTable {
        let mut table = AclTable::default();
        for acl in &section.acls {
            let declared = table.declare(&words(&acl.words), &mut self.parse(Place::Config));
            if let Err(mut diagnostic) = declared {
                diagnostic.span = diagnostic.span.or(Some(acl.span));
                self.diag.push(*diagnostic);
            }
        }
        table
    }

    /// A condition that is evaluated at `place`; `None` when it has mistakes, which are told.
    pub fn condition(
        &mut self,
        condition: &model::Condition,
        place: Place,
        acls: &mut AclTable,
    ) -> Option<Condition> {
        match Condition::parse(&words(&condition.words), acls, &mut self.parse(place)) {
            Ok(condition) => Some(condition),
            Err(mut diagnostic) => {
                diagnostic.span = diagnostic.span.or(Some(condition.span));
                self.diag.push(*diagnostic);
                None
            }
        }
    }
}
