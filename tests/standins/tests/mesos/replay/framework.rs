//! A framework that runs one task where it is told to.

use serde_json::{Value, json};
use standins::framework::effect::Call;
use standins::framework::setup::MasterAt;
use standins::scheduler::{self, Caller, Driver, Event, Registration};
use tokio::sync::mpsc;

use crate::cluster::DEADLINE;
use crate::processes::own_name;

/// A subscribed framework. Dropped, it is gone, and its task with it.
pub(crate) struct Framework {
    caller: Caller,
    events: mpsc::UnboundedReceiver<Event>,
    _driver: Driver,
}

impl Framework {
    /// Subscribes at `ip:port`, with these capabilities.
    pub(crate) async fn subscribe(
        master: &str,
        name: &str,
        capabilities: &[&str],
    ) -> Self {
        let leader = MasterAt::Fixed(master.to_owned()).follow(DEADLINE).await.unwrap();
        let capabilities: Vec<Value> =
            capabilities.iter().map(|name| json!({"type": name})).collect();
        let mut framework =
            json!({"user": own_name(), "name": name, "capabilities": capabilities});
        if capabilities.contains(&json!({"type": "MULTI_ROLE"})) {
            framework["roles"] = json!(["*"]);
        } else {
            framework["role"] = json!("*");
        }
        let registration =
            Registration { framework, framework_id: None, credentials: None };
        let (driver, caller, events) = scheduler::start(leader, registration);
        let mut framework = Self { caller, events, _driver: driver };
        let first = framework.next().await;
        assert!(matches!(first, Event::Subscribed { .. }), "{first:?}");
        framework
    }

    async fn next(&mut self) -> Event {
        let next = tokio::time::timeout(DEADLINE, self.events.recv()).await;
        next.expect("the master says nothing").expect("the driver goes on")
    }

    async fn call(&self, call: Call) {
        self.caller.call(&call, 1e6).await.unwrap();
    }

    /// Runs a task on an agent, and declines all that other agents offer.
    pub(crate) async fn launch(&mut self, agent: &str, task: Value) {
        let mut task = task;
        task["agent_id"] = json!({"value": agent});
        let mut is_launched = false;
        while !is_launched {
            let Event::Offers(offers) = self.next().await else { continue };
            for offer in offers {
                let id = offer.id().to_owned();
                if offer.agent() == agent && !is_launched {
                    let tasks = vec![task.clone()];
                    self.call(Call::Launch { offer: id, tasks }).await;
                    is_launched = true;
                } else {
                    self.call(Call::Decline(vec![id])).await;
                }
            }
        }
        self.reach("TASK_RUNNING").await;
    }

    /// Waits until the task is in a state, and acknowledges all that it went through.
    pub(crate) async fn reach(&mut self, state: &str) {
        while !self.hear(state, true).await {}
    }

    /// Waits until the task is in a state, and acknowledges only what came before.
    pub(crate) async fn leave_unacknowledged(&mut self, state: &str) {
        while !self.hear(state, false).await {}
    }

    /// Whether the next event tells of this state.
    async fn hear(&mut self, state: &str, acknowledges: bool) -> bool {
        match self.next().await {
            Event::Update(status) => {
                let is_it = status.state == state;
                if acknowledges || !is_it {
                    self.call(Call::Acknowledge(status)).await;
                }
                is_it
            }
            Event::Offers(offers) => {
                let ids = offers.iter().map(|offer| offer.id().to_owned()).collect();
                self.call(Call::Decline(ids)).await;
                false
            }
            _ => false,
        }
    }
}

/// A task that runs a command.
pub(crate) fn task(id: &str, cpus: f64, mem: f64, command: &str) -> Value {
    json!({
        "name": id,
        "task_id": {"value": id},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}},
        ],
        "command": {"value": command},
    })
}
