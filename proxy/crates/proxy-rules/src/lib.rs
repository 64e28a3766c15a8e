//! Samples, ACLs, rules and log formats. No IO; what a rule sees comes through a context.
#![forbid(unsafe_code)]
