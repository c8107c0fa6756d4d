//! What goes wrong harms nothing else, and is made good by itself.

use std::path::Path;
use std::process::Command;

use crate::support::{BadLink, Host, Lab, content, n_bytes, until};

#[test]
fn a_push_that_was_cut_is_nowhere_until_it_is_whole() {
    let lab = Lab::new();
    let (one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let _registries = [one.start_registry(), two.start_registry()];
    let _copiers = [one.start_copier(&[&two]), two.start_copier(&[&one])];
    let layers = [content(1 << 20), content(1 << 20)];
    one.push_blob("app", &layers[0]);
    one.push_part_of_blob("app", &layers[1][..1 << 19]);
    two.looks(1);
    assert!(!two.data("repositories").exists(), "nothing is known of an unfinished push");
    let layers = layers.each_ref().map(Vec::as_slice);
    let pushed = one.push("app", "1", &layers);
    two.has("app", "1", &pushed);
}

#[test]
fn a_copy_that_was_cut_is_not_seen_and_is_made_again() {
    let lab = Lab::new();
    let (mut one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let _registries = [one.start_registry(), two.start_registry()];
    let link = BadLink::to(one.registry());
    one.seen_at = Some(link.address);
    let pushed = one.push("app", "1", &[&content(20 << 20)]);
    link.carry_at_most(12 << 20);
    let _one = one.start_copier(&[&two]);
    let copier = two.start_copier(&[&one]);
    let fault = until("the cut is told", || two.fault("app:1"));
    assert!(fault.contains("the registry on edge-1"), "{fault}");
    assert_eq!(two.pull("app", "1"), None);
    assert!(!two.data("repositories/app/_manifests").exists());
    // The registry itself leaves small files of an upload that was given up.
    let left = n_bytes(&two.data("repositories/app/_uploads"));
    assert!(left < 1000, "{left} bytes of an unfinished upload");
    // A copier that is killed leaves no more than that.
    drop(copier);
    link.carry_at_most(u64::MAX);
    let _two = two.start_copier(&[&one]);
    two.has("app", "1", &pushed);
}

#[test]
fn a_damaged_image_is_told_and_harms_no_other() {
    let lab = Lab::new();
    let (one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let _registries = [one.start_registry(), two.start_registry()];
    let layer = content(100_000);
    let bad = one.push("bad", "1", &[&layer]);
    let mut damaged = layer.clone();
    damaged[50_000] ^= 1;
    std::fs::write(one.blob(&layer), damaged).unwrap();
    let good = one.push("good", "1", &[&content(1000)]);
    let _copiers = [one.start_copier(&[&two]), two.start_copier(&[&one])];
    two.has("good", "1", &good);
    let fault = until("the damage is told", || two.fault("bad:1"));
    assert!(fault.contains("is damaged at the registry on edge-1"), "{fault}");
    assert_eq!(two.pull("bad", "1"), None);
    std::fs::write(one.blob(&layer), layer).unwrap();
    two.has("bad", "1", &bad);
}

#[test]
fn a_host_that_is_down_is_asked_again() {
    let lab = Lab::new();
    let hosts = ["edge-1", "edge-2", "edge-3"].map(|name| Host::new(&lab, name));
    let [one, two, three] = &hosts;
    let _registries = [one.start_registry(), two.start_registry()];
    let _copiers = [one.start_copier(&[two, three]), two.start_copier(&[one, three])];
    let pushed = one.push("app", "1", &[&content(1000)]);
    two.has("app", "1", &pushed);
    let silent = |host: &Host<'_>| host.status().unwrap()["others"][1]["fault"].clone();
    let said = silent(two);
    assert!(said.as_str().unwrap().starts_with("its copier does not answer"), "{said}");
    let _third = (three.start_registry(), three.start_copier(&[one, two]));
    three.has("app", "1", &pushed);
    until("the third host is known", || silent(two).is_null().then_some(()));
}

/// The registry of the second host is alone on a small disk, which the kernel gives to everyone in
/// a namespace of its own.
#[test]
fn a_full_disk_is_told_and_copies_go_on_once_there_is_room() {
    let lab = Lab::new();
    let (one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let _one = one.start_registry();
    let mut command = Command::new("unshare");
    let script = format!(
        "mount -t tmpfs -o size=40m small {} && exec docker-registry \"$@\"",
        lab.path("edge-2").display()
    );
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    let registry = two.start_registry_by(command);
    let inside = format!("/proc/{}/root{}", registry.id(), lab.path("edge-2").display());
    let two = two.with_data(inside.clone().into());
    let filler = Path::new(&inside).join("filler");
    std::fs::write(&filler, content(20 << 20)).unwrap();
    let large = one.push("large", "1", &[&content(10 << 20)]);
    let small = one.push("small", "1", &[&content(1000)]);
    let _copiers = [one.start_copier(&[&two]), two.start_copier(&[&one])];
    two.has("small", "1", &small);
    let fault = until("the full disk is told", || two.fault("large:1"));
    assert!(fault.starts_with("the disk of the registry has "), "{fault}");
    assert_eq!(two.pull("large", "1"), None);
    std::fs::remove_file(&filler).unwrap();
    two.has("large", "1", &large);
}
