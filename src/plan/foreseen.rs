//! The plan that was shown before machines existed, compared with the plan that is made once they
//! answer: which changes were agreed to, and which were not.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Wave, Work};
use crate::component::{Stage, firewall};
use crate::host::HostName;
use crate::resource::{Action, Change, Key};
use crate::topology::Topology;

/// The changes that the operator was shown before the machines existed.
#[derive(Debug, Clone, Default)]
pub struct Foreseen {
    changes: BTreeSet<(Stage, Subject, String)>,
    running: BTreeSet<HostName>,
}

/// What a change is made to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// A host.
    Host(HostName),
    /// Any new machine of a group, if the provider names its machines itself.
    Group(String),
    /// The ensemble.
    Ensemble,
}

/// One change of a plan.
struct PlannedChange<'a> {
    stage: Stage,
    host: Option<HostName>,
    step: String,
    change: Option<&'a Change>,
}

impl PlannedChange<'_> {
    /// What has to be the same in both plans. On a host that ran already that includes the text
    /// that differs; on a new one, that a file is put in the place of something else.
    fn key(&self, ran: bool) -> String {
        let Some(change) = self.change else { return self.step.clone() };
        // The firewall's rules contain the addresses of new machines, which were not known.
        let shown = ran && change.key != Key::File(firewall::rules_path());
        let diff = change.diff.as_deref().filter(|_| shown).unwrap_or_default();
        let replaces = match &change.action {
            Action::WriteFile(_) if change.reason != MISSING => change.reason.as_str(),
            _ => "",
        };
        format!("{}\n{replaces}\n{diff}", self.step)
    }

    /// The change as it is shown.
    fn text(&self) -> String {
        let step = match &self.host {
            Some(host) => format!("{host}: {}", self.step),
            None => self.step.clone(),
        };
        let Some(change) = self.change else { return step };
        let diff = change.diff.iter().flat_map(|diff| diff.lines());
        let diff: String = diff.map(|line| format!("\n    {line}")).collect();
        format!("{step}: {}{diff}", change.reason)
    }
}

/// The reason to write a file where there is none.
const MISSING: &str = "is missing";

impl Foreseen {
    /// The changes of a plan. `running` are the hosts that exist already, and `unnamed` those that
    /// stand for machines to which the provider gives other names, with their groups.
    pub fn of(
        plan: &Plan,
        running: &BTreeSet<HostName>,
        unnamed: &BTreeMap<HostName, String>,
    ) -> Self {
        let changes = changes(plan).map(|change| {
            let ran = change.host.as_ref().is_some_and(|host| running.contains(host));
            let key = change.key(ran);
            let subject = match change.host {
                None => Subject::Ensemble,
                Some(host) => match unnamed.get(&host) {
                    Some(group) => Subject::Group(group.clone()),
                    None => Subject::Host(host),
                },
            };
            (change.stage, subject, key)
        });
        Self { changes: changes.collect(), running: running.clone() }
    }

    /// The changes of a plan that were not foreseen, each with its reason and diff. A change that
    /// was foreseen and is not needed is not among them. `ids` are the ids of images, which are
    /// not known before the images are built, and what was shown instead.
    pub fn missing(
        &self,
        plan: &Plan,
        topology: &Topology,
        ids: &[(String, String)],
    ) -> Vec<String> {
        let as_foreseen = |key: &str| {
            ids.iter().fold(key.to_owned(), |key, (id, before)| key.replace(id, before))
        };
        let foreseen: BTreeSet<_> = self
            .changes
            .iter()
            .map(|(stage, subject, key)| (*stage, subject.clone(), as_foreseen(key)))
            .collect();
        let was_seen = |change: &PlannedChange<'_>| {
            let ran = change.host.as_ref().is_some_and(|it| self.running.contains(it));
            let key = as_foreseen(&change.key(ran));
            let subjects = match &change.host {
                None => vec![Subject::Ensemble],
                Some(host) => self.subjects(host, topology),
            };
            subjects
                .into_iter()
                .any(|subject| foreseen.contains(&(change.stage, subject, key.clone())))
        };
        changes(plan)
            .filter(|change| !was_seen(change))
            .map(|change| change.text())
            .collect()
    }

    /// What a host may have been called.
    fn subjects(&self, host: &HostName, topology: &Topology) -> Vec<Subject> {
        let mut subjects = vec![Subject::Host(host.clone())];
        if !self.running.contains(host) {
            let node = topology.node(host);
            subjects.extend(node.map(|node| Subject::Group(node.group.clone())));
        }
        subjects
    }
}

fn changes(plan: &Plan) -> impl Iterator<Item = PlannedChange<'_>> {
    plan.stages.iter().flat_map(|planned| {
        let stage = planned.stage;
        let of = |host, step, change| PlannedChange { stage, host, step, change };
        match &planned.work {
            Work::Push(pushes) => pushes
                .iter()
                .map(|push| {
                    of(Some(push.to.clone()), format!("push {}", push.component), None)
                })
                .collect::<Vec<_>>(),
            Work::Access { nodes, .. } => {
                nodes.iter().map(|node| of(None, node.to_string(), None)).collect()
            }
            Work::Hosts(waves) => {
                let hosts = waves.iter().flat_map(Wave::hosts);
                let each = hosts.flat_map(|host| {
                    let changes = host.changes.iter();
                    changes.map(|it| of(Some(host.host.clone()), it.step(), Some(it)))
                });
                each.collect()
            }
        }
    })
}
