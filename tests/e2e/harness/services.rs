//! Mesos' and Marathon's own word, asked by this computer and not by the program under test.

use std::fs;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{Lab, until};

/// A service that is well answers at once; one that is frozen never does.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest until something that was ordered is so.
const DONE: Duration = Duration::from_secs(60);

/// A cluster's services, asked at whichever of these hosts answers.
pub(crate) struct Services<'a> {
    lab: &'a Lab,
    addresses: Vec<String>,
}

impl<'a> Services<'a> {
    /// Those of the first three hosts of a cluster.
    pub(crate) fn of(lab: &'a Lab) -> Self {
        let addresses = (11..14).map(|n| format!("{}.{n}", lab.prefix())).collect();
        Self { lab, addresses }
    }

    /// Marks an agent gone at the leading master.
    pub(crate) fn mark_gone(&self, agent: &str) {
        let call = json!({"type": "MARK_AGENT_GONE",
            "mark_agent_gone": {"agent_id": {"value": agent}}});
        let at = (5050, "/api/v1", "mesos-operator");
        self.ask(Method::POST, at, Some(&call)).expect("the leading master obeys");
    }

    /// Runs an app, and waits until so many of its tasks run.
    pub(crate) fn run_app(&self, app: &Value, n_tasks: usize) {
        let at = (8080, "/v2/apps", "marathon-http");
        self.ask(Method::POST, at, Some(app)).expect("Marathon takes the app");
        until("the app's tasks", DONE, || (self.tasks().len() == n_tasks).then_some(()));
    }

    /// Takes an app away, and waits until no task runs.
    pub(crate) fn remove_app(&self, id: &str) {
        let path = format!("/v2/apps{id}");
        let at = (8080, path.as_str(), "marathon-http");
        self.ask(Method::DELETE, at, None).expect("Marathon takes the app away");
        until("the end of the app's tasks", DONE, || self.tasks().is_empty().then_some(()));
    }

    /// The ids of all running tasks with the hosts that they are on, sorted.
    pub(crate) fn tasks(&self) -> Vec<(String, String)> {
        let at = (8080, "/v2/tasks", "marathon-http");
        let answer = self.ask(Method::GET, at, None).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tasks = answer["tasks"].as_array().cloned().unwrap_or_default();
        let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
        let mut tasks: Vec<_> =
            running.map(|task| (text(&task["id"]), text(&task["host"]))).collect();
        tasks.sort();
        tasks
    }

    fn ask(
        &self,
        method: Method,
        (port, path, secret): (u16, &str, &str),
        body: Option<&Value>,
    ) -> Option<Value> {
        let password = fs::read_to_string(self.lab.state().join("secrets").join(secret));
        let password = password.expect("the state folder keeps it");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            for address in &self.addresses {
                let url = format!("http://{address}:{port}{path}");
                let client = Client::builder().timeout(ANSWER).build().expect("a client");
                let request = client.request(method.clone(), url);
                let request = request.basic_auth("platform", Some(&password));
                let request = body.iter().fold(request, |it, body| it.json(body));
                let Ok(answer) = request.send().await else { continue };
                if answer.status().is_success() {
                    return Some(answer.json().await.unwrap_or_default());
                }
            }
            None
        })
    }
}
