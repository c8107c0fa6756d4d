//! The metrics that this master knows; of the real ones' many, those that say how it is.

use serde_json::{Map, Value, json};

use super::shared::Master;
use super::views::all_tasks;
use crate::mesos::now;
use crate::mesos::resources::Resources;

/// `/metrics/snapshot`.
pub(super) fn snapshot(master: &Master) -> Value {
    let mut metrics = Map::new();
    let mut set = |name: String, value: f64| {
        metrics.insert(name, json!(value));
    };
    let flag = |is_so: bool| if is_so { 1.0 } else { 0.0 };
    set("master/elected".into(), flag(master.leads()));
    set("master/uptime_secs".into(), now() - master.started);
    let voting =
        master.ensemble.as_ref().is_none_or(super::ensemble::Ensemble::is_voting);
    set("registrar/log/recovered".into(), flag(voting));
    let size = master.ensemble.as_ref().map_or(1, super::ensemble::Ensemble::size);
    set("registrar/log/ensemble_size".into(), size as f64);
    set("registrar/queued_operations".into(), 0.0);
    let cluster = master.cluster();
    let agents = || cluster.agents.values();
    let n_connected = agents().filter(|agent| agent.stream.is_some()).count();
    let n_active = agents().filter(|agent| agent.is_active()).count();
    let n_agents = cluster.agents.len();
    set("master/slaves_connected".into(), n_connected as f64);
    set("master/slaves_disconnected".into(), (n_agents - n_connected) as f64);
    set("master/slaves_active".into(), n_active as f64);
    set("master/slaves_inactive".into(), (n_agents - n_active) as f64);
    set("master/slaves_unreachable".into(), master.registry().unreachable.len() as f64);
    let n_frameworks = cluster.frameworks.len();
    let n_here = cluster.frameworks.values().filter(|f| f.stream.is_some()).count();
    set("master/frameworks_active".into(), n_here as f64);
    set("master/frameworks_connected".into(), n_here as f64);
    set("master/frameworks_inactive".into(), (n_frameworks - n_here) as f64);
    set("master/frameworks_disconnected".into(), (n_frameworks - n_here) as f64);
    set("master/outstanding_offers".into(), cluster.offers.len() as f64);
    let mut total = Resources::default();
    agents().for_each(|agent| total.add(&agent.total));
    let mut used = Resources::default();
    cluster.agents.keys().for_each(|id| used.add(&cluster.used(id)));
    for name in ["cpus", "mem", "disk", "gpus"] {
        let (total, used) = (total.amount(name), used.amount(name));
        set(format!("master/{name}_total"), total);
        set(format!("master/{name}_used"), used);
        set(
            format!("master/{name}_percent"),
            if total > 0.0 { used / total } else { 0.0 },
        );
    }
    for state in ["staging", "starting", "running", "killing", "unreachable"] {
        let name = format!("TASK_{}", state.to_uppercase());
        let n = all_tasks(&cluster).filter(|task| task.state == name).count();
        set(format!("master/tasks_{state}"), n as f64);
    }
    Value::Object(metrics)
}
