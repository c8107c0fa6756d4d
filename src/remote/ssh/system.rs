//! Builds the command line that starts this computer's own `ssh` on a host, for `platform ssh`.
//!
//! Pure. It must log in with the same key, and trust the same hosts, as the program itself.

use std::path::Path;

use crate::remote::known_hosts::{self, Key, LookupName};
use crate::remote::{Argv, config, to_shell};

use super::Target;
use super::route::JumpSpec;

/// Why somebody logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A shell, or what the operator's own settings run instead.
    Shell,
    /// A command for the host, whose words are appended.
    Command {
        /// Whether its input and output are a terminal. If so, it may also have a terminal on the
        /// host if the operator's settings ask for one.
        on_terminal: bool,
    },
}

/// The command that logs in to a target with this computer's own `ssh`.
///
/// Unknown host keys are refused without a question: connect once through
/// [`Connector`](super::Connector) first. The pins are passed as a global file, which `ssh` never
/// writes, and which leaves the operator's own file of known hosts in use.
pub fn system_ssh(
    target: &Target,
    pins: &Path,
    ssh_config: Option<&Path>,
    purpose: Purpose,
) -> Argv {
    let mut words = start(target, ssh_config);
    if let Purpose::Command { on_terminal } = purpose {
        // OpenSSH accepts only one command: the operator's or this one.
        words.extend(option("RemoteCommand=none".to_owned()));
        if !on_terminal {
            words.extend(option("RequestTTY=no".to_owned()));
        }
    }
    words.extend(trust(target, pins));
    let jumps = target.access.jump.iter().filter_map(|text| text.parse().ok());
    let jumps: Vec<JumpSpec> = jumps.collect();
    let mut jump = start(target, ssh_config);
    jump.extend(option(global_file(pins)));
    jump.extend(option("RemoteCommand=none".to_owned()));
    if let Some(command) = proxy_command(&jumps, &jump) {
        words.extend(option(format!("ProxyCommand={command}")));
    }
    words.extend(login(&JumpSpec {
        user: target.access.user.clone(),
        host: target.address.clone(),
        port: target.access.port,
    }));
    Argv::new(words)
}

/// The program, and the options for the target and its jump hosts alike.
fn start(target: &Target, ssh_config: Option<&Path>) -> Vec<String> {
    let mut words = vec!["ssh".to_owned()];
    match (target.operator_config, ssh_config) {
        (false, _) => words.extend(["-F", "none"].map(str::to_owned)),
        (true, Some(file)) => {
            words.extend(["-F".to_owned(), file.display().to_string()]);
        }
        (true, None) => {}
    }
    words.extend(option("StrictHostKeyChecking=yes".to_owned()));
    if let Some(key) = &target.access.key {
        words.extend(["-i".to_owned(), config::expand_home(key).display().to_string()]);
        words.extend(option("IdentitiesOnly=yes".to_owned()));
    }
    words
}

/// Where the target's key may be known from.
fn trust(target: &Target, pins: &Path) -> Vec<String> {
    let vouched: Vec<Key> =
        target.host_keys.iter().filter_map(|line| Key::parse(line)).collect();
    if vouched.is_empty() {
        return option(global_file(pins)).to_vec();
    }
    let name = LookupName::new(&target.address, target.access.port.unwrap_or(22));
    let lines = vouched.iter().map(|key| known_hosts::render(&name, key));
    let print = ["/usr/bin/printf".to_owned(), "%%s\\n".to_owned()].into_iter();
    let lines = lines.map(|line| line.trim_end().to_owned());
    let command = to_shell(&Argv::new(print.chain(lines)));
    ["GlobalKnownHostsFile=none", "UserKnownHostsFile=none"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("KnownHostsCommand={command}")])
        .flat_map(option)
        .collect()
}

fn global_file(pins: &Path) -> String {
    format!(
        "GlobalKnownHostsFile=\"{}\" /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2",
        pins.display()
    )
}

/// The command whose input and output are the connection through the jump hosts. `ssh -J` would
/// not pass this program's options on to them.
fn proxy_command(jumps: &[JumpSpec], start: &[String]) -> Option<String> {
    let (last, before) = jumps.split_last()?;
    let inner = proxy_command(before, start).map(|inner| format!("ProxyCommand={inner}"));
    let options = inner.map(option).into_iter().flatten();
    let rest = start.iter().cloned().chain(options).chain(login(last));
    // The outer `ssh` replaces `%` tokens in the whole text, including the inner command.
    let mut words: Vec<String> = rest.map(|word| word.replace('%', "%%")).collect();
    words.splice(1..1, ["-W", "[%h]:%p"].map(str::to_owned));
    Some(to_shell(&Argv::new(words)))
}

fn login(server: &JumpSpec) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(user) = &server.user {
        words.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = server.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.extend(["--".to_owned(), server.host.clone()]);
    words
}

fn option(setting: String) -> [String; 2] {
    ["-o".to_owned(), setting]
}
