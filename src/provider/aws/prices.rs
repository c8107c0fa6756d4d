//! AWS's prices: a dated table of list prices, the one that ships with the program or the
//! operator's own.
//!
//! Pure. AWS may change prices at any time; the date is part of every result.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

const SHIPPED: &str = include_str!("prices.yaml");

/// A table of list prices.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// When they were valid, such as `2025-06`.
    pub date: String,
    prices: Vec<RegionPrices>,
}

/// The prices of some regions, which are the same in all of these regions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionPrices {
    regions: Vec<String>,
    /// A gp3 disk, per GiB and month.
    pub disk: Usd,
    /// A public IPv4 address, per hour.
    pub address: Usd,
    /// An on-demand instance with Linux, per hour, by its type.
    pub instances: BTreeMap<String, Usd>,
}

/// An amount of US dollars, never negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Deserialize)]
#[serde(try_from = "f64")]
pub struct Usd(f64);

/// Why a text is not a table of prices.
#[derive(Debug, thiserror::Error)]
pub enum BadPrices {
    /// It has another format.
    #[error("this is not a table of prices")]
    Form(#[from] serde_yaml::Error),
    /// A region has two lists of prices.
    #[error("the prices of {0} are listed twice")]
    Twice(String),
}

/// An amount that cannot be a price.
#[derive(Debug, thiserror::Error)]
#[error("a price is a number from 0 up, not {0}")]
pub struct BadAmount(f64);

impl Prices {
    /// The table that ships with the program.
    pub fn shipped() -> Self {
        Self::read(SHIPPED).expect("a test reads it")
    }

    /// Reads a table from YAML text, in the format of the shipped table.
    ///
    /// # Errors
    /// When it has another format, a negative price, or a region twice.
    pub fn read(text: &str) -> Result<Self, BadPrices> {
        let prices: Self = serde_yaml::from_str(text).map_err(in_a_line)?;
        let mut seen = BTreeSet::new();
        let mut regions = prices.prices.iter().flat_map(|of| &of.regions);
        match regions.find(|region| !seen.insert(region.as_str())) {
            Some(region) => Err(BadPrices::Twice(region.clone())),
            None => Ok(prices),
        }
    }

    /// The prices of a region, if the table has them.
    pub fn of(&self, region: &str) -> Option<&RegionPrices> {
        self.prices.iter().find(|of| of.regions.iter().any(|name| name == region))
    }
}

/// The error without the lines of the file, so that it fits into one line.
fn in_a_line(error: serde_yaml::Error) -> serde_yaml::Error {
    match error {
        serde_yaml::Error::WithSnippet { error, .. } => *error,
        error => error,
    }
}

impl Usd {
    /// This amount times a number.
    #[must_use]
    pub fn times(self, n: f64) -> Self {
        Self(self.0 * n.max(0.0))
    }

    /// The amount, to a millionth.
    pub fn rounded(self) -> f64 {
        (self.0 * 1e6).round() / 1e6
    }
}

impl TryFrom<f64> for Usd {
    type Error = BadAmount;

    fn try_from(amount: f64) -> Result<Self, BadAmount> {
        if amount.is_finite() && amount >= 0.0 {
            Ok(Self(amount))
        } else {
            Err(BadAmount(amount))
        }
    }
}

impl std::iter::Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        // The sum of no amounts is 0, and not -0 as for numbers.
        Self(amounts.fold(0.0, |sum, amount| sum + amount.0))
    }
}

impl fmt::Display for Usd {
    /// With the requested number of decimals; otherwise in cents, and more decimals for small
    /// amounts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = if self.0 == 0.0 || self.0 >= 0.1 { 2 } else { 4 };
        write!(f, "{:.*}", f.precision().unwrap_or(usual), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_ships_has_its_regions_and_their_sizes_double() {
        let prices = Prices::shipped();
        let regions =
            ["us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1"];
        for region in regions {
            let of = prices.of(region).unwrap();
            for (kind, price) in &of.instances {
                let Some(family) = kind.strip_suffix(".large") else { continue };
                let larger = of.instances[&format!("{family}.2xlarge")];
                assert_eq!(
                    larger.rounded(),
                    price.times(4.0).rounded(),
                    "{region} {kind}"
                );
            }
        }
        assert_eq!(prices.of("us-gov-west-1"), None);
    }

    #[test]
    fn tables_that_mean_nothing_are_refused() {
        let table = |regions: &str, disk: &str| {
            format!(
                "date: 2026-01\nprices:\n  - regions: [{regions}]\n    disk: {disk}\n    \
                 address: 0\n    instances: {{}}\n"
            )
        };
        assert!(Prices::read(&table("eu-west-3", "0.1")).is_ok());
        assert!(matches!(
            Prices::read(&table("eu-west-3, eu-west-3", "0.1")),
            Err(BadPrices::Twice(region)) if region == "eu-west-3"
        ));
        for bad in [table("eu-west-3", "-1"), table("eu-west-3", ".nan"), String::new()] {
            assert!(matches!(Prices::read(&bad), Err(BadPrices::Form(_))), "{bad}");
        }
        assert!(Prices::read(&(table("eu-west-3", "1") + "cheap: true\n")).is_err());
    }

    #[test]
    fn amounts_are_shown_in_cents_and_small_ones_finer() {
        let shown = |amount: f64| Usd::try_from(amount).unwrap().to_string();
        assert_eq!(shown(1.234), "1.23");
        assert_eq!(shown(0.3024), "0.30");
        assert_eq!(shown(0.0052), "0.0052");
        assert_eq!(shown(0.0), "0.00");
        assert_eq!(format!("{:.4}", Usd(0.3024)), "0.3024");
    }
}
