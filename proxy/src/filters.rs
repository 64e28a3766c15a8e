//! The filters that there are.

/// Filters that `filter` lines may name, each with its origin as HAProxy prints it.
pub(crate) const FILTERS: &[(&str, &str)] =
    &[("cache", "CACHE"), ("comp-req", "COMP"), ("comp-res", "COMP"), ("compression", "COMP")];
