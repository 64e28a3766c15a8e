//! Diagnostics as text: HAProxy's one-line form, then the line with a caret, notes and help.

use std::fmt::Write;

use proxy_types::{Diagnostic, Diagnostics, Severity, Span};

use crate::Sources;

/// How messages are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenderOptions {
    /// The process id between parentheses.
    pub pid: u32,
    /// Whether the output is a terminal that understands colours.
    pub colors: bool,
    /// Whether messages of the weakest level are shown (`-dD`).
    pub diag: bool,
    /// Leaves out excerpts, notes and help: only what HAProxy would print.
    pub terse: bool,
}

/// Longest part of a line that an excerpt shows.
const EXCERPT_MAX: usize = 160;

/// All messages in order, then the lines that tell which files had errors.
pub fn render(diagnostics: &Diagnostics, sources: &Sources, options: &RenderOptions) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        if diagnostic.severity > Severity::Diag || options.diag {
            render_one(&mut out, diagnostic, sources, options);
        }
    }
    if diagnostics.has_alert() {
        for (file, source) in sources.iter() {
            let has_error = |d: &Diagnostic| {
                d.severity == Severity::Alert && d.span.is_some_and(|span| span.file == file)
            };
            if diagnostics.iter().any(has_error) {
                let text = format!("Error(s) found in configuration file : {}", source.name);
                head(&mut out, Severity::Alert, options, &text);
            }
        }
        head(&mut out, Severity::Alert, options, "Fatal errors found in configuration.");
    }
    out
}

/// `[ALERT]    (123) : config : <text>`
fn head(out: &mut String, severity: Severity, options: &RenderOptions, text: &str) {
    let tag = format!("[{}]", severity.tag());
    let (on, off) = match (options.colors, severity) {
        (false, _) => ("", ""),
        (true, Severity::Alert) => ("\x1b[1;31m", "\x1b[0m"),
        (true, Severity::Warning) => ("\x1b[1;33m", "\x1b[0m"),
        (true, Severity::Diag | Severity::Notice) => ("\x1b[1;36m", "\x1b[0m"),
    };
    let pad = " ".repeat(11 - tag.len());
    let text = printable(text);
    let _ = writeln!(out, "{on}{tag}{off}{pad}({}) : config : {text}", options.pid);
}

fn render_one(
    out: &mut String,
    diagnostic: &Diagnostic,
    sources: &Sources,
    options: &RenderOptions,
) {
    let text = match diagnostic.span {
        Some(span) => format!("parsing [{}] : {}", sources.place(span), diagnostic.message),
        None => diagnostic.message.clone(),
    };
    head(out, diagnostic.severity, options, &text);
    if options.terse {
        return;
    }
    let lines = diagnostic.span.iter().chain(diagnostic.labels.iter().map(|l| &l.span));
    let width = lines.map(|span| span.line.to_string().len()).max().unwrap_or(1);
    if let Some(span) = diagnostic.span {
        let text = diagnostic.expected.as_deref().unwrap_or("");
        excerpt(out, sources, span, '^', text, width, options);
    }
    for label in &diagnostic.labels {
        if diagnostic.span.is_none_or(|span| span.file != label.span.file) {
            let _ = writeln!(out, "  {:width$} in {}", "", sources.place(label.span));
        }
        excerpt(out, sources, label.span, '-', &label.text, width, options);
    }
    for note in &diagnostic.notes {
        let _ = writeln!(out, "  {:width$} = note: {}", "", printable(note));
    }
    for help in &diagnostic.help {
        let _ = writeln!(out, "  {:width$} = help: {}", "", printable(help));
    }
}

/// The line of a span with its bytes underlined.
fn excerpt(
    out: &mut String,
    sources: &Sources,
    span: Span,
    mark: char,
    text: &str,
    width: usize,
    options: &RenderOptions,
) {
    let Some(source) = sources.get(span.file) else { return };
    let line = source.line(span.line);
    let start = (span.start as usize).min(line.len());
    let end = (span.end as usize).clamp(start, line.len());
    let columns = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes)).chars().count();
    let mut shown: Vec<char> = printable(&String::from_utf8_lossy(line)).chars().collect();
    while shown.last() == Some(&' ') {
        shown.pop();
    }
    let mut before = columns(&line[..start]);
    let mut marks = columns(&line[start..end]).max(1);
    // A long line is cut on the left so that the marked part stays visible.
    let cut = before.saturating_sub(EXCERPT_MAX / 2);
    if cut > 0 && shown.len() > EXCERPT_MAX {
        shown.drain(..cut.min(shown.len()));
        before -= cut;
    }
    shown.truncate(EXCERPT_MAX);
    marks = marks.min(EXCERPT_MAX - before.min(EXCERPT_MAX - 1));
    let shown: String = shown.into_iter().collect();
    let (on, off) = match (options.colors, mark) {
        (false, _) => ("", ""),
        (true, '^') => ("\x1b[1;31m", "\x1b[0m"),
        (true, _) => ("\x1b[1;34m", "\x1b[0m"),
    };
    let underline: String = std::iter::repeat_n(mark, marks).collect();
    let gap = if text.is_empty() { "" } else { " " };
    let text = printable(text);
    let _ = writeln!(out, "  {:>width$} | {shown}", span.line);
    let _ = writeln!(out, "  {:width$} | {:before$}{on}{underline}{gap}{text}{off}", "", "");
}

/// Control characters would act on the terminal, and tabs shift the caret.
fn printable(text: &str) -> String {
    let clean = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_types::{DiagSink, FileId};

    #[track_caller]
    fn check(diagnostic: Diagnostic, text: &str, options: RenderOptions, expected: &str) {
        let sources = Sources::from_text("a.cfg", text);
        let mut diagnostics = Diagnostics::new();
        diagnostics.push(diagnostic);
        assert_eq!(render(&diagnostics, &sources, &options), expected);
    }

    fn options() -> RenderOptions {
        RenderOptions { pid: 7, ..RenderOptions::default() }
    }

    fn span(line: u32, start: u32, end: u32) -> Span {
        Span::new(FileId(0), line, start, end)
    }

    #[test]
    fn one_line_form_then_excerpt() {
        let d = Diagnostic::alert("unknown keyword 'x'")
            .at(span(2, 1, 2))
            .expected("expected a keyword")
            .label(span(1, 0, 6), "in this section")
            .note("n")
            .help("h");
        check(
            d.clone(),
            "global\n\tx\ty\n",
            options(),
            "[ALERT]    (7) : config : parsing [a.cfg:2] : unknown keyword 'x'\n  2 |  x y\n    |  ^ expected a keyword\n  1 | global\n    | ------ in this section\n    = note: n\n    = help: h\n[ALERT]    (7) : config : Error(s) found in configuration file : a.cfg\n[ALERT]    (7) : config : Fatal errors found in configuration.\n",
        );
        check(
            d,
            "global\n\tx\ty\n",
            RenderOptions { terse: true, colors: true, ..options() },
            "\x1b[1;31m[ALERT]\x1b[0m    (7) : config : parsing [a.cfg:2] : unknown keyword 'x'\n\x1b[1;31m[ALERT]\x1b[0m    (7) : config : Error(s) found in configuration file : a.cfg\n\x1b[1;31m[ALERT]\x1b[0m    (7) : config : Fatal errors found in configuration.\n",
        );
    }

    #[test]
    fn levels() {
        check(Diagnostic::diag("d"), "", options(), "");
        let with_diag = RenderOptions { diag: true, ..options() };
        check(Diagnostic::diag("d"), "", with_diag, "[DIAG]     (7) : config : d\n");
        check(Diagnostic::notice("n"), "", options(), "[NOTICE]   (7) : config : n\n");
        check(Diagnostic::warning("w\x1b"), "", options(), "[WARNING]  (7) : config : w\u{fffd}\n");
    }

    #[test]
    fn places_that_do_not_exist_are_survived() {
        let long = format!("{} x\n", "a".repeat(500));
        let mut diagnostics = Diagnostics::new();
        for s in
            [span(9, 3, 9), span(1, 501, 502), span(1, 400, 9000), Span::new(FileId(9), 1, 0, 1)]
        {
            diagnostics.push(Diagnostic::warning("w").at(s));
        }
        let text = render(&diagnostics, &Sources::from_text("a", long), &options());
        assert!(text.lines().all(|line| line.chars().count() < 200), "{text}");
        assert!(text.contains("aaa x\n"), "{text}");
    }
}
