//! Builds the balancer and the copier, static programs of their own that travel inside this one: `up`
//! copies them to the edge hosts, whatever their distribution.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each program, with the variable that names its file.
const PROGRAMS: [(&str, &str); 2] =
    [("platform-balancer", "BALANCER"), ("platform-copier", "COPIER")];

fn main() {
    for folder in ["balancer", "copier", "daemon"] {
        println!("cargo::rerun-if-changed={folder}/src");
        println!("cargo::rerun-if-changed={folder}/Cargo.toml");
    }
    println!("cargo::rerun-if-changed=Cargo.lock");
    let built = build(&target_folder());
    for (program, name) in PROGRAMS {
        println!("cargo::rustc-env={name}={}", built.join(program).display());
    }
}

/// One folder for all profiles: the programs are always built as a release.
fn target_folder() -> PathBuf {
    let own = PathBuf::from(variable("OUT_DIR"));
    // It is TARGET/PROFILE/build/PACKAGE/out.
    own.ancestors().nth(4).expect("cargo names it").join("balancer")
}

fn build(folder: &Path) -> PathBuf {
    let target = variable("TARGET");
    let status = Command::new(variable("CARGO"))
        .args(["build", "--release", "--locked"])
        .args(PROGRAMS.iter().flat_map(|(program, _)| ["--package", *program]))
        .args(["--target", &target, "--target-dir"])
        .arg(folder)
        // With a target named, these flags are for the programs alone.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status();
    let status = status.expect("cargo runs");
    assert!(status.success(), "the programs for edge hosts cannot be built: see above");
    folder.join(target).join("release")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
