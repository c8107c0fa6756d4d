//! What a leader decides to have done. The shell around it, `leader`, does it.

use crate::scheduler::Status;
use serde_json::Value;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Keep this at this path.
    Save(String, Value),
    /// Forget what is at this path.
    Forget(String),
    /// Tell the master.
    Call(Call),
    /// Tell those who listen: an event's type and what it says.
    Publish(&'static str, Value),
    /// End the process, for this reason.
    End(String),
}

/// A call to the master.
#[derive(Clone, Debug)]
pub enum Call {
    /// Start tasks with an offer.
    Launch {
        /// The offer.
        offer: String,
        /// The tasks.
        tasks: Vec<Value>,
    },
    /// Give offers back.
    Decline(Vec<String>),
    /// Ask for offers.
    Revive,
    /// Ask for none.
    Suppress,
    /// End a task.
    Kill {
        /// The task.
        task: String,
        /// Its agent, when known.
        agent: Option<String>,
    },
    /// An update has been taken in; one without a `uuid` asks for no such call.
    Acknowledge(Box<Status>),
    /// Ask for the states of tasks.
    Reconcile(Vec<(String, Option<String>)>),
}
