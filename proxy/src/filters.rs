//! The filters that there are.

/// Filters that `filter` lines may name, each with its origin as HAProxy prints it.
pub(crate) const FILTERS: &[(&str, &str)] = &[
    ("bwlim-in", "BWLIM"),
    ("bwlim-out", "BWLIM"),
    ("cache", "CACHE"),
    ("comp-req", "COMP"),
    ("comp-res", "COMP"),
    ("compression", "COMP"),
    ("fcgi-app", "FCGI"),
    ("trace", "TRACE"),
];
