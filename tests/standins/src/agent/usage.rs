//! What tasks and the machine use, as the kernel tells it.

use std::fs;

use super::metrics::System;
use super::record::Record;
use super::settings::memory_total;
use super::views::Usage;

/// What the kernel counts processor time in, on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the processes of a task's session use now.
pub fn of_task(record: &Record) -> Usage {
    let Some(process) = &record.process else { return Usage::default() };
    let mut usage = Usage::default();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some((user, system)) = in_session(&stat, process.pid) {
            let status = fs::read_to_string(entry.path().join("status"));
            usage.user_seconds += user;
            usage.system_seconds += system;
            usage.memory_bytes += kibibytes(&status.unwrap_or_default(), "VmRSS:") * 1024;
        }
    }
    usage
}

/// The seconds in program and kernel of a process of this session, by its `/proc/…/stat`.
fn in_session(stat: &str, session: i32) -> Option<(f64, f64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds =
        |index: usize| Some(fields.get(index)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    let is_ours = fields.get(3)?.parse() == Ok(session);
    if is_ours { Some((seconds(11)?, seconds(12)?)) } else { None }
}

/// A number of a file such as `/proc/meminfo`; zero where it is not said.
fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// What the machine says of itself; what it does not say is zero.
pub fn of_system() -> System {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut loads = load.split_whitespace().filter_map(|word| word.parse().ok());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let n_cpus = std::thread::available_parallelism().map_or(0, usize::from);
    System {
        n_cpus: n_cpus as f64,
        load: std::array::from_fn(|_| loads.next().unwrap_or_default()),
        memory_total: memory_total(&memory).unwrap_or_default() as f64,
        memory_free: (kibibytes(&memory, "MemFree:") * 1024) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tasks_own_session_counts() {
        let stat = "9 (a b) S 1 9 7 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 5 0 0";
        assert_eq!(in_session(stat, 7), Some((2.5, 0.5)));
        assert_eq!(in_session(stat, 9), None);
        assert_eq!(kibibytes("A: 1 kB\nVmRSS:\t  42 kB\n", "VmRSS:"), 42);
    }
}
