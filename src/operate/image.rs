//! Makes the catalogue's entries concrete: builds folders, reads archives, asks registries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use super::Ambient;
use super::lab::{self, Images};
use super::trouble::Trouble;
use crate::component::ImageFacts;
use crate::event::{Event, Events, Outcome};
use crate::images::build::BuildError;
use crate::images::{Image, archive, build, upstream};
use crate::inventory::catalog::{Catalog, Component, Entry, ImageSource};
use crate::inventory::pin::{self, Loose};

/// The images of a run.
pub(super) struct Resolved(BTreeMap<Component, (String, Image)>);

impl Resolved {
    /// The version and image of a component.
    pub(super) fn get(&self, component: Component) -> Option<(&str, &Image)> {
        self.0.get(&component).map(|(version, image)| (version.as_str(), image))
    }

    /// The component and image of that id.
    pub(super) fn by_id(&self, id: &str) -> Option<(Component, &Image)> {
        let found = self.0.iter().find(|(_, (_, image))| image.id().as_str() == id);
        found.map(|(component, (_, image))| (*component, image))
    }

    /// The components.
    pub(super) fn components(&self) -> impl Iterator<Item = Component> {
        self.0.keys().copied()
    }

    /// What components need to know of them; the catalogue says what they need themselves.
    pub(super) fn facts(&self, catalog: &Catalog) -> BTreeMap<Component, ImageFacts> {
        let facts = |(component, (version, image)): (&Component, &(String, Image))| {
            let entry = catalog.components.get(component);
            let facts = ImageFacts {
                version: version.clone(),
                id: image.id().as_str().to_owned(),
                digest: image.digest.as_str().to_owned(),
                needs: entry.map(|entry| entry.needs.clone()).unwrap_or_default(),
            };
            (*component, facts)
        };
        self.0.iter().map(facts).collect()
    }
}

/// What images are made at.
pub(super) struct Bench<'a> {
    events: &'a Events,
    /// Asked before each image whether the operator wants it still.
    begin: Begin<'a>,
}

type Begin<'a> = Box<dyn Fn(&str) -> Result<(), Trouble> + Send + Sync + 'a>;

impl<'a> Bench<'a> {
    pub(super) fn of(ambient: &'a Ambient<'_>) -> Self {
        let begin = Box::new(|work: &str| ambient.begin(work));
        Self { events: &ambient.events, begin }
    }
}

/// Finds the image of each component; a folder is built where it was not yet.
///
/// # Errors
/// When an image cannot be built, read or found.
pub(super) async fn resolve(
    images: &Images,
    needed: &[Component],
    bench: &Bench<'_>,
) -> Result<Resolved, Trouble> {
    let mut resolved = BTreeMap::new();
    for (component, entry) in &images.catalog.components {
        if needed.contains(component) {
            (bench.begin)(&format!("getting the image of {component}"))?;
            let name = component.to_string();
            let image = one(images, &name, entry, bench.events).await?;
            resolved.insert(*component, (entry.version.clone(), image));
        }
    }
    Ok(Resolved(resolved))
}

async fn one(
    images: &Images,
    name: &str,
    entry: &Entry,
    events: &Events,
) -> Result<Image, Trouble> {
    let (folder, cache) = (images.folder(), images.cache());
    let architecture = architecture();
    Ok(match &entry.source {
        ImageSource::Build(source) => {
            let path = saved(name, &folder.join(source), &cache, events).await?;
            archive::read(&path, &cache, architecture).await?
        }
        ImageSource::Archive(path) => {
            archive::read(&folder.join(path), &cache, architecture).await?
        }
        ImageSource::Upstream(reference) => {
            upstream::resolve(reference, &cache, architecture, upstream::settings())
                .await?
        }
    })
}

async fn saved(
    name: &str,
    folder: &Path,
    cache: &Path,
    events: &Events,
) -> Result<PathBuf, BuildError> {
    let step = Building::of(name, events);
    let saved = build::ensure_archive(folder, cache, &|_| step.begin()).await;
    step.end(saved.as_ref().err());
    saved
}

/// The tag of the image that local machines are made from; it is built where it was not yet.
///
/// # Errors
/// When the catalogue has none or it cannot be built.
pub(super) async fn machine(
    images: &Images,
    bench: &Bench<'_>,
) -> Result<String, Trouble> {
    match images.catalog.machine.as_ref().map(|entry| &entry.source) {
        Some(ImageSource::Build(source)) => {
            (bench.begin)("getting the image of machines")?;
            let step = Building::of("machine", bench.events);
            let folder = images.folder().join(source);
            let built = build::ensure_built(&folder, &|_| step.begin()).await;
            step.end(built.as_ref().err());
            Ok(built?.tag)
        }
        _ => Err(Trouble::NoMachineImage(images.path.clone())),
    }
}

/// Builds every folder that a catalogue names, and reads every archive.
///
/// # Errors
/// When one cannot be built or read.
pub async fn build_all(catalog: &Path, events: &Events) -> Result<(), Trouble> {
    let images = Images::read(catalog)?;
    // Whoever interrupts this ends the program: there is nothing else under way.
    let bench = Bench { events, begin: Box::new(|_| Ok(())) };
    if images.catalog.machine.is_some() {
        machine(&images, &bench).await?;
    }
    resolve(&images, &Component::ALL, &bench).await?;
    Ok(())
}

/// Asks registries for the digests of a catalogue's references that have none, and writes them
/// there: what was pinned, in the order of the file. All of them or none.
///
/// # Errors
/// When the catalogue has other faults, a registry does not answer, or the file cannot be
/// written.
pub async fn pin_all(catalog: &Path) -> Result<Vec<String>, Trouble> {
    let (text, loose) = Images::loose(catalog)?;
    let mut digests = Vec::new();
    for loose in loose {
        let digest = upstream::digest_of(&loose.reference, upstream::settings()).await?;
        digests.push((loose, digest.to_string()));
    }
    if !digests.is_empty() {
        lab::rewrite(catalog, &pin::pinned(&text, &digests))?;
    }
    let written =
        |(loose, digest): (Loose, String)| format!("{}@{digest}", loose.reference);
    Ok(digests.into_iter().map(written).collect())
}

/// The step of building an image: told only once something has to be built.
struct Building<'a> {
    step: String,
    events: &'a Events,
    begun: OnceLock<Instant>,
}

const STAGE: &str = "images";

impl<'a> Building<'a> {
    fn of(name: &str, events: &'a Events) -> Self {
        Self { step: format!("build image {name}"), events, begun: OnceLock::new() }
    }

    /// Tells that it began, at the first line that the build says.
    fn begin(&self) {
        self.begun.get_or_init(|| {
            let (stage, step) = (STAGE.to_owned(), self.step.clone());
            self.events.emit(&Event::StepStarted { stage, host: None, step });
            Instant::now()
        });
    }

    fn end(&self, error: Option<&BuildError>) {
        let Some(begun) = self.begun.get() else { return };
        let outcome = match error {
            None => Outcome::Done,
            Some(error) => Outcome::Failed { reason: error.to_string() },
        };
        self.events.emit(&Event::StepFinished {
            stage: STAGE.to_owned(),
            host: None,
            step: self.step.clone(),
            took: begun.elapsed(),
            outcome,
        });
    }
}

/// The name that images have for this computer's processor.
fn architecture() -> &'static str {
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

    /// Begins with an image that cannot be read: how it ended.
    async fn resolved(stopped: bool) -> Trouble {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.yaml");
        let text = "components:\n  zookeeper: {version: 3.9.3, archive: x.tar}\n";
        std::fs::write(dir.path().join("x.tar"), b"no archive").unwrap();
        std::fs::write(&path, text).unwrap();
        let images = Images::read(&path).unwrap();
        let ambient = fixture::ambient(stopped);
        let ended = resolve(&images, &Component::ALL, &Bench::of(&ambient)).await;
        ended.err().expect("the archive is none")
    }

    #[tokio::test]
    async fn no_image_is_begun_with_once_the_operator_wants_to_stop() {
        let stopped = resolved(true).await;
        assert_eq!(stopped.kind(), super::super::Kind::Interrupted);
        assert_eq!(
            stopped.to_string(),
            "stopped before getting the image of zookeeper, which is left with all that comes \
             after it"
        );
        assert!(matches!(resolved(false).await, Trouble::Archive(_)));
    }
}
