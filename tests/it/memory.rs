//! Which data in memory the program keeps away from the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn neither_the_program_nor_what_it_starts_writes_a_core() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let inventory = file(
        "lab.yaml",
        "cluster: lab\nprovider: {local: {}}\n\
         groups: {node: {roles: [base], count: 1}}\nplatform: {images: catalog.yaml}\n",
    );
    file("catalog.yaml", "components: {}\n");
    let limits = folder.path().join("limits");
    let said =
        format!("#!/bin/sh\n(ulimit -Sc; ulimit -Hc) >{}\nexit 1\n", limits.display());
    let docker = file("docker", &said);
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(env!("CARGO_BIN_EXE_platform"))
        .arg("plan")
        .arg(inventory)
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .output()
        .unwrap();
    let limits = fs::read_to_string(&limits).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr))
    });
    assert_eq!(limits, "0\n0\n");
}
