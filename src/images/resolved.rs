//! The images of a run: one for each entry of the catalogue.

use std::collections::BTreeMap;

use super::Image;
use crate::component::ImageFacts;
use crate::inventory::Component;
use crate::inventory::catalog::Catalog;

/// The images of a run.
#[derive(Debug, Default)]
pub struct ResolvedImages(BTreeMap<Component, (String, Image)>);

impl ResolvedImages {
    /// The version and image of each component.
    pub fn new(images: BTreeMap<Component, (String, Image)>) -> Self {
        Self(images)
    }

    /// The version and image of a component.
    pub fn get(&self, component: Component) -> Option<(&str, &Image)> {
        self.0.get(&component).map(|(version, image)| (version.as_str(), image))
    }

    /// The component and image of that id.
    pub fn by_id(&self, id: &str) -> Option<(Component, &Image)> {
        let found = self.0.iter().find(|(_, (_, image))| image.id().as_str() == id);
        found.map(|(component, (_, image))| (*component, image))
    }

    /// The components.
    pub fn components(&self) -> impl Iterator<Item = Component> {
        self.0.keys().copied()
    }

    /// What components need to know about their images, with their needs from the catalogue.
    pub fn facts(&self, catalog: &Catalog) -> BTreeMap<Component, ImageFacts> {
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
