//! What a registry lacks of what others have.

use std::collections::BTreeMap;

use crate::holdings::{Holdings, Tagged};
use crate::names::{Digest, Repository, Tag};

/// An image that is to be copied, or that only lacks tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The image.
    pub image: Image,
    /// Whether the manifest is there already.
    pub is_held: bool,
    /// The tags that have to point to it.
    pub tags: Vec<Retag>,
    /// The others that have it, by their places in the list of all others.
    pub from: Vec<usize>,
}

/// A manifest in a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// The repository.
    pub repository: Repository,
    /// The manifest.
    pub digest: Digest,
}

/// A tag that has to point to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retag {
    /// The tag.
    pub tag: Tag,
    /// The push of the tag.
    pub push: Tagged,
    /// What it points to now.
    pub now: Option<Digest>,
}

/// Everything that a registry lacks. `others` are the registries that told what they have.
pub fn lacking(own: &Holdings, others: &[Option<Holdings>]) -> Vec<Lacking> {
    let mut found: BTreeMap<Image, Lacking> = BTreeMap::new();
    let known = || others.iter().flatten();
    let manifests =
        known().flat_map(|other| &other.0).flat_map(|(repository, images)| {
            let image = |digest: &Digest| Image {
                repository: repository.clone(),
                digest: digest.clone(),
            };
            images.manifests.iter().map(image)
        });
    for image in manifests.filter(|image| !own.has(&image.repository, &image.digest)) {
        found.entry(image.clone()).or_insert_with(|| entry(image, own, others));
    }
    for ((repository, tag), push) in latest(known()) {
        let now = own.tagged(repository, tag);
        if now.is_none_or(|now| now.digest != push.digest && now < push) {
            let (repository, digest) = (repository.clone(), push.digest.clone());
            let image = Image { repository, digest };
            let now = now.map(|now| now.digest.clone());
            let retag = Retag { tag: tag.clone(), push: push.clone(), now };
            let lacking = found.entry(image.clone());
            lacking.or_insert_with(|| entry(image, own, others)).tags.push(retag);
        }
    }
    found.into_values().collect()
}

/// The latest push of each tag.
fn latest<'a>(
    others: impl Iterator<Item = &'a Holdings>,
) -> BTreeMap<(&'a Repository, &'a Tag), &'a Tagged> {
    let mut latest = BTreeMap::new();
    for (repository, tag, push) in others.flat_map(Holdings::tags) {
        let known = latest.entry((repository, tag)).or_insert(push);
        *known = push.max(known);
    }
    latest
}

fn entry(image: Image, own: &Holdings, others: &[Option<Holdings>]) -> Lacking {
    let has_it = |other: &Option<Holdings>| {
        other.as_ref().is_some_and(|other| other.has(&image.repository, &image.digest))
    };
    let from = (0..others.len()).filter(|n| has_it(&others[*n])).collect();
    let is_held = own.has(&image.repository, &image.digest);
    Lacking { image, is_held, tags: Vec::new(), from }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::book::{Book, Writes};
    use crate::holdings::Images;

    fn digest(content: u8) -> Digest {
        Digest::of(&[content])
    }

    fn name(text: &str) -> (Repository, Tag) {
        (text.to_owned().try_into().unwrap(), "1".to_owned().try_into().unwrap())
    }

    /// A registry with one tag of each of these repositories, with its push and its content.
    fn with(tags: &[(&str, u64, u8)]) -> Holdings {
        let mut holdings = Holdings::default();
        for (repository, at, content) in tags {
            let (repository, tag) = name(repository);
            let images = holdings.0.entry(repository).or_default();
            images.manifests.insert(digest(*content));
            images.tags.insert(tag, Tagged { at: *at, digest: digest(*content) });
        }
        holdings
    }

    #[test]
    fn what_others_have_is_lacked_once_with_all_who_have_it() {
        let others = [Some(with(&[("a", 1, 1)])), None, Some(with(&[("a", 1, 1)]))];
        let all = lacking(&Holdings::default(), &others);
        let [one] = &all[..] else { panic!("one: {all:?}") };
        assert_eq!((one.from.as_slice(), one.is_held), ([0, 2].as_slice(), false));
        assert_eq!(one.tags[0].now, None);
        assert_eq!(lacking(&with(&[("a", 1, 1)]), &others), []);
    }

    #[test]
    fn the_later_push_of_a_tag_is_taken_and_the_earlier_one_is_not() {
        let lacked = |own, other| {
            let all = lacking(&with(&[("a", own, 1)]), &[Some(with(&[("a", other, 2)]))]);
            let [one] = &all[..] else { panic!("the manifest in any case: {all:?}") };
            one.tags.len()
        };
        assert_eq!((lacked(10, 11), lacked(11, 10)), (1, 0));
        let by_digest = usize::from(digest(1) < digest(2));
        assert_eq!(lacked(10, 10), by_digest, "the greater digest wins");
        // The same image with a later push needs no copy.
        assert_eq!(lacking(&with(&[("a", 1, 1)]), &[Some(with(&[("a", 9, 1)]))]), []);
    }

    #[test]
    fn a_manifest_without_a_tag_is_lacked_too() {
        let manifests = [digest(7)].into();
        let images = Images { manifests, ..Images::default() };
        let other = Holdings([(name("a").0, images)].into());
        let all = lacking(&with(&[("a", 1, 1)]), &[Some(other)]);
        assert_eq!(all.len(), 1);
        assert_eq!((&all[0].image.digest, all[0].tags.len()), (&digest(7), 0));
    }

    /// A host: its registry as its folder has it, its clock, and its copier.
    #[derive(Default)]
    struct Host {
        folder: Holdings,
        book: Book,
        /// How far its clock is behind.
        behind: u64,
    }

    impl Host {
        fn write(&mut self, now: u64, content: u8) {
            let at = now.saturating_sub(self.behind);
            let images = self.folder.0.entry(name("a").0).or_default();
            images.manifests.insert(digest(content));
            images.tags.insert(name("a").1, Tagged { at, digest: digest(content) });
        }

        fn look(&mut self, writes: &Writes, others: &[Option<Holdings>]) -> Holdings {
            let mut own = self.book.update(self.folder.clone(), writes);
            others.iter().flatten().for_each(|other| self.book.learn(&mut own, other));
            own
        }

        /// Copies what it lacks; returns whether there was anything.
        fn copy(&mut self, now: u64, others: &[Option<Holdings>]) -> bool {
            let own = self.look(&Writes::new(), others);
            let all = lacking(&own, others);
            for one in &all {
                let images = self.folder.0.entry(name("a").0).or_default();
                images.manifests.insert(one.image.digest.clone());
                for Retag { tag, push, .. } in &one.tags {
                    let written = Tagged { at: now - self.behind, ..push.clone() };
                    let images = self.folder.0.entry(name("a").0).or_default();
                    images.tags.insert(tag.clone(), written);
                    let own = (name("a").0, tag.clone());
                    let writes = [(own, vec![push.clone()])].into();
                    self.look(&writes, others);
                }
            }
            !all.is_empty()
        }
    }

    /// What happens: a push to a host, or a look of a host's copier.
    type Action = (bool, usize, u8);

    fn run(behind: [u64; 3], actions: &[Action]) -> [Host; 3] {
        let mut hosts = behind.map(|behind| Host { behind, ..Host::default() });
        let mut now = 1_000;
        for (is_push, host, content) in actions {
            now += 10;
            match is_push {
                true => hosts[*host].write(now, *content),
                false => {
                    one_look(&mut hosts, *host, now);
                }
            }
        }
        // Everyone looks until nobody lacks anything; that ends.
        for round in 0.. {
            assert!(round < 10, "they go back and forth");
            let looks = (0..3).map(|host| one_look(&mut hosts, host, now + 10 * round));
            if !looks.collect::<Vec<_>>().contains(&true) {
                break;
            }
        }
        hosts
    }

    fn one_look(hosts: &mut [Host; 3], host: usize, now: u64) -> bool {
        let others = (0..3).filter(|other| *other != host);
        let others = others.map(|other| Some(hosts[other].look(&Writes::new(), &[])));
        let others: Vec<Option<Holdings>> = others.collect();
        hosts[host].copy(now, &others)
    }

    proptest! {
        #[test]
        fn all_registries_end_with_the_same_whatever_the_clocks_say(
            behind in [0_u64..900, 0_u64..900, 0_u64..900],
            actions in prop::collection::vec((any::<bool>(), 0_usize..3, 0_u8..6), 0..30),
        ) {
            let hosts = run(behind, &actions);
            for host in &hosts[1..] {
                for (repository, tag, tagged) in hosts[0].folder.tags() {
                    let other = host.folder.tagged(repository, tag).unwrap();
                    prop_assert_eq!(&other.digest, &tagged.digest);
                }
                let manifests = |host: &Host| {
                    host.folder.0.values().map(|it| it.manifests.clone()).collect::<Vec<_>>()
                };
                prop_assert_eq!(manifests(host), manifests(&hosts[0]));
            }
        }

        #[test]
        fn a_push_after_all_have_the_one_before_is_never_lost(
            behind in [0_u64..900, 0_u64..900, 0_u64..900],
            pushes in prop::collection::vec((0_usize..3, 0_u8..6), 1..6),
        ) {
            let looks = [0, 1, 2, 0, 1, 2].map(|host| (false, host, 0));
            let actions: Vec<Action> = pushes
                .iter()
                .flat_map(|(host, content)| [vec![(true, *host, *content)], looks.to_vec()])
                .flatten()
                .collect();
            let hosts = run(behind, &actions);
            let last = digest(pushes.last().unwrap().1);
            for host in &hosts {
                let tagged = host.folder.tagged(&name("a").0, &name("a").1).unwrap();
                prop_assert_eq!(&tagged.digest, &last);
            }
        }
    }
}
