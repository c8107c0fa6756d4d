//! The operator's own SSH configuration: OpenSSH's result applies to each host.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use platform::event::in_words;
use platform::remote::config::{BadValue, ConfigError, OperatorConfig, Question};
use platform::remote::ssh::{Purpose, Target};
use platform::remote::{ErrorKind, Remote, RemoteError};
use tempfile::TempDir;

use super::sshd::{
    COMMAND, LONG, Sshd, connector, eventually, keep_pins, openssh, run, script,
    settings, user,
};

fn question(host: &str) -> Question {
    Question { host: host.to_owned(), user: None, port: None }
}

/// OpenSSH's own result for a host: its address, user and port.
fn as_openssh(file: &Path, host: &str) -> [String; 3] {
    let mut ssh = Command::new("ssh");
    let output = ssh.args(["-T", "-G", "-F"]).arg(file).arg(host).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let answer = String::from_utf8_lossy(&output.stdout);
    ["hostname", "user", "port"].map(|keyword| {
        let value =
            |line: &str| line.strip_prefix(keyword)?.strip_prefix(' ').map(str::to_owned);
        answer.lines().find_map(value).unwrap()
    })
}

/// Asks for several hosts in one run, the special one first, as in a run that begins with it.
async fn check_as_openssh(text: &[u8]) {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("more"), "Host web\n  Port 2201\n").unwrap();
    let file = dir.path().join("config");
    let folder = dir.path().as_os_str().as_bytes();
    fs::write(&file, replace(text, b"DIR", folder)).unwrap();
    let config = OperatorConfig::new(Some(file.clone()));
    for host in ["web", "db", "10.0.0.9", "WEB", "web"] {
        let found = config.of(&question(host)).await.unwrap();
        let found = [found.hostname, found.user, found.port.to_string()];
        assert_eq!(found, as_openssh(&file, host), "{host} by {}", text.escape_ascii());
    }
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match text.windows(from.len()).position(|part| part == from) {
        Some(at) => [&text[..at], to, &text[at + from.len()..]].concat(),
        None => text.to_vec(),
    }
}

#[tokio::test]
async fn every_host_has_the_settings_that_openssh_gives_it_whatever_the_file_looks_like()
{
    for text in [
        &b""[..],
        b"# nothing but a comment, caf\xe9\n",
        b"Host *\n  Port 2200\n  User bob\n",
        b"Match all\n  Port 2200\n",
        b"# caf\xe9\nHost web\n  Port 2201\n",
        b"Host web # caf\xe9\n  Port 2201\n",
        b"SetEnv NAME=caf\xe9\nHost web\n  Port 2201\n",
        b"\"Host\" web\n  Port 2201\n",
        b"Host \"web\"\n  Port 2201\n",
        b"Host=web\n  Port=2201\n",
        b"Host = web\n  Port = 2201\n",
        b"\tHost\tweb\n\t\tPort\t2201\n",
        b"Host web\r\n  Port 2201\r\nHost *\r\n  User bob\r\n",
        b"hOST web\n  pORT 2201\n",
        b"Host web\x0c\n  Port 2201\x0c\n",
        b"Include DIR/more\nUser bob\n",
        b"Include DIR/mo*\n",
        b"Match host web\n  Port 2201\n",
        b"Match exec \"test %h = web\"\n  Port 2201\n",
        b"Match final host web\n  Port 2201\n",
        b"Host *\n  HostName %h.example\n",
        b"Host w?b !db\n  User ann\n  HostName 10.0.0.8\n",
    ] {
        check_as_openssh(text).await;
    }
}

#[tokio::test]
async fn a_thousand_hosts_with_settings_of_their_own_are_asked_about_a_few_at_a_time() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("config");
    fs::write(&file, "Host h1\n  Port 2201\nHost h2\n  Port 2202\n").unwrap();
    let config = OperatorConfig::new(Some(file));
    // The same few again and again, as for jump hosts: each is one process.
    let names: Vec<Question> =
        (0..1000).map(|n| question(&format!("h{}", n % 5))).collect();
    let answers =
        futures::future::join_all(names.iter().map(|name| config.of(name))).await;
    let ports: Vec<u16> =
        answers.into_iter().map(|answer| answer.unwrap().port).collect();
    assert_eq!(ports[995..], [22, 2201, 2202, 22, 22]);
}

/// A target that uses the operator's configuration.
fn target(sshd: &Sshd) -> Target {
    Target { operator_config: true, ..sshd.target() }
}

fn with_config(sshd: &Sshd, text: &str) -> platform::remote::ssh::Settings {
    let known = "UserKnownHostsFile none\nGlobalKnownHostsFile none\n";
    fs::write(sshd.file("config"), format!("{text}\n{known}")).unwrap();
    let mut settings = settings(sshd.path());
    settings.ssh_config = Some(sshd.file("config"));
    settings
}

#[tokio::test]
async fn names_that_a_shell_would_run_reach_none() {
    let sshd = Sshd::start();
    let mark = sshd.file("mark");
    let evil = format!("$(>{})", mark.display());
    let config =
        "Match exec \"true %r %n\"\n  Port 1\nHost *\n  ProxyCommand exec false %r %h";
    let (connector, _) = connector(with_config(&sshd, config));
    let error = async |target: Target| connector.connect(target).await.err().unwrap();

    let mut bad = target(&sshd);
    bad.access.user = Some(evil.clone());
    assert!(
        matches!(error(bad).await, RemoteError::BadUser { user, .. } if user == evil)
    );
    let mut bad = target(&sshd);
    bad.access.jump = vec![format!("{evil}@127.0.0.1")];
    assert!(matches!(error(bad).await, RemoteError::BadAddress { .. }));
    let mut bad = target(&sshd);
    bad.address = evil.clone();
    assert!(matches!(error(bad).await, RemoteError::BadAddress { .. }));
    assert!(!mark.exists());
}

#[tokio::test]
async fn names_of_the_configuration_that_a_shell_would_run_reach_none() {
    let sshd = Sshd::start();
    let mark = sshd.file("mark");
    for setting in ["User", "HostName", "HostKeyAlias"] {
        let config = format!(
            "{setting} \"$(>{})\"\nProxyCommand exec false %r %h %k",
            mark.display()
        );
        let mut target = target(&sshd);
        target.access.user = None;
        let settings = with_config(&sshd, &config);
        let error = connector(settings).0.connect(target).await.err().unwrap();
        let RemoteError::Config { source: ConfigError::Value { source, .. }, .. } =
            &error
        else {
            panic!("{setting}: {error:?}");
        };
        assert!(matches!(source, BadValue::Unsafe { .. }), "{setting}: {source:?}");
        assert!(!mark.exists(), "{setting}");
    }
}

/// A `ProxyCommand` that records the values of its tokens.
fn noting_proxy(log: &Path) -> String {
    format!(
        "bash -c 'echo \"%n %k %r %h %p\" >>{}; exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill $!'",
        log.display()
    )
}

#[tokio::test]
async fn tokens_stand_for_the_same_as_with_openssh() {
    let sshd = Sshd::start();
    let log = sshd.file("log-of-proxy");
    let key = sshd.file(&format!("{}-web%.key", user()));
    fs::copy(sshd.file("user_ed25519"), &key).unwrap();
    let config = format!(
        "Host web\n  HostName 127.0.0.1\n  Port {}\n  HostKeyAlias The-Web\n  \
         IdentityFile {}/%u-%n%%.key\n  IdentityAgent none\n  ProxyCommand {}\n",
        sshd.port,
        sshd.path().display(),
        noting_proxy(&log)
    );
    let settings = with_config(&sshd, &config);
    let (connector, _) = connector(settings.clone());
    let mut target = target(&sshd);
    target.address = "web".to_owned();
    target.access.key = None;
    target.access.port = None;
    let ssh = connector.connect(target.clone()).await.unwrap();
    keep_pins(&settings);
    assert_eq!(ssh.exec(script("exit 7")).await.unwrap().status, 7);

    let (pins, file) = (sshd.file("pins"), sshd.file("config"));
    let mut ssh = openssh(&target, &pins, Some(&file), COMMAND);
    let said = run(ssh.arg("echo hello").env_remove("SSH_AUTH_SOCK"));
    assert_eq!(said, "hello\n");
    let noted = fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = noted.lines().collect();
    assert_eq!(lines.len(), 2, "{noted}");
    assert_eq!(lines[0], lines[1]);
}

#[tokio::test]
async fn a_token_or_variable_that_openssh_does_not_know_is_told_with_its_setting() {
    let sshd = Sshd::start();
    for (setting, why) in [
        ("ProxyCommand nc %h %u", "no token `%u`"),
        ("IdentityFile /k/%z", "no token `%z`"),
        ("IdentityFile ${NO_SUCH_VARIABLE}/k", "no variable `NO_SUCH_VARIABLE`"),
    ] {
        let (connector, _) = connector(with_config(&sshd, setting));
        let error = connector.connect(target(&sshd)).await.err().unwrap();
        let (text, written) = (in_words(&error), setting.split_once(' ').unwrap().1);
        assert!(text.contains(why) && text.contains(written), "{text}");
    }
}

#[tokio::test]
async fn a_proxy_command_that_fails_is_told_in_its_own_words_at_once() {
    let sshd = Sshd::start();
    let config = "ProxyCommand sh -c 'echo connecting >&2; echo \"TargetNotConnected: \
                  i-0c0ffee is not connected\" >&2; exit 254'";
    let (connector, _) = connector(with_config(&sshd, config));
    let start = Instant::now();
    let error = connector.connect(target(&sshd)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(
        in_words(&error),
        "cannot reach h1: its ProxyCommand ended with status 254: connecting; \
         TargetNotConnected: i-0c0ffee is not connected"
    );
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_proxy_command_that_never_connects_is_given_up_and_ended() {
    let sshd = Sshd::start();
    let noted = sshd.file("pid");
    let config = format!(
        "ProxyCommand sh -c 'echo $$ >{0}; echo dialling >&2; exec sleep 600'",
        noted.display()
    );
    let mut settings = with_config(&sshd, &config);
    settings.timing.handshake = Duration::from_secs(3);
    let error = connector(settings).0.connect(target(&sshd)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("ProxyCommand, which said `dialling`"), "{error}");
    let pid = fs::read_to_string(&noted).unwrap();
    let command = format!("/proc/{}/cmdline", pid.trim());
    let is_gone = || fs::read(&command).map_or(true, |words| words.is_empty());
    eventually("the ProxyCommand is gone", is_gone);
}

#[tokio::test]
async fn a_connection_that_its_proxy_command_ends_is_told_with_its_last_words() {
    let sshd = Sshd::start();
    let config = format!(
        "ProxyCommand bash -c 'exec 3<>/dev/tcp/%h/%p; exec 4<&0; cat <&3 & cat <&4 >&3 & \
         read x <{}; echo session expired >&2; kill $(jobs -p)'",
        sshd.file("fifo").display()
    );
    run(Command::new("mkfifo").arg(sshd.file("fifo")));
    let (connector, _) = connector(with_config(&sshd, &config));
    let ssh = connector.connect(target(&sshd)).await.unwrap();
    let mut since = None;
    let mut on_line = |_: &str| {
        fs::write(sshd.file("fifo"), "end\n").unwrap();
        since = Some(Instant::now());
    };
    let mut exec = script("echo runs; sleep 1000");
    exec.on_line = Some(&mut on_line);
    let error = ssh.exec(exec).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error.to_string().contains("its ProxyCommand said: session expired"),
        "{error}"
    );
    assert!(since.unwrap().elapsed() < LONG);
}

#[tokio::test]
async fn a_command_of_ours_runs_in_place_of_the_operators_own() {
    let sshd = Sshd::start();
    let config = "RequestTTY force\nRemoteCommand echo not this";
    let settings = with_config(&sshd, config);
    let (connector, _) = connector(settings.clone());
    let target = target(&sshd);
    // This does not affect the program itself; it pins the host's key for OpenSSH.
    let ssh = connector.connect(target.clone()).await.unwrap();
    keep_pins(&settings);
    assert_eq!(ssh.exec(script("echo this")).await.unwrap().stdout, b"this\n");

    let start = |purpose| {
        let file = sshd.file("config");
        let mut ssh = openssh(&target, &sshd.file("pins"), Some(&file), purpose);
        ssh.stdin(std::process::Stdio::null());
        ssh
    };
    let mut command = start(COMMAND);
    let output = command.arg("printf 'a\\nb\\n'; exit 3").output().unwrap();
    assert_eq!(output.stdout, b"a\nb\n", "{output:?}");
    assert_eq!(output.status.code(), Some(3));
    // Without a command, the operator's own setting applies.
    let output = start(Purpose::Shell).output().unwrap();
    assert_eq!(OsStr::from_bytes(&output.stdout), "not this\r\n", "{output:?}");
}
