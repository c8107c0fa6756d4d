//! What clients of the edge notice while the host that leads everything dies: that they wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Certificate;
use reqwest::blocking::Client;

use crate::harness::{End, Lab, pause};

/// Each service at the edge, with its port and a path that answers.
const SERVICES: [(&str, u16, &str); 3] = [
    ("Marathon", 8443, "v2/info"),
    ("Mesos", 5443, "master/state"),
    ("Chronos", 4443, "v1/scheduler/jobs"),
];

/// The longest that a request may wait: until the edge gives it up.
const PATIENCE: Duration = Duration::from_secs(40);

/// The edge gives no request up before.
const HELD: Duration = Duration::from_secs(25);

const BETWEEN: Duration = Duration::from_millis(50);

const LEADS: &str = "200 OK";

/// What the edge answers if nobody led for 30 seconds.
const GAVE_UP: &str = "503 Service Unavailable after it waited";

/// What an instance answers that does not lead any longer.
const OF_STANDBYS: [&str; 2] = ["500 Internal Server Error", "502 Bad Gateway"];

/// The most requests of a client in a second.
const PER_SECOND: usize = 20;

/// Does work while clients ask every service through the edge: each request waits for a leader, and
/// gets its answer. HAProxy sees a change of leaders with its next checks: until then, for a second
/// at most, it may ask the one that led before.
pub(super) fn nearly_every_request_is_answered_during<T>(
    lab: &Lab,
    work: impl FnOnce() -> T,
) -> T {
    let ended = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking =
            SERVICES.map(|service| scope.spawn(move || asked_until(lab, service, ended)));
        let done = {
            let _end = End(ended);
            work()
        };
        for ((name, ..), asking) in SERVICES.iter().zip(asking) {
            let answers = asking.join().expect("no request panics");
            let others: Vec<&(Duration, String)> = answers
                .iter()
                .filter(|(_, it)| ![LEADS, GAVE_UP].contains(&it.as_str()))
                .collect();
            let of_standbys =
                others.iter().all(|(_, it)| OF_STANDBYS.contains(&it.as_str()));
            assert!(
                of_standbys && others.len() <= PER_SECOND,
                "{name}, since the beginning: {others:?}\n{}",
                logs(lab)
            );
            let last = answers.last().map(|(_, answer)| answer.as_str());
            assert_eq!(last, Some(LEADS), "{name}: {}", logs(lab));
        }
        done
    })
}

/// What HAProxy and the balancer said of servers.
fn logs(lab: &Lab) -> String {
    let units = "-u platform-haproxy -u platform-balancer";
    let command = format!("journalctl {units} -n 100 --no-pager -o short-precise");
    format!(
        "now: {}\n{}",
        lab.machine("edge-1").sh("date"),
        lab.machine("edge-1").sh(&command)
    )
}

/// The answers, each with when its request was sent.
fn asked_until(
    lab: &Lab,
    service: (&str, u16, &str),
    ended: &AtomicBool,
) -> Vec<(Duration, String)> {
    let (_, port, path) = service;
    let read = |path: &str| std::fs::read(lab.state().join(path)).expect("it is kept");
    let ca = Certificate::from_pem(&read("ca/ca.crt")).expect("a certificate");
    let client = Client::builder().no_proxy().tls_certs_only([ca]).timeout(PATIENCE);
    let client = client.build().expect("a client");
    let password = String::from_utf8(read("secrets/edge")).expect("a text");
    let url = format!("https://{}.14:{port}/{path}", lab.prefix());
    let mut answers = Vec::new();
    let begun = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer =
            client.get(&url).basic_auth("platform", Some(password.trim())).send();
        let answer = match answer {
            Ok(answer) if answer.status() == 503 && asked.elapsed() > HELD => {
                GAVE_UP.to_owned()
            }
            Ok(answer) => answer.status().to_string(),
            Err(error) => format!("{error:?}"),
        };
        answers.push((asked - begun, answer));
        pause(BETWEEN);
    }
    answers
}
