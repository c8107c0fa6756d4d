//! Agents that are not what their masters want, or that lack what they need.

use serde_json::json;

use super::{CONTROL, SEEN, agent_id, is_told, mend, status};
use crate::harness::{Lab, Services, until};

const UNIT: &str = "platform-mesos-agent.service";

pub(super) fn an_agent_that_was_marked_gone_rests_and_comes_back_as_another(lab: &Lab) {
    let worker = lab.machine("workers-1");
    let before = agent_id(&status(lab), 0).expect("it is registered");
    Services::of(lab).mark_gone(&before);
    is_told(lab, "problem: mesos-agent on workers-1: gone for good");
    let n_starts =
        || worker.sh(&format!("journalctl -u {UNIT} -o cat | grep -c ^Started"));
    let rests = n_starts();
    // A start that nobody asked for would come within RestartSec.
    worker.sh(&format!("systemctl restart {UNIT}"));
    until("its next end", SEEN, || {
        worker.is(&format!("[ $(systemctl is-active {UNIT}) = inactive ]")).then_some(())
    });
    assert_eq!(n_starts().trim().parse(), rests.trim().parse().map(|n: u32| n + 1));
    let restarts = worker.sh(&format!("systemctl show -P NRestarts {UNIT}"));
    assert_eq!(restarts.trim(), "0", "systemd never started it by itself");

    let plan = lab.run(&["plan"]).exits(10).said();
    for part in [
        "meta/slaves/latest: its agent was marked gone",
        "start unit platform-mesos-agent",
    ] {
        assert!(plan.contains(part), "`{part}` is not in:\n{plan}");
    }
    mend(lab);
    let after = agent_id(&status(lab), 0).expect("it is registered");
    assert_ne!(before, after, "it is another agent");
    let services = Services::of(lab);
    until("the app's task to be back", SEEN, || {
        (services.tasks().len() == 2).then_some(())
    });
}

/// An agent that its masters refuse ends with a fault, and tries again for ever.
pub(super) fn an_agent_with_a_wrong_secret_is_missed_and_let_in_again(lab: &Lab) {
    let tasks = Services::of(lab).tasks();
    lab.machine("workers-1").sh(&format!(
        "sed -i 's/\"secret\":\"[^\"]*/\"secret\":\"never-agreed/' \
           /etc/platform/mesos-agent/credential.json && systemctl restart {UNIT}"
    ));
    is_told(lab, "problem: mesos-agent on workers-1: ");
    let plan = lab.run(&["plan"]).exits(10).said();
    assert!(plan.contains("mesos-agent/credential.json: has other content"), "{plan}");
    assert!(!plan.contains("never-agreed"), "{plan}");
    mend(lab);
    assert_eq!(Services::of(lab).tasks(), tasks, "its tasks went on");
}

/// The same from the other side: no agent is wrong, and none is let in.
pub(super) fn masters_that_know_another_secret_are_put_right(lab: &Lab) {
    let tasks = Services::of(lab).tasks();
    for host in CONTROL {
        lab.machine(host).sh(
            "sed -i 's/\\(\"principal\":\"agent\",\"secret\":\"\\)[^\"]*/\\1never-agreed/' \
               /etc/platform/mesos-master/credentials.json && \
             grep -q never-agreed /etc/platform/mesos-master/credentials.json && \
             systemctl restart --no-block platform-mesos-master",
        );
    }
    for worker in ["workers-1", "workers-2"] {
        is_told(lab, &format!("problem: mesos-agent on {worker}: "));
    }
    mend(lab);
    assert_eq!(Services::of(lab).tasks(), tasks, "the agents' tasks went on");
}

/// An agent goes on without its Docker, and so do its commands; what Docker ran does not.
pub(super) fn a_docker_that_was_stopped_is_named_and_started(lab: &Lab) {
    let (worker, services) = (lab.machine("workers-1"), Services::of(lab));
    let commands = services.tasks();
    let image = worker.sh("docker image ls --digests --format '{{.Repository}}@{{.Digest}}' | grep mesos-agent@ | head -n 1");
    let address = format!("{}.15", lab.prefix());
    services.run_app(
        &json!({
            "id": "/boxed",
            "cmd": "exec sleep 100000",
            "cpus": 0.1,
            "mem": 32,
            "container": {"type": "DOCKER", "docker": {"image": image.trim()}},
            "constraints": [["hostname", "CLUSTER", address]],
        }),
        3,
    );
    let is_boxed = |(id, _): &(String, String)| id.starts_with("boxed");
    let boxed = || services.tasks().into_iter().find(is_boxed);
    let before = boxed();

    worker.sh("systemctl stop docker docker.socket");
    is_told(lab, "problem: Docker on workers-1: inactive");
    until("the loss of the container", SEEN, || (boxed() != before).then_some(()));
    let plan = lab.run(&["plan"]).exits(10).said();
    assert!(plan.contains("start unit docker.service: is inactive"), "{plan}");
    mend(lab);
    let after = until("another container", SEEN, boxed);
    assert_eq!(after.1, address);
    let others: Vec<_> =
        services.tasks().into_iter().filter(|it| !is_boxed(it)).collect();
    assert_eq!(others, commands, "commands went on");
}
