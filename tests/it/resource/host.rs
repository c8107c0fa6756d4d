//! A host that is a folder: the scripts really run in it, and cannot reach anything else.
//!
//! The folder becomes the root of a mount namespace with this computer's programs in it. Small
//! scripts replace everything that would change a kernel or a network (`played`): systemd,
//! Docker, apt and sysctl.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use platform::resource::apply::{self, Job, Progress};
use platform::resource::probe::{self, Questions};
use platform::resource::{self, Change, Facts, Resource};
use tempfile::TempDir;

use super::played;

/// Makes the first folder the root, and runs the other words in it.
const ENTER: &str = r#"set -e
root=$1
shift
mount --rbind /usr "$root/usr"
mount --bind "$root/local" "$root/usr/local"
mount --bind /dev/null "$root/dev/null"
exec chroot "$root" /usr/bin/env -i LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin "$@""#;

/// A host.
pub(super) struct Host {
    root: TempDir,
}

/// What is at a path: kind and mode, owner and group, content or target.
pub(super) type Tree = BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)>;

impl Host {
    /// A host after its installation.
    pub(super) fn new() -> Self {
        // In memory if possible: the scripts sync each file.
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        let host = Self { root: root.expect("a folder for the host") };
        fs::set_permissions(host.root.path(), fs::Permissions::from_mode(0o755))
            .expect("the folder is ours");
        for dir in ["usr", "dev", "local/bin", "local/sbin", "tmp", "run", "opt", "srv"] {
            host.dir(dir);
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), host.path(name)).expect("the folder is ours");
        }
        host.write("/dev/null", b"");
        host.write("/proc/sys/kernel/osrelease", b"6.1.0-18\n");
        host.write("/proc/sys/kernel/arch", b"x86_64\n");
        host.write("/proc/self/status", b"Name:\tsh\nCpus_allowed_list:\t0-1,4,6-7\n");
        host.write("/proc/self/ns/net", b"");
        played::install(&host);
        host
    }

    /// The place of a host's path on this computer.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub(super) fn dir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).expect("the folder is ours");
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("ours");
        fs::write(path, bytes).expect("the folder is ours");
    }

    pub(super) fn program(&self, path: &str, text: &str) {
        self.write(path, text.as_bytes());
        self.chmod(path, 0o755);
    }

    pub(super) fn chmod(&self, path: &str, mode: u32) {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.path(path), mode).expect("the folder is ours");
    }

    pub(super) fn link(&self, path: &str, target: &str) {
        self.dir(path.rsplit_once('/').expect("an absolute path").0);
        symlink(target, self.path(path)).expect("the folder is ours");
    }

    pub(super) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(super) fn text(&self, path: &str) -> String {
        String::from_utf8(self.read(path)).expect("text")
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Everything that a run could leave behind.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        for top in [
            "etc",
            "opt",
            "proc",
            "run",
            "srv",
            "tmp",
            "var",
            "fake/units",
            "fake/packages",
        ] {
            collect(self.root.path(), &self.path(top), &mut tree);
        }
        // Files that useradd, userdel and dpkg keep for themselves.
        let kept = |path: &Path| {
            let name = path.to_string_lossy();
            let of_users = name.ends_with('-') || name.ends_with(".lock");
            name.starts_with("etc") && of_users || name.starts_with("var/lib/dpkg")
        };
        tree.retain(|path, _| !kept(path));
        tree
    }

    /// Runs a command on the host, in its own process group.
    pub(super) fn spawn(&self, words: &[&str], input: &[u8]) -> Child {
        let stdin = self.root.path().join("input");
        fs::write(&stdin, input).expect("the folder is ours");
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            unshare.arg("--map-root-user");
        }
        unshare
            .args(["sh", "-c", ENTER, "enter"])
            .arg(self.root.path())
            .args(words)
            .process_group(0)
            .stdin(fs::File::open(stdin).expect("it was just written"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("util-linux is installed")
    }

    pub(super) fn run(&self, words: &[&str], input: &[u8]) -> Output {
        self.spawn(words, input).wait_with_output().expect("it was started")
    }

    /// Asks the host with the given shell.
    pub(super) fn ask_with(&self, shell: &[&str], questions: &Questions) -> Facts {
        let receiver = [shell, &["-c", r#"script=$(cat) && eval "$script""#]].concat();
        let output = self.run(&receiver, questions.script().as_bytes());
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        probe::parse(&answer, 0.0).unwrap_or_else(|bad| panic!("{bad}\n{answer}"))
    }

    /// Asks the host about these resources.
    pub(super) fn ask(&self, want: &[Resource]) -> Facts {
        self.ask_with(&["sh"], &Questions::about(want))
    }

    /// The needed changes; things that are no longer wanted come last.
    pub(super) fn changes(&self, want: &[Resource]) -> (Facts, Vec<Change>) {
        let facts = self.ask(want);
        let mut changes = resource::diff(want, &facts).expect("all was answered");
        changes.extend(resource::retire(want, &facts, false));
        (facts, changes)
    }

    /// Sends changes to the host.
    pub(super) fn start(&self, facts: &Facts, changes: &[Change], next: &str) -> Child {
        let job = Job { changes, expected: &facts.generation, next };
        let stream = whole(&job);
        self.spawn(&["sh", "-c", &apply::receiver()], &stream)
    }

    /// Applies the wanted state; returns the host's own report.
    pub(super) fn apply(&self, want: &[Resource]) -> Vec<Progress> {
        let (facts, changes) = self.changes(want);
        self.make(&facts, &changes)
    }

    /// Removes what earlier runs installed, including the data.
    pub(super) fn retire(&self) -> Vec<Progress> {
        let facts = self.ask(&[]);
        self.make(&facts, &resource::retire(&[], &facts, true))
    }

    /// Makes the changes; if there are none, a run does not use the host.
    pub(super) fn make(&self, facts: &Facts, changes: &[Change]) -> Vec<Progress> {
        if changes.is_empty() {
            return Vec::new();
        }
        progress(self.start(facts, changes, "test/0/0"))
    }

    /// After the given number of calls, the programs of the host stop it for good.
    pub(super) fn mortal(&self, n_calls: u32) {
        played::mortal(self);
        self.write("/fake/lives", n_calls.to_string().as_bytes());
    }

    /// Ends the stops; returns whether the host had not been stopped yet.
    pub(super) fn immortal(&self) -> bool {
        fs::remove_dir_all(self.path("local/sbin")).expect("the folder is ours");
        self.dir("local/sbin");
        self.has("/fake/lives") && self.text("/fake/lives").trim() != "-1"
    }
}

/// The output of a host during its work.
pub(super) fn progress(child: Child) -> Vec<Progress> {
    let output = child.wait_with_output().expect("it was started");
    let text = String::from_utf8_lossy(&output.stdout);
    let read = |line| apply::progress(line).unwrap_or_else(|| panic!("{line}"));
    text.lines().map(read).collect()
}

/// Whether every step was done, and none was refused.
pub(super) fn is_done(progress: &[Progress]) -> bool {
    progress.iter().all(|step| matches!(step, Progress::Started(_) | Progress::Done(_)))
}

fn collect(root: &Path, path: &Path, tree: &mut Tree) {
    let meta =
        path.symlink_metadata().unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let content = if meta.is_file() {
        fs::read(path).expect("the folder is ours")
    } else if meta.is_symlink() {
        fs::read_link(path).expect("it is a link").into_os_string().into_encoded_bytes()
    } else {
        Vec::new()
    };
    let name = path.strip_prefix(root).expect("below the root").to_owned();
    tree.insert(name, (meta.mode(), meta.uid(), meta.gid(), content));
    if meta.is_dir() {
        for entry in fs::read_dir(path).expect("the folder is ours") {
            collect(root, &entry.expect("the folder is ours").path(), tree);
        }
    }
}

/// All that is sent to a host.
pub(super) fn whole(job: &Job<'_>) -> Vec<u8> {
    job.stream().iter().flat_map(|piece| piece.bytes().to_vec()).collect()
}
