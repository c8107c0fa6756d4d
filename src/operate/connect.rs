//! Connects to hosts: one connection for each, kept for the whole verb.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::time::{Instant, sleep};

use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::{RunContext, machines};
use crate::event::{Event, in_words};
use crate::host::HostName;
use crate::inventory::{Component, SecretSource, SshAccess};
use crate::provider::{self, MachineLogin};
use crate::remote::ssh::{
    Connector, Purpose, ReconnectingSsh, Settings, Target, Timing, system_ssh,
};
use crate::remote::{Argv, RemoteError};
use crate::run::{Fleet, booted};
use crate::secret::Secret;
use crate::topology::Machine;

/// The longest that a newly launched machine may take to accept a login.
const BOOT: Duration = Duration::from_secs(300);
/// The pause between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Connects to these machines in parallel; returns the errors of those that cannot be reached.
///
/// # Errors
/// When a file, variable or secret that the login needs is missing.
pub(super) async fn connect(
    files: &ClusterFiles,
    machines: &[Machine],
    ctx: &RunContext<'_>,
) -> Result<(Fleet, Vec<(HostName, RemoteError)>), Error> {
    connect_some(files, machines, &BTreeSet::new(), ctx).await
}

/// Connects to all of these machines.
///
/// # Errors
/// When a machine cannot be reached: the error names all of these.
pub(super) async fn connect_all(
    files: &ClusterFiles,
    machines: &[Machine],
    ctx: &RunContext<'_>,
) -> Result<Fleet, Error> {
    connect_booting(files, machines, &BTreeSet::new(), ctx).await
}

/// Connects to all of these machines. Those that may be booting are tried again until they accept
/// a login, for at most five minutes, and then waited for until they have started their units.
///
/// # Errors
/// When a machine cannot be reached: the error names all of these.
pub(super) async fn connect_booting(
    files: &ClusterFiles,
    machines: &[Machine],
    booting: &BTreeSet<HostName>,
    ctx: &RunContext<'_>,
) -> Result<Fleet, Error> {
    let (fleet, mut failed) = connect_some(files, machines, booting, ctx).await?;
    if failed.is_empty() {
        return Ok(fleet);
    }
    failed.sort_by(|(a, _), (b, _)| a.cmp(b));
    Err(Error::Unreachable(failed.into_iter().map(|(_, error)| error).collect()))
}

/// Connects to these machines in parallel, and waits for those that may be booting as
/// [`connect_booting`] does; returns the errors of those that cannot be reached.
///
/// # Errors
/// When a file, variable or secret that the login needs is missing.
pub(super) async fn connect_some(
    files: &ClusterFiles,
    machines: &[Machine],
    booting: &BTreeSet<HostName>,
    ctx: &RunContext<'_>,
) -> Result<(Fleet, Vec<(HostName, RemoteError)>), Error> {
    ctx.begin("connecting to the hosts")?;
    let ask = ctx.ask.clone();
    let settings = Settings {
        pins: files.state.known_hosts(),
        new_pins: files.state.new_pins(),
        ask: Some(Arc::new(move |contact| ask.trust(contact))),
        ssh_config: None,
        timing: Timing::default(),
        clock: ctx.clock.clone(),
    };
    let connector = Arc::new(Connector::new(settings, ctx.events.clone()));
    let login = Login::of(files, ctx)?;
    let connecting: Vec<_> = machines
        .iter()
        .map(|machine| {
            let (connector, target) = (connector.clone(), login.target(machine));
            let is_booting = booting.contains(&machine.host);
            async move {
                let connected = match is_booting {
                    true => once_units_started(connector, target, ctx).await,
                    false => ReconnectingSsh::connect(connector, target).await,
                };
                (machine.host.clone(), connected)
            }
        })
        .collect();
    let mut connecting = stream::iter(connecting).buffer_unordered(machines.len().max(1));
    let (mut fleet, mut failed) = (Fleet::new(), Vec::new());
    while let Some((host, connected)) = connecting.next().await {
        match connected {
            Ok(ssh) => {
                fleet.insert(host, Arc::new(ssh));
            }
            Err(error) => failed.push((host, error)),
        }
    }
    Ok((fleet, failed))
}

/// Connects to these machines, of which some may be booting. Only those that run one of the
/// `needed` components have to be reachable; returns the others that are not. A machine that shows
/// another key, or refuses the login, stops the run.
///
/// # Errors
/// When a machine that has to be reachable is not: the error names all of these.
pub(super) async fn connect_to(
    files: &ClusterFiles,
    (machines, booting): (&[Machine], &BTreeSet<HostName>),
    needed: &[Component],
    ctx: &RunContext<'_>,
) -> Result<(Fleet, Vec<HostName>), Error> {
    let (fleet, failed) = connect_some(files, machines, booting, ctx).await?;
    let is_needed = |host: &HostName| {
        let machine = machines.iter().find(|machine| machine.host == *host);
        let group = machine.and_then(|machine| {
            files.inventory.groups.iter().find(|group| group.name == machine.group)
        });
        group.is_none_or(|group| needed.iter().any(|it| files.inventory.runs(group, *it)))
    };
    let (needed, silent): (Vec<_>, Vec<_>) = failed
        .into_iter()
        .partition(|(host, error)| is_needed(host) || !error.kind().is_away());
    match needed.is_empty() {
        true => Ok((fleet, silent.into_iter().map(|(host, _)| host).collect())),
        false => {
            let errors = needed.into_iter().map(|(_, error)| error).collect();
            Err(Error::Unreachable(errors))
        }
    }
}

/// Connects to a machine that may be booting, once its units can be checked.
async fn once_units_started(
    connector: Arc<Connector>,
    target: Target,
    ctx: &RunContext<'_>,
) -> Result<ReconnectingSsh, RemoteError> {
    let host = target.host.clone();
    let connected = once_booted(connector, target, ctx).await?;
    let stopped = || ctx.is_stopped();
    booted::until_units_started((&host, &connected), &ctx.events, &stopped).await?;
    Ok(connected)
}

/// Connects to a machine that may be booting, and reports its state meanwhile.
async fn once_booted(
    connector: Arc<Connector>,
    target: Target,
    ctx: &RunContext<'_>,
) -> Result<ReconnectingSsh, RemoteError> {
    let begun = Instant::now();
    let mut last = String::new();
    loop {
        let error =
            match ReconnectingSsh::connect(connector.clone(), target.clone()).await {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
        if !error.kind().is_away() || ctx.is_stopped() || begun.elapsed() > BOOT {
            return Err(error);
        }
        let seen = in_words(&error);
        if seen != last {
            let gate = format!("{} accepts a login", target.host);
            ctx.events.emit(&Event::Waiting { gate, seen: seen.clone() });
            last = seen;
        }
        sleep(PAUSE).await;
    }
}

/// The command line that logs in to a host with this computer's own `ssh`. The program itself
/// connects first, so that the host's key is pinned.
///
/// # Errors
/// When the inventory does not have the host, or it cannot be reached.
pub async fn ssh(
    files: &ClusterFiles,
    name: &str,
    purpose: Purpose,
    ctx: &RunContext<'_>,
) -> Result<Argv, Error> {
    let machines = machines::running(files, ctx).await?;
    let machine = machines.iter().find(|machine| machine.host.as_str() == name);
    let Some(machine) = machine else {
        let known = machines.iter().map(|machine| machine.host.to_string()).collect();
        return Err(Error::NoSuchHost { name: name.to_owned(), known });
    };
    connect_all(files, std::slice::from_ref(machine), ctx).await?;
    files.state.keep_pins()?;
    let target = Login::of(files, ctx)?.target(machine);
    Ok(system_ssh(&target, &files.state.known_hosts(), None, purpose))
}

/// How to log in to the machines of an inventory.
struct Login {
    access: SshAccess,
    passphrase: Option<Secret>,
    sudo_password: Option<Secret>,
    operator_config: bool,
}

impl Login {
    fn of(files: &ClusterFiles, ctx: &RunContext<'_>) -> Result<Self, Error> {
        let MachineLogin { access, passphrase, sudo_password, has_own_key } =
            provider::login(&files.inventory.provider);
        let secret = |source: Option<&SecretSource>, name: &str| {
            let found = source.map(|source| {
                files.state.resolve(source, name, &files.folder(), ctx.env)
            });
            found.transpose()
        };
        let key = match has_own_key {
            true => Some(files.state.ssh_key()?.private),
            false => access.key.as_ref().map(|key| in_folder(files, key)),
        };
        Ok(Self {
            passphrase: secret(passphrase, "the passphrase of the SSH key")?,
            sudo_password: secret(sudo_password, "the password for sudo")?,
            access: SshAccess { key, ..access },
            operator_config: !has_own_key,
        })
    }

    fn target(&self, machine: &Machine) -> Target {
        Target {
            host: machine.host.clone(),
            address: machine.ssh.clone().unwrap_or_else(|| machine.address.to_string()),
            access: self.access.clone(),
            passphrase: self.passphrase.clone(),
            sudo_password: self.sudo_password.clone(),
            host_keys: machine.host_keys.clone(),
            operator_config: self.operator_config,
        }
    }
}

fn in_folder(files: &ClusterFiles, key: &std::path::Path) -> PathBuf {
    files.folder().join(crate::remote::config::expand_home(key))
}
