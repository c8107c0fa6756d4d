//! What a stranger reaches: this computer, which is next to the machines, and a container on an
//! agent.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Lab, Services, inside};

const HOSTS: [&str; 6] =
    ["control-1", "control-2", "control-3", "edge-1", "workers-1", "workers-2"];

/// All ports of the platform.
const PORTS: [u16; 16] = [
    22, 80, 443, 2181, 2888, 3888, 4400, 4443, 5000, 5050, 5051, 5443, 8080, 8443, 9091,
    9092,
];

/// Those of an edge host that everyone reaches.
const OF_EDGE: [u16; 7] = [22, 80, 443, 4443, 5000, 5443, 8443];

/// The port of an app's instance, which Docker redirects to its container.
const TASK: u16 = 31_600;

const ANSWER: Duration = Duration::from_secs(1);

/// The ports that answer, by host.
type Answers = BTreeMap<String, Vec<u16>>;

pub(super) fn lets_strangers_only_to_ssh_and_to_the_edge(lab: &Lab) {
    let services = Services::of(lab);
    let app = json!({
        "id": "/seen", "cpus": 0.1, "mem": 32, "instances": 2, "requirePorts": true,
        "cmd": "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(\
                LocalPort => $ENV{PORT0}, Listen => 64, ReuseAddr => 1) or die; \
                while ($c = $s->accept) { print $c \"here\"; close $c }'",
        "constraints": [["hostname", "UNIQUE"]],
        "portDefinitions": [{"port": TASK, "protocol": "tcp"}],
    });
    services.run_app(&app, 2);
    let listening: Answers =
        HOSTS.map(|host| (host.to_owned(), listening(lab, host))).into();
    for (host, port) in [("control-1", 2181), ("edge-1", 5000), ("workers-1", TASK)] {
        assert!(listening[host].contains(&port), "{listening:?}");
    }

    let expected = |workers: &[u16]| -> Answers {
        let ports = |host: &str| match host {
            "edge-1" => OF_EDGE.to_vec(),
            "workers-1" | "workers-2" => [&[22], workers].concat(),
            _ => vec![22],
        };
        HOSTS.map(|host| (host.to_owned(), ports(host))).into()
    };
    let outside = listening.iter().map(|(host, ports)| {
        let open = ports.iter().copied().filter(|port| answers(lab, host, *port));
        (host.clone(), open.collect())
    });
    assert_eq!(outside.collect::<Answers>(), expected(&[]), "of {listening:?}");
    let beside =
        |host: &str| inside(&address(lab, "control-1"), || answers(lab, host, TASK));
    assert!(beside("workers-1") && beside("workers-2"), "hosts reach tasks");
    assert_eq!(in_container(lab, "workers-1"), expected(&[TASK]));
    services.remove_app("/seen");
}

fn address(lab: &Lab, host: &str) -> String {
    let at = HOSTS.iter().position(|it| *it == host).expect("a host of the cluster");
    format!("{}.{}", lab.prefix(), 11 + at)
}

fn answers(lab: &Lab, host: &str, port: u16) -> bool {
    let address = format!("{}:{port}", address(lab, host));
    let address: SocketAddr = address.parse().expect("an address");
    TcpStream::connect_timeout(&address, ANSWER).is_ok()
}

/// The ports on which a host listens at an address that others may reach, in order.
fn listening(lab: &Lab, host: &str) -> Vec<u16> {
    let tables = lab.machine(host).sh("cat /proc/net/tcp /proc/net/tcp6");
    let mut ports: Vec<u16> = tables
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (at, port) = words.get(1)?.rsplit_once(':')?;
            // An address of loopback, which begins with 127, ends with its first number.
            let is_outer = words.get(3) == Some(&"0A") && !at.ends_with("7F");
            let port = u16::from_str_radix(port, 16).ok()?;
            is_outer.then_some(port)
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The same for a container on a host's bridge.
fn in_container(lab: &Lab, host: &str) -> Answers {
    let ports = PORTS.iter().chain([&TASK]).map(u16::to_string).collect::<Vec<_>>();
    let addresses = HOSTS.map(|host| address(lab, host)).join(" ");
    let scan = format!(
        "for a in {addresses}; do for p in {}; do \
         (timeout 2 bash -c \"exec 3<>/dev/tcp/$a/$p\" 2>/dev/null && echo $a $p) & \
         done; wait; done",
        ports.join(" ")
    );
    // The only image there is the agent's.
    let said = lab.machine(host).sh(&format!(
        "docker run --rm --entrypoint bash \"$(docker images --quiet | head -n 1)\" -c '{scan}'"
    ));
    let mut found: Answers = HOSTS.map(|host| (host.to_owned(), Vec::new())).into();
    for line in said.lines() {
        let (at, port) = line.split_once(' ').expect("an address and a port");
        let host = HOSTS.iter().find(|host| address(lab, host) == at);
        let ports = found.get_mut(*host.expect("a host")).expect("a host");
        ports.push(port.parse().expect("a port"));
        ports.sort_unstable();
    }
    found
}
