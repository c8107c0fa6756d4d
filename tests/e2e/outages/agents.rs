//! Agents that their masters do not accept, or that lack something that they need.

use serde_json::json;

use super::{CONTROL, SEEN, agent_id, is_told, mend, status};
use crate::harness::{Lab, Services, until};

const UNIT: &str = "platform-mesos-agent.service";

/// One agent was marked gone, and the other has a wrong secret: the first stays stopped, the
/// second fails and is restarted again and again. One run repairs both.
pub(super) fn agents_that_are_gone_or_refused_are_told_apart(lab: &Lab) {
    let (before, tasks) = (status(lab), Services::of(lab).tasks());
    let id = agent_id(&before, 0).expect("it is registered");
    Services::of(lab).mark_gone(&id);
    lab.machine("workers-2").sh(&format!(
        "sed -i 's/\"secret\":\"[^\"]*/\"secret\":\"never-agreed/' \
           /etc/platform/mesos-agent/credential.json && systemctl restart {UNIT}"
    ));
    is_told(lab, "problem: mesos-agent on workers-1: gone for good");
    is_told(lab, "problem: mesos-agent on workers-2: ");
    rests(lab);
    let plan = lab.run(&["plan"]).exits(10).said();
    for part in [
        "meta/slaves/latest: its agent was marked gone",
        "start unit platform-mesos-agent",
        "mesos-agent/credential.json: has other content",
    ] {
        assert!(plan.contains(part), "`{part}` is not in:\n{plan}");
    }
    assert!(!plan.contains("never-agreed"), "{plan}");

    mend(lab);
    let after = status(lab);
    assert_ne!(agent_id(&after, 0), Some(id), "it is another agent");
    assert_eq!(agent_id(&after, 1), agent_id(&before, 1), "it is the same agent");
    let services = Services::of(lab);
    until("the gone agent's task to be replaced", SEEN, || {
        (services.tasks().len() == tasks.len()).then_some(())
    });
    let address = format!("{}.16", lab.prefix());
    let kept =
        tasks.iter().find(|(_, host)| *host == address).expect("one on each agent");
    assert!(services.tasks().contains(kept), "the refused agent's task went on");
}

/// Checks that nothing restarts the gone agent, and that it ends if somebody starts it.
fn rests(lab: &Lab) {
    let worker = lab.machine("workers-1");
    worker.sh(&format!("systemctl restart {UNIT}"));
    until("its next end", SEEN, || {
        worker.is(&format!("[ $(systemctl is-active {UNIT}) = inactive ]")).then_some(())
    });
    let restarts = worker.sh(&format!("systemctl show -P NRestarts {UNIT}"));
    assert_eq!(restarts.trim(), "0", "systemd never started it by itself");
}

/// The same from the other side: every agent is right, and none is accepted.
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

/// An agent continues without its Docker, and so do its commands; Docker's containers do not.
pub(super) fn a_docker_that_was_stopped_is_named(lab: &Lab) {
    let (worker, services) = (lab.machine("workers-1"), Services::of(lab));
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
}

/// The tasks in Docker run again, as new tasks; the others continued.
pub(super) fn a_docker_that_was_started_runs_containers_again(lab: &Lab) {
    let services = Services::of(lab);
    let is_boxed = |(id, _): &(String, String)| id.starts_with("boxed");
    let boxed = || services.tasks().into_iter().find(is_boxed);
    let (_, host) = until("another container", SEEN, boxed);
    assert_eq!(host, format!("{}.15", lab.prefix()));
}
