//! No order of changes ever interrupts two members of a quorum at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use platform::component::zookeeper;
use platform::host::HostName;
use platform::inventory::Component;
use platform::plan::quorum::waves;
use platform::plan::{
    Agents, Gate, HostChanges, MemberHealth, MembersHealth, Peers, Refused, Wave,
};
use platform::resource::{Action, Change, Enabling, Key, Owned, Sysctl};
use platform::topology::Ensemble;

use crate::cluster::Cluster;

/// A change of a kind, with a unique name.
fn change(kind: Kind, n: usize) -> Change {
    let action = match kind {
        Kind::Calm => Action::ReloadSystemd,
        Kind::Disturbs => {
            let sysctl = Sysctl { name: "x".to_owned(), value: "1".to_owned() };
            Action::SetSysctl { sysctl, before: "0".to_owned() }
        }
        Kind::Starts => {
            let name = zookeeper::UNIT.to_owned();
            Action::StartUnit {
                name,
                restart: true,
                enable: Enabling::New,
                failed: false,
                ours: true,
            }
        }
    };
    let key = Key::User(n.to_string());
    Change { key, verb: "change", reason: String::new(), diff: None, action }
}

/// The effect of a change on a member: nothing, an interruption, or a start.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Calm,
    Disturbs,
    Starts,
}

/// A generated ensemble and its changes.
#[derive(Debug, Clone)]
struct Case {
    n_members: usize,
    health: Vec<MemberHealth>,
    /// The kinds of the changes of each host, members first.
    changes: Vec<Vec<Kind>>,
}

fn case() -> impl Strategy<Value = Case> {
    let kind = prop_oneof![Just(Kind::Calm), Just(Kind::Disturbs), Just(Kind::Starts)];
    let stands = prop_oneof![
        3 => Just(MemberHealth::Serves),
        1 => Just(MemberHealth::Leads),
        1 => Just(MemberHealth::Down),
    ];
    (prop::sample::select(&[1usize, 3, 5, 7][..]), 0..3usize).prop_flat_map(
        move |(n_members, n_others)| {
            let n_hosts = n_members + n_others;
            let (stands, kind) = (stands.clone(), kind.clone());
            (vec(stands, n_members), vec(vec(kind, 0..4), n_hosts))
                .prop_map(move |(health, changes)| Case { n_members, health, changes })
        },
    )
}

impl Case {
    fn health(&self) -> MembersHealth {
        let hosts = (0..).map(|n| name(&format!("c{n}")));
        MembersHealth::of(hosts.zip(self.health.iter().copied()))
    }

    fn changes(&self) -> Vec<HostChanges> {
        let host = |n: usize| match n.checked_sub(self.n_members) {
            None => name(&format!("c{n}")),
            Some(other) => name(&format!("e{other}")),
        };
        let changed =
            self.changes.iter().enumerate().filter(|(_, kinds)| !kinds.is_empty());
        changed
            .map(|(n, kinds)| HostChanges {
                host: host(n),
                changes: kinds
                    .iter()
                    .enumerate()
                    .map(|(n, kind)| change(*kind, n))
                    .collect(),
            })
            .collect()
    }
}

fn name(text: &str) -> HostName {
    text.parse().expect("a host's name")
}

/// An ensemble of the hosts `c0`, `c1`, ….
fn ensemble(n_members: usize) -> &'static Ensemble {
    static ENSEMBLES: LazyLock<BTreeMap<usize, Cluster>> =
        LazyLock::new(|| [1, 3, 5, 7].map(|n| (n, cluster(n))).into());
    ENSEMBLES[&n_members].topology.zookeeper().expect("it has members")
}

fn cluster(n_members: usize) -> Cluster {
    let host = |n: usize| format!("{{address: 10.0.0.{}, name: c{n}}}", 10 + n);
    let hosts: Vec<String> = (0..n_members).map(host).collect();
    Cluster::of(&format!(
        "cluster: lab\nprovider: {{ssh: {{}}}}\ngroups:\n  \
           c: {{roles: [control], hosts: [{}]}}\n  e: {{roles: [edge], hosts: [10.0.0.9]}}\n",
        hosts.join(", ")
    ))
}

fn in_waves(
    changes: Vec<HostChanges>,
    ensemble: &Ensemble,
    health: &MembersHealth,
) -> Result<Vec<Wave>, Refused> {
    waves(changes, &[Peers::quorum(Component::Zookeeper, ensemble)], None, health)
}

fn stands(health: &MembersHealth, host: &HostName) -> MemberHealth {
    health.get(Component::Zookeeper, host)
}

/// Applies waves to an ensemble: what is down, and the effect of each wave.
pub(super) struct Played<'a> {
    pub(super) ensemble: &'a Ensemble,
    pub(super) down: BTreeSet<HostName>,
    /// There was no quorum to lose.
    pub(super) is_lost: bool,
}

impl<'a> Played<'a> {
    pub(super) fn new(ensemble: &'a Ensemble, health: &MembersHealth) -> Self {
        let hosts = ensemble.members().iter().map(|member| &member.host);
        let down: BTreeSet<HostName> = hosts
            .filter(|host| stands(health, host) == MemberHealth::Down)
            .cloned()
            .collect();
        let n_serving = ensemble.members().len() - down.len();
        Self { ensemble, down, is_lost: n_serving < ensemble.majority() }
    }

    /// The members that a wave interrupts.
    fn disturbed<'w>(&self, wave: &'w Wave) -> Vec<&'w HostChanges> {
        let peers = Peers::quorum(Component::Zookeeper, self.ensemble);
        wave.hosts().iter().filter(|host| peers.are_disturbed_by(host)).collect()
    }

    /// Applies a wave; returns an error text if it would lose the quorum.
    pub(super) fn play(&mut self, wave: &Wave) -> Result<(), String> {
        if self.is_lost {
            return Ok(());
        }
        let disturbed = self.disturbed(wave);
        let [one] = disturbed[..] else {
            return match disturbed.is_empty() {
                true => Ok(()),
                false => Err(format!("{} members at once", disturbed.len())),
            };
        };
        let others: BTreeSet<HostName> =
            self.down.iter().filter(|host| **host != one.host).cloned().collect();
        let served = !self.down.contains(&one.host);
        if served && !others.is_empty() {
            return Err(format!("{} is interrupted while {others:?} are down", one.host));
        }
        let all_but = |without: &BTreeSet<HostName>, also: Option<&HostName>| {
            let members = self.ensemble.members().iter();
            let up = members.filter(|member| !without.contains(&member.host));
            up.filter(|member| Some(&member.host) != also).cloned().collect::<Vec<_>>()
        };
        let expected = all_but(&self.down, Some(&one.host));
        let expected: Vec<Gate> = (!expected.is_empty())
            .then_some(Gate::Serves {
                component: Component::Zookeeper,
                members: expected,
            })
            .into_iter()
            .collect();
        if !expected.iter().all(|gate| wave.before().contains(gate)) {
            return Err(format!("before {}: {:?}", one.host, wave.before()));
        }
        if one.changes.iter().any(starts) {
            self.down.remove(&one.host);
        }
        let expected = all_but(&self.down, None);
        match wave.after().contains(&Gate::Serves {
            component: Component::Zookeeper,
            members: expected,
        }) {
            true => Ok(()),
            false => Err(format!("after {}: {:?}", one.host, wave.after())),
        }
    }
}

/// Whether a change starts a member.
fn starts(change: &Change) -> bool {
    matches!(&change.action, Action::StartUnit { name, .. } if name == zookeeper::UNIT)
}

/// The serving members that would be interrupted, and those that stay down.
fn at_stake(case: &Case, played: &Played<'_>) -> (Vec<String>, Vec<String>) {
    let of = |host: &HostName| {
        let changes = case.changes();
        let own = changes.into_iter().find(|changes| changes.host == *host);
        own.map(|own| own.changes).unwrap_or_default()
    };
    let members = || played.ensemble.members().iter().map(|member| &member.host);
    let interrupted = members()
        .filter(|host| !played.down.contains(host))
        .filter(|host| of(host).iter().any(Change::disturbs));
    let stay = members()
        .filter(|host| played.down.contains(host))
        .filter(|host| !of(host).iter().any(starts));
    (
        interrupted.map(HostName::to_string).collect(),
        stay.map(HostName::to_string).collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn waves_keep_the_quorum_or_are_refused_with_the_hosts_that_are_in_the_way(case in case()) {
        let ensemble = ensemble(case.n_members);
        let health = case.health();
        let mut played = Played::new(ensemble, &health);
        let (interrupted, stay_down) = at_stake(&case, &played);
        let may_be_lost = !played.is_lost && !interrupted.is_empty() && !stay_down.is_empty();
        match in_waves(case.changes(), ensemble, &health) {
            Err(refused) => {
                let said = refused.to_string();
                prop_assert!(may_be_lost, "refused without need: {said}");
                for host in &stay_down {
                    prop_assert!(said.contains(host), "{host} is not named: {said}");
                }
                prop_assert!(interrupted.iter().any(|host| said.contains(host)), "{said}");
            }
            Ok(waves) => {
                prop_assert!(!may_be_lost, "{interrupted:?} go while {stay_down:?} are down");
                for wave in &waves {
                    if let Err(why) = played.play(wave) {
                        prop_assert!(false, "{why}");
                    }
                }
                check_order(&waves, &played, &health)?;
                let mut made: Vec<HostChanges> =
                    waves.iter().flat_map(Wave::hosts).cloned().collect();
                made.sort_by(|a, b| a.host.cmp(&b.host));
                let mut wanted = case.changes();
                wanted.sort_by(|a, b| a.host.cmp(&b.host));
                prop_assert_eq!(made, wanted);
            }
        }
    }
}

/// Members that are down come first, the leader last.
fn check_order(
    waves: &[Wave],
    played: &Played<'_>,
    health: &MembersHealth,
) -> Result<(), TestCaseError> {
    if played.is_lost {
        return Ok(());
    }
    let rank = |host: &HostChanges| match stands(health, &host.host) {
        MemberHealth::Down => 0,
        MemberHealth::Serves => 1,
        MemberHealth::Leads => 2,
    };
    let order: Vec<u8> =
        waves.iter().flat_map(|wave| played.disturbed(wave)).map(rank).collect();
    prop_assert!(order.is_sorted(), "{order:?}");
    Ok(())
}

#[test]
fn without_an_ensemble_all_hosts_change_at_once() {
    let changes = |host: &str| HostChanges {
        host: name(host),
        changes: vec![change(Kind::Disturbs, 0)],
    };
    let all = vec![changes("a"), changes("b")];
    let none = MembersHealth::default();
    let waves = waves(all, &[], None, &none).expect("nothing can be lost");
    assert_eq!(waves.len(), 1);
    assert!(waves[0].before().is_empty() && waves[0].after().is_empty());
    assert!(self::waves(Vec::new(), &[], None, &none).is_ok_and(|w| w.is_empty()));
}

#[test]
fn to_take_back_what_interrupts_services_interrupts_them_too() {
    let manager = platform::resource::Manager::Apt;
    let text = || "x".to_owned();
    let disturbing = [
        Owned::Package { manager, name: text(), asked: text() },
        Owned::Unit { name: text() },
        Owned::Sysctl { name: text(), before: text() },
    ];
    let calm = [Owned::User { name: text() }, Owned::Image { id: text(), name: text() }];
    let disturbs = |owned: Owned| {
        Change { action: Action::Retire(owned), ..change(Kind::Calm, 0) }.disturbs()
    };
    assert_eq!(disturbing.map(disturbs), [true; 3]);
    assert_eq!(calm.map(disturbs), [false; 2]);
}

/// Three members in these states, with these changes.
fn check(health: [MemberHealth; 3], changes: [&[Kind]; 3], expected: &str) {
    let case = Case {
        n_members: 3,
        health: health.to_vec(),
        changes: changes.iter().map(|kinds| kinds.to_vec()).collect(),
    };
    let shown = match in_waves(case.changes(), ensemble(3), &case.health()) {
        Err(refused) => refused.to_string(),
        Ok(waves) => {
            let hosts = |wave: &Wave| {
                let hosts = wave.hosts().iter().map(|host| host.host.to_string());
                hosts.collect::<Vec<String>>().join("+")
            };
            waves.iter().map(hosts).collect::<Vec<String>>().join(" ")
        }
    };
    assert_eq!(shown, expected);
}

#[test]
fn members_change_one_by_one_the_leader_last_and_calm_hosts_together() {
    use Kind::{Calm, Disturbs, Starts};
    use MemberHealth::{Down, Leads, Serves};
    check([Leads, Serves, Serves], [&[Disturbs]; 3], "c1 c2 c0");
    check([Serves, Leads, Serves], [&[Calm]; 3], "c0+c1+c2");
    check([Leads, Serves, Serves], [&[Disturbs, Calm], &[Calm], &[]], "c1 c0");
    check([Serves, Leads, Down], [&[Starts], &[Starts], &[Starts]], "c2 c0 c1");
    check([Down, Down, Serves], [&[Disturbs]; 3], "c0+c1+c2");
}

#[test]
fn a_member_that_is_being_brought_back_is_not_waited_for_before_it_is_started() {
    use Kind::{Calm, Disturbs};
    use MemberHealth::{Down, Leads, Serves};
    let case = Case {
        n_members: 3,
        health: vec![Leads, Serves, Down],
        changes: vec![vec![Calm], vec![], vec![Disturbs]],
    };
    let waves =
        in_waves(case.changes(), ensemble(3), &case.health()).expect("a base stage");
    let gate = waves[1].after()[0].to_string();
    assert_eq!(gate, "ZooKeeper serves on c0, c1, and all are synced");
    check(
        [Leads, Serves, Down],
        [&[], &[Disturbs], &[Disturbs]],
        "refused: changing c1 would interrupt one of 2 serving ZooKeeper members while c2 does not \
         serve, and a majority of 2 is needed; bring c2 back first",
    );
}

fn reboot(host: &str) -> HostChanges {
    let key = Key::Reboot;
    let action = Action::Reboot { boot: format!("boot of {host}") };
    let change =
        Change { key, verb: "reboot", reason: String::new(), diff: None, action };
    HostChanges { host: name(host), changes: vec![change] }
}

/// The hosts of each wave, and the gates after it.
fn rebooted(health: &MembersHealth) -> Vec<(Vec<String>, Vec<String>)> {
    let workers: Vec<String> = (1..=8).map(|n| format!("10.0.1.{n}")).collect();
    let cluster = Cluster::of(&format!(
        "cluster: lab\nprovider: {{ssh: {{}}}}\ngroups:\n  \
           control: {{roles: [control, agent], hosts: [10.0.0.1, 10.0.0.2, 10.0.0.3]}}\n  \
           edge: {{roles: [edge], hosts: [10.0.0.9]}}\n  \
           workers: {{roles: [agent], hosts: [{}]}}\n",
        workers.join(", ")
    ));
    let topology = &cluster.topology;
    let hosts = topology.agents().map(|node| reboot(node.host.as_str())).collect();
    let (peers, agents) = (Peers::all(topology), Agents::of(topology));
    let waves = waves(hosts, &peers, Some(agents), health).expect("none is lost");
    let wave = |wave: &Wave| {
        let hosts = wave.hosts().iter().map(|host| host.host.to_string()).collect();
        (hosts, wave.after().iter().map(Gate::to_string).collect())
    };
    waves.iter().map(wave).collect()
}

#[test]
fn machines_that_serve_nothing_yet_boot_anew_in_batches_and_no_two_of_a_quorum_at_once() {
    let waves = rebooted(&MembersHealth::default());
    let sizes: Vec<usize> = waves.iter().map(|(hosts, _)| hosts.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 11, "{waves:?}");
    assert!(sizes.iter().all(|size| *size <= 2), "more than a quarter: {waves:?}");
    for (hosts, gates) in &waves {
        let members = hosts.iter().filter(|host| host.starts_with("10.0.0."));
        assert!(members.count() <= 1, "{waves:?}");
        let are = if hosts.len() == 1 { "is" } else { "are" };
        assert_eq!(gates, &[format!("{} {are} back with cgroup v1", hosts.join(", "))]);
    }
}

#[test]
fn a_member_that_boots_anew_is_back_and_serves_before_the_next() {
    let members = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    let serve = members.map(|host| (name(host), MemberHealth::Serves));
    let waves = rebooted(&MembersHealth::of(serve));
    let of_members: Vec<_> =
        waves.iter().filter(|(hosts, _)| hosts[0].starts_with("10.0.0.")).collect();
    assert_eq!(of_members.len(), 3, "{waves:?}");
    for (hosts, gates) in of_members {
        let back = format!("{} is back with cgroup v1", hosts[0]);
        let serve =
            format!("ZooKeeper serves on {}, and all are synced", members.join(", "));
        assert_eq!(gates, &[back, serve]);
    }
}
