//! Control hosts that die: during a run, and while they lead everything.

use std::time::{Duration, Instant};

use platform::event::{Event, Outcome};
use serde_json::{Value, json};

use super::{BODY, CONTROL, SEEN, agent_id, mend, status};
use crate::harness::{Lab, Run, Services, Watch, until};

const MAJORITY: usize = 2;
/// A serving member may answer late on a busy computer; the election of a new leader takes
/// longer.
const GLITCH: Duration = Duration::from_millis(2500);
const RESTART: &str = "restart unit platform-zookeeper.service";

/// It dies in its own turn of a rolling change, before the turns of the others.
pub(super) fn a_host_that_dies_in_a_run_ends_it_and_costs_no_quorum(lab: &Lab) {
    lab.rewrite(&BODY.replace("128MiB}", "128MiB, max_client_connections: 77}"));
    let addresses: Vec<String> =
        (11..14).map(|n| format!("{}.{n}", lab.prefix())).collect();
    let (watch, (host, up)) = Watch::during(&addresses, |_| {
        let mut running = lab.start(&["up", "--yes", "-o", "json"]);
        let event =
            running.wait_for("a member's turn", |event| restarts(event).is_some());
        let host = restarts(&event).expect("it was waited for");
        lab.machine(&host).kill();
        (host, running.end())
    });
    // The host may still report that its step failed, or be gone before.
    assert!([1, 5].contains(&up.code), "{}", up.said());
    assert_eq!(failed(&up), [host.as_str()], "{}", up.said());
    assert_eq!(turns(&up), [host.as_str()], "no other member was touched: {}", up.said());
    let lost = watch.longest_without(MAJORITY);
    assert!(lost < GLITCH, "no majority for {lost:?}: {}", up.said());

    let ill = status(lab);
    assert_eq!(ill["missing"], json!([host]), "{ill:#}");
    mend(lab);
}

fn restarts(event: &Event) -> Option<String> {
    match event {
        Event::StepStarted { host: Some(host), step, .. } if step == RESTART => {
            Some(host.to_string())
        }
        _ => None,
    }
}

/// The hosts with failed steps.
fn failed(up: &Run) -> Vec<String> {
    let of = |event| match event {
        Event::StepFinished {
            host: Some(host), outcome: Outcome::Failed { .. }, ..
        } => Some(host.to_string()),
        _ => None,
    };
    up.events().into_iter().filter_map(of).collect()
}

/// The members that were restarted, in order.
fn turns(up: &Run) -> Vec<String> {
    up.events().iter().filter_map(restarts).collect()
}

pub(super) fn the_host_that_leads_everything_is_missed_by_no_task(lab: &Lab) {
    let leader = let_one_host_lead(lab);
    let tasks = Services::of(lab).tasks();
    let before = status(lab);
    let killed = Instant::now();
    lab.machine(&leader).kill();
    let after = until("a platform that only misses its host", SEEN, || {
        let now = status(lab);
        is_whole_without(&now, &leader).then_some(now)
    });
    assert!(killed.elapsed() < SEEN, "after {:?}", killed.elapsed());
    for agent in 0..2 {
        assert_eq!(agent_id(&before, agent), agent_id(&after, agent), "{after:#}");
    }
    assert_eq!(Services::of(lab).tasks(), tasks, "no task noticed");
    mend(lab);
    assert_eq!(Services::of(lab).tasks(), tasks, "no task noticed");
}

/// Whether others lead, all agents are back, and the only problem is that this host is dead.
fn is_whole_without(status: &Value, host: &str) -> bool {
    let leads = |part: &str| status[part]["leader"].as_str().is_some_and(|it| it != host);
    let problems = status["problems"].as_array().expect("a list").iter();
    let mut agents = status["mesos"]["agents"].as_array().expect("a list").iter();
    status["missing"] == json!([host])
        && leads("zookeeper")
        && leads("mesos")
        && agents.all(|agent| agent["active"] == true)
        && problems.clone().all(|it| it.as_str().is_some_and(|it| it.contains(host)))
}

/// Makes the master on the host of ZooKeeper's leader lead too: of the healthy masters, the one
/// that has run longest leads.
fn let_one_host_lead(lab: &Lab) -> String {
    let leader =
        status(lab)["zookeeper"]["leader"].as_str().expect("one leads").to_owned();
    for host in CONTROL.into_iter().filter(|host| *host != leader) {
        lab.machine(host).sh("systemctl restart platform-mesos-master");
        until("all masters to serve", SEEN, || {
            let mesos = status(lab)["mesos"].clone();
            (mesos["n_serving"] == 3 && mesos["leader"].is_string()).then_some(())
        });
    }
    until("one host to lead everything", SEEN, || {
        let now = status(lab);
        (now["mesos"]["leader"] == now["zookeeper"]["leader"]).then_some(())
    });
    leader
}

/// Two of three copies of the registry are lost: the third is no majority, and does not begin a
/// new registry by itself.
pub(super) fn masters_that_lost_their_registry_begin_another_at_the_operator_s_word(
    lab: &Lab,
) {
    let tasks = Services::of(lab).tasks();
    for host in ["control-1", "control-2"] {
        lab.machine(host).sh(
            "systemctl stop platform-mesos-master && rm -rf /var/lib/platform/mesos-master/*",
        );
    }
    let refused = lab.run(&["up", "--yes"]).exits(4).said();
    assert!(refused.contains("registry is gone from control-1, control-2"), "{refused}");
    lab.run(&["plan"]).exits(4);
    // The advice in the message is correct.
    let (_, advice) = refused.split_once("run `").expect("advice");
    let (command, rest) = advice.split_once("` as root on ").expect("advice");
    let (hosts, _) = rest.split_once(':').expect("advice");
    let hosts = hosts.replace(", ", ",");
    lab.run(&["exec", "--sudo", "--limit", &hosts, "--", "sh", "-c", command]).exits(0);
    mend(lab);
    assert_eq!(Services::of(lab).tasks(), tasks, "no task noticed");
}
