//! What parsers of this crate share: words with their places, and the surroundings of a parse.

use proxy_types::{DiagSink, Diagnostic, FileId, Mode, Span, Spanned};

use super::place::{Place, Validity};
use crate::acl::AclTable;
use crate::capture::CaptureSlots;
use crate::jwt::PublicKeys;
use crate::pattern::PatternLists;
use crate::vars::VarNames;

/// A word of a configuration line after its quotes were undone. Bytes, because `\xNN` may make any.
pub type Word<'a> = Spanned<&'a [u8]>;

/// Words of whichever type the caller keeps, as [`Word`]s.
pub fn words<W: AsRef<[u8]>>(list: &[Spanned<W>]) -> Vec<Word<'_>> {
    list.iter().map(|w| Spanned::new(w.value.as_ref(), w.span)).collect()
}

/// One error is one diagnostic; what can be said besides it goes to [`ParseCx::diag`].
pub type Parsed<T> = Result<T, Box<Diagnostic>>;

pub(crate) fn fail<T>(diagnostic: Diagnostic) -> Parsed<T> {
    Err(Box::new(diagnostic))
}

/// The word as text for messages.
pub(crate) fn show(word: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(word)
}

/// A section that rules name; whoever knows all sections checks that it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Backend(Box<str>),
    Cache(Box<str>),
    Frontend(Box<str>),
    /// A group of a user list.
    Group {
        list: Box<str>,
        name: Box<str>,
    },
    HttpErrors(Box<str>),
    /// A filter that limits bandwidth, in the section of the rule; with a limit or a period of the rule's own.
    Limiter {
        name: Box<str>,
        own: bool,
    },
    LogProfile(Box<str>),
    Resolvers(Box<str>),
    /// A server of a backend, or of the proxy the rule is in.
    Server(Option<Box<str>>, Box<str>),
    Table(Box<str>),
    /// No section: what tells how long tasks run, which is measured only then.
    TaskTimes,
    Userlist(Box<str>),
}

/// Gives the content of files that rules name (`-f`, `lf-file`). Called while parsing, so that this crate
/// opens nothing itself.
pub trait Loader {
    /// # Errors
    /// Why there is no such content, as a fragment that fits "failed to open file 'x': {}".
    fn load(&self, name: &str) -> Result<Vec<u8>, String>;
}

/// Has no files.
pub struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _name: &str) -> Result<Vec<u8>, String> {
        Err("files cannot be read here".to_owned())
    }
}

/// Gives the names of configuration files, for what tells later where it was written.
pub trait FileNames {
    fn name(&self, file: FileId) -> Option<&str>;
}

/// Knows no names.
impl FileNames for () {
    fn name(&self, _: FileId) -> Option<&str> {
        None
    }
}

/// The surroundings of a parse.
pub struct ParseCx<'a> {
    /// Which rule the expression is for; decides which fetches make sense.
    pub place: Place,
    /// The rule stands in a `listen` section: what makes sense in the same rule of a backend makes sense here.
    pub listen: bool,
    /// The name of the section, whose stick table is meant where none is named.
    pub section: &'a str,
    /// Of the proxy; some log-format aliases exist in HTTP only.
    pub mode: Mode,
    pub vars: &'a VarNames,
    pub loader: &'a dyn Loader,
    /// The lists that ACLs and maps name; one for the whole configuration.
    pub patterns: &'a PatternLists,
    /// The public keys that converters name.
    pub keys: &'a PublicKeys,
    pub files: &'a dyn FileNames,
    /// Of the frontend; `None` in sections that capture nothing.
    pub captures: Option<&'a CaptureSlots>,
    /// The named ACLs that `acl()` and `when()` may refer to; none where there is no proxy.
    pub acls: Option<AclTable>,
    /// `tune.stick-counters`: sets of counters that can be tracked.
    pub counters: u8,
    /// Takes warnings, and errors of parsers that keep going.
    pub diag: &'a mut dyn DiagSink,
    /// Takes the sections that were named, for the check of cross-references.
    pub refs: &'a mut Vec<Spanned<Named>>,
}

impl ParseCx<'_> {
    /// Whether a fetch has something to say here.
    pub fn allows(&self, at: Validity) -> bool {
        at.contains(self.place) || self.listen && at.contains(self.place.of_backend())
    }

    /// File and line of a span, for listings and `last_rule_line`.
    pub fn place_of(&self, span: Span) -> (&str, u32) {
        (self.files.name(span.file).unwrap_or(""), span.line)
    }
}
