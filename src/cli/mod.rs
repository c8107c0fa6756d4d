//! The command line: words in, a verb called, an exit code out.
//!
//! It only translates. What a verb does is in `operate`; how a run looks is in
//! [`report`](crate::report).

pub mod args;
pub mod exit;
