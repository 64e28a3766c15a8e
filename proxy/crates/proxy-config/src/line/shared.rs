//! Arguments that `bind` lines, `server` lines and the names of sections have in common.

use proxy_types::Spanned;

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::model::Proto;

/// Letters, digits, `-`, `_`, `.` and `:` (configuration manual, 4).
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
}

/// An identifier that is unique in the configuration (configuration manual, 4.2 "guid").
pub(crate) fn guid(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<String>> {
    let value = args.string(cx, "an identifier")?;
    if value.len() > 127 || !value.chars().all(is_name_char) {
        let text = "letters, digits, '.', ':', '-' and '_' are expected, 127 at most";
        return Err(args.wrong(cx, value.span, text));
    }
    Ok(value)
}

/// `tcp-md5sig`: what the kernel takes as a password.
pub(crate) fn md5_password(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<String>> {
    const LONGEST: usize = 80;
    let password = args.string(cx, "a password")?;
    if password.len() > LONGEST {
        let text = format!("the password is longer than {LONGEST} bytes");
        return Err(args.wrong(cx, password.span, text));
    }
    Ok(password)
}

/// A protocol above TCP, by the name of HAProxy's multiplexer.
pub(crate) fn proto(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<Proto>> {
    args.choice(cx, &[("h1", Proto::H1), ("h2", Proto::H2), ("none", Proto::None)])
}

/// [`proto`] of a server.
pub(crate) fn server_proto(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<Proto>> {
    const NAMES: &[(&str, Proto)] =
        &[("fcgi", Proto::Fcgi), ("h1", Proto::H1), ("h2", Proto::H2), ("none", Proto::None)];
    args.choice(cx, NAMES)
}

/// Longest name of a network interface.
const IFNAME_MAX: usize = 15;

pub(crate) fn interface(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<String>> {
    let name = args.string(cx, "an interface name")?;
    if name.len() > IFNAME_MAX || name.contains(['/', ' ']) {
        return Err(args.wrong(cx, name.span, format!("invalid interface name '{name}'")));
    }
    Ok(name)
}
