//! An image's file system, unpacked in a folder of its own.
//!
//! For a program that has to outlive its container: what it starts goes on while it is started
//! anew. A folder is whole or is not there: it is unpacked beside its place, and then renamed.
//! Its path holds the image's id, so another version is another folder, and the old one stays
//! as long as anything runs from it.

use serde::Deserialize;

use super::file::{FileKind, FileState};
use super::questions::Questions;
use super::{Action, Change, Facts, HostPath, Key, Owned, Unknown};

/// Where all trees of a host are.
pub(super) const TREES: &str = "/var/lib/platform/trees";

/// The file system of an image that a host should have as a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Its name for people, such as `mesos-agent 1.11.0`.
    pub name: String,
    /// The id of the image, which the host's Docker has by then.
    pub image: String,
    /// The program for whose sake it is there, by the name that the kernel shows. It is
    /// started from another tree before this one goes; what it started may stay longer.
    pub program: String,
}

impl Tree {
    /// Where it is: a place that no other image has.
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

/// The part of the probe that says which programs run from which tree: those whose root is it.
/// The root of a process is known by its inode: its name, as the kernel shows it to others, is
/// the one that it has inside.
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
