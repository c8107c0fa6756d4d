//! Inventories and catalogues: what a valid one means, and how an invalid one is refused.
//!
//! In these cases every file exists that is named, unless its name holds `missing`.

use std::fmt::Debug;
use std::path::Path;

use platform::inventory::{self, Diagnostic, Paint, Source, catalog};

use super::{TestResult, expect};

/// The inventories that come with the program, and that `init` writes, are valid.
pub(crate) fn shipped(path: &Path, text: String) -> TestResult {
    valid_as(&path.display().to_string(), &text, inventory::read(&text, &exists))
        .map(drop)
}

pub(crate) fn valid(path: &Path, text: String) -> TestResult {
    let value = valid_as(&file_name(path), &text, inventory::read(&text, &exists))?;
    expect(path, "txt", &format!("{value:#?}\n"))
}

pub(crate) fn invalid(path: &Path, text: String) -> TestResult {
    refused(path, &text, inventory::read(&text, &exists))
}

pub(crate) fn valid_catalog(path: &Path, text: String) -> TestResult {
    let value = valid_as(&file_name(path), &text, catalog::read(&text, &exists))?;
    expect(path, "txt", &format!("{value:#?}\n"))
}

pub(crate) fn invalid_catalog(path: &Path, text: String) -> TestResult {
    refused(path, &text, catalog::read(&text, &exists))
}

fn exists(path: &Path) -> bool {
    !path.to_string_lossy().contains("missing")
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn valid_as<T>(
    name: &str,
    text: &str,
    read: Result<T, Vec<Diagnostic>>,
) -> datatest_stable::Result<T> {
    read.map_err(|faults| {
        format!("must be valid:\n{}", rendered(name, text, &faults)).into()
    })
}

fn refused<T: Debug>(
    path: &Path,
    text: &str,
    read: Result<T, Vec<Diagnostic>>,
) -> TestResult {
    match read {
        Ok(value) => Err(format!("must be refused, but means {value:#?}").into()),
        Err(faults) => {
            let shown = rendered(&file_name(path), text, &faults);
            match text.contains("hunter2") && shown.contains("hunter2") {
                true => Err(format!("a secret is shown:\n{shown}").into()),
                false => expect(path, "stderr", &shown),
            }
        }
    }
}

fn rendered(name: &str, text: &str, faults: &[Diagnostic]) -> String {
    let mut out = String::new();
    let source = Source { name, text };
    match inventory::render(source, faults, Paint::Plain, &mut out) {
        Ok(()) => out,
        Err(error) => error.to_string(),
    }
}
