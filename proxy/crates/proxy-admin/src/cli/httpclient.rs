//! `httpclient`: a request from the worker, as it sees the network (management manual, 9.3).

use crate::command::{Answer, Call, Command, Reply};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

fn httpclient(call: &mut Call<'_>) -> Answer {
    let args = match call.args {
        [option, ..] if option == "--htx" => {
            return Err(Reply::line("Messages have no HTX here: leave '--htx' out."));
        }
        args => args,
    };
    let [method, uri, ..] = args else {
        return Err(Reply::line("Can't start the HTTP client: not enough parameters."));
    };
    let method = METHODS.iter().find(|known| known.eq_ignore_ascii_case(method));
    let Some(method) = method else {
        return Err(Reply::line("Can't start the HTTP client: unknown method."));
    };
    let asked = call.admin.process.request(method, uri);
    Ok(Reply::Later(Box::pin(async move {
        match asked.await {
            Ok(response) => Reply::Text(response),
            Err(error) => Reply::line(format!("The HTTP client failed (status 0): {error}")),
        }
    })))
}

pub(super) static COMMANDS: &[Command] = &[Command::expert(
    &["httpclient"],
    "[--htx] <method> <URI>",
    "launch an HTTP request and show the response",
    httpclient,
)];
