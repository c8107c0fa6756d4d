//! Reads where a secret comes from. No message repeats a value that may be the secret itself.

use super::SecretSource;
use super::diagnostic::Diagnostic;
use super::reader::{Fields, Reader};
use super::redact::is_variable;
use super::tree::{NOT_EXPANDED, Node, Value};

/// A secret that may also be made at random.
pub(super) fn secret(node: &Node, r: &mut Reader) -> Option<SecretSource> {
    source(node, &["env", "file", "generate"], r)
}

/// A secret that already exists outside the cluster, so that it cannot be made.
pub(super) fn known_secret(node: &Node, r: &mut Reader) -> Option<SecretSource> {
    source(node, &["env", "file"], r)
}

fn source(node: &Node, known: &[&'static str], r: &mut Reader) -> Option<SecretSource> {
    if matches!(node.value, Value::Scalar { .. } | Value::List(_)) {
        return r.refuse(in_place(node, known));
    }
    let fields = r.fields(node, "a secret", known)?;
    let mut given = known.iter().filter_map(|key| Some((*key, fields.get(key)?)));
    match (given.next(), given.next()) {
        (Some((key, value)), None) => one(key, value, r),
        (Some(_), Some((_, second))) => {
            let message = "a secret must come from one place";
            r.refuse(Diagnostic::new(&second.at, message).help("keep one of these keys"))
        }
        (None, _) => nowhere(node, &fields, known, r),
    }
}

fn one(key: &str, value: &Node, r: &mut Reader) -> Option<SecretSource> {
    match key {
        "env" => variable(value, r).map(SecretSource::Env),
        "file" => r.file(value).map(SecretSource::File),
        _ if r.boolean(value)? => Some(SecretSource::Generate),
        _ => {
            let message = "`generate` can only be `true`";
            let help = "or take it from `{env: NAME}` or `{file: PATH}`";
            r.refuse(Diagnostic::new(&value.span, message).help(help))
        }
    }
}

/// Records a fault, unless an unknown key was reported already.
fn nowhere<T>(node: &Node, fields: &Fields, known: &[&str], r: &mut Reader) -> Option<T> {
    if fields.is_empty() {
        let message = "this does not say where the secret comes from";
        r.fault(Diagnostic::new(&node.at, message).help(places(known)));
    }
    None
}

fn in_place(node: &Node, known: &[&str]) -> Diagnostic {
    match &node.value {
        Value::Scalar { text, .. } if text.is_empty() => {
            Diagnostic::new(node.place(), "there is no value here").help(places(known))
        }
        Value::Scalar { text, .. } if text.contains("${") => {
            Diagnostic::new(&node.span, "a variable is not expanded here")
                .help(NOT_EXPANDED)
        }
        _ => Diagnostic::new(node.place(), "the file itself contains a secret").help(
            format!(
                "{}, and change the secret: anyone who saw the file knows it",
                places(known)
            ),
        ),
    }
}

fn places(known: &[&str]) -> String {
    let place = |key: &&str| match *key {
        "env" => "`{env: NAME}`",
        "file" => "`{file: PATH}`",
        _ => "`{generate: true}`",
    };
    format!("write {}", known.iter().map(place).collect::<Vec<_>>().join(" or "))
}

fn variable(node: &Node, r: &mut Reader) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } if is_variable(text) => Some(text.clone()),
        _ => {
            let message = "this cannot name an environment variable";
            let help = "write only its name: letters, digits and `_`, no `$`";
            r.refuse(Diagnostic::new(node.place(), message).help(help))
        }
    }
}
