//! The catalogue: the version of each component, and where its image comes from.
//!
//! [`read`] turns the text of a catalogue into a [`Catalog`], or into all of its faults. Like the
//! reading of the inventory it is pure: it fetches and builds nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::needs::{self, DraftNeeds, Needs, Version};
use super::reader::{Fields, Reader, did_you_mean};
use super::tree::{self, Node};
use super::{Component, Inventory};
use crate::reference::{BadReference, Reference};

/// Where the images of all components come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// The components that the catalogue has.
    pub components: BTreeMap<Component, Entry>,
    /// The image of local machines; `None` in a catalogue for machines that exist.
    pub machine: Option<Entry>,
}

/// One image of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its version, which can be used as an image's tag. If the file sets none for the machine, it
    /// is `dev`, because the image is built from a folder as it is.
    pub version: String,
    /// Where it comes from.
    pub source: ImageSource,
    /// What it needs.
    pub needs: Needs,
    /// Whether this version has been tested with this program. If not, a warning names it.
    pub verified: bool,
}

/// Where an image comes from. Paths are relative to the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A folder to build it from.
    Build(PathBuf),
    /// A docker or OCI archive.
    Archive(PathBuf),
    /// A reference in a registry, by a tag or by a digest: `docker.io/library/x@sha256:…`.
    Upstream(Reference),
}

/// Reads a catalogue from its text. `exists` says whether a folder or archive exists, as in
/// [`super::read`], with paths relative to the catalogue's folder.
///
/// # Errors
/// Every fault of the text, in the order of the file; at least one.
pub fn read(
    text: &str,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Catalog, Vec<Diagnostic>> {
    let tree = tree::parse(text).map_err(|fault| vec![fault])?;
    let mut reader = Reader::new(text, exists);
    tree.faults.into_iter().for_each(|fault| reader.fault(fault));
    let catalog = catalog(&tree.root, &mut reader);
    reader.finish(catalog)
}

/// The components that the inventory's roles need.
pub fn needed(inventory: &Inventory) -> Vec<Component> {
    let groups = || inventory.groups.iter();
    let runs =
        |component: &Component| groups().any(|group| inventory.runs(group, *component));
    Component::with_images().filter(runs).collect()
}

/// The components that the inventory's roles need and the catalogue does not have.
pub fn missing(catalog: &Catalog, inventory: &Inventory) -> Vec<Component> {
    let is_missing = |component: &Component| !catalog.components.contains_key(component);
    needed(inventory).into_iter().filter(is_missing).collect()
}

fn catalog(root: &Node, r: &mut Reader) -> Option<Catalog> {
    if root.is_nothing() {
        let help = "write `components: {…}`";
        return r.refuse(Diagnostic::new(&(0..0), "the catalogue is empty").help(help));
    }
    let fields = r.fields(root, "the catalogue", &["components", "machine"])?;
    let components = fields
        .required("components", "components: {…}", r)
        .and_then(|node| components(node, r));
    let machine = match fields.get("machine") {
        Some(node) => Some(machine(node, r)?),
        None => None,
    };
    Some(Catalog { components: components?, machine })
}

fn components(node: &Node, r: &mut Reader) -> Option<BTreeMap<Component, Entry>> {
    let mut components = BTreeMap::new();
    let mut of_mesos = Vec::new();
    for entry in r.map(node, "the components")? {
        let found = entry_of(&entry.node, &format!("component `{}`", entry.key), r);
        match entry.key.parse::<Component>() {
            Ok(component) if !component.has_image() => {
                let message =
                    format!("`{component}` comes with this program, without an image");
                let help = "remove this component";
                r.fault(Diagnostic::new(&entry.key_span, message).help(help));
            }
            Ok(component) => {
                let Some((found, at)) = found else { continue };
                let from = found.needs.mesos_from.clone();
                of_mesos.extend(from.zip(at).map(|(from, at)| (component, from, at)));
                components.insert(component, found);
            }
            Err(error) => {
                let known: Vec<&str> =
                    Component::with_images().map(Component::as_str).collect();
                let help = did_you_mean(&entry.key, &known);
                r.fault(Diagnostic::new(&entry.key_span, error.to_string()).help(help));
            }
        }
    }
    let masters = components.get(&Component::MesosMaster);
    if let Some(version) = masters.and_then(|entry: &Entry| Version::of(&entry.version)) {
        for (component, from, at) in of_mesos {
            if version < from {
                let (from, version) = (from.text(), version.text());
                let message = format!(
                    "{component} needs Mesos {from} or newer, but `mesos-master` is {version}"
                );
                let help = "use a newer Mesos, or an older version of this component";
                r.fault(Diagnostic::new(&at, message).help(help));
            }
        }
    }
    Some(components)
}

const ENTRY_KEYS: [&str; 6] =
    ["version", "build", "archive", "image", "needs", "verified"];
const MACHINE_KEYS: [&str; 4] = ["version", "build", "archive", "image"];

/// An entry, and the position of the Mesos version that it needs.
fn entry_of(
    node: &Node,
    what: &str,
    r: &mut Reader,
) -> Option<(Entry, Option<Range<usize>>)> {
    let fields = r.fields(node, what, &ENTRY_KEYS)?;
    let version =
        fields.required("version", "version: 3.8.0", r).and_then(|node| version(node, r));
    let source = source(&fields, what, r);
    let (needs, mesos_at): DraftNeeds =
        fields.get("needs").map(|node| needs::needs(node, r)).unwrap_or_default();
    let verified =
        fields.get("verified").is_none_or(|node| r.boolean(node) != Some(false));
    Some((Entry { version: version?, source: source?, needs, verified }, mesos_at))
}

fn machine(node: &Node, r: &mut Reader) -> Option<Entry> {
    let what = "the machine";
    let fields = r.fields(node, what, &MACHINE_KEYS)?;
    let version = match fields.get("version") {
        Some(node) => version(node, r),
        None => Some("dev".to_owned()),
    };
    let source = source(&fields, what, r);
    let needs = Needs::default();
    Some(Entry { version: version?, source: source?, needs, verified: true })
}

fn version(node: &Node, r: &mut Reader) -> Option<String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let fits = |text: &str| {
        text.len() <= 128 && !text.starts_with(['.', '-']) && text.chars().all(inner)
    };
    let rule = "write letters, digits, `.`, `_` and `-`, such as `3.8.0`";
    r.text_that(node, fits, "a version", rule)
}

fn source(fields: &Fields, what: &str, r: &mut Reader) -> Option<ImageSource> {
    let keys = ["build", "archive", "image"];
    let mut given = keys.into_iter().filter_map(|key| Some((key, fields.get(key)?)));
    match (given.next(), given.next()) {
        (Some(("build", node)), None) => r.file(node).map(ImageSource::Build),
        (Some(("archive", node)), None) => r.file(node).map(ImageSource::Archive),
        (Some((_, node)), None) => upstream(node, r).map(ImageSource::Upstream),
        (Some(_), Some((_, second))) => {
            let message = format!("{what} must come from one place");
            let help = "keep one of `build`, `archive` and `image`";
            r.refuse(Diagnostic::new(&second.at, message).help(help))
        }
        (None, _) if keys.iter().any(|key| fields.attempts(key)) => None,
        (None, _) => {
            let message = format!("{what} does not say where its image comes from");
            let help = "write `build: FOLDER`, `archive: FILE` or `image: NAME:TAG`";
            r.refuse(Diagnostic::new(fields.at(), message).help(help))
        }
    }
}

fn upstream(node: &Node, r: &mut Reader) -> Option<Reference> {
    let fault = match r.text(node)?.parse() {
        Ok(reference) => return Some(reference),
        Err(BadReference::Digest(_)) => Diagnostic::new(
            &node.span,
            "the digest is not `sha256:` and 64 hexadecimal digits",
        )
        .help("copy the whole digest from the registry"),
        Err(bad @ BadReference::Name(_)) => Diagnostic::new(&node.span, bad.to_string())
            .help("write one such as `docker.io/library/zookeeper:3.8`"),
    };
    r.refuse(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(text: &str) -> Catalog {
        read(text, &|_| true).unwrap()
    }

    fn inventory(roles: &str) -> Inventory {
        let text = format!(
            "cluster: x\nprovider: {{local: {{}}}}\ngroups: {{a: {{roles: {roles}, count: 1}}}}"
        );
        super::super::read(&text, &|_| true).unwrap()
    }

    #[test]
    fn what_roles_need_and_the_catalogue_lacks_is_found() {
        let only_registry =
            catalog("components: {registry: {version: 2.8.2, build: registry}}");
        let none = catalog("components: {}");
        let all = [Component::Registry, Component::Zookeeper];
        assert_eq!(missing(&none, &inventory("[control, edge]")), all);
        assert_eq!(missing(&only_registry, &inventory("[zookeeper, edge]")), all[1..]);
        assert_eq!(missing(&only_registry, &inventory("[edge]")), []);
        // keepalived is needed only for a virtual IP.
        let of_mesos = Component::with_images();
        let of_mesos: Vec<Component> =
            of_mesos.filter(|component| *component != Component::Keepalived).collect();
        assert_eq!(missing(&none, &inventory("[control, agent, edge]")), of_mesos);
        assert_eq!(missing(&none, &inventory("[base]")), []);
    }
}
