//! `platform image ls`, `search` and `inspect`: what the registry of a cluster has.

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::RunContext;
use super::columns::{Align, columns};
use super::error::{Error, ExitKind};
use super::image::architecture;
use super::image_name::{BadImageName, ImageName};
use super::target::{EdgeRegistries, EdgeRegistryError};
use crate::api::registry::{Described, Registry, RegistryError};
use crate::event::count;
use crate::inventory::Component;
use crate::unit::Size;

/// How many requests are on their way at once.
const AT_ONCE: usize = 8;
/// The most tags that a message names.
const MOST_TAGS: usize = 20;

/// Which images are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'a> {
    /// Also those that the platform itself runs.
    pub all: bool,
    /// Only those with this text in their names, in small or capital letters.
    pub text: Option<&'a str>,
}

/// Images of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageList {
    /// The registry.
    pub registry: String,
    /// The images, by their names.
    pub images: Vec<ImageRow>,
    /// How many of the platform's own repositories are not shown.
    pub n_hidden: usize,
}

/// An image in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageRow {
    /// Its name, with its tag.
    pub image: String,
    /// The digest of what the name leads to.
    pub digest: String,
    /// The bytes of its layers.
    pub size: u64,
    /// When it was built, as its maker wrote it.
    pub created: Option<String>,
    /// The kinds of machines that it is for.
    pub platforms: Vec<String>,
}

/// What one image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageDetails {
    /// The name under which apps and people pull it.
    pub image: String,
    /// The bytes of its layers.
    pub size: u64,
    /// What the registry tells.
    #[serde(flatten)]
    pub described: Described,
}

/// Why images cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum StoredImagesError {
    /// The name cannot be one.
    #[error(transparent)]
    BadName(#[from] BadImageName),
    /// The registry has no such image.
    #[error("{registry} has no image {name}: {}", tags_of(name, tags))]
    None {
        /// The registry.
        registry: String,
        /// The image.
        name: String,
        /// The tags of its repository.
        tags: Vec<String>,
    },
    /// The registry cannot be asked.
    #[error(transparent)]
    Edge(#[from] EdgeRegistryError),
}

fn tags_of(name: &str, tags: &[String]) -> String {
    let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
    match tags.len() {
        0 => "`platform image ls` shows those that it has".to_owned(),
        n if n > MOST_TAGS => {
            format!("`platform image search {repository}` shows its tags")
        }
        _ => format!("the tags of {repository} are {}", tags.join(", ")),
    }
}

impl StoredImagesError {
    /// The kind of this failure.
    pub(super) fn kind(&self) -> ExitKind {
        match self {
            Self::BadName(_) | Self::None { .. } => ExitKind::Usage,
            Self::Edge(error) => error.kind(),
        }
    }
}

/// Lists the images of the registry that everyone uses.
///
/// # Errors
/// When it is not known where that is, and when the registry cannot be asked.
pub async fn list(
    inventory: Option<&Path>,
    which: Which<'_>,
    ctx: &RunContext<'_>,
) -> Result<ImageList, Error> {
    let edge = EdgeRegistries::find(inventory, ctx).await?;
    let found = async {
        let registry = edge.open_front().await?;
        let listed = rows(&registry, which).await;
        listed.map_err(|error| edge.told(error))
    };
    let (images, n_hidden) = found.await.map_err(StoredImagesError::from)?;
    Ok(ImageList {
        registry: format!("the registry at {}", edge.front),
        images,
        n_hidden,
    })
}

async fn rows(
    registry: &Registry,
    which: Which<'_>,
) -> Result<(Vec<ImageRow>, usize), RegistryError> {
    let all = registry.repositories().await?;
    let wanted: Vec<&String> = all.iter().filter(|name| which.wants(name)).collect();
    let is_hidden = |name: &&String| which.matches(name) && !which.wants(name);
    let n_hidden = all.iter().filter(is_hidden).count();
    let tags = stream::iter(wanted).map(|name| async move {
        let tags = registry.tags(name).await?;
        Ok::<_, RegistryError>(tags.into_iter().map(move |tag| (name, tag)))
    });
    let tags: Vec<_> = tags.buffered(AT_ONCE).try_collect().await?;
    let rows = stream::iter(tags.into_iter().flatten()).map(|(name, tag)| async move {
        let described = registry.describe(name, &tag, architecture()).await?;
        // One that was removed in between is not there.
        Ok::<_, RegistryError>(
            described.map(|it| ImageRow::of(format!("{name}:{tag}"), &it)),
        )
    });
    let rows = rows.buffered(AT_ONCE).try_filter_map(async |row| Ok(row));
    let mut rows: Vec<ImageRow> = rows.try_collect().await?;
    rows.sort_by(|one, other| one.image.cmp(&other.image));
    Ok((rows, n_hidden))
}

/// Shows one image of the registry that everyone uses.
///
/// # Errors
/// As [`list`], and when there is no such image.
pub async fn inspect(
    inventory: Option<&Path>,
    name: &str,
    ctx: &RunContext<'_>,
) -> Result<ImageDetails, Error> {
    let name: ImageName = name.parse().map_err(StoredImagesError::BadName)?;
    let edge = EdgeRegistries::find(inventory, ctx).await?;
    let ImageName { repository, tag } = &name;
    let asked = async {
        let registry = edge.open_front().await?;
        let described = registry.describe(repository, tag, architecture()).await;
        match described.map_err(|error| edge.told(error))? {
            Some(described) => Ok(described),
            None => Err(StoredImagesError::None {
                registry: format!("the registry at {}", edge.front),
                name: name.to_string(),
                tags: registry
                    .tags(repository)
                    .await
                    .map_err(|error| edge.told(error))?,
            }),
        }
    };
    let described = asked.await?;
    let image = format!("{}/{name}", edge.front);
    Ok(ImageDetails { image, size: described.size(), described })
}

impl Which<'_> {
    fn matches(self, repository: &str) -> bool {
        let small = |text: &str| text.to_ascii_lowercase();
        self.text.is_none_or(|text| small(repository).contains(&small(text)))
    }

    fn wants(self, repository: &str) -> bool {
        let is_own = Component::with_images().any(|it| it.as_str() == repository);
        self.matches(repository) && (self.all || !is_own)
    }
}

impl ImageRow {
    fn of(image: String, described: &Described) -> Self {
        Self {
            image,
            digest: described.digest.clone(),
            size: described.size(),
            created: described.created.clone(),
            platforms: described.variants.iter().map(|it| it.platform.clone()).collect(),
        }
    }

    fn cells(&self) -> [String; 5] {
        [
            self.image.clone(),
            Size::bytes(self.size).to_string(),
            minute(self.created.as_deref()),
            self.platforms.join(", "),
            // As much as Docker shows of it.
            self.digest.chars().take("sha256:".len() + 12).collect(),
        ]
    }
}

/// A time to the minute, as far as it can be read.
fn minute(time: Option<&str>) -> String {
    let time = time.and_then(|time| time.parse::<Timestamp>().ok());
    time.map_or_else(
        || "-".to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

impl ImageList {
    /// The list as a table.
    pub fn show(&self) -> String {
        let hidden = match self.n_hidden {
            0 => String::new(),
            n => format!(
                "{} of the platform itself: `--all` shows them.\n",
                count(n, "image")
            ),
        };
        if self.images.is_empty() {
            return format!("There is no such image in {}.\n{hidden}", self.registry);
        }
        let head = [
            ("IMAGE", Align::Left),
            ("SIZE", Align::Right),
            ("CREATED (UTC)", Align::Left),
            ("PLATFORMS", Align::Left),
            ("DIGEST", Align::Left),
        ];
        columns(head, self.images.iter().map(ImageRow::cells)) + &hidden
    }
}

impl ImageDetails {
    /// The image in lines for people.
    pub fn show(&self) -> String {
        let Described { digest, variants, created, layers, runs, labels } =
            &self.described;
        let words = |words: &Option<Vec<String>>| words.as_ref().map(|it| it.join(" "));
        let platforms: Vec<&str> =
            variants.iter().map(|it| it.platform.as_str()).collect();
        let facts = [
            ("image", Some(self.image.clone())),
            ("digest", Some(digest.clone())),
            ("platforms", Some(platforms.join(", "))),
            ("created", created.clone()),
            ("size", Some(Size::bytes(self.size).to_string())),
            ("user", runs.user.clone()),
            ("folder", runs.working_dir.clone()),
            ("entrypoint", words(&runs.entrypoint)),
            ("command", words(&runs.cmd)),
        ];
        let facts = facts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.filter(|it| !it.is_empty())?)));
        let mut text: String =
            facts.map(|(name, value)| format!("{name:<12}{value}\n")).collect();
        for (name, value) in labels {
            text += &format!("{:<12}{name}={value}\n", "label");
        }
        for layer in layers {
            text +=
                &format!("{:<12}{} {}\n", "layer", layer.digest, Size::bytes(layer.size));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_s_own_images_are_shown_only_if_they_are_asked_for() {
        let which = Which::default();
        assert!(which.wants("team/app") && which.wants("team/zookeeper"));
        assert!(!which.wants("zookeeper"));
        assert!(Which { all: true, ..which }.wants("zookeeper"));
        let search = Which { text: Some("ZOO"), ..which };
        assert!(search.wants("team/zookeeper") && !search.wants("team/app"));
        assert!(search.matches("zookeeper"));
    }

    #[test]
    fn a_time_that_cannot_be_read_is_a_dash() {
        assert_eq!(minute(Some("2026-12-01T02:37:40.5Z")), "2026-12-01 02:37");
        assert_eq!(minute(Some("yesterday")), "-");
        assert_eq!(minute(None), "-");
    }
}
