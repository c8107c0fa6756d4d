//! A file with a content, an owner and a mode.

use std::fmt;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use similar::TextDiff;

use super::questions::Questions;
use super::system::{self, NETWORK, NOW};
use super::{Action, Change, Facts, HostPath, Key, Unknown};
use crate::secret::{Secret, SecretBytes};

/// The largest file whose text is fetched to show a diff, in bytes.
const SHOWN: usize = 64 * 1024;

/// A file that a host should have.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Its path.
    pub path: HostPath,
    /// Its content.
    pub content: Content,
    /// Its permissions, such as `0o644`.
    pub mode: u32,
    /// Its owner, by name or number.
    pub owner: String,
    /// Its group, by name or number.
    pub group: String,
    /// Whether it belongs to a component's data: it then stays when the component is removed.
    pub data: bool,
}

/// The content of a file. Clones share it and its hash: a large file for a hundred hosts is in
/// memory once, and hashed once.
#[derive(Clone)]
pub enum Content {
    /// Anyone may see it: its diff is shown.
    Open(Arc<Shared>),
    /// Nobody may see it: only its hash is compared.
    Hidden(SecretBytes),
}

/// Bytes, and their hash once it has been computed.
pub struct Shared {
    bytes: Vec<u8>,
    sha256: OnceLock<String>,
}

impl Content {
    /// The bytes, for the hash and for the stream to the host.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Open(shared) => &shared.bytes,
            Self::Hidden(secret) => secret.expose(),
        }
    }

    /// The SHA-256 of the bytes, in hexadecimal.
    pub fn sha256(&self) -> String {
        match self {
            Self::Open(shared) => {
                shared.sha256.get_or_init(|| sha256(&shared.bytes)).clone()
            }
            Self::Hidden(secret) => sha256(secret.expose()),
        }
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

impl PartialEq for Content {
    /// The same bytes, and the same secrecy.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Open(one), Self::Open(other)) => one.bytes == other.bytes,
            (Self::Hidden(one), Self::Hidden(other)) => one == other,
            _ => false,
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Open(Arc::new(Shared { bytes, sha256: OnceLock::new() }))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<Secret> for Content {
    fn from(secret: Secret) -> Self {
        Self::Hidden(secret.into())
    }
}

impl From<SecretBytes> for Content {
    fn from(secret: SecretBytes) -> Self {
        Self::Hidden(secret)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(shared) => write!(f, "{} bytes", shared.bytes.len()),
            Self::Hidden(secret) => secret.fmt(f),
        }
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// Nothing.
    Missing,
    /// A file or a directory.
    Present {
        /// What it is.
        kind: FileKind,
        /// Its permissions.
        mode: u32,
        /// Its owner, by name and by number.
        owner: [String; 2],
        /// Its group, by name and by number.
        group: [String; 2],
        /// For a file, the SHA-256 of its content in hexadecimal.
        sha256: Option<String>,
        /// For a file whose text was asked for and differs, the text.
        text: Option<String>,
    },
}

/// What is at a path, when something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Something else, such as `symbolic link`.
    Other(String),
}

impl File {
    /// A file of the superuser that everyone may read.
    pub fn public(path: HostPath, content: impl Into<Content>) -> Self {
        let root = || "root".to_owned();
        let content = content.into();
        Self { path, content, mode: 0o644, owner: root(), group: root(), data: false }
    }

    /// A file of the superuser that nobody else may read.
    pub fn private(path: HostPath, content: impl Into<Content>) -> Self {
        Self { mode: 0o600, ..Self::public(path, content) }
    }

    /// The same file with another owner and group.
    pub fn owned_by(self, owner: &str, group: &str) -> Self {
        Self { owner: owner.to_owned(), group: group.to_owned(), ..self }
    }

    pub(super) fn ask(&self, questions: &mut Questions) {
        let shown = match &self.content {
            Content::Open(_) => std::str::from_utf8(self.content.bytes()).is_ok(),
            Content::Hidden(_) => false,
        };
        questions.file(&self.path, shown.then(|| self.content.sha256()));
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let change = |verb, reason: String, diff, action| {
            Some(Change { key: Key::File(self.path.clone()), verb, reason, diff, action })
        };
        let write = |reason: &str, before: Option<&str>| {
            let action = Action::WriteFile(self.clone());
            change("write", reason.to_owned(), self.text_diff(before), action)
        };
        Ok(match facts.file(&self.path)? {
            FileState::Missing => write("is missing", Some("")),
            FileState::Present { kind: FileKind::Directory, .. } => {
                write("is a directory", None)
            }
            FileState::Present { kind: FileKind::Other(kind), .. } => {
                write(&format!("is a {kind}"), None)
            }
            FileState::Present { sha256: None, .. } => {
                return Err(Unknown::about(format!("the content of file {}", self.path)));
            }
            FileState::Present { sha256: Some(found), text, .. }
                if *found != self.content.sha256() =>
            {
                write("has other content", text.as_deref())
            }
            FileState::Present { mode, owner, group, .. } => {
                wrong_access((*mode, owner, group), (self.mode, &self.owner, &self.group))
                    .and_then(|reason| {
                        let action = Action::SetFileMode(self.clone());
                        change("set access of", reason, None, action)
                    })
            }
        })
    }

    fn text_diff(&self, before: Option<&str>) -> Option<String> {
        let Content::Open(after) = &self.content else { return None };
        let (before, after) = (before?, std::str::from_utf8(&after.bytes).ok()?);
        // The host sends only the beginning of a file of this length.
        if before.len() >= SHOWN || after.len() > SHOWN {
            return None;
        }
        let path = self.path.as_str();
        let diff = TextDiff::from_lines(before, after);
        Some(diff.unified_diff().context_radius(3).header(path, path).to_string())
    }
}

/// Why a path's mode or owner is not the wanted one; `None` if it is.
pub(super) fn wrong_access(
    found: (u32, &[String; 2], &[String; 2]),
    want: (u32, &str, &str),
) -> Option<String> {
    let (mode, owner, group) = found;
    let mut wrong = Vec::new();
    if mode != want.0 {
        wrong.push(format!("mode is {mode:04o}, not {:04o}", want.0));
    }
    if !owner.iter().any(|name| name == want.1) {
        wrong.push(format!("owner is {}, not {}", owner[0], want.1));
    }
    if !group.iter().any(|name| name == want.2) {
        wrong.push(format!("group is {}, not {}", group[0], want.2));
    }
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// The part of the probe about files and directories, and about the machine's clock and network.
/// `stat` and `sha256sum` run once for all of them. What a service removes meanwhile is missing, so
/// that is asked before and after. The text of a file is sent only if its hash is not the expected
/// one.
pub(super) fn script(questions: &Questions) -> String {
    let files = questions.files();
    let mut expected = String::new();
    for (path, expect) in files {
        if let Some(sha256) = expect {
            let _ = writeln!(expected, "    '{path}') shown=1 expect={sha256} ;;");
        }
    }
    let paths: Vec<String> = files.keys().map(|path| format!("'{path}'")).collect();
    format!(
        r#"set -- {paths}
tell_missing() {{
  for path do
    [ -e "$path" ] || [ -L "$path" ] || printf '{{"q":"missing","path":"%s"}}\n' "$path"
  done
}}
tell_missing "$@"
stat -c '{{"q":"path","path":"%n","kind":"%F","mode":"%a","owner":["%U","%u"],"group":["%G","%g"],"inode":%i,"changed":%Z}}' -- "$@" {NOW} {NETWORK} <{NOW} 2>/dev/null
sums=
[ $# = 0 ] || sums=$(sha256sum -- "$@" 2>/dev/null)
while read -r sum path; do
  [ "$path" ] || continue
  printf '{{"q":"sha256","path":"%s","sha256":"%s"}}\n' "$path" "$sum"
  shown=0 expect=
  case $path in
{expected}  esac
  [ $shown = 1 ] && [ "$sum" != "$expect" ] &&
    printf '{{"q":"text","path":"%s","base64":"%s"}}\n' "$path" "$(head -c {SHOWN} -- "$path" | base64 -w0)"
done <<SUMS
$sums
SUMS
tell_missing "$@"
"#,
        paths = paths.join(" ")
    )
}

/// A path at which there is nothing.
#[derive(Debug, Deserialize)]
pub(super) struct MissingLine {
    path: String,
}

/// What is at a path.
#[derive(Debug, Deserialize)]
pub(super) struct PathLine {
    path: String,
    kind: String,
    mode: String,
    owner: [String; 2],
    group: [String; 2],
    #[serde(default)]
    inode: u64,
    /// In seconds since 1970.
    #[serde(default)]
    changed: f64,
}

/// A file's hash.
#[derive(Debug, Deserialize)]
pub(super) struct HashLine {
    path: String,
    sha256: String,
}

/// A file's text.
#[derive(Debug, Deserialize)]
pub(super) struct TextLine {
    path: String,
    base64: String,
}

impl MissingLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        facts.files.insert(self.path.parse().ok()?, FileState::Missing);
        Some(())
    }
}

impl PathLine {
    /// Adds the line to the facts; `now` is this computer's clock when the host wrote it, in
    /// seconds since 1970.
    pub(super) fn add_to(self, facts: &mut Facts, now: f64) -> Option<()> {
        match self.path.as_str() {
            // The host reports whole seconds: the middle of that second is used.
            system::NOW => facts.system.clock_skew = self.changed + 0.5 - now,
            system::NETWORK => system::add_network(self.inode, facts),
            _ => return self.add_file_to(facts),
        }
        Some(())
    }

    fn add_file_to(self, facts: &mut Facts) -> Option<()> {
        let kind = match self.kind.as_str() {
            "regular file" | "regular empty file" => FileKind::File,
            "directory" => FileKind::Directory,
            _ => FileKind::Other(self.kind),
        };
        let state = FileState::Present {
            kind,
            mode: u32::from_str_radix(&self.mode, 8).ok()?,
            owner: self.owner,
            group: self.group,
            sha256: None,
            text: None,
        };
        facts.files.insert(self.path.parse().ok()?, state);
        Some(())
    }
}

impl HashLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        match facts.files.get_mut(&self.path.parse::<HostPath>().ok()?)? {
            FileState::Present { sha256, .. } => *sha256 = Some(self.sha256),
            FileState::Missing => return None,
        }
        Some(())
    }
}

impl TextLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        let bytes = BASE64_STANDARD.decode(self.base64).ok()?;
        match facts.files.get_mut(&self.path.parse::<HostPath>().ok()?)? {
            FileState::Present { text, .. } => *text = String::from_utf8(bytes).ok(),
            FileState::Missing => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_is_shown_only_of_a_file_that_came_whole() {
        let path: HostPath = "/etc/a".parse().unwrap();
        let file = File::public(path, "new\n".to_owned());
        let whole = "old\n".repeat(SHOWN / 4 - 1);
        assert!(file.text_diff(Some(&whole)).is_some());
        assert_eq!(file.text_diff(Some(&"old\n".repeat(SHOWN / 4))), None);
        assert_eq!(file.text_diff(None), None);
    }
}
