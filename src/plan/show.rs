//! A plan as text for people and as JSON for programs. Neither can contain a secret: a hidden
//! file has no diff.

use std::fmt::{self, Write};

use serde::Serialize;

use super::{Gate, HostChanges, KeptResource, Plan, Push, StagePlan, Wave, Work};
use crate::component::Spec;
use crate::component::znode::Secure;
use crate::event::count;

impl Plan {
    /// The plan as text: stage by stage, host by host, each change with its reason and diff.
    ///
    /// # Errors
    /// When `out` refuses the text.
    pub fn show(&self, out: &mut impl Write) -> fmt::Result {
        if self.is_empty() {
            writeln!(out, "Nothing to do: every host is as it should be.")?;
            return self.stays.iter().try_for_each(|stay| writeln!(out, "{stay}"));
        }
        for stage in &self.stages {
            show_stage(stage, out)?;
        }
        self.stays.iter().try_for_each(|stay| writeln!(out, "{stay}"))?;
        let (n_changes, n_hosts) = (self.n_changes(), self.hosts().len());
        writeln!(out, "{} on {}.", count(n_changes, "change"), count(n_hosts, "host"))
    }

    /// The plan as text, followed by the notes. If there are notes, there may be something to do
    /// even if nothing differs.
    ///
    /// # Errors
    /// When `out` refuses the text.
    pub fn show_with(&self, notes: &[String], out: &mut impl Write) -> fmt::Result {
        match self.is_empty() && !notes.is_empty() {
            true => {
                writeln!(out, "Nothing differs: every host has what it should have.")?
            }
            false => self.show(out)?,
        }
        notes.iter().try_for_each(|note| writeln!(out, "{note}"))
    }

    /// The plan as JSON: an object with `changes` (their number), `stages`, and `notes`.
    pub fn to_json(&self, notes: &[String]) -> serde_json::Value {
        let stages: Vec<_> = self.stages.iter().map(StageView::new).collect();
        serde_json::json!({
            "changes": self.n_changes(), "stages": stages, "notes": notes,
        })
    }
}

fn show_stage(stage: &StagePlan, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "{}", stage.stage)?;
    match &stage.work {
        Work::Push(pushes) => {
            for pushes in pushes.chunk_by(|one, next| one.to == next.to) {
                writeln!(out, "  {}", pushes[0].to)?;
                for Push { component, .. } in pushes {
                    writeln!(out, "    push image {component}: its registry lacks it")?;
                }
            }
        }
        Work::Access { nodes, .. } => {
            for node in nodes {
                writeln!(out, "  {node}: {}", node.reason)?;
            }
        }
        Work::Hosts(waves) => {
            for (n, wave) in waves.iter().enumerate() {
                if let (true, Some(gates)) = (waves.len() > 1, awaited(waves, n)) {
                    writeln!(out, "  once {gates}:")?;
                }
                wave.hosts().iter().try_for_each(|host| show_host(host, out))?;
            }
        }
    }
    for gate in proofs(stage) {
        writeln!(out, "  then {gate}")?;
    }
    writeln!(out)
}

/// What has to be true at the end of a stage: the last machines are back, and its gates are open.
fn proofs(stage: &StagePlan) -> impl Iterator<Item = &Gate> {
    let last = match &stage.work {
        Work::Push(_) | Work::Access { .. } => None,
        Work::Hosts(waves) => waves.last(),
    };
    let after = last.into_iter().flat_map(Wave::after);
    after.filter(|gate| matches!(gate, Gate::Booted(_))).chain(&stage.gates)
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

/// What a wave waits for: the gates before it, or else those after the previous wave.
fn awaited(waves: &[Wave], n: usize) -> Option<String> {
    let last = n.checked_sub(1).and_then(|last| together(waves[last].after()));
    together(waves[n].before()).or(last)
}

/// Several gates as one text; `None` if there are none. Components on the same hosts are named
/// together.
fn together(gates: &[Gate]) -> Option<String> {
    let on_same_hosts = |one: &Gate, next: &Gate| match (one.who(), next.who()) {
        (Some((_, hosts)), Some((_, others))) => hosts == others,
        _ => false,
    };
    let texts: Vec<String> = gates.chunk_by(on_same_hosts).map(in_brief).collect();
    (!texts.is_empty()).then(|| texts.join("; and "))
}

/// Gates of components on the same hosts, or a single gate.
fn in_brief(gates: &[Gate]) -> String {
    let known: Vec<_> = gates.iter().filter_map(Gate::who).collect();
    match known.as_slice() {
        [(_, hosts), _, ..] => {
            let titles = known.iter().map(|(component, _)| Spec::of(*component).title);
            let titles: Vec<&str> = titles.collect();
            let hosts: Vec<&str> = hosts.iter().map(|host| host.as_str()).collect();
            format!("{} work on {}", listed(&titles), listed(&hosts))
        }
        _ => gates.iter().map(Gate::to_string).collect(),
    }
}

/// `a, b and c`
fn listed(words: &[&str]) -> String {
    match words {
        [rest @ .., last] if !rest.is_empty() => {
            format!("{} and {last}", rest.join(", "))
        }
        words => words.concat(),
    }
}

impl fmt::Display for KeptResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, thing, programs } = self;
        write!(f, "{host} keeps the {thing}: {} runs from it.", programs.join(", "))
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serves { component, members } => {
                let names = members.iter().map(|member| member.host.as_str());
                let names = names.collect::<Vec<&str>>().join(", ");
                let [one, several] = Spec::of(*component).serve;
                let said = if members.len() == 1 { one } else { several };
                f.write_str(&said.replace("{}", &names))
            }
            Self::Booted(reboots) => {
                let names: Vec<&str> =
                    reboots.iter().map(|reboot| reboot.host.as_str()).collect();
                let are = if reboots.len() == 1 { "is" } else { "are" };
                write!(f, "{} {are} back with cgroup v1", names.join(", "))
            }
        }
    }
}

#[derive(Serialize)]
struct StageView<'a> {
    stage: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pushes: Vec<&'a Push>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waves: Vec<WaveView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<ChangeView<'a>>,
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
        let gates = proofs(stage).map(Gate::to_string).collect();
        let (pushes, waves, nodes) = (Vec::new(), Vec::new(), Vec::new());
        let view = Self { stage: stage.stage.to_string(), pushes, waves, nodes, gates };
        match &stage.work {
            Work::Push(pushes) => Self { pushes: pushes.iter().collect(), ..view },
            Work::Hosts(waves) => {
                let wave = |n| WaveView::new(waves, n);
                Self { waves: (0..waves.len()).map(wave).collect(), ..view }
            }
            Work::Access { nodes, .. } => {
                let node = |node: &'a Secure| ChangeView {
                    change: node.to_string(),
                    reason: &node.reason,
                    diff: None,
                };
                Self { nodes: nodes.iter().map(node).collect(), ..view }
            }
        }
    }
}

impl<'a> WaveView<'a> {
    fn new(waves: &'a [Wave], n: usize) -> Self {
        let hosts = waves[n].hosts().iter().map(HostView::new).collect();
        Self { after: awaited(waves, n), hosts }
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
