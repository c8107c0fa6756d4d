//! Runs one command on a connection: sends input and reads output at once, until the channel
//! closes.
//!
//! The input ends when the command ends, even if it was not read; the exit status may arrive
//! before the last output. A channel that ends without a status is an error, and so is one on
//! which the command never began.

use std::io::{self, Cursor};
use std::sync::Arc;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

use crate::event::Event;
use crate::remote::words::last_words;
use crate::remote::{As, Exec, Input, Output, RemoteError, to_login_shell, to_script};
use crate::secret::Secret;

use super::Ssh;
use super::begin::{Beginning, Mark};
use super::pace::{PIECE, Pace};
use super::stdout::{Stdout, TooMuch};
use super::sudo::{self, Call, Preamble, SudoProblem};

const STDERR_KEPT: usize = 64 * 1024;

/// A host that prints for so long without beginning the command is running something else.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs a command until it ends. Its deadline starts when it gets a session.
pub(super) async fn run<'a>(ssh: &'a Ssh, exec: Exec<'a>) -> Result<Output, RemoteError> {
    let (deadline, during) = (exec.deadline, exec.purpose.clone());
    let host = || ssh.host.clone();
    let (channel, _session) = ssh.link.session(&during, deadline).await?;
    match timeout(deadline, converse(ssh, exec, channel)).await {
        Ok(result) => result,
        Err(_) => Err(RemoteError::TimedOut { host: host(), during, deadline }),
    }
}

async fn converse<'a>(
    ssh: &'a Ssh,
    exec: Exec<'a>,
    channel: Channel<Msg>,
) -> Result<Output, RemoteError> {
    let Exec { purpose, argv, user, input, on_line, .. } = exec;
    let by_sudo = user == As::Root && ssh.user != "root";
    let password = ssh.sudo_password.as_ref().filter(|_| by_sudo);
    let script = match by_sudo {
        true => sudo::script(&argv, password.is_some()),
        false => to_script(&argv),
    };
    let mark = Mark::new(rand::random());
    let (reader, writer) = channel.split();
    let mut call = Conversation {
        ssh,
        purpose,
        cancel_on_drop: CancelOnDrop { writer: Arc::new(writer), ended: false },
        password,
        beginnings: [Beginning::new(&mark), Beginning::new(&mark)],
        talks_since: None,
        preamble: by_sudo.then(Preamble::default),
        stdout: Stdout::new(on_line),
        stderr: Vec::new(),
        status: None,
    };
    call.start(&mark.before(&script)).await?;
    call.hold(reader, input).await
}

/// Ends the command if the call is abandoned: at its deadline, or when it is dropped.
///
/// Its input and output are closed, and it gets a signal. sshd passes the signal on only to the
/// login user's own commands, not to root's: such a command runs on until it reads, writes or
/// ends.
struct CancelOnDrop {
    writer: Arc<ChannelWriteHalf<Msg>>,
    /// The command has ended by itself.
    ended: bool,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.ended {
            return;
        }
        let writer = self.writer.clone();
        runtime.spawn(async move {
            // If the connection is lost, there is nothing left to end.
            let _ = writer.signal(Sig::TERM).await;
            let _ = writer.close().await;
        });
    }
}

/// A command under way.
struct Conversation<'a> {
    ssh: &'a Ssh,
    purpose: String,
    cancel_on_drop: CancelOnDrop,
    password: Option<&'a Secret>,
    /// For standard output and standard error.
    beginnings: [Beginning; 2],
    /// Since when the host has printed on standard output without beginning the command.
    talks_since: Option<Instant>,
    /// Sudo's part of standard error, until the command itself begins.
    preamble: Option<Preamble>,
    stdout: Stdout<'a>,
    stderr: Vec<u8>,
    status: Option<u32>,
}

impl Conversation<'_> {
    async fn start(&mut self, script: &str) -> Result<(), RemoteError> {
        // The answer arrives with the output: waiting for it would cost a round trip.
        let sent = self.cancel_on_drop.writer.exec(true, to_login_shell(script)).await;
        sent.map_err(|_| self.lost())?;
        let (host, purpose) = (self.ssh.host.clone(), self.purpose.clone());
        self.ssh.events.emit(&Event::Executed { host, purpose });
        Ok(())
    }

    async fn hold(
        mut self,
        mut reader: ChannelReadHalf,
        input: Input,
    ) -> Result<Output, RemoteError> {
        let writer = self.cancel_on_drop.writer.clone();
        let feed = feed(&writer, input, self.ssh.link.pace.clone());
        tokio::pin!(feed);
        // Sudo may read a password from the input: nothing else may be sent before it.
        let mut feeding = self.password.is_none();
        loop {
            tokio::select! {
                fed = &mut feed, if feeding => {
                    feeding = false;
                    fed.map_err(|source| self.input_failed(source))?;
                }
                () = self.patience() => return Err(self.not_run("and does not end")),
                problem = stuck(self.preamble.as_ref(), self.ssh.sudo_patience) => {
                    return Err(self.sudo_failed(problem));
                }
                message = reader.wait() => match message {
                    None => return Err(self.lost()),
                    Some(ChannelMsg::Close) => return self.finish(),
                    Some(message) => {
                        let started = self.take(message).await?;
                        feeding |= started && self.password.is_some();
                    }
                }
            }
        }
    }

    /// Takes a message; returns whether it shows that sudo let the command run.
    async fn take(&mut self, message: ChannelMsg) -> Result<bool, RemoteError> {
        match message {
            ChannelMsg::Data { data } => self.take_stdout(&data)?,
            ChannelMsg::ExtendedData { data, .. } => {
                return self.take_stderr(&data).await;
            }
            ChannelMsg::ExitStatus { exit_status } => self.status = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.status = Some(128 + number_of(&signal_name));
            }
            ChannelMsg::Failure => {
                return Err(RemoteError::Refused {
                    host: self.ssh.host.clone(),
                    during: self.purpose.clone(),
                    said: "it runs no commands for this user".to_owned(),
                });
            }
            _ => {}
        }
        Ok(false)
    }

    fn take_stdout(&mut self, data: &[u8]) -> Result<(), RemoteError> {
        let [beginning, _] = &mut self.beginnings;
        if beginning.has_begun() {
            return self.stdout.take(data).map_err(|much| self.too_much(much));
        }
        let mut own = data.to_vec();
        beginning.read(&mut own);
        self.talks_since = match beginning.has_begun() {
            true => None,
            false => self.talks_since.or_else(|| Some(Instant::now())),
        };
        self.stdout.take(&own).map_err(|much| self.too_much(much))
    }

    fn too_much(&self, TooMuch { what, most_mib }: TooMuch) -> RemoteError {
        let (host, during) = (self.ssh.host.clone(), self.purpose.clone());
        RemoteError::TooMuch { host, during, what, most_mib }
    }

    async fn take_stderr(&mut self, data: &[u8]) -> Result<bool, RemoteError> {
        let mut bytes = data.to_vec();
        let [_, beginning] = &mut self.beginnings;
        beginning.read(&mut bytes);
        let call = self.preamble.as_mut().and_then(|sudo| sudo.read(&mut bytes));
        let mut started = false;
        match call {
            Some(Call::SendPassword) => self.send_password().await?,
            Some(Call::GiveUp) => {
                self.cancel_on_drop.writer.eof().await.map_err(|_| self.lost())?;
            }
            Some(Call::Start) => {
                self.preamble = None;
                started = true;
            }
            None => {}
        }
        self.stderr.extend_from_slice(&bytes);
        // Truncated rarely, so that truncating endless output costs little.
        if self.stderr.len() > 2 * STDERR_KEPT {
            keep_end(&mut self.stderr);
        }
        Ok(started)
    }

    async fn send_password(&mut self) -> Result<(), RemoteError> {
        let Some(password) = self.password else { return Ok(()) };
        let line = Secret::new(format!("{}\n", password.expose()));
        let sent = self.cancel_on_drop.writer.data(line.expose().as_bytes()).await;
        sent.map_err(|_| self.lost())
    }

    fn sudo_failed(&self, source: SudoProblem) -> RemoteError {
        let (host, during) = (self.ssh.host.clone(), self.purpose.clone());
        RemoteError::Sudo { host, during, source }
    }

    /// Ends when the host has printed for too long without beginning the command.
    fn patience(&self) -> impl Future<Output = ()> + use<> {
        let until = self.talks_since.map(|since| since + PATIENCE);
        async move {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        }
    }

    fn not_run(&self, ended: &str) -> RemoteError {
        let [stdout, stderr] = &self.beginnings;
        let said = last_words(&[stdout.before(), b"\n", stderr.before()].concat());
        let said = match said.is_empty() {
            true => format!("it says nothing {ended}"),
            false => format!("it says `{said}` {ended}"),
        };
        let (host, user) = (self.ssh.host.clone(), self.ssh.user.clone());
        RemoteError::NotRun { host, user, during: self.purpose.clone(), said }
    }

    fn finish(mut self) -> Result<Output, RemoteError> {
        self.cancel_on_drop.ended = true;
        let host = self.ssh.host.clone();
        let has_begun = self.beginnings[0].has_begun();
        let Some(status) = self.status else {
            if self.talks_since.is_some() {
                return Err(self.not_run("and ends without a status"));
            }
            let during = format!("{} (it ended without a status)", self.purpose);
            return Err(RemoteError::Lost { host, during });
        };
        if !has_begun {
            return Err(self.not_run(&format!("and ends with status {status}")));
        }
        if let Some(preamble) = &self.preamble {
            return Err(self.sudo_failed(preamble.diagnose(status)));
        }
        keep_end(&mut self.stderr);
        let [stdout, stderr] = &self.beginnings;
        let greeting = [stdout.before(), stderr.before()].concat();
        Ok(Output { status, stdout: self.stdout.end(), stderr: self.stderr, greeting })
    }

    fn lost(&self) -> RemoteError {
        self.ssh.link.lost(&self.purpose)
    }

    fn input_failed(&self, source: io::Error) -> RemoteError {
        let host = self.ssh.host.clone();
        RemoteError::Input { host, during: self.purpose.clone(), source }
    }
}

/// Why sudo is stuck, once it has been silent for too long; never ends if sudo does not run.
async fn stuck(preamble: Option<&Preamble>, question: Duration) -> SudoProblem {
    match preamble.and_then(|it| Some((it, it.patience(question)?))) {
        Some((preamble, patience)) => {
            sleep(patience).await;
            preamble.stuck()
        }
        None => std::future::pending().await,
    }
}

/// Sends the input and its end, in pieces. It is no error if the command does not read it: its
/// status shows whether it failed.
async fn feed(
    writer: &ChannelWriteHalf<Msg>,
    input: Input,
    mut pace: Pace,
) -> io::Result<()> {
    let mut stream: Box<dyn AsyncRead + Send + Unpin> = match input {
        Input::Empty => Box::new(tokio::io::empty()),
        Input::Bytes(bytes) => Box::new(Cursor::new(bytes)),
        Input::Stream(stream) => stream,
    };
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let n_bytes = stream.read_buf(&mut piece).await?;
        if n_bytes == 0 {
            break;
        }
        let before = pace.sent();
        if writer.data_bytes(piece).await.is_err() {
            return Ok(());
        }
        pace.beyond(before, n_bytes).await;
    }
    // The channel may already be closed; then the end of the input is not needed.
    let _ = writer.eof().await;
    Ok(())
}

fn keep_end(bytes: &mut Vec<u8>) {
    let excess = bytes.len().saturating_sub(STDERR_KEPT);
    bytes.drain(..excess);
}

/// The number of a signal on Linux; 0 if it has no number.
fn number_of(signal: &Sig) -> u32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(name) if name == "USR2" => 12,
        Sig::Custom(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_text_is_kept() {
        let mut bytes = vec![b'a'; STDERR_KEPT];
        bytes.extend_from_slice(b"end");
        keep_end(&mut bytes);
        assert_eq!(bytes.len(), STDERR_KEPT);
        assert!(bytes.ends_with(b"aend"));
    }
}
