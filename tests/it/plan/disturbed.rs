//! What each action of a plan may interrupt, listed one by one: the tests of waves rely on the
//! program's own list.

use std::collections::BTreeSet;

use platform::component::{Spec, marathon, zookeeper};
use platform::inventory::Component;
use platform::plan::Peers;
use platform::resource::{
    Action, Change, Directory, Enabling, File, Firewall, Image, ImageOrigin, Key,
    Manager, Owned, Sysctl, Tree, User,
};

/// What an action may interrupt on its host.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Whom {
    Nobody,
    Everyone,
    Only(Component),
}

use Whom::{Everyone, Nobody, Only};

fn start(unit: &str) -> Action {
    Action::StartUnit {
        name: unit.to_owned(),
        restart: true,
        enable: Enabling::New,
        failed: false,
        ours: true,
    }
}

fn retire_unit(unit: &str) -> Action {
    Action::Retire(Owned::Unit { name: unit.to_owned() })
}

fn directory(data: bool) -> Directory {
    Directory {
        path: "/var/lib/x".parse().unwrap(),
        mode: 0o755,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        data,
    }
}

/// The inputs of the tables below.
struct Things {
    file: File,
    image: Image,
    tree: Tree,
    sysctl: Sysctl,
    user: User,
}

fn things() -> Things {
    let text = |text: &str| text.to_owned();
    Things {
        file: File::public("/etc/x".parse().unwrap(), text("x")),
        image: Image {
            name: text("x 1"),
            id: text("sha256:1"),
            origin: ImageOrigin::Here,
        },
        tree: Tree {
            name: text("x 1"),
            image: text("sha256:1"),
            program: text("x"),
            ends_together: false,
        },
        sysctl: Sysctl { name: text("vm.swappiness"), value: text("1") },
        user: User { name: text("x"), shell: text("/bin/sh") },
    }
}

fn actions() -> Vec<(Action, Whom)> {
    let Things { file, image, tree, sysctl, user } = things();
    let text = |text: &str| text.to_owned();
    let package =
        Action::InstallPackage { manager: Manager::Apt, name: text("x"), brings: None };
    vec![
        // A package may restart anything that runs, Docker and all containers included.
        (package, Everyone),
        (Action::AddUser(user), Nobody),
        // A kernel setting applies to everything that runs.
        (Action::SetSysctl { sysctl, before: text("0") }, Everyone),
        (Action::MakeDirectory(directory(true)), Nobody),
        // Files are read when their unit starts, which is a separate change.
        (Action::WriteFile(file.clone()), Nobody),
        (Action::SetFileMode(file.clone()), Nobody),
        (Action::Remove("/etc/x".parse().unwrap()), Nobody),
        (Action::PullImage(image.clone()), Nobody),
        (Action::LoadImage(image), Nobody),
        (Action::UnpackTree(tree), Nobody),
        (Action::ReloadSystemd, Nobody),
        // It judges only connections that are opened later.
        (Action::LoadFirewall(Firewall { rules: text("a hash") }), Nobody),
        (start(zookeeper::UNIT), Only(Component::Zookeeper)),
        (start(marathon::UNIT), Only(Component::Marathon)),
        // It is not known what depends on a unit of Docker or of the operator.
        (start("docker.service"), Everyone),
        (Action::ReloadUnit { name: text("docker.service") }, Nobody),
        (Action::WriteBoot(file), Nobody),
        (Action::Reboot { boot: text("b") }, Everyone),
    ]
}

fn retirements() -> Vec<(Action, Whom)> {
    let text = |text: &str| text.to_owned();
    let at = || "/var/lib/x".parse().unwrap();
    let (manager, name) = (Manager::Apt, text("x"));
    let package = Owned::Package { manager, name, asked: text("x") };
    let sysctl = Owned::Sysctl { name: text("vm.swappiness"), before: text("0") };
    let tree = Owned::Tree {
        path: at(),
        name: text("x 1"),
        program: text("x"),
        ends_together: false,
    };
    let retired = [
        (package, Everyone),
        (Owned::User { name: text("x") }, Nobody),
        (sysctl, Everyone),
        (Owned::Directory { path: at(), data: false }, Nobody),
        (Owned::File { path: at() }, Nobody),
        // The boot loader's setting applies from the next boot.
        (Owned::Boot { path: at() }, Nobody),
        (Owned::Image { id: text("sha256:1"), name: text("x 1") }, Nobody),
        (tree, Nobody),
        (Owned::Firewall, Nobody),
    ];
    let units = [
        (retire_unit(zookeeper::UNIT), Only(Component::Zookeeper)),
        (retire_unit("operator.service"), Everyone),
    ];
    let retired = retired.map(|(owned, whom)| (Action::Retire(owned), whom));
    retired.into_iter().chain(units).collect()
}

/// The kind of an action. A new kind does not compile until the tables contain it too.
fn kind(action: &Action) -> usize {
    match action {
        Action::InstallPackage { .. } => 0,
        Action::AddUser(_) => 1,
        Action::SetSysctl { .. } => 2,
        Action::MakeDirectory(_) => 3,
        Action::WriteFile(_) => 4,
        Action::SetFileMode(_) => 5,
        Action::Remove(_) => 6,
        Action::PullImage(_) => 7,
        Action::LoadImage(_) => 8,
        Action::UnpackTree(_) => 9,
        Action::ReloadSystemd => 10,
        Action::StartUnit { .. } => 11,
        Action::ReloadUnit { .. } => 12,
        Action::WriteBoot(_) => 13,
        Action::Reboot { .. } => 14,
        Action::LoadFirewall(_) => 15,
        Action::Retire(owned) => {
            16 + match owned {
                Owned::Package { .. } => 0,
                Owned::User { .. } => 1,
                Owned::Sysctl { .. } => 2,
                Owned::Directory { .. } => 3,
                Owned::File { .. } => 4,
                Owned::Boot { .. } => 5,
                Owned::Image { .. } => 6,
                Owned::Tree { .. } => 7,
                Owned::Unit { .. } => 8,
                Owned::Firewall => 9,
            }
        }
    }
}

#[test]
fn every_action_interrupts_whom_the_table_says_and_nobody_else() {
    let table: Vec<(Action, Whom)> = actions().into_iter().chain(retirements()).collect();
    let kinds: BTreeSet<usize> = table.iter().map(|(action, _)| kind(action)).collect();
    assert_eq!(kinds.len(), 26, "a kind of action is not in the table");
    for (action, whom) in table {
        let (key, verb) = (Key::Systemd, "change");
        let change = Change { key, verb, reason: String::new(), diff: None, action };
        for spec in Spec::all() {
            let component = spec.component;
            let peers = Peers { component, members: Vec::new(), needed: 0 };
            let expected = match whom {
                Nobody => false,
                Everyone => true,
                Only(one) => one == component,
            };
            let found = peers.is_disturbed_by(&change);
            assert_eq!(found, expected, "{component}: {:?}", change.action);
        }
    }
}
