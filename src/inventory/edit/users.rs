//! Adds, removes and changes users of the platform.

use std::path::Path;

use super::super::reader::did_you_mean;
use super::super::tree::{Entry, Node, Value};
use super::super::{Account, Inventory, SecretSource};
use super::host::Style;
use super::{Edited, Refused, checked, is_alone, list, of, parsed, replaced};

/// A change of the users of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserEdit {
    /// Adds this user, which is new.
    Add(Account),
    /// Removes the user with this name.
    Remove(String),
    /// The password of the user with this name comes from there.
    Password(String, SecretSource),
}

/// There is no user of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no user `{name}`: {help}")]
pub struct NoUser {
    /// The name that was given.
    name: String,
    /// Which name may have been meant.
    help: String,
}

/// The user of that name.
///
/// # Errors
/// When there is none.
pub fn user<'i>(inventory: &'i Inventory, name: &str) -> Result<&'i Account, NoUser> {
    let users = &inventory.platform.users;
    users.iter().find(|user| user.name == name).ok_or_else(|| {
        let known: Vec<&str> = users.iter().map(|user| &*user.name).collect();
        let help = match known.as_slice() {
            [] => "the inventory has no users".to_owned(),
            known => did_you_mean(name, known),
        };
        NoUser { name: name.to_owned(), help }
    })
}

/// Changes the users of an inventory's text. `exists` is as in [`read`](super::read).
///
/// # Errors
/// When the text cannot be changed so that it means that and nothing else.
pub fn change_users(
    text: &str,
    edit: &UserEdit,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Edited, Refused> {
    let (before, root) = parsed(text, exists)?;
    let place = format!("user `{}`", edit.user());
    let edited = match edit {
        UserEdit::Add(account) => added(text, &root, &place, account)?,
        UserEdit::Remove(name) => removed(text, &root, &place, name)?,
        UserEdit::Password(name, source) => {
            with_password(text, &root, &place, (name, source))?
        }
    };
    let edited = edited.ok_or_else(|| Refused::Otherwise {
        place: place.clone(),
        differing: Vec::new(),
    })?;
    checked(edited, edit.meant(before), place, exists)
}

impl UserEdit {
    fn user(&self) -> &str {
        match self {
            Self::Add(account) => &account.name,
            Self::Remove(name) | Self::Password(name, _) => name,
        }
    }

    /// The inventory as it has to be after this change.
    fn meant(&self, mut inventory: Inventory) -> Inventory {
        let users = &mut inventory.platform.users;
        match self {
            Self::Add(account) => users.push(account.clone()),
            Self::Remove(name) => users.retain(|user| user.name != *name),
            Self::Password(name, source) => {
                for user in users.iter_mut().filter(|user| user.name == *name) {
                    user.password = source.clone();
                }
            }
        }
        inventory
    }
}

/// The keys below which the users are.
const KEYS: [&str; 3] = ["platform", "access", "users"];

/// The text with another user; `None` if its layout is not clear.
fn added(
    text: &str,
    root: &Node,
    place: &str,
    account: &Account,
) -> Result<Option<String>, Refused> {
    let (mut node, mut missing) = (root, &KEYS[..]);
    while let [key, rest @ ..] = missing
        && let Some(inner) = of(node, key)
    {
        (node, missing) = (inner, rest);
    }
    if !std::ptr::eq(node, root) {
        is_alone(text, root, place, &node.span)?;
    }
    let new = match missing {
        [] => in_list(text, node, account),
        keys => list::entry(text, node, &nested(text, node, keys, account)),
    };
    Ok(new.map(|new| list::inserted(text, &new)))
}

/// After the last user of a list, or as its first one.
fn in_list(text: &str, users: &Node, account: &Account) -> Option<list::Insertions> {
    match &users.value {
        Value::List(items) if items.is_empty() => {
            let new = Style::on_one_line(None).account(account).concat();
            Some(vec![(users.span.start + 1, new)])
        }
        _ => {
            let write = |style: Style, account: &Account| style.account(account);
            list::appendix(text, users, std::slice::from_ref(account), write)
        }
    }
}

/// The missing keys with the only user below them, on one line, with the quotes of the keys beside
/// them.
fn nested(text: &str, beside: &Node, keys: &[&str], account: &Account) -> String {
    let first = match &beside.value {
        Value::Map(entries) => entries.first(),
        Value::List(_) | Value::Scalar { .. } => None,
    };
    let quote = first.and_then(|entry| quote_of(text, entry));
    let style = Style::on_one_line(quote);
    let users = format!("[{}]", style.account(account).concat());
    let inner = |inner: String, key: &&str| format!("{{{}}}", style.pair(key, &inner));
    let (outer, below) = keys.split_first().expect("a key is missing");
    style.pair(outer, &below.iter().rev().fold(users, inner))
}

fn quote_of(text: &str, entry: &Entry) -> Option<char> {
    text[entry.key_span.start..].chars().next().filter(|c| ['"', '\''].contains(c))
}

/// The text without a user; `None` if its layout is not clear.
fn removed(
    text: &str,
    root: &Node,
    place: &str,
    name: &str,
) -> Result<Option<String>, Refused> {
    let Some((users, n, item)) = node_of(root, name) else { return Ok(None) };
    is_alone(text, root, place, &users.span)?;
    is_alone(text, root, place, &item.span)?;
    let gone = list::removal(text, users, n);
    Ok(gone.map(|gone| replaced(text, gone, "")))
}

/// The text in which a user's password comes from elsewhere; `None` if its layout is not clear.
fn with_password(
    text: &str,
    root: &Node,
    place: &str,
    (name, source): (&str, &SecretSource),
) -> Result<Option<String>, Refused> {
    let node = node_of(root, name).and_then(|(_, _, item)| of(item, "password"));
    let Some(node) = node else { return Ok(None) };
    is_alone(text, root, place, &node.written)?;
    Ok(match &node.value {
        _ if node.written != node.span => {
            let new = format!("{{{}}}", Style::on_one_line(None).source(source));
            Some(replaced(text, node.written.clone(), &new))
        }
        Value::Map(entries) => entries.first().map(|entry| {
            let style = Style::on_one_line(quote_of(text, entry));
            let site = entry.key_span.start..entry.node.written.end;
            replaced(text, site, &style.source(source))
        }),
        Value::List(_) | Value::Scalar { .. } => None,
    })
}

/// The list of the users, and a user's place and node in it.
fn node_of<'n>(root: &'n Node, name: &str) -> Option<(&'n Node, usize, &'n Node)> {
    let users = KEYS.iter().try_fold(root, |node, key| of(node, key))?;
    let Value::List(items) = &users.value else { return None };
    let is_it = |item: &&Node| {
        let found = of(item, "name").map(|node| &node.value);
        matches!(found, Some(Value::Scalar { text, .. }) if text == name)
    };
    let n = items.iter().position(|item| is_it(&item))?;
    Some((users, n, &items[n]))
}

#[cfg(test)]
mod tests {
    use super::super::super::read;
    use super::*;

    const HEAD: &str = "cluster: x\nprovider: {local: {}}\ngroups: {all: {roles: [control, \
                        edge], count: 1}}\n";

    fn account(name: &str) -> Account {
        Account { name: name.to_owned(), password: SecretSource::Generate, push: true }
    }

    fn edited(rest: &str, edit: &UserEdit) -> Result<String, Refused> {
        let edited = change_users(&format!("{HEAD}{rest}"), edit, &|_| true)?;
        Ok(edited.text[HEAD.len()..].to_owned())
    }

    fn add(rest: &str, name: &str) -> String {
        edited(rest, &UserEdit::Add(account(name))).unwrap()
    }

    fn remove(rest: &str, name: &str) -> String {
        edited(rest, &UserEdit::Remove(name.to_owned())).unwrap()
    }

    #[test]
    fn a_user_follows_the_last_one_as_it_is_written() {
        let list =
            |users: &str| format!("platform:\n  access:\n    users:{users}\n# end\n");
        let check = |before: &str, after: &str| {
            assert_eq!(add(&list(before), "bob"), list(after));
            // Taken out again, nothing is left of it.
            if !before.contains("# ann\n    ]") {
                assert_eq!(remove(&list(after), "bob"), list(before));
            }
        };
        let ann = "{name: ann, password: {env: A}}";
        let bob = "{name: bob, password: {generate: true}}";
        check(&format!(" [{ann}] # all"), &format!(" [{ann}, {bob}] # all"));
        check(
            &format!("\n      - {ann} # she\n"),
            &format!("\n      - {ann} # she\n      - {bob}\n"),
        );
        check(
            "\n    - name: ann # she\n      # a secret\n      password:\n        env: A # is there\n",
            "\n    - name: ann # she\n      # a secret\n      password:\n        env: A # is there\n    \
             - name: bob\n      password: {generate: true}\n",
        );
        check(
            &format!(" [\n      {ann}, # ann\n    ]"),
            &format!(" [\n      {ann}, # ann\n      {bob},\n    ]"),
        );
        check(
            &format!(" [\n      {ann} # ann\n    ]"),
            &format!(" [\n      {ann}, # ann\n      {bob}\n    ]"),
        );
    }

    #[test]
    fn that_a_user_may_not_push_is_written_as_the_rest_is() {
        let edit = UserEdit::Add(Account { push: false, ..account("bob") });
        for (ann, bob) in [
            (
                "- {name: ann, password: {env: A}}",
                "- {name: bob, password: {generate: true}, push: false}",
            ),
            (
                "- name: ann\n    password: {env: A}\n    push: true",
                "- name: bob\n    password: {generate: true}\n    push: false",
            ),
        ] {
            let before = format!("platform:\n  access:\n    users:\n    {ann}\n")
                .replace("\n    p", "\n      p");
            let bob = format!("    {bob}\n").replace("\n    p", "\n      p");
            assert_eq!(edited(&before, &edit), Ok(format!("{before}{bob}")));
        }
    }

    #[test]
    fn the_first_user_brings_the_keys_that_are_missing() {
        let bob = "[{name: bob, password: {generate: true}}]";
        for (before, after) in [
            ("", format!("platform: {{access: {{users: {bob}}}}}")),
            ("platform: {}\n", format!("platform: {{access: {{users: {bob}}}}}\n")),
            (
                "platform:\n  # where\n  domain: x.example # here\n# end\n",
                format!(
                    "platform:\n  # where\n  domain: x.example # here\n  \
                     access: {{users: {bob}}}\n# end\n"
                ),
            ),
            (
                "platform: {domain: x.example} # one\n",
                format!(
                    "platform: {{domain: x.example, access: {{users: {bob}}}}} # one\n"
                ),
            ),
            (
                "platform:\n  access: {users: []} # none\n",
                format!("platform:\n  access: {{users: {bob}}} # none\n"),
            ),
        ] {
            assert_eq!(add(before, "bob").trim_end(), after.trim_end());
        }
        let json = r#"{"cluster":"x","provider":{"local":{}},"groups":{"all":{"roles":["control","edge"],"count":1}}}"#;
        let edit = UserEdit::Add(account("bob"));
        let text = change_users(json, &edit, &|_| true).unwrap().text;
        assert!(
            text.ends_with(
                r#", "platform": {"access": {"users": [{"name": "bob", "password": {"generate": true}}]}}}"#
            ),
            "{text}"
        );
    }

    #[test]
    fn a_user_goes_with_its_own_comments_and_no_others() {
        let list =
            |users: &str| format!("platform:\n  access:\n    users:\n{users}# end\n");
        let all = list(
            "    # those of the lab\n    - name: ann # she\n      password:\n        env: A\n    \
             # those of the office\n    - {name: bob, password: {env: B}} # he\n    \
             - {name: eve, password: {env: E}}\n",
        );
        let without_bob = all.replace("    - {name: bob, password: {env: B}} # he\n", "");
        assert_eq!(remove(&all, "bob"), without_bob);
        let ann = "    - name: ann # she\n      password:\n        env: A\n";
        assert_eq!(remove(&all, "ann"), all.replace(ann, ""));
        let one_line = "platform: {access: {users: [{name: ann, password: {env: A}}, \
                        {name: bob, password: {env: B}}]}}\n";
        let left = "platform: {access: {users: [{name: bob, password: {env: B}}]}}\n";
        assert_eq!(remove(one_line, "ann"), left);
        assert_eq!(
            remove(one_line, "bob"),
            left.replace("bob", "ann").replace("env: B", "env: A")
        );
    }

    #[test]
    fn only_the_place_of_a_password_changes() {
        let check = |before: &str, source: SecretSource, after: &str| {
            let text = |password: &str| {
                format!(
                    "platform:\n  access:\n    users:\n    - name: ann\n      \
                     password:{password} # hers\n    - {{name: b, password: {{env: B}}}}\n"
                )
            };
            let edit = UserEdit::Password("ann".to_owned(), source);
            assert_eq!(edited(&text(before), &edit), Ok(text(after)));
        };
        check(" {env: A}", SecretSource::Generate, " {generate: true}");
        check(" {generate: true}", SecretSource::Env("A".into()), " {env: A}");
        check(
            "\n        # secret\n        env: A",
            SecretSource::File("keys/a b".into()),
            "\n        # secret\n        file: \"keys/a b\"",
        );
    }

    #[test]
    fn any_name_that_is_allowed_is_written_so_that_yaml_reads_it() {
        let text = "platform: {access: {users: [{name: ann, password: {env: A}}]}}\n";
        for quote in ["", "'", "\""] {
            let text = text.replace("ann", &format!("{quote}ann{quote}"));
            for name in [
                "bob", "true", "1e3", "o'neil", r#"a"b\c"#, "-x", "*a", "{b}", "é", "a,b",
            ] {
                let text = format!("{HEAD}{}", add(&text, name));
                let users = read(&text, &|_| true).unwrap().platform.users;
                assert_eq!(users[1].name, name, "{text}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_user_or_is_used_elsewhere_is_refused() {
        let text = "platform: {access: {users: [{name: ann, password: {env: A}}]}}\n";
        for (name, why) in [
            ("platform", "reserved for the platform"),
            ("platform-pull", "reserved for the platform"),
            ("a:b", "not a user's name"),
            ("#a", "not a user's name"),
            ("ann", "ann"),
        ] {
            match edited(text, &UserEdit::Add(account(name))) {
                Err(Refused::Faults { faults, .. }) => {
                    assert!(faults[0].message.contains(why), "{name}: {faults:?}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let shared = "platform:\n  access: {users: [&a {name: ann, password: &p {env: A}}, \
                      {name: bob, password: *p}]}\n";
        let elsewhere = UserEdit::Password("ann".to_owned(), SecretSource::Generate);
        let said = edited(shared, &elsewhere).unwrap_err().to_string();
        assert!(said.contains("`*p`"), "{said}");
        let own = UserEdit::Password("bob".to_owned(), SecretSource::Generate);
        assert_eq!(edited(shared, &own), Ok(shared.replace("*p", "{generate: true}")));
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let text = format!(
            "{HEAD}platform: {{access: {{users: [{{name: ann, password: {{env: A}}}}]}}}}\n"
        );
        let inventory = read(&text, &|_| true).unwrap();
        let said = user(&inventory, "anm").unwrap_err().to_string();
        assert!(said.contains("there is no user `anm`: did you mean `ann`?"), "{said}");
    }
}
