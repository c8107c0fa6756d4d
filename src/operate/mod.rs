//! The verbs, each as a list of its parts: fetch values, decide, act, prove.
//!
//! Nothing in here parses a command line or writes to a screen. Questions to the operator go
//! through [`Ask`]; everything that happens is reported as events.

pub mod add_node;
pub mod app;
mod cannot_add;
pub mod certs;
pub mod cluster_files;
mod columns;
pub mod connect;
pub mod down;
mod editing;
mod error;
pub mod exec;
mod fit;
mod gather;
mod image;
mod image_name;
pub mod job;
mod look;
mod machines;
pub mod plan;
mod preview;
mod proof;
pub mod push;
mod run;
mod ssh_limits;
mod starting;
pub mod status;
pub mod stored_images;
mod survey;
pub mod target;
pub mod up;
pub mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::Events;
use crate::remote::ssh::FirstContact;
use crate::state::{Clock, Environment};

pub use cluster_files::{ClusterFiles, inventory_alone};
pub use error::{Error, ExitKind};
pub use image::{build_all, pin_all};
pub use run::{Ended, in_run, lock};

/// What a verb needs from its caller.
#[derive(Clone)]
pub struct RunContext<'a> {
    /// The operator's environment.
    pub env: Environment<'a>,
    /// The time.
    pub clock: Clock,
    /// Receives the events.
    pub events: Events,
    /// Names the run.
    pub run: String,
    /// Whether a run was begun on this computer, in this folder.
    pub is_own_run: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Asks the operator.
    pub ask: Arc<dyn Ask>,
    /// How many hosts to work on at once.
    pub parallel: usize,
    /// Whether the operator wants to stop.
    pub stopped: Arc<AtomicBool>,
}

/// Asks the operator. If there is nobody to ask, the answer is no.
pub trait Ask: Send + Sync {
    /// Shows what will be done, and asks whether to do it.
    fn proceed(&self, shown: &str) -> bool;

    /// Shows what will be destroyed, and asks for the cluster's name.
    fn retype(&self, shown: &str, cluster: &str) -> bool;

    /// Shows an unknown host key, and asks whether it belongs to the host.
    fn trust(&self, contact: &FirstContact) -> bool;
}

impl RunContext<'_> {
    /// The time in seconds since 1970.
    fn seconds(&self) -> f64 {
        (self.clock)().duration_since(jiff::Timestamp::UNIX_EPOCH).as_secs_f64()
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Shows what will be done, and asks whether to do it.
    ///
    /// # Errors
    /// When the operator says no, or stops the program at the question.
    fn agree(&self, shown: &str) -> Result<(), Error> {
        self.answered(self.ask.proceed(shown))
    }

    /// Shows what will be destroyed, and asks for the cluster's name.
    ///
    /// # Errors
    /// When the operator does not type it, or stops the program at the question.
    fn agree_by_name(&self, shown: &str, cluster: &str) -> Result<(), Error> {
        self.answered(self.ask.retype(shown, cluster))
    }

    fn answered(&self, yes: bool) -> Result<(), Error> {
        match yes {
            true => Ok(()),
            false => self.begin("the first change").and(Err(Error::Declined)),
        }
    }

    /// Begins the next piece of work, such as `connecting`, unless the operator wants to stop.
    fn begin(&self, work: &str) -> Result<(), Error> {
        match self.is_stopped() {
            true => Err(Error::StoppedBefore(work.to_owned())),
            false => Ok(()),
        }
    }
}

/// Helpers for the tests of the verbs.
#[cfg(test)]
mod fixture {
    use super::*;
    use crate::event::{Event, Sink};

    /// A context in which nobody answers or listens, with the clock at its start.
    pub(super) fn ctx(stopped: bool) -> RunContext<'static> {
        RunContext {
            env: &|_| None,
            clock: Arc::new(|| jiff::Timestamp::UNIX_EPOCH),
            events: Events::to(Arc::new(Nobody)),
            run: "test".to_owned(),
            is_own_run: Arc::new(|_| false),
            ask: Arc::new(Nobody),
            parallel: 4,
            stopped: Arc::new(AtomicBool::new(stopped)),
        }
    }

    struct Nobody;

    impl Sink for Nobody {
        fn take(&self, _: &Event) {}
    }

    impl Ask for Nobody {
        fn proceed(&self, _: &str) -> bool {
            false
        }

        fn retype(&self, _: &str, _: &str) -> bool {
            false
        }

        fn trust(&self, _: &FirstContact) -> bool {
            false
        }
    }
}
