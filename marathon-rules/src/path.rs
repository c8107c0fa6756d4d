//! Where something is in a body. Pure.

use std::fmt;

/// The way from the body to one of its values; shown as Marathon shows it: `/fetch(0)/uri`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Into a member of an object.
    Key(String),
    /// Into an item of a list, from 0.
    Index(usize),
}

impl Path {
    /// The body itself.
    pub const ROOT: Self = Self(Vec::new());

    /// The way through these members.
    pub fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// Further, into a member.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// Further, into an item.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// Further, along another path.
    #[must_use]
    pub fn then(&self, other: &Self) -> Self {
        Self([self.0.as_slice(), &other.0].concat())
    }

    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The names of its first members, up to the first list.
    pub fn keys(&self) -> Vec<&str> {
        fn key(step: &Step) -> Option<&str> {
            match step {
                Step::Key(key) => Some(key),
                Step::Index(_) => None,
            }
        }
        self.0.iter().map_while(key).collect()
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|step| match step {
            Step::Key(key) => write!(f, "/{key}"),
            Step::Index(index) => write!(f, "({index})"),
        })
    }
}

#[test]
fn paths_are_shown_as_marathon_shows_them() {
    let path = Path::of(&["container", "volumes"]).index(0).key("mode");
    assert_eq!(path.to_string(), "/container/volumes(0)/mode");
    assert_eq!(path.keys(), ["container", "volumes"]);
    assert_eq!(Path::ROOT.to_string(), "/");
}
