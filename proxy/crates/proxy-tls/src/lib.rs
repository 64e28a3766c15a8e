//! TLS without IO (see docs/architecture.md): the certificates of a listener and their choice by name, the settings of
//! both sides, what is known of a connection.
#![forbid(unsafe_code)]
