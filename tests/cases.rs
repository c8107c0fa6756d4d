//! Cases in files: adding a file adds a test.
//!
//! A case is a file of input with its expected output beside it, under the same name with
//! another ending. `UPDATE=1 cargo test --test cases` writes the expected output of every case
//! anew; read the diff before you commit it. A file that belongs to no case fails.
//!
//! A new kind of cases is a module under `cases/` and its lines in the list at the end.

use std::path::Path;

#[path = "it/cluster.rs"]
mod cluster;
#[path = "cases/inventory.rs"]
mod inventory;
#[path = "cases/plan.rs"]
mod plan;
#[path = "cases/resource.rs"]
mod resource;

type TestResult = datatest_stable::Result<()>;

/// Holds `actual` against the expected output beside `input`, the file with another `ending`.
fn expect(input: &Path, ending: &str, actual: &str) -> TestResult {
    let path = input.with_extension(ending);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        return Ok(std::fs::write(&path, actual)?);
    }
    let expected = std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; UPDATE=1 writes it", path.display()))?;
    if actual == expected {
        return Ok(());
    }
    let diff = similar::TextDiff::from_lines(expected.as_str(), actual);
    let diff = diff.unified_diff().header("expected", "actual").to_string();
    Err(format!("{} differs; UPDATE=1 accepts it\n{diff}", path.display()).into())
}

/// Fails for a file that is no expected output, or one without its input.
fn belongs_to_a_case(path: &Path) -> TestResult {
    let is_output =
        path.extension().is_some_and(|ending| ending == "txt" || ending == "stderr");
    match is_output && path.with_extension("yaml").exists() {
        true => Ok(()),
        false => Err(format!("{} belongs to no case", path.display()).into()),
    }
}

const INPUT: &str = r"\.yaml$";
const OTHER: &str = r"(?<!\.yaml)$";

datatest_stable::harness! {
    { test = inventory::shipped, root = "inventories", pattern = r"^[^.][^/]*\.yaml$" },
    { test = inventory::valid, root = "tests/inventories/valid", pattern = INPUT },
    { test = inventory::invalid, root = "tests/inventories/invalid", pattern = INPUT },
    { test = belongs_to_a_case, root = "tests/inventories", pattern = OTHER },
    { test = inventory::valid_catalog, root = "tests/cases/catalog/valid", pattern = INPUT },
    { test = inventory::invalid_catalog, root = "tests/cases/catalog/invalid", pattern = INPUT },
    { test = belongs_to_a_case, root = "tests/cases/catalog", pattern = OTHER },
    { test = resource::diff, root = "tests/cases/resource", pattern = INPUT },
    { test = belongs_to_a_case, root = "tests/cases/resource", pattern = OTHER },
    { test = plan::plan, root = "tests/clusters", pattern = r"/scene\.yaml$" },
    { test = plan::belongs_to_a_cluster, root = "tests/clusters", pattern = r"(?<!/scene\.yaml)$" },
}
