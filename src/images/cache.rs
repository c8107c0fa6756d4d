//! The cache folder: files that can be made again. A file is complete or does not exist.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;
use tokio_util::bytes::Bytes;

use crate::digest::Digest;

/// The content that is kept for a digest; a damaged file counts as missing.
pub(super) fn content(digest: &Digest, cache: &Path) -> Option<Bytes> {
    let bytes = std::fs::read(cache.join(digest.hex())).ok()?;
    (Digest::of(&bytes) == *digest).then(|| bytes.into())
}

/// Writes a complete file, and the folders above it.
pub(super) fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    keep_with(path, |file| file.write_all(bytes))
}

/// Writes a complete file with `fill`. If that fails, the file stays as it was before.
pub(super) fn keep_with(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    fill(file.as_file_mut())?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the files of the folder for whose names `is_old` is true.
pub(super) fn remove(cache: &Path, is_old: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in std::fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&is_old) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
