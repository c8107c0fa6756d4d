//! An image's file system, unpacked in its own folder.
//!
//! It is for a program that cannot run in a container, because what it starts has to go on while it
//! restarts. A folder is complete or does not exist: it is unpacked under another name, and then
//! renamed. Its path contains the image's id. So another version has another folder, and the old
//! folder stays as long as anything runs from it that may outlive its program.

use serde::Deserialize;

use super::file::{FileKind, FileState};
use super::questions::Questions;
use super::{Action, Change, Facts, HostPath, Image, Key, Owned, Unknown};

/// The folder of all trees of a host.
pub(super) const TREES: &str = "/var/lib/platform/trees";

/// The file system of an image that a host should have as a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Its name for people, such as `mesos-agent 1.11.0`.
    pub name: String,
    /// The id of the image, which the host's Docker already has.
    pub image: String,
    /// The program for which the tree is installed, by its name in the kernel. It is started from
    /// another tree before this one is removed.
    pub program: String,
    /// Whether all that runs from it ends with that program.
    pub ends_together: bool,
}

impl Tree {
    /// The file system of an image, installed for this program and for all that ends with it.
    pub fn of(image: &Image, program: &str) -> Self {
        let (name, image) = (image.name.clone(), image.id.clone());
        Self { name, image, program: program.to_owned(), ends_together: true }
    }

    /// The same for a program that starts what may run longer than itself.
    pub fn outlived(image: &Image, program: &str) -> Self {
        Self { ends_together: false, ..Self::of(image, program) }
    }

    /// Its path, which no other image has.
    pub fn path(&self) -> HostPath {
        let digits = self.image.rsplit(':').next().unwrap_or_default();
        let path = format!("{TREES}/{}-{digits}", self.program);
        path.parse().expect("a program's name and hexadecimal digits are safe in a path")
    }

    pub(super) fn owned(&self) -> Owned {
        Owned::Tree {
            path: self.path(),
            name: self.name.clone(),
            program: self.program.clone(),
            ends_together: self.ends_together,
        }
    }

    pub(super) fn ask(&self, questions: &mut Questions) {
        questions.path(&self.path());
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let path = self.path();
        let reason = match facts.file(&path)? {
            FileState::Present { kind: FileKind::Directory, .. } => return Ok(None),
            FileState::Missing => format!("{} is not on the host as a folder", self.name),
            FileState::Present { .. } => "is not a directory".to_owned(),
        };
        Ok(Some(Change {
            key: Key::Tree(path),
            verb: "unpack",
            reason,
            diff: None,
            action: Action::UnpackTree(self.clone()),
        }))
    }
}

/// The part of the probe that lists which programs run from which tree: those that have it as their
/// root. The root of a process is compared by its inode, because the kernel shows its path only as
/// the process sees it.
pub(super) fn script() -> String {
    format!(
        r#"[ -d {TREES} ] && stat -L -c '%d:%i %n' -- {TREES}/* /proc/[0-9]*/root 2>/dev/null | {{
  trees=
  while read -r inode name; do
    case $name in
      {TREES}/*) trees="$trees $inode=$name" ;;
      *)
        for tree in $trees; do
          [ "${{tree%%=*}}" = "$inode" ] || continue
          program=
          read -r program <"${{name%/root}}/comm" || continue
          case $program in *[!A-Za-z0-9_.-]*) program=other ;; esac
          printf '{{"q":"runs","tree":"%s","program":"%s"}}\n' "${{tree#*=}}" "$program"
        done
        ;;
    esac
  done
}} 2>/dev/null
"#
    )
}

/// A program that runs from a tree.
#[derive(Debug, Deserialize)]
pub(super) struct RunsLine {
    tree: HostPath,
    program: String,
}

impl RunsLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        facts.trees.entry(self.tree).or_default().insert(self.program);
        Some(())
    }
}
