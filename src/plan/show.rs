//! A plan as text for people and as JSON for programs. Neither can hold a secret: a hidden
//! file has no diff.

use std::fmt::{self, Write};

use serde::Serialize;

use super::{Gate, HostChanges, Plan, Push, StagePlan, Wave, Work};

impl Plan {
    /// The plan as text: stage by stage, host by host, each change with its reason and diff.
    ///
    /// # Errors
    /// When `out` refuses the text.
    pub fn show(&self, out: &mut impl Write) -> fmt::Result {
        if self.is_empty() {
            return writeln!(out, "Nothing to do: every host is as it should be.");
        }
        for stage in &self.stages {
            show_stage(stage, out)?;
        }
        let (n_changes, n_hosts) = (self.n_changes(), self.hosts().len());
        writeln!(out, "{} on {}.", count(n_changes, "change"), count(n_hosts, "host"))
    }

    /// The plan as JSON: an object with `changes` (their number) and `stages`.
    pub fn to_json(&self) -> serde_json::Value {
        let stages: Vec<_> = self.stages.iter().map(StageView::new).collect();
        serde_json::json!({ "changes": self.n_changes(), "stages": stages })
    }
}

fn show_stage(stage: &StagePlan, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "{}", stage.stage)?;
    match &stage.work {
        Work::Push(pushes) => {
            for Push { component, to } in pushes {
                writeln!(
                    out,
                    "  {to}\n    push image {component}: its registry lacks it"
                )?;
            }
        }
        Work::Hosts(waves) => {
            let rolls = waves.len() > 1;
            for wave in waves {
                if let (true, Some(gate)) = (rolls, wave.before()) {
                    writeln!(out, "  once {gate}:")?;
                }
                wave.hosts().iter().try_for_each(|host| show_host(host, out))?;
            }
        }
    }
    for gate in &stage.gates {
        writeln!(out, "  then {gate}")?;
    }
    writeln!(out)
}

fn show_host(host: &HostChanges, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "  {}", host.host)?;
    for change in &host.changes {
        writeln!(out, "    {}: {}", change.step(), change.reason)?;
        for line in change.diff.iter().flat_map(|diff| diff.lines()) {
            writeln!(out, "      {line}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(node) => write!(f, "the registry on {} serves", node.host),
            Self::Ensemble(members) => {
                let ids: Vec<&str> =
                    members.iter().map(|member| member.host.as_str()).collect();
                let serve =
                    if ids.len() == 1 { "serves" } else { "serve and are synced" };
                write!(f, "ZooKeeper on {} {serve}", ids.join(", "))
            }
        }
    }
}

/// `1 change`, `2 changes`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[derive(Serialize)]
struct StageView<'a> {
    stage: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pushes: Vec<&'a Push>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waves: Vec<WaveView<'a>>,
    gates: Vec<String>,
}

#[derive(Serialize)]
struct WaveView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    hosts: Vec<HostView<'a>>,
}

#[derive(Serialize)]
struct HostView<'a> {
    host: &'a str,
    changes: Vec<ChangeView<'a>>,
}

#[derive(Serialize)]
struct ChangeView<'a> {
    change: String,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<&'a str>,
}

impl<'a> StageView<'a> {
    fn new(stage: &'a StagePlan) -> Self {
        let (pushes, waves) = match &stage.work {
            Work::Push(pushes) => (pushes.iter().collect(), Vec::new()),
            Work::Hosts(waves) => (Vec::new(), waves.iter().map(WaveView::new).collect()),
        };
        let gates = stage.gates.iter().map(Gate::to_string).collect();
        Self { stage: stage.stage.to_string(), pushes, waves, gates }
    }
}

impl<'a> WaveView<'a> {
    fn new(wave: &'a Wave) -> Self {
        let after = wave.before().map(|gate| gate.to_string());
        Self { after, hosts: wave.hosts().iter().map(HostView::new).collect() }
    }
}

impl<'a> HostView<'a> {
    fn new(host: &'a HostChanges) -> Self {
        let changes = host.changes.iter().map(|change| ChangeView {
            change: change.step(),
            reason: &change.reason,
            diff: change.diff.as_deref(),
        });
        Self { host: host.host.as_str(), changes: changes.collect() }
    }
}
