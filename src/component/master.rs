//! Mesos masters: an odd number, each a container under systemd. They elect a leader, and keep
//! the registry of agents in a log of which a majority has every line.
//!
//! The log is begun once, by all masters together. A master whose log is gone must not begin a
//! new one, or what the others still know about agents is lost. So masters may begin a log only if
//! no master has the mark that a log was begun. The mark is written one stage after the masters,
//! when they are known to serve. It is part of their data, and stays when they are removed.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::context;

use super::mesos::{self, private};
use super::service::Service;
use super::spec::{Clients, Health, Port, Spec, StateUse, no_remedy};
use super::znode::ZookeeperUser;
use super::{Context, Stage, Wants, data_directory, data_file, path};
use crate::host::{HostName, joined};
use crate::inventory::Component;
use crate::inventory::component::MASTER_PORT;
use crate::path::HostPath;
use crate::resource::probe::Questions;
use crate::resource::{Facts, File, FileState, Resource, Unknown};
use crate::template::{BadTemplate, render};
use crate::topology::Ensemble;

/// The numeric user and group as which a master runs in its container.
const USER: &str = "5050";
/// Where a master's data is on its host.
const DATA: &str = "/var/lib/platform/mesos-master";
/// Where a master's configuration is on its host.
const CONFIG: &str = "/etc/platform/mesos-master";
/// The unit that runs a master.
pub const UNIT: &str = "platform-mesos-master.service";

/// The Mesos masters.
pub(super) const SPEC: Spec = Spec {
    component: Component::MesosMaster,
    title: "Mesos",
    instance: "the Mesos master",
    serve: ["Mesos on {} serves", "Mesos serves on {}, and one leads"],
    unit: UNIT,
    stage: Stage::Masters,
    ports: &[Port::new(MASTER_PORT, Clients::Users)],
    connects_to: &[Component::Zookeeper, Component::MesosMaster, Component::MesosAgent],
    interrupted_by: &[],
    framework: None,
    zookeeper: Some(ZookeeperUser {
        name: mesos::MASTERS,
        secret: mesos::ZOOKEEPER_SECRET,
        nodes: &["/mesos"],
        // Agents and frameworks read it to find the leading master.
        is_public: true,
    }),
    state: &[
        StateUse::Secret(mesos::ZOOKEEPER_SECRET),
        StateUse::Secret(mesos::OPERATOR_SECRET),
        StateUse::Renewable(mesos::EDGE_SECRET),
        StateUse::Secret(mesos::AGENT_SECRET),
    ],
    health: Health::Leader,
    wants,
    ask,
    remedy: no_remedy,
};

/// Adds the questions that [`forming`] needs answered, and those about files that forming writes.
fn ask(questions: &mut Questions) {
    questions.path(&formed_path());
    questions.path(&log());
    questions.path(&initialize().path);
}

/// Whether the masters have no registry yet: no master has the mark. This stays true while they
/// form the registry, even if that is cut off, and is never true again afterwards.
///
/// # Errors
/// When a master's host did not answer.
pub fn forming<'a>(
    masters: impl IntoIterator<Item = &'a Facts>,
) -> Result<bool, Unknown> {
    for facts in masters {
        if *facts.file(&formed_path())? != FileState::Missing {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Masters that have a registry, and differ from those in the inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused: the registry on {host} belongs to the masters {found}, but the inventory says \
     {wanted}; this program cannot add or replace masters yet: undo the change of the masters \
     in the inventory"
)]
pub struct OtherMasters {
    host: HostName,
    found: String,
    wanted: String,
}

/// Checks that masters with a registry stay the same: if there were more masters than each of
/// them knows of, two groups could each be a majority.
///
/// # Errors
/// When a master's mark names others.
pub fn check_members<'a>(
    masters: &Ensemble,
    facts: impl IntoIterator<Item = (&'a HostName, &'a Facts)>,
) -> Result<(), OtherMasters> {
    let wanted = names(masters);
    for (host, facts) in facts {
        let Ok(FileState::Present { text: Some(text), .. }) = facts.file(&formed_path())
        else {
            continue;
        };
        if !are_the_same(text, &wanted) {
            let (found, wanted) = (in_a_line(text), in_a_line(&wanted));
            return Err(OtherMasters { host: host.clone(), found, wanted });
        }
    }
    Ok(())
}

/// Masters of which too many have lost the registry that they had begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused: the masters' registry is gone from {}, and no master leads unless a majority of \
     {majority} has it; restore {DATA} there, or, to begin a new registry, run `systemctl \
     stop {UNIT}; rm -rf {DATA}/formed {DATA}/replicated_log` as root on {}: agents and \
     frameworks register again and their tasks go on, but which agents were marked gone, drained \
     or put under maintenance is forgotten; then run the command again",
    joined(lost),
    joined(all)
)]
pub struct LogLost {
    lost: Vec<HostName>,
    all: Vec<HostName>,
    majority: usize,
}

/// Checks that a majority of masters has the registry that was begun: a master that has lost it
/// can get it only from a majority. `serves` says whether the master of a host has recovered it.
///
/// # Errors
/// When too few masters have it.
pub fn check_log(
    masters: &Ensemble,
    facts: &BTreeMap<HostName, Facts>,
    serves: impl Fn(&HostName) -> bool,
) -> Result<(), LogLost> {
    let all: Vec<HostName> =
        masters.members().iter().map(|member| member.host.clone()).collect();
    let has_lost =
        |host: &&HostName| !serves(host) && facts.get(*host).is_some_and(has_no_log);
    let lost: Vec<HostName> = all.iter().filter(has_lost).cloned().collect();
    let majority = masters.majority();
    match all.len() - lost.len() >= majority {
        true => Ok(()),
        false => Err(LogLost { lost, all, majority }),
    }
}

/// Whether a master has no log, or an empty one. A master gets its mark only with a log.
fn has_no_log(facts: &Facts) -> bool {
    [formed_path(), log()]
        .iter()
        .any(|path| facts.file(path).is_ok_and(|state| *state == FileState::Missing))
}

/// The content of the mark: the masters, one to a line.
fn names(masters: &Ensemble) -> String {
    masters.members().iter().map(|member| format!("{}\n", member.address)).collect()
}

/// Whether two marks name the same masters, in any order.
fn are_the_same(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|names| names.split_whitespace().collect());
    let [one, other]: [BTreeSet<&str>; 2] = [one, other];
    one == other
}

/// The mark of these masters. If the host's mark names the same masters, that one is kept.
fn mark(masters: &Ensemble, facts: &Facts) -> String {
    let wanted = names(masters);
    match facts.file(&formed_path()) {
        Ok(FileState::Present { text: Some(text), .. })
            if are_the_same(text, &wanted) =>
        {
            text.clone()
        }
        _ => wanted,
    }
}

fn in_a_line(names: &str) -> String {
    names.split_whitespace().collect::<Vec<&str>>().join(", ")
}

/// A master's image, directories, files and unit.
///
/// # Errors
/// When the template cannot be rendered.
fn wants(context: Context<'_>, facts: &Facts) -> Result<Wants, BadTemplate> {
    let (Some(masters), Some(image)) =
        (context.topology.masters(), context.pulled(Component::MesosMaster))
    else {
        return Ok(Vec::new());
    };
    let files = files(context);
    let text = unit(context, masters, &image.id)?;
    let data = Some(data_directory(DATA, USER));
    let marker = may_begin(context, facts).then(initialize);
    let others = marker.into_iter().collect();
    let reloaded = Vec::new();
    let service = Service { data, image, files, reloaded, unit: UNIT, text, others };
    let mut wants = service.wants(Stage::Masters);
    let formed = data_file(formed_path(), USER, mark(masters, facts));
    wants.push((Stage::Agents, Resource::File(formed)));
    Ok(wants)
}

/// Whether the master may begin a log: only while the registry is formed, and if it has no log.
fn may_begin(context: Context<'_>, facts: &Facts) -> bool {
    let empty = facts.file(&log()).is_ok_and(|state| *state == FileState::Missing);
    context.inputs.forming.contains(&Component::MesosMaster) && empty
}

fn files(context: Context<'_>) -> Vec<File> {
    let own = |name: &str, content| private(&format!("{CONFIG}/{name}"), content, USER);
    let zookeeper = (mesos::MASTERS, context.inputs.secret(mesos::ZOOKEEPER_SECRET));
    let mut files = vec![
        own("zk", mesos::masters_url(context.topology, zookeeper)),
        own("credentials.json", mesos::credentials(context)),
        File::public(path(&format!("{CONFIG}/acls.json")), mesos::acls(context)),
    ];
    if let Some(domain) = &context.node.agent_spec.domain {
        let text = format!("{}\n", mesos::domain(domain));
        files.push(File::public(path(&format!("{CONFIG}/domain.json")), text));
    }
    files
}

/// The flags of a master; its unit decides whether it may begin a log.
fn flags(context: Context<'_>, masters: &Ensemble) -> Vec<String> {
    let address = context.node.address;
    let mut flags = vec![
        "--zk=file:///etc/mesos/zk".to_owned(),
        format!("--ip={address}"),
        format!("--hostname={address}"),
        format!("--port={MASTER_PORT}"),
        format!("--quorum={}", masters.majority()),
        format!("--cluster={}", context.topology.cluster),
        "--work_dir=/var/lib/mesos".to_owned(),
        "--registry=replicated_log".to_owned(),
        "--authenticate_frameworks".to_owned(),
        "--authenticate_agents".to_owned(),
        "--authenticate_http_readonly".to_owned(),
        "--authenticate_http_readwrite".to_owned(),
        "--authenticate_http_frameworks".to_owned(),
        "--http_framework_authenticators=basic".to_owned(),
        "--credentials=/etc/mesos/credentials.json".to_owned(),
        "--acls=file:///etc/mesos/acls.json".to_owned(),
    ];
    if context.node.agent_spec.domain.is_some() {
        flags.push("--domain=file:///etc/mesos/domain.json".to_owned());
    }
    flags
}

fn unit(
    context: Context<'_>,
    masters: &Ensemble,
    image: &str,
) -> Result<String, BadTemplate> {
    render(
        "mesos-master/platform-mesos-master.service",
        include_str!("../../templates/mesos-master/platform-mesos-master.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            flags => flags(context, masters),
            user => USER,
            config => CONFIG,
            data => DATA,
            image,
        },
    )
}

/// The mark that the masters' registry was begun.
fn formed_path() -> HostPath {
    path(&format!("{DATA}/formed"))
}

/// The folder of a master's copy of the log.
fn log() -> HostPath {
    path(&format!("{DATA}/replicated_log"))
}

/// The marker that lets a master begin a log together with all others.
fn initialize() -> File {
    data_file(path(&format!("{DATA}/initialize")), USER, String::new())
}
