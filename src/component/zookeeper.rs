//! ZooKeeper: an ensemble of an odd number of members, each a container under systemd.
//!
//! An ensemble is formed once. A member whose data is gone must not help to elect another
//! member without data, or what the others still hold is lost. So ZooKeeper is configured not to
//! start a new database by itself, and only members of an ensemble that was never formed get
//! the marker that allows it. A member's data shows that the ensemble was formed: the first
//! quorum raises the accepted epoch to 1.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use minijinja::context;

use super::service::Service;
use super::spec::{Clients, Health, Port, Spec, StateUse};
use super::znode::{self, ADMINISTRATOR};
use super::{Context, Stage, Wants, data_directory, data_file, path};
use crate::host::{HostName, joined};
use crate::inventory::Component;
use crate::inventory::component::{ZOOKEEPER_PEER_PORTS, ZOOKEEPER_PORT};
use crate::path::HostPath;
use crate::resource::probe::Questions;
use crate::resource::{Content, Facts, File, FileState, Unknown};
use crate::secret::Secret;
use crate::template::{BadTemplate, render};
use crate::topology::{Ensemble, Member};
use crate::unit::Size;

/// The numeric user and group as which a member runs in its container.
const USER: &str = "2181";
/// Where a member's data is on its host.
const DATA: &str = "/var/lib/platform/zookeeper";
/// Where a member's configuration is on its host.
const CONFIG: &str = "/etc/platform/zookeeper";
/// The unit that runs a member.
pub const UNIT: &str = "platform-zookeeper.service";
/// The password with which members identify each other.
pub const QUORUM_SECRET: &str = "zookeeper-quorum";
/// The administrator's password.
pub const SUPER_SECRET: &str = "zookeeper-super";

/// ZooKeeper.
pub(super) const SPEC: Spec = Spec {
    component: Component::Zookeeper,
    title: "ZooKeeper",
    instance: "ZooKeeper",
    serve: ["ZooKeeper on {} serves", "ZooKeeper serves on {}, and all are synced"],
    unit: UNIT,
    stage: Stage::Zookeeper,
    ports: &[
        Port::new(ZOOKEEPER_PORT, Clients::Users),
        Port::new(ZOOKEEPER_PEER_PORTS[0], Clients::Hosts(&[Component::Zookeeper])),
        Port::new(ZOOKEEPER_PEER_PORTS[1], Clients::Hosts(&[Component::Zookeeper])),
    ],
    connects_to: &[Component::Zookeeper],
    interrupted_by: &[],
    framework: None,
    zookeeper: None,
    state: &[StateUse::Secret(QUORUM_SECRET), StateUse::Secret(SUPER_SECRET)],
    health: Health::Zookeeper,
    wants,
    ask,
    remedy,
};

/// Adds the questions that [`forming`] needs answered, and those about files that forming writes.
fn ask(questions: &mut Questions) {
    questions.path(&accepted_epoch());
    questions.path(&first_snapshot());
    questions.path(&start_empty().path);
}

/// Whether the ensemble is not formed yet: no member has accepted an epoch after 0. This stays
/// true while the ensemble forms, even if that is cut off, and is never true again afterwards.
///
/// # Errors
/// When a member's host did not answer.
pub fn forming<'a>(
    members: impl IntoIterator<Item = &'a Facts>,
) -> Result<bool, Unknown> {
    for facts in members {
        if !is_before_the_first(facts.file(&accepted_epoch())?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a member's accepted epoch on its disk shows that its ensemble was never formed.
fn is_before_the_first(epoch: &FileState) -> bool {
    let none = ["0", "-1"].map(|epoch| Some(Content::from(epoch.to_owned()).sha256()));
    match epoch {
        FileState::Present { sha256, .. } => none.contains(sha256),
        _ => true,
    }
}

/// An ensemble that holds data, and whose members differ from those in the inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused: the ensemble on {host} has the members {found}, but the inventory says {wanted}; \
     this program cannot add or replace members of an ensemble that holds data yet: undo the \
     change of the members in the inventory"
)]
pub struct OtherMembers {
    host: HostName,
    found: String,
    wanted: String,
}

/// Checks that a running ensemble keeps its members: with two different lists of members, two
/// groups could each be a majority.
///
/// # Errors
/// When a member's configuration names others.
pub fn check_members<'a>(
    ensemble: &Ensemble,
    facts: impl IntoIterator<Item = (&'a HostName, &'a Facts)>,
) -> Result<(), OtherMembers> {
    let of = |member: &Member| (member.id.to_string(), member.address.to_string());
    let wanted: BTreeMap<String, String> = ensemble.members().iter().map(of).collect();
    for (host, facts) in facts {
        let Some(found) = members_of(facts) else { continue };
        if found != wanted {
            let (found, wanted) = (in_words(&found), in_words(&wanted));
            return Err(OtherMembers { host: host.clone(), found, wanted });
        }
    }
    Ok(())
}

/// An ensemble of which too many members have lost their data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused: the ensemble's data is gone from {}, and the ensemble does not serve unless a \
     majority of {majority} has it; restore {DATA} there, or, if you know that {} has the newest \
     data, run `mkdir -p {DATA} && touch {DATA}/initialize && systemctl stop {UNIT}` as root on \
     {}; then run the command again",
    joined(lost),
    joined(kept),
    joined(needed)
)]
pub struct DataLost {
    lost: Vec<HostName>,
    kept: Vec<HostName>,
    /// So many of `lost` that they make a majority together with `kept`.
    needed: Vec<HostName>,
    majority: usize,
}

/// An ensemble that has served before, but whose members have no data now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused: the ensemble has served before, but now none of {} has any data; restore {DATA} \
     on a majority of them, or, to begin with an empty ensemble, run `platform down --purge` or \
     remove {}; then run the command again",
    joined(lost),
    note.display()
)]
pub struct AllLost {
    lost: Vec<HostName>,
    /// The note that the ensemble has served.
    note: PathBuf,
}

/// Checks that an ensemble is not formed a second time unless the operator asks for it. `served`
/// is the note that it has served, if there is one.
///
/// # Errors
/// When it is about to be formed although it has served.
pub fn check_first(
    ensemble: &Ensemble,
    forming: bool,
    served: Option<PathBuf>,
) -> Result<(), AllLost> {
    match served.filter(|_| forming) {
        None => Ok(()),
        Some(note) => {
            let hosts = ensemble.members().iter().map(|member| member.host.clone());
            Err(AllLost { lost: hosts.collect(), note })
        }
    }
}

/// Checks that a majority of a formed ensemble has its data, or that the operator has allowed it to
/// start without data. Otherwise the members would wait for each other for ever.
///
/// # Errors
/// When too few members have either.
pub fn check_data(
    ensemble: &Ensemble,
    facts: &BTreeMap<HostName, Facts>,
) -> Result<(), DataLost> {
    let hosts = ensemble.members().iter().map(|member| member.host.clone());
    let (kept, lost): (Vec<_>, Vec<_>) =
        hosts.partition(|host| facts.get(host).is_none_or(may_vote));
    let majority = ensemble.majority();
    match majority.checked_sub(kept.len()) {
        None | Some(0) => Ok(()),
        Some(n_needed) => {
            let needed = lost.iter().take(n_needed).cloned().collect();
            Err(DataLost { lost, kept, needed, majority })
        }
    }
}

/// What to do about a member that cannot read its data, such as after a loss of power; `None` if
/// its log reports another problem. A member without data copies it from the leader.
fn remedy(said: &str) -> Option<String> {
    said.contains("Unable to load database on disk").then(|| {
        format!(
            "its data is broken: if `platform status` says that most of the other members \
             serve, run `mv {DATA}/version-2 {DATA}/version-2.broken` as root on this host, then \
             `platform up`: the member copies the data from the others; if they do not serve, \
             restore {DATA}/version-2 from a backup"
        )
    })
}

/// Whether a member has data, or may start without data.
fn may_vote(facts: &Facts) -> bool {
    let paths = [accepted_epoch(), first_snapshot(), start_empty().path];
    let [epoch, snapshot, marker] = paths.map(|path| facts.file(&path).ok().cloned());
    let missing = |state| matches!(state, Some(FileState::Missing));
    let formed = epoch.as_ref().is_none_or(|state| !is_before_the_first(state));
    formed || !missing(snapshot) || !missing(marker)
}

/// The numbers that members already have, by their addresses: a member keeps its number, wherever
/// it is in the inventory.
pub fn numbers<'a>(
    members: impl IntoIterator<Item = &'a Facts>,
) -> BTreeMap<IpAddr, u16> {
    let known = members.into_iter().filter_map(members_of).flatten();
    known.filter_map(|(id, at)| Some((at.parse().ok()?, id.parse().ok()?))).collect()
}

/// The members that a host's own configuration names, by id; `None` if there is no configuration.
fn members_of(facts: &Facts) -> Option<BTreeMap<String, String>> {
    match facts.file(&path(&format!("{CONFIG}/zoo.cfg"))) {
        Ok(FileState::Present { text: Some(text), .. }) => Some(members_in(text)),
        _ => None,
    }
}

/// The members that a `zoo.cfg` names, by id.
fn members_in(config: &str) -> BTreeMap<String, String> {
    let member = |line: &str| {
        let (id, rest) = line.trim().strip_prefix("server.")?.split_once('=')?;
        let address = rest.split(&format!(":{}", ZOOKEEPER_PEER_PORTS[0])).next()?;
        Some((id.to_owned(), address.to_owned()))
    };
    config.lines().filter_map(member).collect()
}

fn in_words(members: &BTreeMap<String, String>) -> String {
    members.iter().map(|(id, at)| format!("{id}={at}")).collect::<Vec<String>>().join(" ")
}

/// A member's image, directories, files and unit.
fn wants(context: Context<'_>, facts: &Facts) -> Result<Wants, BadTemplate> {
    let ensemble = context.topology.zookeeper();
    let member = ensemble.and_then(|ensemble| {
        ensemble.member_on(&context.node.host).map(|member| (ensemble, member))
    });
    let (Some((ensemble, member)), Some(image)) =
        (member, context.pulled(Component::Zookeeper))
    else {
        return Ok(Vec::new());
    };
    let files = vec![
        config(context, ensemble)?,
        jaas(context.inputs.secret(QUORUM_SECRET)),
        administrator(context.inputs.secret(SUPER_SECRET)),
        users(context),
        data_file(path(&format!("{DATA}/myid")), USER, format!("{}\n", member.id)),
    ];
    let text = unit(context, member, &image.id, facts)?;
    let data = Some(data_directory(DATA, USER));
    let marker = may_start_empty(context, facts).then(start_empty);
    let others = marker.into_iter().collect();
    let reloaded = Vec::new();
    let service = Service { data, image, files, reloaded, unit: UNIT, text, others };
    Ok(service.wants(Stage::Zookeeper))
}

/// Whether a member may start a new database: only while the ensemble is formed, and if it has no
/// database.
fn may_start_empty(context: Context<'_>, facts: &Facts) -> bool {
    let first = facts.file(&first_snapshot());
    let empty = first.is_ok_and(|state| *state == FileState::Missing);
    context.inputs.forming.contains(&Component::Zookeeper) && empty
}

fn config(context: Context<'_>, ensemble: &Ensemble) -> Result<File, BadTemplate> {
    let [data_port, election_port] = ZOOKEEPER_PEER_PORTS;
    let members: Vec<_> = ensemble
        .members()
        .iter()
        .map(|member| context! { id => member.id, address => member.address.to_string() })
        .collect();
    let settings = &context.inputs.platform.zookeeper;
    let text = render(
        "zookeeper/zoo.cfg",
        include_str!("../../templates/zookeeper/zoo.cfg"),
        context! {
            members,
            address => context.node.address.to_string(),
            client_port => ZOOKEEPER_PORT,
            data_port,
            election_port,
            max_client_connections => settings.max_client_connections.unwrap_or(60),
        },
    )?;
    Ok(File::public(path(&format!("{CONFIG}/zoo.cfg")), text))
}

fn jaas(password: &Secret) -> File {
    let text = format!(
        "QuorumServer {{\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
         user_member=\"{0}\";\n}};\nQuorumLearner {{\n  \
         org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
         username=\"member\"\n  password=\"{0}\";\n}};\n",
        password.expose()
    );
    File::private(path(&format!("{CONFIG}/jaas.conf")), Secret::new(text))
        .owned_by(USER, USER)
}

/// The file with JVM options that must not be visible in the list of processes. ZooKeeper knows
/// the administrator by the hash of name and password.
fn administrator(password: &Secret) -> File {
    let text = format!(
        "-Dzookeeper.DigestAuthenticationProvider.superDigest={}\n",
        znode::identity(ADMINISTRATOR, password)
    );
    File::private(path(&format!("{CONFIG}/super.args")), Secret::new(text))
        .owned_by(USER, USER)
}

/// The file with the users that the member accepts; the provider in its image reads it.
fn users(context: Context<'_>) -> File {
    let users = znode::users(context.topology, context.inputs);
    let lines: String = users.into_iter().map(|user| format!("{user}\n")).collect();
    File::private(path(&format!("{CONFIG}/users")), Secret::new(lines))
        .owned_by(USER, USER)
}

fn unit(
    context: Context<'_>,
    member: &Member,
    image: &str,
    facts: &Facts,
) -> Result<String, BadTemplate> {
    let heap = context.inputs.platform.zookeeper.heap;
    let heap = heap.unwrap_or_else(|| heap_for(facts.system.memory));
    render(
        "zookeeper/platform-zookeeper.service",
        include_str!("../../templates/zookeeper/platform-zookeeper.service"),
        context! {
            id => member.id,
            cluster => context.topology.cluster.as_str(),
            heap_mib => heap.as_mib(),
            user => USER,
            config => CONFIG,
            data => DATA,
            image,
        },
    )
}

/// An eighth of the host's memory, at least 128 MiB and at most 1 GiB: the Mesos registry and
/// the frameworks' state are small, and a heap that swaps loses the quorum.
fn heap_for(memory: Size) -> Size {
    Size::mib((memory.as_mib() / 8).clamp(128, 1024))
}

/// The last epoch that the member accepted, as a decimal number without a newline.
fn accepted_epoch() -> HostPath {
    path(&format!("{DATA}/version-2/acceptedEpoch"))
}

/// The snapshot that a new database begins with.
fn first_snapshot() -> HostPath {
    path(&format!("{DATA}/version-2/snapshot.0"))
}

/// The marker that lets a member start a new database; ZooKeeper then removes it.
fn start_empty() -> File {
    data_file(path(&format!("{DATA}/initialize")), USER, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_member_whose_data_is_broken_is_told_to_copy_the_others() {
        let said = "java.io.IOException: Found null in /data/version-2/acceptedEpoch\n\
                    ERROR Unable to load database on disk";
        let told = remedy(said).unwrap();
        assert!(told.contains("mv /var/lib/platform/zookeeper/version-2 "), "{told}");
        assert_eq!(remedy("java.net.BindException: Address already in use"), None);
    }
}
