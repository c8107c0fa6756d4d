//! Commands: input, output, how they end, and connections that fail while they run.

use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use platform::remote::ssh::{ReconnectingSsh, Ssh};
use platform::remote::{ErrorKind, Exec, Input, Remote, RemoteError};
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

use super::sshd::{LONG, Sshd, connector, eventually, script, settings};

async fn connect(sshd: &Sshd) -> Ssh {
    connector(settings(sshd.path())).0.connect(sshd.target()).await.unwrap()
}

/// Bytes that every compression or text mode changes.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn input_that_is_not_read_blocks_nothing() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    // More commands than a connection has sessions: each session must be returned.
    for round in 0..15 {
        let big = vec![b'x'; 4 << 20];
        let input = match round % 2 {
            0 => Input::Bytes(big),
            _ => Input::Stream(Box::new(Cursor::new(big))),
        };
        let output = ssh.exec(Exec { input, ..script("exit 3") }).await.unwrap();
        assert_eq!(output.status, 3);
    }
}

#[tokio::test]
async fn input_and_output_are_carried_whole_while_keys_are_renewed() {
    let sshd = Sshd::start_with(&["ed25519"], "RekeyLimit 1M\nLogLevel DEBUG1");
    let ssh = connect(&sshd).await;
    let data = noise(6 << 20);
    for input in
        [Input::Bytes(data.clone()), Input::Stream(Box::new(Cursor::new(data.clone())))]
    {
        let output = ssh.exec(Exec { input, ..script("cat") }).await.unwrap();
        assert_eq!(output.status, 0);
        assert!(output.stdout == data, "{} of {} bytes", output.stdout.len(), data.len());
    }
    assert!(sshd.log().matches("rekeying").count() > 5, "{}", sshd.log());
}

#[tokio::test]
async fn statuses_and_signals_are_told() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    for (text, status) in [
        ("true", 0),
        ("exit 255", 255),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("no-such-program", 127),
    ] {
        let output = ssh.exec(script(text)).await.unwrap();
        assert_eq!(output.status, status, "{text}");
    }
}

#[tokio::test]
async fn words_arrive_as_they_are() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let word = "a b'c\"d$HOME`id`\\n\n;*";
    let argv = platform::remote::Argv::new(["printf", "%s", word]);
    let output = ssh.exec(Exec { argv, ..script("") }).await.unwrap();
    assert_eq!(output.stdout, word.as_bytes());
}

#[tokio::test]
async fn of_standard_error_the_end_is_kept() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let text = "head -c 500000 /dev/zero >&2; echo the end >&2; echo out";
    let output = ssh.exec(script(text)).await.unwrap();
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr.len(), 64 * 1024);
    assert!(output.stderr.ends_with(b"the end\n"));
}

#[tokio::test]
async fn lines_are_given_as_they_arrive() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let mut on_line = |line: &str| sender.send(line.to_owned()).unwrap();
    let (feeder, input) = tokio::io::simplex(64);
    // The command answers each line only after it arrived: if lines were buffered, this would
    // hang.
    let exec = ssh.exec(Exec {
        input: Input::Stream(Box::new(feeder)),
        on_line: Some(&mut on_line),
        ..script("while read -r line; do echo got $line; done; printf last")
    });
    let talk = async {
        let mut input = input;
        for word in ["one", "two"] {
            tokio::io::AsyncWriteExt::write_all(
                &mut input,
                format!("{word}\n").as_bytes(),
            )
            .await
            .unwrap();
            assert_eq!(lines.recv().await.unwrap(), format!("got {word}"));
        }
        tokio::io::AsyncWriteExt::shutdown(&mut input).await.unwrap();
    };
    tokio::pin!(exec);
    tokio::select! {
        biased;
        () = talk => {}
        ended = &mut exec => panic!("it ended before it was told to: {ended:?}"),
    }
    assert_eq!(exec.await.unwrap().stdout, b"");
    assert_eq!(lines.recv().await.unwrap(), "last");
}

#[tokio::test]
async fn more_commands_at_once_than_sessions_all_run() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let all =
        (0..25).map(|n| ssh.exec(script(if n % 2 == 0 { "sleep 0.1" } else { "true" })));
    for output in futures::future::join_all(all).await {
        assert_eq!(output.unwrap().status, 0);
    }
}

#[tokio::test]
async fn a_command_past_its_deadline_is_given_up_and_cut_off() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let mark = sshd.file("mark");
    let deadline = Duration::from_millis(700);
    // It notices when it writes.
    let text =
        format!("touch {0}; while echo tick; do sleep 0.1; done; rm {0}", mark.display());
    let text = format!("trap '' PIPE; {text}");
    let error = ssh.exec(Exec { deadline, ..script(&text) }).await.err().unwrap();
    assert!(
        matches!(&error, RemoteError::TimedOut { during, .. } if during == "a test"),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(ssh.exec(script("true")).await.unwrap().status, 0);
    eventually("the command has noticed", || !mark.exists());
}

/// Runs a command that never ends, breaks its connection while it runs, and returns the error and
/// the time until it.
async fn disturbed(
    ssh: &dyn Remote,
    input: Input,
    disturb: impl FnOnce() + Send,
) -> (RemoteError, Duration) {
    let mut disturb = Some(disturb);
    let mut since = None;
    let mut on_line = |_: &str| {
        if let Some(disturb) = disturb.take() {
            disturb();
            since = Some(Instant::now());
        }
    };
    let exec =
        Exec { input, on_line: Some(&mut on_line), ..script("echo runs; sleep 1000") };
    let error = ssh.exec(exec).await.err().unwrap();
    (error, since.unwrap().elapsed())
}

#[tokio::test]
async fn a_connection_that_dies_in_mid_exec_is_an_error_at_once() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let kill = || sshd.signal_sessions(Signal::KILL);
    let (error, took) = disturbed(&ssh, Input::Empty, kill).await;
    assert!(
        matches!(&error, RemoteError::Lost { during, .. } if during.starts_with("a test")),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(ssh.is_closed());
    let again = ssh.exec(script("true")).await.err().unwrap();
    assert!(matches!(again, RemoteError::Lost { .. }), "{again:?}");
}

#[tokio::test]
async fn a_frozen_host_is_found_by_its_silence() {
    let sshd = Sshd::start();
    let mut settings = settings(sshd.path());
    settings.timing.keepalive = Duration::from_millis(300);
    let (connector, _) = connector(settings);
    let freeze = || sshd.signal_sessions(Signal::STOP);
    let ssh = connector.connect(sshd.target()).await.unwrap();
    let (error, took) = disturbed(&ssh, Input::Empty, freeze).await;
    assert!(error.to_string().contains("no longer answers"), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A connection to an sshd with small buffers; nothing passes any more after it was frozen.
async fn narrow_way(to: u16) -> (u16, Arc<Notify>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    let freeze = Arc::new(Notify::new());
    let frozen = freeze.clone();
    tokio::spawn(async move {
        let (mut here, _) = listener.accept().await.unwrap();
        let mut there = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
            () = frozen.notified() => std::future::pending().await,
        }
    });
    (port, freeze)
}

#[tokio::test]
async fn a_host_that_takes_no_more_bytes_is_found() {
    let sshd = Sshd::start();
    let mut settings = settings(sshd.path());
    settings.timing.keepalive = Duration::from_millis(300);
    settings.timing.stall = Duration::from_secs(2);
    let (connector, _) = connector(settings);
    let (port, freeze) = narrow_way(sshd.port).await;
    let mut target = sshd.target();
    target.access.port = Some(port);
    let ssh = connector.connect(target).await.unwrap();
    // All channels together accept more data than the kernel buffers.
    let send = || async {
        let input = Input::Stream(Box::new(tokio::io::repeat(b'x')));
        let mut on_line = |_: &str| freeze.notify_one();
        let text = "echo runs; cat > /dev/null";
        ssh.exec(Exec { input, on_line: Some(&mut on_line), ..script(text) }).await
    };
    for result in futures::future::join_all((0..8).map(|_| send())).await {
        let error = result.err().unwrap();
        assert!(error.to_string().contains("accepts no more data"), "{error:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_slow_but_alive_is_left_alone() {
    let sshd = Sshd::start();
    let mut settings = settings(sshd.path());
    settings.timing.keepalive = Duration::from_millis(500);
    let (connector, _) = connector(settings);
    let ssh = connector.connect(sshd.target()).await.unwrap();
    let pause = async {
        sshd.signal_sessions(Signal::STOP);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        sshd.signal_sessions(Signal::CONT);
    };
    let (output, ()) = tokio::join!(ssh.exec(script("sleep 3; echo done")), pause);
    assert_eq!(output.unwrap().stdout, b"done\n");
}

#[tokio::test]
async fn a_command_that_says_nothing_for_long_is_left_alone() {
    let sshd = Sshd::start();
    let mut settings = settings(sshd.path());
    settings.timing.keepalive = Duration::from_millis(200);
    settings.timing.stall = Duration::from_millis(600);
    let ssh = connector(settings).0.connect(sshd.target()).await.unwrap();
    let output = ssh.exec(script("sleep 2; echo done")).await.unwrap();
    assert_eq!(output.stdout, b"done\n");
}

#[tokio::test]
async fn a_server_that_runs_nothing_is_told_so() {
    let sshd = Sshd::start_with(&["ed25519"], "MaxSessions 0");
    let ssh = connect(&sshd).await;
    let error = ssh.exec(script("true")).await.err().unwrap();
    assert!(matches!(error, RemoteError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("MaxSessions"), "{error}");
}

#[tokio::test]
async fn a_server_that_allows_few_sessions_gets_no_more_at_once() {
    for allowed in [1, 2] {
        let sshd = Sshd::start_with(&["ed25519"], &format!("MaxSessions {allowed}"));
        let ssh = connect(&sshd).await;
        let all = (0..12).map(|_| ssh.exec(script("sleep 0.05")));
        for output in futures::future::join_all(all).await {
            assert_eq!(output.unwrap().status, 0);
        }
        for _ in 0..20 {
            assert_eq!(ssh.exec(script("true")).await.unwrap().status, 0);
        }
        match (allowed, ssh.has_room().await) {
            (1, Err(error)) => {
                assert!(matches!(error, RemoteError::OneSession { .. }), "{error:?}");
                assert_eq!(error.kind(), ErrorKind::Unsafe);
            }
            (1, Ok(())) => panic!("one command leaves no room for another"),
            (_, room) => room.unwrap(),
        }
        assert_eq!(ssh.exec(script("true")).await.unwrap().status, 0);
    }
}

/// A server that prints this, as a login shell's start-up might, and then runs the command.
fn greeting_sshd(script: &str) -> Sshd {
    let config = format!("ForceCommand {script}; eval \"$SSH_ORIGINAL_COMMAND\"");
    Sshd::start_with(&["ed25519"], &config)
}

#[tokio::test]
async fn what_a_host_says_before_a_command_is_none_of_its_output() {
    let sshd = greeting_sshd("echo === rack 7 ===; printf '\\033[0m'; echo careful >&2");
    let ssh = connect(&sshd).await;
    let output = ssh.exec(script("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!(output.status, 3);
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert_eq!(output.greeting, b"=== rack 7 ===\n\x1b[0mcareful\n");

    let mut lines = Vec::new();
    let mut on_line = |line: &str| lines.push(line.to_owned());
    let input = Input::Bytes(b"one\ntwo\n".to_vec());
    let exec = Exec { input, on_line: Some(&mut on_line), ..script("cat") };
    assert_eq!(ssh.exec(exec).await.unwrap().status, 0);
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn what_a_host_says_in_place_of_a_command_is_told_with_what_to_do() {
    for (instead, said) in [
        (
            "echo Log in as the user platform, not as root.; echo; exit 142",
            "`Log in as the user platform, not as root.` and ends with status 142",
        ),
        (
            "/usr/sbin/nologin",
            "`This account is currently not available.` and ends with status 1",
        ),
        ("/bin/false", "says nothing and ends with status 1"),
        ("echo no >&2; exit 5", "`no` and ends with status 5"),
    ] {
        let sshd = Sshd::start_with(&["ed25519"], &format!("ForceCommand {instead}"));
        let ssh = connect(&sshd).await;
        let error = ssh.exec(script("true")).await.err().unwrap();
        assert!(matches!(error, RemoteError::NotRun { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(said) && text.contains("set `user`"), "{text}");
    }
}

#[tokio::test]
async fn a_host_that_talks_and_never_begins_with_a_command_is_given_up() {
    let sshd = greeting_sshd("echo choose a menu; sleep 1000");
    let ssh = connect(&sshd).await;
    let start = Instant::now();
    let exec = Exec { deadline: Duration::from_secs(120), ..script("true") };
    let error = ssh.exec(exec).await.err().unwrap();
    assert!(error.to_string().contains("`choose a menu` and does not end"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}

#[tokio::test]
async fn input_that_cannot_be_read_ends_the_command() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
        Ok(&b"half"[..]),
        Err(std::io::Error::other("the disk is gone")),
    ]));
    let exec =
        Exec { input: Input::Stream(Box::new(broken)), ..script("cat; sleep 1000") };
    let error = ssh.exec(exec).await.err().unwrap();
    assert!(matches!(error, RemoteError::Input { .. }), "{error:?}");
}

#[tokio::test]
async fn a_look_at_a_service_is_over_a_new_connection_where_the_old_one_ended() {
    let sshd = Sshd::start();
    let (connector, _) = connector(settings(sshd.path()));
    let host =
        ReconnectingSsh::connect(Arc::new(connector), sshd.target()).await.unwrap();
    let kill = || sshd.signal_sessions(Signal::KILL);
    let (error, _) = disturbed(&host, Input::Empty, kill).await;
    assert!(matches!(error, RemoteError::Lost { .. }), "{error:?}");
    let looks = (0..5).map(|_| host.dial("127.0.0.1", sshd.port, LONG));
    for mut stream in futures::future::try_join_all(looks).await.unwrap() {
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"SSH-");
    }
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 2, "one is enough");
    assert_eq!(host.exec(script("exit 7")).await.unwrap().status, 7);
}

#[tokio::test]
async fn a_host_that_writes_without_an_end_is_cut_off() {
    let sshd = Sshd::start();
    let ssh = connect(&sshd).await;
    let error = ssh.exec(script("cat /dev/zero")).await.err().unwrap();
    assert!(matches!(error, RemoteError::TooMuch { .. }), "{error:?}");
    assert!(error.to_string().contains("more than 32 MiB"), "{error}");
    assert_eq!(ssh.exec(script("true")).await.unwrap().status, 0);
}
