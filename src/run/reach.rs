//! Whether hosts reach each other: a service that answers on its own host may be behind a
//! firewall for all other hosts.
//!
//! Hosts are asked over existing connections: they need no special program.

use std::net::IpAddr;
use std::time::Duration;

use futures::stream::{self, StreamExt};

use crate::component::Spec;
use crate::event::in_words;
use crate::host::HostName;
use crate::inventory::component::Redundancy;
use crate::remote::RemoteError;
use crate::run::Fleet;
use crate::topology::{Node, Topology};

/// A connection inside one network is made much sooner, or not at all.
const DIAL: Duration = Duration::from_secs(5);

/// The number of connections that are tried at once.
const AT_ONCE: usize = 64;

/// A connection that a host needs to a service on another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    from: HostName,
    to: HostName,
    address: IpAddr,
    port: u16,
}

/// A blocked connection to a service that can be reached on its own host.
#[derive(Debug)]
pub(crate) struct Blocked {
    connection: Connection,
    why: String,
}

/// The connections that a cluster needs. There are many hosts that run only agents, and many
/// connections from them: each of them tries one of the hosts that serve together, and is tried
/// by one.
pub(crate) fn connections(topology: &Topology) -> Vec<Connection> {
    let mut connections = Vec::new();
    let serving = Spec::all().filter_map(|spec| Some((spec, spec.port()?)));
    for (spec, port) in serving {
        let nodes = topology.nodes.iter();
        let sources: Vec<&Node> =
            nodes.clone().filter(|node| spec.has_client(port, node)).collect();
        let targets: Vec<&Node> =
            nodes.filter(|node| node.runs(spec.component)).collect();
        for (n, target) in targets.iter().enumerate() {
            let sources = askers(spec, &sources, (n, targets.len()), target);
            connections.extend(sources.into_iter().map(|from| Connection {
                from: from.host.clone(),
                to: target.host.clone(),
                address: target.address,
                port: port.number,
            }));
        }
    }
    connections
}

/// The connections from or to the given hosts.
pub(crate) fn connections_of(
    topology: &Topology,
    hosts: &[&HostName],
) -> Vec<Connection> {
    let mut connections = connections(topology);
    connections.retain(|connection| {
        hosts.contains(&&connection.from) || hosts.contains(&&connection.to)
    });
    connections
}

/// The hosts that try a target, which is one of several.
fn askers<'a>(
    spec: &Spec,
    sources: &[&'a Node],
    (n, n_targets): (usize, usize),
    target: &Node,
) -> Vec<&'a Node> {
    let others = sources.iter().copied().enumerate();
    let others = others.filter(|(_, from)| from.host != target.host);
    match spec.component.redundancy() {
        Redundancy::Pool => {
            let others: Vec<&Node> = others.map(|(_, from)| from).collect();
            let turn = n.checked_rem(others.len());
            turn.map(|turn| others[turn]).into_iter().collect()
        }
        Redundancy::Quorum | Redundancy::Standby | Redundancy::Replicas => others
            .filter(|(turn, from)| !is_worker(from) || turn % n_targets == n)
            .map(|(_, from)| from)
            .collect(),
    }
}

/// Whether a host belongs to a pool, and is not in any group that serves together.
fn is_worker(node: &Node) -> bool {
    let runs = |redundancy: &[Redundancy]| {
        Spec::of_node(node).any(|spec| redundancy.contains(&spec.component.redundancy()))
    };
    runs(&[Redundancy::Pool]) && !runs(&[Redundancy::Quorum, Redundancy::Standby])
}

/// Tries connections, and returns the blocked ones. If the service does not answer on its own
/// host either, or a host cannot be asked, the connection is not counted as blocked.
pub(crate) async fn blocked(fleet: &Fleet, connections: Vec<Connection>) -> Vec<Blocked> {
    let tries =
        connections.into_iter().map(|connection| try_connection(fleet, connection));
    let tried = stream::iter(tries.collect::<Vec<_>>()).buffered(AT_ONCE);
    tried.filter_map(futures::future::ready).collect().await
}

async fn try_connection(fleet: &Fleet, connection: Connection) -> Option<Blocked> {
    let why = match dial(fleet, &connection.from, &connection).await? {
        Ok(()) => return None,
        Err(RemoteError::TimedOut { .. }) => "the connection timed out".to_owned(),
        Err(error @ RemoteError::Dial { .. }) => in_words(&error),
        Err(_) => return None,
    };
    let on_its_own = dial(fleet, &connection.to, &connection).await?;
    on_its_own.ok().map(|()| Blocked { connection, why })
}

async fn dial(
    fleet: &Fleet,
    from: &HostName,
    connection: &Connection,
) -> Option<Result<(), RemoteError>> {
    let address = connection.address.to_string();
    Some(fleet.get(from)?.dial(&address, connection.port, DIAL).await.map(drop))
}

/// The sentences for blocked connections: one for each port that cannot be reached.
pub(crate) fn sentences(blocked: &[Blocked]) -> Vec<String> {
    let mut told: Vec<(&Connection, &str, Vec<&str>)> = Vec::new();
    for Blocked { connection, why } in blocked {
        let same = told
            .iter_mut()
            .find(|(of, ..)| (&of.to, of.port) == (&connection.to, connection.port));
        match same {
            Some((.., from)) => from.push(connection.from.as_str()),
            None => told.push((connection, why, vec![connection.from.as_str()])),
        }
    }
    let sentence = |(connection, why, from): &(&Connection, &str, Vec<&str>)| {
        let does = if from.len() == 1 { "does" } else { "do" };
        let Connection { to, address, port, .. } = connection;
        format!(
            "{} {does} not reach port {port} of {to} ({address}): {why}: is there a firewall \
             between them?",
            from.join(", ")
        )
    };
    told.iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;
    use crate::inventory;
    use crate::inventory::component::{
        AGENT_PORT, MARATHON_PORT, MASTER_PORT, REGISTRY_PORT, ZOOKEEPER_PORT,
    };
    use crate::provider::ssh;
    use crate::remote::{Exec, Output, Remote, Stream};

    fn topology() -> Topology {
        let text = "cluster: lab\nprovider: {ssh: {}}\ngroups:\n  \
                    control: {roles: [control], hosts: [\
                    {address: 10.0.0.1, name: c1}, {address: 10.0.0.2, name: c2}, \
                    {address: 10.0.0.3, name: c3}]}\n  \
                    edge: {roles: [edge], hosts: [{address: 10.0.0.9, name: e1}]}\n  \
                    workers: {roles: [agent], hosts: [\
                    {address: 10.0.0.21, name: w1}, {address: 10.0.0.22, name: w2}]}\n";
        let inventory = inventory::read(text, &|_: &Path| true).unwrap();
        Topology::new(&inventory, &ssh::machines(&inventory)).unwrap()
    }

    fn to(connections: &[Connection], host: &str, port: u16) -> Vec<String> {
        let connections = connections.iter().filter(|connection| {
            connection.to.as_str() == host && connection.port == port
        });
        connections.map(|connection| connection.from.to_string()).collect()
    }

    #[test]
    fn every_port_is_asked_from_a_host_that_needs_it() {
        let connections = connections(&topology());
        assert!(
            connections.iter().all(|connection| connection.from != connection.to),
            "{connections:?}"
        );
        assert_eq!(to(&connections, "c1", MARATHON_PORT), ["c2", "c3", "e1"]);
        assert_eq!(to(&connections, "e1", REGISTRY_PORT), ["c1", "c2", "c3", "w1", "w2"]);
        for host in ["w1", "w2"] {
            let [asker] = &to(&connections, host, AGENT_PORT)[..] else {
                panic!("{connections:?}")
            };
            assert!(asker.starts_with('c'), "{asker}");
            let of_host =
                connections.iter().filter(|connection| connection.from.as_str() == host);
            let ports: Vec<u16> = of_host.map(|connection| connection.port).collect();
            for port in [ZOOKEEPER_PORT, MASTER_PORT, REGISTRY_PORT] {
                assert_eq!(
                    ports.iter().filter(|it| **it == port).count(),
                    1,
                    "{ports:?}"
                );
            }
        }
        for port in [ZOOKEEPER_PORT, MASTER_PORT] {
            assert!(
                to(&connections, "c1", port)
                    .starts_with(&["c2".to_owned(), "c3".to_owned()])
            );
        }
    }

    /// A host that reaches only these addresses.
    struct Reaches(&'static str, Vec<&'static str>);

    impl Remote for Reaches {
        fn exec<'a>(&'a self, _: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>> {
            unreachable!("no command is needed")
        }

        fn dial<'a>(
            &'a self,
            address: &'a str,
            _: u16,
            deadline: Duration,
        ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
            let (host, during) = (self.0.parse().unwrap(), "connecting".to_owned());
            let open = self.1.contains(&address);
            async move {
                match open {
                    true => Ok(Box::new(tokio::io::duplex(1).0) as Box<dyn Stream>),
                    false => Err(RemoteError::TimedOut { host, during, deadline }),
                }
            }
            .boxed()
        }

        fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
            async { Ok(()) }.boxed()
        }
    }

    #[tokio::test]
    async fn a_service_that_only_its_own_host_reaches_is_behind_a_firewall() {
        let all = vec!["10.0.0.1", "10.0.0.2", "10.0.0.9", "10.0.0.21", "10.0.0.22"];
        let without = |host| all.iter().copied().filter(|it| *it != host).collect();
        // c3 does not serve at all, so no connection is blocked.
        let fleet: Fleet = [
            ("c1", all.clone()),
            ("c2", without("10.0.0.1")),
            ("c3", all.clone()),
            ("e1", all.clone()),
            ("w1", without("10.0.0.9")),
            ("w2", without("10.0.0.9")),
        ]
        .map(|(host, reached)| {
            let remote: Arc<dyn Remote> = Arc::new(Reaches(host, reached));
            (host.parse().unwrap(), remote)
        })
        .into();
        let found = blocked(&fleet, connections(&topology())).await;
        let told = sentences(&found);
        let expected = "w1, w2 do not reach port 5000 of e1 (10.0.0.9): the connection timed out: \
                        is there a firewall between them?";
        assert!(told.contains(&expected.to_owned()), "{told:#?}");
        let expected = "c2 does not reach port 5050 of c1 (10.0.0.1): the connection timed out: \
                        is there a firewall between them?";
        assert!(told.contains(&expected.to_owned()), "{told:#?}");
        assert!(!told.iter().any(|line| line.contains("of c3")), "{told:#?}");
    }
}
