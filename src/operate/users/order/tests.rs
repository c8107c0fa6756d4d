//! What is decided from the operator's files, before any machine is asked.

use std::fs;

use super::super::super::fixture::ctx;
use super::super::super::{ClusterFiles, ExitKind};
use super::*;
use crate::event::in_words;

const HEAD: &str = "cluster: x\nprovider: {local: {}}\ngroups:\n  \
    all: {roles: [control, edge], count: 1}\nplatform:\n  access:\n    users:\n    \
    - {name: ann, password: {generate: true}} # she\n";
const BOB: &str = "    - {name: bob, password: {generate: true}}\n";

/// An inventory in its own folder, with its state folder.
struct Files(tempfile::TempDir);

impl Files {
    fn of(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lab.yaml"), text).unwrap();
        Self(dir)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.0.path().join("lab.yaml")).unwrap()
    }

    fn files(&self) -> ClusterFiles {
        let files = ClusterFiles::open(&self.0.path().join("lab.yaml")).unwrap();
        files.state.make().unwrap();
        files
    }

    fn order(&self, user: &str, change: UserChange) -> Result<Order, Error> {
        let request = Request { user: user.to_owned(), change };
        Order::of(&self.files(), &request, &ctx(false))
    }

    /// What a run writes before it changes hosts; returns the logins that have to be right then.
    fn write(&self, order: &Order) -> Vec<(String, bool)> {
        order.write(&ctx(false)).unwrap();
        let expected = order.expected(&ctx(false)).unwrap();
        // As gathering what the hosts get does.
        let state = &order.files().state;
        for account in &order.files().inventory.platform.users {
            let password = password_of(order.files(), account, &ctx(false)).unwrap();
            state.htpasswd_line(&account.name, &password).unwrap();
        }
        state.keep().unwrap();
        let login =
            |it: Expected| (it.password.expose().to_owned(), it.right != Right::Nothing);
        expected.into_iter().map(login).collect()
    }

    fn password(&self, user: &str) -> Option<String> {
        let kept = self.files().state.kept_secret(&secret_of(user)).unwrap();
        kept.map(|kept| kept.expose().to_owned())
    }
}

fn random() -> NewPassword {
    NewPassword::Random
}

fn given(password: &str) -> NewPassword {
    NewPassword::Given(Secret::new(password))
}

fn add(password: NewPassword) -> UserChange {
    UserChange::Add { password, push: true }
}

fn refused(order: Result<Order, Error>, kind: ExitKind, part: &str) {
    let Err(why) = order else { panic!("it is not refused: {part}") };
    assert_eq!(why.kind(), kind, "{why}");
    assert!(in_words(&why).contains(part), "`{part}` is not in: {}", in_words(&why));
}

#[test]
fn a_user_is_added_once_and_the_same_words_go_on() {
    let files = Files::of(HEAD);
    let order = files.order("bob", add(random())).unwrap();
    assert!(order.edits() && order.show(None).contains("+    - {name: bob"));
    assert_eq!(files.text(), HEAD, "to decide writes nothing");
    let expected = files.write(&order);
    assert_eq!(files.text(), format!("{HEAD}{BOB}"));
    assert_eq!(expected, [(files.password("bob").unwrap(), true)]);

    let again = files.order("bob", add(random())).unwrap();
    assert!(!again.edits());
    assert_eq!(files.write(&again), expected);
    let said = again.ended(false, "let in by e").summary;
    assert!(
        said.contains("nothing to do: ") && said.contains("secrets/user-bob"),
        "{said}"
    );
}

#[test]
fn a_removed_user_is_forgotten_at_the_end_and_not_before() {
    let files = Files::of(&format!("{HEAD}{BOB}"));
    files.write(&files.order("bob", add(random())).unwrap());
    let old = files.password("bob").unwrap();
    for edits in [true, false] {
        let order = files.order("bob", UserChange::Remove).unwrap();
        assert_eq!(order.edits(), edits, "after an interruption it goes on");
        assert_eq!(files.write(&order), [(old.clone(), false)]);
    }
    assert_eq!(files.text(), HEAD);
    files.order("bob", UserChange::Remove).unwrap().forget().unwrap();
    assert_eq!(files.password("bob"), None);
    refused(files.order("bob", UserChange::Remove), ExitKind::Usage, "no user `bob`");
    files.write(&files.order("bob", add(random())).unwrap());
    assert_ne!(files.password("bob"), Some(old));
}

#[test]
fn a_new_password_takes_the_place_of_the_old_one() {
    let files = Files::of(HEAD);
    files.write(&files.order("ann", add(random())).unwrap());
    let mut old = files.password("ann").unwrap();
    for new in [random(), given("hunter2")] {
        let order = files.order("ann", UserChange::Password(new)).unwrap();
        assert!(!order.edits());
        assert_eq!(files.password("ann").unwrap(), old, "it is not kept yet");
        let expected = files.write(&order);
        let new = files.password("ann").unwrap();
        assert_eq!(expected, [(new.clone(), true), (old, false)]);
        old = new;
    }
    assert_eq!(old, "hunter2");
    assert_eq!(files.text(), HEAD);
}

#[test]
fn a_password_that_comes_from_elsewhere_is_no_longer_kept() {
    let files = Files::of(HEAD);
    files.write(&files.order("ann", add(random())).unwrap());
    let old = files.password("ann").unwrap();
    fs::write(files.0.path().join("pw"), "hunter2\n").unwrap();
    let source = NewPassword::At(SecretSource::File("pw".into()));
    let order = files.order("ann", UserChange::Password(source.clone())).unwrap();
    let expected = [("hunter2".to_owned(), true), (old, false)];
    assert_eq!(files.write(&order), expected);
    assert!(files.text().contains("{name: ann, password: {file: pw}} # she"));
    order.forget().unwrap();
    assert_eq!(files.password("ann"), None);
    let again = files.order("ann", UserChange::Password(source)).unwrap();
    assert!(!again.edits());
    assert_eq!(files.write(&again), expected[..1]);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_written() {
    let files = Files::of(HEAD);
    let add = |user: &str, password| files.order(user, super::tests::add(password));
    let other = || NewPassword::At(SecretSource::Env("A".to_owned()));
    refused(files.order("ann", UserChange::Remove), ExitKind::Refused, "the only user");
    refused(files.order("bob", UserChange::Remove), ExitKind::Usage, "no user `bob`");
    let change = UserChange::Password(random());
    refused(files.order("anm", change), ExitKind::Usage, "did you mean `ann`?");
    refused(add("ann", other()), ExitKind::Refused, "is a user already");
    refused(add("ann", given("hunter2")), ExitKind::Refused, "is a user already");
    refused(add("platform", random()), ExitKind::Invalid, "with this change in it");
    refused(add("#bob", random()), ExitKind::Invalid, "with this change in it");
    let missing = NewPassword::At(SecretSource::File("missing".into()));
    refused(add("bob", missing), ExitKind::Invalid, "with this change in it");
    let state = files.files().state;
    state.renew_secret("user-eve", None);
    state.keep().unwrap();
    refused(add("eve", random()), ExitKind::Refused, "an earlier user `eve`");
    let long = given(&"x".repeat(73));
    let why = add("bob", long).unwrap().check_password(&ctx(false)).unwrap_err();
    assert_eq!(why.kind(), ExitKind::Invalid, "{why}");
    let why = add("bob", other()).unwrap().check_password(&ctx(false)).unwrap_err();
    assert!(why.to_string().contains("variable A, which is not set"), "{why}");
    assert_eq!(files.text(), HEAD);
    assert_eq!(files.password("bob"), None);
}
