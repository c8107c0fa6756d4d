//! Finds the program that listens on a port of a host.

use std::time::Duration;

use crate::remote::{Argv, As, Exec, Input, Remote};

/// It reads two tables of the kernel, and asks Docker for its containers.
const DEADLINE: Duration = Duration::from_secs(10);

/// The listening programs, and the main processes of the platform's containers.
const SCRIPT: &str = r#"ss -Hltnp "sport = :$1" && echo asked
command -v docker >/dev/null || exit 0
export DOCKER_HOST=unix:///var/run/docker.sock
docker ps --quiet --filter name=^platform- | xargs -r docker inspect --format 'ours {{.State.Pid}}'"#;

/// The program that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listener {
    /// A container of the platform; its unit may be about to restart it.
    Ours,
    /// Another program, such as `nginx (process 812)`.
    Other(String),
    /// None: the program has ended since the host was probed.
    Nobody,
    /// The host cannot determine it.
    Unknown,
}

/// Asks a host which program listens on a TCP port. It only reads.
pub async fn listener(remote: &dyn Remote, port: u16) -> Listener {
    let exec = Exec {
        purpose: format!("find the program on port {port}"),
        argv: Argv::new(["sh", "-c", SCRIPT, "listener", &port.to_string()]),
        user: As::Root,
        input: Input::Empty,
        on_line: None,
        deadline: DEADLINE,
    };
    match remote.exec(exec).await {
        Ok(output) => read(&String::from_utf8_lossy(&output.stdout)),
        Err(_) => Listener::Unknown,
    }
}

fn read(said: &str) -> Listener {
    let Some((name, pid)) = said.lines().find_map(program) else {
        let nobody = said.lines().next() == Some("asked");
        return if nobody { Listener::Nobody } else { Listener::Unknown };
    };
    let mut ours = said.lines().filter_map(|line| line.strip_prefix("ours "));
    match ours.any(|ours| ours == pid) {
        true => Listener::Ours,
        false => Listener::Other(format!("{name} (process {pid})")),
    }
}

/// The first program in a line of `ss`, such as `users:(("nginx",pid=812,fd=6))`.
fn program(line: &str) -> Option<(&str, &str)> {
    let (_, users) = line.split_once("users:((\"")?;
    let (name, rest) = users.split_once('"')?;
    let (_, pid) = rest.split_once("pid=")?;
    Some((name, pid.split(',').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "LISTEN 0 511 0.0.0.0:2181 0.0.0.0:* \
                        users:((\"nginx\",pid=812,fd=6),(\"nginx\",pid=811,fd=6))\n";

    #[test]
    fn the_program_that_listens_is_named() {
        let expected = Listener::Other("nginx (process 812)".to_owned());
        assert_eq!(read(LINE), expected);
        assert_eq!(read(&format!("{LINE}ours 81\nours 8120\n")), expected);
    }

    #[test]
    fn a_container_of_ours_is_no_stranger() {
        assert_eq!(read(&format!("{LINE}ours 77\nours 812\n")), Listener::Ours);
    }

    #[test]
    fn who_has_ended_since_is_nobody() {
        assert_eq!(read("asked\nours 812\n"), Listener::Nobody);
    }

    #[test]
    fn a_host_that_names_nobody_leaves_it_open() {
        assert_eq!(read(""), Listener::Unknown);
        let unnamed = "LISTEN 0 511 0.0.0.0:2181 0.0.0.0:*\nasked\n";
        assert_eq!(read(unnamed), Listener::Unknown);
    }
}
