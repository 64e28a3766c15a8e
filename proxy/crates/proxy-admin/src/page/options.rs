//! The words behind the URI of the page.

use super::change::Outcome;

/// What the words behind the URI ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) form: Form,
    pub(super) no_refresh: bool,
    pub(super) up: bool,
    pub(super) no_maint: bool,
    /// Part of the names of the proxies wanted.
    pub(super) scope: Option<String>,
    /// What to tell of the last change.
    pub(super) outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    #[default]
    Html,
    Json,
    JsonSchema,
    Typed,
}

/// Longest filter that is looked at, in bytes.
const SCOPE_MAX: usize = 64;

impl Options {
    /// Reads the words between semicolons (and ampersands, of the page's own form) behind the URI.
    pub(super) fn parse(rest: &str) -> Self {
        let mut options = Self::default();
        for word in rest.split([';', '&', '?']) {
            match word {
                "csv" => options.form = Form::Csv,
                "json" => options.form = Form::Json,
                "json-schema" => options.form = Form::JsonSchema,
                "typed" => options.form = Form::Typed,
                "norefresh" => options.no_refresh = true,
                "up" => options.up = true,
                "no-maint" => options.no_maint = true,
                _ => {
                    if let Some(text) = word.strip_prefix("scope=").filter(|text| !text.is_empty())
                    {
                        options.scope = Some(text.chars().take(SCOPE_MAX).collect());
                    } else if let Some(code) = word.strip_prefix("st=") {
                        options.outcome = Outcome::find(code);
                    }
                }
            }
        }
        options
    }

    /// The same words again, for links; `change` turns one of them over.
    pub(super) fn link(&self, uri: &str, change: impl FnOnce(&mut Self)) -> String {
        let mut options = self.clone();
        change(&mut options);
        let mut link = uri.to_owned();
        let form = match options.form {
            Form::Csv => ";csv",
            Form::Html => "",
            Form::Json => ";json",
            Form::JsonSchema => ";json-schema",
            Form::Typed => ";typed",
        };
        link.push_str(form);
        if let Some(outcome) = options.outcome {
            link.push_str(";st=");
            link.push_str(outcome.code());
        }
        for (set, word) in [
            (options.no_refresh, ";norefresh"),
            (options.up, ";up"),
            (options.no_maint, ";no-maint"),
        ] {
            if set {
                link.push_str(word);
            }
        }
        if let Some(scope) = &options.scope {
            link.push_str(";scope=");
            link.push_str(scope);
        }
        link
    }
}
