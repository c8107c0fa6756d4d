//! Clusters for tests: real machines, created by the program itself and removed when the test
//! ends.
//!
//! A test begins with [`turn`], because this computer can run only a few clusters at a time, and
//! creates a [`Lab`]: an inventory in its own folder, with a network and a cluster name that no
//! other test has. It runs the program there and observes the machines from outside:
//!
//! ```ignore
//! let _turn = turn();
//! let lab = Lab::local("groups: {node: {roles: [base], count: 2, memory: 512MiB}}\n");
//! let up = lab.up();                          // has to end with 0
//! assert_eq!(up.result(), RunResult::Changed);
//! lab.run(&["status"]).exits(0);              // `platform status INVENTORY`
//! let mut running = lab.start(&["up", "--yes", "-o", "json"]);
//! running.wait_for("a stage", |event| matches!(event, Event::StageStarted { .. }));
//! running.kill();                             // SIGKILL; `interrupt` is Ctrl-C
//! lab.machine("node-1").sh("systemctl is-active ssh");
//! ```
//!
//! [`Given`] creates existing machines: a [`Lab`] of provider `ssh` uses them with
//! [`Given::lab`], with Docker or, after [`Given::remove_docker`], without.
//!
//! [`Vm`] is a virtual machine, for what a container cannot do: reboot a kernel.
//!
//! [`Ec2`] is an AWS account for [`Lab::aws`]: a test sees each call in it and sets faults there.
//!
//! Everything is removed when a `Lab` is dropped, even after a panic. What a killed test left is
//! removed when the next test gets its network.

mod ec2;
mod ensemble;
mod folder;
mod given;
mod inside;
mod lab;
mod machine;
mod run;
mod secrets;
mod services;
mod slot;
mod traces;
#[cfg(target_arch = "x86_64")]
mod vm;

pub(crate) use ec2::{Ec2, Resource, inner};
pub(crate) use ensemble::{Watch, mode, zookeeper_client};
pub(crate) use folder::{copy_folder, entries};
pub(crate) use given::Given;
pub(crate) use inside::inside;
pub(crate) use lab::{CATALOG, Lab, REHEARSED};
pub(crate) use machine::{Machine, docker};
pub(crate) use run::{Run, Running};
pub(crate) use secrets::Secrets;
pub(crate) use services::{Services, http_server};
pub(crate) use slot::turn;
pub(crate) use traces::{Traces, Writes};
#[cfg(target_arch = "x86_64")]
pub(crate) use vm::Vm;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Waits until `look` finds something, at most this long.
///
/// # Panics
/// When it does not, with the condition that was waited for.
pub(crate) fn until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < deadline, "{what}: not within {deadline:?}");
        pause(Duration::from_millis(50));
    }
}

/// Lets other tasks run between two checks of a condition.
#[expect(
    clippy::disallowed_methods,
    reason = "used only between two looks at a condition"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Tells a thread that looks on while a test works that the work is done, or has panicked.
pub(crate) struct End<'a>(pub(crate) &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
