//! The worker's end of the message socket to its master (see [`crate::ipc`]).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::message::MessageSocket;
use crate::ipc;

/// What the master, or a worker that is about to take over, asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Serve a runtime API session on this stream, at this level.
    Cli { stream: OwnedFd, level: String },
    /// A new worker wants to talk about taking over.
    Handover(OwnedFd),
}

/// The message socket.
pub(crate) struct Link(MessageSocket);

impl Link {
    /// Takes the socket into the running runtime.
    ///
    /// # Errors
    /// Those of registering it with epoll.
    pub(crate) fn new(control: OwnedFd) -> io::Result<Self> {
        MessageSocket::new(control).map(Self)
    }

    /// Tells the master that the worker serves.
    pub(crate) fn say_ready(&self) -> io::Result<()> {
        ipc::send(self.0.as_fd(), &format!("READY {}", std::process::id()), None)
    }

    /// Asks the master to remove the pins in a directory, which this worker has no right to.
    pub(crate) fn ask_to_unpin(&self, directory: &Path) -> io::Result<()> {
        ipc::send(self.0.as_fd(), &format!("unpin {}", directory.display()), None)
    }

    /// The next request; `None` when the master is gone.
    pub(crate) async fn next(&self) -> Option<Request> {
        loop {
            match self.0.receive().await {
                Ok(Some((text, fd))) => {
                    if let Some(request) = understand(&text, fd) {
                        return Some(request);
                    }
                    tracing::warn!(text, "message from the master not understood");
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

fn understand(text: &str, fd: Option<OwnedFd>) -> Option<Request> {
    let stream = fd?;
    match text.split_once(' ') {
        Some(("cli", level)) => Some(Request::Cli { stream, level: level.to_owned() }),
        None if text == "handover" => Some(Request::Handover(stream)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_need_their_descriptor() {
        let fd = || Some(ipc::stream_pair().unwrap().0);
        assert!(
            matches!(understand("cli admin", fd()), Some(Request::Cli { level, .. }) if level == "admin")
        );
        assert!(matches!(understand("handover", fd()), Some(Request::Handover(_))));
        assert!(understand("handover", None).is_none());
        assert!(understand("dance", fd()).is_none());
    }
}
