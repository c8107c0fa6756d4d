//! The route to a host: jump hosts, proxies, connections through a host, and missing hosts.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use platform::api::tunnel::Tunnel;
use platform::remote::ssh::{Ssh, Target};
use platform::remote::{ErrorKind, Remote, RemoteError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sshd::{
    COMMAND, LONG, Sshd, connector, free_port, keep_pins, openssh, run, script, settings,
    user,
};

/// A target behind a jump host; both accept the target's key.
fn behind(bastion: &Sshd, sshd: &Sshd) -> Target {
    bastion.let_in(&sshd.file("user_ed25519"));
    let mut target = sshd.target();
    target.access.jump = vec![format!("{}@127.0.0.1:{}", user(), bastion.port)];
    target
}

async fn works(ssh: &Ssh) {
    assert_eq!(ssh.exec(script("exit 7")).await.unwrap().status, 7);
}

#[tokio::test]
async fn hosts_behind_a_jump_host_share_one_connection_to_it() {
    let (bastion, sshd) = (Sshd::start(), Sshd::start());
    let settings = settings(sshd.path());
    let (connector, _) = connector(settings.clone());
    let target = behind(&bastion, &sshd);
    let all = (0..12).map(|_| connector.connect(target.clone()));
    for ssh in futures::future::join_all(all).await {
        works(&ssh.unwrap()).await;
    }
    assert_eq!(bastion.log().matches("Accepted publickey").count(), 1);
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 12);
    let pins = settings.new_pins.lock().unwrap().concat();
    assert!(pins.contains(&format!(":{} ", bastion.port)), "{pins}");
}

#[tokio::test]
async fn two_jump_hosts_in_a_row_are_passed_in_order_by_us_and_by_openssh() {
    let (near, far, sshd) = (Sshd::start(), Sshd::start(), Sshd::start());
    let mut target = behind(&near, &sshd);
    far.let_in(&sshd.file("user_ed25519"));
    target.access.jump.push(format!("{}@127.0.0.1:{}", user(), far.port));
    let settings = settings(sshd.path());
    let (connector, _) = connector(settings.clone());
    works(&connector.connect(target.clone()).await.unwrap()).await;
    keep_pins(&settings);
    let mut ssh = openssh(&target, &sshd.file("pins"), None, COMMAND);
    assert_eq!(run(ssh.arg("echo hello")), "hello\n");
    for jump in [near, far] {
        assert_eq!(jump.log().matches("Accepted publickey").count(), 2);
    }
}

#[tokio::test]
async fn the_operators_proxy_jump_and_proxy_command_lead_to_the_host() {
    let (bastion, sshd) = (Sshd::start(), Sshd::start());
    let mut target = behind(&bastion, &sshd);
    target.access.jump = Vec::new();
    target.operator_config = true;
    target.address = "web".to_owned();
    let key = sshd.file("user_ed25519");
    let proxy = format!(
        "ssh -F none -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
         -W %h:%p -p {} {}@127.0.0.1",
        key.display(),
        bastion.port,
        user()
    );
    for way in ["ProxyJump bastion".to_owned(), format!("ProxyCommand {proxy}")] {
        let config = format!(
            "Host web\n  HostName 127.0.0.1\n  {way}\nHost bastion\n  HostName 127.0.0.1\n  \
             Port {}\n  User {}\nHost *\n  UserKnownHostsFile none\n  \
             GlobalKnownHostsFile none\n  ProxyJump bastion\n",
            bastion.port,
            user()
        );
        fs::write(sshd.file("config"), config).unwrap();
        let mut settings = settings(sshd.path());
        settings.ssh_config = Some(sshd.file("config"));
        works(&connector(settings).0.connect(target.clone()).await.unwrap()).await;
    }
    assert_eq!(bastion.log().matches("Accepted publickey").count(), 2);
}

#[tokio::test]
async fn a_jump_host_that_forbids_forwarding_is_named_with_the_setting() {
    let bastion = Sshd::start_with(&["ed25519"], "AllowTcpForwarding no");
    let sshd = Sshd::start();
    let (connector, _) = connector(settings(sshd.path()));
    let error = connector.connect(behind(&bastion, &sshd)).await.err().unwrap();
    let RemoteError::Jump { jump, source, .. } = &error else { panic!("{error:?}") };
    assert!(jump.contains(&bastion.port.to_string()), "{jump}");
    assert!(source.to_string().contains("AllowTcpForwarding"), "{source}");
}

#[tokio::test]
async fn a_jump_host_that_is_down_is_tried_once_for_all_hosts_behind_it() {
    let sshd = Sshd::start();
    let mut target = sshd.target();
    // It accepts connections and sends nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    target.access.jump = vec![format!("127.0.0.1:{port}")];
    let mut settings = settings(sshd.path());
    settings.timing.handshake = Duration::from_millis(500);
    let (connector, _) = connector(settings);
    let start = Instant::now();
    let all = (0..10).map(|_| connector.connect(target.clone()));
    for result in futures::future::join_all(all).await {
        let error = result.err().unwrap();
        assert!(matches!(error, RemoteError::Jump { .. }), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_host_that_is_not_there_is_unreachable_with_or_without_a_jump_host() {
    let bastion = Sshd::start();
    let (connector, _) = connector(settings(bastion.path()));
    let mut target = bastion.target();
    target.access.port = Some(free_port());
    let error = connector.connect(target.clone()).await.err().unwrap();
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error:?}");
    target.access.jump = vec![format!("{}@127.0.0.1:{}", user(), bastion.port)];
    let error = connector.connect(target).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_server_that_never_speaks_is_given_up_at_its_deadline() {
    let sshd = Sshd::start();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = sshd.target();
    target.access.port = Some(mute.local_addr().unwrap().port());
    let mut settings = settings(sshd.path());
    settings.timing.handshake = Duration::from_millis(300);
    let error = connector(settings).0.connect(target).await.err().unwrap();
    assert!(matches!(error, RemoteError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_hangs_up_is_unreachable() {
    let sshd = Sshd::start();
    let mut settings = settings(sshd.path());
    settings.timing.hang_ups = Duration::ZERO;
    let (connector, _) = connector(settings);
    for greeting in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n"] {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut target = sshd.target();
        target.access.port = Some(server.local_addr().unwrap().port());
        let answer = async {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.write_all(greeting).await.unwrap();
        };
        let (error, ()) = tokio::join!(connector.connect(target), answer);
        let error = error.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_a_common_algorithm_is_told_so() {
    let old = "KexAlgorithms diffie-hellman-group14-sha1";
    let sshd = Sshd::start_with(&["ed25519"], old);
    let error =
        connector(settings(sshd.path())).0.connect(sshd.target()).await.err().unwrap();
    let RemoteError::Protocol { said, .. } = &error else { panic!("{error:?}") };
    assert!(said.contains("group14-sha1"), "{said}");
}

#[tokio::test]
async fn an_address_that_could_be_an_option_is_refused() {
    let sshd = Sshd::start();
    let mut target = sshd.target();
    target.address = "-oProxyCommand=touch".to_owned();
    target.operator_config = true;
    let error = connector(settings(sshd.path())).0.connect(target).await.err().unwrap();
    assert!(matches!(error, RemoteError::BadAddress { .. }), "{error:?}");
}

#[tokio::test]
async fn dial_reaches_what_the_host_reaches() {
    let sshd = Sshd::start();
    let (connector, _) = connector(settings(sshd.path()));
    let ssh = connector.connect(sshd.target()).await.unwrap();
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let echo = async {
        let (mut stream, _) = server.accept().await.unwrap();
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    };
    let talk = async {
        let mut stream = ssh.dial("127.0.0.1", port, LONG).await.unwrap();
        stream.write_all(b"ruok").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (answer, ()) = tokio::join!(talk, echo);
    assert_eq!(answer, "ruok");
    let closed = free_port();
    let error = ssh.dial("127.0.0.1", closed, LONG).await.err().unwrap();
    assert!(
        matches!(error, RemoteError::Dial { port, .. } if port == closed),
        "{error:?}"
    );
    works(&ssh).await;
}

/// Clients keep connections that they do not use; they take no command's place at the host.
#[tokio::test]
async fn idle_connections_of_a_tunnel_keep_nobody_waiting() {
    let sshd = Sshd::start_with(&["ed25519"], "MaxSessions 1");
    let (connector, _) = connector(settings(sshd.path()));
    let ssh = Arc::new(connector.connect(sshd.target()).await.unwrap());
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let tunnel = Tunnel::open(ssh.clone(), "127.0.0.1".to_owned(), port).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..20 {
        let client = tokio::net::TcpStream::connect(tunnel.address()).await.unwrap();
        let reached = tokio::time::timeout(LONG, server.accept()).await;
        idle.push((client, reached.expect("no client waits for another").unwrap()));
    }
    works(&ssh).await;
}

#[tokio::test]
async fn dial_on_a_host_that_forbids_it_names_the_setting() {
    for setting in [
        "AllowTcpForwarding no",
        "DisableForwarding yes",
        "PermitOpen 127.0.0.1:22",
        "Match Address 127.0.0.1\n  AllowTcpForwarding remote\nMatch all",
    ] {
        let sshd = Sshd::start_with(&["ed25519"], setting);
        let (connector, _) = connector(settings(sshd.path()));
        let ssh = connector.connect(sshd.target()).await.unwrap();
        let error = ssh.dial("127.0.0.1", 5000, LONG).await.err().unwrap();
        assert!(matches!(error, RemoteError::Forwarding { .. }), "{setting}: {error:?}");
        assert!(error.to_string().contains("AllowTcpForwarding"), "{error}");
    }
}

#[tokio::test]
async fn dial_to_where_a_host_permits_no_connection_names_the_setting() {
    let sshd = Sshd::start_with(&["ed25519"], "PermitOpen 127.0.0.1:1");
    let (connector, _) = connector(settings(sshd.path()));
    let ssh = connector.connect(sshd.target()).await.unwrap();
    let error = ssh.dial("127.0.0.1", sshd.port, LONG).await.err().unwrap();
    assert!(matches!(error, RemoteError::Forwarding { .. }), "{error:?}");
    assert!(error.to_string().contains("PermitOpen"), "{error}");
}
