//! The resources of a component that a unit runs, in a container or from its image's file system, in
//! the order in which they are applied.

use super::{Stage, Wants, path};
use crate::resource::{Directory, File, Image, Resource, Tree, Unit};

/// A component in a container that a unit runs.
pub(super) struct Service {
    /// The directory of its data, if it keeps any.
    pub(super) data: Option<Directory>,
    /// Its image.
    pub(super) image: Image,
    /// Its files. When one changes, the unit is restarted.
    pub(super) files: Vec<File>,
    /// The files that it also reads when it reloads. When one changes, the unit is reloaded.
    pub(super) reloaded: Vec<File>,
    /// The name of the unit.
    pub(super) unit: &'static str,
    /// The text of the unit's file.
    pub(super) text: String,
    /// Files for which the unit is not restarted: it notices their changes by itself, or only its
    /// next start looks for them.
    pub(super) others: Vec<File>,
}

impl Service {
    /// All of its resources, in this stage.
    pub(super) fn wants(self, stage: Stage) -> Wants {
        let data = self.data.map(Resource::Directory).into_iter();
        data.chain([Resource::Image(self.image)])
            .chain(run_by(self.unit, self.text, self.files, self.reloaded, self.others))
            .map(|resource| (stage, resource))
            .collect()
    }
}

/// A component that its unit runs directly, from its image's file system.
pub(super) struct Native {
    /// Its image.
    pub(super) image: Image,
    /// The image's file system on the host.
    pub(super) tree: Tree,
    /// The files that it reads when it starts. When one changes, the unit is restarted.
    pub(super) files: Vec<File>,
    /// The files that it also reads when it reloads. When one changes, the unit is reloaded.
    pub(super) reloaded: Vec<File>,
    /// The name of the unit.
    pub(super) unit: &'static str,
    /// The text of the unit's file.
    pub(super) text: String,
}

impl Native {
    /// All of its resources, in this stage.
    pub(super) fn wants(self, stage: Stage) -> Wants {
        [Resource::Image(self.image), Resource::Tree(self.tree)]
            .into_iter()
            .chain(run_by(self.unit, self.text, self.files, self.reloaded, Vec::new()))
            .map(|resource| (stage, resource))
            .collect()
    }
}

/// All resources, in this stage, of a program that travels inside this one and that its unit runs
/// directly. When one of its files changes, the unit is restarted.
pub(super) fn program(
    stage: Stage,
    unit: &'static str,
    text: String,
    files: Vec<File>,
) -> Wants {
    let resources = run_by(unit, text, files, Vec::new(), Vec::new());
    resources.map(|resource| (stage, resource)).collect()
}

/// A unit with the files for which it is restarted, those for which it is reloaded, and others for
/// which it is neither.
fn run_by(
    unit: &'static str,
    text: String,
    files: Vec<File>,
    reloaded: Vec<File>,
    others: Vec<File>,
) -> impl Iterator<Item = Resource> {
    let file = unit_file(unit, text);
    let unit = Unit::named(unit)
        .started_with(files.iter().chain([&file]))
        .reloaded_with(&reloaded);
    let drop_in = unit.drop_in();
    let files = files.into_iter().chain(reloaded).chain([file]).chain(others);
    files.chain(drop_in).map(Resource::File).chain([Resource::Unit(unit)])
}

/// The file of a unit of this program.
pub(super) fn unit_file(name: &str, text: String) -> File {
    File::public(path(&format!("/etc/systemd/system/{name}")), text)
}
