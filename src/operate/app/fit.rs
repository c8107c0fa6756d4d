//! What cannot work on this cluster's agents and beside its other apps, before anything is sent.
//! Pure.
//!
//! Only what is known for certain is said: another framework's use of an agent passes.

use marathon_rules::app::App;

use crate::api::mesos::AgentInfo;
use crate::event::count;

/// What is known of a change of an app.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The app as it will be.
    pub(super) app: &'a App,
    /// The service ports that its file chooses.
    pub(super) ports: &'a [u32],
    /// Whether its tasks are replaced, and others start while they stay.
    pub(super) restarts: bool,
}

/// What cannot work. `agents` are those of the cluster, if they are known; `others` the service
/// ports of other apps.
pub(super) fn doubts(
    wanted: Wanted<'_>,
    agents: Option<&[AgentInfo]>,
    others: &[(u32, &str)],
) -> Vec<String> {
    let mut found: Vec<String> = others
        .iter()
        .filter(|(port, _)| wanted.ports.contains(port))
        .map(|(port, other)| {
            format!(
                "{other} has the service port {port} as well: of two apps, the balancer serves one"
            )
        })
        .collect();
    if let Some(agents) = agents.filter(|_| wanted.app.instances > 0) {
        found.extend(on_agents(wanted, agents));
    }
    found
}

fn on_agents(wanted: Wanted<'_>, agents: &[AgentInfo]) -> Vec<String> {
    let app = wanted.app;
    let open: Vec<&AgentInfo> =
        agents.iter().filter(|it| it.active && !it.deactivated).collect();
    if open.is_empty() {
        return vec![
            "no agent takes tasks now: its tasks wait until one does".to_owned(),
        ];
    }
    let mut found: Vec<String> = needs(app)
        .into_iter()
        .filter(|need| !open.iter().any(|agent| need.fits(agent)))
        .map(|need| format!("no agent {}: no task of it will start", need.text()))
        .collect();
    if !found.is_empty() {
        return found;
    }
    let fits = |agent: &&&AgentInfo| needs(app).iter().all(|need| need.fits(agent));
    let n_fit = open.iter().filter(fits).count();
    let instances = app.instances as usize;
    if n_fit == 0 {
        found.push(
            "no agent has all at once that it needs: no task of it will start".to_owned(),
        );
    } else if let Some(why) = alone(app) {
        let agents = count(n_fit, "agent");
        if instances > n_fit {
            found.push(format!(
                "{why}, and {agents} can run it: {} will wait for ever",
                count(instances - n_fit, "task")
            ));
        } else if instances == n_fit && wanted.restarts && all_stay(app) {
            found.push(format!(
                "{why}, all {} stay until new ones run, and only {agents} can run it: the upgrade \
                 never ends; a lower `minimumHealthCapacity` in its `upgradeStrategy` lets it end",
                count(instances, "task")
            ));
        }
    }
    found
}

/// Why each task needs an agent of its own, if it does.
fn alone(app: &App) -> Option<String> {
    let is_unique = |constraint: &Vec<String>| {
        let words: Vec<&str> = constraint.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["hostname" | "@hostname", "UNIQUE", ..]
                | ["hostname" | "@hostname", "MAX_PER", "1"]
        )
    };
    if app.constraints.iter().any(is_unique) {
        return Some("each task needs a host of its own".to_owned());
    }
    let port = fixed_ports(app).next()?;
    Some(format!("each task needs the port {port} of a host"))
}

/// The ports of the host that an app insists on.
fn fixed_ports(app: &App) -> impl Iterator<Item = u32> {
    app.ports().into_iter().filter_map(|port| port.host).filter(|port| *port != 0)
}

/// Whether Marathon ends no old task before a new one is healthy.
fn all_stay(app: &App) -> bool {
    let instances = f64::from(app.instances);
    (instances * app.upgrade_strategy.minimum_health_capacity).ceil() >= instances
}

/// Something that an agent has to have.
enum Need<'a> {
    Amount { name: &'static str, much: f64, of: fn(&AgentInfo) -> f64 },
    Port(u32),
    Attribute(&'a str),
    Value(&'a str, &'a str),
}

fn needs(app: &App) -> Vec<Need<'_>> {
    let amount = |name, much, of| Need::Amount { name, much, of };
    let amounts = [
        amount("CPUs", app.cpus, |agent| agent.total.cpus),
        amount("MB of memory", app.mem, |agent| agent.total.mem_mib),
        amount("MB of disk", app.disk, |agent| agent.total.disk_mib),
        amount("GPUs", app.gpus, |agent| agent.total.gpus),
    ];
    let constraints = app.constraints.iter().filter_map(|constraint| {
        let words: Vec<&str> = constraint.iter().map(String::as_str).collect();
        match words.as_slice() {
            // Regions and zones are not in what is known of agents here.
            ["@region" | "@zone", ..] | [_, "UNLIKE", ..] => None,
            [field, "IS" | "CLUSTER", value] if !value.is_empty() => {
                Some(Need::Value(field, value))
            }
            ["hostname" | "@hostname", ..] => None,
            [field, ..] => Some(Need::Attribute(field)),
            [] => None,
        }
    });
    amounts
        .into_iter()
        .chain(fixed_ports(app).map(Need::Port))
        .chain(constraints)
        .collect()
}

impl Need<'_> {
    fn fits(&self, agent: &AgentInfo) -> bool {
        match self {
            Self::Amount { much, of, .. } => of(agent) >= *much,
            Self::Port(port) => {
                let port = u64::from(*port);
                agent
                    .total
                    .ports
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&port))
            }
            Self::Attribute(name) => agent.attributes.contains_key(*name),
            Self::Value("hostname" | "@hostname", value) => agent.hostname == *value,
            Self::Value(name, value) => {
                let has = agent.attributes.get(*name).map(String::as_str);
                let number = |text: &str| text.parse::<f64>().ok();
                has.is_some_and(|has| {
                    has == *value
                        || (number(has).is_some() && number(has) == number(value))
                })
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Amount { name, much, .. } => format!("has {much} {name}"),
            Self::Port(port) => format!("offers its port {port}"),
            Self::Attribute(name) => format!("has the attribute `{name}`"),
            Self::Value("hostname" | "@hostname", value) => format!("is `{value}`"),
            Self::Value(name, value) => {
                format!("has `{value}` as its attribute `{name}`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::mesos::Resources;

    fn agent(name: &str, rack: &str) -> AgentInfo {
        AgentInfo {
            id: name.to_owned(),
            hostname: name.to_owned(),
            address: None,
            active: true,
            deactivated: false,
            attributes: [("rack".to_owned(), rack.to_owned())].into(),
            total: Resources {
                cpus: 2.0,
                mem_mib: 1024.0,
                disk_mib: 1000.0,
                gpus: 0.0,
                ports: vec![(31000, 32000)],
            },
            allocated: Resources::default(),
            drain: None,
        }
    }

    fn check(members: Value, restarts: bool, expected: &[&str]) {
        let mut body = json!({"instances": 2, "cpus": 0.1, "mem": 32});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let app: App = serde_json::from_value(body).unwrap();
        let wanted = Wanted { app: &app, ports: &[10100], restarts };
        // One of the three takes no tasks.
        let drained = AgentInfo { deactivated: true, ..agent("w3", "c") };
        let agents = [agent("w1", "a"), agent("w2", "7"), drained];
        let found = doubts(wanted, Some(&agents), &[(10101, "/other")]);
        assert_eq!(found.len(), expected.len(), "{members}: {found:?}");
        for (found, part) in found.iter().zip(expected) {
            assert!(found.contains(part), "{members}: {found}");
        }
    }

    #[test]
    fn what_no_agent_has_is_named() {
        check(json!({}), true, &[]);
        check(json!({"cpus": 2, "mem": 1024, "disk": 1000}), true, &[]);
        check(
            json!({"cpus": 3}),
            false,
            &["no agent has 3 CPUs: no task of it will start"],
        );
        let more = json!({"mem": 1025, "disk": 1001, "gpus": 1});
        let expected = ["1025 MB of memory", "1001 MB of disk", "1 GPUs"];
        check(more.clone(), false, &expected);
        let mut none = more;
        none["instances"] = 0.into();
        check(none, false, &[]);
        let port = |port: u32| json!({"portDefinitions": [{"port": port}], "requirePorts": true});
        check(port(31500), false, &[]);
        check(port(8080), false, &["no agent offers its port 8080"]);
        let any = json!({"portDefinitions": [{"port": 8080}]});
        check(any, false, &[]);
    }

    #[test]
    fn attributes_that_no_agent_has_are_named() {
        let with = |words: &[&str]| json!({"constraints": [words]});
        for good in [
            &["rack", "UNIQUE"][..],
            &["rack", "LIKE", "[a-c]"],
            &["rack", "CLUSTER", "a"],
            &["rack", "IS", "7.0"],
            &["hostname", "CLUSTER", "w1"],
            &["hostname", "LIKE", "w.*"],
            &["disk", "UNLIKE", "slow"],
            &["@zone", "GROUP_BY", "2"],
        ] {
            check(with(good), true, &[]);
        }
        check(
            with(&["disk", "LIKE", "fast"]),
            false,
            &["no agent has the attribute `disk`"],
        );
        check(
            with(&["rack", "CLUSTER", "b"]),
            false,
            &["no agent has `b` as its attribute `rack`"],
        );
        check(with(&["hostname", "CLUSTER", "w3"]), false, &["no agent is `w3`"]);
        let two =
            json!({"constraints": [["rack", "IS", "a"], ["hostname", "CLUSTER", "w2"]]});
        check(two, false, &["no agent has all at once"]);
    }

    #[test]
    fn tasks_that_can_never_start_and_upgrades_that_can_never_end_are_named() {
        let unique = |changes: Value| {
            let mut body = json!({"constraints": [["hostname", "UNIQUE"]]});
            body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            body
        };
        check(unique(json!({})), false, &[]);
        check(unique(json!({"instances": 6})), false, &["can run it: 4 tasks will wait"]);
        let never = "2 agents can run it: the upgrade never ends";
        check(unique(json!({})), true, &[never]);
        let half = json!({"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0});
        check(unique(json!({"upgradeStrategy": half})), true, &[]);
        check(unique(json!({"instances": 1})), true, &[]);
        let port = json!({"networks": [{"mode": "container/bridge"}],
            "container": {"portMappings": [{"containerPort": 80, "hostPort": 31080}]}});
        check(
            port,
            true,
            &["each task needs the port 31080 of a host, all 2 tasks stay"],
        );
    }

    #[test]
    fn a_service_port_of_another_app_is_named_and_nothing_is_guessed() {
        let app = App { instances: 1, cpus: 99.0, ..App::default() };
        let wanted = Wanted { app: &app, ports: &[10100], restarts: false };
        let others = [(10100, "/other"), (10102, "/third")];
        let found = doubts(wanted, None, &others);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("/other has the service port 10100 as well"));
        let found = doubts(wanted, Some(&[]), &[]);
        assert_eq!(found, ["no agent takes tasks now: its tasks wait until one does"]);
    }
}
