//! Configuration text to typed, spanned configuration. Opens nothing but configuration sources.
#![forbid(unsafe_code)]
