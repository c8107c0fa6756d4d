//! Gets the images of the catalogue's entries: builds folders, reads archives, asks registries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::RunContext;
use super::cluster_files::{ClusterFiles, Images};
use super::error::Error;
use crate::event::{Event, Events, Outcome};
use crate::images::build::BuildError;
use crate::images::pins::{self, Pin, PinError, Pins};
use crate::images::resolved::ResolvedImages;
use crate::images::{Image, archive, build, upstream};
use crate::inventory::catalog::{self, Entry, ImageSource};
use crate::inventory::{CatalogSource, Component};
use crate::progress::StepReport;
use crate::reference::Reference;

/// What a build of images needs.
pub(super) struct BuildContext<'a> {
    events: &'a Events,
    /// Called before each image; fails if the operator wants to stop.
    begin: Begin<'a>,
}

type Begin<'a> = Box<dyn Fn(&str) -> Result<(), Error> + Send + Sync + 'a>;

impl<'a> BuildContext<'a> {
    pub(super) fn of(ctx: &'a RunContext<'_>) -> Self {
        let begin = Box::new(|work: &str| ctx.begin(work));
        Self { events: &ctx.events, begin }
    }
}

/// Asks registries for the digests of the inventory's tags for which no digest is kept yet, and
/// keeps them. Returns one sentence for each new digest.
///
/// # Errors
/// When a registry does not answer, or the file of digests cannot be used.
pub(super) async fn pin_new(
    files: &ClusterFiles,
    images: &Images,
) -> Result<Vec<String>, Error> {
    let references = images.references(&catalog::needed(&files.inventory))?;
    let asked = pins::fill(&images.pins, &references, upstream::settings).await?;
    Ok(asked.iter().map(first_asked).collect())
}

/// Does the same for a verb that changes the cluster, and reports new digests as events.
///
/// # Errors
/// As [`pin_new`], and when there is something wrong with the catalogue.
pub(super) async fn tell_new_pins(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<(), Error> {
    for message in pin_new(files, &files.images()?).await? {
        ctx.events.emit(&Event::Warned { message });
    }
    Ok(())
}

fn first_asked(Pin { reference, digest, .. }: &Pin) -> String {
    format!(
        "{reference} is {digest} from now on: {} keeps it. Commit that file.",
        pins::FILE
    )
}

/// Finds the image of each component; builds a folder if that was not done yet.
///
/// # Errors
/// When an image cannot be built, read or found.
pub(super) async fn resolve(
    images: &Images,
    needed: &[Component],
    build_ctx: &BuildContext<'_>,
) -> Result<ResolvedImages, Error> {
    let pins = pins_of(images, &images.references(needed)?).await?;
    let mut resolved = BTreeMap::new();
    for (component, entry) in &images.catalog.components {
        if needed.contains(component) {
            (build_ctx.begin)(&format!("getting the image of {component}"))?;
            let name = component.to_string();
            let image = one(images, &name, entry, &pins, build_ctx.events).await?;
            resolved.insert(*component, (entry.version.clone(), image));
        }
    }
    Ok(ResolvedImages::new(resolved))
}

async fn one(
    images: &Images,
    name: &str,
    entry: &Entry,
    pins: &Pins,
    events: &Events,
) -> Result<Image, Error> {
    let Images { folder, cache, .. } = images;
    let architecture = architecture();
    Ok(match &entry.source {
        ImageSource::Build(source) => {
            let path = saved(name, &folder.join(source), pins, cache, events).await?;
            archive::read(&path, cache, architecture).await?
        }
        ImageSource::Archive(path) => {
            archive::read(&folder.join(path), cache, architecture).await?
        }
        ImageSource::Upstream(reference) => {
            let reference = pins.pinned(reference);
            let reference = reference.expect("the digests of all tags were asked for");
            upstream::resolve(&reference, cache, architecture, upstream::settings())
                .await?
        }
    })
}

/// The digests of these tags, including those that were not asked for yet.
async fn pins_of(images: &Images, references: &[Reference]) -> Result<Pins, PinError> {
    pins::fill(&images.pins, references, upstream::settings).await?;
    Pins::read(&images.pins)
}

async fn saved(
    name: &str,
    folder: &Path,
    pins: &Pins,
    cache: &Path,
    events: &Events,
) -> Result<PathBuf, BuildError> {
    let step = Building::of(name, events);
    let saved = build::ensure_archive(folder, pins, cache, &|_| step.begin()).await;
    step.end(saved.as_ref().err());
    saved
}

/// The tag of the image that local machines are made from; builds it if that was not done yet.
///
/// # Errors
/// When the catalogue has no such image, or it cannot be built.
pub(super) async fn machine(
    images: &Images,
    build_ctx: &BuildContext<'_>,
) -> Result<String, Error> {
    match images.catalog.machine.as_ref().map(|entry| &entry.source) {
        Some(ImageSource::Build(source)) => {
            (build_ctx.begin)("getting the image of machines")?;
            let step = Building::of("machine", build_ctx.events);
            let folder = images.folder.join(source);
            let pins = pins_of(images, &build::references(&folder)?).await?;
            let built = build::ensure_built(&folder, &pins, &|_| step.begin()).await;
            step.end(built.as_ref().err());
            Ok(built?.tag)
        }
        _ => Err(Error::NoMachineImage(images.name.clone())),
    }
}

/// Builds every folder that a catalogue names, and reads every archive. The cache and the digests
/// are kept in `folder`, as for an inventory in that folder.
///
/// # Errors
/// When an image cannot be built or read.
pub async fn build_all(
    catalog: &CatalogSource,
    folder: &Path,
    events: &Events,
) -> Result<(), Error> {
    let images = Images::read(catalog, folder)?;
    // An interrupt ends the program at once: no other work is unfinished.
    let build_ctx = BuildContext { events, begin: Box::new(|_| Ok(())) };
    if images.catalog.machine.is_some() {
        machine(&images, &build_ctx).await?;
    }
    let all: Vec<Component> = Component::with_images().collect();
    resolve(&images, &all, &build_ctx).await?;
    Ok(())
}

/// Asks registries for the digests of the inventory's tags, and keeps them beside the inventory:
/// for tags without a digest, or for all tags if `anew` is set.
///
/// # Errors
/// When a file cannot be used or a registry does not answer; then nothing is kept.
pub async fn pin_all(files: &ClusterFiles, anew: bool) -> Result<Vec<Pin>, Error> {
    let images = files.images()?;
    let references = images.references(&catalog::needed(&files.inventory))?;
    Ok(match anew {
        true => pins::update(&images.pins, &references, upstream::settings).await?,
        false => pins::fill(&images.pins, &references, upstream::settings).await?,
    })
}

/// The step of building an image: reported only once something has to be built.
struct Building<'a> {
    step: String,
    events: &'a Events,
    begun: OnceLock<StepReport<'a>>,
}

const STAGE: &str = "images";

impl<'a> Building<'a> {
    fn of(name: &str, events: &'a Events) -> Self {
        Self { step: format!("build image {name}"), events, begun: OnceLock::new() }
    }

    /// Reports that it began, at the first line that the build prints.
    fn begin(&self) {
        let begin = || StepReport::begin(self.events, STAGE, None, self.step.clone());
        self.begun.get_or_init(begin);
    }

    fn end(self, error: Option<&BuildError>) {
        if let Some(report) = self.begun.into_inner() {
            report.end(match error {
                None => Outcome::Done,
                Some(error) => Outcome::Failed { reason: error.to_string() },
            });
        }
    }
}

/// The name that images have for this computer's processor.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// The error of a run that begins with an image that cannot be read.
    async fn resolved(stopped: bool) -> Error {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.yaml");
        let text = "components:\n  zookeeper: {version: 3.9.3, archive: x.tar}\n";
        std::fs::write(dir.path().join("x.tar"), b"no archive").unwrap();
        std::fs::write(&path, text).unwrap();
        let images = Images::read(&CatalogSource::File(path), dir.path()).unwrap();
        let ctx = fixture::ctx(stopped);
        let ended = resolve(&images, &Component::ALL, &BuildContext::of(&ctx)).await;
        ended.expect_err("the archive cannot be read")
    }

    #[tokio::test]
    async fn no_image_is_begun_with_once_the_operator_wants_to_stop() {
        let stopped = resolved(true).await;
        assert_eq!(stopped.kind(), super::super::ExitKind::Interrupted);
        assert_eq!(
            stopped.to_string(),
            "stopped before getting the image of zookeeper; that and everything after it was \
             not done"
        );
        assert!(matches!(resolved(false).await, Error::Archive(_)));
    }
}
