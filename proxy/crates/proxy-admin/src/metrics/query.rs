//! What a request for metrics asks for: which parts, which names.

/// Parts of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Global,
    Frontend,
    Listener,
    Backend,
    Server,
    Sticktable,
}

impl Part {
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("global", Self::Global),
        ("frontend", Self::Frontend),
        ("listener", Self::Listener),
        ("backend", Self::Backend),
        ("server", Self::Server),
        ("sticktable", Self::Sticktable),
    ];

    /// Letter of its objects, and bit in [`Scope::types`].
    pub(super) fn objects(self) -> Option<(char, u32)> {
        match self {
            Self::Frontend => Some(('F', 1)),
            Self::Listener => Some(('L', 8)),
            Self::Backend => Some(('B', 2)),
            Self::Server => Some(('S', 4)),
            Self::Global | Self::Sticktable => None,
        }
    }
}

/// What the query asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Bit per [`Part`].
    pub(super) parts: u32,
    pub(super) no_maint: bool,
    pub(super) extra: bool,
    /// If not empty, nothing else.
    pub(super) only: Vec<String>,
    pub(super) without: Vec<String>,
}

/// The query names a part that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope")]
pub struct UnknownScope;

impl Query {
    pub(super) fn parse(target: &str) -> Result<Self, UnknownScope> {
        let mut query = Self::default();
        let mut scoped = false;
        let words = target.split_once('?').map_or("", |(_, query)| query);
        for word in words.split('&') {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "scope" => {
                    scoped = true;
                    query.parts |= match value {
                        "" => 0,
                        "*" => u32::MAX,
                        _ => {
                            let part = Part::ALL.iter().find(|(word, _)| *word == value);
                            1 << part.ok_or(UnknownScope)?.1 as u32
                        }
                    };
                }
                "metrics" => {
                    // `+` stands for a blank in forms, and for itself in front of a name.
                    for metric in value.split(',').filter(|metric| !metric.is_empty()) {
                        match metric.strip_prefix('-') {
                            Some(metric) => query.without.push(metric.into()),
                            None => query.only.push(metric.trim_start_matches(['+', ' ']).into()),
                        }
                    }
                }
                "no-maint" => query.no_maint = true,
                "extra-counters" => query.extra = true,
                // As in HAProxy, what others add to the query does not matter.
                _ => {}
            }
        }
        if !scoped {
            query.parts = u32::MAX;
        }
        Ok(query)
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|only| only == name))
            && !self.without.iter().any(|without| without == name)
    }
}
