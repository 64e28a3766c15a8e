//! States of servers that a process before this one left in files (configuration manual, 4.2
//! "load-server-state-from-file"; management manual, 9.3 "show servers state").

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy_config::model::{Config, Proxy, StateSource};
use proxy_state::server::{Admin, OpState, SavedState};
use proxy_state::{Backend, Now, Registry, Server};
use proxy_types::{DiagSink, Diagnostic, Diagnostics, ServerId};

/// Fewest fields of a line: HAProxy 1.6 wrote so many.
const FIELDS_MIN: usize = 16;
/// Largest file that is read, in bytes: a line for each of a million servers.
const FILE_MAX: u64 = 256 << 20;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    backend: String,
    server_id: u32,
    server: String,
    /// Address and port; `None` for servers on sockets.
    address: Option<SocketAddr>,
    /// The server's number counts, not its name.
    forced_id: bool,
    state: SavedState,
}

/// Everything the files of a configuration say.
#[derive(Clone, Debug, Default)]
pub(crate) struct SavedStates(Vec<Line>, HashMap<(String, String), usize>);

impl SavedStates {
    /// Reads the files that the configuration names. A file that cannot be read is told of, and does not stop the start:
    /// before the first reload there is none.
    pub(super) fn read(config: &Config, diagnostics: &mut Diagnostics) -> Self {
        let mut states = Self::default();
        let base = config.global.server_state_base.as_ref().map(|base| base.value.as_str());
        let mut global: Option<Vec<Line>> = None;
        for proxy in config.backends() {
            let Some(source) = proxy.settings.server_states else { continue };
            let wanted = |line: &&Line| line.backend == proxy.name.value;
            match source.value {
                StateSource::None => {}
                StateSource::Global => {
                    let Some(file) = &config.global.server_state_file else { continue };
                    let lines = global.get_or_insert_with(|| {
                        open(&place(base, &file.value)).unwrap_or_else(|why| {
                            let text = format!("the global server state file {why}");
                            diagnostics.push(Diagnostic::warning(text).at(file.span));
                            Vec::new()
                        })
                    });
                    states.0.extend(lines.iter().filter(wanted).cloned());
                }
                StateSource::Local => match open(&place(base, name(proxy))) {
                    Ok(lines) => states.0.extend(lines.iter().filter(wanted).cloned()),
                    Err(why) => {
                        let text = format!("the server state file of {} {why}", proxy.label());
                        diagnostics.push(Diagnostic::warning(text).at(source.span));
                    }
                },
            }
        }
        let keys = states.0.iter().map(|line| (line.backend.clone(), line.server.clone()));
        states.1 = keys.zip(0..).collect();
        states
    }

    /// The address that a server had.
    pub(super) fn address(&self, backend: &str, server: &str) -> Option<SocketAddr> {
        let index = self.1.get(&(backend.to_owned(), server.to_owned()))?;
        self.0.get(*index)?.address.filter(|addr| !addr.ip().is_unspecified())
    }

    /// Gives servers the states they had.
    pub(super) fn apply(&self, registry: &Registry) {
        for line in &self.0 {
            let Some(backend) = registry.backend(&line.backend) else { continue };
            if let Some(server) = line.server_of(&backend) {
                server.restore(&line.state, Now(0));
            }
        }
    }
}

impl Line {
    fn server_of(&self, backend: &Backend) -> Option<Arc<Server>> {
        let by_id = || backend.server_by_id(ServerId(self.server_id)).filter(|_| self.forced_id);
        backend.server(&self.server).or_else(by_id)
    }

    /// A line of format version 1; `None` for what is none.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if fields.len() < FIELDS_MIN {
            return None;
        }
        let number = |index: usize| -> Option<u32> { fields.get(index)?.parse().ok() };
        let port = number(18).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let address = fields[4].parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, port));
        /// `srv_check_state` and `srv_agent_state`.
        const CONFIGURED: u32 = 2;
        const ENABLED: u32 = 4;
        let disabled =
            |index| number(index).is_some_and(|s| s & CONFIGURED != 0 && s & ENABLED == 0);
        let op = match number(5)? {
            0 => Some(OpState::Stopped),
            1 => None,
            2 => Some(OpState::Running),
            3 => Some(OpState::Stopping),
            _ => return None,
        };
        Some(Self {
            backend: fields[1].to_owned(),
            server_id: number(2)?,
            server: fields[3].to_owned(),
            address,
            forced_id: number(16) == Some(1),
            state: SavedState {
                op,
                admin: Admin(u8::try_from(number(6)?).ok()?),
                weight: number(7)?,
                initial_weight: number(8)?,
                health: number(12)?,
                check_disabled: disabled(13),
                agent_disabled: disabled(14),
            },
        })
    }
}

/// The name of a backend's own file.
fn name(proxy: &Proxy) -> &str {
    proxy.server_state_file.as_ref().map_or(&proxy.name.value, |name| &name.value)
}

fn place(base: Option<&str>, name: &str) -> PathBuf {
    base.map_or_else(|| PathBuf::from(name), |base| Path::new(base).join(name))
}

/// The lines of a file; why there are none. Lines that are no states are passed over, as HAProxy does.
fn open(path: &Path) -> Result<Vec<Line>, String> {
    let fail = |why: String| format!("'{}' cannot be used: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > FILE_MAX {
        return Err(fail(format!("it has more than {FILE_MAX} bytes")));
    }
    let text = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    match lines.next().map(str::trim) {
        Some("1") => {}
        Some(version) => return Err(fail(format!("its format version is '{version}', not 1"))),
        None => return Ok(Vec::new()),
    }
    Ok(lines.filter(|line| !line.starts_with('#')).filter_map(Line::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_age_are_read() {
        let old = Line::parse("1 bk 2 s2 127.0.0.1 2 0 12 14 4 6 3 4 6 0 0").unwrap();
        assert_eq!((&*old.backend, &*old.server, old.server_id), ("bk", "s2", 2));
        assert_eq!((old.state.weight, old.state.initial_weight, old.state.health), (12, 14, 4));
        assert!(!old.state.check_disabled && !old.forced_id);
        let new = "3 be 1 s1 ::1 0 9 10 10 3 1 0 2 2 0 0 1 - 18081 - 0 0 - - 0";
        let new = Line::parse(new).unwrap();
        assert_eq!(new.address, Some("[::1]:18081".parse().unwrap()));
        assert_eq!((new.state.op, new.state.admin), (Some(OpState::Stopped), Admin(9)));
        assert!(new.state.check_disabled && new.forced_id);
        assert_eq!(Line::parse("3 be 1 s1 ::1 7 9 10 10 3 1 0 2 2 0 0 1"), None);
        assert_eq!(Line::parse("3 be 1"), None);
    }
}
