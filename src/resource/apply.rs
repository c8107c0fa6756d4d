//! The script that makes the changes of a stage on a host, and the reading of its progress.
//!
//! The script is sent to the host as a tar stream: the script first, then the contents of files.
//! It runs the steps in order, reports when each begins and ends, and stops at the first failure.
//! If it is cut off at any point, each file is either the old one or the new one, and the record
//! lists everything that this program has installed.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::{
    Action, Change, Content, Directory, Enabling, File, Firewall, Image, Manager, Owned,
    ProvidedCommand, User, sysctl,
};
use crate::reason;

const FUNCTIONS: &str = include_str!("apply.sh");

/// Where the stream is unpacked. It is emptied first, to remove what a killed run left there.
const STAGED: &str = "/var/lib/platform/staged";

/// The size of a tar's blocks in bytes.
const BLOCK: usize = 512;

/// The lock file. A command that changes a host holds a lock on it. While no command runs, the file
/// is empty, unless one was killed. So a probe can read the file first: to ask for the lock, it
/// would have to start another program.
pub(super) const LOCK: &str = "/run/platform/lock";

/// The beginning of each command that changes a host. Only one run changes a host at a time; it
/// waits for a script that a killed run left running. A command that removes the last thing of this
/// program also removes the lock file, so one that waited for the lock has to lock the new file. A
/// record line that was cut off by a full disk or a crash is ignored: what it would have named was
/// not made.
const BEGIN: &str = r#"umask 077
home=/var/lib/platform
manifest=$home/manifest
while :; do
  [ -d /run/platform ] || mkdir -p -m 755 /run/platform
  exec 9>>/run/platform/lock
  flock -w 120 9 || {
    printf '{"refused":"another run of platform has been changing this host for two minutes"}\n'
    exit 1
  }
  [ "$(stat -c %d:%i - <&9)" != "$(stat -c %d:%i /run/platform/lock 2>/dev/null)" ] || break
done
echo 'at work' >&9 || exit 1
if [ -s $manifest ] && [ -n "$(tail -c 1 $manifest)" ]; then
  sed '$d' $manifest >$manifest.new && mv -f $manifest.new $manifest || exit 1
fi"#;

/// The shell command that receives the stream. If the unpacking fails, such as on a full disk, it
/// reports that. The lock is released last, and its file is removed if nothing of this program is
/// left.
pub fn receiver() -> String {
    format!(
        r#"{BEGIN}
if said=$({{ {{ [ ! -e {STAGED} ] || rm -rf {STAGED}; }} && mkdir -p {STAGED} && cd {STAGED} && tar -xf -; }} 2>&1); then
  (cd {STAGED} && . ./run)
else
  printf 'cannot unpack in {STAGED}: %s\n' "$said" >&2
  false
fi
status=$?
cd / && rm -rf {STAGED}
: >{LOCK}
[ -e $manifest ] || rmdir --ignore-fail-on-non-empty $home 2>/dev/null
[ -e $home ] || rm -rf /run/platform
exit $status"#
    )
}

/// The words of a command that loads an image from its input. As with everything that is installed
/// on a host, its record is written first.
pub fn loader(Image { name, id, .. }: &Image) -> [String; 5] {
    let owned = Owned::Image { id: id.clone(), name: name.clone() };
    let script = format!(
        r#"{BEGIN}
mkdir -p $home
grep -Fxq -- "$1" $manifest 2>/dev/null ||
  printf '%s\n' "$1" | dd of=$manifest oflag=append conv=notrunc,fsync status=none || exit 1
export DOCKER_HOST=unix:///var/run/docker.sock
: >{LOCK}
exec docker load --quiet 9>&-"#
    );
    ["sh".to_owned(), "-c".to_owned(), script, "load".to_owned(), owned.line()]
}

/// What one host has to do in one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Job<'a> {
    /// The changes, in order. None of them loads an image: that is a separate command.
    pub changes: &'a [Change],
    /// The generation for which the plan was made; the host refuses the job at any other.
    pub expected: &'a str,
    /// The host's generation after this job.
    pub next: &'a str,
}

/// What a host reports while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The step of this number, counted from 0, began.
    Started(usize),
    /// It is done.
    Done(usize),
    /// It failed, and the host stopped there.
    Failed {
        /// The step's number.
        step: usize,
        /// The last lines that its commands printed, the decisive one first.
        said: String,
    },
    /// The host did nothing at all.
    Refused(String),
}

impl Job<'_> {
    /// The stream for the host, in pieces. The contents of files are shared with the plan, so that
    /// a large file for many hosts is in memory once.
    pub fn stream(&self) -> Vec<Content> {
        let mut pieces = entry("run", self.script().into());
        for (n, change) in self.changes.iter().enumerate() {
            match &change.action {
                Action::WriteFile(file) | Action::WriteBoot(file) => {
                    pieces.extend(entry(&n.to_string(), file.content.clone()));
                }
                Action::SetSysctl { sysctl, .. } => {
                    pieces.extend(entry(&n.to_string(), sysctl.line().into()));
                }
                _ => {}
            }
        }
        pieces.push(vec![0; 2 * BLOCK].into());
        pieces
    }

    fn script(&self) -> String {
        let mut script = format!(
            "expected={}\nnext={}\ngoing={}\n",
            quote(self.expected),
            quote(self.next),
            quote(&self.packages_that_go().join(" ")),
        );
        script.push_str(FUNCTIONS);
        let (claiming, syncing) = (self.claiming(), self.last_file());
        for (n, change) in self.changes.iter().enumerate() {
            let mut body = call(n, &change.action);
            if claiming == Some(n) {
                body = format!("{}{body}", self.claims());
            }
            if syncing == Some(n) {
                body = format!("{body} {}", words(&self.directories()));
            }
            let _ = writeln!(script, "step_{n}() {{\n{body}\n}}");
        }
        for n in 0..self.changes.len() {
            let _ = writeln!(script, "step {n}");
            if claiming == Some(n) {
                let _ = writeln!(script, "reread");
            }
        }
        script
    }

    /// The step that records what it and all later steps will make. It is the first step after the
    /// packages: what a package installs must not be recorded as made by a later step.
    fn claiming(&self) -> Option<usize> {
        let first = self
            .changes
            .iter()
            .rposition(|change| matches!(change.action, Action::InstallPackage { .. }));
        let first = first.map_or(0, |last_package| last_package + 1);
        let claims = |change: &Change| claim(&change.action).is_some();
        self.changes.get(first..)?.iter().any(claims).then_some(first)
    }

    /// The commands that record it.
    fn claims(&self) -> String {
        let from = self.claiming().unwrap_or_default();
        let claims =
            self.changes[from..].iter().filter_map(|change| claim(&change.action));
        let lines = claims.map(|claim| format!("{claim}\n"));
        format!("reread\n{}note_claims\n", lines.collect::<String>())
    }

    fn last_file(&self) -> Option<usize> {
        self.changes
            .iter()
            .rposition(|change| matches!(change.action, Action::WriteFile(_)))
    }

    /// The directories of all files that are written, each once.
    fn directories(&self) -> Vec<&str> {
        let files = self.changes.iter().filter_map(|change| match &change.action {
            Action::WriteFile(file) => Some(file.path.parent()),
            _ => None,
        });
        files.collect::<BTreeSet<&str>>().into_iter().collect()
    }

    fn packages_that_go(&self) -> Vec<&str> {
        let packages = self.changes.iter().filter_map(|change| match &change.action {
            Action::Retire(Owned::Package { name, .. }) => Some(name.as_str()),
            _ => None,
        });
        packages.collect()
    }
}

/// A file in the stream: its header, its content, and the padding of the last block.
fn entry(name: &str, content: Content) -> Vec<Content> {
    let n_bytes = content.bytes().len();
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("a short name fits into the header");
    header.set_size(n_bytes as u64);
    header.set_mode(0o600);
    header.set_cksum();
    let rest = vec![0; n_bytes.next_multiple_of(BLOCK) - n_bytes];
    vec![header.as_bytes().to_vec().into(), content, rest.into()]
}

/// A step's call of a function of `apply.sh`. `n` is also the name of the file with its content.
fn call(n: usize, action: &Action) -> String {
    let n = n.to_string();
    match action {
        Action::InstallPackage { manager, name, brings } => {
            install(*manager, name, brings.as_ref())
        }
        Action::AddUser(user) => {
            words(&["add_user", &user.name, &user.shell, &user_record(user)])
        }
        Action::SetSysctl { sysctl, before } => {
            let owned =
                Owned::Sysctl { name: sysctl.name.clone(), before: before.clone() };
            let path = sysctl.file();
            let (name, value) = (&sysctl.name, &sysctl.value);
            words(&["set_sysctl", &n, path.as_str(), name, value, &owned.line()])
        }
        Action::MakeDirectory(directory) => {
            let Directory { path, mode, owner, group, .. } = directory;
            let (mode, access) = (format!("{mode:o}"), format!("{owner}:{group}"));
            let line = directory_record(directory);
            words(&["make_directory", path.as_str(), &mode, &access, &line])
        }
        Action::WriteFile(file) => {
            let (mode, access) = access(file);
            words(&["write_file", &n, file.path.as_str(), &mode, &access, &record(file)])
        }
        Action::SetFileMode(file) => {
            let (mode, access) = access(file);
            words(&["set_access", file.path.as_str(), &mode, &access, &record(file)])
        }
        Action::Remove(path) => words(&["remove_path", path.as_str()]),
        Action::WriteBoot(file) => {
            let owned = Owned::Boot { path: file.path.clone() };
            let path = file.path.as_str();
            words(&["write_boot", &n, path, &owned.line(), file.path.parent()])
        }
        Action::Reboot { boot } => words(&["reboot_machine", boot]),
        Action::PullImage(Image { name, id, origin }) => {
            let owned = Owned::Image { id: id.clone(), name: name.clone() };
            let line = owned.line();
            let mut call = vec!["pull_image", line.as_str()];
            call.extend(origin.references().iter().map(String::as_str));
            words(&call)
        }
        Action::UnpackTree(tree) => {
            let line = tree.owned().line();
            words(&["unpack_tree", tree.path().as_str(), &tree.image, &line])
        }
        Action::LoadImage(Image { name, id, .. }) => words(&[
            "record",
            &Owned::Image { id: id.clone(), name: name.clone() }.line(),
        ]),
        Action::ReloadSystemd => words(&["systemctl", "daemon-reload"]),
        Action::LoadFirewall(_) => load_firewall(),
        Action::StartUnit { name, restart, enable, failed, ours } => {
            let line = if *ours { unit_record(name) } else { String::new() };
            start(name, *restart, *enable, [if *failed { "failed" } else { "" }, &line])
        }
        Action::ReloadUnit { name } => words(&["reload_unit", name]),
        Action::Retire(owned) => retire(owned),
    }
}

fn install(manager: Manager, name: &str, brings: Option<&ProvidedCommand>) -> String {
    let brings = brings.into_iter().flat_map(|it| [it.command, it.package]);
    let call = [manager.install(), name].into_iter().chain(brings);
    words(&call.collect::<Vec<&str>>())
}

fn load_firewall() -> String {
    let trial = Firewall::TRIAL.as_secs().to_string();
    words(&["load_firewall", &trial, &Owned::Firewall.line()])
}

fn start(name: &str, restart: bool, enable: Enabling, rest: [&str; 2]) -> String {
    let verb = if restart { "restart" } else { "start" };
    let enable = match enable {
        Enabling::New => "new",
        Enabling::Known => "known",
        Enabling::Not => "",
    };
    let [failed, line] = rest;
    words(&["start_unit", name, verb, enable, failed, line])
}

/// The call that records beforehand what a step will make; `None` if that is not known yet.
fn claim(action: &Action) -> Option<String> {
    Some(match action {
        Action::AddUser(user) => words(&["claim_user", &user.name, &user_record(user)]),
        Action::MakeDirectory(directory) => {
            let line = directory_record(directory);
            words(&["claim_directory", directory.path.as_str(), &line])
        }
        Action::WriteFile(file) if !file.data => {
            words(&["claim_file", file.path.as_str(), &record(file)])
        }
        Action::LoadFirewall(_) => words(&["claim", &Owned::Firewall.line()]),
        Action::StartUnit { name, ours: true, .. } => {
            words(&["claim", &unit_record(name)])
        }
        _ => return None,
    })
}

fn access(file: &File) -> (String, String) {
    (format!("{:o}", file.mode), format!("{}:{}", file.owner, file.group))
}

fn user_record(user: &User) -> String {
    Owned::User { name: user.name.clone() }.line()
}

fn directory_record(Directory { path, data, .. }: &Directory) -> String {
    Owned::Directory { path: path.clone(), data: *data }.line()
}

fn unit_record(name: &str) -> String {
    Owned::Unit { name: name.to_owned() }.line()
}

/// The line for the record; empty for a component's data.
fn record(file: &File) -> String {
    let owned = Owned::File { path: file.path.clone() };
    if file.data { String::new() } else { owned.line() }
}

fn retire(owned: &Owned) -> String {
    let line = owned.line();
    match owned {
        Owned::Package { manager, name, .. } => words(&[manager.remove(), name, &line]),
        Owned::User { name } => words(&["remove_user", name, &line]),
        Owned::Sysctl { name, before } => {
            let (path, kernel) = (sysctl::path_for(name), sysctl::in_proc(name));
            words(&["restore_sysctl", path.as_str(), &kernel, name, before, &line])
        }
        Owned::Directory { path, data } => {
            let how = if *data { "contents" } else { "empty" };
            words(&["remove_directory", path.as_str(), how, &line])
        }
        Owned::File { path } => words(&["restore_file", path.as_str(), &line]),
        Owned::Boot { path } => words(&["restore_boot", path.as_str(), &line]),
        Owned::Image { id, .. } => words(&["remove_image", id, &line]),
        Owned::Tree { path, .. } => words(&["remove_tree", path.as_str(), &line]),
        Owned::Firewall => words(&["remove_firewall", Firewall::UNIT, &line]),
        Owned::Unit { name } => words(&["stop_unit", name, &line]),
    }
}

fn words(words: &[&str]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<String>>().join(" ")
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Refused { refused: String },
    Step(StepLine),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum StepLine {
    Started { step: usize },
    Done { step: usize },
    Failed { step: usize, status: u32, said: String },
}

/// Reads a line of progress from the host; `None` if it is not such a line.
pub fn progress(line: &str) -> Option<Progress> {
    Some(match serde_json::from_str(line).ok()? {
        Line::Refused { refused } => Progress::Refused(refused),
        Line::Step(StepLine::Started { step }) => Progress::Started(step),
        Line::Step(StepLine::Done { step }) => Progress::Done(step),
        Line::Step(StepLine::Failed { step, status, said }) => {
            let said = BASE64_STANDARD.decode(said).ok()?;
            let is_cut = said.len() > reason::KEPT;
            let said = String::from_utf8_lossy(&said);
            let said = reason::decisive_first(reason::whole_lines(&said, is_cut));
            let said = match said.is_empty() {
                true => format!("ended with status {status}"),
                false => said,
            };
            Progress::Failed { step, said }
        }
    })
}
