//! The answers of a host, in every shell that it may have.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use platform::resource::probe::Questions;
use platform::resource::{
    Cgroups, Content, Directory, File, FileKind, FileState, HostPath, Image, ImageOrigin,
    Manager, Owned, Package, PackageState, Resource, Sysctl, Unit, User, UserState,
};
use platform::secret::Secret;
use platform::unit::Size;

use super::host::Host;

const SHELLS: [&[&str]; 2] = [&["dash"], &["bash", "--posix"]];

pub(super) fn at(path: &str) -> HostPath {
    path.parse().expect("a path")
}

pub(super) fn file(path: &str, text: &str) -> Resource {
    Resource::File(File::public(at(path), text.to_owned()))
}

pub(super) fn hidden(path: &str, text: &str) -> Resource {
    Resource::File(File::private(at(path), Secret::new(text)))
}

pub(super) fn directory(path: &str, mode: u32, data: bool) -> Resource {
    let (owner, group) = ("root".to_owned(), "root".to_owned());
    Resource::Directory(Directory { path: at(path), mode, owner, group, data })
}

pub(super) fn package(name: &str) -> Resource {
    Resource::Package(Package::named(name))
}

pub(super) fn user(name: &str, shell: &str) -> Resource {
    Resource::User(User { name: name.to_owned(), shell: shell.to_owned() })
}

pub(super) fn sysctl(name: &str, value: &str) -> Resource {
    Resource::Sysctl(Sysctl { name: name.to_owned(), value: value.to_owned() })
}

pub(super) fn image(id: &str, references: &[&str]) -> Resource {
    let origin =
        ImageOrigin::Registries(references.iter().copied().map(str::to_owned).collect());
    Resource::Image(Image { name: format!("image {id}"), id: id.to_owned(), origin })
}

/// Something of every kind.
fn everything() -> Vec<Resource> {
    vec![
        package("here"),
        package("nowhere"),
        user("daemon", "/usr/sbin/nologin"),
        user("nobody-here", "/bin/sh"),
        sysctl("vm.swappiness", "1"),
        sysctl("net.ipv4.ip_local_port_range", "1024 65000"),
        sysctl("kernel.not_there", "1"),
        directory("/srv/folder", 0o755, false),
        file("/srv/text", "new\n"),
        file("/srv/same", "same\n"),
        hidden("/srv/hidden", "the new secret"),
        file("/srv/link", "x"),
        file("/srv/dangling", "x"),
        file("/srv/missing", "x"),
        file("/srv/empty", "x"),
        image("sha256:here", &[]),
        image("sha256:gone", &[]),
        Resource::Unit(Unit::named("old.service")),
        Resource::Unit(Unit::named("none.service")),
    ]
}

/// A host with some of it.
fn populated() -> Host {
    let host = Host::new();
    host.write("/fake/updated", b"");
    host.run(&["apt-get", "install", "--", "here"], b"");
    for (path, text) in [
        ("/srv/text", "old\n"),
        ("/srv/same", "same\n"),
        ("/srv/hidden", "the old secret"),
    ] {
        host.write(path, text.as_bytes());
        host.chmod(path, 0o640);
    }
    host.write("/srv/empty", b"");
    host.link("/srv/link", "text");
    host.link("/srv/dangling", "nothing");
    host.dir("/srv/folder");
    host.chmod("/srv/folder", 0o2775);
    host.write("/fake/images/sha256:here", b"");
    host.write("/etc/systemd/system/old.service", b"[Service]\n");
    host.write("/fake/units/old.service", b"active enabled\n");
    host.write(
        "/run/platform/old.service",
        format!("{}  /srv/text\n", "a".repeat(64)).as_bytes(),
    );
    host
}

#[test]
fn the_script_is_posix() {
    for shell in SHELLS {
        let mut check = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-n"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dash and bash are installed");
        let questions = Questions::about(&everything()).with_ports().with_docker();
        let mut stdin = check.stdin.take().expect("it is piped");
        stdin.write_all(questions.script().as_bytes()).expect("the shell reads it");
        drop(stdin);
        let output = check.wait_with_output().expect("it was started");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn every_shell_finds_the_same_facts_and_changes_nothing() {
    let host = populated();
    let before = host.tree();
    let questions = Questions::about(&everything()).with_docker();
    let mut answers =
        SHELLS.map(|shell| host.ask_with(shell, &questions)).map(|mut facts| {
            facts.system.clock_skew = 0.0;
            facts.system.free_disk = Size::bytes(0);
            facts
        });
    assert_eq!(answers[0], answers[1]);
    assert!(host.tree() == before, "a probe wrote something");
    let facts = std::mem::take(&mut answers[0]);
    assert_eq!(facts.system.os, "A test host");
    assert_eq!(facts.system.memory, Size::bytes(2_048_000 << 10));
    assert_eq!(facts.system.cgroups, Cgroups::V1);
    assert_eq!(facts.system.engine.version.as_deref(), Some("20.10.24"));
    assert_eq!(facts.system.manager(), Ok(Manager::Apt));
    assert!(facts.system.systemd && !facts.system.apparmor);
    assert_eq!(facts.system.cpus, 5, "0-1,4,6-7");
}

#[test]
fn files_are_told_apart_from_links_directories_and_nothing() {
    let host = populated();
    let facts = host.ask(&everything());
    let of = |path: &str| facts.file(&at(path)).expect("it was asked").clone();
    let kind = |path: &str| match of(path) {
        FileState::Missing => None,
        FileState::Present { kind, .. } => Some(kind),
    };
    let link = || Some(FileKind::Other("symbolic link".to_owned()));
    assert_eq!(kind("/srv/missing"), None);
    assert_eq!(kind("/srv/link"), link());
    assert_eq!(kind("/srv/dangling"), link());
    assert_eq!(kind("/srv/empty"), Some(FileKind::File));
    assert_eq!(kind("/srv/folder"), Some(FileKind::Directory));
    let FileState::Present { mode, owner, group, sha256, text, .. } = of("/srv/text")
    else {
        panic!("it is there")
    };
    assert_eq!((mode, owner[0].as_str(), group[1].as_str()), (0o640, "root", "0"));
    assert_eq!(sha256, Some(Content::from("old\n".to_owned()).sha256()));
    assert_eq!(text.as_deref(), Some("old\n"));
    for (path, why) in [
        ("/srv/same", "a text that is right need not be fetched"),
        ("/srv/hidden", "a secret must not be fetched"),
    ] {
        assert!(matches!(of(path), FileState::Present { text: None, .. }), "{why}");
    }
    assert!(matches!(of("/srv/folder"), FileState::Present { mode: 0o2775, .. }));
}

#[test]
fn packages_users_settings_images_and_units_are_found_or_said_to_be_missing() {
    let facts = populated().ask(&everything());
    let installed = PackageState::Installed("1.0".to_owned());
    assert_eq!(facts.package("here"), Ok(&installed));
    assert_eq!(facts.package("nowhere"), Ok(&PackageState::Missing));
    let shell = "/usr/sbin/nologin".to_owned();
    assert_eq!(facts.user("daemon"), Ok(&UserState::Present { shell }));
    assert_eq!(facts.user("nobody-here"), Ok(&UserState::Missing));
    assert_eq!(facts.sysctl("vm.swappiness"), Ok(Some("60")));
    assert_eq!(facts.sysctl("net.ipv4.ip_local_port_range"), Ok(Some("32768 60999")));
    assert_eq!(facts.sysctl("kernel.not_there"), Ok(None));
    assert_eq!(facts.has_image("sha256:here"), Ok(true));
    assert_eq!(facts.has_image("sha256:gone"), Ok(false));
    let old = facts.unit("old.service").expect("it was asked");
    assert_eq!((old.active.as_str(), old.enabled.as_str()), ("active", "enabled"));
    assert_eq!(old.started_with[&at("/srv/text")], "a".repeat(64));
    let none = facts.unit("none.service").expect("it was asked");
    assert_eq!((none.load.as_str(), none.active.as_str()), ("not-found", "inactive"));
}

#[test]
fn what_a_host_without_systemd_docker_or_dpkg_lacks_is_unknown_or_absent() {
    let host = populated();
    std::fs::remove_dir_all(host.path("/run/systemd")).expect("the folder is ours");
    let without = "command() { return 1; }\nsystemctl() { return 127; }\n";
    let script = Questions::about(&everything()).with_docker().script();
    let output = host.run(&["sh"], format!("{without}{script}").as_bytes());
    let answer = String::from_utf8_lossy(&output.stdout);
    let facts = platform::resource::probe::parse(&answer, 0.0).expect("a whole answer");
    assert!(!facts.system.systemd);
    assert!(facts.system.manager().is_err());
    assert_eq!(facts.system.engine.command, None);
    assert!(facts.package("here").is_err(), "nobody could say that it is missing");
    assert!(facts.unit("old.service").is_err());
    assert_eq!(facts.has_image("sha256:here"), Ok(false));
}

#[test]
fn the_record_and_the_generation_of_a_host_are_read() {
    let host = Host::new();
    let owned = Owned::File { path: at("/etc/x") };
    let mut line = serde_json::to_value(&owned).expect("plain data");
    line["q"] = "ours".into();
    host.write("/var/lib/platform/manifest", format!("{line}\n").as_bytes());
    host.write("/var/lib/platform/generation", b"run-7/2/0\n");
    let facts = host.ask(&[]);
    assert_eq!(facts.manifest.entries(), [owned]);
    assert_eq!(facts.generation, "run-7/2/0");
}

#[test]
fn ports_on_which_something_listens_are_read_from_the_kernel_s_table() {
    let host = Host::new();
    host.write(
        "/proc/net/tcp",
        b"  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A 1\n   \
          1: 0100007F:1388 0100007F:9C40 01 1\n",
    );
    host.write("/proc/net/tcp6", b"  sl\n   0: 0000:0885 0000:0000 0A 1\n");
    let facts = host.ask_with(&["sh"], &Questions::default().with_ports());
    assert_eq!(Vec::from_iter(facts.system.listening), [22, 2181]);
}

#[test]
fn a_host_tells_whether_something_answers_at_an_address() {
    let at = |address: [u8; 4]| {
        let questions = Questions::default().with_answering(address.into());
        Host::new().ask_with(&["sh"], &questions).system.answering
    };
    assert_eq!(at([127, 0, 0, 1]), Some([127, 0, 0, 1].into()));
    assert_eq!(at([255, 255, 255, 255]), None, "no machine has it");
}

#[test]
fn a_host_tells_its_addresses_and_what_no_other_machine_has() {
    let host = Host::new();
    assert_eq!(host.ask(&[]).system.identity, "", "it cannot tell");
    host.write("/proc/sys/kernel/random/boot_id", b"b-1\n");
    host.write(
        "/proc/net/fib_trie",
        b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
          \x20    +-- 10.79.0.0/24 2 0 2\n        |-- 10.79.0.0\n           /24 link UNICAST\n\
          \x20       |-- 10.79.0.11\n           /32 host LOCAL\n        |-- 10.79.0.255\n\
          \x20          /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n",
    );
    host.write(
        "/proc/net/if_inet6",
        b"fd000079000000000000000000000011 02 40 00 80     eth0\n\
          00000000000000000000000000000001 01 80 10 80       lo\n",
    );
    let system = host.ask(&[]).system;
    let addresses: Vec<String> =
        system.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.79.0.11", "fd00:79::11"]);
    let network = host.path("/proc/self/ns/net").metadata().expect("it is there").ino();
    assert_eq!(system.identity, format!("b-1 {network}"));
}

#[test]
fn a_secret_is_neither_in_the_questions_nor_in_what_is_shown_of_a_change() {
    let host = populated();
    let want = everything();
    let questions = Questions::about(&want);
    let (facts, changes) = host.changes(&want);
    let shown =
        format!("{want:?} {questions:?} {} {changes:?} {facts:?}", questions.script());
    assert!(changes.iter().any(|change| change.step() == "write file /srv/hidden"));
    for secret in ["the new secret", "the old secret"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
