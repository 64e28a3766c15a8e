//! Certificates that tokens may be verified with: `add`, `del` and `show ssl jwt`; and who does the cryptography.

use crate::command::{Answer, Call, Command, Reply};

fn name<'a>(call: &'a Call<'_>) -> Result<&'a str, Reply> {
    match call.arg(0) {
        "" => Err(Reply::line("Expects a certificate name")),
        name => Ok(name),
    }
}

fn add(call: &mut Call<'_>) -> Answer {
    let name = name(call)?;
    call.admin.process.allow_tokens(name).map(|()| Reply::done()).map_err(Reply::line)
}

fn del(call: &mut Call<'_>) -> Answer {
    let name = name(call)?;
    match call.admin.shared.public_keys.forget(name) {
        true => Ok(Reply::done()),
        false => Err(Reply::line(format!("'{name}' is not used for tokens."))),
    }
}

fn show(call: &mut Call<'_>) -> Answer {
    let mut names = call.admin.shared.public_keys.certificates();
    names.sort();
    let mut text = String::from("#filename\n");
    names.iter().for_each(|name| text.extend([&**name, "\n"]));
    Ok(Reply::Text(text))
}

fn providers(_: &mut Call<'_>) -> Answer {
    Ok(Reply::Text("Loaded providers : \n\t- aws-lc\n".to_owned()))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["add", "ssl", "jwt"],
        "<certfile>",
        "let tokens be verified with a certificate",
        add,
    ),
    Command::admin(
        &["del", "ssl", "jwt"],
        "<certfile>",
        "let tokens be verified with a certificate no more",
        del,
    ),
    Command::admin(
        &["show", "ssl", "jwt"],
        "",
        "list the certificates that tokens are verified with",
        show,
    ),
    Command::admin(&["show", "ssl", "providers"], "", "show who does the cryptography", providers),
];
