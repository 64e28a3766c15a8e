//! Live objects that the request path reads and the control plane changes. No IO; time is a parameter.
#![forbid(unsafe_code)]
