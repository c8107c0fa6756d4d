//! What an `add-node` has to do: edit the inventory, or continue an interrupted `add-node`.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::RunContext;
use super::super::cannot_add::CannotAdd;
use super::super::cluster_files::ClusterFiles;
use super::super::error::Error;
use super::super::run::{shown, shown_machines};
use super::Request;
use crate::component::Spec;
use crate::event::{Event, count};
use crate::host::HostName;
use crate::inventory::component::Redundancy;
use crate::inventory::edit::{self, Addition, Edited};
use crate::inventory::{GivenHost, Group, Inventory, Members, Provider};
use crate::plan::Plan;
use crate::provider::{self, MachinePlan};
use crate::state::{self, Asked, AskedHost};

/// What has to be done, decided from the operator's files alone.
pub(super) struct Order {
    /// The cluster with the machines in it.
    files: ClusterFiles,
    group: String,
    addition: Addition,
    n_before: usize,
    step: Step,
}

enum Step {
    /// Edit the inventory.
    Edit { before: String, edited: Box<Edited> },
    /// The inventory already has the machines; the note says which ones were there before.
    GoOn(state::Addition),
}

impl Order {
    /// Decides what has to be done; writes nothing.
    ///
    /// # Errors
    /// When the machines cannot be added.
    pub(super) fn of(
        files: &ClusterFiles,
        request: &Request,
        ctx: &RunContext<'_>,
    ) -> Result<Self, Error> {
        fits(&files.inventory.provider, &request.addition)?;
        let group = edit::group(&files.inventory, request.group.as_deref())
            .map_err(CannotAdd::from)?;
        grows(&files.inventory, group)?;
        let (name, addition) = (group.name.clone(), request.addition.clone());
        if let Some(noted) = under_way(files)? {
            return Self::go_on(files, name, addition, noted, ctx);
        }
        let edit = |text: &str, exists: &dyn Fn(&Path) -> bool| {
            edit::add(text, &name, &addition, exists)
        };
        let (before, edited) = files.edited("with these machines in it", edit)?;
        let n_before = group.members.n_machines();
        let files = files.with(edited.inventory.clone());
        let step = Step::Edit { before, edited: Box::new(edited) };
        Ok(Self { files, group: name, addition, n_before, step })
    }

    fn go_on(
        files: &ClusterFiles,
        group: String,
        addition: Addition,
        noted: state::Addition,
        ctx: &RunContext<'_>,
    ) -> Result<Self, Error> {
        let (what, since) = (in_words_of(&noted), noted.since.to_string());
        if noted.group != group || noted.asked != asked(&addition) {
            return Err(CannotAdd::Unfinished { what, since }.into());
        }
        ctx.events.emit(&Event::Warned {
            message: format!("continuing the add-node of {what} that began at {since}"),
        });
        let (files, n_before) = (files.with(files.inventory.clone()), noted.n_before);
        Ok(Self { files, group, addition, n_before, step: Step::GoOn(noted) })
    }

    /// The cluster with the machines in it.
    pub(super) fn files(&self) -> &ClusterFiles {
        &self.files
    }

    /// The group that gets them.
    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// The machines that were there before. All of them have to run: `add-node` does not start
    /// machines of other groups.
    ///
    /// # Errors
    /// When some do not run.
    pub(super) fn known(
        &self,
        machine_plan: &MachinePlan,
    ) -> Result<BTreeSet<HostName>, CannotAdd> {
        let running = || machine_plan.running.iter().map(|machine| &machine.host);
        let known: BTreeSet<HostName> = match &self.step {
            Step::GoOn(noted) => noted.known.clone(),
            Step::Edit { .. } => {
                running().filter(|host| !self.is_asked(host)).cloned().collect()
            }
        };
        let is_missing = |host: &HostName| running().all(|running| running != host);
        let all = machine_plan.all();
        let missing: Vec<HostName> = all
            .iter()
            .filter(|machine| is_missing(&machine.host))
            .filter(|machine| {
                machine.group != self.group || known.contains(&machine.host)
            })
            .map(|machine| machine.host.clone())
            .collect();
        let mut missing: Vec<String> = missing.iter().map(HostName::to_string).collect();
        if missing.is_empty() {
            let elsewhere = |group: &String| *group != self.group;
            let lacking = machine_plan.lacking().into_iter().filter(elsewhere);
            missing.extend(lacking.map(|group| format!("some of group {group}")));
        }
        match missing.is_empty() {
            true => Ok(known),
            false => Err(CannotAdd::NotRunning(missing)),
        }
    }

    fn is_asked(&self, host: &HostName) -> bool {
        match &self.addition {
            Addition::Machines(_) => false,
            Addition::Hosts(hosts) => hosts.iter().any(|asked| asked.name == *host),
        }
    }

    /// What the operator is asked to agree to. `plan` is what is done on the machines, if they
    /// exist already.
    pub(super) fn show(&self, machine_plan: &MachinePlan, plan: Option<&Plan>) -> String {
        let mut text = match &self.step {
            Step::Edit { before, edited } => {
                edited.diff(before, &self.files.path.display().to_string())
            }
            Step::GoOn(noted) => {
                let (path, what) =
                    (self.files.path.display(), in_words_of_asked(&noted.asked));
                format!("{path} already has {what} in group {}\n", self.group)
            }
        };
        if machine_plan.n_missing() > 0 {
            text.push_str(&format!("\n{}", shown_machines(machine_plan)));
        }
        match plan {
            Some(plan) => text.push_str(&format!("\n{}", shown(plan))),
            None => text.push_str(
                "\nThe new machines get all that their group gets. Other hosts change only if \
                 they must know the new machines; that is shown then, and you are asked again.\n",
            ),
        }
        text
    }

    /// Writes the note and then the inventory, which has to be as it was read. If the inventory
    /// already has the machines, this writes nothing.
    ///
    /// # Errors
    /// When a file cannot be written, or the inventory was changed meanwhile.
    pub(super) fn write(
        &self,
        known: BTreeSet<HostName>,
        ctx: &RunContext<'_>,
    ) -> Result<(), Error> {
        let Step::Edit { before, edited } = &self.step else { return Ok(()) };
        let addition = state::Addition {
            since: (ctx.clock)(),
            group: self.group.clone(),
            n_before: self.n_before,
            asked: asked(&self.addition),
            known,
        };
        let note = || Ok(self.files.state.note_addition(&addition)?);
        self.files.write_edited((before, edited), &self.step_name(), note, ctx)
    }

    fn step_name(&self) -> String {
        let (path, group) = (self.files.path.display(), &self.group);
        let what = in_words_of_asked(&asked(&self.addition));
        format!("write {path}: add {what} to group {group}")
    }

    /// The same error, with a hint that the inventory now has the machines.
    pub(super) fn written(&self, why: Error) -> Error {
        let path = self.files.path.display();
        let what = in_words_of_asked(&asked(&self.addition));
        let back = match &self.addition {
            Addition::Machines(_) => format!("put its `count` back to {}", self.n_before),
            Addition::Hosts(hosts) => {
                let them = if hosts.len() == 1 { "it" } else { "them" };
                format!("remove {them} from its `hosts`")
            }
        };
        let done = format!(
            "{path} now has {what} in group {}: run the same command again to continue; to undo \
             the edit, {back}",
            self.group
        );
        Error::AfterChanges { why: Box::new(why), done }
    }
}

/// Checks that the provider's machines are added in this way.
fn fits(provider: &Provider, addition: &Addition) -> Result<(), CannotAdd> {
    let makes_machines = provider::capabilities(provider).makes_machines;
    match (makes_machines, addition) {
        (false, Addition::Machines(_)) => Err(CannotAdd::OtherWay(
            "the provider `ssh` makes no machines: give the addresses of the machines to add, \
             instead of `--count`",
        )),
        (true, Addition::Hosts(_)) => Err(CannotAdd::OtherWay(
            "the provider of this inventory makes its machines itself: say how many to add \
             with `--count`, instead of addresses",
        )),
        _ => Ok(()),
    }
}

/// Checks that machines can be added to a group without a special order.
fn grows(inventory: &Inventory, group: &Group) -> Result<(), CannotAdd> {
    let mut of_quorum =
        Spec::all().filter(|spec| spec.component.redundancy() == Redundancy::Quorum);
    match of_quorum.any(|spec| inventory.runs(group, spec.component)) {
        true => Err(CannotAdd::Quorum(group.name.clone())),
        false => Ok(()),
    }
}

/// The `add-node` that was interrupted after it wrote the inventory. `None` if it did not get
/// that far, or if the operator removed its machines from the inventory.
fn under_way(files: &ClusterFiles) -> Result<Option<state::Addition>, Error> {
    let noted = files.state.addition()?;
    Ok(noted.filter(|noted| is_in(&files.inventory, noted)))
}

fn is_in(inventory: &Inventory, noted: &state::Addition) -> bool {
    let group = inventory.groups.iter().find(|group| group.name == noted.group);
    match (group.map(|group| &group.members), &noted.asked) {
        (Some(Members::Count(count)), Asked::Machines(more)) => {
            usize::from(*count) == noted.n_before + usize::from(*more)
        }
        (Some(Members::Hosts(hosts)), Asked::Hosts(asked)) => asked
            .iter()
            .all(|asked| hosts.iter().any(|host| host.address == asked.address)),
        _ => false,
    }
}

fn asked(addition: &Addition) -> Asked {
    let host = |host: &GivenHost| AskedHost {
        address: host.address,
        name: host.name.clone(),
        attributes: host.agent_spec.attributes.clone(),
    };
    match addition {
        Addition::Machines(more) => Asked::Machines(*more),
        Addition::Hosts(hosts) => Asked::Hosts(hosts.iter().map(host).collect()),
    }
}

/// For example `2 machines to group workers`.
fn in_words_of(noted: &state::Addition) -> String {
    format!("{} to group {}", in_words_of_asked(&noted.asked), noted.group)
}

fn in_words_of_asked(asked: &Asked) -> String {
    match asked {
        Asked::Machines(more) => count(usize::from(*more), "machine"),
        Asked::Hosts(hosts) => {
            let names = hosts.iter().map(|host| host.name.as_str());
            names.collect::<Vec<&str>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests;
