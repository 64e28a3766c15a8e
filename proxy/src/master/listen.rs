//! The sockets of the master CLI: `-S <address>[,<option>[,<value>]]*`.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use proxy_types::{Address, Endpoint, Host, PortSpec};

use super::commands::Level;
use crate::sys;

/// One listening socket.
pub(crate) struct CliListener {
    pub(crate) socket: OwnedFd,
    pub(crate) level: Level,
    /// As `show cli sockets` prints it.
    pub(crate) name: String,
    /// To be removed when the master exits.
    pub(crate) path: Option<PathBuf>,
}

/// A `-S` argument, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CliSpec {
    address: Address,
    name: String,
    level: Level,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl CliSpec {
    /// Reads one `-S` argument.
    ///
    /// # Errors
    /// A sentence naming the word that cannot be used.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        let name = words.next().unwrap_or_default();
        let address = Address::parse(name).map_err(|error| format!("'-S {name}' : {error}"))?;
        let mut spec = Self {
            address,
            name: name.into(),
            level: Level::Admin,
            mode: None,
            uid: None,
            gid: None,
        };
        while let Some(option) = words.next() {
            let mut value =
                || words.next().ok_or_else(|| format!("'-S {text}' : '{option}' expects a value"));
            let bad = |value: &str| format!("'-S {text}' : '{value}' is not a value of '{option}'");
            match option {
                "level" => {
                    let v = value()?;
                    spec.level = Level::parse(v).ok_or_else(|| bad(v))?;
                }
                "mode" => {
                    let v = value()?;
                    spec.mode = Some(u32::from_str_radix(v, 8).map_err(|_| bad(v))?);
                }
                "uid" => {
                    let v = value()?;
                    spec.uid = Some(v.parse().map_err(|_| bad(v))?);
                }
                "gid" => {
                    let v = value()?;
                    spec.gid = Some(v.parse().map_err(|_| bad(v))?);
                }
                "user" => {
                    let v = value()?;
                    let user = nix::unistd::User::from_name(v).ok().flatten();
                    spec.uid = Some(user.ok_or_else(|| bad(v))?.uid.as_raw());
                }
                "group" => {
                    let v = value()?;
                    let group = nix::unistd::Group::from_name(v).ok().flatten();
                    spec.gid = Some(group.ok_or_else(|| bad(v))?.gid.as_raw());
                }
                "" => {}
                other => {
                    return Err(format!(
                        "'-S {text}' : unknown option '{other}', expected level, mode, uid, gid, user or group"
                    ));
                }
            }
        }
        Ok(spec)
    }

    /// Binds the socket, or takes the one a previous image of the master left open.
    ///
    /// # Errors
    /// Those of binding, or of a descriptor that is not there.
    pub(crate) fn open(self, inherited: Option<i32>) -> io::Result<CliListener> {
        let mut path = None;
        if let Endpoint::Unix(name) = &self.address.endpoint {
            path = Some(PathBuf::from(name));
        }
        let socket = match inherited {
            Some(fd) => sys::adopt_fd(fd)?,
            None => self.bind()?,
        };
        crate::ipc::keep_on_exec(std::os::fd::AsFd::as_fd(&socket), false)?;
        nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
        Ok(CliListener { socket, level: self.level, name: self.name, path })
    }

    fn bind(&self) -> io::Result<OwnedFd> {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener};
        match &self.address.endpoint {
            Endpoint::Fd(fd) => sys::adopt_fd(*fd),
            Endpoint::Unix(path) => {
                // Bound under a temporary name and renamed, so that a client never meets a socket
                // that is not listening yet or has the wrong owner.
                let temporary = format!("{path}.{}.tmp", std::process::id());
                let _ = std::fs::remove_file(&temporary);
                let socket = UnixListener::bind(&temporary)?;
                if let Some(mode) = self.mode {
                    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))?;
                }
                if self.uid.is_some() || self.gid.is_some() {
                    std::os::unix::fs::chown(&temporary, self.uid, self.gid)?;
                }
                std::fs::rename(&temporary, path)?;
                Ok(socket.into())
            }
            Endpoint::Abstract { name, .. } => {
                Ok(UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?.into())
            }
            Endpoint::Inet { host: Host::Ip(ip), port: PortSpec::Port(port), .. } => {
                Ok(std::net::TcpListener::bind((*ip, *port))?.into())
            }
            Endpoint::Inet { .. } | Endpoint::SockPair(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "expected a unix socket, an IP address with a port, abns@ or fd@",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_the_address() {
        let spec = CliSpec::parse("/run/m.sock,level,operator,mode,600,uid,7").unwrap();
        assert_eq!((spec.level, spec.mode, spec.uid), (Level::Operator, Some(0o600), Some(7)));
        assert!(CliSpec::parse("/run/m.sock,level,king").unwrap_err().contains("'king'"));
        assert!(CliSpec::parse("/run/m.sock,mode").unwrap_err().contains("expects a value"));
        assert!(CliSpec::parse("/run/m.sock,ssl").unwrap_err().contains("unknown option 'ssl'"));
    }
}
