//! What a command of the table is, is given and answers.

use crate::Level;
use crate::context::{Admin, Later};
use crate::session_state::{Access, SessionState};
use proxy_state::Now;
use proxy_stream::log::ring::Reader;

/// What a command answers with. The session ends it with the empty line.
pub enum Reply {
    /// Whole text.
    Text(String),
    /// Pieces that are made as the client reads them.
    Pieces(Box<dyn Iterator<Item = String>>),
    /// What a ring holds, `end` behind each message; with `wait`, what comes, too, until the client says something.
    Events { reader: Reader, end: u8, wait: bool },
    /// Comes later.
    Later(Later<Self>),
}

impl Reply {
    /// Nothing to say: done.
    pub fn done() -> Self {
        Self::Text(String::new())
    }

    /// One line.
    pub fn line(text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.push('\n');
        Self::Text(text)
    }
}

impl<E: std::error::Error> From<E> for Reply {
    fn from(error: E) -> Self {
        Self::line(error.to_string())
    }
}

/// A command being run.
pub struct Call<'a> {
    pub admin: &'a std::rc::Rc<Admin>,
    pub session: &'a mut SessionState,
    /// The words after the command's own.
    pub args: &'a [String],
    /// Text after `<<`.
    pub payload: Option<&'a str>,
    pub now: Now,
    /// Text of the help for what a session may, about the commands that words are near to.
    pub help: fn(Access, &[String]) -> String,
}

impl Call<'_> {
    /// The n-th argument, empty when missing.
    pub fn arg(&self, n: usize) -> &str {
        self.args.get(n).map_or("", String::as_str)
    }
}

/// What a command function returns: both sides are answers, the error side lets `?` leave early.
pub type Answer = Result<Reply, Reply>;

/// What a session has to ask for before it may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionMode {
    /// Nothing.
    Any,
    /// `expert-mode on`.
    Expert,
    /// `experimental-mode on`.
    Experimental,
}

impl SessionMode {
    /// The word of the command that switches it on, without its `-mode`.
    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Expert => Some("expert"),
            Self::Experimental => Some("experimental"),
        }
    }
}

/// A row of the table.
pub struct Command {
    /// Words that call it.
    pub words: &'static [&'static str],
    /// Arguments, for the help.
    pub usage: &'static str,
    pub doc: &'static str,
    /// Level it needs.
    pub level: Level,
    /// Mode it needs.
    pub mode: SessionMode,
    pub run: fn(&mut Call<'_>) -> Answer,
}

impl Command {
    pub(crate) const fn new(
        words: &'static [&'static str],
        usage: &'static str,
        doc: &'static str,
        level: Level,
        run: fn(&mut Call<'_>) -> Answer,
    ) -> Self {
        Self { words, usage, doc, level, mode: SessionMode::Any, run }
    }

    /// One for everybody.
    pub(crate) const fn user(
        words: &'static [&'static str],
        usage: &'static str,
        doc: &'static str,
        run: fn(&mut Call<'_>) -> Answer,
    ) -> Self {
        Self::new(words, usage, doc, Level::User, run)
    }

    /// One for those who may change things.
    pub(crate) const fn admin(
        words: &'static [&'static str],
        usage: &'static str,
        doc: &'static str,
        run: fn(&mut Call<'_>) -> Answer,
    ) -> Self {
        Self::new(words, usage, doc, Level::Admin, run)
    }

    /// One for those who know the code: administrators in expert mode.
    pub(crate) const fn expert(
        words: &'static [&'static str],
        usage: &'static str,
        doc: &'static str,
        run: fn(&mut Call<'_>) -> Answer,
    ) -> Self {
        Self { words, usage, doc, level: Level::Admin, mode: SessionMode::Expert, run }
    }

    /// Not for people: no help tells of it.
    pub(crate) fn is_of_programs(&self) -> bool {
        self.words.first().is_some_and(|word| word.starts_with('_'))
    }

    pub(crate) fn help_line(&self) -> String {
        let mut call = self.words.join(" ");
        if !self.usage.is_empty() {
            call.push(' ');
            call.push_str(self.usage);
        }
        format!("  {call:<40}: {}\n", self.doc)
    }

    /// Number of words of `line` that agree with this command's from the start.
    pub(crate) fn agreement(&self, line: &[String]) -> usize {
        self.words.iter().zip(line).take_while(|(a, b)| *a == b).count()
    }
}
