//! The state folder of a cluster is lost between two runs.

use std::fs;
use std::path::Path;

use super::{check_finished, check_up};
use crate::harness::{Given, Lab, Writes};

pub(super) fn a_state_folder_that_was_lost(given: &Given, lab: &Lab) {
    let machines = [given.machine(1), given.machine(2)];
    let before = machines.each_ref().map(Writes::on);
    let (folder, away) = (lab.state(), lab.folder().join("away"));
    fs::rename(&folder, &away).expect("the folder is ours");
    for (verb, code) in [("status", 1), ("plan", 4), ("status", 1)] {
        let said = lab.run(&[verb]).exits(code).said();
        for text in
            ["edge-1 runs with files that ", "no longer holds: ca/ca.crt, ca/ca.key"]
        {
            assert!(said.contains(text), "{verb}: `{text}` is not in:\n{said}");
        }
        assert!(
            !folder.join("secrets").exists() && !folder.join("ca").exists(),
            "{verb}"
        );
    }
    for _ in 0..2 {
        check_up(
            lab,
            4,
            &["the cluster on control-1, edge-1 runs", "restore the folder"],
        );
        assert!(!folder.join("secrets").exists() && !folder.join("ca").exists());
    }
    fs::remove_dir_all(&folder).expect("only runs that were refused are in it");
    fs::rename(&away, &folder).expect("the folder is ours");
    a_single_password_that_was_lost(lab, &folder.join("secrets/zookeeper-quorum"));
    for (machine, before) in machines.iter().zip(before) {
        before.are_still_the_last_on(machine);
    }
}

fn a_single_password_that_was_lost(lab: &Lab, file: &Path) {
    let password = fs::read(file).expect("it is kept");
    fs::remove_file(file).expect("the folder is ours");
    check_up(lab, 4, &["the cluster on control-1 runs", ": secrets/zookeeper-quorum;"]);
    assert!(!file.exists(), "no other was made");
    fs::write(file, password).expect("the folder is ours");
    check_finished(lab);
}
