//! The operator's own files: wrong inventories and images.

use std::fs;
use std::path::PathBuf;

use super::{SMALL, check_clean, check_finished, check_up};
use crate::harness::{Given, Lab, turn};

/// Where built images are kept as archives.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/images/.cache");

#[test]
fn an_inventory_with_faults_ends_every_verb_before_anything_is_touched() {
    let lab = Lab::local("");
    let faulty = "cluster: lab\nproviders: {local: {}}\ngroups: {node: {roles: [bse], count: 1}}\n";
    lab.file("lab.yaml", faulty);
    for verb in ["plan", "up", "status", "down", "audit"] {
        let said = lab.run(&[verb]).exits(3).said();
        for text in ["lab.yaml:2:1", "did you mean `provider`?", "lab.yaml:3", "`base`"] {
            assert!(said.contains(text), "`{text}` is not in:\n{said}");
        }
    }
    assert!(!lab.folder().join(".platform").exists());
}

#[test]
fn a_catalogue_whose_versions_do_not_go_together_ends_a_run_before_anything_is_made() {
    let lab = Lab::local(
        "groups: {control: {roles: [control], count: 1}, edge: {roles: [edge], count: 1},\n         \
         \x20 workers: {roles: [agent], count: 1}}\nplatform: {images: pair.yaml}\n",
    );
    let component = |name: &str, version: &str, needs: &str| {
        format!("  {name}: {{version: {version}, build: .{needs}}}\n")
    };
    let pair = [
        component("registry", "2.8.2", ""),
        component("zookeeper", "3.8.0", ""),
        component("mesos-master", "1.4.2", ""),
        component("mesos-agent", "1.4.2", ""),
        component("marathon", "1.11.24", ", needs: {mesos: \">=1.5\"}"),
        component("chronos", "3.0.2", ""),
    ];
    lab.file(
        "pair.yaml",
        format!("components:\n{}machine: {{build: .}}\n", pair.concat()),
    );
    for verb in ["plan", "up"] {
        let said = lab.run(&[verb]).exits(3).said();
        for text in [
            "marathon needs Mesos 1.5 or newer, but `mesos-master` is 1.4.2",
            "pair.yaml:6:",
            "use a newer Mesos",
        ] {
            assert!(said.contains(text), "{verb}: `{text}` is not in:\n{said}");
        }
    }
    assert_eq!(lab.remains(), [""; 0]);
}

#[test]
fn an_archive_with_a_byte_changed_goes_nowhere() {
    let _turn = turn();
    let given = Given::new(2);
    let lab = given.lab(SMALL);
    use_archives(&lab);
    for component in ["registry", "zookeeper"] {
        let archive = lab.folder().join(format!("{component}.tar"));
        change_a_byte(&archive);
        let name = format!("{component}.tar is damaged");
        let run = check_up(&lab, 1, &["layer ", &name, "sha256:", "again to finish"]);
        let step = ["load image registry", "push image zookeeper"];
        assert!(step.iter().any(|step| run.said().contains(step)), "{}", run.said());
        check_absent(&given, component);
        change_a_byte(&archive);
    }
    lab.up();
    check_finished(&lab);
    for number in [1, 2] {
        check_clean(&given.machine(number));
    }
}

/// Makes the catalogue use archives of the images that this computer built.
fn use_archives(lab: &Lab) {
    for component in ["registry", "zookeeper"] {
        let archive = lab.folder().join(format!("{component}.tar"));
        fs::copy(newest(component), archive).expect("the folder takes files");
    }
    lab.file(
        "catalog.yaml",
        "components:\n  registry: {version: 2.8.2, archive: registry.tar}\n  \
         zookeeper: {version: 3.8.0, archive: zookeeper.tar}\n",
    );
    let body = fs::read_to_string(lab.inventory()).expect("it is there");
    lab.file("lab.yaml", body.replace(crate::harness::CATALOG, "catalog.yaml"));
}

fn newest(component: &str) -> PathBuf {
    let built = fs::read_dir(BUILT).expect("images were built").flatten();
    let of_component = built.filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(&format!("{component}-"))
    });
    let newest = of_component
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    newest.expect("the image was built").path()
}

/// Changes the byte in the middle, or changes it back.
fn change_a_byte(file: &PathBuf) {
    let mut bytes = fs::read(file).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("the folder takes files");
}

/// Checks that no host has the image, in whole or in part.
fn check_absent(given: &Given, component: &str) {
    for number in [1, 2] {
        let machine = given.machine(number);
        let images = machine.sh("docker image ls --all --format '{{.Repository}}'");
        assert!(!images.contains(component), "{images}");
    }
}
