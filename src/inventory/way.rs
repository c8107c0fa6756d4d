//! Reads words about the way to a machine: users, bastions, names that SSH goes to.

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::redact::carries_password;
use super::tree::{Node, Value};

pub(super) fn login(node: &Node, r: &mut Reader) -> Option<String> {
    r.text_that(node, is_login, "a user's name", "write the name alone, such as `ops`")
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
