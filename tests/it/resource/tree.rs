//! An image's file system as a folder: complete or absent, and not removed too early.

use platform::resource::{self, Owned, Resource, Tree};

use super::host::{Host, is_done, progress};

const ID: &str = "sha256:aa11";
const RECORD: &str = "/var/lib/platform/manifest";

fn tree() -> Tree {
    let text = str::to_owned;
    Tree {
        name: text("agent 1"),
        image: text(ID),
        program: text("agent"),
        ends_together: false,
    }
}

fn want() -> [Resource; 1] {
    [Resource::Tree(tree())]
}

/// A host that has the image, with a program and a link in it.
fn host() -> Host {
    let host = Host::new();
    host.write(&format!("/fake/images/{ID}"), b"");
    host.write(&format!("/fake/trees/{ID}/usr/sbin/agent"), b"#!/bin/sh\n");
    host.chmod(&format!("/fake/trees/{ID}/usr/sbin/agent"), 0o4755);
    host.link(&format!("/fake/trees/{ID}/sbin"), "usr/sbin");
    host
}

/// A process on the host with its own root and name.
fn runs(host: &Host, pid: u32, root: &str, program: &str) {
    host.link(&format!("/proc/{pid}/root"), root);
    host.write(&format!("/proc/{pid}/comm"), format!("{program}\n").as_bytes());
}

fn ends(host: &Host, pid: u32) {
    std::fs::remove_dir_all(host.path(&format!("/proc/{pid}"))).expect("it runs");
}

fn path() -> String {
    tree().path().to_string()
}

#[test]
fn an_image_s_file_system_comes_with_its_modes_and_goes_without_a_trace() {
    use std::os::unix::fs::PermissionsExt;
    let host = host();
    let before = host.tree();
    assert!(is_done(&host.apply(&want())));
    let program = host.path(&format!("{}/usr/sbin/agent", path()));
    let mode = program.metadata().expect("it was unpacked").permissions().mode();
    assert_eq!(mode & 0o7777, 0o4755);
    assert_eq!(host.text(&format!("{}/sbin/agent", path())), "#!/bin/sh\n");
    assert_eq!(host.changes(&want()).1, []);
    assert!(!host.has("/fake/unpacking"), "the container that was read is left");
    assert!(is_done(&host.retire()));
    assert_eq!(host.tree(), before);
}

#[test]
fn an_unpacking_that_fails_leaves_nothing_and_the_next_one_does_all() {
    let host = host();
    let whole = host.path(&format!("/fake/trees/{ID}"));
    let away = host.path("/fake/trees/away");
    std::fs::rename(&whole, &away).expect("the folder is ours");
    assert!(!is_done(&host.apply(&want())));
    assert!(!host.has(&path()) && !host.has("/fake/unpacking"));
    std::fs::rename(&away, &whole).expect("the folder is ours");
    // What a killed run leaves half-way: a container and half a folder.
    host.write("/fake/unpacking", b"sha256:bb22");
    host.write(&format!("{}.platform-new/half", path()), b"");
    assert!(is_done(&host.apply(&want())));
    assert!(host.has(&format!("{}/usr/sbin/agent", path())));
    assert!(!host.has(&format!("{}/half", path())));
}

#[test]
fn an_unpacking_that_is_killed_at_any_moment_is_finished_by_the_next() {
    for n_calls in 0.. {
        let host = host();
        let before = host.tree();
        let (facts, changes) = host.changes(&want());
        host.mortal(n_calls);
        progress(host.start(&facts, &changes, "test/0/0"));
        let ended = host.immortal();
        let program = format!("{}/usr/sbin/agent", path());
        assert!(!host.has(&path()) || host.has(&program), "{n_calls}: it is not whole");
        let said = host.apply(&want());
        assert!(is_done(&said), "killed after {n_calls} calls, then {said:?}");
        assert!(host.has(&program), "{n_calls}");
        assert!(is_done(&host.retire()), "{n_calls}");
        assert_eq!(host.tree(), before, "{n_calls}");
        if ended {
            assert!(n_calls > 5, "it was never killed");
            return;
        }
    }
}

/// The plan was made before the script of an interrupted run had ended.
#[test]
fn a_tree_that_came_since_the_host_was_asked_is_what_was_wanted() {
    let host = host();
    let (facts, changes) = host.changes(&want());
    assert!(is_done(&host.apply(&want())));
    host.write(
        "/var/lib/platform/generation",
        format!("{}\n", facts.generation).as_bytes(),
    );
    let said = host.make(&facts, &changes);
    assert!(is_done(&said), "{said:?}");
    assert!(is_done(&host.retire()));
    host.write(&path(), b"in the way");
    let said = host.make(&facts, &changes);
    let said = format!("{:?}", said.last());
    assert!(said.contains("is not a directory: move it away first"), "{said}");
    assert!(is_done(&host.retire()));
    assert!(host.has(&path()), "it is somebody else's");
}

#[test]
fn a_tree_stays_while_anything_but_its_own_program_runs_from_it() {
    let host = host();
    assert!(is_done(&host.apply(&want())));
    runs(&host, 7, &path(), "agent");
    runs(&host, 8, "/", "sh");
    let (facts, _) = host.changes(&[]);
    assert_eq!(resource::staying(&[], &facts), []);
    runs(&host, 9, &path(), "a task \"of\" mine");
    let (facts, _) = host.changes(&[]);
    let staying = resource::staying(&[], &facts);
    let [(Owned::Tree { name, .. }, programs)] = &staying[..] else {
        panic!("{staying:?}")
    };
    assert_eq!((name.as_str(), &programs[..]), ("agent 1", &["other"][..]));
    assert_eq!(resource::staying(&want(), &facts), [], "it is wanted");
    let record = host
        .text(RECORD)
        .replace("\"program\":\"agent\"", "\"program\":\"agent\",\"ends_together\":true");
    host.write(RECORD, record.as_bytes());
    let (facts, _) = host.changes(&[]);
    assert_eq!(
        resource::staying(&[], &facts),
        [],
        "what runs from it ends with its program"
    );
}

#[test]
fn a_tree_is_not_taken_from_under_a_process_that_began_since_the_host_was_asked() {
    let host = host();
    assert!(is_done(&host.apply(&want())));
    let (facts, changes) = host.changes(&[]);
    runs(&host, 9, &path(), "task");
    assert!(is_done(&host.make(&facts, &changes)));
    assert!(host.has(&format!("{}/usr/sbin/agent", path())));
    let recorded = host.ask(&[]).manifest.entries().to_vec();
    assert!(recorded.contains(&owned()), "it stays recorded: {recorded:?}");
    ends(&host, 9);
    assert!(is_done(&host.retire()));
    assert!(!host.has("/var/lib/platform/trees"));
}

fn owned() -> Owned {
    let Tree { name, program, ends_together, .. } = tree();
    Owned::Tree { path: tree().path(), name, program, ends_together }
}
