//! `platform cost`

use std::path::{Path, PathBuf};

use super::args::{Cost, Global, Output};
use super::exit::Exit;
use super::{error, print, print_json};
use crate::operate::inventory_alone;
use crate::provider::aws::cost::{estimate, estimate_in, show_free};
use crate::provider::aws::prices::{BadPrices, Prices};

/// Why a table of prices cannot be used.
#[derive(Debug, thiserror::Error)]
enum NoPrices {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot use {}; `platform cost --help` shows its form", path.display())]
    Bad { path: PathBuf, source: Box<BadPrices> },
}

pub(super) fn run(args: &Cost, global: &Global) -> Exit {
    let inventory = match inventory_alone(&args.inventory.inventory) {
        Ok(inventory) => inventory,
        Err(error) => return error::report(&error.into()),
    };
    let prices = match args.prices.as_deref().map_or_else(|| Ok(Prices::shipped()), read)
    {
        Ok(prices) => prices,
        Err(error) => return error::tell(&error, Exit::Failed),
    };
    let found = match &args.region {
        Some(region) => estimate_in(&inventory, region, &prices),
        None => estimate(&inventory, &prices),
    };
    let mut text = String::new();
    let json = match found {
        Some(estimate) => {
            // Writing to a string does not fail.
            let _ = estimate.show(&mut text);
            estimate.to_json()
        }
        None => {
            let (said, json) = show_free(&inventory);
            text = said;
            json
        }
    };
    match global.output {
        Output::Human => print(&text),
        Output::Json => print_json(&json),
    }
}

fn read(path: &Path) -> Result<Prices, NoPrices> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| NoPrices::Read { path: path.to_owned(), source })?;
    Prices::read(&text)
        .map_err(|source| NoPrices::Bad { path: path.to_owned(), source: source.into() })
}
