//! Who makes and takes away servers and backends for commands.

use proxy_state::{Backend, Now, Server};
use proxy_types::Mode;
use std::sync::Arc;

/// The `default-server` settings of a backend that new servers can start from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultServers {
    pub backend: String,
    /// There are unnamed ones.
    pub unnamed: bool,
    pub named: Vec<String>,
}

/// Makes live objects, which needs the language of configurations. All errors are answers as they are.
pub trait Builder {
    /// `add server`: `words` are the name, the address and the settings.
    ///
    /// # Errors
    /// The words are wrong, or there is such a server.
    fn add_server(&self, backend: &Arc<Backend>, words: &[String], now: Now) -> Result<(), String>;

    /// `del server`.
    ///
    /// # Errors
    /// It cannot be taken away, or not now.
    fn remove_server(&self, server: &Arc<Server>, now: Now) -> Result<(), String>;

    /// The words of [`Builder::add_server`], with their arguments.
    fn server_words(&self) -> Vec<(&'static str, &'static str)>;

    /// `add backend`.
    ///
    /// # Errors
    /// There is such a section, or the `defaults` section does not serve.
    fn add_backend(
        &self,
        name: &str,
        from: &str,
        mode: Option<Mode>,
        guid: Option<&str>,
    ) -> Result<(), String>;

    /// Whether a backend could be taken away now; false when it only has to be waited for.
    ///
    /// # Errors
    /// Waiting would not help.
    fn backend_removable(&self, backend: &Arc<Backend>) -> Result<bool, String>;

    /// `del backend`.
    ///
    /// # Errors
    /// It cannot be taken away, or not now.
    fn remove_backend(&self, backend: &Arc<Backend>) -> Result<(), String>;

    /// The settings of `default-server` lines, by backend.
    fn default_servers(&self) -> Vec<DefaultServers>;

    /// The names of `defaults` sections.
    fn defaults(&self) -> Vec<String>;
}
