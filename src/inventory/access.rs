//! Reads `provider`: where the machines come from.

use std::ops::Range;

use super::aws;
use super::cidr::BadCidr;
use super::diagnostic::Diagnostic;
use super::reader::{Reader, Spanned, did_you_mean};
use super::redact::carries_password;
use super::source::known_secret;
use super::tree::{Entry, Node, Value};
use super::{Cidr, HostKeyPolicy, LocalNetwork, Provider, SshAccess};

/// The provider as far as it can be read.
#[derive(Default)]
pub(super) struct DraftProvider {
    /// Which it is, also where its settings are wrong.
    pub(super) kind: Option<Kind>,
    pub(super) value: Option<Provider>,
    /// The network to be made, where the file gives one.
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

pub(super) fn not_private(at: &Range<usize>, cidr: Cidr) -> Diagnostic {
    Diagnostic::new(at, format!("{cidr} is not a private network")).help(
        "the real hosts of that network could not be reached: write a part of 10.0.0.0/8, \
         172.16.0.0/12 or 192.168.0.0/16",
    )
}

/// Why a text is no network to make; `like` is one to write.
pub(super) fn bad_cidr(at: &Range<usize>, error: &BadCidr, like: Cidr) -> Diagnostic {
    let help = match error {
        BadCidr::HostBits { network, .. } => format!("write `{network}`"),
        _ => format!("write an address and a prefix, such as `{like}`"),
    };
    Diagnostic::new(at, error.to_string()).help(help)
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

pub(super) fn login(node: &Node, r: &mut Reader) -> Option<String> {
    r.text_that(node, is_login, "a user's name", "write the name alone, such as `ops`")
}

fn host_keys(node: &Node, r: &mut Reader) -> Option<HostKeyPolicy> {
    match r.text(node)? {
        "ask" => Some(HostKeyPolicy::Ask),
        "accept-new" => Some(HostKeyPolicy::AcceptNew),
        other => {
            let message = format!("`{other}` is not a way to treat unknown host keys");
            let help = did_you_mean(other, &["ask", "accept-new"]);
            r.refuse(Diagnostic::new(&node.span, message).help(help))
        }
    }
}

/// One bastion, or a list of them.
pub(super) fn jumps(node: &Node, r: &mut Reader) -> Vec<String> {
    match &node.value {
        Value::Scalar { .. } => jump(node, r).into_iter().collect(),
        _ => r
            .distinct(node, "jump", |r, node| jump(node, r))
            .into_iter()
            .map(|jump| jump.value)
            .collect(),
    }
}

fn jump(node: &Node, r: &mut Reader) -> Option<String> {
    if let Value::Scalar { text, .. } = &node.value
        && carries_password(text)
    {
        let message = "a password stands in the file itself";
        let help = "write `user@host` alone: bastions are entered by key";
        return r.refuse(Diagnostic::new(&node.span, message).help(help));
    }
    let text = r.text(node)?;
    if is_jump(text) {
        return Some(text.to_owned());
    }
    let help = match text {
        text if text.contains(',') => "write several as a list: `[ops@outer, ops@inner]`",
        _ => "write `host`, `user@host` or `user@host:2222`",
    };
    r.refuse(
        Diagnostic::new(&node.span, "this is not a bastion to go through").help(help),
    )
}

fn is_jump(text: &str) -> bool {
    let (user, place) = match text.split_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, text),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']'))
    {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    user.is_none_or(is_login) && is_reachable(host) && port.is_none_or(is_port)
}

/// Whether SSH can be told to go to a host of that name or address.
pub(super) fn is_reachable(host: &str) -> bool {
    let in_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_name = !host.is_empty() && !host.starts_with('-') && host.chars().all(in_name);
    is_name || host.parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_login(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "@:/".contains(c);
    !text.is_empty() && !text.starts_with('-') && !text.contains(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bastions_have_a_host_and_perhaps_a_user_and_a_port() {
        for good in ["bastion", "ops@b.example.com", "ops@10.0.0.1:2222", "[fd00::1]:22"]
        {
            assert!(is_jump(good), "{good}");
        }
        for bad in [
            "",
            "@b",
            "ops@",
            "b:0",
            "b:x",
            "a,b",
            "-oProxy=x",
            "a b",
            "u:p@b",
            "fd00::1",
            "[::1",
        ] {
            assert!(!is_jump(bad), "{bad}");
        }
    }
}
