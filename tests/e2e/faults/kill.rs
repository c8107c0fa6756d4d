//! SIGKILL at any step of any verb, and the next run at once: it waits for work that the killed
//! run left on the hosts, and does everything that is needed at the first try.
//!
//! A run is killed at one of its own events, so the kill happens within a step and not between
//! steps. The steps are spread evenly over each verb, and are the same in each test run.

use std::time::Duration;

use platform::event::Event;

use super::{check_clean, check_finished};
use crate::harness::{Given, Lab, Machine, Run, turn, until};

/// How often each pair of verbs is tried with each provider on a platform with Mesos; once on a
/// smaller platform without it. `make test-kills` sets it.
const ROUNDS: &str = "PLATFORM_TEST_KILLS";

/// The distance from one part to the next, so that any number of them is spread evenly.
const GOLDEN: f64 = 0.618_033_988_75;

const UP: &[&str] = &["up", "--yes", "-o", "json"];
const DOWN: &[&str] = &["down", "--yes", "--purge", "-o", "json"];

#[test]
fn on_given_hosts_a_run_that_is_killed_is_finished_by_the_next_at_once() {
    let _turn = turn();
    let given = Given::new(3);
    let scale = Scale::of_environment();
    let body = |workers: &str| {
        scale.body(
            "hosts: [{address: '{1}', name: control-1}]",
            &format!("hosts: [{workers}]"),
        )
    };
    let body = body("{address: '{2}', name: worker-1}");
    let lab = given.lab(&body);
    let new = given.address(3);
    let add = ["add-node", &new, "--group", "workers", "--yes", "-o", "json"];
    let machines = [1, 2, 3].map(|number| given.machine(number));
    let trial = Trial {
        lab: &lab,
        add: &add,
        begin_anew: &|| lab.rewrite(&given.fill(&body)),
        is_gone: &|| machines.iter().all(is_blank),
    };
    trial.run(scale);
    machines.iter().for_each(check_clean);
}

#[test]
fn with_machines_of_its_own_a_run_that_is_killed_is_finished_by_the_next_at_once() {
    let _turn = turn();
    let scale = Scale::of_environment();
    let body = scale.body("count: 1, memory: 1GiB", "count: 1, memory: 512MiB");
    let lab = Lab::local(&body);
    let add = ["add-node", "--count", "1", "--group", "workers", "--yes", "-o", "json"];
    let trial = Trial {
        lab: &lab,
        add: &add,
        begin_anew: &|| lab.rewrite(&body),
        is_gone: &|| lab.remains().is_empty(),
    };
    trial.run(scale);
}

/// How much is tried.
#[derive(Clone, Copy)]
struct Scale {
    n_rounds: u16,
    with_mesos: bool,
}

impl Scale {
    fn of_environment() -> Self {
        let given = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok());
        Self { n_rounds: given.unwrap_or(1), with_mesos: given.is_some() }
    }

    /// The smallest cluster with a group that can grow.
    fn body(self, control: &str, workers: &str) -> String {
        let (role, images) = match self.with_mesos {
            true => ("agent", "{rehearsed}"),
            false => ("base", "{images}"),
        };
        format!(
            "groups:\n  \
               control: {{roles: [control, edge], {control}}}\n  \
               workers: {{roles: [{role}], {workers}}}\n\
             platform:\n  \
               images: {images}\n  \
               zookeeper: {{heap: 128MiB}}\n  \
               base: {{users: [{{name: deploy}}]}}\n"
        )
    }
}

/// Whether nothing of the program is left on a machine.
fn is_blank(machine: &Machine) -> bool {
    !machine.is("ls -d /var/lib/platform /etc/platform")
}

/// Verbs on one inventory.
struct Trial<'a> {
    lab: &'a Lab,
    /// The command that adds a machine.
    add: &'a [&'a str],
    /// Removes that machine from the inventory again.
    begin_anew: &'a dyn Fn(),
    /// Whether nothing of the cluster is left.
    is_gone: &'a dyn Fn() -> bool,
}

/// The results of the kills.
#[derive(Default)]
struct Score {
    n_kills: u32,
    /// The kills after which the next run did not succeed, with its output.
    late: Vec<String>,
}

impl Trial<'_> {
    /// Tries every pair of verbs, so that each leaves the state that the next one needs.
    fn run(&self, scale: Scale) {
        let mut score = Score::default();
        for _ in 0..scale.n_rounds {
            self.pair(UP, UP, &mut score);
            self.pair(DOWN, UP, &mut score);
            self.pair(self.add, UP, &mut score);
            self.pair(DOWN, DOWN, &mut score);
            (self.begin_anew)();
            self.pair(UP, DOWN, &mut score);
        }
        let Score { n_kills, late } = score;
        let n_late = late.len();
        assert_eq!(n_late, 0, "{n_late} of {n_kills}:\n{}", late.join("\n"));
    }

    /// Kills a run of the first verb and starts the next at once.
    fn pair(&self, first: &[&str], next: &[&str], score: &mut Score) {
        score.n_kills += 1;
        let part = (f64::from(score.n_kills) * GOLDEN).fract();
        let at_end = score.n_kills.is_multiple_of(2);
        let killed = self.kill(first, part, at_end);
        let what =
            format!("{} killed after {}, then {}", first[0], last(&killed), next[0]);
        let run = self.lab.run(next);
        tell(&what, &run);
        if run.code != 0 {
            score.late.push(format!("{what}:\n{}", run.said()));
            self.lab.run(next).exits(0);
        }
        match next == UP {
            true => check_finished(self.lab),
            false => assert!((self.is_gone)(), "{what}: something is left"),
        }
    }

    /// Kills a run when this fraction of its steps has begun or, with `at_end`, ended. A run that
    /// plans no steps removes machines: it is killed when this fraction of them is gone.
    fn kill(&self, words: &[&str], part: f64, at_end: bool) -> Run {
        let mut run = self.lab.start(words);
        if words == DOWN && self.lab.is_local() {
            let there = self.lab.remains().len();
            let left = there - 1 - (part * (there - 1) as f64) as usize;
            until("what is removed to go", Duration::from_secs(60), || {
                (self.lab.remains().len() <= left).then_some(())
            });
            return run.kill();
        }
        let (mut n_planned, mut n_seen) = (None, 0);
        run.wait_for("the step to be killed at", |event| match event {
            Event::Planned { stages } => {
                n_planned =
                    Some(stages.iter().map(|stage| stage.n_changes).sum::<usize>());
                false
            }
            Event::StepStarted { .. } if !at_end => is_past(n_planned, &mut n_seen, part),
            Event::StepFinished { .. } if at_end => is_past(n_planned, &mut n_seen, part),
            _ => false,
        });
        run.kill()
    }
}

/// Counts a step of the plan; returns whether this fraction of the steps is reached.
fn is_past(n_planned: Option<usize>, n_seen: &mut usize, part: f64) -> bool {
    let Some(n_planned) = n_planned else { return false };
    *n_seen += 1;
    *n_seen as f64 > part * n_planned as f64
}

/// The last output of a run.
fn last(run: &Run) -> &str {
    run.stdout.lines().last().unwrap_or("its start")
}

/// Prints the result of a pair, for the analysis of a failure.
#[expect(
    clippy::print_stderr,
    reason = "a failure is of no use without what came before it"
)]
fn tell(what: &str, next: &Run) {
    eprintln!("{what}: {} in {:?}", next.code, next.took);
}

const THREE: &str = "groups:
  control:
    roles: [control]
    hosts:
      - {address: '{1}', name: control-1}
      - {address: '{2}', name: control-2}
      - {address: '{3}', name: control-3}
  edge: {roles: [edge], hosts: [{address: '{4}', name: edge-1}]}
platform:
  images: {images}
  zookeeper: {heap: 128MiB}
";

#[test]
fn an_ensemble_whose_forming_is_killed_is_formed_by_the_next_run() {
    let _turn = turn();
    let given = Given::new(4);
    let lab = given.lab(THREE);
    // Before any member runs, with some running, and while they elect their first leader.
    let moments: [fn(&Event) -> bool; 3] = [
        |event| step_of(event).is_some_and(|step| step.starts_with("write file")),
        |event| step_of(event).is_some_and(|step| step.starts_with("start unit")),
        |event| matches!(event, Event::Waiting { gate, .. } if gate.contains("ZooKeeper")),
    ];
    for moment in moments {
        let mut run = lab.start(UP);
        run.wait_for("the stage of the ensemble", |event| match event {
            Event::StageStarted { stage, .. } => stage == "zookeeper",
            _ => false,
        });
        run.wait_for("the moment to kill it at", moment);
        run.kill();
        lab.up();
        check_finished(&lab);
        lab.run(&["down", "--yes", "--purge"]).exits(0);
    }
}

fn step_of(event: &Event) -> Option<&str> {
    match event {
        Event::StepStarted { step, .. } => Some(step),
        _ => None,
    }
}
