//! Compares the plan for machines that do not exist yet with the plan that is made once they
//! answer: which changes were agreed to before, and which were not.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Wave, Work};
use crate::component::Stage;
use crate::host::HostName;
use crate::topology::Topology;

/// The changes that the operator was shown before the machines existed.
#[derive(Debug, Clone, Default)]
pub struct Foreseen {
    changes: BTreeSet<(Stage, Subject, String)>,
    hosts: BTreeSet<HostName>,
}

/// The subject of a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// A host by its name.
    Host(HostName),
    /// Any new machine of a group, if the provider names its machines itself.
    Group(String),
    /// The ensemble.
    Ensemble,
}

/// One change of a plan, as it is compared and shown.
struct PlannedChange {
    stage: Stage,
    host: Option<HostName>,
    step: String,
}

impl Foreseen {
    /// The changes of a plan. `unnamed` are the placeholder hosts for machines to which the
    /// provider gives other names, with their groups.
    pub fn of(plan: &Plan, unnamed: &BTreeMap<HostName, String>) -> Self {
        let changes = changes(plan).map(|PlannedChange { stage, host, step }| {
            let subject = match host {
                None => Subject::Ensemble,
                Some(host) => match unnamed.get(&host) {
                    Some(group) => Subject::Group(group.clone()),
                    None => Subject::Host(host),
                },
            };
            (stage, subject, step)
        });
        let hosts = plan.hosts().into_iter().filter(|host| !unnamed.contains_key(*host));
        Self { changes: changes.collect(), hosts: hosts.cloned().collect() }
    }

    /// The changes of a plan that were not foreseen, one line each; empty if there are none. A
    /// foreseen change that turned out not to be needed is not listed. `ids` are the ids of
    /// images, which are not known before the images exist, with their placeholders.
    pub fn missing(
        &self,
        plan: &Plan,
        topology: &Topology,
        ids: &[(String, String)],
    ) -> Vec<String> {
        let as_foreseen = |step: &str| {
            ids.iter()
                .fold(step.to_owned(), |step, (id, before)| step.replace(id, before))
        };
        let alike = |(stage, subject, step): &(Stage, Subject, String)| {
            (*stage, subject.clone(), as_foreseen(step))
        };
        let foreseen: BTreeSet<_> = self.changes.iter().map(alike).collect();
        let was_seen = |change: &PlannedChange| {
            let step = as_foreseen(&change.step);
            let subjects = match &change.host {
                None => vec![Subject::Ensemble],
                Some(host) => self.subjects(host, topology),
            };
            subjects
                .into_iter()
                .any(|subject| foreseen.contains(&(change.stage, subject, step.clone())))
        };
        let new = changes(plan).filter(|change| !was_seen(change));
        new.map(|PlannedChange { host, step, .. }| match host {
            Some(host) => format!("{host}: {step}"),
            None => step,
        })
        .collect()
    }

    /// The subjects that may have stood for a host.
    fn subjects(&self, host: &HostName, topology: &Topology) -> Vec<Subject> {
        let mut subjects = vec![Subject::Host(host.clone())];
        if !self.hosts.contains(host) {
            let node = topology.node(host);
            subjects.extend(node.map(|node| Subject::Group(node.group.clone())));
        }
        subjects
    }
}

fn changes(plan: &Plan) -> impl Iterator<Item = PlannedChange> {
    plan.stages.iter().flat_map(|planned| {
        let stage = planned.stage;
        let of = |host, step| PlannedChange { stage, host, step };
        match &planned.work {
            Work::Push(pushes) => pushes
                .iter()
                .map(|push| of(Some(push.to.clone()), format!("push {}", push.component)))
                .collect::<Vec<_>>(),
            Work::Access { nodes, .. } => {
                nodes.iter().map(|node| of(None, node.to_string())).collect()
            }
            Work::Hosts(waves) => {
                let hosts = waves.iter().flat_map(Wave::hosts);
                let each = hosts.flat_map(|host| {
                    let steps = host.changes.iter().map(|change| change.step());
                    steps.map(|step| of(Some(host.host.clone()), step))
                });
                each.collect()
            }
        }
    })
}
