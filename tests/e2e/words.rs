//! The verbs that need no machine.

use crate::harness::Lab;

#[test]
fn a_written_inventory_can_be_planned_at_once() {
    let lab = Lab::local("groups: {node: {roles: [base], count: 1}}\n");
    let init = |kind: &str, file: &str| {
        let words = ["init", "--provider", kind, "--output-file", file];
        lab.program().args(words).output().expect("the program runs")
    };
    let written = init("local", "written.yaml");
    assert!(written.status.success(), "{written:?}");
    assert!(!init("local", "written.yaml").status.success(), "it is not overwritten");
    assert!(init("ssh", "rack.yaml").status.success());

    // The name and network of a rehearsal that may be going on here are not for a test.
    let path = lab.folder().join("written.yaml");
    let text = std::fs::read_to_string(&path).expect("it was written");
    let text = text.replace("cluster: rehearsal", &format!("cluster: {}", lab.cluster()));
    let text = text.replace("10.77.0", &lab.prefix());
    lab.file("written.yaml", text);
    // As if it had been written at the top of the repository, where the catalogue is.
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    std::os::unix::fs::symlink(tests, lab.folder().join("tests")).expect("a link");

    let plan = lab.program().args(["plan", "written.yaml"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&plan.stdout);
    assert_eq!(plan.status.code(), Some(10), "{plan:?}");
    for host in ["control-1", "control-3", "edge-1", "workers-1", "workers-2"] {
        assert!(said.contains(&format!("  {host}\n    make container at ")), "{said}");
    }
    assert_eq!(lab.remains(), [""; 0], "a plan makes nothing");
}

#[test]
fn a_shell_takes_the_completions() {
    let lab = Lab::local("groups: {node: {roles: [base], count: 1}}\n");
    let output = lab.program().args(["completions", "bash"]).output().expect("it runs");
    assert!(output.status.success());
    let script = lab.file("completions", &output.stdout);
    let script = format!(
        ". {}; COMP_WORDS=(platform sta); COMP_CWORD=1; _platform platform sta platform; \
         echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let completed = std::process::Command::new("bash").args(["-c", &script]).output();
    let completed = completed.expect("bash runs").stdout;
    assert_eq!(String::from_utf8_lossy(&completed), "status\n");
}
