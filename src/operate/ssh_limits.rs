//! Limits of the hosts' SSH servers that would make a run fail, found before anything is changed.
//!
//! A run reaches the registry and the services of control hosts through the hosts' SSH servers,
//! and holds the cluster's lock with a command that runs beside all others. Only the SSH servers
//! that need this are checked.

use std::time::Duration;

use futures::future::join_all;

use crate::component::Spec;
use crate::host::HostName;
use crate::inventory::component::Redundancy;
use crate::plan::preflight::PreflightFailure;
use crate::remote::RemoteError;
use crate::run::Fleet;
use crate::topology::{Node, Topology};

/// The longest to wait until a server opens or refuses a connection.
const ANSWER: Duration = Duration::from_secs(5);

/// The limits of these hosts' SSH servers that would make a run fail.
pub(super) async fn preflight_failures(
    fleet: &Fleet,
    topology: &Topology,
) -> Vec<PreflightFailure> {
    let forwarding = topology.nodes.iter().filter_map(|node| Some((node, asked(node)?)));
    let forwarding = forwarding.map(|(node, port)| forbidden(fleet, node, port));
    let (forwarding, room) =
        tokio::join!(join_all(forwarding), without_room(fleet, topology));
    forwarding.into_iter().flatten().chain(room).collect()
}

/// The hosts of the cluster's lock whose SSH servers run one command at a time.
pub(super) async fn without_room(
    fleet: &Fleet,
    topology: &Topology,
) -> Vec<PreflightFailure> {
    let locked = locked(topology);
    let nodes = topology.nodes.iter().filter(|node| locked.contains(&node.host));
    let room = join_all(nodes.map(|node| crowded(fleet, node))).await;
    room.into_iter().flatten().collect()
}

/// The first port of a host that is reached through its SSH server. Agents are not reached that
/// way: their master reports about them.
fn asked(node: &Node) -> Option<u16> {
    Spec::of_node(node)
        .filter(|spec| spec.component.redundancy() != Redundancy::Pool)
        .find_map(Spec::port)
        .map(|port| port.number)
}

/// Tries a connection through the SSH server; it does not matter if nothing listens there yet.
async fn forbidden(fleet: &Fleet, node: &Node, port: u16) -> Option<PreflightFailure> {
    let remote = fleet.get(&node.host)?;
    let address = node.address.to_string();
    match remote.dial(&address, port, ANSWER).await {
        Err(RemoteError::Forwarding { .. }) => Some(PreflightFailure {
            host: node.host.clone(),
            problem: format!(
                "its SSH server forbids connections through it, here to {address}:{port}"
            ),
            help: "set `AllowTcpForwarding yes` (or `local`) in its /etc/ssh/sshd_config; \
                   remove `DisableForwarding yes`, and any `PermitOpen` without this address; \
                   check its `Match` blocks, the files that it includes, and the options of \
                   the key in authorized_keys; then reload sshd"
                .to_owned(),
            port: None,
        }),
        _ => None,
    }
}

/// Whether a command can run beside the one that holds the lock.
async fn crowded(fleet: &Fleet, node: &Node) -> Option<PreflightFailure> {
    match fleet.get(&node.host)?.has_room().await {
        Err(RemoteError::OneSession { .. }) => Some(PreflightFailure {
            host: node.host.clone(),
            problem: "its SSH server runs only one command at a time on a connection".to_owned(),
            help: "set `MaxSessions 10` in its /etc/ssh/sshd_config, or in the `Match` block \
                   there that applies to this user; then reload sshd"
                .to_owned(),
            port: None,
        }),
        _ => None,
    }
}

/// The hosts that keep the cluster's lock: the members of the ensemble, or the first host.
pub(super) fn locked(topology: &Topology) -> Vec<HostName> {
    match topology.zookeeper() {
        Some(ensemble) => {
            ensemble.members().iter().map(|member| member.host.clone()).collect()
        }
        None => {
            topology.nodes.first().map(|node| node.host.clone()).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;
    use crate::provider::ssh;
    use crate::remote::{Exec, Output, Remote, Stream};
    use crate::{host::HostName, inventory};

    /// A host whose SSH server opens no connections, or only the first session.
    struct Hard {
        host: HostName,
        forwards: bool,
        has_room: bool,
    }

    impl Remote for Hard {
        fn exec<'a>(&'a self, _: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>> {
            panic!("no command is needed to find out")
        }

        fn dial<'a>(
            &'a self,
            address: &'a str,
            port: u16,
            _: Duration,
        ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
            let host = self.host.clone();
            let refused = match self.forwards {
                true => RemoteError::Dial { host, address: address.to_owned(), port },
                false => RemoteError::Forwarding { host },
            };
            async { Err(refused) }.boxed()
        }

        fn has_room(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
            let crowded = RemoteError::OneSession { host: self.host.clone() };
            let answer = if self.has_room { Ok(()) } else { Err(crowded) };
            async { answer }.boxed()
        }

        fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
            async { Ok(()) }.boxed()
        }
    }

    async fn check(hard: impl Fn(HostName) -> Hard) -> Vec<(String, String)> {
        let text = "cluster: lab\nprovider: {ssh: {}}\ngroups:\n  \
             edge: {roles: [edge], hosts: [{address: 10.0.0.9, name: e1}]}\n  \
             control: {roles: [control], hosts: [{address: 10.0.0.1, name: c1}]}\n  \
             work: {roles: [agent], hosts: [{address: 10.0.0.2, name: w1}]}\n";
        let inventory = inventory::read(text, &|_: &Path| true).unwrap();
        let topology = Topology::new(&inventory, &ssh::machines(&inventory)).unwrap();
        let hosts = topology.nodes.iter().map(|node| node.host.clone());
        let fleet: Fleet = hosts
            .map(|host| (host.clone(), Arc::new(hard(host)) as Arc<dyn Remote>))
            .collect();
        let found = preflight_failures(&fleet, &topology).await.into_iter();
        found.map(|it| (it.host.to_string(), it.problem + "; " + &it.help)).collect()
    }

    #[tokio::test]
    async fn hosts_that_are_spoken_through_are_named_together_and_no_others() {
        let well = |host| Hard { host, forwards: true, has_room: true };
        assert!(
            check(well).await.is_empty(),
            "it does not matter that nothing listens yet"
        );
        let found = check(|host| Hard { forwards: false, ..well(host) }).await;
        let hosts: Vec<&str> = found.iter().map(|(host, _)| host.as_str()).collect();
        assert_eq!(hosts, ["e1", "c1"]);
        for word in [
            "AllowTcpForwarding",
            "DisableForwarding",
            "PermitOpen",
            "Match",
            "sshd_config",
        ] {
            assert!(found[0].1.contains(word), "{}", found[0].1);
        }
        assert!(found[0].1.contains("10.0.0.9:5000"), "{}", found[0].1);
    }

    #[tokio::test]
    async fn a_host_of_the_lock_that_runs_one_command_at_a_time_is_named() {
        let found = check(|host| Hard { host, forwards: true, has_room: false }).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "c1");
        assert!(found[0].1.contains("MaxSessions"), "{}", found[0].1);
    }
}
