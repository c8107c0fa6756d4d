//! Health checks of a task, as the executors make them.
//!
//! Counting is pure; a check that cannot be made has failed.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::docker::Docker;
use super::launch::{command_words, variables_of};
use super::record::Record;

/// What a check has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the task is healthy.
    pub healthy: bool,
    /// Whether it has failed too often.
    pub kill: bool,
}

/// Counts the results of checks.
#[derive(Debug, Clone)]
struct Counter {
    limit: u64,
    grace: Duration,
    n_failures: u64,
    was_healthy: bool,
}

impl Counter {
    /// What there is to say of a result at this age of the task; `None` when it is no news.
    fn count(&mut self, success: bool, age: Duration) -> Option<Verdict> {
        if success {
            let is_news = !self.was_healthy || self.n_failures > 0;
            (self.was_healthy, self.n_failures) = (true, 0);
            return is_news.then_some(Verdict { healthy: true, kill: false });
        }
        if !self.was_healthy && age <= self.grace {
            return None;
        }
        self.n_failures += 1;
        Some(Verdict { healthy: false, kill: self.n_failures >= self.limit })
    }
}

/// Checks a task for as long as the future lives; returns at once where there is nothing to check.
pub async fn watch(
    record: &Record,
    docker: Option<&Docker>,
    verdicts: mpsc::Sender<Verdict>,
) {
    let check = &record.task["health_check"];
    if check.is_null() {
        return;
    }
    let seconds = |field: &str, default: f64| {
        let value = check[field].as_f64().unwrap_or(default);
        Duration::try_from_secs_f64(value).unwrap_or_default()
    };
    let mut counter = Counter {
        limit: check["consecutive_failures"].as_u64().unwrap_or(3),
        grace: seconds("grace_period_seconds", 10.0),
        n_failures: 0,
        was_healthy: false,
    };
    let timeout = match seconds("timeout_seconds", 20.0) {
        Duration::ZERO => Duration::from_secs(24 * 3600),
        timeout => timeout,
    };
    let interval = seconds("interval_seconds", 10.0).max(Duration::from_millis(10));
    let begin = Instant::now();
    let mut ticks =
        tokio::time::interval_at(begin + seconds("delay_seconds", 15.0), interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let result = tokio::time::timeout(timeout, is_healthy(record, docker)).await;
        let verdict = counter.count(result.unwrap_or(false), begin.elapsed());
        if let Some(verdict) = verdict
            && verdicts.send(verdict).await.is_err()
        {
            return;
        }
    }
}

async fn is_healthy(record: &Record, docker: Option<&Docker>) -> bool {
    let check = &record.task["health_check"];
    let host = record.address.as_deref().unwrap_or("127.0.0.1");
    let port = |kind: &str| {
        check[kind]["port"].as_u64().and_then(|port| u16::try_from(port).ok())
    };
    match (check["type"].as_str(), port("tcp"), port("http")) {
        (Some("COMMAND"), ..) => command_succeeds(record, docker).await,
        (Some("TCP"), Some(port), _) => {
            tokio::net::TcpStream::connect((host, port)).await.is_ok()
        }
        (Some("HTTP"), _, Some(port)) => http_answers(&check["http"], host, port).await,
        _ => false,
    }
}

/// Asks with the program `curl`, as executors do: where the agent's file system lacks it, no
/// task is healthy.
async fn http_answers(check: &Value, host: &str, port: u16) -> bool {
    let scheme = check["scheme"].as_str().unwrap_or("http");
    let path = check["path"].as_str().unwrap_or_default();
    let url = format!("{scheme}://{host}:{port}{path}");
    let mut curl = Command::new("curl");
    curl.args(["-s", "-S", "-L", "-k", "-w", "%{http_code}", "-o", "/dev/null", "-g"]);
    curl.arg(url).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let said = curl.output().await.map(|output| output.stdout).unwrap_or_default();
    let status = String::from_utf8_lossy(&said).parse::<u16>();
    status.is_ok_and(|status| (200..400).contains(&status))
}

async fn command_succeeds(record: &Record, docker: Option<&Docker>) -> bool {
    let info = &record.task["health_check"]["command"];
    let Ok(words) = command_words(info) else { return false };
    let argv = match docker {
        Some(docker) if record.is_docker() => {
            let exec = ["exec".to_owned(), record.container_name()];
            docker.argv(exec.into_iter().chain(words).collect())
        }
        _ => words,
    };
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if !record.is_docker() {
        command.current_dir(&record.sandbox).env("MESOS_SANDBOX", &record.sandbox);
        command.envs(variables_of(&record.task["command"]));
        command.envs(variables_of(info));
    }
    command.status().await.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> Counter {
        Counter {
            limit: 2,
            grace: Duration::from_secs(10),
            n_failures: 0,
            was_healthy: false,
        }
    }

    #[test]
    fn failures_count_after_the_grace_or_a_success() {
        let (young, old) = (Duration::from_secs(5), Duration::from_secs(11));
        let bad = |kill| Some(Verdict { healthy: false, kill });
        let good = Some(Verdict { healthy: true, kill: false });
        let mut late = counter();
        assert_eq!(late.count(false, young), None);
        assert_eq!(late.count(false, old), bad(false));
        assert_eq!(late.count(false, old), bad(true));
        let mut early = counter();
        assert_eq!(early.count(true, young), good);
        assert_eq!(early.count(true, young), None);
        assert_eq!(early.count(false, young), bad(false));
        assert_eq!(early.count(true, young), good);
        assert_eq!(early.count(false, young), bad(false));
        assert_eq!(early.count(false, young), bad(true));
    }
}
