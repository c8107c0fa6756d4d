//! A cluster of stand-ins at the recorded addresses of another network.

use serde_json::{Value, json};

use super::replayer::Replayer;
use crate::cluster::until;
use crate::processes::{AgentProcess, MasterProcess};

/// Its processes, and the questions put to them.
pub(crate) struct Cluster {
    pub(crate) replayer: Replayer,
    zk: String,
    masters: Vec<(u8, MasterProcess)>,
    pub(crate) agents: Vec<(u8, AgentProcess)>,
}

impl Cluster {
    /// Masters in this order, the first of which leads.
    pub(crate) async fn start(network: &'static str, zk: String, masters: &[u8]) -> Self {
        let replayer = Replayer::new(network);
        let mut cluster = Self { replayer, zk, masters: Vec::new(), agents: Vec::new() };
        for host in masters {
            cluster.add_master(*host, &["--quorum=2"]);
            // The next one comes after this one in the election.
            cluster.until_redirected(*host, masters[0]).await;
        }
        cluster
    }

    pub(crate) fn add_master(&mut self, host: u8, arguments: &[&str]) {
        let zk = format!("--zk={}", self.zk);
        // Silence is found out in seconds rather than minutes.
        let fixed = [
            &*zk,
            "--cluster=acc",
            "--zk_session_timeout=3secs",
            "--agent_ping_timeout=1secs",
        ];
        let arguments = [&fixed[..], arguments].concat();
        let master = MasterProcess::start(&self.replayer.ip(host), &arguments);
        self.masters.push((host, master));
    }

    pub(crate) fn master(&mut self, host: u8) -> &mut MasterProcess {
        let found = self.masters.iter_mut().find(|(own, _)| *own == host);
        &mut found.expect("it was started").1
    }

    /// Waits until a master says that another, or itself, leads.
    pub(crate) async fn until_redirected(&self, host: u8, leader: u8) {
        let leader = format!("//{}:5050", self.replayer.ip(leader));
        until(&format!("master {host} to send to the leader"), async || {
            self.replayer.redirect(host).await.as_ref() == Some(&leader)
        })
        .await;
    }

    pub(crate) fn add_agent(&mut self, host: u8, arguments: &[&str]) {
        let ip = self.replayer.ip(host);
        let agent = AgentProcess::start(&ip, &self.zk, arguments);
        self.replayer.name(&format!("127.0.1.{host}:5051"), &agent.address());
        self.agents.push((host, agent));
    }

    pub(crate) fn agent(&mut self, host: u8) -> &mut AgentProcess {
        let found = self.agents.iter_mut().find(|(own, _)| *own == host);
        &mut found.expect("it was started").1
    }

    /// An agent as the leader shows it; null when it does not.
    pub(crate) async fn shown(&self, leader: u8, host: u8) -> Value {
        let all = self.replayer.get(leader, "/slaves").await;
        let ip = self.replayer.ip(host);
        let slaves = all["slaves"].as_array().cloned().unwrap_or_default();
        slaves.into_iter().find(|slave| slave["hostname"] == *ip).unwrap_or_default()
    }

    /// Waits until an agent is active.
    pub(crate) async fn until_active(&self, leader: u8, host: u8) -> String {
        until(&format!("agent {host} to be active at {leader}"), async || {
            self.shown(leader, host).await["active"] == true
        })
        .await;
        let id = self.shown(leader, host).await["id"].clone();
        id.as_str().unwrap().to_owned()
    }

    /// Waits until an agent is known not to answer.
    pub(crate) async fn until_inactive(&self, leader: u8, host: u8) {
        until(&format!("agent {host} to be inactive at {leader}"), async || {
            self.shown(leader, host).await["active"] == false
        })
        .await;
    }

    /// Waits until an agent is drained.
    pub(crate) async fn until_drained(&self, leader: u8, host: u8) {
        until(&format!("agent {host} to be drained at {leader}"), async || {
            self.shown(leader, host).await["drain_info"]["state"] == "DRAINED"
        })
        .await;
    }

    /// Waits until no framework is left.
    pub(crate) async fn until_over(&self, leader: u8) {
        until("the framework to be over", async || {
            self.replayer.get(leader, "/frameworks").await["frameworks"] == json!([])
        })
        .await;
    }

    /// Replays all that a text names.
    pub(crate) async fn replay_all(&mut self, names: &str) {
        self.replay(&names.split_whitespace().collect::<Vec<_>>()).await;
    }

    pub(crate) async fn replay(&mut self, names: &[&str]) {
        self.replayer.replay(names).await;
    }
}
