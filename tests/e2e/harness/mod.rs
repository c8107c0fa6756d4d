//! Clusters for tests: real machines, made by the program itself and gone when the test ends.
//!
//! A test begins with [`turn`], because this computer bears few clusters at a time, and makes
//! a [`Lab`]: an inventory in a folder of its own, with a network and a cluster name that no
//! other test has. It runs the program there and looks at the machines from outside:
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
//! [`Given`] makes machines that exist already: a [`Lab`] of provider `ssh` is put over them
//! with [`Given::lab`], on machines with Docker or, after [`Given::remove_docker`], without.
//!
//! [`Vm`] is a virtual machine, for what a container cannot show: a kernel that boots anew.
//!
//! [`Ec2`] is an account of AWS for [`Lab::aws`]: a test sees each call in it and has things go
//! wrong there.
//!
//! Everything is removed when a `Lab` is dropped, after a panic too. What a killed test left
//! goes when the next one gets its network.

mod ec2;
mod ensemble;
mod folder;
mod given;
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
pub(crate) use ensemble::{Watch, mode};
pub(crate) use folder::{copy_folder, entries};
pub(crate) use given::Given;
pub(crate) use lab::{CATALOG, Lab, REHEARSED};
pub(crate) use machine::{Machine, docker};
pub(crate) use run::{Run, Running};
pub(crate) use secrets::Secrets;
pub(crate) use services::Services;
pub(crate) use slot::turn;
pub(crate) use traces::{Traces, Writes};
#[cfg(target_arch = "x86_64")]
pub(crate) use vm::Vm;

use std::time::{Duration, Instant};

/// Waits until `look` finds something, at most this long.
///
/// # Panics
/// When it does not, with what was waited for.
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

/// Lets others work between two looks at a condition.
#[expect(
    clippy::disallowed_methods,
    reason = "used only between two looks at a condition"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
