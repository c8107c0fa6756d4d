//! `platform image push`: sends an image to the registries of a cluster, as its users do.
//!
//! The image goes to the address that everyone uses. The other edge hosts copy it from there, and
//! the verb waits until all of them have it.

use std::convert::Infallible;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;

use super::RunContext;
use super::error::{Error, ExitKind};
use super::image::architecture;
use super::image_name::{BadImageName, ImageName};
use super::target::{EdgeRegistries, EdgeRegistryError};
use crate::api::registry::OnBytes;
use crate::digest::Digest;
use crate::event::{Event, count, in_words};
use crate::host::{HostName, joined};
use crate::images::build::{BuildError, save};
use crate::images::{Image, archive};
use crate::progress::poll;
use crate::reference::Reference;
use crate::unit::Size;

/// The time in which other hosts begin to copy an image and have it, in addition to the time for its
/// bytes.
const COPY: Duration = Duration::from_secs(60);
/// A slower copy counts as stuck.
const MIN_COPIED_PER_SECOND: u64 = 1 << 20;
/// The pause between two looks at the other hosts.
const PAUSE: Duration = Duration::from_millis(500);

/// What to push.
#[derive(Debug, Clone, Copy)]
pub struct PushOrder<'a> {
    /// An archive, the folder of an OCI layout, or an image of this computer's Docker.
    pub source: &'a str,
    /// The image's name in the registry; `None` for the one that it has.
    pub name: Option<&'a str>,
    /// The inventory of the cluster; without one, the environment says where its edge is.
    pub inventory: Option<&'a Path>,
}

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushedImage {
    /// The name under which apps and people pull it.
    pub image: String,
    /// The digest of its manifest.
    pub digest: String,
    /// The kind of machine that it is for.
    pub platform: String,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Layers and configurations that were in the registry before.
    pub n_blobs_there: usize,
    /// The hosts that are known to have it.
    pub hosts: Vec<HostName>,
}

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The source is neither there nor the name of an image.
    #[error("there is no file or folder `{0}`, and no image has such a name")]
    NoSource(String),
    /// The source is not there, and Docker does not give it.
    #[error(
        "there is no file or folder `{name}`, so it was looked for in the local Docker"
    )]
    NotSaved {
        /// The source.
        name: String,
        /// What Docker says.
        source: BuildError,
    },
    /// The archive has no name for its image.
    #[error("{0} does not say what its image is called: add a name such as team/app:1.0")]
    NoName(String),
    /// The name cannot be used.
    #[error(transparent)]
    BadName(#[from] BadImageName),
    /// There is no room for a copy.
    #[error("cannot make a folder for temporary files: set TMPDIR to a folder with room")]
    Temporary(#[source] io::Error),
    /// The user has no right to push.
    #[error(
        "`{0}` may pull from the registry, but not push: see `push` of the user in the inventory \
         of the cluster"
    )]
    Denied(String),
    /// The registry does not take it.
    #[error(transparent)]
    Edge(#[from] EdgeRegistryError),
    /// Not all hosts have it.
    #[error(
        "{image} is pushed, but not all edge hosts have it after {}s: {seen}; the copying goes \
         on, and `platform status` says what hinders it",
        waited.as_secs()
    )]
    Late {
        /// The image.
        image: String,
        /// How long it was waited for.
        waited: Duration,
        /// What was seen last.
        seen: String,
    },
}

impl PushError {
    /// The kind of this failure.
    pub(super) fn kind(&self) -> ExitKind {
        match self {
            Self::NoSource(_) | Self::NoName(_) | Self::BadName(_) => ExitKind::Usage,
            Self::Denied(_) => ExitKind::Refused,
            Self::Edge(error) => error.kind(),
            Self::Late { .. } => ExitKind::TimedOut,
            _ => ExitKind::Failed,
        }
    }
}

/// Pushes an image, and waits until all edge hosts have it. Repeated, it sends only what is missing.
///
/// # Errors
/// When the source has no image that hosts can run, when the registry does not take it (its tag is
/// unchanged then), and when a host does not have it in time.
pub async fn push(
    order: PushOrder<'_>,
    ctx: &RunContext<'_>,
) -> Result<PushedImage, Error> {
    let given = order.name.map(str::parse::<ImageName>).transpose();
    let given = given.map_err(PushError::from)?;
    let edge = EdgeRegistries::find(order.inventory, ctx).await?;
    let temporary = tempfile::tempdir().map_err(PushError::Temporary)?;
    let (image, saved_as) = read(order.source, temporary.path()).await?;
    let name = match (given, saved_as) {
        (Some(name), _) => name,
        (None, Some(saved_as)) => saved_as.parse().map_err(PushError::BadName)?,
        (None, None) => return Err(PushError::NoName(order.source.to_owned()).into()),
    };
    Ok(send(&edge, &image, &name, ctx).await?)
}

/// The image of a source, with its name. What has to be unpacked or saved goes into the folder.
async fn read(source: &str, temporary: &Path) -> Result<(Image, Option<String>), Error> {
    if Path::new(source).exists() {
        let read = archive::read_named(Path::new(source), temporary, architecture());
        return Ok(read.await?);
    }
    // A name cannot be taken for an option of Docker.
    let reference = source.parse::<Reference>();
    let reference = reference.map_err(|_| PushError::NoSource(source.to_owned()))?;
    let saved = temporary.join("image.tar");
    let name = source.to_owned();
    save(&reference.to_string(), &saved)
        .await
        .map_err(|source| PushError::NotSaved { name, source })?;
    let (image, _) = archive::read_named(&saved, temporary, architecture()).await?;
    Ok((image, Some(reference.name().to_owned())))
}

async fn send(
    edge: &EdgeRegistries,
    image: &Image,
    name: &ImageName,
    ctx: &RunContext<'_>,
) -> Result<PushedImage, PushError> {
    let ImageName { repository, tag } = name;
    let shown = format!("{}/{repository}:{tag}", edge.front);
    let registry = edge.open_front().await?;
    let events = ctx.events.clone();
    let what = format!("push {repository}:{tag}");
    let on_bytes: OnBytes = Arc::new(move |done, total| {
        events.emit(&Event::Progress { what: what.clone(), done, total });
    });
    let told = |error| PushError::Edge(edge.told(error));
    registry.check().await.map_err(told)?;
    if !registry.may_push().await.map_err(told)? {
        return Err(PushError::Denied(edge.login.user.clone()));
    }
    let pushed = registry.push(image, repository, tag, on_bytes).await.map_err(told)?;
    until_everywhere(edge, &image.digest, name, image_size(image), ctx).await?;
    Ok(PushedImage {
        image: shown,
        digest: image.digest.to_string(),
        platform: format!("linux/{}", architecture()),
        sent_bytes: pushed.sent_bytes,
        n_blobs_there: pushed.n_blobs_there,
        hosts: edge.hosts.iter().map(|(host, _)| host.clone()).collect(),
    })
}

fn image_size(image: &Image) -> u64 {
    image.blobs().iter().map(|blob| blob.size).sum()
}

/// Waits until the tag leads to the image on every host that is known.
async fn until_everywhere(
    edge: &EdgeRegistries,
    digest: &Digest,
    name: &ImageName,
    n_bytes: u64,
    ctx: &RunContext<'_>,
) -> Result<(), PushError> {
    let mut registries = Vec::new();
    for (host, at) in &edge.hosts {
        let registry = edge.open(at, &format!("the registry on {host}")).await?;
        registries.push((host, registry));
    }
    let ImageName { repository, tag } = name;
    let image = format!("{repository}:{tag}");
    let gate = format!("all edge hosts have {image}");
    let on_seen = |seen: &str| {
        let (gate, seen) = (gate.clone(), seen.to_owned());
        ctx.events.emit(&Event::Waiting { gate, seen });
    };
    let look = async || -> Result<ControlFlow<(), String>, Infallible> {
        let asked = registries.iter().map(|(host, registry)| async move {
            match registry.manifest(repository, tag).await {
                Ok(Some(there)) if there == digest.as_str() => None,
                Ok(_) => Some(format!("{host} does not have it yet")),
                Err(error) => Some(in_words(&error)),
            }
        });
        let lacking: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        Ok(match lacking.is_empty() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(lacking.join("; ")),
        })
    };
    let waited = COPY + Duration::from_secs(n_bytes / MIN_COPIED_PER_SECOND);
    let Ok(found) = poll(waited, || PAUSE, on_seen, look).await;
    found.map_err(|seen| PushError::Late { image, waited, seen })
}

impl PushedImage {
    /// The sentences for people.
    pub fn show(&self) -> String {
        let Self { image, digest, platform, sent_bytes, n_blobs_there, hosts } = self;
        let sent = match (sent_bytes, n_blobs_there) {
            (0, _) => "all of it was there already".to_owned(),
            (sent, 0) => format!("{} sent", Size::bytes(*sent)),
            (sent, there) => format!(
                "{} sent, {} there already",
                Size::bytes(*sent),
                count(*there, "part")
            ),
        };
        let place = match hosts.is_empty() {
            true => "Other edge hosts copy it within 30 seconds.".to_owned(),
            false => format!("It is on {}.", joined(hosts)),
        };
        format!("{image} is {digest} for {platform}: {sent}.\n{place}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_and_where_it_is_now_is_said() {
        let mut pushed = PushedImage {
            image: "10.0.0.100:5000/app:1".to_owned(),
            digest: "sha256:00".to_owned(),
            platform: "linux/amd64".to_owned(),
            sent_bytes: 2 << 20,
            n_blobs_there: 1,
            hosts: ["edge-1", "edge-2"].map(|host| host.parse().unwrap()).into(),
        };
        assert_eq!(
            pushed.show(),
            "10.0.0.100:5000/app:1 is sha256:00 for linux/amd64: 2MiB sent, 1 part there \
             already.\nIt is on edge-1, edge-2.\n"
        );
        (pushed.sent_bytes, pushed.hosts) = (0, Vec::new());
        assert_eq!(
            pushed.show(),
            "10.0.0.100:5000/app:1 is sha256:00 for linux/amd64: all of it was there already.\n\
             Other edge hosts copy it within 30 seconds.\n"
        );
    }
}
