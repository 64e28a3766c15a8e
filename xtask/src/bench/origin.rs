//! The server behind the proxies: nginx with bodies of known sizes.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tests::Program;
use tests::net::free_port;
use tests::sluice::Files;

use super::machine::pinned;

/// Paths and body sizes.
pub(super) const SMALL: (&str, usize) = ("/small", 128);
pub(super) const MEDIUM: (&str, usize) = ("/medium", 16 * 1024);
pub(super) const LARGE: (&str, usize) = ("/large", 1024 * 1024);

/// A running origin server.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    _program: Program,
    _files: Files,
}

impl Origin {
    pub(super) fn start() -> Result<Self> {
        let files = Files::new()?;
        for (path, size) in [SMALL, MEDIUM, LARGE] {
            files.write(path.trim_start_matches('/'), &"x".repeat(size))?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let root = files.path("");
        let config = files.write(
            "nginx.conf",
            &format!(
                "daemon off; master_process off; worker_processes 1; pid {root}/nginx.pid;\n\
                 error_log stderr error; user root;\n\
                 events {{ worker_connections 16384; }}\n\
                 http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;\n\
                 sendfile on; tcp_nopush on; tcp_nodelay on; open_file_cache max=16;\n\
                 client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
                 uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
                 server {{ listen {address} backlog=4096; root {root}; }} }}\n",
                root = root.display(),
            ),
        )?;
        let mut program =
            Program::start("nginx, the origin", pinned(1, "nginx").arg("-c").arg(&config))?;
        super::peer::await_listener(&mut program, address)?;
        Ok(Self { address, _program: program, _files: files })
    }
}
