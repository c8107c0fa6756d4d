//! Which part of a cluster a plan may change.

use std::collections::{BTreeMap, BTreeSet};

use super::Push;
use crate::component::{Stage, Wants};
use crate::host::HostName;
use crate::resource::Resource;

/// Which part of a cluster a plan may change.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// All of it.
    Everything,
    /// New hosts, and on all other hosts only what a change of the inventory touches.
    Differing {
        /// The new hosts, if there are any.
        hosts: &'a BTreeSet<HostName>,
        /// What the other hosts should have whether or not the inventory is changed. This plan
        /// leaves that as it is, even if the hosts differ from it.
        without: &'a BTreeMap<HostName, Wants>,
    },
}

impl Scope<'_> {
    /// Whether everything on a host is in scope, also what is removed from it.
    pub fn is_whole(&self, host: &HostName) -> bool {
        match self {
            Self::Everything => true,
            Self::Differing { hosts, .. } => hosts.contains(host),
        }
    }

    /// Whether a resource that a host should have is in scope.
    pub(super) fn has(&self, host: &HostName, wanted: &(Stage, Resource)) -> bool {
        match self {
            _ if self.is_whole(host) => true,
            Self::Everything => true,
            Self::Differing { without, .. } => {
                without.get(host).is_none_or(|without| !without.contains(wanted))
            }
        }
    }

    /// The pushes in scope.
    pub(super) fn pushes(&self, pushes: &[Push]) -> Vec<Push> {
        pushes.iter().filter(|push| self.is_whole(&push.to)).cloned().collect()
    }
}
