//! Quantities as people write them in an inventory: `50GiB`, `5m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// An amount of memory or disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

/// Why a text is not a [`Size`] or a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not {expected}")]
pub struct BadQuantity {
    text: String,
    expected: &'static str,
}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Size {
    /// An amount in bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// An amount in mebibytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// An amount in gibibytes.
    pub const fn gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    /// The amount in bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// The amount in whole mebibytes, rounded down.
    pub const fn as_mib(self) -> u64 {
        self.0 >> 20
    }
}

impl FromStr for Size {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || BadQuantity {
            text: text.to_owned(),
            expected: "a size: write a whole number and a unit, such as 512MiB or 50GiB",
        };
        let (unit, factor) =
            UNITS.iter().find(|(unit, _)| text.ends_with(unit)).ok_or_else(bad)?;
        let number = text[..text.len() - unit.len()].trim_end();
        let number: u64 = number.parse().map_err(|_| bad())?;
        number.checked_mul(*factor).map(Self).ok_or_else(bad)
    }
}

impl TryFrom<String> for Size {
    type Error = BadQuantity;

    fn try_from(text: String) -> Result<Self, BadQuantity> {
        text.parse()
    }
}

impl fmt::Display for Size {
    /// In the largest binary unit that gives at least 1, with one decimal if it is not whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().filter(|(unit, _)| unit.ends_with("iB"));
        for (unit, factor) in binary {
            if self.0 >= *factor {
                return match self.0 % factor {
                    0 => write!(f, "{}{unit}", self.0 / factor),
                    _ => write!(
                        f,
                        "{}.{}{unit}",
                        self.0 / factor,
                        self.0 % factor * 10 / factor
                    ),
                };
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Reads a duration such as `500ms`, `30s`, `5m`, `8h` or `2d`.
///
/// # Errors
/// If the text is not a whole number followed by one of those units.
pub fn parse_duration(text: &str) -> Result<Duration, BadQuantity> {
    let bad = || BadQuantity {
        text: text.to_owned(),
        expected: "a time: write a whole number and a unit, such as 500ms, 30s, 5m, 8h or 2d",
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit_and_shown_in_the_largest_that_fits() {
        assert_eq!("50GiB".parse(), Ok(Size::gib(50)));
        assert_eq!("512 MiB".parse(), Ok(Size::mib(512)));
        assert_eq!("2kB".parse(), Ok(Size::bytes(2_000)));
        assert_eq!(Size::mib(1536).to_string(), "1.5GiB");
        assert_eq!(Size::bytes(12).to_string(), "12B");
        for bad in ["50", "GiB", "-1GiB", "1.5GiB", "99999999999TiB", "5 apples"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["5", "m", "5 m", "-5m", "5w"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
