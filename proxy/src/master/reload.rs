//! Reload: the master executes itself again.
//!
//! `-sf <pids> -x sockpair@<fd>` is inserted before the original arguments, as HAProxy's users see it
//! in `ps`; the process list crosses in the environment. When the exec itself fails (the binary is
//! gone), nothing has changed: the reload has failed and the running worker keeps serving.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use super::cli::Session;
use super::process::Phase;
use super::{Effect, Master};
use crate::args::{NO_LISTENERS, StopStyle};
use crate::ipc::{ProcessEntry, ReexecState, keep_on_exec};
use crate::messages;

/// The command line without what an earlier reload inserted (or a first start gave once).
pub(super) fn original_argv(argv: Vec<OsString>) -> Vec<OsString> {
    let mut out = Vec::with_capacity(argv.len());
    let mut words = argv.into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            out.push(word);
            out.extend(words);
            break;
        }
        if word == "-sf" || word == "-st" {
            while words.next_if(|next| !next.to_string_lossy().starts_with('-')).is_some() {}
        } else if word == "-x" {
            if let Some(none) = words.next().filter(|from| from == NO_LISTENERS) {
                out.extend([word, none]);
            }
        } else if ["-f", "-p", "-C", "-L", "-n", "-N", "-m", "-S"].iter().any(|flag| word == *flag)
        {
            out.push(word);
            out.extend(words.next());
        } else {
            out.push(word);
        }
    }
    out
}

impl Master {
    /// `reload` and `hard-reload`: the client's answer comes from the next image.
    pub(super) fn reload_from_cli(&mut self, session: &mut Session, hard: bool) -> Effect {
        if self.is_loading() {
            return Effect::Answer("Success=0\n--\nAnother reload is still in progress.\n".into());
        }
        let Ok(client) = session.client.try_clone() else {
            return Effect::Answer("Success=0\n--\nOut of file descriptors.\n".into());
        };
        let style = if hard { StopStyle::Terminate } else { StopStyle::Finish };
        self.reload(Some(client), style);
        // Still here: the exec failed, and the client was told so through its own descriptor.
        Effect::HandedOver
    }

    /// Replaces this image of the master. Returns only when that failed.
    pub(super) fn reload(&mut self, client: Option<OwnedFd>, style: StopStyle) {
        messages::notice(format_args!("Reloading Sluice"));
        self.notify.reloading();
        let error = match self.exec(client.as_ref(), style) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        ReexecState::clear_env();
        self.own.failed += 1;
        messages::alert(format_args!(
            "Cannot execute {} again: {error}. The running worker keeps serving.",
            self.argv.first().map(|arg| arg.to_string_lossy()).unwrap_or_default()
        ));
        self.notify.reload_failed();
        self.reload_client = client;
        self.answer_reload(false);
    }

    fn exec(
        &mut self,
        client: Option<&OwnedFd>,
        style: StopStyle,
    ) -> io::Result<std::convert::Infallible> {
        let mut kept = Vec::new();
        let mut processes = vec![ProcessEntry {
            kind: 'm',
            fd: -1,
            pid: std::process::id() as i32,
            reloads: self.own.reloads + 1,
            failed_reloads: self.own.failed,
            started: self.own.started,
            version: crate::version::VERSION.to_owned(),
        }];
        for worker in &self.workers {
            processes.push(ProcessEntry {
                kind: 'w',
                fd: worker.control.as_raw_fd(),
                pid: worker.pid.as_raw(),
                reloads: worker.reloads + 1,
                failed_reloads: 0,
                started: worker.started,
                version: worker.version.clone(),
            });
            kept.push(worker.control.as_fd());
        }
        kept.extend(self.cli.listeners.iter().map(|listener| listener.socket.as_fd()));
        kept.extend(client.map(AsFd::as_fd));
        let state = ReexecState {
            processes,
            cli_sockets: self.cli.listeners.iter().map(|l| l.socket.as_raw_fd()).collect(),
            reload_client: client.map(AsRawFd::as_raw_fd),
        };
        let argv = self.next_argv(style)?;
        let program = argv.first().ok_or(io::ErrorKind::NotFound)?.clone();
        if let Some(dir) = &self.args.initial_dir {
            std::env::set_current_dir(dir)?;
        }
        state.put_in_env();
        for fd in &kept {
            keep_on_exec(*fd, true)?;
        }
        let failed = nix::unistd::execvp(&program, &argv);
        for fd in &kept {
            let _ = keep_on_exec(*fd, false);
        }
        Ok(failed?)
    }

    fn next_argv(&self, style: StopStyle) -> io::Result<Vec<CString>> {
        let mut words: Vec<OsString> = Vec::new();
        words.extend(self.argv.first().cloned());
        words.push(if style == StopStyle::Finish { "-sf" } else { "-st" }.into());
        words.extend(self.workers.iter().map(|worker| worker.pid.to_string().into()));
        let current = self.workers.iter().find(|worker| worker.phase == Phase::Serving);
        let inherits = self.args.listeners_from.as_deref() != Some(NO_LISTENERS);
        if let Some(worker) = current.filter(|_| inherits) {
            words.push("-x".into());
            words.push(format!("sockpair@{}", worker.control.as_raw_fd()).into());
        }
        words.extend(self.argv.iter().skip(1).cloned());
        words
            .into_iter()
            .map(|word| {
                CString::new(word.into_vec()).map_err(|_| io::ErrorKind::InvalidInput.into())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_words_are_taken_out_again() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            original_argv(words("sluice -sf 1 2 -x sockpair@5 -W -f a.cfg")),
            words("sluice -W -f a.cfg")
        );
        assert_eq!(original_argv(words("sluice -st -W -- -sf")), words("sluice -W -- -sf"));
        assert_eq!(original_argv(words("sluice -x /run/old.sock -W")), words("sluice -W"));
        let without = words("sluice -x /dev/null -W");
        assert_eq!(original_argv(without.clone()), without);
        assert_eq!(original_argv(words("sluice -f -x -W")), words("sluice -f -x -W"));
    }
}
