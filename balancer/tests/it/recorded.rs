//! What a real Marathon 1.11.24 said, as it came.

use std::path::PathBuf;
use std::time::Duration;

use platform_balancer::hints::Hints;
use platform_balancer::marathon::{Event, Reading, State};

use crate::support::read;

fn recorded(name: &str) -> String {
    read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(name))
}

#[test]
fn a_recorded_kill_is_hinted_before_it_happens() {
    let text = recorded("kill.txt");
    let events: Vec<Event> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(Event::parse)
        .collect();
    let is_end = |event: &Event| matches!(event, Event::Task { state: State::Ended, .. });
    let end = events.iter().position(is_end).unwrap();
    let mut hints = Hints::default();
    let first =
        events.iter().position(|event| hints.on_event(event, Duration::ZERO).is_some());
    assert_eq!(first, Some(end - 1));
    assert!(hints.is_going(
        "healthy-mesos-http.instance-c701b578-ec07-11f1-b99a-26ba1e2ad6e9._app.1"
    ));
}

#[test]
fn a_recorded_list_is_read() {
    let reading = Reading::parse(recorded("apps.json").as_bytes()).unwrap();
    assert!(reading.unreadable.is_empty());
    let web = &reading.apps[0];
    assert_eq!((web.id.as_str(), web.instances, web.ports().len()), ("/web", 2, 1));
    assert!(web.tasks.iter().all(|task| task.state == State::Running && task.passes(0)));
    assert!(web.tasks[0].started_at.is_some());
}
