//! The conversation with an agent (configuration manual, 5.2 `agent-check`): something is said if `agent-send` has it,
//! and a line comes back.

use std::time::Duration;

use proxy_net::timer::Timer;
use proxy_state::server::{AgentTarget, CheckStatus, CheckTarget, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::probe::{self, Failed};

/// Bytes of one read.
const READ: usize = 1024;

/// Asks once; the line, without what ends it. It is at most `longest` bytes long, and all takes `limit` at most. A
/// failure of status [`CheckStatus::Checked`] leaves the status as it is.
pub(super) async fn ask(
    server: &Server,
    target: &AgentTarget,
    limit: Duration,
    longest: usize,
) -> Result<String, Failed> {
    // Where it is, is all that an agent has in common with a check.
    let place = CheckTarget { addr: target.addr, port: Some(target.port) };
    let timer = Timer::new();
    timer.arm(Some(limit));
    let to = probe::destination(&server.addr(), place);
    let mut socket = probe::socket(server, &to, limit, !target.send.is_empty()).await?;
    let mut received = Vec::new();
    let talk = async {
        if !target.send.is_empty() {
            socket.write_all(target.send.as_bytes()).await.map_err(|error| Failed {
                status: CheckStatus::L4Connection,
                info: probe::words_of(&error),
            })?;
        }
        let mut buffer = [0; READ];
        loop {
            if let Some(end) = received.iter().position(|b| matches!(b, b'\r' | b'\n')) {
                received.truncate(end);
                return Ok(());
            }
            if received.len() >= longest {
                return Err(incomplete(&received));
            }
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return Err(incomplete(&received)),
                Ok(count) => received.extend_from_slice(&buffer[..count]),
            }
        }
    };
    let outcome = timer.guard(talk).await;
    socket.set_reset_on_close();
    match outcome {
        Ok(Ok(())) => Ok(String::from_utf8_lossy(&received).into_owned()),
        Ok(Err(failed)) => Err(failed),
        Err(_) => Err(Failed { status: CheckStatus::L7Timeout, info: String::new() }),
    }
}

/// The connection ended before the line did.
fn incomplete(received: &[u8]) -> Failed {
    let (status, info) = if received.is_empty() {
        (CheckStatus::L7Response, "TCPCHK got an empty response at step 2")
    } else {
        (CheckStatus::Checked, "Ignoring incomplete line from agent")
    };
    Failed { status, info: info.to_owned() }
}
