//! Reads how to connect to a machine: users, bastions, and names or addresses for SSH.

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::redact::carries_password;
use super::tree::{Node, Value};
use crate::host::is_safe_user;

pub(super) fn login(node: &Node, r: &mut Reader) -> Option<String> {
    let rule = "write only the name, such as `ops`: no blanks, and no characters with a \
                meaning in a shell";
    r.text_that(node, is_login, "a user's name", rule)
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
        let message = "the file itself contains a password";
        let help = "write only `user@host`: logins to bastions use a key";
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
    r.refuse(Diagnostic::new(&node.span, "this is not a valid bastion").help(help))
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

/// Whether a text can be a host's name or address for SSH.
pub(super) fn is_reachable(host: &str) -> bool {
    let in_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_name = !host.is_empty() && !host.starts_with('-') && host.chars().all(in_name);
    is_name || host.parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether a text can be a user's name for SSH. The operator's own `ProxyCommand` may pass it to
/// a shell.
fn is_login(text: &str) -> bool {
    !text.is_empty() && is_safe_user(text) && !text.contains(['@', ':', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_that_are_nothing_else_to_a_shell() {
        for good in ["ops", "CORP\\ann", "j.doe-1_x"] {
            assert!(is_login(good), "{good}");
        }
        for bad in ["", "$(>x)", "`id`", "a;b", "a b", "-x", "a@b", "a|b", "a\\", "a'"] {
            assert!(!is_login(bad), "{bad}");
        }
    }

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
            "$(id)@b",
            "`id`@b",
            "fd00::1",
            "[::1",
        ] {
            assert!(!is_jump(bad), "{bad}");
        }
    }
}
