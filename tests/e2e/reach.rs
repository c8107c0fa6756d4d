//! Which ports of a cluster's hosts answer to whom: all ports of every host are tried, from a
//! computer outside of the cluster and from a container of a task's kind.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::harness::{Lab, Machine};

/// The longest that a port of this computer's machines takes to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// How many ports are tried at once.
const N_AT_ONCE: usize = 64;

const SSH: u16 = 22;

/// The ports of tasks, which tasks reach.
const TASKS: RangeInclusive<u16> = 31_000..=32_000;

/// Outside of the cluster, only SSH answers, and on hosts of the edge also these ports. A container on
/// an agent reaches these, tasks, and nothing else.
pub(crate) fn only_ssh_and_the_edge_answer(lab: &Lab, edge: &[u16]) {
    let edge: BTreeSet<u16> = edge.iter().copied().chain([SSH]).collect();
    let hosts = ["control-1", "edge-1", "edge-2", "workers-1"];
    let agent = lab.machine("workers-1");
    for (n, host) in (11..).zip(hosts) {
        let address = format!("{}.{n}", lab.prefix());
        let expected = if host.starts_with("edge") { edge.clone() } else { [SSH].into() };
        assert_eq!(answering(&address), expected, "{host} to this computer");

        let listening = listening(&lab.machine(host));
        assert!(listening.is_superset(&expected), "{host}: {listening:?}");
        let mut reached = reached_by_container(&agent, &address, &listening);
        reached.retain(|port| !TASKS.contains(port));
        assert_eq!(
            reached, expected,
            "{host} to a container; it listens at {listening:?}"
        );
    }
}

/// All ports of an address that accept a connection of this computer.
fn answering(address: &str) -> BTreeSet<u16> {
    let (next, found) = (AtomicU32::new(1), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..N_AT_ONCE {
            scope.spawn(|| {
                while let Ok(port) = u16::try_from(next.fetch_add(1, Ordering::Relaxed)) {
                    let socket: SocketAddr =
                        format!("{address}:{port}").parse().expect("an address");
                    if TcpStream::connect_timeout(&socket, ANSWER).is_ok() {
                        found.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The ports at which a machine listens on other addresses than its loopback.
fn listening(machine: &Machine) -> BTreeSet<u16> {
    let sockets = machine.sh("ss --listening --tcp --numeric --no-header");
    let locals = sockets.lines().filter_map(|line| line.split_whitespace().nth(3));
    let ports = locals.filter_map(|local| {
        let (address, port) = local.rsplit_once(':')?;
        (!address.starts_with("127.") && address != "[::1]").then(|| port.parse().ok())?
    });
    ports.collect()
}

/// Those of a host's ports to which a container of the agent's Docker connects.
fn reached_by_container(
    agent: &Machine,
    address: &str,
    ports: &BTreeSet<u16>,
) -> BTreeSet<u16> {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let reached = agent.sh(&format!(
        "image=$(docker images --quiet | head -n 1)
        docker run --rm --entrypoint bash \"$image\" -c '
        try() {{ timeout {} bash -c \"</dev/tcp/{address}/$1\" 2>/dev/null && echo \"$1\"; }}
        for port in {}; do try $port & done
        wait'",
        ANSWER.as_secs(),
        ports.join(" ")
    ));
    reached.lines().map(|port| port.parse().expect("a port")).collect()
}
