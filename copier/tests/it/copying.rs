//! What is pushed to one registry is soon on all.

use platform_copier::manifest::TYPES;
use platform_copier::names::Digest;
use serde_json::json;

use crate::support::{Host, Lab, content, manifest};

#[test]
fn what_is_pushed_to_either_is_on_both_with_a_tag_and_without() {
    let lab = Lab::new();
    let (one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let _registries = [one.start_registry(), two.start_registry()];
    let _copiers = [one.start_copier(&[&two]), two.start_copier(&[&one])];
    let (large, small) = (content(3 << 20), content(100));
    let first = one.push("team/app", "1.0", &[&large, &small, b""]);
    two.has("team/app", "1.0", &first);
    let second = two.push("other", "latest", &[&small]);
    one.has("other", "latest", &second);
    let tagged = one.push_manifest(
        "team/app",
        "stable",
        (TYPES[1], &manifest(&[&large, &small, b""])),
    );
    two.has("team/app", "stable", &tagged);
    let untagged = manifest(&[&small]);
    let untagged_digest = Digest::of(untagged.as_bytes());
    one.push_manifest("team/app", untagged_digest.as_str(), (TYPES[1], &untagged));
    two.has("team/app", untagged_digest.as_str(), &untagged_digest);
    // The later push wins, wherever it was.
    for (host, other) in [(&two, &one), (&one, &two)] {
        let next = host.push("team/app", "1.0", &[&content(50)]);
        other.has("team/app", "1.0", &next);
        host.has("team/app", "1.0", &next);
    }
    assert_eq!(two.status().unwrap()["counts"]["failed"], 0);
}

#[test]
fn an_index_comes_with_all_of_its_images() {
    let lab = Lab::new();
    let (one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let _registries = [one.start_registry(), two.start_registry()];
    let children = [content(1000), content(2000)].map(|layer| {
        let manifest = manifest(&[&layer]);
        let digest = Digest::of(manifest.as_bytes());
        one.push("many", digest.as_str(), &[&layer]);
        json!({"mediaType": TYPES[1], "digest": digest, "size": manifest.len(),
            "platform": {"architecture": "amd64", "os": "linux"}})
    });
    let index = json!({"schemaVersion": 2, "mediaType": TYPES[0], "manifests": children})
        .to_string();
    let pushed = one.push_manifest("many", "all", (TYPES[0], &index));
    let _copiers = [one.start_copier(&[&two]), two.start_copier(&[&one])];
    two.has("many", "all", &pushed);
}

#[test]
fn tags_that_differed_before_there_were_copiers_become_the_one_pushed_last() {
    let lab = Lab::new();
    let (one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let _registries = [one.start_registry(), two.start_registry()];
    one.push("app", "1", &[&content(10)]);
    let late = two.push("app", "1", &[&content(10)]);
    two.push("app", "2", &[&content(10)]);
    let later = one.push("app", "2", &[&content(10)]);
    let copiers = [one.start_copier(&[&two]), two.start_copier(&[&one])];
    for host in [&one, &two] {
        host.has("app", "1", &late);
        host.has("app", "2", &later);
    }
    // Copiers that start again know what was copied and what was pushed.
    drop(copiers);
    let last = one.push("app", "1", &[&content(10)]);
    let _copiers = [one.start_copier(&[&two]), two.start_copier(&[&one])];
    two.has("app", "1", &last);
    // And none of them goes back.
    let n_copied = |host: &Host<'_>| host.status().unwrap()["counts"]["copied"].clone();
    let copied = [&one, &two].map(n_copied);
    one.looks(2);
    two.looks(2);
    assert_eq!([&one, &two].map(n_copied), copied);
    one.has("app", "1", &last);
}

#[test]
fn a_registry_that_lost_everything_is_filled_again() {
    let lab = Lab::new();
    let (one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let _one = (one.start_registry(), one.start_copier(&[&two]));
    let mut pushed = Vec::new();
    for n in 0..120 {
        let repository = format!("team-{}/app-{n}", n % 7);
        let image = one.push(&repository, "1", &[&content(200)]);
        pushed.push((repository, image));
    }
    for _ in 0..2 {
        std::fs::remove_dir_all(two.data("")).ok();
        let _two = (two.start_registry(), two.start_copier(&[&one]));
        for (repository, image) in &pushed {
            two.has(repository, "1", image);
        }
    }
}
