//! Figures for 500 apps with 2,000 tasks. They are printed, not judged:
//! `cargo test --release -p platform-balancer --test it -- --ignored --nocapture figures`

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use platform_balancer::marathon::Reading;
use platform_balancer::render::render;
use serde_json::{Value, json};

use crate::cases::decided;
use crate::replay::List;
use crate::serving::{Platform, app, running};
use crate::support::{Edge, until};

const N_APPS: u16 = 500;
const N_TASKS: u8 = 4;
const N_RUNS: u32 = 10;
const IDLE: Duration = Duration::from_secs(20);

/// Apps whose tasks are at addresses where nobody listens.
fn apps(more_tasks_of_first: u8) -> Value {
    let tasks = |n: u16| {
        let n_tasks = if n == 0 { N_TASKS + more_tasks_of_first } else { N_TASKS };
        let task = move |m: u8| {
            let [high, low] = n.to_be_bytes();
            let address = SocketAddr::from(([127, 200 + high, low, m], 31_000));
            running(&format!("app{n}.instance-{m}"), address)
        };
        (0..n_tasks).map(task).collect::<Vec<Value>>()
    };
    let one = |n: u16| {
        let mut app = app(&format!("/bench/app{n}"), 10_100 + n, &tasks(n));
        app["labels"]["HAPROXY_0_VHOST"] = json!(format!("app{n}.example"));
        app
    };
    (0..N_APPS).map(one).collect()
}

fn say(what: &str, value: impl Display) {
    let _ = writeln!(std::io::stderr(), "{what}: {value}");
}

/// The median time of some runs, in milliseconds.
fn median(mut act: impl FnMut()) -> String {
    let mut times: Vec<Duration> = (0..N_RUNS)
        .map(|_| {
            let begun = Instant::now();
            act();
            begun.elapsed()
        })
        .collect();
    times.sort();
    format!("{:.2} ms", times[times.len() / 2].as_secs_f64() * 1000.0)
}

/// Seconds of CPU that a process has used.
fn cpu(pid: u32) -> f64 {
    let text = crate::support::read(format!("/proc/{pid}/stat").as_ref());
    let words: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |place: usize| words[place].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn memory(pid: u32) -> String {
    let text = crate::support::read(format!("/proc/{pid}/status").as_ref());
    text.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned()
}

#[test]
#[ignore = "figures, not a judgement"]
fn figures_of_pure_code_and_of_the_check() {
    let edge = Edge::new();
    let settings = edge.read_settings();
    let list = json!({"apps": apps(0)}).to_string();
    say("list, bytes", list.len());
    say("parse a list", median(|| drop(Reading::parse(list.as_bytes()).unwrap())));
    let apps = apps(0);
    say(
        "parse, decide and render from nothing",
        median(|| {
            drop(render(&decided(&apps, &settings).reloaded(), &settings));
        }),
    );
    let text = render(&decided(&apps, &settings).reloaded(), &settings);
    say("configuration, bytes", text.len());
    say("haproxy -c", median(|| assert!(edge.check(&text).status.success())));
}

#[test]
#[ignore = "figures, not a judgement"]
fn figures_of_the_whole() {
    let begun = Instant::now();
    let platform = Platform::start(apps(0));
    say("from nothing to all loaded", format!("{:?}", begun.elapsed()));
    say("balancer", memory(platform.balancer_pid()));
    let worker: u32 = platform.worker().parse().unwrap();
    say("HAProxy's worker", memory(worker));
    let before = (cpu(platform.balancer_pid()), cpu(worker), Instant::now());
    while before.2.elapsed() < IDLE {
        std::thread::park_timeout(IDLE);
    }
    let share = |seconds: f64| format!("{:.2} %", 100.0 * seconds / IDLE.as_secs_f64());
    say("CPU of the idle balancer", share(cpu(platform.balancer_pid()) - before.0));
    say("CPU of HAProxy, which checks 2,000 servers", share(cpu(worker) - before.1));
    let state = || drop(platform.runtime("show servers state"));
    say("HAProxy tells the state of all slots", median(state));
    let one = || drop(platform.runtime("show servers state bench_app0_10100"));
    say("HAProxy tells the state of one backend", median(one));
    let set = || drop(platform.runtime("set server bench_app0_10100/s1 state ready"));
    say("HAProxy changes one server", median(set));
    let mut times = Vec::new();
    for more in 1..=N_TASKS {
        let begun = Instant::now();
        let before = platform.commands();
        platform.marathon.lists(List::Apps(apps(more)));
        let told = Instant::now();
        until("the command", || (platform.commands() > before).then_some(()));
        times.push(format!("{:?} (list made in {:?})", told.elapsed(), told - begun));
    }
    say("from event to one changed server", times.join(", "));
    say("reloads", platform.count("reloads"));
    say("balancer at the end", memory(platform.balancer_pid()));
}
