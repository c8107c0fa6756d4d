//! The start of a machine: the keys that it gets, and when logins are possible.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::docker::docker;
use super::{LOGIN_USER, Machine, MachineError};
use crate::progress;
use crate::remote::Argv;
use crate::secret::Secret;

/// Fifty machines that start at once on two cores take half a minute.
const LOGIN: Duration = Duration::from_secs(120);
/// How long one try may take, and the pause before the next.
const ATTEMPT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);
const SSH_PORT: u16 = 22;

/// The keys of a new machine.
pub(super) struct Keys {
    private: Secret,
    /// The public half of the host key, as one OpenSSH line.
    pub(super) public: String,
    authorized: String,
}

impl Keys {
    /// Creates a host key; `authorized` may log in.
    pub(super) fn make(authorized: &str) -> Result<Self, MachineError> {
        let key = PrivateKey::random(&mut UnwrapErr(SysRng), Algorithm::Ed25519)?;
        Ok(Self {
            private: Secret::new(key.to_openssh(LineEnding::LF)?.as_str()),
            public: key.public_key().to_openssh()?,
            authorized: authorized.to_owned(),
        })
    }

    /// A tar archive of the files that the machine's image needs.
    pub(super) fn pack(&self) -> Result<Vec<u8>, MachineError> {
        let mut tar = tar::Builder::new(Vec::new());
        let host_key = "etc/ssh/ssh_host_ed25519_key";
        let authorized = format!("etc/ssh/authorized_keys/{LOGIN_USER}");
        append(&mut tar, host_key, self.private.expose(), 0o600)?;
        append(&mut tar, &format!("{host_key}.pub"), &line(&self.public), 0o644)?;
        append(&mut tar, &authorized, &line(&self.authorized), 0o644)?;
        Ok(tar.into_inner()?)
    }
}

/// Waits until the machine's sshd answers: its unit starts it when logins are allowed.
pub(super) async fn until_login(
    machine: &Machine,
    container: &str,
) -> Result<(), MachineError> {
    let address = SocketAddr::new(machine.address, SSH_PORT);
    let greets = async || -> Result<_, MachineError> {
        Ok(match timeout(ATTEMPT, greeting(address)).await {
            Ok(Ok(())) => ControlFlow::Break(()),
            Ok(Err(error)) => ControlFlow::Continue(error.to_string()),
            Err(_) => ControlFlow::Continue("sshd does not answer".to_owned()),
        })
    };
    match progress::poll(LOGIN, || PAUSE, |_| (), greets).await? {
        Ok(()) => Ok(()),
        Err(seen) => {
            let seen = format!("{seen}; {}", state(container).await);
            let (host, container) = (machine.host.clone(), container.to_owned());
            Err(MachineError::NoLogin { host, container, deadline: LOGIN, seen })
        }
    }
}

async fn greeting(address: SocketAddr) -> std::io::Result<()> {
    let mut start = [0; 4];
    TcpStream::connect(address).await?.read_exact(&mut start).await?;
    match &start {
        b"SSH-" => Ok(()),
        _ => {
            Err(std::io::Error::other("the program that answers on port 22 is not sshd"))
        }
    }
}

async fn state(container: &str) -> String {
    let format = "the container is {{.State.Status}}, exit code {{.State.ExitCode}}";
    let ask =
        Argv::new(["docker", "container", "inspect", "--format", format, container]);
    match docker(&ask).await {
        Ok(state) => state.trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    text: &str,
    mode: u32,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path, text.as_bytes())
}

fn line(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    #[test]
    fn a_machine_gets_its_own_host_key_and_who_may_log_in() {
        let keys = Keys::make("ssh-ed25519 AAAALOGIN me").unwrap();
        let packed = keys.pack().unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(packed.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = entry.path().unwrap().display().to_string();
            files.insert(path, (entry.header().mode().unwrap(), text));
        }
        let (mode, private) = &files["etc/ssh/ssh_host_ed25519_key"];
        assert_eq!(*mode, 0o600);
        let public = PrivateKey::from_openssh(private).unwrap().public_key().to_openssh();
        assert_eq!(public.unwrap(), keys.public);
        let authorized = &files["etc/ssh/authorized_keys/platform"].1;
        assert_eq!(authorized, "ssh-ed25519 AAAALOGIN me\n");
    }

    #[test]
    fn no_two_machines_share_a_host_key() {
        let public = || Keys::make("x").unwrap().public;
        assert_ne!(public(), public());
    }
}
