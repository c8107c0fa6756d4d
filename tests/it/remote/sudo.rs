//! Root through sudo, with real users and real sudoers. These tests create and remove users, so
//! they run only as root; otherwise they pass without doing anything.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use platform::event::Event;
use platform::remote::ssh::{Ssh, SudoProblem};
use platform::remote::{Argv, As, Exec, Input, Output, Remote, RemoteError};
use platform::secret::Secret;

use super::sshd::{Sshd, connector, run, script, settings, user};

const PASSWORD: &str = "correct horse %p $(battery) 'staple'";

/// A user on this computer with a password; removed when dropped.
struct Account {
    name: String,
    sudoers: PathBuf,
}

impl Account {
    /// Creates a user with these rights in sudoers, such as `NOPASSWD: ALL`.
    fn new(rights: Option<&str>) -> Self {
        static N_MADE: AtomicU32 = AtomicU32::new(0);
        let n = N_MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("platform-it-{}-{n}", std::process::id());
        let sudoers = PathBuf::from("/etc/sudoers.d").join(&name);
        run(Command::new("useradd").args(["-M", "-d", "/", "-s", "/bin/sh", &name]));
        let account = Self { name, sudoers };
        account.set_password();
        if let Some(rights) = rights {
            let text = format!("{} ALL=(ALL:ALL) {rights}\n", account.name);
            fs::write(&account.sudoers, text).unwrap();
        }
        account
    }

    fn set_password(&self) {
        let mut chpasswd =
            Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
        let line = format!("{}:{PASSWORD}\n", self.name);
        chpasswd.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        assert!(chpasswd.wait().unwrap().success());
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.sudoers);
        let _ = Command::new("userdel").arg("-f").arg(&self.name).output();
    }
}

fn not_root() -> bool {
    user() != "root"
}

async fn connect(sshd: &Sshd, account: &Account, password: Option<&str>) -> Ssh {
    let mut target = sshd.target();
    target.access.user = Some(account.name.clone());
    target.sudo_password = password.map(Secret::new);
    connector(settings(sshd.path())).0.connect(target).await.unwrap()
}

async fn as_root(ssh: &Ssh, text: &str, input: &[u8]) -> Result<Output, RemoteError> {
    let input = Input::Bytes(input.to_vec());
    ssh.exec(Exec { user: As::Root, input, ..script(text) }).await
}

fn problem(result: Result<Output, RemoteError>) -> SudoProblem {
    match result {
        Err(RemoteError::Sudo { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

/// Everything that must hold once sudo lets a user through.
async fn works_as_root(ssh: &Ssh) {
    let data: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let output = as_root(ssh, "cat; id -u >&2; exit 5", &data).await.unwrap();
    assert_eq!(output.status, 5);
    assert_eq!(output.stderr, b"0\n", "sudo's own words are not the command's");
    assert!(output.stdout == data, "the command reads its input and nothing else");
    assert_eq!(as_root(ssh, "cat", b"").await.unwrap().stdout, b"");
    assert_eq!(as_root(ssh, "kill -TERM $$", b"").await.unwrap().status, 143);
    assert_eq!(as_root(ssh, "exit 3", &data).await.unwrap().status, 3);
    let argv = Argv::new(["printf", "%s,", "a b", "$HOME", "-n", "'"]);
    let exec = Exec { argv, user: As::Root, ..script("") };
    assert_eq!(ssh.exec(exec).await.unwrap().stdout, b"a b,$HOME,-n,',");
    let login = ssh.exec(script("id -u")).await.unwrap();
    assert_ne!(login.stdout, b"0\n", "only what asks for root becomes root");
}

#[tokio::test]
async fn sudo_without_a_password_runs_as_root() {
    if not_root() {
        return;
    }
    let (sshd, account) = (Sshd::start(), Account::new(Some("NOPASSWD: ALL")));
    works_as_root(&connect(&sshd, &account, None).await).await;
}

#[tokio::test]
async fn a_password_that_sudo_does_not_ask_for_is_never_sent() {
    if not_root() {
        return;
    }
    let (sshd, account) = (Sshd::start(), Account::new(Some("NOPASSWD: ALL")));
    works_as_root(&connect(&sshd, &account, Some(PASSWORD)).await).await;
}

#[tokio::test]
async fn sudo_with_a_password_runs_as_root() {
    if not_root() {
        return;
    }
    let (sshd, account) = (Sshd::start(), Account::new(Some("ALL")));
    works_as_root(&connect(&sshd, &account, Some(PASSWORD)).await).await;
}

#[tokio::test]
async fn becoming_root_takes_one_exec() {
    if not_root() {
        return;
    }
    let (sshd, account) = (Sshd::start(), Account::new(Some("ALL")));
    let mut target = sshd.target();
    target.access.user = Some(account.name.clone());
    target.sudo_password = Some(Secret::new(PASSWORD));
    let (connector, seen) = connector(settings(sshd.path()));
    let ssh = connector.connect(target).await.unwrap();
    as_root(&ssh, "true", b"").await.unwrap();
    let executed =
        seen.events().iter().filter(|e| matches!(e, Event::Executed { .. })).count();
    assert_eq!(executed, 1);
    assert!(!format!("{:?}", seen.events()).contains("horse"));
}

#[tokio::test]
async fn a_wrong_password_is_told_and_tried_once() {
    if not_root() {
        return;
    }
    let account = Account::new(Some("ALL"));
    let rights = fs::read_to_string(&account.sudoers).unwrap();
    let (sshd, name) = (Sshd::start(), &account.name);
    let log = sshd.file("sudo.log");
    fs::write(
        &account.sudoers,
        format!("Defaults:{name} logfile={}\n{rights}", log.display()),
    )
    .unwrap();
    let ssh = connect(&sshd, &account, Some("wrong")).await;
    // Input that looks like more passwords must not cause more attempts.
    let lines = "again\n".repeat(9);
    assert_eq!(
        problem(as_root(&ssh, "cat", lines.as_bytes()).await),
        SudoProblem::WrongPassword
    );
    let told = fs::read_to_string(log).unwrap();
    assert!(told.contains("1 incorrect password attempt"), "{told}");
}

#[tokio::test]
async fn a_password_that_is_needed_and_not_given_is_asked_of_the_inventory() {
    if not_root() {
        return;
    }
    let (sshd, account) = (Sshd::start(), Account::new(Some("ALL")));
    let ssh = connect(&sshd, &account, None).await;
    let found = problem(as_root(&ssh, "cat", b"input").await);
    assert_eq!(found, SudoProblem::PasswordNeeded);
    assert!(found.to_string().contains("sudo_password"), "{found}");
}

#[tokio::test]
async fn a_user_who_may_not_is_told_so() {
    if not_root() {
        return;
    }
    let (sshd, account) = (Sshd::start(), Account::new(None));
    let ssh = connect(&sshd, &account, Some(PASSWORD)).await;
    let found = problem(as_root(&ssh, "true", b"").await);
    assert!(matches!(found, SudoProblem::NotAllowed(_)), "{found:?}");
    let few = Account::new(Some("/bin/true"));
    let ssh = connect(&sshd, &few, Some(PASSWORD)).await;
    let found = problem(as_root(&ssh, "true", b"").await);
    assert!(matches!(found, SudoProblem::NotAllowed(_)), "{found:?}");
}

/// A folder with a program named `sudo` that asks in its own words, as authentication modules do,
/// and everything else that a command needs.
fn other_sudo(text: &str) -> tempfile::TempDir {
    let tools = tempfile::tempdir_in("/tmp").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(tools.path(), open).unwrap();
    let sudo = tools.path().join("sudo");
    fs::write(&sudo, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&sudo, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    tools
}

#[tokio::test]
async fn a_sudo_that_asks_for_something_else_is_not_waited_for() {
    if not_root() {
        return;
    }
    let account = Account::new(None);
    for (asks, password, expected) in [
        (
            "printf 'One-time code for amy: ' >&2; read -r x",
            Some(PASSWORD),
            "One-time code for amy:",
        ),
        ("printf 'Token: ' >&2; read -r x", None, "Token:"),
    ] {
        // Any input counts as an attempt, which may lock the account.
        let given = "[ -z \"$x\" ] || touch \"${0%/*}/given\"";
        let tools = other_sudo(&format!("{asks}; {given}; exit 1"));
        let path = format!("SetEnv PATH={}:/usr/bin:/bin", tools.path().display());
        let sshd = Sshd::start_with(&["ed25519"], &path);
        let mut target = sshd.target();
        target.access.user = Some(account.name.clone());
        target.sudo_password = password.map(Secret::new);
        let mut settings = settings(sshd.path());
        settings.timing.sudo = std::time::Duration::from_millis(700);
        let ssh = connector(settings).0.connect(target).await.unwrap();
        let found = problem(as_root(&ssh, "true", b"").await);
        assert!(!tools.path().join("given").exists());
        match password {
            Some(_) => assert_eq!(found, SudoProblem::Asks(expected.to_owned())),
            // Without a password the input ends, and so does the question.
            None => assert!(matches!(found, SudoProblem::Other(_)), "{found:?}"),
        }
    }
}

#[tokio::test]
async fn a_host_without_sudo_is_told_apart() {
    if not_root() {
        return;
    }
    let account = Account::new(None);
    let tools = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(
        tools.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    for tool in ["env", "sh"] {
        std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), tools.path().join(tool))
            .unwrap();
    }
    let sshd = Sshd::start_with(
        &["ed25519"],
        &format!("SetEnv PATH={}", tools.path().display()),
    );
    let ssh = connect(&sshd, &account, None).await;
    assert_eq!(problem(as_root(&ssh, "true", b"").await), SudoProblem::Missing);
}

#[tokio::test]
async fn texts_in_another_language_change_nothing() {
    if not_root() {
        return;
    }
    let (account, lang) =
        (Account::new(Some("ALL")), "SetEnv LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8");
    let sshd = Sshd::start_with(&["ed25519"], lang);
    let ssh = connect(&sshd, &account, None).await;
    assert_eq!(problem(as_root(&ssh, "true", b"").await), SudoProblem::PasswordNeeded);
}
