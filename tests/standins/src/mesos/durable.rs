//! Files that outlive a crash.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file so that a crash leaves the old or the new one, whole.
///
/// # Errors
/// When the disk fails; then the old file is still there.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
