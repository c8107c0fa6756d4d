//! Machines that are instances of AWS EC2, with their own network or in one that exists.
//!
//! A [`Cloud`] asks what AWS has ([`Seen`]); [`plan`](fn@plan), a pure function, decides which
//! calls make that match the inventory; [`Cloud::make`] makes these calls. [`sweep`] decides the
//! order in which a cluster is removed; [`Cloud::remove`] removes it. Tags are the only record:
//! everything is tagged as it is made, so if a run is interrupted after any call, the next run
//! finishes its work, from any computer. [`calls`] and [`policy`] say which permissions this
//! needs, [`cost`] and [`prices`] what it costs.
//!
//! Invariant: nothing without the cluster's tag is changed or removed.

#[cfg(not(feature = "aws"))]
mod absent;
pub mod calls;
pub mod cost;
#[cfg(feature = "aws")]
mod ec2;
mod error;
mod host_key;
mod launch;
mod network;
mod plan;
pub mod policy;
pub mod prices;
mod seen;
mod show;
pub mod sweep;
mod token;
mod wanted;

pub use super::Machine;
#[cfg(not(feature = "aws"))]
pub use absent::Cloud;
#[cfg(feature = "aws")]
pub use ec2::Cloud;
pub use error::AwsError;
pub use host_key::HostKey;
pub use launch::{Attempt, Launch, Placement};
pub use plan::{AwsPlan, NetworkIds, Refusal, Step, plan};
pub use seen::{
    Image, Instance, InstanceState, KeyPair, Offer, Rule, SecurityGroup, Seen, Source,
    Subnet, TypeFacts, Vpc,
};
pub use show::booting;
pub use wanted::{GroupKind, Wanted, WantedGroup};

use crate::event::Events;
use crate::secret::Secret;

/// The tag that says which cluster a thing belongs to.
pub const CLUSTER_TAG: &str = "platform:cluster";
/// The tag that says which group an instance belongs to.
pub const GROUP_TAG: &str = "platform:group";
/// The tag that says which machine of its group an instance is, if that matters.
pub const NODE_TAG: &str = "platform:node";
/// The tag that has an instance's SSH host key.
pub const HOST_KEY_TAG: &str = "platform:host-key";
/// The tag that says from when on `down --expired` may remove the cluster.
pub const EXPIRES_TAG: &str = "platform:expires";

/// What is needed to carry out a plan.
pub struct MakeContext<'a> {
    /// What the inventory asks for.
    pub wanted: &'a Wanted,
    /// The secret from which host keys are derived.
    pub seed: &'a Secret,
    /// The name of the stage that the steps belong to.
    pub stage: &'a str,
    /// Receives the events.
    pub events: &'a Events,
    /// Whether the operator wants to stop.
    pub stopped: &'a (dyn Fn() -> bool + Send + Sync),
}
