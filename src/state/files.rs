//! Files of the state folder. A file is complete or does not exist, and only its owner may read it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Why a file of the state folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The folder belongs to another user, who can read and replace everything in it.
    #[error(
        "refused: {} belongs to {owner}, but this command runs as {me}: {owner} could read and \
         replace the cluster's secrets; run the command as {owner}, or, if you trust the files \
         there, take the folder over with `chown -R {me} {}`",
        path.display(),
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The user that owns it.
        owner: String,
        /// The user that runs this program.
        me: String,
    },
}

impl StateError {
    /// Adds to an error of the system what was tried, and where.
    pub(super) fn of<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::System { action, path: path.to_owned(), source }
    }
}

/// Checks that a folder belongs to this user, if it exists.
pub(super) fn check_owner(path: &Path, me: u32) -> Result<(), StateError> {
    let owner = match std::fs::metadata(path) {
        Ok(found) => found.uid(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StateError::of("look at", path)(error)),
    };
    if owner == me {
        return Ok(());
    }
    let (path, owner, me) = (path.to_owned(), user_name(owner), user_name(me));
    Err(StateError::Foreign { path, owner, me })
}

/// A user's name in `/etc/passwd`, or else its number.
pub(super) fn user_name(uid: u32) -> String {
    let uid = uid.to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

/// Makes a folder that only its owner may enter, and the folders above it.
pub(super) fn make_folder(path: &Path) -> Result<(), StateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(StateError::of("make the folder", path))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
        .map_err(StateError::of("protect the folder", path))
}

/// The content of a file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::of("read", path)(error)),
    }
}

/// Replaces a file as a whole: after a crash it is either the old one or the new one.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let finish = || {
        let file = beside(path, bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        sync_folder(path)
    };
    finish().map_err(StateError::of("write", path))
}

/// Gives a file another name; if there is a file of that name, it is replaced.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StateError> {
    let renamed = std::fs::rename(from, to).and_then(|()| sync_folder(to));
    renamed.map_err(StateError::of("rename", from))
}

/// The names of the files in a folder, in order; none if there is no folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, StateError> {
    let read = || -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(folder)?;
        let name = |entry: io::Result<std::fs::DirEntry>| {
            Ok(entry?.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect()
    };
    let mut names = read().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => Err(StateError::of("list", folder)(error)),
    })?;
    names.sort();
    Ok(names)
}

/// Removes a file for good. Repeated, it changes nothing.
pub(super) fn remove(path: &Path) -> Result<(), StateError> {
    let gone = match std::fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    gone.map_err(StateError::of("remove", path))
}

/// The content of a file that is made once and then stays. If two runs make it at the same time,
/// both get what the first one wrote.
pub(super) fn keep(
    path: &Path,
    make: impl FnOnce() -> Vec<u8>,
) -> Result<Vec<u8>, StateError> {
    if let Some(bytes) = read(path)? {
        return Ok(bytes);
    }
    let finish = || {
        let file = beside(path, &make())?;
        match file.persist_noclobber(path) {
            Ok(_) => sync_folder(path),
            Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(failed) => Err(failed.error),
        }
    };
    finish().map_err(StateError::of("write", path))?;
    std::fs::read(path).map_err(StateError::of("read", path))
}

/// Makes a file name from any text: different texts give different names, and no name leads out
/// of the folder.
pub(super) fn name_for(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let encode = |b: u8| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02x}"),
    };
    text.bytes().map(encode).collect()
}

/// Makes a new file in the same folder, with mode 0600 from the start, and syncs it to the disk.
fn beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Syncs the folder of a file: only then does a rename outlast a crash.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Adds a line to a file and syncs it to disk; the line is written whole, even if other processes
/// add lines. Makes the file and its folder if they are missing.
pub(super) fn append(path: &Path, line: &str) -> Result<(), StateError> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let add = || {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).mode(0o600).open(path)?;
        // If a killed run left a line without a newline, this line must still be separate.
        let text = match ends_with_newline(&mut file)? {
            true => line.to_owned(),
            false => format!("\n{line}"),
        };
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    add().map_err(StateError::of("write", path))
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_another_user_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let me = dir.path().metadata().unwrap().uid();
        check_owner(dir.path(), me).unwrap();
        check_owner(&dir.path().join("not there"), me).unwrap();
        let error = check_owner(dir.path(), me + 54321).unwrap_err().to_string();
        let (path, owner) = (dir.path().display(), user_name(me));
        let other = me + 54321;
        for part in [
            format!("{path} belongs to {owner}, but this command runs as {other}"),
            format!("`chown -R {other} {path}`"),
        ] {
            assert!(error.contains(&part), "{part}: {error}");
        }
    }

    #[test]
    fn what_is_kept_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        assert_eq!(keep(&path, || b"first".to_vec()).unwrap(), b"first");
        assert_eq!(keep(&path, || b"second".to_vec()).unwrap(), b"first");
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn of_many_makers_at_once_all_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        let make = |n: u8| keep(&path, || vec![n; 8]).unwrap();
        let make = &make;
        let all: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|n| scope.spawn(move || make(n))).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| one == &all[0]), "{all:?}");
    }

    #[test]
    fn a_written_file_is_whole_private_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(b"new".as_slice()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_name_leaves_the_folder_or_meets_another() {
        assert_eq!(name_for("ops-1"), "ops-1");
        assert_eq!(name_for("../../etc"), "%2e%2e%2f%2e%2e%2fetc");
        assert_ne!(name_for("a/b"), name_for("a%2fb"));
    }
}
