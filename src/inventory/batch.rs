//! How many agents may be interrupted at once.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::tree::{Node, Value};

/// How many hosts may be interrupted at once: a number, or a share of all. It is at least one, or
/// nothing could ever change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// This number of hosts.
    Hosts(NonZeroU16),
    /// This percentage of the hosts, from 1 to 100, rounded down.
    Percent(u8),
}

/// Why a text is not a batch.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a number of hosts: write one such as 2, or a share such as 25%")]
pub struct BadBatch(String);

impl Batch {
    /// The number of hosts in a batch, out of `n_hosts`.
    pub fn of(self, n_hosts: usize) -> usize {
        let n = match self {
            Self::Hosts(n) => usize::from(n.get()),
            Self::Percent(percent) => n_hosts * usize::from(percent) / 100,
        };
        n.max(1)
    }
}

impl Default for Batch {
    /// A quarter.
    fn default() -> Self {
        Self::Percent(25)
    }
}

impl FromStr for Batch {
    type Err = BadBatch;

    fn from_str(text: &str) -> Result<Self, BadBatch> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|percent| (1..=100).contains(percent))
                .map(Self::Percent),
            None => text.parse().ok().map(Self::Hosts),
        };
        parsed.ok_or_else(|| BadBatch(text.to_owned()))
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(n) => n.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

pub(super) fn batch(node: &Node, r: &mut Reader) -> Option<Batch> {
    match &node.value {
        // A number may be written without quotes.
        Value::Scalar { text, .. } if !text.is_empty() => {
            let read: Result<Batch, BadBatch> = text.parse();
            let fault = |error: BadBatch| Diagnostic::new(&node.span, error.to_string());
            read.map_err(|error| r.fault(fault(error))).ok()
        }
        _ => {
            let message = "this must be a number of hosts or a share of them";
            let help = "write `batch: 2` or `batch: 25%`";
            r.refuse(Diagnostic::new(node.place(), message).help(help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_number_or_a_share_and_at_least_one() {
        let n = |text: &str, n_hosts| text.parse::<Batch>().unwrap().of(n_hosts);
        assert_eq!(n("3", 100), 3);
        assert_eq!(n("25%", 100), 25);
        assert_eq!(n("25%", 7), 1);
        assert_eq!(n("1%", 4), 1);
        assert_eq!(n("100%", 7), 7);
        for bad in ["0", "0%", "101%", "-1", "some", "2 hosts", "%", "70000"] {
            assert_eq!(bad.parse::<Batch>(), Err(BadBatch(bad.to_owned())), "{bad}");
        }
        assert_eq!("25%".parse::<Batch>().unwrap(), Batch::default());
    }
}
