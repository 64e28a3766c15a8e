//! Vocabulary shared by every part of Sluice: diagnostics, addresses, durations, sizes. No IO, no async.
#![forbid(unsafe_code)]
