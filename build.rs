//! Builds the balancer, a static program of its own that travels inside this one: `up` copies it to
//! the edge hosts, whatever their distribution.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    for path in [
        "balancer/src",
        "balancer/Cargo.toml",
        "daemon/src",
        "daemon/Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let program = build(&target_folder());
    println!("cargo::rustc-env=BALANCER={}", program.display());
}

/// One folder for all profiles: the balancer is always built as a release.
fn target_folder() -> PathBuf {
    let own = PathBuf::from(variable("OUT_DIR"));
    // It is TARGET/PROFILE/build/PACKAGE/out.
    own.ancestors().nth(4).expect("cargo names it").join("balancer")
}

fn build(folder: &Path) -> PathBuf {
    let target = variable("TARGET");
    let status = Command::new(variable("CARGO"))
        .args(["build", "--release", "--package", "platform-balancer", "--locked"])
        .args(["--target", &target, "--target-dir"])
        .arg(folder)
        // With a target named, these flags are for the program alone.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status();
    let status = status.expect("cargo runs");
    assert!(status.success(), "the balancer cannot be built: see above");
    folder.join(target).join("release/platform-balancer")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
