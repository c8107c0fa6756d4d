//! SIGKILL at random moments: whatever was under way, the next run finishes it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use platform::event::Event;

use super::{SMALL, check_clean, check_finished};
use crate::harness::{Given, Lab, pause, turn};

/// A seed to try again with.
const SEED: &str = "PLATFORM_TEST_SEED";

#[test]
fn a_run_that_is_killed_at_a_random_moment_is_finished_by_the_next() {
    let _turn = turn();
    let given = Given::new(2);
    let lab = given.lab(SMALL);
    let whole = lab.up().took;
    let mut random = Random::new();
    for round in 0..20 {
        let work = make_work(&lab, round);
        let run = lab.start(&["up", "--yes", "-o", "json"]);
        pause(random.below(whole.mul_f64(work)));
        random.tell(&format!("round {round}"), &run.kill().stdout);
        lab.up();
        check_finished(&lab);
        for number in [1, 2] {
            check_clean(&given.machine(number));
        }
    }
}

/// Makes sure that there is work: every other time all of it, else new settings for every
/// service. Gives about how much of the whole that is.
fn make_work(lab: &Lab, round: u8) -> f64 {
    if round.is_multiple_of(2) {
        lab.run(&["down", "--yes", "--purge"]).exits(0);
        return 1.0;
    }
    let body = std::fs::read_to_string(lab.inventory()).expect("it is there");
    let (head, _) = body.split_once("  zookeeper:").expect("it sets the heap");
    let settings = format!(
        "  zookeeper: {{heap: {}MiB}}\n  \
         access: {{users: [{{name: user{round}, password: {{generate: true}}}}]}}\n",
        128 + u16::from(round)
    );
    lab.file("lab.yaml", format!("{head}{settings}"));
    0.5
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
    let mut random = Random::new();
    for round in 0..4 {
        let mut run = lab.start(&["up", "--yes", "-o", "json"]);
        run.wait_for("the stage of the ensemble", |event| match event {
            Event::StageStarted { stage, .. } => stage == "zookeeper",
            _ => false,
        });
        pause(random.below(Duration::from_secs(5)));
        random.tell(&format!("round {round}"), &run.kill().stdout);
        lab.up();
        check_finished(&lab);
        lab.run(&["down", "--yes", "--purge"]).exits(0);
    }
}

/// Random moments that can be had again.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Self {
        let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Self { seed, state: seed }
    }

    /// A moment before this one, by the method known as splitmix64.
    fn below(&mut self, end: Duration) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        Duration::from_millis(mixed % (end.as_millis() as u64).max(1))
    }

    /// Says when a run was killed, for whoever looks into a failure.
    #[expect(clippy::print_stderr, reason = "a failure is of no use without its seed")]
    fn tell(&self, what: &str, stdout: &str) {
        let last = stdout.lines().last().unwrap_or("before its first event");
        eprintln!("{SEED}={} {what}: killed after {last}", self.seed);
    }
}
