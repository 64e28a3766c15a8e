//! Rows: every keyword of the language is one, whether carried or not. Messages, listings and "did you mean"
//! come out of them.

use proxy_types::text::nearest;

/// Sections a row is valid in; a `listen` section is both frontend and backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct On(u8);

impl On {
    const DEFAULTS: u8 = 1;
    const FRONTEND: u8 = 2;
    const BACKEND: u8 = 4;
    const NAMED: u8 = 8;

    /// Lines that belong to one place anyway: `global`, options of `bind` and `server`.
    pub const HERE: Self = Self(0);
    pub const ALL: Self = Self(Self::DEFAULTS | Self::FRONTEND | Self::BACKEND);
    pub const DEF_FE: Self = Self(Self::DEFAULTS | Self::FRONTEND);
    pub const DEF_BE: Self = Self(Self::DEFAULTS | Self::BACKEND);
    pub const FE: Self = Self(Self::FRONTEND);
    pub const BE: Self = Self(Self::BACKEND);
    pub const FE_BE: Self = Self(Self::FRONTEND | Self::BACKEND);
    /// Everywhere, but only in `defaults` sections that have a name.
    pub const NAMED_FE_BE: Self =
        Self(Self::DEFAULTS | Self::FRONTEND | Self::BACKEND | Self::NAMED);
    pub const NAMED_FE: Self = Self(Self::DEFAULTS | Self::FRONTEND | Self::NAMED);
    pub const NAMED_BE: Self = Self(Self::DEFAULTS | Self::BACKEND | Self::NAMED);

    pub const fn defaults(self) -> bool {
        self.0 & Self::DEFAULTS != 0
    }

    pub const fn frontend(self) -> bool {
        self.0 & Self::FRONTEND != 0
    }

    pub const fn backend(self) -> bool {
        self.0 & Self::BACKEND != 0
    }

    pub const fn only_named_defaults(self) -> bool {
        self.0 & Self::NAMED != 0
    }
}

/// Arguments of a keyword without effect: checked as those of any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// At least one of these words.
    Choices(&'static [&'static str]),
    None,
    /// An integer between these, both included.
    Number(i64, i64),
    OnOff,
    /// Any number of these words.
    Optionals(&'static [&'static str]),
    /// A size in bytes.
    Size,
    Timer,
    /// One word.
    Word,
    /// At least one word.
    Words,
}

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug)]
pub enum Support<F> {
    /// Parsed by this function, or found by this accessor.
    Carried(F),
    /// Tunes an internal of HAProxy that does not exist here: one notice, no effect.
    NoEffect(Shape),
    /// HAProxy has it, Sluice not yet: stops the start.
    NotYet,
    /// Gone from the language: stops the start.
    Removed { since: &'static str, instead: &'static str },
}

/// One keyword.
#[derive(Clone, Copy, Debug)]
pub struct Row<F: 'static> {
    pub name: &'static str,
    pub on: On,
    /// Whether `no` and `default` may stand in front.
    pub negatable: bool,
    /// Arguments, as the manual writes them.
    pub syntax: &'static str,
    /// Section of the configuration manual.
    pub manual: &'static str,
    /// One line; for keywords that are not carried, their topic.
    pub doc: &'static str,
    pub support: Support<F>,
}

/// A table in groups by topic.
pub type Table<F> = &'static [&'static [Row<F>]];

impl<F: Copy> Row<F> {
    #[must_use]
    pub const fn negatable(mut self) -> Self {
        self.negatable = true;
        self
    }
}

impl Shape {
    /// How the manual writes such arguments.
    const fn syntax(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Choice(_) | Self::Choices(_) => "<choice>",
            Self::Optionals(_) => "[<choice> ...]",
            Self::Number(..) => "<number>",
            Self::OnOff => "{on|off}",
            Self::Size => "<size>",
            Self::Timer => "<time>",
            Self::Word => "<value>",
            Self::Words => "<value> ...",
        }
    }
}

/// A carried keyword.
pub const fn row<F: Copy>(
    name: &'static str,
    on: On,
    syntax: &'static str,
    manual: &'static str,
    doc: &'static str,
    carried: F,
) -> Row<F> {
    let support = Support::Carried(carried);
    Row { name, on, negatable: false, syntax, manual, doc, support }
}

/// Keywords of one topic that share their support.
const fn group<F: Copy, const N: usize>(
    on: On,
    manual: &'static str,
    topic: &'static str,
    support: Support<F>,
    names: [&'static str; N],
) -> [Row<F>; N] {
    let blank = Row { name: "", on, negatable: true, syntax: "", manual, doc: topic, support };
    let mut rows = [blank; N];
    let mut i = 0;
    while i < N {
        rows[i].name = names[i];
        i += 1;
    }
    rows
}

/// Keywords of one topic that are not carried yet.
pub const fn not_yet<F: Copy, const N: usize>(
    on: On,
    manual: &'static str,
    topic: &'static str,
    names: [&'static str; N],
) -> [Row<F>; N] {
    group(on, manual, topic, Support::NotYet, names)
}

/// A keyword that tunes what only HAProxy's implementation has; `why` it means nothing here.
pub const fn inert<F: Copy>(
    name: &'static str,
    on: On,
    manual: &'static str,
    shape: Shape,
    why: &'static str,
) -> Row<F> {
    let support = Support::NoEffect(shape);
    Row { name, on, negatable: false, syntax: shape.syntax(), manual, doc: why, support }
}

/// A keyword that the language has lost.
pub const fn removed<F: Copy>(
    name: &'static str,
    since: &'static str,
    instead: &'static str,
) -> Row<F> {
    let support = Support::Removed { since, instead };
    let doc = "removed from the language";
    Row { name, on: On::ALL, negatable: true, syntax: "", manual: "", doc, support }
}

pub fn find<F>(table: Table<F>, name: &str) -> Option<&'static Row<F>> {
    table.iter().flat_map(|group| group.iter()).find(|row| row.name == name)
}

/// The keyword the user may have meant: never one that was removed.
pub fn suggest<F>(table: Table<F>, name: &str) -> Option<&'static str> {
    let rows = table.iter().flat_map(|group| group.iter());
    nearest(
        name,
        rows.filter(|row| !matches!(row.support, Support::Removed { .. })).map(|row| row.name),
    )
}
