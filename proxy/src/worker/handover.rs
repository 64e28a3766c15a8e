//! How a new worker takes over from the one it replaces.
//!
//! The new worker opens a conversation over the old one's message socket. Each message is a word; the
//! old worker acts and answers, and what it gave up it takes back when the conversation ends before
//! the last word.
//!
//! ```text
//! new                      old
//! listeners + stream   ->           sends its listening sockets over the stream, keeps accepting
//! certificates         ->           gives those that it got by ACME since its start
//!                      <- certificates + file
//! release              ->           stops writing to the kernel's maps
//!                      <- released
//! serving              ->           for good; SIGUSR1 follows from the master
//! (closed early)       ->           takes the kernel path back
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::message::MessageSocket;
use crate::ipc;
use proxy_net::fdpass::{self, PassError};
use proxy_net::listener::{Identity, Inherited};

/// Longest a step may take: the old worker answers from its control thread.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of all certificates that are handed over.
const CERTIFICATES_MAX: u64 = 64 << 20;

/// The new worker's side.
pub(crate) struct Predecessor(OwnedFd);

impl Predecessor {
    /// Opens the conversation over the inherited message socket.
    ///
    /// # Errors
    /// When the old worker is gone.
    pub(crate) fn meet(control: &OwnedFd) -> io::Result<Self> {
        let (mine, theirs) = ipc::message_pair()?;
        ipc::set_receive_timeout(&mine, LIMIT)?;
        ipc::send(control.as_fd(), "handover", Some(theirs.as_fd()))?;
        Ok(Self(mine))
    }

    /// The listening sockets of the old worker.
    ///
    /// # Errors
    /// Those of the transfer; the new worker then binds for itself.
    pub(crate) fn listeners(&self) -> Result<Inherited, PassError> {
        let (mine, theirs) = ipc::stream_pair()?;
        ipc::send(self.0.as_fd(), "listeners", Some(theirs.as_fd()))?;
        drop(theirs);
        let mut inherited = Inherited::none();
        for (identity, fd) in fdpass::receive_sockets(&mine, LIMIT)? {
            inherited.add(identity, fd);
        }
        Ok(inherited)
    }

    /// Certificates that the old worker got by ACME, as PEM by name.
    ///
    /// # Errors
    /// When it does not answer in time, or not well.
    pub(crate) fn certificates(&self) -> io::Result<BTreeMap<String, String>> {
        ipc::send(self.0.as_fd(), "certificates", None)?;
        let Some((_, Some(fd))) = ipc::receive_blocking(self.0.as_fd())? else {
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        let mut file = File::from(fd);
        file.rewind()?;
        let mut text = Vec::new();
        file.take(CERTIFICATES_MAX).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// Asks the old worker to let go of the kernel path, and waits until it has.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub(crate) fn release_kernel_path(&self) -> io::Result<()> {
        ipc::send(self.0.as_fd(), "release", None)?;
        match ipc::receive_blocking(self.0.as_fd())? {
            Some((word, _)) if word == "released" => Ok(()),
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// The new worker serves: nothing is given back.
    pub(crate) fn serving(self) {
        let _ = ipc::send(self.0.as_fd(), "serving", None);
    }
}

/// What the old worker can hand over.
pub(crate) trait Estate {
    /// Duplicates of all listening sockets that are to be taken over.
    fn sockets(&self) -> Vec<(Identity, OwnedFd)>;
    /// Certificates that no file has, as PEM by name.
    fn certificates(&self) -> BTreeMap<String, String>;
    /// Stops writing to the kernel's maps; what is there goes on working.
    fn release_kernel_path(&self);
    /// The successor died: write to the maps again.
    fn take_kernel_path_back(&self);
}

/// The old worker's side: answers until the conversation ends.
pub(crate) async fn answer(conversation: OwnedFd, estate: &dyn Estate) -> io::Result<()> {
    let conversation = MessageSocket::new(conversation)?;
    let mut released = false;
    let end = loop {
        let message = match conversation.receive().await {
            Ok(Some(message)) => message,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        match (message.0.as_str(), message.1) {
            ("listeners", Some(stream)) => send_sockets(stream, estate.sockets()).await,
            ("certificates", _) => {
                let file = memory_file(&serde_json::to_vec(&estate.certificates())?)?;
                ipc::send(conversation.as_fd(), "certificates", Some(file.as_fd()))?;
            }
            ("release", _) => {
                estate.release_kernel_path();
                released = true;
                ipc::send(conversation.as_fd(), "released", None)?;
            }
            ("serving", _) => return Ok(()),
            (word, _) => tracing::warn!(word, "unknown word in a hand-over"),
        }
    };
    if released {
        estate.take_kernel_path_back();
    }
    end
}

/// A file that only those have who are given it.
fn memory_file(content: &[u8]) -> io::Result<File> {
    let fd = memfd_create(c"certificates", MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    Ok(file)
}

async fn send_sockets(stream: OwnedFd, sockets: Vec<(Identity, OwnedFd)>) {
    // The peer reads at once, but a large batch may fill the socket: off the control thread's loop.
    let sent = tokio::task::spawn_blocking(move || {
        let sockets = sockets.iter().map(|(identity, fd)| (identity, fd.as_fd()));
        fdpass::send_sockets(&stream, sockets, LIMIT)
    })
    .await;
    if let Ok(Err(error)) = sent {
        tracing::warn!(%error, "listening sockets could not be handed over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::net::TcpListener;

    #[derive(Default)]
    struct Recorder(RefCell<Vec<&'static str>>);

    impl Estate for Recorder {
        fn sockets(&self) -> Vec<(Identity, OwnedFd)> {
            self.0.borrow_mut().push("sockets");
            let fd = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
            vec![(Identity::of_socket(&fd, None).unwrap(), fd)]
        }

        fn certificates(&self) -> BTreeMap<String, String> {
            self.0.borrow_mut().push("certificates");
            BTreeMap::from([("a.pem".to_owned(), "PEM".to_owned())])
        }

        fn release_kernel_path(&self) {
            self.0.borrow_mut().push("release");
        }

        fn take_kernel_path_back(&self) {
            self.0.borrow_mut().push("back");
        }
    }

    /// Runs the old side against `new`, which runs on a thread of its own as in life.
    #[track_caller]
    fn check(new: impl FnOnce(Predecessor) + Send + 'static, expected: &[&str]) {
        let (control, master_end) = ipc::message_pair().unwrap();
        let thread = std::thread::spawn(move || new(Predecessor::meet(&master_end).unwrap()));
        let recorder = Recorder::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let link = super::super::link::Link::new(control).unwrap();
            let Some(super::super::link::Request::Handover(fd)) = link.next().await else {
                panic!("no conversation")
            };
            answer(fd, &recorder).await.unwrap();
        });
        thread.join().unwrap();
        assert_eq!(*recorder.0.borrow(), expected);
    }

    #[test]
    fn a_successor_that_serves_keeps_everything() {
        check(
            |old| {
                assert_eq!(old.listeners().unwrap().len(), 1);
                assert_eq!(old.certificates().unwrap()["a.pem"], "PEM");
                old.release_kernel_path().unwrap();
                old.serving();
            },
            &["sockets", "certificates", "release"],
        );
    }

    #[test]
    fn a_successor_that_dies_gives_the_kernel_path_back() {
        check(|old| old.release_kernel_path().unwrap(), &["release", "back"]);
        check(drop, &[]);
    }
}
