//! Certificates of users and of hosts, created and checked by OpenSSH's own programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use platform::event::Event;
use platform::inventory::HostKeyPolicy;
use platform::remote::{ErrorKind, RemoteError};
use tempfile::TempDir;

use super::login::{RealAgent, greets, operator};
use super::sshd::{
    Seen, Sshd, answer, bare_public, connector, keygen, run, settings, user,
};

/// An authority, and an sshd that uses it.
struct Company {
    folder: TempDir,
    ca: PathBuf,
    sshd: Sshd,
}

impl Company {
    /// One whose servers only accept the authority's certificates.
    fn of_users() -> Self {
        let folder = TempDir::new().unwrap();
        let ca = keygen(folder.path(), "ca", &["-t", "ed25519"]);
        let public = ca.with_extension("pub");
        let config =
            format!("TrustedUserCAKeys {}\nAuthorizedKeysFile none", public.display());
        Self { folder, ca, sshd: Sshd::start_with(&["ed25519"], &config) }
    }

    /// One whose server shows a certificate, created with these arguments for `ssh-keygen`.
    fn of_hosts(words: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let ca = keygen(folder.path(), "ca", &["-t", "ed25519"]);
        let key = keygen(folder.path(), "host", &["-t", "ecdsa"]);
        let certificate = sign(&ca, &key, &[&["-h"], words].concat());
        let config = format!(
            "HostKey {}\nHostCertificate {}",
            key.display(),
            certificate.display()
        );
        Self { folder, ca, sshd: Sshd::start_with(&["ed25519"], &config) }
    }

    fn key(&self, name: &str, kind: &str) -> PathBuf {
        keygen(self.folder.path(), name, &["-t", kind])
    }
}

/// Signs a key; returns the certificate, which then lies next to it.
fn sign(ca: &Path, key: &Path, words: &[&str]) -> PathBuf {
    run(Command::new("ssh-keygen")
        .args(["-q", "-I", "test", "-s"])
        .arg(ca)
        .args(words)
        .arg(key.with_extension("pub")));
    PathBuf::from(format!("{}-cert.pub", key.display()))
}

#[tokio::test]
async fn a_certificate_beside_its_key_logs_in_whatever_the_kind() {
    let company = Company::of_users();
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let key = company.key(&format!("ops_{kind}"), kind);
        sign(&company.ca, &key, &["-n", &user()]);
        let config = format!("IdentityFile {}", key.display());
        let (connector, mut target) = operator(&company.sshd, &config);
        let by_config = connector.connect(target.clone()).await;
        greets(&by_config.unwrap_or_else(|error| panic!("{kind}: {error}"))).await;
        target.access.key = Some(key);
        target.operator_config = false;
        greets(&connector.connect(target).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_certificate_file_of_the_configuration_logs_in() {
    let company = Company::of_users();
    let key = company.key("ops", "rsa");
    let elsewhere = company.folder.path().join("today");
    fs::rename(sign(&company.ca, &key, &["-n", &user()]), &elsewhere).unwrap();
    let named = format!("CertificateFile {}", elsewhere.display());
    let config = format!("IdentityFile {}\n{named}", key.display());
    let (connector, target) = operator(&company.sshd, &config);
    greets(&connector.connect(target).await.unwrap()).await;

    // The SSH agent may have only the key, without the certificate.
    let agent = RealAgent::start(company.folder.path());
    agent.add(&key);
    fs::remove_file(&key).unwrap();
    let config = format!("IdentityAgent {}\n{named}", agent.socket.display());
    let (connector, target) = operator(&company.sshd, &config);
    greets(&connector.connect(target).await.unwrap()).await;
}

#[tokio::test]
async fn a_certificate_in_the_agent_logs_in_before_other_keys() {
    let company = Company::of_users();
    let agent = RealAgent::start(company.folder.path());
    for name in ["a1", "a2", "a3", "a4", "a5", "a6", "a7"] {
        agent.add(&company.key(name, "ed25519"));
    }
    for kind in ["ed25519", "rsa"] {
        let key = company.key(&format!("ops_{kind}"), kind);
        sign(&company.ca, &key, &["-n", &user()]);
        // It also uses the certificate next to the key.
        agent.add(&key);
        let config = format!("IdentityAgent {}", agent.socket.display());
        let (connector, target) = operator(&company.sshd, &config);
        greets(&connector.connect(target).await.unwrap()).await;
        run(Command::new("ssh-add")
            .args(["-q", "-d"])
            .arg(&key)
            .env("SSH_AUTH_SOCK", &agent.socket));
    }
    assert!(!company.sshd.log().contains("Failed publickey"), "{}", company.sshd.log());
}

#[tokio::test]
async fn a_certificate_that_opens_nothing_is_named_with_its_end_or_its_users() {
    let company = Company::of_users();
    for (name, words, told) in [
        (
            "old",
            ["-n", &user(), "-V", "20200101:20200102"],
            "it was valid until 2020-01-",
        ),
        ("other", ["-n", "amy", "-V", "20200101:20990101"], "it is for amy, not for "),
    ] {
        let key = company.key(name, "ed25519");
        let certificate = sign(&company.ca, &key, &words);
        let (connector, mut target) = operator(&company.sshd, "");
        target.access.key = Some(key);
        let error = connector.connect(target).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotLetIn);
        let text = error.to_string();
        assert!(text.contains(&certificate.display().to_string()), "{text}");
        assert!(text.contains(told), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_given_as_the_key_is_told_apart() {
    let company = Company::of_users();
    let key = company.key("ops", "ed25519");
    let (connector, mut target) = operator(&company.sshd, "");
    target.access.key = Some(sign(&company.ca, &key, &["-n", &user()]));
    let RemoteError::Key { source, .. } = connector.connect(target).await.err().unwrap()
    else {
        panic!("a certificate is no key")
    };
    assert!(source.to_string().contains("is a certificate: name the private key"));
}

/// The result of connecting to such a host with these lines of known hosts, where `<CA>` is the
/// authority's key, and with a list of revoked keys if there is one.
struct Outcome {
    error: Option<RemoteError>,
    asked: Vec<Option<String>>,
    pins: Vec<String>,
    warned: Vec<String>,
}

async fn meet(
    company: &Company,
    policy: HostKeyPolicy,
    lines: &str,
    revoked: Option<&str>,
) -> Outcome {
    let sshd = &company.sshd;
    let ca = bare_public(&company.ca);
    let (known, list) = (sshd.file("known"), sshd.file("revoked"));
    fs::write(&known, lines.replace("<CA>", &ca)).unwrap();
    let mut config = format!(
        "UserKnownHostsFile {}\nGlobalKnownHostsFile none\nIdentityAgent none\n",
        known.display()
    );
    if let Some(text) = revoked {
        fs::write(&list, text.replace("<CA>", &ca)).unwrap();
        config.push_str(&format!("RevokedHostKeys {}\n", list.display()));
    }
    fs::write(sshd.file("config"), config).unwrap();
    let mut settings = settings(sshd.path());
    settings.ssh_config = Some(sshd.file("config"));
    let (ask, asked) = answer(true);
    settings.ask = Some(ask);
    let new_pins = settings.new_pins.clone();
    let (connector, seen) = connector(settings);
    let mut target = sshd.target();
    target.operator_config = true;
    target.access.host_keys = policy;
    let error = connector.connect(target).await.err();
    let asked =
        asked.lock().unwrap().iter().map(|contact| contact.note.clone()).collect();
    let pins = new_pins.lock().unwrap().clone();
    Outcome { error, asked, pins, warned: warnings(&seen) }
}

fn warnings(seen: &Seen) -> Vec<String> {
    let warning = |event: Event| match event {
        Event::Warned { message } => Some(message),
        _ => None,
    };
    seen.events().into_iter().filter_map(warning).collect()
}

const BOTH: [HostKeyPolicy; 2] = [HostKeyPolicy::Ask, HostKeyPolicy::AcceptNew];

#[tokio::test]
async fn a_host_with_a_certificate_of_a_trusted_authority_is_known() {
    let company = Company::of_hosts(&["-n", "127.0.0.*,web"]);
    let port = company.sshd.port;
    for policy in BOTH {
        for lines in
            ["@cert-authority 127.0.0.* <CA>", "@cert-authority [127.0.0.1]:PORT <CA>"]
        {
            let lines = lines.replace("PORT", &port.to_string());
            let met = meet(&company, policy, &lines, None).await;
            assert!(met.error.is_none(), "{:?}", met.error);
            assert!(met.asked.is_empty() && met.pins.is_empty(), "{:?}", met.asked);
        }
        // It is no change if it was known by another key before, as before a reinstallation.
        let other = bare_public(&company.key(&format!("old_{policy:?}"), "ecdsa"));
        let lines = format!("* {other}\n@cert-authority * <CA>");
        let met = meet(&company, policy, &lines, None).await;
        assert!(met.error.is_none(), "{:?}", met.error);
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_count_makes_the_host_unknown_and_is_told() {
    let other = TempDir::new().unwrap();
    let stranger = bare_public(&keygen(other.path(), "stranger", &["-t", "ed25519"]));
    let good: &[&str] = &["-n", "127.0.0.1"];
    let by_stranger = format!("@cert-authority * {stranger}");
    for (words, lines, told) in [
        (
            &["-n", "10.0.0.1"][..],
            "@cert-authority * <CA>",
            "it is for 10.0.0.1, not for",
        ),
        (&[][..], "@cert-authority * <CA>", "it is for nobody"),
        (
            &["-n", "127.0.0.1", "-V", "20200101:20200102"],
            "@cert-authority * <CA>",
            "it was valid until 2020-01-",
        ),
        (
            good,
            &by_stranger,
            "another authority signed its certificate: ssh-ed25519 SHA256:",
        ),
    ] {
        let company = Company::of_hosts(words);
        let met = meet(&company, HostKeyPolicy::Ask, lines, None).await;
        assert!(met.error.is_none(), "{:?}", met.error);
        let [Some(note)] = &met.asked[..] else { panic!("{:?}", met.asked) };
        assert!(note.contains("known:1 was not used") && note.contains(told), "{note}");
        let met = meet(&company, HostKeyPolicy::AcceptNew, lines, None).await;
        assert!(!met.pins.is_empty() && met.warned[0].contains(told), "{:?}", met.warned);
    }
}

#[tokio::test]
async fn a_host_without_a_certificate_is_asked_about_where_an_authority_could_vouch() {
    let folder = TempDir::new().unwrap();
    let ca = keygen(folder.path(), "ca", &["-t", "ed25519"]);
    let company = Company { folder, ca, sshd: Sshd::start() };
    let met = meet(&company, HostKeyPolicy::Ask, "@cert-authority * <CA>", None).await;
    assert!(met.error.is_none(), "{:?}", met.error);
    let [Some(note)] = &met.asked[..] else { panic!("{:?}", met.asked) };
    assert!(note.contains("the host shows no certificate"), "{note}");
}

/// As with OpenSSH: if the authority is revoked, a key in its certificate is refused too.
#[tokio::test]
async fn a_certificate_of_a_revoked_authority_never_passes() {
    let company = Company::of_hosts(&["-n", "127.0.0.1"]);
    let key = bare_public(&company.folder.path().join("host"));
    for policy in BOTH {
        for (lines, revoked) in [
            ("@revoked * <CA>".to_owned(), None),
            ("@cert-authority * <CA>\n@revoked * <CA>".to_owned(), None),
            ("@cert-authority * <CA>".to_owned(), Some("# gone\n<CA>\n")),
            (format!("* {key}\n@revoked * <CA>"), None),
            (format!("* {key}"), Some("<CA>\n")),
        ] {
            let met = meet(&company, policy, &lines, revoked).await;
            let error = met.error.unwrap_or_else(|| panic!("{lines} lets it pass"));
            assert!(matches!(error, RemoteError::HostKeyRevoked { .. }), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Unsafe);
            assert!(met.pins.is_empty() && met.asked.is_empty());
        }
    }
}

#[tokio::test]
async fn a_plain_list_of_revoked_keys_is_read() {
    let company = Company::of_hosts(&["-n", "127.0.0.1"]);
    let key = bare_public(&company.folder.path().join("host"));
    let ed = bare_public(&company.sshd.file("host_ed25519"));
    let other = bare_public(&company.key("other", "ed25519"));
    let policy = HostKeyPolicy::AcceptNew;
    let met = meet(&company, policy, "", Some(&format!("# none\n{other}\n"))).await;
    assert!(met.error.is_none(), "{:?}", met.error);
    let met = meet(&company, policy, "", Some(&format!("{key}\n{ed}\n"))).await;
    assert!(matches!(met.error, Some(RemoteError::HostKeyRevoked { .. })));
    let met = meet(&company, policy, "", Some("this is no list\n")).await;
    assert!(
        matches!(met.error, Some(RemoteError::RevokedKeys { .. })),
        "{:?}",
        met.error
    );
}
