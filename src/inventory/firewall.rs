//! Reads `platform.firewall`: whether machines have a firewall, and who may reach them.

use super::access::Kind;
use super::cidr::BadAdminCidr;
use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::tree::{Node, Value};
use super::{AdminCidr, Firewall};

const ADMIN_CIDRS: &str = "admin_cidrs";

pub(super) fn firewall(node: &Node, kind: Option<Kind>, r: &mut Reader) -> Firewall {
    if let Value::Scalar { text, .. } = &node.value
        && let Some(enabled) = switch(text)
    {
        let message = "the firewall must be a map of keys and values";
        let help = format!("write `{{enabled: {enabled}}}`");
        r.fault(Diagnostic::new(&node.span, message).help(help));
        return Firewall::default();
    }
    let Some(fields) = r.fields(node, "the firewall", &["enabled", ADMIN_CIDRS]) else {
        return Firewall::default();
    };
    let enabled = fields.get("enabled").and_then(|node| r.boolean(node)).unwrap_or(true);
    let admin_cidrs = fields.get(ADMIN_CIDRS).map(|node| admin_cidrs(node, kind, r));
    Firewall { enabled, admin_cidrs: admin_cidrs.unwrap_or_default() }
}

/// What a word in place of the map means.
fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "yes" | "true" | "enabled" => Some(true),
        "off" | "no" | "false" | "disabled" => Some(false),
        _ => None,
    }
}

fn admin_cidrs(node: &Node, kind: Option<Kind>, r: &mut Reader) -> Vec<AdminCidr> {
    if kind == Some(Kind::Aws) {
        let message =
            "the provider `aws` has its own `admin_cidrs`, which the firewall uses";
        let help = "leave it out here";
        r.fault(Diagnostic::new(&node.at, message).help(help));
        return Vec::new();
    }
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let message = "nobody could reach the machines, not even you";
        let help = "write your own address, such as `admin_cidrs: [203.0.113.7/32]`, or leave \
                    it out: SSH and the edge then answer everyone";
        r.fault(Diagnostic::new(&node.span, message).help(help));
    }
    let found = r.distinct(node, ADMIN_CIDRS, |r, node| {
        let read = r.text(node)?.parse();
        network_or_fault(node, read, r)
    });
    found.into_iter().map(|cidr| cidr.value).collect()
}

/// The network that was read; reports the fault if it is none.
pub(super) fn network_or_fault(
    node: &Node,
    read: Result<AdminCidr, BadAdminCidr>,
    r: &mut Reader,
) -> Option<AdminCidr> {
    let error = match read {
        Ok(cidr) => return Some(cidr),
        Err(error) => error,
    };
    let help = match &error {
        BadAdminCidr::HostBits { address, network } => {
            format!(
                "write `{network}`, or `{}` for this address only",
                AdminCidr::only(*address)
            )
        }
        BadAdminCidr::Address(address) => {
            format!("write `{}` for this address only", AdminCidr::only(*address))
        }
        BadAdminCidr::Form(_) => {
            "write an address and a prefix, such as `203.0.113.7/32`".to_owned()
        }
    };
    r.refuse(Diagnostic::new(&node.span, error.to_string()).help(help))
}
