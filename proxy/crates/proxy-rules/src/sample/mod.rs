//! Samples: values taken from the traffic and the process, and the expressions that make them.

pub mod args;
pub mod connection;
pub mod context;
pub mod def;
pub mod example;
mod example_tls;
pub mod expr;
pub mod parse;
pub mod place;
pub mod value;

pub use args::{Arg, ArgDef, ArgKind, Args};
pub use context::EvalCtx;
pub use def::{ConvDef, Cursor, FetchDef};
pub use expr::Expr;
pub use parse::{Loader, Named, NoFiles, ParseCx, Parsed, Word, words};
pub use place::{Place, Validity};
pub use value::{Sample, Type};
