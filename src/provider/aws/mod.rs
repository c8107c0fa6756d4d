//! Machines that are instances of AWS EC2, with a network of their own or in one that exists.
//!
//! A [`Cloud`] looks at what AWS has ([`Seen`]); [`plan`](fn@plan) decides, purely, which calls
//! make that what the inventory asks for; [`Cloud::make`] makes them. [`sweep`] says what of a
//! cluster goes in which order; [`Cloud::remove`] removes it. Tags are the only memory: everything
//! is tagged as it is made, so that a run which was cut off after any call is finished by the next,
//! from whichever computer. [`calls`] and [`policy`] say which rights that takes, [`cost`] and
//! [`prices`] what it costs.
//!
//! Invariant: what does not carry the cluster's tag is neither changed nor removed.

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
pub use wanted::{Firewall, Wanted, WantedGroup};

use crate::event::Events;
use crate::secret::Secret;

/// The tag that says which cluster a thing belongs to.
pub const CLUSTER_TAG: &str = "platform:cluster";
/// The tag that says which group an instance belongs to.
pub const GROUP_TAG: &str = "platform:group";
/// The tag that says which machine of its group an instance is, where that matters.
pub const NODE_TAG: &str = "platform:node";
/// The tag that vouches for an instance's SSH host key.
pub const HOST_KEY_TAG: &str = "platform:host-key";
/// The tag that says when the cluster may be taken down by `down --expired`.
pub const EXPIRES_TAG: &str = "platform:expires";

/// What a plan is done with.
pub struct MakeContext<'a> {
    /// What the inventory asks for.
    pub wanted: &'a Wanted,
    /// What host keys are derived from.
    pub seed: &'a Secret,
    /// The name of the stage that the steps belong to.
    pub stage: &'a str,
    /// Takes what happens.
    pub events: &'a Events,
    /// Whether the operator wants to stop.
    pub stopped: &'a (dyn Fn() -> bool + Send + Sync),
}
