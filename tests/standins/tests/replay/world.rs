//! A stand-in that leads, with a master that offers two agents and does as it is told.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reqwest::Client;
use serde_json::{Value, json};
use standins::framework::effect::{Call, Effect};
use standins::framework::leader::{Core, Leader};
use standins::framework::node::{self, Service};
use standins::scheduler::{Id, Status};
use standins::zk::Standing;
use std::collections::BTreeMap;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::compare;
use super::recording::{self, Answer, HEADERS, Recording};

thread_local! {
    /// The time of the stand-ins of this test, in milliseconds.
    static NOW: Cell<i64> = const { Cell::new(1_795_964_400_000) };
}

/// The time of the stand-ins of this test.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millisecond(NOW.get()).unwrap()
}

/// Each recording that was replayed, with the differences found.
pub(crate) type Found = BTreeMap<String, Vec<String>>;

/// A task as the master knows it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) state: String,
    agent: String,
}

/// The stand-in and what is around it.
pub(crate) struct World<C> {
    pub(crate) leader: Arc<Leader<C>>,
    effects: Arc<Mutex<Vec<Effect>>>,
    client: Client,
    address: String,
    recordings: Vec<Recording>,
    /// Recorded names, and those here.
    names: Vec<(String, String)>,
    /// All tasks that were launched, in their order.
    pub(crate) tasks: Vec<Task>,
    /// Those that are to be killed.
    killed: Vec<String>,
    /// What the stand-in keeps, by path.
    kept: BTreeMap<String, Vec<u8>>,
    /// Why the stand-in ends.
    pub(crate) ended: Option<String>,
    pub(crate) found: Found,
}

/// A service that leads, has taken up what is kept, and is subscribed; and where it answers.
async fn lead<S: Service>(
    service: S,
    kept: &BTreeMap<String, Vec<u8>>,
    effects: &Arc<Mutex<Vec<Effect>>>,
) -> (Arc<Leader<S::Core>>, String) {
    let mut core = service.core();
    core.recover(kept).unwrap();
    let (leader, mut work) = Leader::alone(core, now);
    let done = effects.clone();
    tokio::spawn(async move {
        while let Some((some, waiting)) = work.recv().await {
            done.lock().unwrap_or_else(PoisonError::into_inner).extend(some);
            waiting.send(()).unwrap_or_default();
        }
    });
    let (_, standing) = watch::channel(Standing { leads: true, leader_data: None });
    let router = node::answers(service, Some(leader.clone()), standing);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(axum::serve(listener, router).into_future());
    leader.change(|core, now| core.subscribed("F-0000", false, now)).await;
    (leader, address)
}

impl<C: Core> World<C> {
    /// Replays recordings of a file against a service with this core.
    pub(crate) async fn start<S: Service<Core = C>>(file: &str, service: S) -> Self {
        let effects = Arc::default();
        let (leader, address) = lead(service, &BTreeMap::new(), &effects).await;
        Self {
            leader,
            effects,
            client: standins::framework::proxy::plain_client(),
            address,
            recordings: recording::read(file),
            names: Vec::new(),
            tasks: Vec::new(),
            killed: Vec::new(),
            kept: BTreeMap::new(),
            ended: None,
            found: Found::new(),
        }
    }

    /// Another process takes up what is kept.
    pub(crate) async fn restart<S: Service<Core = C>>(&mut self, service: S) {
        self.take();
        (self.leader, self.address) = lead(service, &self.kept, &self.effects).await;
    }

    /// A recorded name is another one here.
    pub(crate) fn name(&mut self, recorded: &str, here: &str) {
        self.names.push((recorded.to_owned(), here.to_owned()));
    }

    /// Asks what was recorded, in this order, and notes what differs.
    pub(crate) async fn replay(&mut self, names: &[&str]) {
        for name in names {
            let named = self.recordings.iter().find(|recording| recording.name == *name);
            let recording = named.unwrap_or_else(|| panic!("{name}"));
            let own = self.ask(recording).await;
            let differences = compare::differences(&recording.answer, &own);
            self.found.insert((*name).to_owned(), differences);
        }
    }

    /// Asks with so much time before each, but for what was asked at once.
    pub(crate) async fn replay_slowly(&mut self, seconds: f64, names: &[&str]) {
        for name in names {
            if !name.ends_with("-at-once") {
                self.later(seconds).await;
            }
            self.replay(&[name]).await;
        }
    }

    /// Asks for something that is not compared.
    pub(crate) async fn say(&self, method: &str, path: &str, body: &Value) -> Value {
        let recording = Recording {
            name: String::new(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers: [("Content-Type".to_owned(), "application/json".to_owned())].into(),
            body: if body.is_null() { String::new() } else { body.to_string() },
            answer: Answer::default(),
        };
        let answer = self.ask(&recording).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.body
    }

    fn here(&self, text: &str) -> String {
        self.names
            .iter()
            .fold(text.to_owned(), |text, (recorded, here)| text.replace(recorded, here))
    }

    async fn ask(&self, recording: &Recording) -> Answer {
        let url = format!("http://{}{}", self.address, self.here(&recording.path));
        let method = recording.method.parse().unwrap();
        let mut asked = self.client.request(method, url);
        for (name, value) in &recording.headers {
            asked = asked.header(name, value);
        }
        if !recording.body.is_empty() {
            asked = asked.body(self.here(&recording.body));
        }
        let response = asked.send().await.unwrap();
        let status = response.status().as_u16();
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some((name.to_owned(), value.to_owned()))
        };
        let headers = HEADERS.iter().filter_map(|name| header(name)).collect();
        let text = response.text().await.unwrap();
        let body = match serde_json::from_str(&text) {
            Ok(body) => body,
            Err(_) if text.starts_with("<html>") => json!("<html>"),
            Err(_) if text.is_empty() => Value::Null,
            Err(_) => json!(text),
        };
        Answer { status, headers, body }
    }

    /// So much time passes.
    pub(crate) async fn later(&mut self, seconds: f64) {
        let passed = SignedDuration::from_secs_f64(seconds).as_millis();
        NOW.set(NOW.get() + i64::try_from(passed).unwrap());
        self.leader.change(C::tick).await;
        self.take();
    }

    /// Takes what the stand-in has told the master.
    fn take(&mut self) {
        let effects = std::mem::take(
            &mut *self.effects.lock().unwrap_or_else(PoisonError::into_inner),
        );
        for effect in effects {
            match effect {
                Effect::Call(Call::Launch { tasks, .. }) => {
                    self.tasks.extend(tasks.iter().map(|info| Task {
                        id: info["task_id"]["value"].as_str().unwrap().to_owned(),
                        state: "TASK_STAGING".to_owned(),
                        agent: info["agent_id"]["value"].as_str().unwrap().to_owned(),
                    }));
                }
                Effect::Call(Call::Kill { task, .. }) => self.killed.push(task),
                Effect::Save(path, value) => {
                    self.kept.insert(path, value.to_string().into_bytes());
                }
                Effect::Forget(path) => drop(self.kept.remove(&path)),
                Effect::End(reason) => self.ended = Some(reason),
                _ => (),
            }
        }
    }

    /// The master offers both agents.
    pub(crate) async fn offer(&mut self) {
        self.take();
        let offers = [("S1", "127.0.1.22", "r2"), ("S0", "127.0.1.21", "r1")];
        let offers = offers.map(|(agent, host, rack)| {
            let amount = |name: &str, all: f64| {
                json!({"name": name, "type": "SCALAR", "role": "*", "scalar": {"value": all}})
            };
            let ports = json!({"name": "ports", "type": "RANGES", "role": "*",
                "ranges": {"range": [{"begin": 31000, "end": 32000}]}});
            let attribute = json!({"name": "rack", "type": "TEXT", "text": {"value": rack}});
            let offer = json!({
                "id": {"value": format!("2f6b8a3c-0000-4000-8000-000000000000-O{agent}")},
                "agent_id": {"value": format!("2f6b8a3c-0000-4000-8000-000000000000-{agent}")},
                "hostname": host, "attributes": [attribute],
                "resources": [amount("cpus", 4.0), amount("mem", 4096.0),
                    amount("disk", 10000.0), ports],
            });
            serde_json::from_value(offer).unwrap()
        });
        self.leader.change(|core, now| core.offers(offers.into(), now)).await;
        self.take();
    }

    /// The master tells of a task.
    pub(crate) async fn tell(&mut self, task: &str, state: &str, more: Value) {
        self.take();
        let known = self.tasks.iter_mut().rfind(|known| known.id == task).unwrap();
        state.clone_into(&mut known.state);
        let mut status: Status = serde_json::from_value(more).unwrap();
        status.task_id = Id { value: known.id.clone() };
        status.agent_id = Id { value: known.agent.clone() };
        state.clone_into(&mut status.state);
        self.leader.change(|core, now| core.update(&status, now)).await;
        self.take();
    }

    /// All tasks that were launched run.
    pub(crate) async fn run(&mut self) {
        self.offer().await;
        for task in self.in_state("TASK_STAGING") {
            let addresses = json!({"container_status": {"network_infos":
                [{"ip_addresses": [{"ip_address": "127.0.1.21", "protocol": "IPv4"}]}]}});
            self.tell(&task, "TASK_RUNNING", addresses).await;
        }
    }

    /// All tasks end that are to be killed.
    pub(crate) async fn end_killed(&mut self) {
        self.take();
        for task in std::mem::take(&mut self.killed) {
            if self.in_state("TASK_RUNNING").contains(&task) {
                self.tell(
                    &task,
                    "TASK_KILLED",
                    json!({"message": "Command terminated with signal Terminated"}),
                )
                .await;
            }
        }
    }

    /// The tasks in a state, in the order of their launch.
    pub(crate) fn in_state(&self, state: &str) -> Vec<String> {
        let those = self.tasks.iter().filter(|task| task.state == state);
        those.map(|task| task.id.clone()).collect()
    }
}
