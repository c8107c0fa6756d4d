//! Chronos.

use standins::chronos::member::Chronos;

use super::known::Known;
use super::script;

const FILE: &str = "chronos-3.0.2-replay.jsonl";

/// Where it knowingly differs.
const KNOWN: &[Known] = &[];

#[tokio::test]
async fn it_answers_as_a_real_one_but_for_what_is_known() {
    let script = include_str!("chronos.txt");
    let unknown = |_: &mut _, _, line: &str| panic!("what is {line}?");
    script::check::<Chronos>((FILE, script), 24400, unknown, KNOWN).await;
}
