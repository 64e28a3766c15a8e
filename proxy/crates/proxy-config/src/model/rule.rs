//! Rules, ACLs and conditions as they were written; `proxy-rules` gives them a meaning.

use proxy_types::Span;

use crate::lexer::Word;

/// The phase a rule belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleSet {
    HttpAfterResponse,
    HttpRequest,
    HttpResponse,
    /// The `monitor fail` keyword: when a condition holds, the monitor's answer is a failure.
    MonitorFail,
    /// The `redirect` keyword: evaluated after `http-request` rules.
    Redirect,
    /// `stats http-request`: who may see the statistics page.
    StatsHttpRequest,
    TcpRequestConnection,
    TcpRequestContent,
    TcpRequestSession,
    TcpResponseContent,
}

impl RuleSet {
    /// The keyword or keywords in front of the action.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpAfterResponse => "http-after-response",
            Self::HttpRequest => "http-request",
            Self::HttpResponse => "http-response",
            Self::MonitorFail => "monitor fail",
            Self::Redirect => "redirect",
            Self::StatsHttpRequest => "stats http-request",
            Self::TcpRequestConnection => "tcp-request connection",
            Self::TcpRequestContent => "tcp-request content",
            Self::TcpRequestSession => "tcp-request session",
            Self::TcpResponseContent => "tcp-response content",
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleLine {
    pub set: RuleSet,
    /// The whole directive.
    pub span: Span,
    /// Words after the keyword: the action, its arguments, `if`/`unless` and the condition. For
    /// [`RuleSet::Redirect`] the action is the word `redirect` itself.
    pub words: Vec<Word>,
}

/// `acl <name> <criterion> [flags] [operator] <value>...`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclLine {
    pub span: Span,
    /// The name, then the rest: at least two words.
    pub words: Vec<Word>,
}

impl AclLine {
    pub fn name(&self) -> &str {
        self.words.first().map_or("", |w| w.value.as_str())
    }
}

/// `if <condition>` or `unless <condition>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub span: Span,
    /// From `if` or `unless` on: at least two words.
    pub words: Vec<Word>,
}

/// `use_backend <name> [if|unless <condition>]`. The first whose condition holds is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseBackend {
    pub span: Span,
    pub target: Word,
    pub condition: Option<Condition>,
}

impl UseBackend {
    /// Whether the target is a log-format expression, so that no name can be checked before a request comes.
    pub fn is_dynamic(&self) -> bool {
        self.target.value.contains('%')
    }
}
