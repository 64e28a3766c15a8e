//! `retry-on` (configuration manual, 4.2).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::model::Proxy;

/// Words beside the statuses.
pub(crate) const WORDS: [&str; 7] = [
    "none",
    "conn-failure",
    "empty-response",
    "junk-response",
    "response-timeout",
    "0rtt-rejected",
    "all-retryable-errors",
];
/// Statuses that can be named.
const STATUSES: [&str; 12] =
    ["401", "403", "404", "408", "421", "425", "429", "500", "501", "502", "503", "504"];

/// Reads the list; it takes the place of what was there.
pub(crate) fn retry_on(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let words = args.rest();
    if words.is_empty() {
        return Err(args.missing(cx, "failures, such as 'conn-failure' and '503'"));
    }
    for word in words {
        let known = WORDS.iter().chain(&STATUSES).copied();
        if !known.clone().any(|known| word.value == known) {
            let message = format!("'retry-on' : unknown keyword '{}'", word.value);
            let near = proxy_types::text::nearest(&word.value, known);
            return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
        }
        if word.value == "none" && words.len() > 1 {
            let message = "'retry-on' : 'none' stands alone";
            return Err(cx.alert(word.span, message));
        }
    }
    let list = words.iter().map(|word| word.value.to_string()).collect();
    proxy.settings.retry_on = Some(Spanned::new(list, span));
    Ok(())
}
