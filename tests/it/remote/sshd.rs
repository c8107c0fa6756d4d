//! A real sshd for each test, on a loopback port, in a folder that is removed with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use platform::event::{Event, Events, Sink};
use platform::inventory::{HostKeyPolicy, SshAccess};
use platform::remote::ssh::{
    Connector, FirstContact, Purpose, Settings, Target, Timing, TrustPrompt, system_ssh,
};
use platform::remote::{Argv, As, Exec, Input};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(super) use crate::here::{LONG, eventually, free_port};

/// A running sshd; killed with all of its sessions when dropped.
pub(super) struct Sshd {
    pub(super) dir: TempDir,
    pub(super) port: u16,
    child: Child,
}

impl Sshd {
    /// Starts an sshd with an ed25519 host key, which accepts the key `user_ed25519`.
    pub(super) fn start() -> Self {
        Self::start_with(&["ed25519"], "")
    }

    /// Starts an sshd with host keys of these types and additional lines of configuration.
    pub(super) fn start_with(host_keys: &[&str], config: &str) -> Self {
        let dir = TempDir::new().unwrap();
        // The server reads the authorised keys as the user that logs in.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Debian's server needs it, and its package creates it only at boot.
        let _ = fs::create_dir_all("/run/sshd");
        let mut text = format!(
            // sshd uses the first value of each setting: the test's own.
            "{config}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nLogLevel VERBOSE\n\
             AuthorizedKeysFile {}/authorized_keys\n",
            dir.path().display()
        );
        for kind in host_keys {
            let key = keygen(dir.path(), &format!("host_{kind}"), &["-t", kind]);
            text.push_str(&format!("HostKey {}\n", key.display()));
        }
        fs::write(dir.path().join("authorized_keys"), "").unwrap();
        let (child, port) = spawn(dir.path(), &text);
        let sshd = Self { dir, port, child };
        let key = keygen(sshd.path(), "user_ed25519", &["-t", "ed25519"]);
        sshd.let_in(&key);
        sshd
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Authorises the public half of a key.
    pub(super) fn let_in(&self, key: &Path) {
        let file = self.file("authorized_keys");
        let keys = fs::read_to_string(&file).unwrap() + &public(key);
        fs::write(file, keys).unwrap();
    }

    /// What the server has logged so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap()
    }

    /// The login: the test's own user, the authorised key, new host keys accepted, without the
    /// operator's configuration.
    pub(super) fn target(&self) -> Target {
        Target {
            host: "h1".parse().unwrap(),
            address: "127.0.0.1".to_owned(),
            access: SshAccess {
                user: Some(user()),
                port: Some(self.port),
                key: Some(self.file("user_ed25519")),
                host_keys: HostKeyPolicy::AcceptNew,
                ..SshAccess::default()
            },
            passphrase: None,
            sudo_password: None,
            host_keys: Vec::new(),
            operator_config: false,
        }
    }

    /// The processes of the sessions, without the listener.
    pub(super) fn sessions(&self) -> Vec<Pid> {
        descendants(Pid::from_child(&self.child))
    }

    pub(super) fn signal_sessions(&self, signal: Signal) {
        for pid in self.sessions() {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.signal_sessions(Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path, config: &str) -> (Child, u16) {
    let file = dir.join("sshd_config");
    // Another program may take the port between its choice and its use.
    for _ in 0..5 {
        let port = free_port();
        fs::write(&file, format!("Port {port}\n{config}")).unwrap();
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(&file)
            .stderr(fs::File::create(dir.join("log")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .expect("these tests need the package openssh-server");
        let log = || fs::read_to_string(dir.join("log")).unwrap();
        let settled = || log().contains("Server listening") || log().contains("error:");
        eventually("sshd listens", || settled() || child.try_wait().unwrap().is_some());
        if log().contains("Server listening") {
            return (child, port);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    panic!("sshd does not start: {}", fs::read_to_string(dir.join("log")).unwrap());
}

/// Creates a private key with `ssh-keygen`.
pub(super) fn keygen(dir: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let file = dir.join(name);
    let passphrase: &[&str] = if arguments.contains(&"-N") { &[] } else { &["-N", ""] };
    run(Command::new("ssh-keygen")
        .arg("-q")
        .args(arguments)
        .args(passphrase)
        .arg("-f")
        .arg(&file));
    file
}

/// Runs a program on this computer that must succeed; returns its output.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The public half of a key, as one line.
pub(super) fn public(key: &Path) -> String {
    fs::read_to_string(key.with_extension("pub")).unwrap()
}

/// The type and the key of a public half, without the comment.
pub(super) fn bare_public(key: &Path) -> String {
    public(key).split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// The user that runs the tests.
pub(super) fn user() -> String {
    run(Command::new("id").arg("-un")).trim().to_owned()
}

fn descendants(pid: Pid) -> Vec<Pid> {
    let parent_of = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name before it is in parentheses and may contain anything.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        Some((Pid::from_raw(pid)?, parent.parse::<i32>().ok()?))
    };
    let all: Vec<(Pid, i32)> =
        fs::read_dir("/proc").unwrap().flatten().filter_map(parent_of).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = all.iter().filter(|(_, of)| *of == parent.as_raw_nonzero().get());
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Keeps the events of a connector.
#[derive(Default)]
pub(super) struct Seen(Mutex<Vec<Event>>);

impl Sink for Seen {
    fn take(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Seen {
    pub(super) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

/// Settings with the pins in `dir`, without questions, and without the operator's configuration.
pub(super) fn settings(dir: &Path) -> Settings {
    Settings {
        pins: dir.join("pins"),
        new_pins: Arc::default(),
        ask: None,
        ssh_config: None,
        timing: Timing::default(),
        clock: Arc::new(jiff::Timestamp::now),
    }
}

/// The operator's own `ssh` to a host, as `platform ssh` starts it.
pub(super) fn openssh(
    target: &Target,
    pins: &Path,
    config: Option<&Path>,
    purpose: Purpose,
) -> Command {
    let argv = system_ssh(target, pins, config, purpose);
    let mut ssh = Command::new(&argv.words()[0]);
    ssh.args(&argv.words()[1..]);
    ssh
}

/// A command that `ssh` runs without a terminal.
pub(super) const COMMAND: Purpose = Purpose::Command { on_terminal: false };

/// Writes the pinned keys to their file, as a run does that goes on.
pub(super) fn keep_pins(settings: &Settings) {
    let lines = settings.new_pins.lock().unwrap().concat();
    std::fs::write(&settings.pins, lines).unwrap();
}

pub(super) fn connector(settings: Settings) -> (Connector, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    (Connector::new(settings, Events::to(seen.clone())), seen)
}

/// Gives the same answer to every question, and keeps the questions.
pub(super) fn answer(yes: bool) -> (TrustPrompt, Arc<Mutex<Vec<FirstContact>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    let ask: TrustPrompt = Arc::new(move |contact: &FirstContact| {
        kept.lock().unwrap().push(contact.clone());
        yes
    });
    (ask, asked)
}

/// A shell script as the login user, without input.
pub(super) fn script<'a>(text: &str) -> Exec<'a> {
    Exec {
        purpose: "a test".to_owned(),
        argv: Argv::new(["sh", "-c", text]),
        user: As::Login,
        input: Input::Empty,
        on_line: None,
        deadline: LONG,
    }
}
