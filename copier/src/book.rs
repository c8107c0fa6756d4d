//! When each tag of a registry was pushed.
//!
//! The rule: of two pushes of one tag, the later one wins. A registry knows only when a tag was
//! written, and it was perhaps written by the copier. So the copier keeps, for each tag, when its
//! push was, on whatever host. What changed and was not changed by the copier is a push. A push is
//! always later than the one that it replaced, whatever the clocks of the hosts say. Among pushes of
//! the same time, the greater digest wins.
//!
//! Copiers take what is greater from each other and nothing else, so all end with the same, and none
//! goes back. Only two pushes of the same tag to two registries within a few seconds depend on the
//! clocks, and so do tags that differed before there were copiers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::holdings::{Holdings, Tagged};
use crate::names::{Repository, Tag};

/// The tags that the copier is about to write, with their pushes.
pub type Writes = BTreeMap<(Repository, Tag), Vec<Tagged>>;

/// When each tag was pushed.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Book(BTreeMap<Repository, BTreeMap<Tag, Entry>>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// When the tag was written here, by the clock of this host.
    written: u64,
    /// The push.
    #[serde(flatten)]
    push: Tagged,
}

impl Book {
    /// Takes in what was read from the folder of the registry, and tells it with the times of
    /// pushes. What is not there now is not forgotten: a tag that is being written is not read either.
    pub fn update(&mut self, mut read: Holdings, writes: &Writes) -> Holdings {
        for (repository, images) in &mut read.0 {
            for (tag, tagged) in &mut images.tags {
                let own = writes.get(&(repository.clone(), tag.clone()));
                let own = own.into_iter().flatten();
                let own = own.filter(|own| own.digest == tagged.digest).max();
                let known = self.0.entry(repository.clone()).or_default();
                let entry = entry(tagged, known.remove(tag), own);
                *tagged = entry.push.clone();
                known.insert(tag.clone(), entry);
            }
        }
        read
    }

    /// Takes in when others say that the same pushes were.
    pub fn learn(&mut self, own: &mut Holdings, other: &Holdings) {
        for (repository, tag, theirs) in other.tags() {
            let entry = self.0.get_mut(repository).and_then(|tags| tags.get_mut(tag));
            let images = own.0.get_mut(repository);
            let ours = images.and_then(|images| images.tags.get_mut(tag));
            if let (Some(entry), Some(ours)) = (entry, ours)
                && ours.digest == theirs.digest
                && ours.at < theirs.at
            {
                (entry.push.at, ours.at) = (theirs.at, theirs.at);
            }
        }
    }

    /// Reads a book that was kept; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Keeps it. A killed program leaves the old one or the new one.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(self.json().as_bytes())?;
        file.as_file().sync_data()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Its text in the file.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("names and numbers are JSON")
    }
}

/// The entry of a tag, after what it was before, and the push if the copier itself wrote it.
fn entry(read: &Tagged, known: Option<Entry>, own: Option<&Tagged>) -> Entry {
    let written = read.at;
    if let Some(own) = own {
        return Entry { written, push: own.clone() };
    }
    match known {
        Some(known) if known.written == written && known.push.digest == read.digest => {
            known
        }
        Some(known) => {
            let at = written.max(known.push.at.saturating_add(1));
            Entry { written, push: Tagged { at, digest: read.digest.clone() } }
        }
        None => Entry { written, push: read.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holdings::Images;
    use crate::names::Digest;

    /// A registry with one tag that was written at this time.
    fn with(at: u64, content: &str) -> Holdings {
        let tagged = Tagged { at, digest: Digest::of(content.as_bytes()) };
        let manifests = [tagged.digest.clone()].into();
        let tags = [(tag(), tagged)].into();
        Holdings([(repository(), Images { manifests, tags })].into())
    }

    fn repository() -> Repository {
        "team/app".to_owned().try_into().unwrap()
    }

    fn tag() -> Tag {
        "1".to_owned().try_into().unwrap()
    }

    fn at(holdings: &Holdings) -> u64 {
        holdings.tagged(&repository(), &tag()).unwrap().at
    }

    #[test]
    fn a_tag_that_the_copier_wrote_keeps_the_time_of_its_push() {
        let mut book = Book::default();
        let push = Tagged { at: 10, digest: Digest::of(b"new") };
        let writes = [((repository(), tag()), vec![push])].into();
        assert_eq!(at(&book.update(with(5, "old"), &writes)), 5);
        assert_eq!(at(&book.update(with(12, "new"), &writes)), 10);
        assert_eq!(at(&book.update(with(12, "new"), &Writes::new())), 10);
        assert_eq!(at(&book.update(with(13, "new"), &Writes::new())), 13, "a push again");
    }

    #[test]
    fn a_push_is_later_than_what_it_replaced_even_if_the_clock_is_behind() {
        let mut book = Book::default();
        book.update(with(100, "old"), &Writes::new());
        assert_eq!(at(&book.update(with(40, "new"), &Writes::new())), 101);
    }

    #[test]
    fn the_same_image_was_pushed_when_it_was_pushed_last() {
        let mut book = Book::default();
        let mut own = book.update(with(10, "same"), &Writes::new());
        book.learn(&mut own, &with(30, "same"));
        assert_eq!(at(&own), 30);
        assert_eq!(at(&book.update(with(10, "same"), &Writes::new())), 30);
        book.learn(&mut own, &with(40, "other"));
        assert_eq!(at(&own), 30);
    }

    #[test]
    fn what_is_not_there_for_a_moment_is_known_and_all_is_kept_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.json");
        let mut book = Book::read(&path).unwrap();
        book.update(with(100, "old"), &Writes::new());
        book.write(&path).unwrap();
        let mut book = Book::read(&path).unwrap();
        book.update(Holdings::default(), &Writes::new());
        assert_eq!(at(&book.update(with(40, "new"), &Writes::new())), 101);
    }
}
