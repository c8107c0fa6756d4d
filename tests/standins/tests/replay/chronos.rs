//! Chronos.

use standins::chronos::member::Chronos;
use standins::chronos::settings::{Settings, TABLE};
use standins::framework::options;
use standins::framework::setup::World;

use super::known::{self, Known};
use super::{recording, script};

const FILE: &str = "chronos-3.0.2-replay.jsonl";

/// Where it knowingly differs.
const KNOWN: &[Known] = &[];

fn service(flags: &str) -> Chronos {
    let at = "--master zk://127.0.0.1:1/mesos --hostname 127.0.0.1 --http_port 24400";
    let words: Vec<String> =
        format!("{at} {flags}").split_whitespace().map(str::to_owned).collect();
    let options = options::parse(TABLE, &words).unwrap();
    let world = World { hostname: "h", http_credentials: None, read: &|_| None };
    Chronos::new(Settings::read(&options, &world).unwrap())
}

#[tokio::test]
async fn it_answers_as_a_real_one_but_for_what_is_known() {
    let found = script::play(FILE, include_str!("chronos.txt"), service, |_, _, line| {
        panic!("what is {line}?")
    })
    .await;
    let recorded = recording::read(FILE);
    known::check(recorded.iter().map(|recording| &recording.name), &found, KNOWN);
}
