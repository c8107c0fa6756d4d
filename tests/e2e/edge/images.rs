//! What people push to the registry at the virtual IP is on both edge hosts.

use std::time::Duration;

use super::{EDGES, client, password, vip};
use crate::harness::{Lab, until};

/// What is promised: a push is on all registries within this time.
const COPIED: Duration = Duration::from_secs(30);

/// The machine whose Docker is used.
const USER: &str = "workers-1";

/// Pushes a new image with plain Docker, and returns its name without its registry.
pub(super) fn push(lab: &Lab, tag: &str) -> String {
    let (machine, server) = (lab.machine(USER), server(lab));
    machine.put("/root/password", password(lab, "ann").as_bytes());
    machine.sh(&format!(
        "set -e
        docker login --username ann --password-stdin {server} </root/password
        mkdir -p /root/layer && head -c 3000000 /dev/urandom >/root/layer/file
        tar -C /root/layer -c file | docker import - {server}/team/app:{tag}
        docker push {server}/team/app:{tag}
        docker image rm {server}/team/app:{tag}"
    ));
    format!("team/app:{tag}")
}

/// Waits until both registries have an image.
pub(super) fn wait_for(lab: &Lab, image: &str) {
    for edge in EDGES {
        let what = format!("{image} on {edge}");
        until(&what, COPIED, || digest_on(lab, edge, image));
    }
}

/// Pulls an image, with all of its layers, through the virtual IP.
pub(super) fn pull(lab: &Lab, image: &str) {
    let server = server(lab);
    lab.machine(USER)
        .sh(&format!("docker pull {server}/{image} && docker image rm {server}/{image}"));
}

pub(super) fn are_copied_to_both_hosts(lab: &Lab) {
    for tag in ["1", "2"] {
        wait_for(lab, &push(lab, tag));
    }
    // The same tag again: the later push wins, on both.
    let image = push(lab, "1");
    let pushed = digest_at(lab, &vip(lab), &image);
    assert!(pushed.is_some());
    for edge in EDGES {
        until(&format!("the later {image} on {edge}"), COPIED, || {
            (digest_on(lab, edge, &image) == pushed).then_some(())
        });
    }
    lab.run(&["status"]).exits(0);
}

/// A registry that has nothing gets all images before `up` ends.
pub(super) fn fill_a_registry_that_lost_them(lab: &Lab) {
    let [_, edge] = EDGES;
    lab.machine(edge).sh("systemctl stop platform-copier platform-registry
        rm -r /var/lib/platform/registry/docker /var/lib/platform/copier/book.json");
    let up = lab.up();
    assert!(up.has_done("start unit platform-copier.service"), "{}", up.said());
    for image in ["team/app:1", "team/app:2", "team/app:before"] {
        let there = digest_on(lab, edge, image);
        assert!(there.is_some(), "{image} is not there when `up` has ended");
    }
}

/// The digest of an image in the registry of a host, which may have the virtual IP too.
fn digest_on(lab: &Lab, edge: &str, image: &str) -> Option<String> {
    let last = if edge == EDGES[0] { 12 } else { 13 };
    digest_at(lab, &format!("{}.{last}", lab.prefix()), image)
}

fn digest_at(lab: &Lab, address: &str, image: &str) -> Option<String> {
    let (repository, tag) = image.split_once(':').expect("a repository and a tag");
    let url = format!("https://{address}:5000/v2/{repository}/manifests/{tag}");
    let request = client(lab).head(url).basic_auth("ann", Some(password(lab, "ann")));
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let answer = request.header("accept", kind).send().ok()?;
    let digest = answer.headers().get("docker-content-digest").cloned();
    let digest = digest.filter(|_| answer.status().is_success())?;
    digest.to_str().ok().map(str::to_owned)
}

fn server(lab: &Lab) -> String {
    format!("{}:5000", vip(lab))
}
