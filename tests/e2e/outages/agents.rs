//! Agents that are not what their masters want, or that lack what they need.

use super::{SEEN, agent_id, mend, status};
use crate::harness::{Lab, Services, until};

const UNIT: &str = "platform-mesos-agent.service";

pub(super) fn an_agent_that_was_marked_gone_rests_and_comes_back_as_another(lab: &Lab) {
    let worker = lab.machine("workers-1");
    let before = agent_id(&status(lab), 0).expect("it is registered");
    Services::of(lab).mark_gone(&before);
    let problem = "problem: mesos-agent on workers-1: gone for good";
    until("the agent to be called gone", SEEN, || {
        lab.run(&["status"]).stdout.contains(problem).then_some(())
    });
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
