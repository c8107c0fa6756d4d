//! Instances of AWS: the settings for those of one group, and how they are read.

use super::Role;
use super::access::Kind;
use super::diagnostic::Diagnostic;
use super::reader::{Fields, Reader, Spanned};
use super::tree::{Node, Value};
use crate::unit::Size;

/// The settings for the instances of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Instances {
    /// Their type, then others to use in this order if AWS has no capacity for the first. Never
    /// empty with provider `aws`, and empty with any other.
    pub types: Vec<String>,
    /// The size of their disk. If the file does not set it, the size of the image.
    pub disk: Option<Size>,
    /// Whether they are spot instances, which AWS may end.
    pub spot: bool,
    /// Whether they are protected from termination by anything but `down`.
    pub protected: bool,
}

/// The keys of a group that only instances of AWS can have.
pub(super) const KEYS: [&str; 4] = ["type", "disk", "spot", "termination_protection"];

/// Linux images need a disk of at least this size.
const LEAST_DISK: Size = Size::gib(8);

/// The largest gp3 disk that AWS allows.
const LARGEST_DISK: Size = Size::gib(16 * 1024);

pub(super) fn instances(
    fields: &Fields,
    kind: Option<Kind>,
    roles: &[Spanned<Role>],
    r: &mut Reader,
) -> Instances {
    match kind {
        Some(Kind::Local | Kind::Ssh) => {
            for (key, node) in KEYS.iter().filter_map(|key| Some((key, fields.get(key)?)))
            {
                let message = format!("`{key}` is for instances of AWS");
                let help = match (kind, *key) {
                    (Some(Kind::Local), "type") => {
                        "leave it out: `memory: 1GiB` sets the size of a machine"
                    }
                    _ => "leave it out, or use the provider `aws`",
                };
                r.fault(Diagnostic::new(&node.at, message).help(help));
            }
            return Instances::default();
        }
        Some(Kind::Aws) => {
            fields.required("type", "type: m7i.large", r);
        }
        None => {}
    }
    let spot =
        fields.get("spot").and_then(|node| spot(node, roles, r)).unwrap_or_default();
    let protected = fields
        .get("termination_protection")
        .and_then(|node| protection(node, spot, r))
        .unwrap_or_default();
    Instances {
        types: fields.get("type").map(|node| types(node, r)).unwrap_or_default(),
        disk: fields.get("disk").and_then(|node| disk(node, r)),
        spot,
        protected,
    }
}

/// One type, or a list of them.
fn types(node: &Node, r: &mut Reader) -> Vec<String> {
    match &node.value {
        Value::Scalar { .. } => instance_type(r, node).into_iter().collect(),
        Value::List(items) if items.is_empty() => {
            let help = "write at least one: `type: m7i.large`";
            r.fault(Diagnostic::new(&node.span, "there is no type").help(help));
            Vec::new()
        }
        _ => {
            let types = r.distinct(node, "type", instance_type);
            types.into_iter().map(|kind| kind.value).collect()
        }
    }
}

fn instance_type(r: &mut Reader, node: &Node) -> Option<String> {
    let rule = "write one such as `m7i.large`, or several with the preferred one first: \
                `[m7i.large, m6i.large]`";
    r.text_that(node, is_type, "a type of instances", rule)
}

/// Whether a text has the form of a type: `m7i.large`, `m7i-flex.2xlarge`.
fn is_type(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.split_once('.').is_some_and(|(family, size)| {
        is_word(family) && family.starts_with(char::is_alphabetic) && is_word(size)
    })
}

fn disk(node: &Node, r: &mut Reader) -> Option<Size> {
    let size = r.size(node)?;
    let gib = size.as_bytes() >> 30;
    if size < LEAST_DISK || size > LARGEST_DISK {
        let message = format!("an instance cannot have a disk of {size}");
        let help = format!("write from {LEAST_DISK} to {LARGEST_DISK}");
        return r.refuse(Diagnostic::new(&node.span, message).help(help));
    }
    if Size::gib(gib) != size {
        let message = "the size of an AWS disk must be a whole number of GiB";
        let help = format!("write `{gib}GiB` or `{}GiB`", gib + 1);
        return r.refuse(Diagnostic::new(&node.span, message).help(help));
    }
    Some(size)
}

/// Reads `spot`. Members of a quorum, and machines that keep data which others need, cannot be spot
/// instances.
fn spot(node: &Node, roles: &[Spanned<Role>], r: &mut Reader) -> Option<bool> {
    let wanted = r.boolean(node)?;
    let Some(role) = roles.iter().find(|role| role.value.has_identity()) else {
        return Some(wanted);
    };
    if !wanted {
        return Some(false);
    }
    let message =
        format!("machines with the role `{}` cannot be spot instances", role.value);
    let help = "leave it out: AWS may take spot instances back at any time, with two minutes' \
                notice and several at once";
    r.refuse(Diagnostic::new(&node.at, message).help(help))
}

fn protection(node: &Node, spot: bool, r: &mut Reader) -> Option<bool> {
    let wanted = r.boolean(node)?;
    if wanted && spot {
        let message = "AWS cannot protect spot instances from termination";
        let help = "leave one of `spot` and `termination_protection` out";
        return r.refuse(Diagnostic::new(&node.at, message).help(help));
    }
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_their_form() {
        for good in ["m7i.large", "m7i-flex.2xlarge", "u-6tb1.112xlarge", "t3a.micro"] {
            assert!(is_type(good), "{good}");
        }
        for bad in ["", "large", "m7i", "m7i.", ".large", "M7i.large", "m7i large", "7.5"]
        {
            assert!(!is_type(bad), "{bad}");
        }
    }
    #[test]
    fn machines_with_more_to_do_than_to_run_tasks_have_an_identity() {
        let text = include_str!("../../tests/inventories/valid/aws.yaml");
        let inventory = crate::inventory::read(text, &|_| true).unwrap();
        let named = inventory.groups.iter().filter(|group| group.is_named());
        let named: Vec<&str> = named.map(|group| group.name.as_str()).collect();
        assert_eq!(named, ["control", "edge"]);
    }
}
