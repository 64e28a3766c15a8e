//! What the kernel programs counted for an object, as the worker reads it from their maps.

/// Totals since the object exists and the current number of flows. Set with `Frontend::set_external`,
/// `Backend::set_external` and `Server::set_external`; the statistics show them added to what the process counted itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExternalCounters {
    /// Flows begun.
    pub sessions: u64,
    /// Flows that live now.
    pub current: u32,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Flows that ended before the server answered.
    pub failed: u64,
    /// SYNs dropped by rules.
    pub denied: u64,
}
