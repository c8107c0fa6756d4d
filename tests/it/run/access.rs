//! ZooKeeper nodes are secured once the ensemble serves, parents first.

use platform::component::Stage;
use platform::component::znode::{Secure, Znode};
use platform::event::Outcome;
use platform::plan::{StagePlan, Work};
use platform::remote::ErrorKind;
use platform::run::gate::GateState;

use super::apply::Run;
use crate::cluster::Cluster;

fn access(paths: &[&'static str]) -> StagePlan {
    let cluster = Cluster::of(platform::inventory::EXAMPLE_LOCAL);
    let members = cluster.topology.zookeeper().expect("it has one").members().to_vec();
    let secure = |path: &&'static str| Secure {
        node: Znode { path, access: [].into() },
        reason: "the node does not exist yet".to_owned(),
    };
    let nodes = paths.iter().map(secure).collect();
    let work = Work::Access { members, nodes };
    StagePlan { stage: Stage::Access, work, gates: Vec::new() }
}

#[tokio::test]
async fn nodes_are_secured_once_all_members_serve() {
    let run = Run::on(&[]);
    let tally = run.carry_out(vec![access(&["/", "/mesos"])]).await;
    assert_eq!((tally.n_done, tally.is_complete()), (2, true));
    let serve = "ZooKeeper serves on control-1, control-2, control-3, and all are synced";
    assert_eq!(run.gates(), [serve]);
}

#[tokio::test(start_paused = true)]
async fn no_node_is_touched_while_a_member_is_missing() {
    let run = Run::on(&[]);
    run.sees([GateState::Closed("control-2 does not answer".to_owned())]);
    let tally = run.carry_out(vec![access(&["/", "/mesos"])]).await;
    assert_eq!((tally.n_done, tally.n_not_started), (0, 2));
    assert_eq!(tally.failed[0].why.kind, ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_node_that_cannot_be_secured_stops_the_run() {
    let run = Run::on(&[]);
    let stages = vec![access(&["/", "/bad", "/mesos"]), access(&["/chronos"])];
    let tally = run.carry_out(stages).await;
    assert_eq!((tally.n_done, tally.n_not_started), (1, 2));
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert_eq!(
        (failure.step.as_str(), failure.why.said.as_str()),
        ("set the access list of /bad", "no leader")
    );
    let failed = Outcome::Failed { reason: "no leader".to_owned() };
    assert!(run.outcomes().contains(&failed), "{:?}", run.outcomes());
}
