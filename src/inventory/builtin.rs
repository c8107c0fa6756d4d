//! Which catalogue of images an inventory uses: one that comes with the program, or a file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::diagnostic::Diagnostic;
use super::reader::{Reader, did_you_mean};
use super::tree::Node;

/// Where a catalogue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogSource {
    /// It comes with the program.
    BuiltIn(BuiltIn),
    /// A file, relative to the inventory.
    File(PathBuf),
}

/// A catalogue that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// Apache Mesos with Marathon and Chronos.
    Mesos,
    /// clusterd, the fork of Mesos, with Marathon and Chronos.
    Clusterd,
    /// Only the registry and ZooKeeper.
    Base,
}

/// A name that no built-in catalogue has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no built-in catalogue `{0}`")]
pub struct UnknownCatalog(String);

impl BuiltIn {
    /// All built-in catalogues.
    pub const ALL: [Self; 3] = [Self::Mesos, Self::Clusterd, Self::Base];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mesos => "mesos",
            Self::Clusterd => "clusterd",
            Self::Base => "base",
        }
    }

    /// The catalogue for a cluster whose inventory does not name one.
    pub(super) const fn usual(has_mesos: bool) -> Self {
        if has_mesos { Self::Mesos } else { Self::Base }
    }
}

impl FromStr for BuiltIn {
    type Err = UnknownCatalog;

    fn from_str(text: &str) -> Result<Self, UnknownCatalog> {
        let found = Self::ALL.into_iter().find(|catalog| catalog.as_str() == text);
        found.ok_or_else(|| UnknownCatalog(text.to_owned()))
    }
}

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A file with the name of a built-in catalogue can be written as `./mesos`.
impl From<&str> for CatalogSource {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::File(PathBuf::from(text)), Self::BuiltIn)
    }
}

/// Reads which catalogue is used.
pub(super) fn catalog_source(node: &Node, r: &mut Reader) -> Option<CatalogSource> {
    let text = r.text(node)?;
    match CatalogSource::from(text) {
        CatalogSource::File(path) if !text.contains(['/', '.']) && !r.exists(&path) => {
            let message = UnknownCatalog(text.to_owned()).to_string();
            let help = did_you_mean(text, &BuiltIn::ALL.map(BuiltIn::as_str));
            let help = format!("{help}; or write the path of a catalogue of your own");
            r.refuse(Diagnostic::new(&node.span, message).help(help))
        }
        CatalogSource::File(_) => r.file(node).map(CatalogSource::File),
        built_in => Some(built_in),
    }
}
