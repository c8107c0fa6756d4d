//! No wrong key is accepted, and the operator is asked when needed.

use std::fs;
use std::process::Command;

use platform::inventory::HostKeyPolicy;
use platform::remote::ssh::Target;
use platform::remote::{ErrorKind, Remote, RemoteError};

use super::sshd::{
    COMMAND, Sshd, answer, bare_public, connector, keep_pins, keygen, openssh, run,
    script, settings,
};

fn asking(sshd: &Sshd) -> Target {
    let mut target = sshd.target();
    target.access.host_keys = HostKeyPolicy::Ask;
    target
}

#[tokio::test]
async fn accept_new_pins_the_key_as_openssh_can_use_it() {
    let sshd = Sshd::start();
    let settings = settings(sshd.path());
    let (first, _) = connector(settings.clone());
    first.connect(sshd.target()).await.unwrap();
    let key = bare_public(&sshd.file("host_ed25519"));
    let line = format!("[127.0.0.1]:{} {key}\n", sshd.port);
    assert_eq!(settings.new_pins.lock().unwrap().concat(), line);

    keep_pins(&settings);
    let mut ssh = openssh(&sshd.target(), &sshd.file("pins"), None, COMMAND);
    assert_eq!(run(ssh.arg("echo hello")), "hello\n");
}

#[tokio::test]
async fn a_pinned_key_is_known_to_all_connectors_of_a_run_and_written_by_none() {
    let sshd = Sshd::start();
    let (ask, asked) = answer(true);
    let mut settings = settings(sshd.path());
    settings.ask = Some(ask);
    for _ in 0..2 {
        connector(settings.clone()).0.connect(asking(&sshd)).await.unwrap();
    }
    assert_eq!(asked.lock().unwrap().len(), 1, "the second connection knows the key");
    assert_eq!(settings.new_pins.lock().unwrap().len(), 1);
    assert!(!sshd.file("pins").exists());
}

#[tokio::test]
async fn a_changed_key_stops_and_names_file_and_line() {
    let sshd = Sshd::start();
    let other = keygen(sshd.path(), "other", &["-t", "ed25519"]);
    let text = format!("# old\n\n[127.0.0.1]:{} {}\n", sshd.port, bare_public(&other));
    fs::write(sshd.file("pins"), &text).unwrap();
    let (ask, asked) = answer(true);
    let mut settings = settings(sshd.path());
    settings.ask = Some(ask);
    let new_pins = settings.new_pins.clone();
    let (connector, seen) = connector(settings);
    for target in [sshd.target(), asking(&sshd)] {
        let error = connector.connect(target).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsafe);
        let RemoteError::HostKeyChanged { place, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((&place.file, place.line), (&sshd.file("pins"), 3));
        let named = format!("{}:3", sshd.file("pins").display());
        assert!(error.to_string().contains(&named), "{error}");
    }
    assert!(new_pins.lock().unwrap().is_empty());
    assert!(asked.lock().unwrap().is_empty() && seen.events().is_empty());
    assert!(!sshd.log().contains("Accepted"), "nobody may log in to an impostor");
}

#[tokio::test]
async fn a_revoked_key_never_passes() {
    let sshd = Sshd::start();
    let key = bare_public(&sshd.file("host_ed25519"));
    let known = sshd.file("known");
    fs::write(&known, format!("* {key}\n@revoked * {key}\n")).unwrap();
    let config =
        format!("UserKnownHostsFile {}\nGlobalKnownHostsFile none\n", known.display());
    fs::write(sshd.file("config"), config).unwrap();
    let mut settings = settings(sshd.path());
    settings.ssh_config = Some(sshd.file("config"));
    settings.ask = Some(answer(true).0);
    let new_pins = settings.new_pins.clone();
    let (connector, _) = connector(settings);
    for vouched in [Vec::new(), vec![key]] {
        for mut target in [sshd.target(), asking(&sshd)] {
            target.operator_config = true;
            target.host_keys = vouched.clone();
            let error = connector.connect(target).await.err().unwrap();
            let RemoteError::HostKeyRevoked { place, .. } = &error else {
                panic!("{error:?}")
            };
            assert_eq!((&place.file, place.line), (&known, 2));
        }
    }
    assert!(new_pins.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_key_on_the_operators_list_of_revoked_keys_never_passes() {
    let sshd = Sshd::start();
    let (host_key, list) = (sshd.file("host_ed25519.pub"), sshd.file("revoked"));
    let config = format!(
        "RevokedHostKeys {}\nUserKnownHostsFile none\nGlobalKnownHostsFile none\n",
        list.display()
    );
    fs::write(sshd.file("config"), config).unwrap();
    let mut target = sshd.target();
    target.operator_config = true;
    let mut settings = settings(sshd.path());
    settings.ssh_config = Some(sshd.file("config"));
    let (connector, _) = connector(settings);
    let missing = connector.connect(target.clone()).await.err().unwrap();
    assert!(matches!(missing, RemoteError::RevokedKeys { .. }), "{missing:?}");

    let other = keygen(sshd.path(), "other", &["-t", "ed25519"]);
    run(Command::new("ssh-keygen")
        .args(["-q", "-k", "-f"])
        .arg(&list)
        .arg(other.with_extension("pub")));
    connector.connect(target.clone()).await.unwrap();
    run(Command::new("ssh-keygen")
        .args(["-q", "-k", "-u", "-f"])
        .arg(&list)
        .arg(&host_key));
    let error = connector.connect(target).await.err().unwrap();
    let RemoteError::HostKeyRevoked { place, .. } = &error else { panic!("{error:?}") };
    assert_eq!(place.to_string(), list.display().to_string());
}

#[tokio::test]
async fn a_no_is_remembered_and_nothing_is_pinned() {
    let sshd = Sshd::start();
    let (ask, asked) = answer(false);
    let mut settings = settings(sshd.path());
    settings.ask = Some(ask);
    let new_pins = settings.new_pins.clone();
    let (connector, _) = connector(settings);
    let all = (0..3).map(|_| connector.connect(asking(&sshd)));
    for result in futures::future::join_all(all).await {
        let error = result.err().unwrap();
        assert!(matches!(error, RemoteError::HostKeyRefused { .. }), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Unsafe);
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert!(new_pins.lock().unwrap().is_empty());
}

#[tokio::test]
async fn with_nobody_to_ask_an_unknown_key_is_refused() {
    let sshd = Sshd::start();
    let error =
        connector(settings(sshd.path())).0.connect(asking(&sshd)).await.err().unwrap();
    assert!(error.to_string().contains("accept-new"), "{error}");
}

#[tokio::test]
async fn a_yes_is_asked_for_once_with_the_fingerprint_and_pinned() {
    let sshd = Sshd::start();
    let (ask, asked) = answer(true);
    let mut settings = settings(sshd.path());
    settings.ask = Some(ask);
    let new_pins = settings.new_pins.clone();
    let (connector, _) = connector(settings);
    let all = (0..5).map(|_| connector.connect(asking(&sshd)));
    for ssh in futures::future::join_all(all).await {
        ssh.unwrap();
    }
    let asked = asked.lock().unwrap().clone();
    let [contact] = &asked[..] else { panic!("{asked:?}") };
    let listed =
        run(Command::new("ssh-keygen").arg("-lf").arg(sshd.file("host_ed25519.pub")));
    assert!(listed.contains(&contact.fingerprint), "{listed} {contact:?}");
    assert_eq!(contact.address, format!("[127.0.0.1]:{}", sshd.port));
    assert_eq!(contact.key_type, "ssh-ed25519");
    assert_eq!(new_pins.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_host_with_several_keys_shows_the_one_that_is_known() {
    let sshd = Sshd::start_with(&["ed25519", "ecdsa", "rsa"], "");
    for kind in ["rsa", "ecdsa"] {
        let key = bare_public(&sshd.file(&format!("host_{kind}")));
        let line = format!("[127.0.0.1]:{} {key}\n", sshd.port);
        fs::write(sshd.file("pins"), line).unwrap();
        let (connector, _) = connector(settings(sshd.path()));
        let ssh = connector.connect(asking(&sshd)).await.unwrap();
        assert_eq!(ssh.exec(script("true")).await.unwrap().status, 0);
    }
}

#[tokio::test]
async fn a_known_host_with_a_key_of_another_type_is_not_new() {
    let sshd = Sshd::start();
    let rsa = keygen(sshd.path(), "rsa", &["-t", "rsa", "-b", "2048"]);
    let line = format!("[127.0.0.1]:{} {}\n", sshd.port, bare_public(&rsa));
    fs::write(sshd.file("pins"), &line).unwrap();
    let (ask, asked) = answer(false);
    let mut settings = settings(sshd.path());
    settings.ask = Some(ask);
    let new_pins = settings.new_pins.clone();
    let (connector, _) = connector(settings);
    let error = connector.connect(sshd.target()).await.err().unwrap();
    let RemoteError::HostKeyOtherType { place, .. } = &error else { panic!("{error:?}") };
    assert_eq!((&place.file, place.line), (&sshd.file("pins"), 1));
    connector.connect(asking(&sshd)).await.err().unwrap();
    assert_eq!(asked.lock().unwrap()[0].known_types, ["ssh-rsa"]);
    assert!(new_pins.lock().unwrap().is_empty());
}

#[tokio::test]
async fn of_a_machine_that_its_provider_vouches_for_only_that_key_passes() {
    let sshd = Sshd::start();
    let mut target = sshd.target();
    target.host_keys = vec![bare_public(&sshd.file("host_ed25519"))];
    let settings = settings(sshd.path());
    let (connector, _) = connector(settings.clone());
    connector.connect(target.clone()).await.unwrap();
    let new_pins = settings.new_pins.lock().unwrap().clone();
    assert!(new_pins.is_empty(), "the provider's word needs no pin");
    let mut ssh = openssh(&target, &sshd.file("pins"), None, COMMAND);
    assert_eq!(run(ssh.arg("echo hello")), "hello\n");

    let other = keygen(sshd.path(), "other", &["-t", "ed25519"]);
    target.host_keys = vec![bare_public(&other)];
    let error = connector.connect(target.clone()).await.err().unwrap();
    assert!(matches!(error, RemoteError::HostKeyNotVouched { .. }), "{error:?}");
    let mut ssh = openssh(&target, &sshd.file("pins"), None, COMMAND);
    let refused = ssh.arg("true").output().unwrap();
    assert_eq!(refused.status.code(), Some(255), "{refused:?}");
}

#[tokio::test]
async fn a_file_of_known_hosts_that_cannot_be_read_lets_nobody_in() {
    let sshd = Sshd::start();
    // A folder cannot be read as a file, even by root.
    fs::create_dir(sshd.file("pins")).unwrap();
    let error =
        connector(settings(sshd.path())).0.connect(sshd.target()).await.err().unwrap();
    assert!(matches!(error, RemoteError::KnownHosts { .. }), "{error:?}");
}
