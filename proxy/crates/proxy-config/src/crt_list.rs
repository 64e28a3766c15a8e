//! Files of `crt-list` (configuration manual, 5.1): a certificate a line, with settings and host names.
//!
//! ```text
//! <crtfile> [\[<option> ...\]] [[!]<snifilter> ...]
//! ```

use proxy_types::{Severity, Span, Spanned};

use crate::args::Args;
use crate::context::Context;
use crate::line::cert;
use crate::model::CertLine;
use crate::text::Text;
use crate::{Environment, Options};

/// A list that was read.
#[derive(Debug, Default)]
pub struct List {
    /// Without those that have mistakes.
    pub lines: Vec<CertLine>,
    pub errors: Vec<String>,
    /// What has no effect, and the like.
    pub warnings: Vec<String>,
}

/// Reads a list.
pub fn parse(text: &str) -> List {
    let mut list = List::default();
    for (index, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let mut warnings = Vec::new();
        match line(number, text, &mut warnings) {
            Ok(line) => list.lines.push(line),
            Err(error) => list.errors.push(format!("line {number}: {error}")),
        }
        let told = warnings.iter().map(|warning| format!("line {number}: {warning}"));
        list.warnings.extend(told);
    }
    list
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it.
pub fn line(number: usize, text: &str, warnings: &mut Vec<String>) -> Result<CertLine, String> {
    let (certificate, rest) = match text.split_once(char::is_whitespace) {
        Some((certificate, rest)) => (certificate, rest.trim_start()),
        None => (text, ""),
    };
    let mut line = CertLine { number, certificate: certificate.to_owned(), ..CertLine::default() };
    if certificate.starts_with('[') {
        return Err("a file name is expected first".to_owned());
    }
    let filters = match rest.strip_prefix('[') {
        None => rest,
        Some(rest) => {
            let (inside, filters) =
                rest.split_once(']').ok_or("']' is missing behind the options")?;
            line.options = inside.split_whitespace().collect::<Vec<_>>().join(" ");
            options(&mut line, inside, warnings)?;
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

fn options(line: &mut CertLine, text: &str, warnings: &mut Vec<String>) -> Result<(), String> {
    let word = |text: &str| Spanned::new(Text::from(text), Span::NONE);
    let words: Vec<_> =
        std::iter::once("crt-list").chain(text.split_whitespace()).map(word).collect();
    let program = Options::default();
    let mut cx = Context::new(Environment::default(), &program);
    let outcome = cert::options(&mut cx, line, &mut Args::new(&words));
    let mut error = None;
    for told in cx.diagnostics.iter() {
        match told.severity {
            Severity::Alert => error = Some(told.message.clone()),
            _ => warnings.push(told.message.clone()),
        }
    }
    outcome.map_err(|_| error.unwrap_or_else(|| "wrong options".to_owned()))
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
        let List { lines, errors, warnings } = parse(text);
        assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
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
            let errors = parse(text).errors;
            assert!(errors.first().is_some_and(|e| e.contains(expected)), "{text}: {errors:?}");
        };
        check("\na.pem [alpn h2", "line 2: ']' is missing");
        check("a.pem [strict-sni]", "line 1: 'crt-list' : unknown option 'strict-sni'");
        check("a.pem [verify maybe]", "'maybe'");
        check("a.pem [alpn]", "expects");
        check("a.pem x.org [alpn h2]", "options must stand before");
        check("[alpn h2]", "file name");
        check("a.pem !", "without a name");
        check("a.pem [crl-file]", "expects");
    }

    #[test]
    fn all_options_may_stand_on_a_line() {
        let list = parse(
            "a.pem [alpn h2 no-alpn ca-file a ca-verify-file b ciphers HIGH ciphersuites TLS_AES_128_GCM_SHA256 \
             client-sigalgs ed25519 crl-file c curves X25519 ecdhe P-256 ktls on no-ca-names sigalgs ed25519 \
             ssl-max-ver TLSv1.3 ssl-min-ver TLSv1.2 verify optional sctl d]",
        );
        assert_eq!(list.errors, [""; 0]);
        assert_eq!(list.warnings.len(), 2, "{:?}", list.warnings);
        let tls = &list.lines[0].tls;
        assert_eq!(tls.settings.alpn.as_ref().map(|alpn| alpn.value.len()), Some(0));
        assert!(tls.no_ca_names.is_some() && tls.ca_verify_file.is_some() && tls.ecdhe.is_some());
        assert!(tls.settings.min.is_some() && tls.settings.max.is_some());
    }
}
