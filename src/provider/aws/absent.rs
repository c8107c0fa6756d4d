//! Takes the place of AWS if the program is built without it: nothing can be opened.

use super::sweep::{ClusterResources, Left};
use super::{AwsError, AwsPlan, Instance, MakeContext, Seen, Wanted};
use crate::event::Events;
use crate::inventory::{Aws, ClusterName};

/// A connection to AWS that cannot exist.
#[derive(Debug, Clone, Copy)]
pub enum Cloud {}

#[expect(clippy::unused_async, clippy::missing_errors_doc, reason = "as with AWS")]
impl Cloud {
    /// Refuses.
    pub async fn open(_: &Aws) -> Result<Self, AwsError> {
        Err(AwsError::NotBuilt)
    }

    /// Cannot be called.
    pub fn region(&self) -> &str {
        match *self {}
    }

    /// Cannot be called.
    pub async fn look(&self, _: &Wanted) -> Result<Seen, AwsError> {
        match *self {}
    }

    /// Cannot be called.
    pub async fn make(
        &self,
        _: AwsPlan,
        _: &MakeContext<'_>,
    ) -> Result<Vec<Instance>, AwsError> {
        match *self {}
    }

    /// Cannot be called.
    pub async fn remains(&self, _: &ClusterName) -> Result<ClusterResources, AwsError> {
        match *self {}
    }

    /// Cannot be called.
    pub async fn remove(
        &self,
        _: &ClusterName,
        _: &ClusterResources,
        _: &str,
        _: &Events,
    ) -> Result<Vec<Left>, AwsError> {
        match *self {}
    }
}
