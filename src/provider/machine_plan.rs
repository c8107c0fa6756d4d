//! What has to be done to make all machines of an inventory, in one form for every provider.
//!
//! Pure. A provider compares what the inventory asks for with what exists, and returns the result
//! in this form; the verbs see nothing else of it.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use jiff::{SignedDuration, Timestamp};

use super::Machine;
use crate::host::HostName;

/// A machine that was started more recently may still be booting.
const BOOTING: SignedDuration = SignedDuration::from_mins(5);

/// The machines that a cluster has, and the steps that make the missing ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MachinePlan {
    /// Machines that run, in the order of the inventory.
    pub running: Vec<Machine>,
    /// Those of them that may still be booting: see [`may_be_booting`].
    pub booting: BTreeSet<HostName>,
    /// Machines that do not run, and that the steps make or start.
    pub missing: Vec<MissingMachine>,
    /// What is done, in order.
    pub steps: Vec<MachineStep>,
    /// The cost of all machines of the inventory, as one line; `None` if they cost nothing.
    pub cost: Option<String>,
    /// The time from which `down --expired` may remove the cluster.
    pub expires: Option<Timestamp>,
    /// Differences that are not changed, in sentences.
    pub notes: Vec<String>,
}

/// A machine that does not run yet, or several equal ones.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingMachine {
    /// What to call it: its name, or `a machine of GROUP`.
    pub name: String,
    /// Its group.
    pub group: String,
    /// How many such machines there are.
    pub count: usize,
    /// The machine, if its name and address are known already.
    pub machine: Option<Machine>,
    /// Whether it is newly made. A machine that is started again may have anything on it.
    pub is_new: bool,
}

/// One step of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineStep {
    /// What it changes: a machine, or a part of the network.
    pub subject: String,
    /// What is done, and why.
    pub what: String,
    /// The provider's own name for it, such as `RunInstances`.
    pub call: Option<&'static str>,
}

/// Whether a machine that its provider started at this time may still be booting. A provider's
/// clock may be ahead of this computer's.
pub fn may_be_booting(started: Timestamp, now: Timestamp) -> bool {
    now.duration_since(started) < BOOTING
}

impl MachinePlan {
    /// A plan for machines that exist already.
    pub fn of_given(running: Vec<Machine>) -> Self {
        Self { running, ..Self::default() }
    }

    /// Whether there is nothing to do.
    pub fn is_complete(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it can be planned what the new machines will get, before they exist: all machines
    /// that do not run are newly made.
    pub fn is_foreseeable(&self) -> bool {
        self.missing.iter().all(|missing| missing.is_new)
    }

    /// How many machines are made or started.
    pub fn n_missing(&self) -> usize {
        self.missing.iter().map(|missing| missing.count).sum()
    }

    /// What to call each machine that is made or started.
    pub fn missing_names(&self) -> Vec<String> {
        let each = |missing: &MissingMachine| vec![missing.name.clone(); missing.count];
        self.missing.iter().flat_map(each).collect()
    }

    /// The groups that lack machines.
    pub fn lacking(&self) -> BTreeSet<String> {
        self.missing.iter().map(|missing| missing.group.clone()).collect()
    }

    /// All machines of the inventory that have a name and an address already.
    pub fn all(&self) -> Vec<Machine> {
        let missing = self.missing.iter().filter_map(|missing| missing.machine.as_ref());
        self.running.iter().chain(missing).cloned().collect()
    }

    /// The steps as text, and the cost.
    ///
    /// # Errors
    /// When the text cannot be written to `out`.
    pub fn show(&self, out: &mut impl Write) -> fmt::Result {
        let mut subject = None;
        for step in &self.steps {
            if subject != Some(&step.subject) {
                writeln!(out, "  {}", step.subject)?;
                subject = Some(&step.subject);
            }
            match step.call {
                Some(call) => writeln!(out, "    {} ({call})", step.what)?,
                None => writeln!(out, "    {}", step.what)?,
            }
        }
        match &self.cost {
            Some(cost) => writeln!(out, "  cost\n    {cost}"),
            None => Ok(()),
        }
    }

    /// The plan as JSON: `running` and `missing` (names), `steps` (each with `subject`, `step`
    /// and perhaps `call`), `cost`, `expires`, `notes`.
    pub fn to_json(&self) -> serde_json::Value {
        let running: Vec<&str> =
            self.running.iter().map(|machine| machine.host.as_str()).collect();
        let steps = self.steps.iter().map(|MachineStep { subject, what, call }| {
            serde_json::json!({ "subject": subject, "step": what, "call": call })
        });
        serde_json::json!({
            "running": running,
            "missing": self.missing_names(),
            "steps": steps.collect::<Vec<_>>(),
            "cost": self.cost,
            "expires": self.expires.map(|at| at.to_string()),
            "notes": self.notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str) -> Machine {
        Machine {
            host: name.parse().unwrap(),
            group: "workers".to_owned(),
            address: [10, 0, 0, 9].into(),
            ssh: None,
            host_keys: Vec::new(),
        }
    }

    fn missing(name: Option<&str>, count: usize, is_new: bool) -> MissingMachine {
        MissingMachine {
            name: name.unwrap_or("a machine of workers").to_owned(),
            group: "workers".to_owned(),
            count,
            machine: name.map(machine),
            is_new,
        }
    }

    #[test]
    fn machines_are_counted_and_named_also_where_they_have_no_name_yet() {
        let plan = MachinePlan {
            running: vec![machine("workers-1")],
            missing: vec![missing(Some("workers-2"), 1, true), missing(None, 2, true)],
            ..MachinePlan::default()
        };
        assert_eq!(plan.n_missing(), 3);
        let unnamed = "a machine of workers";
        assert_eq!(plan.missing_names(), ["workers-2", unnamed, unnamed]);
        assert_eq!(plan.all(), [machine("workers-1"), machine("workers-2")]);
        assert_eq!(plan.lacking(), ["workers".to_owned()].into());
        assert!(plan.is_foreseeable());
    }

    #[test]
    fn a_machine_may_be_booting_for_five_minutes_after_its_start() {
        let may_be = |now: &str| {
            let started = "2026-07-01T10:00:00Z".parse().unwrap();
            may_be_booting(started, now.parse().unwrap())
        };
        assert!(may_be("2026-07-01T10:00:01Z") && may_be("2026-07-01T10:04:59Z"));
        assert!(!may_be("2026-07-01T10:05:00Z") && !may_be("2026-07-02T10:00:00Z"));
        assert!(may_be("2026-07-01T09:59:58Z"), "the provider's clock is ahead");
    }

    #[test]
    fn nobody_foresees_what_is_on_a_machine_that_stopped() {
        let missing = vec![missing(Some("workers-2"), 1, false)];
        assert!(!MachinePlan { missing, ..MachinePlan::default() }.is_foreseeable());
    }

    #[test]
    fn steps_stand_below_their_subject_once() {
        let step = |subject: &str, what: &str, call| MachineStep {
            subject: subject.to_owned(),
            what: what.to_owned(),
            call,
        };
        let plan = MachinePlan {
            steps: vec![
                step("network", "make VPC", Some("CreateVpc")),
                step("network", "tag it", None),
                step("workers-1", "launch", Some("RunInstances")),
            ],
            cost: Some("1 USD an hour".to_owned()),
            ..MachinePlan::default()
        };
        let mut text = String::new();
        plan.show(&mut text).unwrap();
        let expected = "  network\n    make VPC (CreateVpc)\n    tag it\n  workers-1\n    \
                        launch (RunInstances)\n  cost\n    1 USD an hour\n";
        assert_eq!(text, expected);
    }
}
