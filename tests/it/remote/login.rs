//! Keys of every type, the SSH agent, and the operator's own configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use platform::event::Event;
use platform::remote::ssh::{Connector, KeyFileError, Ssh, Target};
use platform::remote::{ErrorKind, Remote, RemoteError};
use platform::secret::Secret;

use super::sshd::{
    LONG, Sshd, bare_public, connector, eventually, keygen, run, script, settings, user,
};

pub(super) async fn greets(ssh: &Ssh) {
    let output = ssh.exec(script("echo hello")).await.unwrap();
    assert_eq!((output.status, output.stdout.as_slice()), (0, &b"hello\n"[..]));
}

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let sshd = Sshd::start();
    let (connector, _) = connector(settings(sshd.path()));
    for (name, arguments) in [
        ("ed", &["-t", "ed25519"][..]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("ecdsa256", &["-t", "ecdsa", "-b", "256"]),
        ("ecdsa384", &["-t", "ecdsa", "-b", "384"]),
        ("ecdsa521", &["-t", "ecdsa", "-b", "521"]),
        ("sealed", &["-t", "ed25519", "-N", "open sesame"]),
        ("sealed_rsa", &["-t", "rsa", "-b", "2048", "-N", "open sesame"]),
    ] {
        let key = keygen(sshd.path(), name, arguments);
        sshd.let_in(&key);
        let mut target = sshd.target();
        target.access.key = Some(key);
        target.passphrase = Some(Secret::new("open sesame"));
        let ssh =
            connector.connect(target).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        greets(&ssh).await;
    }
}

#[tokio::test]
async fn a_connection_and_an_exec_are_each_told_once() {
    let sshd = Sshd::start();
    let (connector, seen) = connector(settings(sshd.path()));
    let ssh = connector.connect(sshd.target()).await.unwrap();
    greets(&ssh).await;
    let events = seen.events();
    assert!(
        matches!(&events[..], [Event::Connected { .. }, Event::Executed { purpose, .. }]
            if purpose == "a test"),
        "{events:?}"
    );
    assert_eq!(ssh.user(), user());
}

#[tokio::test]
async fn a_sealed_key_without_its_passphrase_says_what_to_do() {
    let sshd = Sshd::start();
    let (connector, _) = connector(settings(sshd.path()));
    let key = keygen(sshd.path(), "sealed", &["-t", "ed25519", "-N", "open sesame"]);
    let mut target = sshd.target();
    target.access.key = Some(key.clone());
    let error = connector.connect(target.clone()).await.err().unwrap();
    assert!(
        matches!(&error, RemoteError::Key { source: KeyFileError::Encrypted { file }, .. }
            if *file == key),
        "{error:?}"
    );
    target.passphrase = Some(Secret::new("open barley"));
    let error = connector.connect(target).await.err().unwrap();
    assert!(
        matches!(
            error,
            RemoteError::Key { source: KeyFileError::WrongPassphrase { .. }, .. }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_missing_key_and_a_file_that_is_none_are_told_apart() {
    let sshd = Sshd::start();
    let (connector, _) = connector(settings(sshd.path()));
    let mut target = sshd.target();
    target.access.key = Some(sshd.file("nowhere"));
    let error = connector.connect(target.clone()).await.err().unwrap();
    assert!(
        matches!(error, RemoteError::Key { source: KeyFileError::Unreadable { .. }, .. }),
        "{error:?}"
    );
    target.access.key = Some(sshd.file("sshd_config"));
    let error = connector.connect(target).await.err().unwrap();
    assert!(
        matches!(error, RemoteError::Key { source: KeyFileError::NotAKey { .. }, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_key_that_is_not_accepted_is_named() {
    let sshd = Sshd::start();
    let (connector, _) = connector(settings(sshd.path()));
    let mut target = sshd.target();
    target.access.key = Some(keygen(sshd.path(), "stranger", &["-t", "ed25519"]));
    let error = connector.connect(target).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotLetIn);
    let text = error.to_string();
    assert!(text.contains("stranger (refused)") && text.contains(&user()), "{text}");
}

/// A real SSH agent, stopped when dropped.
pub(super) struct RealAgent {
    pub(super) socket: PathBuf,
    child: Child,
}

impl RealAgent {
    pub(super) fn start(dir: &Path) -> Self {
        let socket = dir.join("agent.sock");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the agent listens", || socket.exists());
        Self { socket, child }
    }

    pub(super) fn add(&self, key: &Path) {
        run(Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket));
    }
}

impl Drop for RealAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_agents_keys_log_in_and_identities_only_holds_them_back() {
    let sshd = Sshd::start();
    let agent = RealAgent::start(sshd.path());
    // More keys than the server accepts tries: the one that the configuration names comes first.
    for name in ["a1", "a2", "a3", "a4", "a5", "a6", "a7"] {
        agent.add(&keygen(sshd.path(), name, &["-t", "ed25519"]));
    }
    let rsa = keygen(sshd.path(), "agent_rsa", &["-t", "rsa", "-b", "2048"]);
    agent.add(&rsa);
    sshd.let_in(&rsa);
    fs::remove_file(&rsa).unwrap();
    let mut target = sshd.target();
    target.access.key = None;
    target.operator_config = true;
    let config = sshd.file("config");
    let write = |more: &str| {
        let text = format!(
            "IdentityAgent {}\nUserKnownHostsFile none\nGlobalKnownHostsFile none\n{more}\n",
            agent.socket.display()
        );
        fs::write(&config, text).unwrap();
        let mut settings = settings(sshd.path());
        settings.ssh_config = Some(config.clone());
        connector(settings).0
    };
    let named = write(&format!("IdentityFile {}", rsa.display()));
    greets(&named.connect(target.clone()).await.unwrap()).await;

    let other = sshd.file("a1");
    let only = write(&format!("IdentityFile {}\nIdentitiesOnly yes", other.display()));
    let error = only.connect(target.clone()).await.err().unwrap();
    assert!(error.to_string().contains("the SSH agent's"), "{error}");
    assert!(!error.to_string().contains("then the server closed"), "{error}");

    let all = write("IdentityFile none");
    let error = all.connect(target).await.err().unwrap();
    assert!(error.to_string().contains("the server closed the connection"), "{error}");
}

#[tokio::test]
async fn a_sealed_key_that_the_agent_holds_needs_no_passphrase() {
    let sshd = Sshd::start();
    let agent = RealAgent::start(sshd.path());
    let key = keygen(sshd.path(), "held", &["-t", "ed25519"]);
    agent.add(&key);
    sshd.let_in(&key);
    run(Command::new("ssh-keygen").args(["-q", "-p", "-N", "sesame", "-f"]).arg(&key));
    let mut target = sshd.target();
    target.access.key = Some(key);
    target.operator_config = true;
    let config = sshd.file("config");
    fs::write(&config, format!("IdentityAgent {}\n", agent.socket.display())).unwrap();
    let mut settings = settings(sshd.path());
    settings.ssh_config = Some(config);
    greets(&connector(settings).0.connect(target).await.unwrap()).await;
}

/// An operator with this configuration, which does not use the operator's own files.
pub(super) fn operator(sshd: &Sshd, config: &str) -> (Connector, Target) {
    let file = sshd.file("config");
    // OpenSSH uses the first value of each setting: the test's own.
    let alone = "UserKnownHostsFile none\nGlobalKnownHostsFile none\nIdentityAgent none";
    fs::write(&file, format!("{config}\n{alone}\n")).unwrap();
    let mut settings = settings(sshd.path());
    settings.ssh_config = Some(file);
    let mut target = sshd.target();
    target.access.key = None;
    target.operator_config = true;
    (connector(settings).0, target)
}

/// Password managers and hardware keys keep the private half, and export the public half to name
/// it.
#[tokio::test]
async fn a_public_key_names_the_one_of_the_agents_keys_to_log_in_with() {
    let sshd = Sshd::start_with(&["ed25519"], "MaxAuthTries 2");
    let agent = RealAgent::start(sshd.path());
    for name in ["a1", "a2", "a3", "a4", "a5", "a6", "a7"] {
        agent.add(&keygen(sshd.path(), name, &["-t", "ed25519"]));
    }
    let ours = keygen(sshd.path(), "ours", &["-t", "ed25519"]);
    agent.add(&ours);
    sshd.let_in(&ours);
    fs::remove_file(&ours).unwrap();
    let public = ours.with_extension("pub");
    let socket = agent.socket.display();

    let config = format!("IdentityFile {}\nIdentitiesOnly yes", public.display());
    let named = format!("{config}\nIdentityAgent {socket}");
    let (connector, target) = operator(&sshd, &named);
    greets(&connector.connect(target).await.unwrap()).await;
    let (connector, mut target) = operator(&sshd, &format!("IdentityAgent {socket}"));
    target.access.key = Some(public.clone());
    greets(&connector.connect(target).await.unwrap()).await;
    assert!(!sshd.log().contains("Failed publickey"), "{}", sshd.log());

    let missing = format!("{} is a public key, and the SSH agent", public.display());
    let (connector, mut target) = operator(&sshd, &config);
    let error = connector.connect(target.clone()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotLetIn);
    assert!(error.to_string().contains(&missing), "{error}");
    target.access.key = Some(public);
    let error = connector.connect(target).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotLetIn);
    let RemoteError::Key { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains(&missing), "{source}");
}

#[tokio::test]
async fn a_server_that_wants_a_password_is_told_apart() {
    let passwords = "PubkeyAuthentication no\nPasswordAuthentication yes";
    let sshd = Sshd::start_with(&["ed25519"], passwords);
    let (connector, _) = connector(settings(sshd.path()));
    let error = connector.connect(sshd.target()).await.err().unwrap();
    assert!(error.to_string().contains("accepts only a password"), "{error}");
}

#[tokio::test]
async fn the_operators_own_configuration_finds_host_user_port_and_key() {
    let sshd = Sshd::start();
    let known = sshd.file("known");
    let host_key = bare_public(&sshd.file("host_ed25519"));
    fs::write(&known, format!("the-web {host_key}\n")).unwrap();
    let config = format!(
        "Host web\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  \
         HostKeyAlias the-web\nHost *\n  IdentityAgent none\n  UserKnownHostsFile {}\n  \
         GlobalKnownHostsFile none\n",
        sshd.port,
        user(),
        sshd.file("user_ed25519").display(),
        known.display()
    );
    fs::write(sshd.file("config"), config).unwrap();
    let mut settings = settings(sshd.path());
    settings.ssh_config = Some(sshd.file("config"));
    let new_pins = settings.new_pins.clone();
    let (connector, _) = connector(settings);
    let mut target = sshd.target();
    target.address = "web".to_owned();
    target.operator_config = true;
    target.access = platform::inventory::SshAccess::default();
    greets(&connector.connect(target.clone()).await.unwrap()).await;
    let pins = new_pins.lock().unwrap().clone();
    assert!(pins.is_empty(), "a key that the operator knows is not pinned");

    // The inventory takes precedence.
    target.access.user = Some("nobody-here".to_owned());
    let error = connector.connect(target).await.err().unwrap();
    assert!(error.to_string().contains("nobody-here"), "{error}");
}

#[tokio::test]
async fn a_fault_in_the_operators_configuration_is_told_with_its_line() {
    let sshd = Sshd::start();
    fs::write(sshd.file("config"), "\nFrobnicate yes\n").unwrap();
    let mut settings = settings(sshd.path());
    settings.ssh_config = Some(sshd.file("config"));
    let mut target = sshd.target();
    target.operator_config = true;
    let error = connector(settings).0.connect(target).await.err().unwrap();
    let RemoteError::Config { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("line 2"), "{source}");
}

#[tokio::test]
async fn twenty_logins_at_once_all_succeed() {
    let sshd = Sshd::start();
    let (connector, _) = connector(settings(sshd.path()));
    let all = (0..20).map(|_| connector.connect(sshd.target()));
    for ssh in futures::future::join_all(all).await {
        greets(&ssh.unwrap()).await;
    }
    let accepted = || sshd.log().matches("Accepted publickey").count();
    eventually("sshd has logged all of them", || accepted() == 20);
}

/// As with an sshd that still counts logins that have ended, or logins of other users.
#[tokio::test]
async fn logins_that_the_server_drops_for_their_number_are_tried_again() {
    let sshd = Sshd::start_with(&["ed25519"], "MaxStartups 2:100:2");
    let mut settings = settings(sshd.path());
    settings.timing.hang_ups = LONG;
    let (connector, _) = connector(settings);
    let all = (0..8).map(|_| connector.connect(sshd.target()));
    for ssh in futures::future::join_all(all).await {
        greets(&ssh.unwrap()).await;
    }
    assert!(sshd.log().contains("beginning MaxStartups throttling"), "{}", sshd.log());
}
