//! HAProxy: its runtime API, its master, its check and its file. Decides nothing.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use tempfile::NamedTempFile;

use crate::change::Command;
use crate::servers_state::{self, Backends, NotState};
use crate::settings::Haproxy;

const ANSWER: Duration = Duration::from_secs(3);
const CHECK: Duration = Duration::from_secs(30);
const NEW_WORKER: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// HAProxy reads a line of at most 16 KiB.
const MAX_LINE: usize = 8 * 1024;

/// Why HAProxy does not do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum HaproxyError {
    /// Its socket does not answer.
    #[error("HAProxy does not answer at {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its answer is not what is expected.
    #[error(transparent)]
    NotState(#[from] NotState),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("cannot run {}", path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The configuration does not load.
    #[error("HAProxy refuses the configuration: {0}")]
    Refused(String),
    /// No new worker came.
    #[error(
        "HAProxy has not started a worker with the new configuration; its log says why"
    )]
    NoNewWorker,
}

/// HAProxy on this host.
#[derive(Debug, Clone)]
pub struct Control {
    paths: Haproxy,
}

impl Control {
    /// Uses these files and sockets.
    pub fn new(paths: Haproxy) -> Self {
        Self { paths }
    }

    /// What the servers do: of one backend, or of all.
    ///
    /// # Errors
    ///
    /// If HAProxy does not answer, or says something else.
    pub fn state(&self, backend: Option<&str>) -> Result<Backends, HaproxyError> {
        let command = format!("show servers state {}", backend.unwrap_or_default());
        Ok(servers_state::parse(&ask(&self.paths.admin_socket, command.trim_end())?)?)
    }

    /// Runs commands in their order. Returns what HAProxy objected to.
    ///
    /// # Errors
    ///
    /// If HAProxy does not answer.
    pub fn run(&self, commands: &[Command]) -> Result<Vec<String>, HaproxyError> {
        let mut objections = Vec::new();
        for line in lines(commands) {
            let answer = ask(&self.paths.admin_socket, &line)?;
            objections.extend(objections_in(&answer));
        }
        Ok(objections)
    }

    /// Checks a text together with the base file.
    ///
    /// # Errors
    ///
    /// If it does not load, or the check cannot be made.
    pub fn check(&self, text: &str) -> Result<(), HaproxyError> {
        let file = self.temporary(text)?;
        self.check_file(file.path())
    }

    /// Checks a text and puts it in the place of the file.
    ///
    /// # Errors
    ///
    /// As [`Self::check`], and if the file cannot be replaced.
    pub fn check_and_write(&self, text: &str) -> Result<(), HaproxyError> {
        let file = self.temporary(text)?;
        self.check_file(file.path())?;
        replace(file, &self.paths.apps)
    }

    /// Puts a text in the place of the file, without a check.
    ///
    /// # Errors
    ///
    /// If the file cannot be replaced.
    pub fn write(&self, text: &str) -> Result<(), HaproxyError> {
        replace(self.temporary(text)?, &self.paths.apps)
    }

    /// Makes HAProxy load its files again, and waits for the worker that has. Connections are
    /// handed over, and what its servers did: otherwise it would first think that all are up.
    ///
    /// # Errors
    ///
    /// If no new worker comes, for example since a port is in use, or if a file cannot be written.
    pub fn reload(&self) -> Result<(), HaproxyError> {
        let servers = ask(&self.paths.admin_socket, "show servers state")?;
        replace(self.temporary(&servers)?, &self.paths.servers)?;
        let before = self.worker()?;
        let n_before = self.master()?.n_reloads;
        // The master starts itself anew, so its answer may be cut.
        match ask(&self.paths.master_socket, "reload") {
            Err(HaproxyError::Socket { source, .. }) if is_cut(&source) => {}
            other => drop(other?),
        }
        let has_failed =
            |master: Master| master.n_reloads > n_before && master.has_failed;
        let deadline = Instant::now() + NEW_WORKER;
        while Instant::now() < deadline {
            if self.worker().is_ok_and(|now| now != before) {
                return Ok(());
            }
            if self.master().is_ok_and(has_failed) {
                break;
            }
            thread::park_timeout(POLL);
        }
        Err(HaproxyError::NoNewWorker)
    }

    fn master(&self) -> Result<Master, HaproxyError> {
        Ok(Master::parse(&ask(&self.paths.master_socket, "show proc")?))
    }

    /// The process of the worker that takes connections.
    ///
    /// # Errors
    ///
    /// If HAProxy does not answer.
    pub fn worker(&self) -> Result<String, HaproxyError> {
        let info = ask(&self.paths.admin_socket, "show info")?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid: "));
        Ok(pid.unwrap_or_default().to_owned())
    }

    /// A new file beside the one with the apps.
    fn temporary(&self, text: &str) -> Result<NamedTempFile, HaproxyError> {
        let folder = self.paths.apps.parent().unwrap_or(Path::new("/"));
        let made =
            tempfile::Builder::new().prefix(".apps-").suffix(".cfg").tempfile_in(folder);
        let written = made.and_then(|mut file| {
            // HAProxy may read what it could read before.
            if let Ok(before) = fs::metadata(&self.paths.apps) {
                file.as_file().set_permissions(before.permissions())?;
            }
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            Ok(file)
        });
        written.map_err(|source| cannot_write(&self.paths.apps, source))
    }

    fn check_file(&self, apps: &Path) -> Result<(), HaproxyError> {
        let path = &self.paths.command;
        let mut process = Process::new(path);
        process.args(["-c", "-f"]).arg(&self.paths.base).arg("-f").arg(apps);
        let failed = |source| HaproxyError::Run { path: path.clone(), source };
        let (status, output) = finish(&mut process).map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        Err(HaproxyError::Refused(reason(&output, apps)))
    }
}

/// What the master tells about itself: `PID master 3 [failed: 1] …`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Master {
    n_reloads: u64,
    has_failed: bool,
}

impl Master {
    fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut master = lines.filter_map(|words| match words[..] {
            [_, "master", n, "[failed:", failed, ..] => Some(Self {
                n_reloads: n.parse().unwrap_or_default(),
                has_failed: failed != "0]",
            }),
            _ => None,
        });
        master.next_back().unwrap_or_default()
    }
}

/// Which of these ports another program listens on. HAProxy would try for two seconds to listen
/// there, and meanwhile serve nobody.
pub fn taken_ports(bind: &str, ports: &BTreeSet<u16>) -> BTreeSet<u16> {
    let ip = if bind == "*" { "0.0.0.0" } else { bind };
    let is_taken = |port: &u16| {
        let error = TcpListener::bind((ip, *port)).err();
        error.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    ports.iter().copied().filter(is_taken).collect()
}

fn replace(file: NamedTempFile, path: &Path) -> Result<(), HaproxyError> {
    let replaced = file.persist(path).map_err(|error| error.error).and_then(|_| {
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::File::open(folder)?.sync_all()
    });
    replaced.map_err(|source| cannot_write(path, source))
}

fn cannot_write(path: &Path, source: io::Error) -> HaproxyError {
    HaproxyError::Write { path: path.to_owned(), source }
}

fn ask(path: &Path, line: &str) -> Result<String, HaproxyError> {
    let asked = || {
        let mut stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        // The master would wait for more.
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    asked().map_err(|source| HaproxyError::Socket { path: path.to_owned(), source })
}

fn is_cut(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// The commands on as few lines as HAProxy takes.
fn lines(commands: &[Command]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for command in commands.iter().map(Command::text) {
        match lines.last_mut().filter(|line| line.len() + command.len() < MAX_LINE) {
            Some(line) => *line += &format!(";{command}"),
            None => lines.push(command),
        }
    }
    lines
}

/// What in an answer is not about a change that was made.
fn objections_in(answer: &str) -> Vec<String> {
    let is_fine = |line: &&str| {
        line.is_empty()
            || line.starts_with("IP changed from")
            || line.starts_with("port changed from")
            || line.starts_with("no need to change")
    };
    let lines = answer.lines().map(str::trim);
    lines.filter(|line| !is_fine(line)).map(str::to_owned).collect()
}

/// Runs a process to its end, which must come in time.
fn finish(process: &mut Process) -> io::Result<(ExitStatus, String)> {
    let piped = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    let (done, output) = mpsc::channel();
    if let Some(mut stderr) = child.stderr.take() {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            let _ = done.send(String::from_utf8_lossy(&text).into_owned());
        });
    }
    match output.recv_timeout(CHECK) {
        Ok(text) => Ok((child.wait()?, text)),
        Err(_) => Err(stop(&mut child)),
    }
}

fn stop(child: &mut Child) -> io::Error {
    let _ = child.kill();
    let _ = child.wait();
    io::ErrorKind::TimedOut.into()
}

/// HAProxy's alerts, without what is the same in all of them.
fn reason(output: &str, apps: &Path) -> String {
    let alerts = output.lines().filter(|line| line.starts_with("[ALERT]"));
    let file = apps.display().to_string();
    let plain = alerts.map(|line| {
        let text = line.split_once(" : ").map_or(line, |(_, text)| text);
        text.trim_start_matches("config : ").replace(&file, "apps")
    });
    let all: Vec<String> =
        plain.filter(|text| !text.contains("Fatal errors found")).collect();
    match all.is_empty() {
        false => all.join("; "),
        true => output.trim().replace('\n', "; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Act;

    #[test]
    fn commands_share_lines_that_are_short_enough() {
        let command = |n: usize| Command {
            backend: format!("web_{n}"),
            slot: "s1".to_owned(),
            address: ([10, 0, 0, 1], 31_000).into(),
            act: Act::Drain,
        };
        let commands: Vec<Command> = (0..1000).map(command).collect();
        let lines = lines(&commands);
        assert!(lines.len() < 10 && lines.iter().all(|line| line.len() < MAX_LINE));
        assert_eq!(lines.join(";").matches("set server").count(), 1000);
    }

    #[test]
    fn only_what_is_not_a_change_is_an_objection() {
        let answer = "IP changed from '0.0.0.0' to '10.0.0.1', port changed from '1' to '2' by \
                      'stats socket command'\n\nNo such server.\n\n";
        assert_eq!(objections_in(answer), ["No such server."]);
    }

    #[test]
    fn the_master_tells_whether_its_last_reload_failed() {
        let text = "#<PID>          <type>          <reloads>       <uptime>        <version>\n\
            18835           master          3 [failed: 1]   0d00h00m04s     2.6.12\n\
            # workers\n18854           worker          1               0d00h00m04s     2.6.12\n";
        let expected = Master { n_reloads: 3, has_failed: true };
        assert_eq!(Master::parse(text), expected);
        assert!(!Master::parse(&text.replace("failed: 1", "failed: 0")).has_failed);
    }

    #[test]
    fn a_refusal_is_the_alert_alone() {
        let output = "[NOTICE]   (1) : haproxy version is 2.6.12\n\
            [ALERT]    (1) : config : parsing [/var/.apps-x.cfg:3] : unknown keyword 'x'\n\
            [ALERT]    (1) : config : Fatal errors found in configuration.\n";
        assert_eq!(
            reason(output, Path::new("/var/.apps-x.cfg")),
            "parsing [apps:3] : unknown keyword 'x'"
        );
    }
}
