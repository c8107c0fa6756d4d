//! The cluster in the shapes that the master's endpoints show.
//!
//! Pure but for the clock: reads what is known and changes nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::cluster::{Agent, Cluster, Framework, Task};
use super::registry::{Drain, Registry};
use super::shared::Master;
use crate::mesos::{
    AGENT_CAPABILITIES, VERSION, build, copy_members, list, nanoseconds,
    plain_attributes, text, wrapped,
};

/// The states that summaries count.
const COUNTED_STATES: [&str; 10] = [
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
];

/// `/state`.
pub(super) fn state(master: &Master) -> Value {
    let cluster = master.cluster();
    let registry = master.registry();
    let n_agents = cluster.agents.len();
    let n_active = cluster.agents.values().filter(|agent| agent.is_active()).count();
    let mut state = json!({});
    for member in
        ["version", "git_sha", "git_tag", "build_date", "build_time", "build_user"]
    {
        state[member] = build()[member].clone();
    }
    state["start_time"] = json!(master.started);
    if let Some(elected) = master.elected.get() {
        state["elected_time"] = json!(elected);
    }
    state["id"] = json!(master.id);
    state["pid"] = json!(master.pid());
    state["hostname"] = json!(master.config.place.hostname);
    state["capabilities"] = json!(["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"]);
    state["activated_slaves"] = json!(n_active as f64);
    state["deactivated_slaves"] = json!((n_agents - n_active) as f64);
    state["unreachable_slaves"] = json!(registry.unreachable.len() as f64);
    if let Some(leader) = master.leader() {
        state["leader"] = leader["pid"].clone();
        let mut info = json!({});
        copy_members(&leader, &mut info, &["id", "pid", "port", "hostname"]);
        state["leader_info"] = info;
    }
    if let Some(domain) = &master.config.domain {
        state["domain"] = domain.clone();
    }
    if let Some(name) = &master.config.cluster {
        state["cluster"] = json!(name);
    }
    state["flags"] = json!(master.config.flags.all());
    let agents =
        cluster.agents.iter().map(|(id, agent)| plain_agent(&cluster, id, agent));
    state["slaves"] = Value::from(agents.collect::<Vec<_>>());
    state["recovered_slaves"] = recovered(&cluster, &registry, plain_recovered);
    frameworks_into(&cluster, &mut state);
    state["orphan_tasks"] = json!([]);
    state["unregistered_frameworks"] = json!([]);
    state
}

/// `/frameworks`.
pub(super) fn frameworks(cluster: &Cluster) -> Value {
    let mut view = json!({});
    frameworks_into(cluster, &mut view);
    view["unregistered_frameworks"] = json!([]);
    view
}

fn frameworks_into(cluster: &Cluster, view: &mut Value) {
    let present =
        cluster.frameworks.iter().map(|(id, f)| plain_framework(cluster, id, f));
    view["frameworks"] = Value::from(present.collect::<Vec<_>>());
    let over = cluster.completed.iter().map(|framework| {
        let id = crate::mesos::id(&framework.info, "id").to_owned();
        plain_framework(cluster, &id, framework)
    });
    view["completed_frameworks"] = Value::from(over.collect::<Vec<_>>());
}

/// `/slaves`, or one of them.
pub(super) fn slaves(
    cluster: &Cluster,
    registry: &Registry,
    wanted: Option<&str>,
) -> Value {
    let is_wanted = |id: &str| wanted.is_none_or(|wanted| wanted == id);
    let slaves: Vec<Value> = cluster
        .agents
        .iter()
        .filter(|(id, _)| is_wanted(id))
        .map(|(id, agent)| {
            let mut plain = plain_agent(cluster, id, agent);
            let role = json!({"role": "*"});
            let allocated = json!({"role": "*", "allocation_info": {"role": "*"}});
            plain["reserved_resources_full"] = json!({});
            plain["unreserved_resources_full"] = agent.total.full(&role);
            plain["used_resources_full"] = cluster.used(id).full(&allocated);
            plain["offered_resources_full"] = cluster.offered(id).full(&allocated);
            plain
        })
        .collect();
    let mut recovered = recovered(cluster, registry, plain_recovered);
    if let Some(all) = recovered.as_array_mut() {
        all.retain(|agent| is_wanted(text(agent, "id")));
    }
    json!({"slaves": slaves, "recovered_slaves": recovered})
}

fn plain_agent(cluster: &Cluster, id: &str, agent: &Agent) -> Value {
    let mut plain = json!({
        "id": id,
        "hostname": agent.info["hostname"],
        "port": agent.info["port"],
        "attributes": plain_attributes(&agent.info["attributes"]),
    });
    copy_members(&agent.info, &mut plain, &["domain"]);
    plain["pid"] = json!(agent.pid);
    plain["registered_time"] = json!(agent.registered);
    if let Some(time) = agent.reregistered {
        plain["reregistered_time"] = json!(time);
    }
    plain["resources"] = agent.total.plain();
    plain["used_resources"] = cluster.used(id).plain();
    plain["offered_resources"] = cluster.offered(id).plain();
    plain["reserved_resources"] = json!({});
    plain["unreserved_resources"] = agent.total.plain();
    plain["active"] = json!(agent.is_active());
    plain["deactivated"] = json!(agent.deactivated);
    plain["version"] = json!(VERSION);
    plain["capabilities"] = json!(AGENT_CAPABILITIES);
    if let Some(drain) = &agent.drain {
        plain["drain_info"] = drain_info(drain);
        if let Some(started) = drain.started {
            plain["estimated_drain_start_time_seconds"] = json!(started);
        }
    }
    plain
}

fn drain_info(drain: &Drain) -> Value {
    json!({"state": drain.state(), "config": drain.config})
}

/// Agents that an earlier master admitted and that have not come back yet.
fn recovered(
    cluster: &Cluster,
    registry: &Registry,
    view: impl Fn(&str, &Value) -> Value,
) -> Value {
    let absent =
        registry.admitted.iter().filter(|(id, _)| !cluster.agents.contains_key(*id));
    Value::from(absent.map(|(id, agent)| view(id, &agent.info)).collect::<Vec<_>>())
}

fn plain_recovered(id: &str, info: &Value) -> Value {
    json!({
        "id": id,
        "hostname": info["hostname"],
        "port": info["port"],
        "attributes": plain_attributes(&info["attributes"]),
    })
}

fn offered_to(cluster: &Cluster, framework: &str) -> Value {
    let mut sum = crate::mesos::resources::Resources::default();
    let offers = cluster.offers.values().filter(|offer| offer.framework == framework);
    offers.for_each(|offer| sum.add(&offer.resources));
    sum.plain()
}

fn framework_head(cluster: &Cluster, id: &str, framework: &Framework) -> Value {
    let capabilities: Vec<&str> =
        list(&framework.info["capabilities"]).iter().map(|c| text(c, "type")).collect();
    let is_connected = framework.stream.is_some();
    json!({
        "id": id,
        "name": framework.info["name"],
        "used_resources": framework.used().plain(),
        "offered_resources": offered_to(cluster, id),
        "capabilities": capabilities,
        "hostname": text(&framework.info, "hostname"),
        "webui_url": text(&framework.info, "webui_url"),
        "active": is_connected,
        "connected": is_connected,
        "recovered": framework.recovered,
    })
}

fn plain_framework(cluster: &Cluster, id: &str, framework: &Framework) -> Value {
    let mut plain = framework_head(cluster, id, framework);
    plain["user"] = json!(text(&framework.info, "user"));
    plain["failover_timeout"] = json!(framework.failover_timeout());
    plain["checkpoint"] =
        json!(framework.info["checkpoint"].as_bool().unwrap_or_default());
    plain["registered_time"] = json!(framework.registered);
    plain["unregistered_time"] = json!(framework.unregistered.unwrap_or_default());
    if framework.reregistered > framework.registered {
        plain["reregistered_time"] = json!(framework.reregistered);
    }
    copy_members(&framework.info, &mut plain, &["principal"]);
    plain["resources"] = framework.used().plain();
    if framework.can("MULTI_ROLE") {
        plain["roles"] = framework.info["roles"].clone();
    } else {
        plain["role"] = json!(framework.role());
    }
    let plain_tasks = |tasks: &mut dyn Iterator<Item = &Task>| -> Value {
        tasks.map(Task::plain).collect::<Vec<_>>().into()
    };
    plain["tasks"] = plain_tasks(&mut framework.tasks.values());
    plain["unreachable_tasks"] = plain_tasks(&mut framework.unreachable.values());
    plain["completed_tasks"] = plain_tasks(&mut framework.completed.iter());
    let offers = cluster.offers.iter().filter(|(_, offer)| offer.framework == id);
    plain["offers"] = offers
        .map(|(offer_id, offer)| {
            json!({
                "id": offer_id,
                "framework_id": id,
                "slave_id": offer.agent,
                "resources": offer.resources.plain(),
            })
        })
        .collect::<Vec<_>>()
        .into();
    plain["executors"] = json!([]);
    plain["offer_constraints"] = json!({});
    plain
}

/// `/state-summary`.
pub(super) fn summary(master: &Master) -> Value {
    let cluster = master.cluster();
    let mut summary = json!({"hostname": master.config.place.hostname});
    if let Some(name) = &master.config.cluster {
        summary["cluster"] = json!(name);
    }
    let slaves = cluster.agents.iter().map(|(id, agent)| {
        let mut plain = plain_agent(&cluster, id, agent);
        let tasks: Vec<&Task> =
            all_tasks(&cluster).filter(|task| task.agent == *id).collect();
        count_into(&mut plain, &tasks);
        let frameworks: BTreeSet<&str> = tasks
            .iter()
            .filter(|task| !task.has_ended())
            .map(|task| task.framework.as_str())
            .collect();
        plain["framework_ids"] = json!(frameworks);
        plain
    });
    summary["slaves"] = Value::from(slaves.collect::<Vec<_>>());
    let frameworks = cluster.frameworks.iter().map(|(id, framework)| {
        let mut head = framework_head(&cluster, id, framework);
        let tasks: Vec<&Task> = tasks_of(framework).collect();
        count_into(&mut head, &tasks);
        let agents: BTreeSet<&str> = tasks
            .iter()
            .filter(|task| !task.has_ended())
            .map(|task| task.agent.as_str())
            .collect();
        head["slave_ids"] = json!(agents);
        head
    });
    summary["frameworks"] = Value::from(frameworks.collect::<Vec<_>>());
    summary
}

fn tasks_of(framework: &Framework) -> impl Iterator<Item = &Task> {
    let present = framework.tasks.values().chain(framework.unreachable.values());
    present.chain(framework.completed.iter())
}

/// All tasks of frameworks that are not over.
pub(super) fn all_tasks(cluster: &Cluster) -> impl Iterator<Item = &Task> {
    cluster.frameworks.values().flat_map(tasks_of)
}

fn count_into(view: &mut Value, tasks: &[&Task]) {
    for state in COUNTED_STATES {
        let n = tasks.iter().filter(|task| task.state == state).count();
        view[state] = json!(n);
    }
}

/// `/tasks`: all that are known, newest last.
pub(super) fn tasks(cluster: &Cluster) -> Value {
    let over = cluster.completed.iter().flat_map(tasks_of);
    let tasks = over.chain(all_tasks(cluster)).map(Task::plain);
    json!({"tasks": tasks.collect::<Vec<_>>()})
}

/// `/roles`: those that a framework is in.
pub(super) fn roles(cluster: &Cluster) -> Value {
    let names: BTreeSet<&str> =
        cluster.frameworks.values().map(Framework::role).collect();
    let roles = names.iter().map(|name| {
        let members = cluster.frameworks.iter().filter(|(_, f)| f.role() == *name);
        let mut used = crate::mesos::resources::Resources::default();
        members.clone().for_each(|(_, framework)| used.add(&framework.used()));
        let frameworks: Vec<&str> = members.map(|(id, _)| id.as_str()).collect();
        json!({
            "name": name,
            "weight": 1.0,
            "frameworks": frameworks,
            "resources": used.plain(),
        })
    });
    json!({"roles": roles.collect::<Vec<_>>()})
}

/// What `GET_AGENTS` shows.
pub(super) fn agents(cluster: &Cluster, registry: &Registry) -> Value {
    let agents = cluster.agents.iter().map(|(id, agent)| full_agent(cluster, id, agent));
    let recovered = recovered(cluster, registry, |_, info| info.clone());
    json!({"agents": agents.collect::<Vec<_>>(), "recovered_agents": recovered})
}

fn full_agent(cluster: &Cluster, id: &str, agent: &Agent) -> Value {
    let allocated = json!({"role": "*", "allocation_info": {"role": "*"}});
    let mut full = json!({
        "agent_info": agent.info,
        "active": agent.is_active(),
        "deactivated": agent.deactivated,
        "version": VERSION,
        "pid": agent.pid,
        "registered_time": nanoseconds(agent.registered),
    });
    if let Some(time) = agent.reregistered {
        full["reregistered_time"] = nanoseconds(time);
    }
    full["total_resources"] = agent.total.full(&json!({"role": "*"}));
    let used = cluster.used(id);
    if !used.is_empty() {
        full["allocated_resources"] = used.full(&allocated);
    }
    let offered = cluster.offered(id);
    if !offered.is_empty() {
        full["offered_resources"] = offered.full(&allocated);
    }
    let capabilities: Vec<Value> =
        AGENT_CAPABILITIES.iter().map(|name| json!({"type": name})).collect();
    full["capabilities"] = json!(capabilities);
    if let Some(drain) = &agent.drain {
        full["drain_info"] = drain_info(drain);
        if let Some(started) = drain.started {
            full["estimated_drain_start_time"] = nanoseconds(started.floor());
        }
    }
    full
}

/// What `GET_TASKS` shows.
pub(super) fn full_tasks(cluster: &Cluster) -> Value {
    let full = |tasks: &mut dyn Iterator<Item = &Task>| -> Vec<Value> {
        tasks.map(Task::full).collect()
    };
    let present = || cluster.frameworks.values();
    let ended = cluster.completed.iter().flat_map(|framework| framework.completed.iter());
    json!({
        "tasks": full(&mut present().flat_map(|f| f.tasks.values())),
        "unreachable_tasks": full(&mut present().flat_map(|f| f.unreachable.values())),
        "completed_tasks":
            full(&mut ended.chain(present().flat_map(|f| f.completed.iter()))),
    })
}

/// What `GET_FRAMEWORKS` shows.
pub(super) fn full_frameworks(cluster: &Cluster) -> Value {
    let frameworks: Vec<Value> =
        cluster.frameworks.values().map(full_framework).collect();
    let over: Vec<Value> = cluster.completed.iter().map(full_framework).collect();
    json!({"frameworks": frameworks, "completed_frameworks": over})
}

fn full_framework(framework: &Framework) -> Value {
    let is_connected = framework.stream.is_some();
    let mut full = json!({
        "framework_info": framework.info,
        "active": is_connected,
        "connected": is_connected,
        "recovered": framework.recovered,
        "registered_time": nanoseconds(framework.registered),
        "reregistered_time": nanoseconds(framework.reregistered),
    });
    if let Some(time) = framework.unregistered {
        full["unregistered_time"] = nanoseconds(time);
    }
    let extra = json!({"allocation_info": {"role": framework.role()}});
    let used = framework.used();
    if !used.is_empty() {
        full["allocated_resources"] = used.full(&extra);
    }
    full["offer_constraints"] = json!({});
    full
}

/// What `GET_ROLES` shows.
pub(super) fn full_roles(cluster: &Cluster) -> Value {
    let plain = roles(cluster);
    let all: Vec<Value> = list(&plain["roles"])
        .iter()
        .map(|role| {
            let ids: Vec<Value> = list(&role["frameworks"])
                .iter()
                .filter_map(|id| id.as_str().map(wrapped))
                .collect();
            json!({"name": role["name"], "weight": role["weight"], "frameworks": ids})
        })
        .collect();
    if all.is_empty() { Value::Object(Map::new()) } else { json!({"roles": all}) }
}
