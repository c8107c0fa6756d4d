//! Hosts that belong to several groups at once: ZooKeeper, masters, Marathon, Chronos, with
//! agents next to them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use platform::component::{Spec, agent, chronos, marathon, master, zookeeper};
use platform::host::HostName;
use platform::inventory::Component;
use platform::plan::quorum::waves;
use platform::plan::{
    Agents, Gate, HostChanges, MemberHealth, MembersHealth, Peers, Refused, Wave,
};
use platform::resource::{Action, Change, Enabling, Key, Sysctl};

use crate::cluster::Cluster;

const UNITS: [(Component, &str); 5] = [
    (Component::Zookeeper, zookeeper::UNIT),
    (Component::MesosMaster, master::UNIT),
    (Component::Marathon, marathon::UNIT),
    (Component::Chronos, chronos::UNIT),
    (Component::MesosAgent, agent::UNIT),
];

/// The change of a host: one that interrupts nothing, one that interrupts all, or a start.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Calm,
    Sysctl,
    Start(usize),
}

fn change(kind: Kind, n: usize) -> Change {
    let action = match kind {
        Kind::Calm => Action::ReloadSystemd,
        Kind::Sysctl => {
            let sysctl = Sysctl { name: "x".to_owned(), value: "1".to_owned() };
            Action::SetSysctl { sysctl, before: "0".to_owned() }
        }
        Kind::Start(unit) => {
            let name = UNITS[unit].1.to_owned();
            Action::StartUnit {
                name,
                restart: true,
                enable: Enabling::New,
                failed: false,
                ours: false,
            }
        }
    };
    let key = Key::User(n.to_string());
    Change { key, verb: "change", reason: String::new(), diff: None, action }
}

/// Three control hosts, two more with only Marathon and Chronos, and agents.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    Cluster::of(
        "cluster: lab\nprovider: {local: {}}\ngroups:\n  \
           c: {roles: [control], count: 3}\n  \
           f: {roles: [marathon, chronos], count: 2}\n  \
           w: {roles: [agent], count: 6}\n  \
           e: {roles: [edge], count: 1}\n\
         platform: {agents: {batch: 2}}\n",
    )
});

/// The state of the members, and the change of each host.
#[derive(Debug, Clone)]
struct Case {
    health: Vec<Vec<MemberHealth>>,
    changes: Vec<Vec<Kind>>,
}

fn case() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![
        2 => Just(Kind::Calm),
        1 => Just(Kind::Sysctl),
        4 => (0..UNITS.len()).prop_map(Kind::Start),
    ];
    let stands = prop_oneof![
        8 => Just(MemberHealth::Serves),
        2 => Just(MemberHealth::Leads),
        1 => Just(MemberHealth::Down),
    ];
    let n_hosts = CLUSTER.topology.nodes.len();
    (vec(vec(stands, n_hosts), UNITS.len()), vec(vec(kind, 0..3), n_hosts))
        .prop_map(|(health, changes)| Case { health, changes })
}

impl Case {
    fn hosts() -> impl Iterator<Item = HostName> {
        CLUSTER.topology.nodes.iter().map(|node| node.host.clone())
    }

    fn health(&self) -> MembersHealth {
        let of = |all: MembersHealth,
                  ((component, _), how): (&(Component, _), &Vec<_>)| {
            let runs = |(host, _): &(HostName, MemberHealth)| {
                CLUSTER.topology.node(host).is_some_and(|node| node.runs(*component))
            };
            all.with(*component, Self::hosts().zip(how.iter().copied()).filter(runs))
        };
        UNITS.iter().zip(&self.health).fold(MembersHealth::default(), of)
    }

    fn changes(&self) -> Vec<HostChanges> {
        let changes = |(host, kinds): (HostName, &Vec<Kind>)| HostChanges {
            host,
            changes: kinds.iter().enumerate().map(|(n, kind)| change(*kind, n)).collect(),
        };
        let all = Self::hosts().zip(&self.changes).map(changes);
        all.filter(|host| !host.changes.is_empty()).collect()
    }

    fn waves(&self) -> Result<Vec<Wave>, Refused> {
        let topology = &CLUSTER.topology;
        let agents = Agents::of(topology);
        waves(self.changes(), &Peers::all(topology), Some(agents), &self.health())
    }
}

/// Applies waves to one group of members: an error text if they interrupt more than it can lose.
pub(super) fn play(
    peers: &Peers,
    health: &MembersHealth,
    waves: &[Wave],
) -> Result<(), String> {
    let stands = |host: &HostName| health.get(peers.component, host);
    let members = || peers.members.iter().map(|member| member.host.clone());
    let mut up: BTreeSet<HostName> =
        members().filter(|host| stands(host) != MemberHealth::Down).collect();
    if up.len() < peers.needed {
        return Ok(());
    }
    for wave in waves {
        let disturbed: Vec<&HostChanges> =
            wave.hosts().iter().filter(|host| peers.are_disturbed_by(host)).collect();
        let [one] = disturbed[..] else {
            match disturbed.len() {
                0 => continue,
                n => return Err(format!("{n} of {:?} at once", peers.component)),
            }
        };
        let down = members().filter(|host| !up.contains(host) && *host != one.host);
        if up.contains(&one.host) && down.clone().next().is_some() {
            let down: Vec<HostName> = down.collect();
            return Err(format!("{} is interrupted while {down:?} are down", one.host));
        }
        let of = |hosts: BTreeSet<HostName>| {
            let members = peers.members.iter().filter(|m| hosts.contains(&m.host));
            peers.gate(members.cloned().collect())
        };
        let mut others = up.clone();
        others.remove(&one.host);
        if !others.is_empty() && !wave.before().contains(&of(others)) {
            return Err(format!("before {}: {:?}", one.host, wave.before()));
        }
        if peers.are_started_by(one) {
            up.insert(one.host.clone());
        }
        if !wave.after().contains(&of(up.clone())) {
            return Err(format!("after {}: {:?}", one.host, wave.after()));
        }
    }
    Ok(())
}

/// Whether a member of some group would be interrupted while another one stays down.
fn is_in_the_way(case: &Case) -> bool {
    let (health, changes) = (case.health(), case.changes());
    Peers::all(&CLUSTER.topology).iter().any(|peers| {
        let serves =
            |host: &HostName| health.get(peers.component, host) != MemberHealth::Down;
        let hosts = || peers.members.iter().map(|member| &member.host);
        let is_live = hosts().filter(|host| serves(host)).count() >= peers.needed;
        let own = |host: &HostName| changes.iter().find(|changes| changes.host == *host);
        let interrupted = hosts().any(|host| {
            serves(host) && own(host).is_some_and(|own| peers.are_disturbed_by(own))
        });
        let stays_down = hosts().any(|host| {
            !serves(host) && !own(host).is_some_and(|own| peers.are_started_by(own))
        });
        is_live && interrupted && stays_down
    })
}

/// Whether hosts wait for each other in a circle: one must be restored in one group before
/// another is interrupted there, and so on, back to the first.
fn is_crossed(case: &Case) -> bool {
    let (health, changes) = (case.health(), case.changes());
    let mut first: Vec<(HostName, HostName)> = Vec::new();
    for peers in Peers::all(&CLUSTER.topology) {
        let serves =
            |host: &HostName| health.get(peers.component, host) != MemberHealth::Down;
        let own = changes.iter().filter(|own| peers.are_disturbed_by(own));
        let (up, down): (Vec<_>, Vec<_>) = own.partition(|own| serves(&own.host));
        for one in down.iter().filter(|own| peers.are_started_by(own)) {
            first.extend(up.iter().map(|next| (one.host.clone(), next.host.clone())));
        }
    }
    // A host that waits for no other is done, until none is left.
    loop {
        let waits = |host: &HostName| first.iter().any(|(_, next)| next == host);
        let before = first.len();
        let left = first.iter().filter(|(one, _)| waits(one)).cloned().collect();
        first = left;
        if first.len() == before {
            return before > 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_group_ever_loses_two_members_at_once(case in case()) {
        match case.waves() {
            Err(refused) => {
                prop_assert!(is_in_the_way(&case) || is_crossed(&case), "without need: {refused}");
            }
            Ok(waves) => {
                prop_assert!(!is_in_the_way(&case));
                for peers in Peers::all(&CLUSTER.topology) {
                    if let Err(why) = play(&peers, &case.health(), &waves) {
                        prop_assert!(false, "{why}\n{waves:#?}");
                    }
                }
                let mut made: Vec<HostChanges> =
                    waves.iter().flat_map(Wave::hosts).cloned().collect();
                let mut wanted = case.changes();
                made.sort_by(|a, b| a.host.cmp(&b.host));
                wanted.sort_by(|a, b| a.host.cmp(&b.host));
                prop_assert_eq!(made, wanted);
            }
        }
    }

    /// A Marathon ends with its connection to ZooKeeper, on any host: the next member may be
    /// interrupted only when all of them are back.
    #[test]
    fn who_ends_with_another_is_back_before_the_next_is_interrupted(case in case()) {
        let Ok(waves) = case.waves() else { return Ok(()) };
        let (health, all) = (case.health(), Peers::all(&CLUSTER.topology));
        let up = |peers: &Peers| -> Vec<HostName> {
            let hosts = peers.members.iter().map(|member| member.host.clone());
            hosts.filter(|host| health.serves(peers.component, host)).collect()
        };
        let live = all.iter().filter(|peers| up(peers).len() >= peers.needed);
        let live: Vec<&Peers> = live.collect();
        for (wave, peers) in waves.iter().flat_map(|wave| live.iter().map(move |peers| (wave, *peers))) {
            let is_disturbed = |peers: &Peers| {
                wave.hosts().iter().any(|host| peers.are_disturbed_by(host))
            };
            let ends = live.iter().any(|other| {
                Spec::of(peers.component).interrupted_by.contains(&other.component) && is_disturbed(other)
            });
            if !ends || is_disturbed(peers) {
                continue;
            }
            for gates in [wave.before(), wave.after()] {
                let whole = gates.iter().filter_map(Gate::who).any(|(component, hosts)| {
                    component == peers.component
                        && up(peers).iter().all(|host| hosts.contains(&host))
                });
                prop_assert!(whole, "{:?}: {gates:?}", peers.component);
            }
        }
    }

    #[test]
    fn no_more_agents_are_interrupted_at_once_than_a_batch_has(case in case()) {
        let Ok(waves) = case.waves() else { return Ok(()) };
        let health = case.health();
        let agent_is_disturbed = |change: &Change| match &change.action {
            Action::StartUnit { name, .. } => name == agent::UNIT,
            _ => change.disturbs(),
        };
        for wave in &waves {
            let agents: Vec<&HostName> = wave.hosts().iter()
                .filter(|host| health.get(Component::MesosAgent, &host.host) != MemberHealth::Down)
                .filter(|host| host.changes.iter().any(agent_is_disturbed))
                .map(|host| &host.host)
                .collect();
            prop_assert!(agents.len() <= 2, "{agents:?}");
            if !agents.is_empty() {
                let awaited = wave.after().iter().any(|gate| {
                    gate.who() == Some((Component::MesosAgent, agents.clone()))
                });
                prop_assert!(awaited, "{:?}", wave.after());
            }
        }
    }
}

/// The hosts that change together, wave by wave.
fn order(case: &Case) -> String {
    match case.waves() {
        Err(refused) => refused.to_string(),
        Ok(waves) => {
            let hosts = |wave: &Wave| {
                let hosts = wave.hosts().iter().map(|host| host.host.to_string());
                hosts.collect::<Vec<String>>().join("+")
            };
            waves.iter().map(hosts).collect::<Vec<String>>().join(" ")
        }
    }
}

/// All serve, the first of each group leads, and these hosts change.
fn check(changes: &[(usize, Kind)], down: &[(usize, usize)], expected: &str) {
    let n_hosts = CLUSTER.topology.nodes.len();
    let mut stands = vec![MemberHealth::Serves; n_hosts];
    stands[0] = MemberHealth::Leads;
    let mut health = vec![stands; UNITS.len()];
    for (unit, host) in down {
        health[*unit][*host] = MemberHealth::Down;
    }
    let mut all = vec![Vec::new(); n_hosts];
    changes.iter().for_each(|(host, kind)| all[*host].push(*kind));
    assert_eq!(order(&Case { health, changes: all }), expected);
}

#[test]
fn a_unit_of_one_component_is_rolled_through_its_own_members_alone() {
    let masters = [0, 1, 2].map(|host| (host, Kind::Start(1)));
    check(&masters, &[], "c-2 c-3 c-1");
    let marathons = [0, 1, 2, 3, 4].map(|host| (host, Kind::Start(2)));
    check(&marathons, &[], "c-2 c-3 f-1 f-2 c-1");
    // ZooKeeper on c-2 is down: that must not prevent the change of Marathon.
    check(&marathons, &[(0, 1)], "c-2 c-3 f-1 f-2 c-1");
}

#[test]
fn what_disturbs_a_whole_host_waits_for_all_that_serve_on_it() {
    let sysctl = [0, 1, 3].map(|host| (host, Kind::Sysctl));
    check(&sysctl, &[], "c-2 f-1 c-1");
    check(
        &sysctl,
        &[(3, 4)],
        "refused: changing c-2 would interrupt one of 4 serving hosts of Chronos while f-2 \
         does not serve, and one is needed; bring f-2 back first",
    );
    check(
        &sysctl,
        &[(1, 2)],
        "refused: changing c-2 would interrupt one of 2 serving Mesos masters while c-3 does \
         not serve, and a majority of 2 is needed; bring c-3 back first",
    );
}

#[test]
fn agents_change_in_batches_and_new_ones_all_at_once() {
    let agents = [5, 6, 7, 8, 9, 10].map(|host| (host, Kind::Start(4)));
    check(&agents, &[], "w-1+w-2 w-3+w-4 w-5+w-6");
    let new = [5, 6, 7, 8].map(|host| (4, host));
    check(&agents, &new, "w-1+w-2+w-3+w-4 w-5+w-6");
}
