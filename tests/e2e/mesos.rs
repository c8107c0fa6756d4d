//! A platform that runs apps and jobs: Mesos, Marathon and Chronos are stand-ins, everything else
//! is real.
//!
//! It is one test, because a platform is expensive to create: the test follows its whole life.

mod edge;
mod firewall;
mod logs;
mod rolling;
mod strangers;
mod verbs;

use std::time::Duration;

use platform::event::RunResult;
use serde_json::{Value, json};

use crate::harness::{Lab, Secrets, Services, turn, until};

const BODY: &str = "
groups:
  control: {roles: [control], count: 3, memory: 1GiB}
  edge: {roles: [edge], count: 1, memory: 512MiB}
  workers: {roles: [agent], count: 2, memory: 1GiB, attributes: {rack: a}}
platform:
  images: {rehearsed}
  zookeeper: {heap: 128MiB}
";

/// The longest that a job may take: agents make offers within seconds.
const JOB: Duration = Duration::from_secs(30);

/// The longest until all services have a new leader after the host of theirs is gone: sessions of
/// ZooKeeper end after 12 s, then a Marathon starts again, and a look at all of it takes 10 s.
const FAILOVER: Duration = Duration::from_secs(60);

#[test]
fn a_platform_comes_up_runs_apps_and_jobs_survives_its_leader_and_goes() {
    let _turn = turn();
    let lab = Lab::local(BODY);
    comes_up_and_proves_itself(&lab);
    is_not_touched_by_a_second_run(&lab);
    strangers::may_change_nothing(&lab);
    firewall::lets_strangers_only_to_ssh_and_to_the_edge(&lab);
    tells_how_it_is(&lab);
    runs_a_job(&lab);
    verbs::show_and_change_apps_and_jobs(&lab);
    logs::show_what_tasks_write(&lab);
    keeps_tasks_from_what_is_not_theirs(&lab);
    ends_containers_when_they_are_told(&lab);
    finds_an_agent_that_may_not_register(&lab);
    takes_an_attribute_that_is_added_and_no_other_change(&lab);
    survives_the_host_that_leads(&lab);
    let body = BODY.replace("rack: a", "rack: a, disk: fast");
    rolling::everything_is_replaced_and_no_request_fails(&lab, &body);
    lab.run(&["down", "--yes"]).exits(0);
    assert_eq!(lab.remains(), [""; 0]);
}

fn comes_up_and_proves_itself(lab: &Lab) {
    let (arguments, up) = Secrets::in_no_argument_during(|| lab.up());
    assert_eq!(up.result(), RunResult::Changed);
    for step in ["run an app with 2 instances", "lose a task and see it replaced"] {
        assert!(up.has_done(step), "{step}: {}", up.said());
    }
    let secrets = Secrets::of(lab);
    assert!(arguments.text().contains("mesos-agent"), "processes of machines are seen");
    secrets.are_not_in("the list of processes", &arguments.text());
    secrets.are_not_in("the display", &up.said());
    for host in ["control-1", "workers-1"] {
        secrets.are_hidden_on(&lab.machine(host));
    }
    secrets_are_in_no_journal(lab);
}

fn secrets_are_in_no_journal(lab: &Lab) {
    let secrets = Secrets::of(lab);
    for host in
        ["control-1", "control-2", "control-3", "edge-1", "workers-1", "workers-2"]
    {
        secrets.are_in_no_journal_of(&lab.machine(host));
    }
}

fn is_not_touched_by_a_second_run(lab: &Lab) {
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Unchanged, "{}", up.said());
    assert_eq!(up.commands().len(), 6, "one command on each host: {}", up.said());
    lab.is_settled();
}

fn status(lab: &Lab) -> Value {
    lab.run(&["status", "-o", "json"]).json()
}

fn tells_how_it_is(lab: &Lab) {
    let shown = lab.run(&["status"]).exits(0);
    for part in
        ["All is well.", "3 of 3 masters serve", "agent workers-2: 0 of ", "rack:a"]
    {
        assert!(shown.stdout.contains(part), "{part} is missing:\n{}", shown.stdout);
    }
    let status = status(lab);
    assert_eq!(status["mesos"]["can_lose"], 1, "{status:#}");
    assert_eq!(status["mesos"]["agents"][1]["active"], true, "{status:#}");
    // Half of what the machine may use, not of what this computer has.
    assert_eq!(status["mesos"]["agents"][1]["mem_mib"], json!([0.0, 512.0]));
    let mut frameworks =
        status["mesos"]["frameworks"].as_array().expect("a list").clone();
    frameworks.sort_by_key(|framework| framework["name"].to_string());
    let active = |name: &str| json!({"name": name, "active": true});
    assert_eq!(frameworks, ["chronos", "marathon"].map(active));
}

/// The addresses of the hosts on which a component reports this about itself.
fn members(status: &Value, component: &str, state: &str) -> Vec<String> {
    let hosts = status["hosts"].as_array().expect("a list").iter();
    let say = hosts.filter(|host| host["services"][component]["state"] == state);
    say.map(|host| host["address"].as_str().expect("an address").to_owned()).collect()
}

/// Each Chronos refuses requests without a password and names the same leader; a job that is sent
/// to another member runs once.
fn runs_a_job(lab: &Lab) {
    let status = status(lab);
    let leader = members(&status, "chronos", "leads");
    let others = members(&status, "chronos", "serves");
    assert_eq!((leader.len(), others.len()), (1, 2), "{status:#}");
    for address in leader.iter().chain(&others) {
        let member = Services::at(lab, address);
        assert_eq!(member.chronos_to_strangers(), Some(401), "{address}");
        assert_eq!(member.chronos_leader().as_ref(), leader.first(), "{address}");
    }
    runs_once(
        &Services::at(lab, &others[0]),
        "first",
        "test $CHRONOS_JOB_RUN_ATTEMPT = 0",
    );
}

/// What README.md says that a task can reach, tested from a task; and what it may not reach.
fn keeps_tasks_from_what_is_not_theirs(lab: &Lab) {
    let services = Services::of(lab);
    let command = "test $(id -un) = platform-tasks && test -r /etc/docker.tar.gz || exit 1
        for secret in /etc/platform/mesos-agent/*credential*.json /etc/platform/mesos-agent/zk \
          /etc/platform/mesos-agent/docker/config.json \
          /var/lib/platform/mesos-agent/executors.key /run/docker.sock; do
          test -e $secret && test ! -r $secret && test ! -w $secret || exit 1
        done";
    runs_once(&services, "confined", command);
    services.put_job(&json!({"name": "unconfined", "command": "true", "retries": 0,
        "schedule": "R1//PT1H", "runAsUser": "root"}));
    let refused = until("the job of root to be refused", JOB, || {
        services.job("unconfined").filter(|job| job["errorCount"] != 0)
    });
    assert_eq!(refused["successCount"], 0, "{refused}");
    agents_take_the_masters_password_no_more(lab);
}

/// Each password is for one service: the masters' password does not work for agents, and the
/// reverse.
fn agents_take_the_masters_password_no_more(lab: &Lab) {
    let status = |port: u16, address: &str, secret: &str| {
        let at = Services::at(lab, &format!("{}.{address}", lab.prefix()));
        at.status_for(port, "/flags", secret)
    };
    let own = "mesos-agent-http-workers-1";
    assert_eq!(status(5051, "15", own), Some(200));
    for (port, address, secret) in
        [(5051, "15", "mesos-operator"), (5051, "16", own), (5050, "11", own)]
    {
        assert_eq!(status(port, address, secret), Some(401), "{port} {address} {secret}");
    }
}

/// A container whose first program ignores SIGTERM takes the whole time until it is killed, and
/// its unit has then failed.
fn ends_containers_when_they_are_told(lab: &Lab) {
    let control = lab.machine("control-2");
    for unit in ["chronos", "marathon", "mesos-master", "zookeeper"] {
        let unit = format!("platform-{unit}");
        let show = format!("systemctl show --property Result --value {unit}");
        control.sh(&format!("systemctl stop {unit}"));
        assert_eq!(control.sh(&show), "success\n", "{unit}");
        control.sh(&format!("systemctl start {unit}"));
    }
    until("all to be well again", FAILOVER, || {
        lab.run(&["status"]).stdout.contains("All is well.").then_some(())
    });
}

/// A job that must run once, and does not fail.
fn runs_once(services: &Services<'_>, name: &str, command: &str) {
    services.put_job(&json!({"name": name, "command": command, "schedule": "R1//PT1H"}));
    let job = until("the job to run", JOB, || {
        services.job(name).filter(|job| job["disabled"] == true)
    });
    assert_eq!(
        (&job["successCount"], &job["errorCount"]),
        (&json!(1), &json!(0)),
        "{job}"
    );
}

/// Without a credential an agent is alive but unregistered: only the leader reports this.
fn finds_an_agent_that_may_not_register(lab: &Lab) {
    let worker = lab.machine("workers-1");
    worker.sh(
        "sed -i '/--credential=/d' /etc/systemd/system/platform-mesos-agent.service && \
         systemctl daemon-reload && systemctl restart platform-mesos-agent",
    );
    until("the agent to be missed", FAILOVER, || {
        let shown = lab.run(&["status"]);
        let is_missed = shown.stdout.contains("problem: mesos-agent on workers-1: ");
        is_missed.then_some(())
    });
    assert!(worker.is("systemctl is-active platform-mesos-agent"), "its unit looks well");
    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.run(&["status"]).exits(0);
}

fn takes_an_attribute_that_is_added_and_no_other_change(lab: &Lab) {
    lab.rewrite(&BODY.replace("rack: a", "rack: b"));
    let refused = lab.run(&["up", "--yes"]).exits(4).said();
    assert!(refused.contains("would have rack:b in place of rack:a"), "{refused}");
    lab.rewrite(&BODY.replace("rack: a", "rack: a, disk: fast"));
    assert_eq!(lab.up().result(), RunResult::Changed);
    let status = status(lab);
    assert_eq!(status["mesos"]["agents"][0]["attributes"]["disk"], "fast", "{status:#}");
}

fn survives_the_host_that_leads(lab: &Lab) {
    let before = status(lab);
    let leader = before["mesos"]["leader"].as_str().expect("one leads").to_owned();
    let after = edge::nearly_every_request_is_answered_during(lab, || {
        lab.machine(&leader).kill();
        has_other_leaders(lab, &leader)
    });
    let services = Services::of(lab);
    let kept = services.job("first").expect("the next leader knows the jobs");
    assert_eq!(kept["successCount"], 1, "{kept}");
    runs_once(&services, "second", "test $CHRONOS_JOB_RUN_ATTEMPT = 0");
    assert_eq!(after["missing"], json!([leader]), "{after:#}");
    assert_eq!(after["mesos"]["can_lose"], 0, "{after:#}");
    for agent in 0..2 {
        let id = |status: &Value| status["mesos"]["agents"][agent]["id"].clone();
        assert_eq!(id(&before), id(&after), "agents stay who they are");
    }
    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.run(&["status"]).exits(0);
}

/// The status once all services are led from another host.
fn has_other_leaders(lab: &Lab, before: &str) -> Value {
    until("other leaders", FAILOVER, || {
        let now = status(lab);
        let other = now["mesos"]["leader"].as_str().is_some_and(|now| now != before);
        let agents = now["mesos"]["agents"].as_array().expect("a list").iter();
        let all_back = agents.clone().all(|agent| agent["active"] == true);
        let one_leads = ["marathon", "chronos"]
            .map(|component| members(&now, component, "leads").len() == 1);
        (other && all_back && one_leads == [true; 2]).then_some(now)
    })
}
