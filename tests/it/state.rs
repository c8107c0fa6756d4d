//! The state folder as other programs see it: OpenSSL, ssh-keygen, a process that dies.

use std::path::Path;
use std::process::{Command, Output};

use platform::certificate::San;
use platform::state::{Holder, State};

fn state(dir: &Path) -> State {
    State::of(&dir.join("lab.yaml"), &"lab7".parse().unwrap())
}

fn run(program: &str, arguments: &[&str], dir: &Path) -> Output {
    Command::new(program).args(arguments).current_dir(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn openssl_accepts_the_chain_for_its_names_only_and_for_servers_only() {
    let dir = tempfile::tempdir().unwrap();
    let now = jiff::Timestamp::now();
    let ca = state(dir.path()).ca(now).unwrap();
    let sans =
        [San::Dns("registry.lab7.internal".into()), San::Ip([10, 77, 0, 21].into())];
    let leaf = ca.certificate("registry", &sans, now).unwrap();
    std::fs::write(dir.path().join("ca.pem"), ca.trusted_pem()).unwrap();
    std::fs::write(dir.path().join("leaf.pem"), &leaf.cert_chain_pem).unwrap();
    std::fs::write(dir.path().join("key.pem"), leaf.key.expose()).unwrap();

    let verify = |more: &[&str]| {
        let mut arguments = vec!["verify", "-x509_strict", "-CAfile", "ca.pem"];
        arguments.extend(more);
        arguments.push("leaf.pem");
        run("openssl", &arguments, dir.path()).status.success()
    };
    assert!(verify(&["-purpose", "sslserver", "-verify_ip", "10.77.0.21"]));
    assert!(verify(&["-verify_hostname", "registry.lab7.internal"]));
    assert!(!verify(&["-verify_hostname", "other.lab7.internal"]));
    assert!(!verify(&["-purpose", "sslclient"]));

    let shown = text(&run(
        "openssl",
        &[
            "x509",
            "-in",
            "ca.pem",
            "-noout",
            "-subject",
            "-ext",
            "basicConstraints,keyUsage",
        ],
        dir.path(),
    ));
    for part in ["platform lab7 CA", "CA:TRUE, pathlen:0", "Certificate Sign"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let of_key = run("openssl", &["pkey", "-in", "key.pem", "-pubout"], dir.path());
    let of_leaf =
        run("openssl", &["x509", "-in", "leaf.pem", "-noout", "-pubkey"], dir.path());
    assert_eq!(text(&of_key), text(&of_leaf));
}

#[test]
fn openssh_reads_the_key_that_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path());
    let key = state.ssh_key().unwrap();
    assert_eq!(state.ssh_key().unwrap(), key);
    state.keep().unwrap();
    let path = key.private.to_string_lossy();
    let shown = run("ssh-keygen", &["-y", "-P", "", "-f", &path], dir.path());
    assert_eq!(text(&shown).trim(), key.public);
    assert!(
        key.public.starts_with("ssh-ed25519 ") && key.public.ends_with("platform lab7")
    );
}

#[test]
fn the_lock_ends_with_the_process_that_held_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path());
    state.make().unwrap();
    let path = state.folder().join("lock");
    let held = r#"{"who":"bob@desk","pid":1,"verb":"up","since":"2026-11-23T10:15:00Z"}"#;
    std::fs::write(&path, held).unwrap();
    // The same kernel lock, held by another process until it is killed.
    let mut other = Command::new("flock")
        .args(["--no-fork".as_ref(), path.as_os_str(), "sh".as_ref(), "-c".as_ref()])
        .arg("echo held; exec cat")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = std::io::BufReader::new(other.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(line, "held\n");

    let ours = Holder {
        who: "ada@desk".into(),
        pid: std::process::id(),
        verb: "up".into(),
        since: "2026-11-23T11:00:00Z".parse().unwrap(),
    };
    let refused = state.lock(&ours).unwrap_err().to_string();
    assert!(refused.contains("bob@desk since 2026-11-23T10:15:00Z"), "{refused}");

    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(state.lock_holder(), None);
    state.lock(&ours).unwrap();
}
