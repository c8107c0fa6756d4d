//! Adds machines to a group, and changes users, in the inventory's own text. Comments, anchors,
//! quotes and layout stay as they are; only the bytes that have to change do.
//!
//! The result of an edit is decided first, on the [`Inventory`]. The text is then changed, read
//! again, and used only if it means exactly that. So no text, however odd, can become anything
//! else than was asked for: at worst the edit is refused, with the reason.

mod host;
mod list;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod users;

use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use similar::TextDiff;

use super::diagnostic::{Diagnostic, line_of};
use super::reader::{did_you_mean, spoken};
use super::tree::{self, Node, Value};
use super::{GivenHost, Group, Inventory, Members, Role, read};

pub use users::{NoUser, UserEdit, change_users, user};

/// The machines that are added to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addition {
    /// This number of machines, which the provider makes; at least one.
    Machines(u16),
    /// Machines that exist; at least one.
    Hosts(Vec<GivenHost>),
}

/// An inventory that was edited, and its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// The text.
    pub text: String,
    /// The inventory that it means.
    pub inventory: Inventory,
}

/// Why a text cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The text, or the one that it would become, has faults.
    #[error("the inventory would have faults")]
    Faults {
        /// The text that has them.
        text: String,
        /// The faults, in the order of the text.
        faults: Vec<Diagnostic>,
    },
    /// An address that the text already has.
    #[error(
        "{address} is already in group `{group}` (line {line}); `platform up` installs what \
         it lacks"
    )]
    Known {
        /// The address.
        address: IpAddr,
        /// The group that has it.
        group: String,
        /// The line with the address.
        line: usize,
    },
    /// The group has machines of the other kind.
    #[error("group `{group}` {why}")]
    OtherKind {
        /// The group.
        group: String,
        /// Which kind it has, and what to ask for.
        why: &'static str,
    },
    /// More machines than can be counted.
    #[error("group `{0}` would have more than 65535 machines")]
    TooMany(String),
    /// A text that is used in several places.
    #[error(
        "line {line} is used in several places: {} as `{alias}`; an edit there would change all \
         of them: write the value out for {place}, and try again",
        lines(others)
    )]
    Shared {
        /// What should be changed, such as a group.
        place: String,
        /// The line with the text.
        line: usize,
        /// The alias with which other places use it.
        alias: String,
        /// The lines of the other places.
        others: Vec<usize>,
    },
    /// A text that would mean something else than was asked for.
    #[error(
        "the inventory cannot be edited for {place} without other changes ({}): edit it by hand, \
         and run `platform up`",
        .differing.join(", ")
    )]
    Otherwise {
        /// What should be changed, such as a group.
        place: String,
        /// The parts that would change too.
        differing: Vec<String>,
    },
}

/// Why the group is not clear.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGroup {
    /// No group has the name.
    #[error("there is no group `{name}`: {help}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// Which name may have been meant.
        help: String,
    },
    /// Several groups have agents and nothing else.
    #[error("several groups have agents: name one with `--group`: {}", spoken(.0))]
    Several(Vec<String>),
    /// No group has agents and nothing else.
    #[error("no group has agents and nothing else: name one with `--group`: {}", spoken(.0))]
    None(Vec<String>),
}

/// The group to change: the named one, or else the only one that has agents and nothing else.
///
/// # Errors
/// When there is none, or there are several.
pub fn group<'i>(
    inventory: &'i Inventory,
    name: Option<&str>,
) -> Result<&'i Group, NoGroup> {
    let groups = &inventory.groups;
    let all = || groups.iter().map(|group| group.name.clone()).collect();
    if let Some(name) = name {
        return groups.iter().find(|group| group.name == name).ok_or_else(|| {
            let known: Vec<&str> = groups.iter().map(|group| &*group.name).collect();
            NoGroup::Unknown { name: name.to_owned(), help: did_you_mean(name, &known) }
        });
    }
    let is_plain = |group: &&Group| group.roles.iter().eq([&Role::Agent]);
    let plain: Vec<&Group> = groups.iter().filter(is_plain).collect();
    match plain.as_slice() {
        [group] => Ok(group),
        [] => Err(NoGroup::None(all())),
        several => {
            let names = several.iter().map(|group| group.name.clone());
            Err(NoGroup::Several(names.collect()))
        }
    }
}

/// Adds machines to a group of an inventory's text. `exists` is as in [`read`].
///
/// # Errors
/// When the text cannot be changed so that it means that and nothing else.
pub fn add(
    text: &str,
    group: &str,
    addition: &Addition,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Edited, Refused> {
    let (before, root) = parsed(text, exists)?;
    none_is_known(text, &root, &before, addition)?;
    let meant = meant(&before, group, addition)?;
    let edited = changed(text, &root, group, &meant, addition)?;
    checked(edited, meant, of_group(group), exists)
}

/// The inventory that a text means, and its nodes.
fn parsed(
    text: &str,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<(Inventory, Node), Refused> {
    let with = |faults| Refused::Faults { text: text.to_owned(), faults };
    let inventory = read(text, exists).map_err(with)?;
    let tree = tree::parse(text).map_err(|fault| with(vec![fault]))?;
    Ok((inventory, tree.root))
}

/// An edited text, if it means exactly what was meant.
fn checked(
    text: String,
    meant: Inventory,
    place: String,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Edited, Refused> {
    match read(&text, exists) {
        Err(faults) => Err(Refused::Faults { text, faults }),
        Ok(inventory) if inventory == meant => Ok(Edited { text, inventory }),
        Ok(inventory) => {
            let differing = differing(&inventory, &meant);
            Err(Refused::Otherwise { place, differing })
        }
    }
}

fn of_group(name: &str) -> String {
    format!("group `{name}`")
}

impl Edited {
    /// The changes since `before`, as a unified diff of the file `name`.
    pub fn diff(&self, before: &str, name: &str) -> String {
        let diff = TextDiff::from_lines(before, &self.text);
        diff.unified_diff().context_radius(3).header(name, name).to_string()
    }
}

/// The inventory as it has to be once the machines are in it.
fn meant(
    before: &Inventory,
    name: &str,
    addition: &Addition,
) -> Result<Inventory, Refused> {
    let mut meant = before.clone();
    let other = |why| Refused::OtherKind { group: name.to_owned(), why };
    let group = meant.groups.iter_mut().find(|group| group.name == name);
    let group = group.ok_or_else(|| other("is not in the inventory"))?;
    match (&mut group.members, addition) {
        (Members::Count(count), Addition::Machines(more)) => {
            let sum = count.checked_add(*more);
            *count = sum.ok_or_else(|| Refused::TooMany(name.to_owned()))?;
        }
        (Members::Hosts(hosts), Addition::Hosts(new)) => hosts.extend_from_slice(new),
        (Members::Count(_), Addition::Hosts(_)) => {
            return Err(other("has machines that the provider makes: say how many more"));
        }
        (Members::Hosts(_), Addition::Machines(_)) => {
            return Err(other("has machines that exist: give their addresses"));
        }
    }
    Ok(meant)
}

fn none_is_known(
    text: &str,
    root: &Node,
    before: &Inventory,
    addition: &Addition,
) -> Result<(), Refused> {
    let Addition::Hosts(new) = addition else { return Ok(()) };
    for group in &before.groups {
        let Members::Hosts(hosts) = &group.members else { continue };
        let known = hosts
            .iter()
            .enumerate()
            .find(|(_, host)| new.iter().any(|new| new.address == host.address));
        let Some((n, host)) = known else { continue };
        let items = match member_node(root, &group.name).map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let line = items.get(n).map_or(1, |item| line_of(text, item.written.start));
        let (address, group) = (host.address, group.name.clone());
        return Err(Refused::Known { address, group, line });
    }
    Ok(())
}

fn changed(
    text: &str,
    root: &Node,
    group: &str,
    meant: &Inventory,
    addition: &Addition,
) -> Result<String, Refused> {
    let nowhere = || Refused::Otherwise { place: of_group(group), differing: Vec::new() };
    let node = member_node(root, group).ok_or_else(nowhere)?;
    let members = meant.groups.iter().find(|of| of.name == group).map(|of| &of.members);
    match (addition, members) {
        (Addition::Machines(_), Some(Members::Count(count))) => {
            is_alone(text, root, &of_group(group), &node.written)?;
            Ok(replaced(text, node.written.clone(), &count.to_string()))
        }
        (Addition::Hosts(hosts), _) => {
            is_alone(text, root, &of_group(group), &node.span)?;
            let new = list::appendix(text, node, hosts, |style, host| style.host(host));
            let new = new.ok_or_else(nowhere)?;
            Ok(list::inserted(text, &new))
        }
        _ => Err(nowhere()),
    }
}

/// Checks that no alias elsewhere uses this part of the text.
fn is_alone(
    text: &str,
    root: &Node,
    place: &str,
    site: &Range<usize>,
) -> Result<(), Refused> {
    let mut aliases = Vec::new();
    aliases_of(root, site, &mut aliases);
    let Some(first) = aliases.first() else { return Ok(()) };
    let mut others: Vec<usize> =
        aliases.iter().map(|alias| line_of(text, alias.start)).collect();
    others.sort_unstable();
    others.dedup();
    Err(Refused::Shared {
        place: place.to_owned(),
        line: line_of(text, site.start),
        alias: text[first.clone()].to_owned(),
        others,
    })
}

/// The aliases of values that contain a part of the text.
fn aliases_of(node: &Node, site: &Range<usize>, found: &mut Vec<Range<usize>>) {
    let holds = node.span.start <= site.start && site.end <= node.span.end;
    if node.written != node.span && holds {
        found.push(node.written.clone());
    }
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => {
            items.iter().for_each(|item| aliases_of(item, site, found));
        }
        Value::Map(entries) => {
            entries.iter().for_each(|entry| aliases_of(&entry.node, site, found));
        }
    }
}

/// The node that sets which machines a group has.
fn member_node<'n>(root: &'n Node, group: &str) -> Option<&'n Node> {
    let group = of(of(root, "groups")?, group)?;
    of(group, "count").or_else(|| of(group, "hosts"))
}

fn of<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

fn replaced(text: &str, site: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..site.start], &text[site.end..])
}

/// The parts in which two inventories differ.
fn differing(one: &Inventory, other: &Inventory) -> Vec<String> {
    let mut parts = Vec::new();
    if one.cluster != other.cluster {
        parts.push("`cluster`".to_owned());
    }
    if one.provider != other.provider {
        parts.push("`provider`".to_owned());
    }
    if one.platform != other.platform {
        parts.push("`platform`".to_owned());
    }
    let of = |inventory: &Inventory, name: &str| {
        inventory.groups.iter().find(|group| group.name == name).cloned()
    };
    let names = other.groups.iter().map(|group| &group.name);
    let changed = names.filter(|name| of(one, name) != of(other, name));
    parts.extend(changed.map(|name| format!("group `{name}`")));
    parts
}

fn lines(lines: &[usize]) -> String {
    let numbers: Vec<String> = lines.iter().map(usize::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("line {one} uses it"),
        several => format!("lines {} use it", several.join(", ")),
    }
}
