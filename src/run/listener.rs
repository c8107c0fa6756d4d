//! Names the program that listens on a port of a host.

use std::time::Duration;

use crate::remote::{Argv, As, Exec, Input, Remote};

/// It reads two tables of the kernel.
const DEADLINE: Duration = Duration::from_secs(10);

/// The program that listens on a TCP port, such as `nginx (process 812)`; none where the host
/// cannot tell. It only reads.
pub async fn listener(remote: &dyn Remote, port: u16) -> Option<String> {
    let exec = Exec {
        purpose: format!("who listens on port {port}"),
        argv: Argv::new(["ss", "-Hltnp", &format!("sport = :{port}")]),
        user: As::Root,
        input: Input::Empty,
        on_line: None,
        deadline: DEADLINE,
    };
    let output = remote.exec(exec).await.ok()?;
    program(&String::from_utf8_lossy(&output.stdout))
}

/// The first program in what `ss` says, such as `users:(("nginx",pid=812,fd=6))`.
fn program(said: &str) -> Option<String> {
    let (_, users) = said.split_once("users:((\"")?;
    let (name, rest) = users.split_once('"')?;
    let (_, pid) = rest.split_once("pid=")?;
    let pid = pid.split(',').next()?;
    Some(format!("{name} (process {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_listens_is_named() {
        let said = "LISTEN 0 511 0.0.0.0:2181 0.0.0.0:* \
                    users:((\"nginx\",pid=812,fd=6),(\"nginx\",pid=811,fd=6))\n";
        assert_eq!(program(said).unwrap(), "nginx (process 812)");
    }

    #[test]
    fn a_host_that_names_nobody_leaves_it_open() {
        assert_eq!(program(""), None);
        assert_eq!(program("LISTEN 0 511 0.0.0.0:2181 0.0.0.0:*\n"), None);
    }
}
