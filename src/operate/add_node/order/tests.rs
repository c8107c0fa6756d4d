//! What is decided from the operator's files, before any machine is asked.

use std::fs;
use std::path::PathBuf;

use super::super::super::fixture::ctx;
use super::super::super::{ClusterFiles, ExitKind};
use super::*;
use crate::event::in_words;

const LOCAL: &str = "cluster: x\nprovider: {local: {}}\ngroups:\n  \
    all: {roles: [control, edge], count: 1}\n  workers: {roles: [agent], count: 2} # some\n";
const SSH: &str = "cluster: x\nprovider: {ssh: {}}\ngroups:\n  \
    all: {roles: [control, edge], hosts: [10.0.0.1]}\n  \
    workers: {roles: [agent], hosts: [10.0.0.2]}\n";

/// An inventory in its own folder, with its state folder.
struct Files(tempfile::TempDir);

impl Files {
    fn of(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalog = dir.path().join("images");
        fs::create_dir(&catalog).unwrap();
        fs::write(catalog.join("catalog.yaml"), "components: {}").unwrap();
        fs::write(dir.path().join("lab.yaml"), text).unwrap();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("lab.yaml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn files(&self) -> ClusterFiles {
        let files = ClusterFiles::open(&self.path()).unwrap();
        files.state.make().unwrap();
        files
    }

    fn order(&self, request: &Request) -> Result<Order, Error> {
        Order::of(&self.files(), request, &ctx(false))
    }

    fn write(&self, order: &Order) -> Result<(), Error> {
        let known = ["all-1", "workers-1", "workers-2"].map(|host| host.parse().unwrap());
        order.write(known.into(), &ctx(false))
    }
}

fn machines(count: u16) -> Request {
    Request { group: None, addition: Addition::Machines(count) }
}

fn hosts(addresses: &[&str]) -> Request {
    let host = |address: &&str| GivenHost {
        name: address.parse().unwrap(),
        address: address.parse().unwrap(),
        ssh: None,
        agent_spec: crate::inventory::AgentSpec::default(),
    };
    let addition = Addition::Hosts(addresses.iter().map(host).collect());
    Request { group: None, addition }
}

fn refused(order: Result<Order, Error>, kind: ExitKind, part: &str) {
    let Err(why) = order else { panic!("it is not refused: {part}") };
    assert_eq!(why.kind(), kind, "{why}");
    assert!(in_words(&why).contains(part), "`{part}` is not in: {}", in_words(&why));
}

#[test]
fn the_same_words_go_on_once_the_inventory_is_written_and_others_have_to_wait() {
    for (text, request, other) in [
        (LOCAL, machines(2), machines(1)),
        (SSH, hosts(&["10.0.0.8", "10.0.0.9"]), hosts(&["10.0.0.8"])),
    ] {
        let files = Files::of(text);
        let order = files.order(&request).unwrap();
        assert_eq!(files.text(), text, "to decide writes nothing");
        files.write(&order).unwrap();
        let written = files.text();
        assert_ne!(written, text);

        let again = files.order(&request).unwrap();
        assert!(matches!(&again.step, Step::GoOn(noted) if noted.known.len() == 3));
        files.write(&again).unwrap();
        assert_eq!(files.text(), written);
        refused(
            files.order(&other),
            ExitKind::Refused,
            "is not finished: run that same command",
        );

        files.files().state.forget_addition().unwrap();
        match &request.addition {
            Addition::Machines(_) => {
                files.write(&files.order(&request).unwrap()).unwrap();
                assert!(files.text().contains("count: 6} # some"), "{}", files.text());
            }
            Addition::Hosts(_) => {
                refused(
                    files.order(&request),
                    ExitKind::Refused,
                    "already in group `workers` (line 5)",
                );
            }
        }
    }
}

#[test]
fn an_addition_that_never_came_to_the_inventory_or_was_taken_out_of_it_is_over() {
    let files = Files::of(LOCAL);
    files.write(&files.order(&machines(2)).unwrap()).unwrap();
    fs::write(files.path(), LOCAL).unwrap();
    let order = files.order(&machines(1)).unwrap();
    assert!(matches!(order.step, Step::Edit { .. }));
    files.write(&order).unwrap();
    assert!(files.text().contains("count: 3} # some"), "{}", files.text());
}

#[test]
fn an_inventory_that_is_changed_while_the_operator_is_asked_is_left_alone() {
    let files = Files::of(LOCAL);
    let order = files.order(&machines(2)).unwrap();
    let changed = LOCAL.replace("# some", "# many");
    fs::write(files.path(), &changed).unwrap();
    let why = files.write(&order).unwrap_err();
    assert_eq!(why.kind(), ExitKind::Refused);
    assert_eq!(files.text(), changed);
    assert_eq!(files.files().state.addition().unwrap(), None);
}

#[test]
fn what_cannot_be_added_is_said_before_anything_is_written() {
    let (local, ssh) = (Files::of(LOCAL), Files::of(SSH));
    refused(local.order(&hosts(&["10.0.0.8"])), ExitKind::Usage, "with `--count`");
    refused(ssh.order(&machines(1)), ExitKind::Usage, "makes no machines");
    let quorum = Request { group: Some("all".to_owned()), ..machines(2) };
    refused(local.order(&quorum), ExitKind::Refused, "decides by a majority");
    let unknown = Request { group: Some("worker".to_owned()), ..machines(2) };
    refused(local.order(&unknown), ExitKind::Usage, "did you mean `workers`?");
    refused(local.order(&machines(300)), ExitKind::Invalid, "with these machines in it");
    assert_eq!((local.text(), ssh.text()), (LOCAL.to_owned(), SSH.to_owned()));
}

#[test]
fn trouble_after_the_edit_says_what_the_inventory_has_and_how_to_take_it_back() {
    let files = Files::of(LOCAL);
    let order = files.order(&machines(2)).unwrap();
    let said = order.written(Error::Unwell).to_string();
    for part in
        ["the cluster has problems; ", "2 machines in group workers", "`count` back to 2"]
    {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}
