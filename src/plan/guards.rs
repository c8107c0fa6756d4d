//! Guards: what no plan may do to a running cluster. Each guard compares the facts with what is
//! wanted, and says why nothing may be changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::preflight::PreflightFailure;
use super::{Gate, Scope, Situation, quorum};
use crate::component::Spec;
use crate::component::agent::{self, NeedsDrain};
use crate::component::lost::{self, SecretsLost};
use crate::component::master::{self, LogLost, OtherMasters};
use crate::component::zookeeper::{self, AllLost, DataLost, OtherMembers};
use crate::host::HostName;
use crate::inventory::Component;
use crate::resource::{Facts, UnitState};

/// What the cluster's state folder on this computer holds.
#[derive(Debug, Clone, Copy)]
pub struct Folder<'a> {
    /// The folder.
    pub path: &'a Path,
    /// The files that were missing and were created again, relative to the folder.
    pub made: &'a [PathBuf],
    /// The note that the ensemble has served, if there is one.
    pub served: Option<&'a Path>,
}

/// Which groups that decide by a majority hold no data yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forming {
    /// The ZooKeeper ensemble: see [`zookeeper::forming`].
    pub ensemble: bool,
    /// The registry of the Mesos masters: see [`master::forming`].
    pub masters: bool,
}

impl Forming {
    /// The components that hold nothing yet.
    pub fn components(self) -> BTreeSet<Component> {
        let both = [
            (self.ensemble, Component::Zookeeper),
            (self.masters, Component::MesosMaster),
        ];
        both.into_iter().filter(|(is, _)| *is).map(|(_, component)| component).collect()
    }
}

/// One reason why nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A host is not fit for the cluster.
    #[error("{}: {}; {}", .0.host, .0.problem, .0.help)]
    Unfit(PreflightFailure),
    /// The state folder no longer holds secrets that the hosts use.
    #[error(transparent)]
    SecretsLost(#[from] SecretsLost),
    /// All members of the ensemble lost their data.
    #[error(transparent)]
    AllLost(#[from] AllLost),
    /// Most members of the ensemble lost their data.
    #[error(transparent)]
    DataLost(#[from] DataLost),
    /// The members of a running ensemble would change.
    #[error(transparent)]
    Members(#[from] OtherMembers),
    /// The Mesos masters would change.
    #[error(transparent)]
    Masters(#[from] OtherMasters),
    /// Most Mesos masters lost their registry.
    #[error(transparent)]
    LogLost(#[from] LogLost),
    /// An agent would have to be drained.
    #[error(transparent)]
    NeedsDrain(#[from] NeedsDrain),
    /// A change would interrupt more members of a group than the group can lose.
    #[error(transparent)]
    Interrupts(#[from] quorum::Refused),
}

/// All reasons why nothing is changed; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// These refusals; `None` if there are none.
    pub fn of(refusals: Vec<Refusal>) -> Option<Self> {
        (!refusals.is_empty()).then_some(Self(refusals))
    }

    /// All refusals.
    pub fn all(&self) -> &[Refusal] {
        &self.0
    }

    /// Whether a group that decides by a majority lost its data, so that no run can go on.
    pub fn are_of_lost_data(&self) -> bool {
        self.0.iter().any(|refusal| {
            matches!(
                refusal,
                Refusal::DataLost(_) | Refusal::AllLost(_) | Refusal::LogLost(_)
            )
        })
    }

    /// The gates to wait for, if that may be all that is needed: each reason is that members do
    /// not serve, and their units were started a moment ago.
    pub fn only_of_starting(
        &self,
        facts: &BTreeMap<HostName, Facts>,
    ) -> Option<Vec<Gate>> {
        let is_starting = |gate: &Gate| {
            let Some((component, hosts)) = gate.who() else { return false };
            let unit = Spec::of(component).unit;
            let mut states =
                hosts.into_iter().map(|host| facts.get(host)?.unit(unit).ok());
            states.all(|state| state.is_some_and(UnitState::is_starting))
        };
        let gates = self.0.iter().map(|refusal| match refusal {
            Refusal::Interrupts(refused) => {
                Some(refused.until_back()).filter(is_starting)
            }
            _ => None,
        });
        gates.collect()
    }
}

impl From<quorum::Refused> for Refusals {
    fn from(refused: quorum::Refused) -> Self {
        Self(vec![refused.into()])
    }
}

impl std::error::Error for Refusals {}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [refusal] if !matches!(refusal, Refusal::Unfit(_)) => refusal.fmt(f),
            refusals => {
                f.write_str("nothing was changed on the hosts:")?;
                refusals.iter().try_for_each(|refusal| write!(f, "\n  {refusal}"))
            }
        }
    }
}

/// Every reason against any change in this scope.
pub(super) fn check(situation: &Situation<'_>, scope: &Scope<'_>) -> Vec<Refusal> {
    let Situation { facts, folder, .. } = situation;
    let mut refusals: Vec<Refusal> =
        situation.preflight_failures.iter().cloned().map(Refusal::Unfit).collect();
    let mut take = |checked: Result<(), Refusal>| refusals.extend(checked.err());
    take(lost::check(folder.made, folder.path, facts).map_err(Refusal::from));
    if let Scope::Everything = scope {
        check_ensemble(situation, &mut take);
        check_masters(situation, &mut take);
    }
    let nodes = situation.topology.nodes.iter();
    let in_scope = nodes.filter(|node| scope.is_whole(&node.host));
    let known = in_scope.filter_map(|node| Some((node, facts.get(&node.host)?)));
    take(agent::check(known).map_err(Refusal::from));
    refusals
}

fn check_ensemble(situation: &Situation<'_>, take: &mut impl FnMut(Result<(), Refusal>)) {
    let Situation { topology, facts, folder, forming, .. } = situation;
    let Some(ensemble) = topology.zookeeper() else { return };
    let served = folder.served.map(Path::to_owned);
    take(
        zookeeper::check_first(ensemble, forming.ensemble, served).map_err(Refusal::from),
    );
    if !forming.ensemble {
        take(zookeeper::check_members(ensemble, *facts).map_err(Refusal::from));
        take(zookeeper::check_data(ensemble, facts).map_err(Refusal::from));
    }
}

fn check_masters(situation: &Situation<'_>, take: &mut impl FnMut(Result<(), Refusal>)) {
    let Situation { topology, facts, forming, health, .. } = situation;
    let Some(masters) = topology.masters() else { return };
    take(master::check_members(masters, *facts).map_err(Refusal::from));
    if !forming.masters {
        let serves = |host: &HostName| health.serves(Component::MesosMaster, host);
        take(master::check_log(masters, facts, serves).map_err(Refusal::from));
    }
}
