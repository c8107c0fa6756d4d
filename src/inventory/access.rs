//! Reads `provider`: where the machines come from.

use super::aws;
use super::cidr::{bad_cidr, not_private};
use super::diagnostic::Diagnostic;
use super::jump_host::{jumps, login};
use super::reader::{Reader, Spanned, did_you_mean};
use super::source::known_secret;
use super::tree::{Entry, Node, Value};
use super::{Cidr, HostKeyPolicy, LocalNetwork, Provider, SshAccess};

/// The provider as far as it can be read.
#[derive(Default)]
pub(super) struct DraftProvider {
    /// Which provider it is, even if its settings are wrong.
    pub(super) kind: Option<Kind>,
    pub(super) value: Option<Provider>,
    /// The network to make, if the file gives one.
    pub(super) cidr: Option<Spanned<Cidr>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ssh,
    Local,
    Aws,
}

const KINDS: [&str; 3] = ["aws", "local", "ssh"];
const DEFAULT_SUBNET: Cidr =
    Cidr { network: std::net::Ipv4Addr::new(10, 77, 0, 0), prefix: 24 };

pub(super) fn provider(node: &Node, r: &mut Reader) -> DraftProvider {
    let Some(entries) = provider_map(node, r) else { return DraftProvider::default() };
    let mut drafts = entries.iter().filter_map(|entry| one(entry, r)).collect::<Vec<_>>();
    match entries {
        [] => {
            let help = "write `local: {}`, `ssh: {…}` or `aws: {…}` under it";
            r.fault(Diagnostic::new(&node.at, "there is no provider").help(help));
        }
        [_] => {}
        [_, second, ..] => {
            let message = "a cluster has one provider";
            let help = "keep one of these keys";
            r.fault(Diagnostic::new(&second.key_span, message).help(help));
            return DraftProvider::default();
        }
    }
    drafts.pop().unwrap_or_default()
}

fn provider_map<'n>(node: &'n Node, r: &mut Reader) -> Option<&'n [Entry]> {
    match &node.value {
        Value::Scalar { text, .. } if KINDS.contains(&text.as_str()) => {
            let message = "the provider must be a map of keys and values, not a text";
            let help = format!("write `{{{text}: {{}}}}`");
            r.refuse(Diagnostic::new(&node.span, message).help(help))
        }
        _ => r.map(node, "the provider"),
    }
}

fn one(entry: &Entry, r: &mut Reader) -> Option<DraftProvider> {
    match entry.key.as_str() {
        "aws" => {
            let draft = aws::aws(&entry.node, r);
            let (value, cidr) = (draft.value.map(Provider::Aws), draft.cidr);
            Some(DraftProvider { kind: Some(Kind::Aws), value, cidr })
        }
        "local" => Some(local(&entry.node, r)),
        "ssh" => {
            let value = ssh(&entry.node, r).map(Provider::Ssh);
            Some(DraftProvider { kind: Some(Kind::Ssh), value, cidr: None })
        }
        other => {
            let message = format!("unknown provider `{other}`");
            let help = did_you_mean(other, &KINDS);
            r.refuse(Diagnostic::new(&entry.key_span, message).help(help))
        }
    }
}

fn local(node: &Node, r: &mut Reader) -> DraftProvider {
    let draft = DraftProvider { kind: Some(Kind::Local), ..DraftProvider::default() };
    let Some(fields) = r.fields(node, "the provider `local`", &["network"]) else {
        return draft;
    };
    let Some(network) = fields.get("network") else {
        let value = Some(Provider::Local(LocalNetwork { subnet: DEFAULT_SUBNET }));
        return DraftProvider { value, ..draft };
    };
    let cidr = network_cidr(network, r);
    let value = cidr.as_ref().map(|cidr| LocalNetwork { subnet: cidr.value });
    DraftProvider { value: value.map(Provider::Local), cidr, ..draft }
}

fn network_cidr(node: &Node, r: &mut Reader) -> Option<Spanned<Cidr>> {
    let fields = r.fields(node, "the network", &["cidr"])?;
    let node = fields.required("cidr", "cidr: 10.77.0.0/24", r)?;
    let fault = match r.text(node)?.parse::<Cidr>() {
        Ok(value) if value.is_private() => {
            return Some(Spanned { value, span: node.span.clone() });
        }
        Ok(value) => not_private(&node.span, value),
        Err(error) => bad_cidr(&node.span, &error, DEFAULT_SUBNET),
    };
    r.refuse(fault)
}

const SSH_KEYS: [&str; 7] =
    ["user", "port", "key", "passphrase", "jump", "host_keys", "sudo_password"];

fn ssh(node: &Node, r: &mut Reader) -> Option<SshAccess> {
    let fields = r.fields(node, "the provider `ssh`", &SSH_KEYS)?;
    Some(SshAccess {
        user: fields.get("user").and_then(|node| login(node, r)),
        port: fields.get("port").and_then(|node| r.number(node, 1..=u16::MAX)),
        key: fields.get("key").and_then(|node| r.file(node)),
        passphrase: fields.get("passphrase").and_then(|node| known_secret(node, r)),
        jump: fields.get("jump").map(|node| jumps(node, r)).unwrap_or_default(),
        host_keys: fields
            .get("host_keys")
            .and_then(|node| host_keys(node, r))
            .unwrap_or_default(),
        sudo_password: fields.get("sudo_password").and_then(|node| known_secret(node, r)),
    })
}

fn host_keys(node: &Node, r: &mut Reader) -> Option<HostKeyPolicy> {
    match r.text(node)? {
        "ask" => Some(HostKeyPolicy::Ask),
        "accept-new" => Some(HostKeyPolicy::AcceptNew),
        other => {
            let message = format!("`{other}` is not a setting for unknown host keys");
            let help = did_you_mean(other, &["ask", "accept-new"]);
            r.refuse(Diagnostic::new(&node.span, message).help(help))
        }
    }
}
