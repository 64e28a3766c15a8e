//! Files of `crt-list` (configuration manual, 5.1): a certificate a line, with settings and host names.
//!
//! ```text
//! <crtfile> [\[<option> ...\]] [[!]<snifilter> ...]
//! ```

use proxy_types::{Span, Spanned};

use crate::args::Args;
use crate::context::Context;
use crate::keyword::find;
use crate::line::{bind, tls};
use crate::model::{Bind, BindTls};
use crate::{Environment, Options};

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// The file, or its name in a `crt-store`.
    pub certificate: String,
    pub files: Files,
    /// The options as they were written, for `show ssl crt-list`.
    pub options: String,
    pub tls: BindTls,
    /// `*`, host names, and those excepted by `!`.
    pub filters: Vec<String>,
}

/// Files of a certificate that are not found by its name (12.7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub key: Option<String>,
    pub ocsp: Option<String>,
    pub issuer: Option<String>,
}

/// Options that come with a file name.
const FILES: [&str; 5] = ["crt", "key", "ocsp", "issuer", "sctl"];

/// Reads a list. Lines with mistakes are left out; what is wrong with them is told.
pub fn parse(text: &str) -> (Vec<Line>, Vec<String>) {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (index, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match line(index + 1, text) {
            Ok(line) => lines.push(line),
            Err(error) => errors.push(format!("line {}: {error}", index + 1)),
        }
    }
    (lines, errors)
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it.
pub fn line(number: usize, text: &str) -> Result<Line, String> {
    let (certificate, rest) = match text.split_once(char::is_whitespace) {
        Some((certificate, rest)) => (certificate, rest.trim_start()),
        None => (text, ""),
    };
    let mut line = Line { number, certificate: certificate.to_owned(), ..Line::default() };
    if certificate.starts_with('[') {
        return Err("a file name is expected first".to_owned());
    }
    let filters = match rest.strip_prefix('[') {
        None => rest,
        Some(rest) => {
            let (inside, filters) =
                rest.split_once(']').ok_or("']' is missing behind the options")?;
            line.options = inside.split_whitespace().collect::<Vec<_>>().join(" ");
            options(&mut line, inside)?;
            filters
        }
    };
    for filter in filters.split_whitespace() {
        if filter.contains(['[', ']']) {
            return Err("options must stand before the names".to_owned());
        }
        if filter.trim_start_matches('!').is_empty() {
            return Err("'!' without a name".to_owned());
        }
        line.filters.push(filter.to_owned());
    }
    Ok(line)
}

fn options(line: &mut Line, text: &str) -> Result<(), String> {
    let word = |text: &str| Spanned::new(text.to_owned(), Span::NONE);
    let words: Vec<_> =
        std::iter::once("crt-list").chain(text.split_whitespace()).map(word).collect();
    let program = Options::default();
    let mut cx = Context::new(Environment::default(), &program);
    let mut args = Args::new(&words);
    let mut settings = Bind::default();
    while let Some(word) = args.optional() {
        let name = word.value.as_str();
        if FILES.contains(&name) {
            let file = args.optional().ok_or_else(|| format!("'{name}' expects a file"))?;
            let file = file.value.clone();
            match name {
                "crt" => line.certificate = file,
                "key" => line.files.key = Some(file),
                "ocsp" => line.files.ocsp = Some(file),
                "issuer" => line.files.issuer = Some(file),
                _ => return Err("'sctl': known, not carried yet".to_owned()),
            }
            continue;
        }
        if name == "ocsp-update" {
            match args.optional().map(|word| word.value.as_str()) {
                Some("off") => continue,
                _ => return Err("'ocsp-update': known, not carried yet".to_owned()),
            }
        }
        let row = find(bind::OPTIONS, name)
            .filter(|row| tls::CRT_LIST.contains(&row.name))
            .ok_or_else(|| format!("unknown option '{name}'"))?;
        args.rename(name);
        let parsed = cx
            .carried(row, "option", "", Span::NONE)
            .and_then(|parse| parse(&mut cx, &mut settings, &mut args));
        if parsed.is_err() {
            let told = cx.diagnostics.iter().map(|d| d.message.clone()).next_back();
            return Err(told.unwrap_or_else(|| format!("wrong option '{name}'")));
        }
    }
    line.tls = settings.tls;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_manual() {
        let text = "# comment\n\ndefault.pem.rsa *\ncert2.pem [alpn h2,http/1.1]\n\
            certW.pem                   *.domain.tld !secure.domain.tld\n\
            certS.pem [curves X25519:P-256 ciphers ECDHE-ECDSA-AES256-GCM-SHA384] secure.domain.tld\n\
            foo.crt [key bar.pem ocsp foo.ocsp ocsp-update off] foo.bar.com\n";
        let (lines, errors) = parse(text);
        assert_eq!(errors, [""; 0]);
        let names: Vec<_> =
            lines.iter().map(|line| (line.number, line.certificate.as_str())).collect();
        let expected = [
            (3, "default.pem.rsa"),
            (4, "cert2.pem"),
            (5, "certW.pem"),
            (6, "certS.pem"),
            (7, "foo.crt"),
        ];
        assert_eq!(names, expected);
        assert_eq!(lines[0].filters, ["*"]);
        let alpn = lines[1].tls.settings.alpn.as_ref().unwrap();
        assert_eq!(alpn.value, ["h2", "http/1.1"]);
        assert_eq!(lines[2].filters, ["*.domain.tld", "!secure.domain.tld"]);
        let curves = lines[3].tls.settings.curves.as_ref().unwrap();
        assert_eq!(curves.value, "X25519:P-256");
        assert_eq!(lines[3].filters, ["secure.domain.tld"]);
        assert_eq!(lines[4].files.key.as_deref(), Some("bar.pem"));
        assert_eq!(lines[4].files.ocsp.as_deref(), Some("foo.ocsp"));
        assert_eq!(lines[4].filters, ["foo.bar.com"]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let check = |text: &str, expected: &str| {
            let (_, errors) = parse(text);
            assert!(errors.first().is_some_and(|e| e.contains(expected)), "{text}: {errors:?}");
        };
        check("\na.pem [alpn h2", "line 2: ']' is missing");
        check("a.pem [strict-sni]", "line 1: unknown option 'strict-sni'");
        check("a.pem [verify maybe]", "'maybe'");
        check("a.pem [alpn]", "expects");
        check("a.pem [sctl x]", "not carried yet");
        check("a.pem x.org [alpn h2]", "options must stand before");
        check("[alpn h2]", "file name");
        check("a.pem !", "without a name");
    }
}
