//! The state of Mesos, Marathon and Chronos, asked by this computer and not by the program under
//! test.

use std::fs;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{Lab, inside, until};

/// A healthy service answers at once; a frozen one never does.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest until an order has taken effect.
const DONE: Duration = Duration::from_secs(60);

/// A cluster's services, asked on the first of these hosts that answers.
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

    /// Those of one host.
    pub(crate) fn at(lab: &'a Lab, address: &str) -> Self {
        Self { lab, addresses: vec![address.to_owned()] }
    }

    /// The address of the Chronos that leads.
    pub(crate) fn chronos_leader(&self) -> Option<String> {
        let at = (4400, "/v1/scheduler/leader", "chronos-http");
        let answer = self.ask(Method::GET, at, None)?;
        let leader = answer["leader"].as_str()?.rsplit_once(':')?;
        Some(leader.0.to_owned())
    }

    /// The status that Chronos returns without a password.
    pub(crate) fn chronos_to_strangers(&self) -> Option<u16> {
        let asked = Asked { method: Method::GET, port: 4400, path: "/ping", body: None };
        self.answer(&asked, None).map(|answer| answer.0)
    }

    /// The status that a port returns for this secret.
    pub(crate) fn status_for(&self, port: u16, path: &str, secret: &str) -> Option<u16> {
        let asked = Asked { method: Method::GET, port, path, body: None };
        self.answer(&asked, Some(&self.secret(secret))).map(|answer| answer.0)
    }

    /// Creates a Chronos job.
    pub(crate) fn put_job(&self, job: &Value) {
        let at = (4400, "/v1/scheduler/iso8601", "chronos-http");
        self.ask(Method::POST, at, Some(job)).expect("Chronos takes the job");
    }

    /// The current state of a Chronos job; `None` while Chronos does not answer or does not have
    /// it.
    pub(crate) fn job(&self, name: &str) -> Option<Value> {
        let path = format!("/v1/scheduler/job/{name}");
        self.ask(Method::GET, (4400, path.as_str(), "chronos-http"), None)
    }

    /// Marks an agent gone at the leading master.
    pub(crate) fn mark_gone(&self, agent: &str) {
        let call = json!({"type": "MARK_AGENT_GONE",
            "mark_agent_gone": {"agent_id": {"value": agent}}});
        let at = (5050, "/api/v1", "mesos-operator");
        self.ask(Method::POST, at, Some(&call)).expect("the leading master obeys");
    }

    /// Runs an app, and waits until the given number of its tasks run.
    pub(crate) fn run_app(&self, app: &Value, n_tasks: usize) {
        let at = (8080, "/v2/apps", "marathon-http");
        self.ask(Method::POST, at, Some(app)).expect("Marathon takes the app");
        until("the app's tasks", DONE, || (self.tasks().len() == n_tasks).then_some(()));
    }

    /// Removes an app, and waits until no task runs.
    pub(crate) fn remove_app(&self, id: &str) {
        let path = format!("/v2/apps{id}");
        let at = (8080, path.as_str(), "marathon-http");
        self.ask(Method::DELETE, at, None).expect("Marathon takes the app away");
        until("the end of the app's tasks", DONE, || {
            self.tasks().is_empty().then_some(())
        });
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

    /// The answer to a request with the password, if it is not a refusal.
    fn ask(
        &self,
        method: Method,
        (port, path, secret): (u16, &str, &str),
        body: Option<&Value>,
    ) -> Option<Value> {
        let password = self.secret(secret);
        let asked = Asked { method, port, path, body };
        let (status, answer) = self.answer(&asked, Some(&password))?;
        (200..300).contains(&status).then_some(answer)
    }

    fn secret(&self, name: &str) -> String {
        let secret = fs::read_to_string(self.lab.state().join("secrets").join(name));
        secret.expect("the state folder keeps it")
    }

    /// The status and the answer of the first host that succeeds; if none does, of the last one
    /// that answers.
    fn answer(&self, asked: &Asked<'_>, password: Option<&str>) -> Option<(u16, Value)> {
        let mut last = None;
        for address in &self.addresses {
            let answer = inside(address, || asked.send(address, password));
            last = answer.or(last);
            if last.as_ref().is_some_and(|(status, _)| (200..300).contains(status)) {
                break;
            }
        }
        last
    }
}

/// The command of an app that answers every request of HTTP with this text, which Perl reads in double
/// quotes.
pub(crate) fn http_server(answer: &str) -> String {
    format!(
        "exec perl -MIO::Socket::INET -e '\
        $s = IO::Socket::INET->new(LocalPort => $ENV{{PORT0}}, Listen => 64, ReuseAddr => 1) or die; \
        while ($c = $s->accept) {{ print $c \"HTTP/1.0 200 OK\\r\\n\\r\\n{answer}\"; \
        shutdown $c, 1; 1 while <$c>; close $c }}'"
    )
}

/// A request.
struct Asked<'a> {
    method: Method,
    port: u16,
    path: &'a str,
    body: Option<&'a Value>,
}

impl Asked<'_> {
    /// The status and the answer of one host.
    fn send(&self, address: &str, password: Option<&str>) -> Option<(u16, Value)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let client = Client::builder().timeout(ANSWER).build().expect("a client");
            let url = format!("http://{address}:{}{}", self.port, self.path);
            let request = client.request(self.method.clone(), url);
            let request = match password {
                Some(password) => request.basic_auth("platform", Some(password)),
                None => request,
            };
            let request = self.body.iter().fold(request, |it, body| it.json(body));
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            Some((status, answer.json().await.unwrap_or_default()))
        })
    }
}
