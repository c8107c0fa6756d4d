//! Checks the headers of a tar before anything else reads it. Names and extended headers are read
//! into memory as a whole, so one that claims to have gigabytes must be refused first.

use std::io::{self, Read, Seek, SeekFrom};

use tar::{EntryType, Header};

/// The size of a tar's blocks.
const BLOCK: u64 = 512;
/// The longest name or extended header; Linux allows paths of 4 KiB.
const LONGEST: u64 = 64 << 10;
/// The most files. A layer counts as one, whatever is in it.
const MOST: usize = 100_000;

/// Goes through all headers, with a small read for each.
///
/// # Errors
/// When one claims to be too long, there are too many, or the file cannot be read. A file that is
/// not a tar, or ends too early, is left to the next reader.
pub(super) fn check(file: &mut (impl Read + Seek)) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let (mut at, mut n_entries, mut real_size) = (0, 0, None);
    while at + BLOCK <= length {
        file.seek(SeekFrom::Start(at))?;
        let mut header = Header::new_old();
        file.read_exact(header.as_mut_bytes())?;
        let Ok(size) = header.entry_size() else { return Ok(()) };
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        n_entries += 1;
        if n_entries > MOST {
            return Err(io::Error::other(format!("it has more than {MOST} files")));
        }
        let size = match header.entry_type() {
            EntryType::GNULongName | EntryType::GNULongLink => short(size, "a name")?,
            EntryType::XGlobalHeader => short(size, "an extended header")?,
            EntryType::XHeader => {
                let size = short(size, "an extended header")?;
                let mut text = String::new();
                // A header that is not text contains no size.
                let _ = file.take(size).read_to_string(&mut text);
                real_size = size_in(&text);
                size
            }
            _ => real_size.take().unwrap_or(size),
        };
        let blocks = size.div_ceil(BLOCK).saturating_mul(BLOCK);
        at = at.saturating_add(BLOCK).saturating_add(blocks);
    }
    Ok(())
}

fn short(size: u64, what: &str) -> io::Result<u64> {
    match size <= LONGEST {
        true => Ok(size),
        false => Err(io::Error::other(format!("{what} in it has {size} bytes"))),
    }
}

/// The size in an extended header, for a file too large for its normal header: a line
/// `LENGTH size=NUMBER`.
fn size_in(text: &str) -> Option<u64> {
    let mut records = text.lines().filter_map(|line| line.split_once(' '));
    records.find_map(|(_, record)| record.strip_prefix("size=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn entry(kind: EntryType, claimed: u64, content: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(claimed);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn said(tar: Vec<u8>) -> Option<String> {
        check(&mut Cursor::new(tar)).err().map(|error| error.to_string())
    }

    #[test]
    fn names_and_extended_headers_of_gigabytes_are_refused_unread() {
        for kind in [
            EntryType::GNULongName,
            EntryType::GNULongLink,
            EntryType::XHeader,
            EntryType::XGlobalHeader,
        ] {
            let said = said(entry(kind, 4 << 30, b"a")).expect("it is refused");
            assert!(said.contains("4294967296 bytes"), "{said}");
        }
        assert_eq!(said(entry(EntryType::GNULongName, 5, b"a/b/c")), None);
    }

    #[test]
    fn what_follows_a_file_of_an_extended_size_is_looked_at_as_well() {
        let mut tar = entry(EntryType::XHeader, 12, b"12 size=600\n");
        tar.extend(entry(EntryType::Regular, 0, &[1; 600]));
        tar.extend(entry(EntryType::GNULongName, 1 << 30, b""));
        assert!(said(tar).is_some());
    }

    #[test]
    fn too_many_files_are_refused() {
        let tar = entry(EntryType::Regular, 0, b"").repeat(MOST + 1);
        assert_eq!(said(tar), Some("it has more than 100000 files".to_owned()));
    }

    #[test]
    fn what_is_no_tar_is_left_to_who_reads_it() {
        assert_eq!(said(vec![b'x'; 2000]), None);
        assert_eq!(said(Vec::new()), None);
    }
}
