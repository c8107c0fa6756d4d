//! What the changes do to a host, and how the host is restored.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use platform::resource::apply::{Job, Progress, receiver};
use platform::resource::{Action, Change, Content, File, Resource, Unit};
use platform::secret::Secret;

use super::host::{Host, is_done, progress, whole};
use super::probe::{at, directory, file, hidden, image, package, sysctl, user};

/// Bytes that are special to a shell, to tar or to JSON, and others.
const HOSTILE: &[u8] =
    b"\0\xff'\"`$(touch /srv/pwned)`;\\n\n EOF\nrun\n\x1b[2J%s%n\r\n\0";

fn open(path: &str, bytes: &[u8]) -> Resource {
    Resource::File(File::public(at(path), Content::from(bytes.to_vec())))
}

fn failure(progress: &[Progress]) -> (usize, &str) {
    match progress.last() {
        Some(Progress::Failed { step, said }) => (*step, said),
        other => panic!("{other:?}"),
    }
}

/// Applies, checks again, removes everything: three things that must always work.
fn check_round_trip(host: &Host, want: &[Resource]) {
    let before = host.tree();
    let said = host.apply(want);
    assert!(is_done(&said), "{said:?}");
    assert_eq!(host.changes(want).1, [], "something differs after all was done");
    let said = host.retire();
    assert!(is_done(&said), "{said:?}");
    let after = host.tree();
    let paths = before.keys().chain(after.keys());
    let other: Vec<_> =
        paths.filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(other.is_empty(), "not as before: {other:?}");
}

#[test]
fn files_come_with_their_parents_and_go_with_them() {
    check_round_trip(
        &Host::new(),
        &[
            file("/etc/app/deep/er/a.conf", "a\n"),
            hidden("/etc/app/b.key", "key"),
            directory("/srv/data", 0o750, true),
            directory("/srv/data/inner", 0o2755, false),
            file("/opt/tool", ""),
        ],
    );
}

#[test]
fn content_arrives_byte_for_byte_and_is_never_run() {
    let host = Host::new();
    let large: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
    let want =
        [open("/srv/hostile", HOSTILE), open("/srv/large", &large), open("/srv/0", b"")];
    assert!(is_done(&host.apply(&want)));
    assert_eq!(host.read("/srv/hostile"), HOSTILE);
    assert!(host.read("/srv/large") == large);
    assert_eq!(host.read("/srv/0"), b"");
    assert!(!host.has("/srv/pwned"));
    assert_eq!(host.changes(&want).1, []);
}

#[test]
fn modes_and_owners_are_set_on_new_files_and_put_right_on_others() {
    use std::os::unix::fs::MetadataExt;
    let host = Host::new();
    host.write("/srv/there", b"x");
    host.chmod("/srv/there", 0o777);
    let with = |path: &str, mode, owner: &str| {
        let file = File { mode, ..File::public(at(path), "x".to_owned()) };
        Resource::File(file.owned_by(owner, owner))
    };
    let mut want = vec![with("/srv/there", 0o600, "root"), with("/srv/set", 0o4755, "0")];
    if rustix::process::geteuid().is_root() {
        want.extend([
            with("/srv/daemon", 0o640, "daemon"),
            with("/srv/5000", 0o440, "5000"),
        ]);
    }
    assert!(is_done(&host.apply(&want)));
    let of = |path: &str| {
        let meta = host.path(path).symlink_metadata().expect("it was made");
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    assert_eq!(of("/srv/there"), (0o600, 0, 0));
    assert_eq!(of("/srv/set"), (0o4755, 0, 0));
    if rustix::process::geteuid().is_root() {
        assert_eq!(of("/srv/daemon"), (0o640, 1, 1));
        assert_eq!(of("/srv/5000"), (0o440, 5000, 5000));
    }
    assert_eq!(host.changes(&want).1, []);
    assert!(is_done(&host.retire()));
    assert_eq!(
        of("/srv/there"),
        (0o777, 0, 0),
        "its mode was another before the first run"
    );
}

#[test]
fn what_was_there_before_the_first_run_comes_back_whatever_happened_since() {
    let host = Host::new();
    host.write("/etc/a", b"the operator's\n");
    host.chmod("/etc/a", 0o604);
    host.link("/etc/b", "a");
    host.write("/etc/same", b"same\n");
    let before = host.tree();
    for text in ["first\n", "second\n"] {
        let want =
            [file("/etc/a", text), file("/etc/b", text), file("/etc/same", "same\n")];
        assert!(is_done(&host.apply(&want)));
        assert_eq!(host.text("/etc/b"), text);
    }
    host.write("/etc/a", b"edited by hand\n");
    assert!(is_done(&host.apply(&[])), "nobody wants them any more");
    assert!(host.tree() == before);
}

#[test]
fn a_stale_copy_of_something_older_never_comes_back() {
    let host = Host::new();
    host.write("/etc/a", b"older\n");
    assert!(is_done(&host.apply(&[file("/etc/a", "x"), file("/etc/b", "x")])));
    assert!(is_done(&host.apply(&[file("/etc/b", "x")])));
    std::fs::remove_file(host.path("/etc/a")).expect("the operator's file is back");
    assert!(is_done(&host.apply(&[file("/etc/a", "x"), file("/etc/b", "x")])));
    assert!(is_done(&host.retire()));
    assert!(!host.has("/etc/a"), "it was gone before the second time");
}

#[test]
fn a_directory_in_the_place_of_a_file_is_left_alone() {
    let host = Host::new();
    host.write("/etc/a/precious", b"x");
    let before = host.tree();
    let said = host.apply(&[file("/etc/a", "x")]);
    assert_eq!(failure(&said), (0, "/etc/a is a directory: move it away first"));
    assert!(is_done(&host.retire()));
    assert!(host.tree() == before);
}

#[test]
fn a_file_in_the_place_of_a_data_directory_survives_even_a_purge() {
    let host = Host::new();
    host.write("/srv/data", b"precious");
    let before = host.tree();
    let said = host.apply(&[directory("/srv/data", 0o755, true)]);
    assert_eq!(failure(&said), (0, "/srv/data is not a directory: move it away first"));
    assert!(is_done(&host.retire()));
    assert!(host.tree() == before);
}

#[test]
fn directories_that_others_use_by_now_stay() {
    let host = Host::new();
    assert!(is_done(&host.apply(&[file("/opt/app/etc/a", "a")])));
    host.write("/opt/app/theirs", b"x");
    assert!(is_done(&host.retire()));
    assert!(host.has("/opt/app/theirs") && !host.has("/opt/app/etc"));
}

#[test]
fn data_stays_until_it_is_purged() {
    let host = Host::new();
    let owned = File { data: true, ..File::public(at("/srv/data/id"), "1".to_owned()) };
    let want =
        [directory("/srv/data", 0o750, true), Resource::File(owned), file("/etc/a", "a")];
    assert!(is_done(&host.apply(&want)));
    host.write("/srv/data/log", b"written by the component");
    let facts = host.ask(&[]);
    let kept = platform::resource::retire(&[], &facts, false);
    assert!(is_done(&host.make(&facts, &kept)));
    assert!(host.has("/srv/data/id") && host.has("/srv/data/log") && !host.has("/etc/a"));
    assert!(is_done(&host.retire()));
    assert!(!host.has("/srv/data") && !host.has("/var/lib/platform"));
}

#[test]
fn users_come_and_go_and_a_shell_is_put_right() {
    let host = Host::new();
    check_round_trip(
        &host,
        &[user("deploy", "/bin/bash"), user("ticker", "/usr/sbin/nologin")],
    );
    assert!(is_done(&host.apply(&[user("deploy", "/bin/bash")])));
    let other = [user("deploy", "/bin/sh")];
    assert!(is_done(&host.apply(&other)));
    assert_eq!(host.changes(&other).1, []);
}

#[test]
fn a_kernel_setting_comes_back_to_the_value_of_before_the_first_run() {
    let host = Host::new();
    check_round_trip(&host, &[sysctl("vm.swappiness", "1")]);
    for value in ["1", "20"] {
        assert!(is_done(&host.apply(&[sysctl("vm.swappiness", value)])));
        assert_eq!(host.text("/proc/sys/vm/swappiness").trim(), value);
    }
    assert!(is_done(&host.retire()));
    assert_eq!(host.text("/proc/sys/vm/swappiness").trim(), "60");
    let ports = sysctl("net.ipv4.ip_local_port_range", "1024 65000");
    check_round_trip(&Host::new(), &[ports]);
}

#[test]
fn a_setting_that_the_kernel_lacks_fails_with_its_own_words() {
    let host = Host::new();
    let said = host.apply(&[sysctl("kernel.not_there", "1")]);
    assert!(
        failure(&said).1.contains("cannot stat /proc/sys/kernel/not_there"),
        "{said:?}"
    );
    let said = host.retire();
    assert!(is_done(&said), "what was never there is restored: {said:?}");
    assert!(!host.has("/var/lib/platform"));
}

#[test]
fn a_setting_that_the_kernel_takes_no_more_back_stays_on_record_and_stops_nothing() {
    let host = Host::new();
    let before = host.tree();
    let once = [sysctl("vm.swappiness", "1"), user("deploy", "/bin/bash")];
    assert!(is_done(&host.apply(&once)));
    host.program(
        "/local/sbin/sysctl",
        "#!/bin/sh\necho 'Invalid argument' >&2\nexit 255\n",
    );
    let said = host.retire();
    assert!(is_done(&said), "{said:?}");
    let left: Vec<String> =
        host.ask(&[]).manifest.entries().iter().map(ToString::to_string).collect();
    assert_eq!(left, ["sysctl vm.swappiness"]);
    // The machine reboots.
    host.immortal();
    host.write("/proc/sys/vm/swappiness", b"60\n");
    assert!(is_done(&host.retire()));
    assert!(host.tree() == before);
}

/// A record of each kind, written before its thing was installed, which never happened.
#[test]
fn what_is_on_record_and_never_came_to_be_is_taken_back() {
    let of = |kind: &str, rest: &str| format!(r#"{{"q":"ours","kind":"{kind}",{rest}}}"#);
    let lines = [
        of("package", r#""manager":"apt","name":"jq","asked":"jq""#),
        of("package", r#""manager":"apt","name":"docker.io","asked":"docker.io""#),
        of("user", r#""name":"nobody-here""#),
        of("sysctl", r#""name":"kernel.not_there","before":"""#),
        of("sysctl", r#""name":"net.bridge.not_there","before":"0""#),
        of("directory", r#""path":"/srv/none","data":false"#),
        of("directory", r#""path":"/srv/none/deep","data":true"#),
        of("file", r#""path":"/srv/none/deep/file""#),
        of("boot", r#""path":"/etc/default/grub.d/99-platform.cfg""#),
        of("image", r#""id":"sha256:aa","name":"an image""#),
        of("tree", r#""path":"/var/lib/platform/trees/x-aa","name":"x","program":"x""#),
        of("unit", r#""name":"none.service""#),
    ];
    let check = |lines: &[String], grub: Option<&str>| {
        let host = Host::new();
        // A GRUB that cannot find its boot device, as in a container.
        host.program(
            "/local/bin/update-grub",
            "#!/bin/sh\necho 'no device' >&2\nexit 1\n",
        );
        if let Some(grub) = grub {
            host.write("/boot/grub/grub.cfg", grub.as_bytes());
        }
        let before = host.tree();
        host.write(
            "/var/lib/platform/manifest",
            format!("{}\n", lines.join("\n")).as_bytes(),
        );
        let n_entries = host.ask(&[]).manifest.entries().len();
        assert_eq!(n_entries, lines.len(), "a line that is no record");
        let said = host.retire();
        assert!(is_done(&said), "{lines:?}: {said:?}");
        assert!(host.tree() == before, "{lines:?}: not as before");
    };
    for line in &lines {
        check(std::slice::from_ref(line), None);
    }
    check(&lines, None);
    check(&lines, Some("linux /vmlinuz quiet\n"));
}

#[test]
fn packages_go_with_what_came_for_their_sake() {
    let host = Host::new();
    host.write("/fake/depends/jq", b"libjq libonig");
    check_round_trip(&host, &[package("jq"), package("curl")]);
    let said = host.apply(&[package("nowhere")]);
    assert_eq!(failure(&said), (0, "E: Unable to locate package nowhere"));
}

#[test]
fn a_package_that_others_need_by_now_stays() {
    let host = Host::new();
    assert!(is_done(&host.apply(&[package("jq")])));
    host.write("/fake/depends/theirs", b"jq");
    host.run(&["apt-get", "install", "theirs"], b"");
    assert!(is_done(&host.retire()));
    assert!(host.has("/fake/packages/jq") && host.has("/fake/packages/theirs"));
}

#[test]
fn an_image_comes_from_the_first_registry_that_has_it() {
    let host = Host::new();
    host.write("/fake/registry/10.0.0.2:5000", b"sha256:aa");
    let want =
        [image("sha256:aa", &["10.0.0.1:5000/x@sha256:bb", "10.0.0.2:5000/x@sha256:bb"])];
    check_round_trip(&host, &want);
    let said = host.apply(&[image("sha256:cc", &["10.0.0.3:5000/x@sha256:dd"])]);
    assert_eq!(failure(&said), (0, "10.0.0.3:5000: connection refused"));
}

/// A unit with its file, an input, and the record of the inputs of its start.
fn service(name: &str, config: &str) -> Vec<Resource> {
    let path = format!("/etc/systemd/system/{name}");
    let own = File::public(at(&path), "[Service]\nExecStart=/bin/x\n".to_owned());
    let input = File::public(at("/etc/app/x.conf"), config.to_owned());
    let unit = Unit::named(name).started_with([&own, &input]);
    let drop_in = unit.drop_in().expect("it has inputs");
    let mut all: Vec<Resource> = [own, input, drop_in].map(Resource::File).into();
    all.push(Resource::Unit(unit));
    all
}

#[test]
fn a_unit_is_started_once_and_again_only_when_its_inputs_change() {
    let host = Host::new();
    let want = service("x.service", "1");
    check_round_trip(&host, &want);
    assert!(is_done(&host.apply(&want)));
    let (facts, changes) = host.changes(&service("x.service", "2"));
    let steps: Vec<String> = changes.iter().map(Change::step).collect();
    assert_eq!(steps, ["write file /etc/app/x.conf", "restart unit x.service"]);
    assert_eq!(changes[1].reason, "was started with a different /etc/app/x.conf");
    assert!(is_done(&host.make(&facts, &changes)));
    assert_eq!(host.changes(&service("x.service", "2")).1, []);
}

#[test]
fn a_unit_that_is_made_to_start_at_boot_makes_systemd_read_nothing_again() {
    let host = Host::new();
    host.write("/etc/systemd/system/theirs.service", b"[Service]\n");
    host.write("/fake/units/theirs.service", b"active disabled\n");
    let mut want = service("x.service", "1");
    want.push(Resource::Unit(Unit::named("theirs.service")));
    assert!(is_done(&host.apply(&want)));
    assert_eq!(host.text("/fake/units/theirs.service"), "active enabled\n");
    assert_eq!(host.changes(&want).1, []);
}

#[test]
fn a_restart_that_is_owed_stays_owed() {
    let host = Host::new();
    assert!(is_done(&host.apply(&service("x.service", "1"))));
    let want = service("x.service", "2");
    let (facts, changes) = host.changes(&want);
    assert!(is_done(&host.make(&facts, &changes[..1])), "the run dies after the file");
    let (_, owed) = host.changes(&want);
    assert_eq!(owed.len(), 1, "{owed:?}");
    assert_eq!(owed[0].step(), "restart unit x.service");
}

#[test]
fn a_service_that_ran_before_the_first_run_still_runs_after_the_last() {
    let host = Host::new();
    host.write("/etc/systemd/system/theirs.service", b"[Service]\n");
    host.write("/fake/units/theirs.service", b"active enabled\n");
    let before = host.tree();
    let input = File::public(at("/etc/theirs.conf"), "x".to_owned());
    let unit = Unit::named("theirs.service").started_with([&input]);
    let drop_in = unit.drop_in().expect("it has inputs");
    let want = [Resource::File(input), Resource::File(drop_in), Resource::Unit(unit)];
    assert!(is_done(&host.apply(&want)));
    assert!(is_done(&host.retire()));
    assert!(host.tree() == before, "{}", host.text("/fake/units/theirs.service"));
}

/// An agent's tasks must outlive it, including those in Docker; but not for ever.
#[test]
fn an_agent_that_goes_for_good_leaves_no_task_and_nothing_in_run() {
    let host = Host::new();
    let unit = "platform-mesos-agent.service";
    assert!(is_done(&host.apply(&service(unit, "1"))));
    host.write("/fake/runtime/platform-mesos-agent.service/containers/1", b"");
    let own = b"/var/lib/platform/mesos-agent/work/slaves/S0,/srv\n";
    host.write("/fake/containers/1f2e", own);
    host.write(
        "/fake/containers/3a4b",
        b"/srv,/var/lib/platform/mesos-agent/work/links/x\n",
    );
    host.write("/fake/containers/5c6d", b"/var/lib/mesos/slaves/S9\n");
    assert!(is_done(&host.retire()));
    let is_there = |path: &str| host.path(path).exists();
    assert!(!is_there("/fake/containers/1f2e") && !is_there("/fake/containers/3a4b"));
    assert!(is_there("/fake/containers/5c6d"), "another agent's");
    assert!(!is_there("/fake/runtime/platform-mesos-agent.service"));
}

#[test]
fn the_first_step_that_fails_is_the_last_and_brings_the_unit_s_own_words() {
    let host = Host::new();
    host.write("/fake/fails/x.service", b"");
    let mut want = service("x.service", "1");
    want.push(Resource::Unit(Unit::named("y.service")));
    let (facts, changes) = host.changes(&want);
    let said = host.make(&facts, &changes);
    let (step, words) = failure(&said);
    assert_eq!(changes[step].step(), "start unit x.service");
    assert_eq!(words, "Job for x.service failed.\nthe last words of the unit");
    assert_eq!(step, changes.len() - 2, "the last step was not tried");
}

#[test]
fn the_end_of_what_a_step_says_is_told_in_whole_lines_the_decisive_one_first() {
    let host = Host::new();
    let talk = "#!/bin/sh\nseq 1 100000\necho the end >&2\nexit 3\n";
    host.program("/local/sbin/systemctl", talk);
    let change = Change {
        key: platform::resource::Key::Systemd,
        verb: "reload",
        reason: String::new(),
        diff: None,
        action: Action::ReloadSystemd,
    };
    let said = host.make(&host.ask(&[]), &[change]);
    let (_, words) = failure(&said);
    let lines: Vec<&str> = words.lines().collect();
    assert_eq!(lines[0], "the end");
    let numbers: Vec<u32> = lines[1..].iter().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "{words}");
    assert_eq!(numbers.last(), Some(&100_000));
    assert!((10_000..=16_384).contains(&words.len()), "{}", words.len());
}

#[test]
fn a_plan_for_another_state_of_the_host_is_refused_before_anything_is_touched() {
    let host = Host::new();
    let (facts, changes) = host.changes(&[file("/etc/a", "a")]);
    assert!(is_done(&host.apply(&[file("/etc/b", "b")])));
    let before = host.tree();
    let said = host.make(&facts, &changes);
    assert!(matches!(&said[..], [Progress::Refused(why)] if why.contains("another run")));
    assert!(host.tree() == before);
}

/// Records whether another run would find the host locked.
const IS_LOCKED: &str = "#!/bin/sh\nflock -n -E 99 /run/platform/lock true\n\
                         [ $? != 99 ] || touch /fake/locked\n";

/// An earlier run that is still working on a host: it holds the lock until it is released.
struct AtWork(std::process::Child);

impl AtWork {
    fn on(host: &Host) -> Self {
        host.dir("/run/platform");
        let mut other = Command::new("flock")
            .arg(host.path("/run/platform/lock"))
            .args(["sh", "-c", "echo at work >>\"$0\"; echo held; cat"])
            .arg(host.path("/run/platform/lock"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("util-linux is installed");
        let mut first = [0];
        use std::io::Read;
        other.stdout.as_mut().expect("piped").read_exact(&mut first).expect("it is held");
        Self(other)
    }

    fn ends(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("it ends with its input");
    }
}

#[test]
fn a_run_waits_for_the_one_that_changes_the_host() {
    let host = Host::new();
    let other = AtWork::on(&host);
    let (facts, changes) = host.changes(&[file("/etc/a", "a")]);
    let mut run = host.start(&facts, &changes, "test/0/0");
    std::thread::yield_now();
    assert!(run.try_wait().expect("it was started").is_none(), "it did not wait");
    assert!(!host.has("/etc/a"));
    other.ends();
    assert!(is_done(&progress(run)));
    assert!(host.has("/etc/a"));
}

/// Waiting for a lock whose file was removed is useless: the next run locks a new file.
#[test]
fn a_run_that_waited_for_a_tear_down_holds_the_lock_that_others_see() {
    let host = Host::new();
    let other = AtWork::on(&host);
    let (facts, changes) = host.changes(&[file("/etc/a", "a")]);
    // It reports when it waits, and keeps its input until the test checks.
    host.program(
        "/local/sbin/flock",
        "#!/bin/sh\n[ -e /fake/waits ] || touch /fake/waits\nexec /usr/bin/flock \"$@\"\n",
    );
    host.program(
        "/local/sbin/install",
        &format!("{IS_LOCKED}exec /usr/bin/install \"$@\"\n"),
    );
    let run = host.start(&facts, &changes, "test/0/0");
    let begun = Instant::now();
    while !host.has("/fake/waits") {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it does not ask for the lock"
        );
        std::thread::yield_now();
    }
    std::fs::remove_dir_all(host.path("/run/platform")).expect("it is there");
    other.ends();
    assert!(is_done(&progress(run)));
    assert!(host.has("/fake/locked"), "another run could have begun meanwhile");
}

#[test]
fn a_host_answers_only_when_no_earlier_run_s_script_changes_it_any_more() {
    let host = Host::new();
    let wanted = [file("/etc/a", "a")];
    let questions = platform::resource::probe::Questions::about(&wanted);
    let ask = |seconds| {
        let script = questions.script_when_free(seconds);
        let output = host.run(&["sh", "-c", r#"eval "$(cat)""#], script.as_bytes());
        assert!(output.status.success(), "{output:?}");
        platform::resource::probe::parse(&String::from_utf8_lossy(&output.stdout), 0.0)
    };
    assert!(ask(0).is_ok(), "nobody was ever here");
    assert!(!host.has("/run/platform"), "a look leaves nothing");
    let other = AtWork::on(&host);
    assert_eq!(ask(0), Err(platform::resource::probe::BadAnswer::Busy));
    other.ends();
    assert!(ask(0).is_ok());
    assert!(is_done(&host.apply(&wanted)));
    assert!(ask(0).is_ok(), "its own lock is let go");
}

#[test]
fn a_tear_down_holds_its_lock_until_its_end() {
    let host = Host::new();
    assert!(is_done(&host.apply(&[file("/etc/a", "a")])));
    let facts = host.ask(&[]);
    let mut changes = platform::resource::retire(&[], &facts, true);
    let reload = Change {
        key: platform::resource::Key::Systemd,
        verb: "reload",
        reason: String::new(),
        diff: None,
        action: Action::ReloadSystemd,
    };
    changes.push(reload);
    host.program("/local/sbin/systemctl", IS_LOCKED);
    assert!(is_done(&host.make(&facts, &changes)));
    assert!(host.has("/fake/locked"), "it let go before its last step");
    assert!(!host.has("/run/platform") && !host.has("/var/lib/platform"));
}

#[test]
fn a_run_that_waits_too_long_for_another_is_refused() {
    let host = Host::new();
    host.program("/local/sbin/flock", "#!/bin/sh\n[ \"$*\" = '-w 120 9' ] && exit 1\n");
    let said = host.apply(&[file("/etc/a", "a")]);
    assert!(matches!(&said[..], [Progress::Refused(why)] if why.contains("two minutes")));
    assert!(!host.has("/etc/a"));
}

#[test]
fn a_run_that_is_killed_in_mid_write_leaves_the_old_file_or_the_new_one() {
    let host = Host::new();
    let [old, new] = [b'o', b'n'].map(|byte| vec![byte; 16 << 20]);
    assert!(is_done(&host.apply(&[open("/srv/large", &old)])));
    for part in 0..6 {
        let (facts, changes) = host.changes(&[open("/srv/large", &new)]);
        if changes.is_empty() {
            break;
        }
        let begun = Instant::now();
        let mut run = host.start(&facts, &changes, "test/1/0");
        while begun.elapsed() < Duration::from_millis(10 * part) {
            std::thread::yield_now();
        }
        let group = rustix::process::Pid::from_child(&run);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let status = run.wait().expect("it was started");
        let now = host.read("/srv/large");
        assert!(
            now == old || now == new,
            "{part}: {:?}, {} bytes",
            status.signal(),
            now.len()
        );
    }
    assert!(is_done(&host.apply(&[open("/srv/large", &new)])));
    assert!(host.read("/srv/large") == new && !host.has("/srv/large.platform-new"));
}

#[test]
fn a_full_disk_leaves_the_old_file_and_a_record_that_can_be_read() {
    let host = Host::new();
    assert!(is_done(&host.apply(&[open("/srv/a", b"old")])));
    let full = "#!/bin/sh\nshift 8\nhead -c 100 \"$1\" >\"$2\"\necho 'No space left on device'\nexit 1\n";
    host.program("/local/sbin/install", full);
    let said = host.apply(&[open("/srv/a", &[b'n'; 1000])]);
    assert_eq!(failure(&said), (0, "No space left on device"));
    assert_eq!(host.read("/srv/a"), b"old");
    host.immortal();
    assert!(is_done(&host.apply(&[open("/srv/a", b"new")])));
    assert!(is_done(&host.retire()));
    assert!(!host.has("/srv/a") && !host.has("/srv/a.platform-new"));
}

/// A file cannot exceed some size on the host: a longer write is cut short, as on a full disk.
#[test]
fn a_record_that_the_disk_has_no_room_for_can_still_be_read() {
    let host = Host::new();
    let line =
        |n: usize| format!("{{\"q\":\"ours\",\"kind\":\"user\",\"name\":\"u{n:04}\"}}\n");
    let blocks = 48;
    let lines: String = (0..).map(line).take(blocks * 512 / line(0).len()).collect();
    host.write("/var/lib/platform/manifest", lines.as_bytes());
    let (facts, changes) = (host.ask(&[]), host.changes(&[file("/etc/a", "a")]).1);
    let job =
        Job { changes: &changes[..1], expected: &facts.generation, next: "test/0/0" };
    let small = format!("trap '' XFSZ\nulimit -f {blocks}\n{}", receiver());
    let stream = whole(&job);
    let said = progress(host.spawn(&["sh", "-c", &small], &stream));
    assert_eq!(failure(&said).0, 0);
    assert!(host.text("/var/lib/platform/manifest") == lines, "a torn record");
    assert!(is_done(&host.make(&host.ask(&[]), &changes[..1])));
    assert!(host.has("/etc/a"));
}

#[test]
fn a_secret_is_in_the_stream_only_as_the_content_of_its_file() {
    let change = Change {
        key: platform::resource::Key::File(at("/etc/key")),
        verb: "write",
        reason: "is missing".to_owned(),
        diff: None,
        action: Action::WriteFile(File::private(at("/etc/key"), Secret::new("hunter2"))),
    };
    let job = Job { changes: std::slice::from_ref(&change), expected: "", next: "r/0/0" };
    let stream = whole(&job);
    let mut with_it = Vec::new();
    for entry in tar::Archive::new(stream.as_slice()).entries().expect("a tar") {
        let mut entry = entry.expect("a whole entry");
        let name = entry.path().expect("a name").to_string_lossy().into_owned();
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).expect("text");
        assert_eq!(entry.header().mode().expect("a mode"), 0o600);
        if content.contains("hunter2") {
            with_it.push((name, content));
        }
    }
    assert_eq!(with_it, [("0".to_owned(), "hunter2".to_owned())]);
    let debug = format!("{job:?}");
    assert!(!debug.contains("hunter2") && debug.contains("[redacted]"));
}
