//! What the landing page shows of Mesos: the leading master's own summary of its agents and
//! frameworks, read again and again in a thread.
//!
//! It only reads, and nothing that the balancer decides depends on it.

use std::thread;
use std::time::{Duration, Instant};

use platform_daemon::journal::chain;
use serde::Deserialize;
use serde_json::Value;

use crate::follow::{Asked, FollowError};
use crate::http::Limit;
use crate::settings::Masters;

const PERIOD: Duration = Duration::from_secs(5);
/// A master summarises thousands of agents within a second.
const WHOLE_SUMMARY: Duration = Duration::from_secs(3);

/// What the leading master says.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesos {
    /// The leading master, as `host:port`.
    pub leader: String,
    /// Its agents and frameworks.
    pub summary: Summary,
    /// When it was asked.
    pub asked: Instant,
}

/// The answer to `GET /state-summary`, of which only the members that matter are looked at.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The agents that are registered.
    #[serde(rename = "slaves")]
    pub agents: Vec<Agent>,
    /// The frameworks that are registered.
    pub frameworks: Vec<Framework>,
}

/// An agent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// The name or address of its host.
    pub hostname: String,
    /// Whether it takes tasks.
    pub active: bool,
    /// Whether an operator has switched it off.
    pub deactivated: bool,
    /// How far it is with giving its tasks away, if it was told to.
    pub drain_info: Option<DrainInfo>,
    /// What it has.
    pub resources: Resources,
    /// What its tasks were given of that.
    pub used_resources: Resources,
    /// What it says of itself.
    pub attributes: std::collections::BTreeMap<String, Value>,
    /// Tasks that run.
    #[serde(rename = "TASK_RUNNING")]
    pub running: u32,
}

/// How far an agent is with giving its tasks away.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DrainInfo {
    /// `DRAINING` or `DRAINED`.
    pub state: String,
}

/// What an agent has, or what is used of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// CPUs.
    pub cpus: f64,
    /// Memory, in MiB.
    pub mem: f64,
    /// Disk space, in MiB.
    pub disk: f64,
}

/// A framework.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Framework {
    /// Its name.
    pub name: String,
    /// The host of the instance that leads.
    pub hostname: String,
    /// Whether it gets offers.
    pub active: bool,
}

/// Asks the masters for ever, in a thread, and tells what they answered, or why they did not.
pub fn watch(masters: Masters, tell: impl Fn(Result<Mesos, String>) + Send + 'static) {
    thread::spawn(move || {
        loop {
            tell(summary(&masters).map_err(|error| chain(&error)));
            thread::park_timeout(PERIOD);
        }
    });
}

/// What the leading master says, which each master names. The first error, if none answers.
fn summary(masters: &Masters) -> Result<Mesos, FollowError> {
    let asked = Instant::now();
    let question = Asked {
        path: "/state-summary",
        json: None,
        accept: "application/json",
        limit: Limit::Whole(WHOLE_SUMMARY),
        login: Some(&masters.login),
    };
    let ask = |master: &String| {
        let (leader, answer) = question.of_leader(master)?;
        let failed = |source| FollowError::Http { address: leader.clone(), source };
        let bytes = answer.bytes().map_err(failed)?;
        let unreadable =
            |source| FollowError::NotMesos { address: leader.clone(), source };
        let summary = Summary::parse(&bytes).map_err(unreadable)?;
        Ok(Mesos { leader, summary, asked })
    };
    let mut failure = None;
    for master in &masters.masters {
        match ask(master) {
            Ok(mesos) => return Ok(mesos),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or(FollowError::NoLeader { address: "none".to_owned() }))
}

impl Summary {
    /// Reads a summary; agents and frameworks come in the order of their names.
    ///
    /// # Errors
    ///
    /// If the text is not one whole summary.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut summary: Self = serde_json::from_slice(text)?;
        summary.agents.sort_by(|one, other| one.hostname.cmp(&other.hostname));
        summary.frameworks.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(summary)
    }

    /// The host on which the leading instance of a framework runs; `None` if the framework is not
    /// active.
    pub fn host_of(&self, framework: &str) -> Option<&str> {
        let named = |at: &&Framework| at.name == framework && at.active;
        self.frameworks.iter().find(named).map(|at| at.hostname.as_str())
    }
}

impl Agent {
    /// What it does: `draining`, `drained`, `deactivated`, `active` or `lost`.
    pub fn state(&self) -> &'static str {
        match self.drain_info.as_ref().map(|info| info.state.as_str()) {
            Some("DRAINED") => "drained",
            Some(_) => "draining",
            None if self.deactivated => "deactivated",
            None if self.active => "active",
            None => "lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform_daemon::settings::Login;

    /// As a real Mesos 1.11 answers, shortened.
    const SUMMARY: &str = r#"{"hostname":"10.0.0.1","cluster":"lab","slaves":[
        {"id":"S1","hostname":"10.0.0.22","attributes":{"rack":"r2","shelf":4.0},
         "resources":{"disk":1000.0,"mem":512.0,"gpus":0.0,"cpus":1.0,"ports":"[1-2]"},
         "used_resources":{"disk":0.0,"mem":64.0,"gpus":0.0,"cpus":0.1},
         "active":true,"deactivated":false,"TASK_RUNNING":2,"framework_ids":["F0"]},
        {"id":"S0","hostname":"10.0.0.21","attributes":{},"active":false,"deactivated":true,
         "drain_info":{"state":"DRAINING","config":{"mark_gone":false}}}],
        "frameworks":[{"name":"marathon","hostname":"10.0.0.2","active":true},
            {"name":"chronos","hostname":"10.0.0.3","active":false}]}"#;

    #[test]
    fn a_summary_is_read_and_sorted() {
        let summary = Summary::parse(SUMMARY.as_bytes()).unwrap();
        let agents: Vec<(&str, &str, u32, f64)> = summary
            .agents
            .iter()
            .map(|at| (at.hostname.as_str(), at.state(), at.running, at.resources.mem))
            .collect();
        let expected =
            [("10.0.0.21", "draining", 0, 0.0), ("10.0.0.22", "active", 2, 512.0)];
        assert_eq!(agents, expected);
        assert_eq!(summary.host_of("marathon"), Some("10.0.0.2"));
        assert_eq!(summary.host_of("chronos"), None);
        assert!(Summary::parse(&SUMMARY.as_bytes()[..100]).is_err());
    }

    #[test]
    fn no_master_at_all_is_an_error() {
        let login = Login { user: "edge".to_owned(), password_file: "/none".into() };
        let nobody = Masters { masters: Vec::new(), login };
        assert!(matches!(summary(&nobody), Err(FollowError::NoLeader { .. })));
    }
}
