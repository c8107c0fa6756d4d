//! The verbs that need no machine.

use crate::harness::{Lab, REHEARSED};

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
    assert!(init("aws", "aws.yaml").status.success());

    // A test must not use the name and network of a lab that may be running here, and it cannot
    // reach the images of the hubs.
    let path = lab.folder().join("written.yaml");
    let text = std::fs::read_to_string(&path).expect("it was written");
    let text = text.replace("cluster: lab", &format!("cluster: {}", lab.cluster()));
    let text = text.replace("10.78.0", &lab.prefix());
    let text = text.replace("images: clusterd", &format!("images: {REHEARSED}"));
    lab.file("written.yaml", text);

    let plan = lab.program().args(["plan", "written.yaml"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&plan.stdout);
    assert_eq!(plan.status.code(), Some(10), "{plan:?}");
    for host in ["control-1", "control-3", "edge-1", "workers-1", "workers-2"] {
        assert!(said.contains(&format!("  {host}\n    make container at ")), "{said}");
    }
    assert_eq!(lab.remains(), [""; 0], "a plan makes nothing");
}

#[test]
fn a_cost_is_told_without_asking_anyone() {
    let lab = Lab::local("groups: {node: {roles: [base], count: 1}}\n");
    let cost = |words: &[&str]| {
        lab.program().arg("cost").args(words).output().expect("the program runs")
    };
    let said = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let own = lab.inventory();
    let free = cost(&[own.to_str().expect("a path in UTF-8")]);
    assert!(
        free.status.success() && said(&free).contains("there is no cost"),
        "{free:?}"
    );

    lab.file("lab", "");
    lab.file("lab.pub", "");
    lab.file(
        "aws.yaml",
        "cluster: lab1\nprovider:\n  aws:\n    image: ami-0a1b2c3d\n    \
         ssh: {user: admin, key: lab}\n    admin_cidrs: [203.0.113.7/32]\n\
         groups: {spare: {roles: [base], count: 2, type: own.large, disk: 10GiB}}\n",
    );
    let table = "date: 2026-01\nprices:\n  - regions: [here-north-1]\n    disk: 7.3\n    \
                 address: 0.5\n    instances: {own.large: 2}\n";
    lab.file("prices.yaml", table);
    let words = ["aws.yaml", "--prices", "prices.yaml", "--region", "here-north-1"];
    let paid = cost(&words);
    let line = "lab1: about 5.20 USD an hour (list prices of here-north-1, 2026-01)\n";
    assert!(paid.status.success() && said(&paid).starts_with(line), "{paid:?}");
    let json = cost(&[words.as_slice(), &["-o", "json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["total"]["day"], 124.8);

    lab.file("prices.yaml", "date: 2026-01\n");
    let bad = cost(&words);
    assert_eq!(bad.status.code(), Some(1));
    assert!(said(&bad).contains("cannot use prices.yaml"), "{bad:?}");
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
