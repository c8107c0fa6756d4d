//! A container image in the host's Docker.

use serde::Deserialize;

use super::questions::Questions;
use super::{Action, Change, Facts, Key, Unknown};

/// An image that a host should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name for people, such as `zookeeper 3.8.0`.
    pub name: String,
    /// Its id: the digest of its configuration, `sha256:…`. Units use the id, so that what runs
    /// never depends on a tag or on the origin of the image.
    pub id: String,
    /// Where the host gets it from.
    pub origin: ImageOrigin,
}

/// Where a host gets an image from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageOrigin {
    /// From the first of the cluster's registries that has it, each as
    /// `address:port/name@sha256:…`.
    Registries(Vec<String>),
    /// From this computer, over SSH: the registry's own image, which cannot come from a registry.
    Here,
}

impl ImageOrigin {
    /// The references to pull; empty if the image is not pulled.
    pub(super) fn references(&self) -> &[String] {
        match self {
            Self::Registries(references) => references,
            Self::Here => &[],
        }
    }
}

impl Image {
    pub(super) fn ask(&self, questions: &mut Questions) {
        questions.image(&self.id);
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        if facts.has_image(&self.id)? {
            return Ok(None);
        }
        let (verb, action) = match &self.origin {
            ImageOrigin::Registries(_) => ("pull", Action::PullImage(self.clone())),
            ImageOrigin::Here => ("load", Action::LoadImage(self.clone())),
        };
        Ok(Some(Change {
            key: Key::Image(self.name.clone()),
            verb,
            reason: "is not on the host".to_owned(),
            diff: None,
            action,
        }))
    }
}

/// The part of the probe about images, in one call of Docker's client. If there is no Docker yet,
/// or it does not run, there is no image either: starting Docker is a change of an earlier stage,
/// and does not depend on this answer.
pub(super) fn script(questions: &Questions) -> Option<String> {
    let ids: Vec<&str> = questions.images().collect();
    (!ids.is_empty()).then(|| {
        format!(
            r#"set -- {ids}
if command -v docker >/dev/null; then
  docker image inspect --format '{{"q":"image","id":"{{{{.Id}}}}","present":true}}' "$@" 2>/dev/null
fi
for id do printf '{{"q":"image","id":"%s","present":false}}\n' "$id"; done
"#,
            ids = ids.join(" ")
        )
    })
}

/// An image; present if Docker has it.
#[derive(Debug, Deserialize)]
pub(super) struct ImageLine {
    id: String,
    present: bool,
}

impl ImageLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        *facts.images.entry(self.id).or_insert(false) |= self.present;
        Some(())
    }
}
