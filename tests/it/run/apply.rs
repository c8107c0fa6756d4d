//! Every step is counted, whatever the hosts do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use platform::component::Stage;
use platform::component::znode::Znode;
use platform::event::{Event, Events, Outcome};
use platform::host::HostName;
use platform::inventory::Component;
use platform::plan::quorum::waves;
use platform::plan::{
    Gate, HostChanges, MemberHealth, MembersHealth, Peers, Plan, Push, StagePlan, Work,
};
use platform::remote::ErrorKind;
use platform::resource::{Action, Change, Image, ImageOrigin, Key, Sysctl};
use platform::run::Fleet;
use platform::run::apply::{
    ApplyContext, Bytes, Failure, ImageTransport, Tally, TransportError, ZnodeAccess,
    apply,
};
use platform::run::gate::{GateState, HealthCheck};
use platform::secret::{Redactor, Secret};
use tokio::sync::Notify;

use crate::cluster::Cluster;
use crate::fake::{Act, Asked, Fake, Kept};

pub(super) fn name(text: &str) -> HostName {
    text.parse().expect("a host's name")
}

/// A change that interrupts services.
fn change(n: usize) -> Change {
    let sysctl = Sysctl { name: "x".to_owned(), value: "1".to_owned() };
    Change {
        key: Key::User(n.to_string()),
        verb: "change",
        reason: String::new(),
        diff: None,
        action: Action::SetSysctl { sysctl, before: "0".to_owned() },
    }
}

pub(super) fn changes(host: &str, n_changes: usize) -> HostChanges {
    HostChanges { host: name(host), changes: (0..n_changes).map(change).collect() }
}

pub(super) fn stage(stage: Stage, hosts: &[HostChanges]) -> StagePlan {
    let waves = waves(hosts.to_vec(), &[], None, &MembersHealth::default());
    let work = Work::Hosts(waves.expect("there is no quorum to lose"));
    StagePlan { stage, work, gates: Vec::new() }
}

fn push(stage_of: &[&str]) -> StagePlan {
    let push = |to: &&str| Push { component: Component::Zookeeper, to: name(to) };
    let work = Work::Push(stage_of.iter().map(push).collect());
    StagePlan { stage: Stage::Images, work, gates: Vec::new() }
}

fn done(step: usize) -> [String; 2] {
    [
        format!(r#"{{"step":{step},"state":"started"}}"#),
        format!(r#"{{"step":{step},"state":"done"}}"#),
    ]
}

/// The output of a host that completes this many steps.
pub(super) fn through(n_steps: usize) -> Vec<String> {
    (0..n_steps).flat_map(done).collect()
}

fn well(n_steps: usize) -> Act {
    Act::Ends(through(n_steps), 0, "")
}

/// After this many steps, these lines.
pub(super) fn then(n_steps: usize, lines: &[&str]) -> Vec<String> {
    through(n_steps)
        .into_iter()
        .chain(lines.iter().map(|&line| line.to_owned()))
        .collect()
}

/// The results of checks, one after the other; the last one stays.
#[derive(Default)]
struct Scripted {
    looks: Mutex<VecDeque<GateState>>,
    gates: Mutex<Vec<String>>,
    image: Option<&'static str>,
}

impl HealthCheck for Scripted {
    fn look<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, GateState> {
        let mut looks = self.looks.lock().expect("no test panics while it writes");
        let look = match looks.len() {
            0 => GateState::Open("all is well".to_owned()),
            1 => looks[0].clone(),
            _ => looks.pop_front().expect("there are several"),
        };
        self.gates.lock().expect("no test panics while it writes").push(gate.to_string());
        async move { look }.boxed()
    }
}

impl ImageTransport for Scripted {
    fn archive<'a>(
        &'a self,
        _: &'a Image,
    ) -> BoxFuture<'a, Result<Bytes, TransportError>> {
        let image = self.image.ok_or_else(|| "the archive is gone".into());
        async move { image.map(|text| Box::new(text.as_bytes()) as Bytes) }.boxed()
    }

    fn push<'a>(&'a self, push: &'a Push) -> BoxFuture<'a, Result<(), TransportError>> {
        let refuses = push.to == name("bad");
        async move { if refuses { Err("no room".into()) } else { Ok(()) } }.boxed()
    }
}

impl ZnodeAccess for Scripted {
    fn secure<'a>(&'a self, node: &'a Znode) -> BoxFuture<'a, Result<(), String>> {
        let refuses = node.path == "/bad";
        async move { if refuses { Err("no leader".to_owned()) } else { Ok(()) } }.boxed()
    }
}

/// A run of a plan on hosts with scripts.
pub(super) struct Run {
    hosts: Vec<Arc<Fake>>,
    helpers: Scripted,
    stopped: AtomicBool,
    kept: Arc<Kept>,
}

impl Run {
    pub(super) fn on(hosts: &[(&str, Vec<Act>)]) -> Self {
        let hosts = hosts.iter().map(|(host, acts)| Fake::new(host, acts.clone()));
        Self {
            hosts: hosts.collect(),
            helpers: Scripted::default(),
            stopped: AtomicBool::new(false),
            kept: Arc::default(),
        }
    }

    /// Carries a plan out, and checks that every step of it is counted.
    pub(super) async fn carry_out(&self, stages: Vec<StagePlan>) -> Tally {
        let plan = Plan { stages, stays: Vec::new() };
        let n_changes = plan.n_changes();
        let mut fleet = Fleet::new();
        let mut generations = BTreeMap::new();
        for host in &self.hosts {
            fleet.insert(host.name(), host.clone());
            generations.insert(host.name(), "before".to_owned());
        }
        let ctx = ApplyContext {
            cluster: "lab",
            fleet: &fleet,
            images: &self.helpers,
            znodes: &self.helpers,
            health: &self.helpers,
            events: &Events::to(self.kept.clone()),
            parallel: 10,
            run: "run-1",
            redactor: &Redactor::new([Secret::new("hunter2hunter")]),
            stopped: &|| self.stopped.load(Ordering::Relaxed),
        };
        let tally = apply(plan, generations, &ctx).await;
        self.check_accounts(n_changes, &tally);
        tally
    }

    fn check_accounts(&self, n_changes: usize, tally: &Tally) {
        let gates = self.gates();
        let is_step = |failure: &&Failure| !gates.contains(&failure.step);
        let n_failed = tally.failed.iter().filter(is_step).count();
        let told = self.kept.all();
        let told = |wanted: fn(&Outcome) -> bool| {
            let outcomes = told.iter().filter_map(|event| match event {
                Event::StepFinished { outcome, .. } => Some(outcome),
                _ => None,
            });
            outcomes.filter(|outcome| wanted(outcome)).count()
        };
        assert_eq!(tally.n_done + n_failed + tally.n_not_started, n_changes, "{tally:?}");
        assert_eq!(told(|outcome| *outcome == Outcome::Done), tally.n_done);
        assert_eq!(told(|outcome| matches!(outcome, Outcome::Failed { .. })), n_failed);
        let not_started = told(|outcome| matches!(outcome, Outcome::NotStarted { .. }));
        assert_eq!(not_started, tally.n_not_started);
    }

    /// The results at gates, one after the other; the last one stays.
    pub(super) fn sees(&self, looks: impl IntoIterator<Item = GateState>) {
        self.helpers.looks.lock().expect("no test panics while it writes").extend(looks);
    }

    /// The gates that were checked.
    pub(super) fn gates(&self) -> Vec<String> {
        self.helpers.gates.lock().expect("no test panics while it writes").clone()
    }

    /// How each step ended.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |event| match event {
            Event::StepFinished { outcome, .. } => Some(outcome),
            _ => None,
        };
        self.kept.all().into_iter().filter_map(outcome).collect()
    }

    /// The commands that a host received.
    pub(super) fn asked(&self, host: usize) -> Vec<Asked> {
        self.hosts[host].asked()
    }
}

/// Runs two stages on two hosts; the first host does this in the first stage. Returns the steps
/// that were done and not started, and why the first failed.
async fn check_failure(act: Act, n_done: usize, (kind, said): (ErrorKind, &str)) {
    let run = Run::on(&[("a", vec![act]), ("b", vec![well(2)])]);
    let both = [changes("a", 3), changes("b", 2)];
    let tally = run
        .carry_out(vec![stage(Stage::Base, &both), stage(Stage::Registry, &both)])
        .await;
    assert_eq!(tally.n_done, n_done + 2, "the neighbour's steps were done: {tally:?}");
    assert_eq!(tally.n_not_started, 3 - n_done - 1 + 5);
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert_eq!((failure.stage.as_str(), &failure.host), ("base", &Some(name("a"))));
    assert_eq!(failure.step, format!("change user {n_done}"));
    assert_eq!((failure.why.kind, failure.why.said.as_str()), (kind, said));
    assert!(!tally.is_complete() && !tally.interrupted);
}

#[tokio::test]
async fn a_plan_that_goes_well_is_done_stage_by_stage() {
    let run = Run::on(&[("a", vec![well(2), well(1)]), ("b", vec![well(1)])]);
    let first = stage(Stage::Base, &[changes("a", 2), changes("b", 1)]);
    let second = stage(Stage::Registry, &[changes("a", 1)]);
    let tally = run.carry_out(vec![first, push(&["a"]), second]).await;
    assert_eq!(tally, Tally { n_done: 5, ..Tally::default() });
    assert!(tally.is_complete());
    let stages: Vec<String> = run
        .kept
        .all()
        .into_iter()
        .filter_map(|event| match event {
            Event::StageStarted { stage, n_steps, .. } => {
                Some(format!("{stage} {n_steps}"))
            }
            Event::StageFinished { stage, ok, .. } => Some(format!("{stage} {ok}")),
            _ => None,
        })
        .collect();
    assert_eq!(
        stages,
        ["base 3", "base true", "images 1", "images true", "registry 1", "registry true"]
    );
    let purposes: Vec<String> =
        run.asked(0).into_iter().map(|asked| asked.purpose).collect();
    assert_eq!(purposes, ["apply base", "apply registry"]);
}

#[tokio::test]
async fn each_stage_expects_the_mark_that_the_last_one_left() {
    let run = Run::on(&[("a", vec![well(1), well(1)]), ("b", vec![well(1)])]);
    let first = stage(Stage::Base, &[changes("a", 1)]);
    let second = stage(Stage::Registry, &[changes("a", 1), changes("b", 1)]);
    assert!(run.carry_out(vec![first, second]).await.is_complete());
    let marks = |asked: &Asked| {
        let text = String::from_utf8_lossy(&asked.input).into_owned();
        let value = |key: &str| {
            let line =
                text.lines().find_map(|line| line.split_once(key)).expect("a mark").1;
            line.trim_matches('\'').to_owned()
        };
        [value("expected="), value("next=")]
    };
    let of_a: Vec<_> = run.asked(0).iter().map(marks).collect();
    assert_eq!(of_a, [["before", "lab run-1/0/0"], ["lab run-1/0/0", "lab run-1/1/0"]]);
    assert_eq!(marks(&run.asked(1)[0]), ["before", "lab run-1/1/0"]);
}

#[tokio::test]
async fn a_host_that_refuses_is_told_in_its_own_words() {
    let refused = then(0, &[r#"{"refused":"another run changed this host"}"#]);
    check_failure(
        Act::Ends(refused, 1, ""),
        0,
        (ErrorKind::Unsafe, "another run changed this host"),
    )
    .await;
}

#[tokio::test]
async fn a_step_that_fails_is_told_with_the_end_of_what_it_said() {
    let lines = then(
        1,
        &[
            r#"{"step":1,"state":"started"}"#,
            r#"{"step":1,"state":"failed","status":3,"said":"bm8gcm9vbQo="}"#,
        ],
    );
    check_failure(Act::Ends(lines, 1, ""), 1, (ErrorKind::Failed, "no room")).await;
    let lines = then(0, &[r#"{"step":0,"state":"failed","status":3,"said":""}"#]);
    check_failure(Act::Ends(lines, 1, ""), 0, (ErrorKind::Failed, "ended with status 3"))
        .await;
}

#[tokio::test]
async fn a_command_that_ends_early_is_a_failure_whatever_its_status() {
    let early = Act::Ends(through(1), 127, "sh: tar: not found\n");
    let said = "ended early with status 127: sh: tar: not found";
    check_failure(early, 1, (ErrorKind::Failed, said)).await;
    let silent = Act::Ends(through(2), 0, "");
    check_failure(
        silent,
        2,
        (ErrorKind::Failed, "ended early with status 0 without a message"),
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_dies_in_mid_stage_fails_the_step_that_was_under_way() {
    let lines = then(1, &[r#"{"step":1,"state":"started"}"#, "a line of something else"]);
    let said = "lost the connection to a during apply base";
    check_failure(Act::Dies(lines), 1, (ErrorKind::Unreachable, said)).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hangs_fails_at_its_deadline() {
    let said = "a did not finish apply base within 1200s";
    check_failure(Act::Hangs(through(2)), 2, (ErrorKind::TimedOut, said)).await;
}

#[tokio::test]
async fn a_connection_that_dies_after_the_last_step_harms_nothing() {
    let run = Run::on(&[("a", vec![Act::Dies(through(2))])]);
    assert!(
        run.carry_out(vec![stage(Stage::Base, &[changes("a", 2)])]).await.is_complete()
    );
}

#[tokio::test]
async fn a_host_without_a_connection_fails_alone() {
    let run = Run::on(&[("b", vec![well(1)])]);
    let both = [changes("a", 2), changes("b", 1)];
    let tally = run.carry_out(vec![stage(Stage::Base, &both)]).await;
    assert_eq!((tally.n_done, tally.n_not_started), (1, 1));
    assert_eq!(tally.failed[0].why.said, "there is no connection to it");
}

#[tokio::test]
async fn a_neighbour_s_current_steps_end_before_the_run_does() {
    let go = Arc::new(Notify::new());
    let slow = Act::Waits(through(2), go.clone());
    let run = Run::on(&[("a", vec![Act::Dies(Vec::new())]), ("b", vec![slow])]);
    let both = [changes("a", 1), changes("b", 2)];
    let stages = vec![stage(Stage::Base, &both), stage(Stage::Registry, &both)];
    let mut running = std::pin::pin!(run.carry_out(stages));
    let waits = tokio::time::timeout(Duration::from_millis(20), running.as_mut()).await;
    assert!(waits.is_err(), "it did not wait for the neighbour");
    go.notify_one();
    let tally = running.await;
    assert_eq!((tally.n_done, tally.failed.len(), tally.n_not_started), (2, 1, 3));
}

#[tokio::test]
async fn no_more_hosts_are_worked_on_at_once_than_allowed() {
    let go = Arc::new(Notify::new());
    let hosts: Vec<String> = (0..12).map(|n| format!("h{n}")).collect();
    let scripts: Vec<(&str, Vec<Act>)> = hosts
        .iter()
        .map(|host| (host.as_str(), vec![Act::Waits(through(1), go.clone())]))
        .collect();
    let run = Run::on(&scripts);
    let all: Vec<HostChanges> = hosts.iter().map(|host| changes(host, 1)).collect();
    let mut running = std::pin::pin!(run.carry_out(vec![stage(Stage::Base, &all)]));
    assert!(running.as_mut().now_or_never().is_none());
    let begun = run.hosts.iter().filter(|host| !host.asked().is_empty()).count();
    assert_eq!(begun, 10);
    go.notify_waiters();
    go.notify_waiters();
    let release = async {
        loop {
            go.notify_one();
            tokio::task::yield_now().await;
        }
    };
    let tally =
        tokio::select! { tally = running => tally, () = release => panic!("never") };
    assert_eq!(tally.n_done, 12);
}

#[tokio::test]
async fn an_operator_who_stops_is_obeyed_before_the_next_stage() {
    let run = Run::on(&[("a", vec![])]);
    run.stopped.store(true, Ordering::Relaxed);
    let tally = run
        .carry_out(vec![stage(Stage::Base, &[changes("a", 2)]), push(&["a", "b"])])
        .await;
    assert!(tally.interrupted && tally.failed.is_empty());
    assert_eq!((tally.n_done, tally.n_not_started), (0, 4));
}

#[tokio::test]
async fn an_image_that_does_not_reach_a_registry_fails_its_push_alone() {
    let run = Run::on(&[("a", vec![])]);
    let tally = run
        .carry_out(vec![
            push(&["good", "bad"]),
            stage(Stage::Zookeeper, &[changes("a", 1)]),
        ])
        .await;
    assert_eq!((tally.n_done, tally.n_not_started), (1, 1));
    assert_eq!(tally.failed[0].step, "push image zookeeper");
    assert_eq!(tally.failed[0].why.said, "no room");
}

fn with_image(host: &str) -> HostChanges {
    let image = Image {
        name: "registry 2.8.2".to_owned(),
        id: "sha256:aa".to_owned(),
        origin: ImageOrigin::Here,
    };
    let key = Key::Image(image.name.clone());
    let action = Action::LoadImage(image);
    let load = Change { key, verb: "load", reason: String::new(), diff: None, action };
    HostChanges { host: name(host), changes: vec![change(0), load] }
}

#[tokio::test]
async fn images_of_this_computer_are_loaded_before_the_script_runs() {
    let mut run = Run::on(&[("a", vec![Act::Holds(Vec::new()), well(2)])]);
    run.helpers.image = Some("the archive");
    assert!(
        run.carry_out(vec![stage(Stage::Registry, &[with_image("a")])])
            .await
            .is_complete()
    );
    let purposes: Vec<String> =
        run.asked(0).into_iter().map(|asked| asked.purpose).collect();
    assert_eq!(purposes, ["apply registry: load registry 2.8.2", "apply registry"]);
    let load = &run.asked(0)[0];
    assert!(load.words[2].ends_with("docker load --quiet 9>&-"), "{load:?}");
    assert_eq!(load.input, b"the archive");
}

#[tokio::test]
async fn an_image_that_cannot_be_loaded_leaves_the_host_s_steps_undone() {
    let failing = Act::Ends(Vec::new(), 1, "invalid tar header\n");
    for (image, acts, reason) in [
        (None, vec![], "the archive is gone"),
        (Some("x"), vec![failing], "invalid tar header"),
    ] {
        let mut run = Run::on(&[("a", acts)]);
        run.helpers.image = image;
        let tally = run.carry_out(vec![stage(Stage::Registry, &[with_image("a")])]).await;
        assert_eq!((tally.n_done, tally.n_not_started), (0, 1));
        assert_eq!(tally.failed[0].step, "load image registry 2.8.2");
        assert_eq!(
            tally.failed[0].why.said,
            format!("cannot load registry 2.8.2: {reason}")
        );
    }
}

/// A stage that changes all members of a serving ensemble, and its gate.
fn rolling() -> StagePlan {
    let cluster = Cluster::of(platform::inventory::EXAMPLE_LOCAL);
    let ensemble = cluster.topology.zookeeper().expect("it has members");
    let hosts: Vec<HostName> =
        ensemble.members().iter().map(|member| member.host.clone()).collect();
    let health = |host: &HostName| (host.clone(), MemberHealth::Serves);
    let health = MembersHealth::of(hosts.iter().map(health));
    let all = hosts.iter().map(|host| changes(host.as_str(), 1)).collect();
    let waves =
        waves(all, &[Peers::quorum(Component::Zookeeper, ensemble)], None, &health)
            .expect("all serve");
    let gates = vec![Gate::Serves {
        component: Component::Zookeeper,
        members: ensemble.members().to_vec(),
    }];
    StagePlan { stage: Stage::Zookeeper, work: Work::Hosts(waves), gates }
}

fn members(acts: [Vec<Act>; 3]) -> Run {
    let [one, two, three] = acts;
    Run::on(&[("control-1", one), ("control-2", two), ("control-3", three)])
}

#[tokio::test]
async fn members_change_one_by_one_and_gates_are_asked_around_each() {
    let run = members([vec![well(1)], vec![well(1)], vec![well(1)]]);
    assert!(run.carry_out(vec![rolling()]).await.is_complete());
    let gates = run.helpers.gates.lock().expect("no test panics while it writes");
    let all = "ZooKeeper serves on control-1, control-2, control-3, and all are synced";
    let others = |one, two| {
        format!("ZooKeeper serves on control-{one}, control-{two}, and all are synced")
    };
    assert_eq!(
        *gates,
        [&others(2, 3), all, &others(1, 3), all, &others(1, 2), all, all]
            .map(str::to_owned)
    );
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_stays_shut_stops_the_run_before_the_next_member() {
    let run = members([vec![well(1)], vec![], vec![]]);
    let shut = GateState::Closed("control-1 runs without a quorum".to_owned());
    run.helpers
        .looks
        .lock()
        .expect("no test panics while it writes")
        .extend([GateState::Open("fine".to_owned()), shut]);
    let tally = run.carry_out(vec![rolling(), push(&["a"])]).await;
    assert_eq!((tally.n_done, tally.n_not_started), (1, 3));
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert_eq!((&failure.host, failure.why.kind), (&None, ErrorKind::TimedOut));
    assert_eq!(
        failure.why.said,
        "gave up after waiting 180s until ZooKeeper serves on control-1, control-2, control-3, \
         and all are synced; last seen: control-1 runs without a quorum; the next run \
         checks again and plans from what it finds"
    );
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_is_shut_before_the_first_member_leaves_all_as_they_are() {
    let run = members([vec![], vec![], vec![]]);
    let shut = GateState::Closed("control-2 does not answer".to_owned());
    run.helpers.looks.lock().expect("no test panics while it writes").push_back(shut);
    let tally = run.carry_out(vec![rolling()]).await;
    assert_eq!((tally.n_done, tally.failed.len(), tally.n_not_started), (0, 1, 3));
}

#[tokio::test]
async fn an_operator_who_stops_is_obeyed_before_the_next_member() {
    let run = Arc::new(members([vec![well(1)], vec![], vec![]]));
    let stops = run.clone();
    // After a check of the first member's gates, the operator stops the run.
    let watching = async move {
        while stops.asked(0).is_empty() {
            tokio::task::yield_now().await;
        }
        stops.stopped.store(true, Ordering::Relaxed);
    };
    let slow = GateState::Closed("not yet".to_owned());
    let open = GateState::Open("fine".to_owned());
    run.helpers.looks.lock().expect("no test panics while it writes").extend([
        open.clone(),
        slow,
        open,
    ]);
    let both = async { tokio::join!(run.carry_out(vec![rolling()]), watching).0 };
    let tally =
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("in time");
    assert_eq!((tally.n_done, tally.n_not_started), (1, 2));
    assert!(tally.interrupted && tally.failed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_stops_at_the_first_gate_that_stays_shut() {
    let run = Run::on(&[("a", vec![well(1)])]);
    run.sees([GateState::Closed("nobody serves".to_owned())]);
    let mut first = stage(Stage::Base, &[changes("a", 1)]);
    first.gates = vec![
        Gate::Serves { component: Component::Zookeeper, members: Vec::new() },
        Gate::Serves { component: Component::MesosAgent, members: Vec::new() },
    ];
    let second = stage(Stage::Registry, &[changes("a", 1)]);
    let begun = tokio::time::Instant::now();
    let tally = run.carry_out(vec![first, second]).await;
    assert_eq!((tally.n_done, tally.failed.len(), tally.n_not_started), (1, 1, 1));
    assert_eq!(
        tally.failed[0].step,
        Gate::Serves { component: Component::Zookeeper, members: Vec::new() }.to_string()
    );
    assert!(begun.elapsed() < Duration::from_secs(182), "{:?}", begun.elapsed());
}
