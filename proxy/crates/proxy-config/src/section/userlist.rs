//! `userlist` sections (configuration manual, 12.2).

use proxy_types::{Diagnostic, Span, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::lexer::between_commas;
use crate::model::{Group, Password, User, Userlist};

type Parse = fn(&mut Context<'_>, &mut Userlist, &mut Args<'_>) -> Parsed;

pub(crate) const USERLIST: Table<Parse> = &[&[
    row(
        "group",
        On::HERE,
        "<groupname> [users <user>,<user>,(...)]",
        "12.2",
        "adds a group",
        group,
    ),
    row(
        "user",
        On::HERE,
        "<username> [password|insecure-password <password>] [groups <group>,<group>,(...)]",
        "12.2",
        "adds a user",
        user,
    ),
]];

/// Names between commas, each where it stands.
fn list(word: &Spanned<String>) -> Vec<Spanned<String>> {
    let names = between_commas(word).filter(|name| !name.is_empty());
    names.map(|name| name.map(str::to_owned)).collect()
}

fn twice(cx: &mut Context<'_>, what: &str, name: &Spanned<String>, list: &Userlist) -> Parsed {
    let message = format!("{what} '{}' is already in userlist '{}'", name.value, list.name.value);
    Err(cx.alert(name.span, message))
}

fn group(cx: &mut Context<'_>, section: &mut Userlist, args: &mut Args<'_>) -> Parsed {
    let name = args.string(cx, "a group name")?;
    if section.groups.iter().any(|group| group.name.value == name.value) {
        return twice(cx, "group", &name, section);
    }
    let users = match args.accept("users") {
        Some(_) => list(&args.string(cx, "user names after 'users'")?),
        None => Vec::new(),
    };
    args.end(cx)?;
    section.groups.push(Group { name, users });
    Ok(())
}

fn user(cx: &mut Context<'_>, section: &mut Userlist, args: &mut Args<'_>) -> Parsed {
    let name = args.string(cx, "a user name")?;
    if section.users.iter().any(|user| user.name.value == name.value) {
        return twice(cx, "user", &name, section);
    }
    let (mut password, mut groups) = (None, Vec::new());
    while let Some(word) = args.optional() {
        match word.value.as_str() {
            "password" => {
                let hash = args.string(cx, "a password hash")?;
                if let Err(why) = proxy_rules::users::Password::crypt(&hash.value) {
                    let help = "use a hash of 'mkpasswd -m sha-512', or 'insecure-password'";
                    return Err(cx.report(Diagnostic::alert(why).at(hash.span).help(help)));
                }
                if !proxy_rules::users::Password::is_hash(&hash.value) {
                    let message =
                        format!("user '{name}' : the password is no hash, nobody can log in");
                    let help = "use 'insecure-password' for a plain password";
                    cx.report(Diagnostic::notice(message).at(hash.span).help(help));
                }
                password = Some(Password::Crypt(hash));
            }
            "insecure-password" => {
                password = Some(Password::Plain(args.word(cx, "a password")?.clone()))
            }
            "groups" => groups = list(&args.string(cx, "group names after 'groups'")?),
            other => {
                let message = format!("unknown parameter '{other}' of a user");
                let expected = "expected password, insecure-password or groups";
                return Err(cx.report(Diagnostic::alert(message).at(word.span).expected(expected)));
            }
        }
    }
    section.users.push(User { name, password, groups });
    Ok(())
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> Userlist {
    let span: Span = args.span();
    let name = args.string(cx, "a name as argument");
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|_| Spanned::new(String::new(), span));
    Userlist { name, span, groups: Vec::new(), users: Vec::new() }
}

/// One line of the section.
pub(crate) fn line(cx: &mut Context<'_>, section: &mut Userlist, args: &mut Args<'_>) -> Parsed {
    let Some(row) = find(USERLIST, args.name()) else {
        let message = format!("unknown keyword '{}' in 'userlist' section", args.name());
        let near = suggest(USERLIST, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    let parse = cx.carried(row, "keyword", "in 'userlist' section", args.keyword_span())?;
    parse(cx, section, args)
}

/// Groups and users that name each other must exist.
pub(crate) fn check(cx: &mut Context<'_>, section: &Userlist) {
    let missing = |cx: &mut Context<'_>, what: &str, name: &Spanned<String>| {
        let message =
            format!("userlist '{}' : no such {what} '{}'", section.name.value, name.value);
        cx.alert(name.span, message);
    };
    for name in section.users.iter().flat_map(|user| &user.groups) {
        if !section.groups.iter().any(|group| group.name.value == name.value) {
            missing(cx, "group", name);
        }
    }
    for name in section.groups.iter().flat_map(|group| &group.users) {
        if !section.users.iter().any(|user| user.name.value == name.value) {
            missing(cx, "user", name);
        }
    }
}
