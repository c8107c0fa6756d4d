//! What a client that reaches ZooKeeper may do: nothing as an unknown user, and only read as the
//! agents' user. It uses another client than the program's own.

use std::fs;

use platform::component::znode::identity;
use platform::event::RunResult;
use platform::secret::Secret;
use zookeeper_client::{Acl, Acls, Client, CreateMode, Error, Permission};

use crate::harness::{Lab, inside, zookeeper_client};

/// Users that own nodes, with the secret that contains each password.
const OWNERS: [(&str, &str); 3] = [
    ("mesos", "mesos-zookeeper"),
    ("marathon", "marathon-zookeeper"),
    ("chronos", "chronos-zookeeper"),
];

/// An unknown user is refused, and an agent changes no node; nodes that everyone can access are
/// found and secured.
pub(super) fn may_change_nothing(lab: &Lab) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let member = format!("{}.11", lab.prefix());
    let from_a_member = async {
        is_closed(lab).await;
        let admin = client(lab, "super", &secret(lab, "zookeeper-super")).await;
        for path in ["/", "/chronos/state/state"] {
            let opened = admin.set_acl(path, &Acls::anyone_all(), None).await;
            opened.expect("the administrator may");
            assert!(!open_nodes(lab, &admin).await.is_empty(), "the test sees {path}");
        }
    };
    inside(&member, || runtime.block_on(from_a_member));
    let plan = lab.run(&["plan"]).exits(10).said();
    for part in [
        "set the access list of /: anyone may",
        "set the access list of /chronos/state/state: anyone",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert_eq!(lab.up().result(), RunResult::Changed);
    inside(&member, || runtime.block_on(is_closed(lab)));
    lab.is_settled();
}

async fn is_closed(lab: &Lab) {
    let admin = client(lab, "super", &secret(lab, "zookeeper-super")).await;
    assert_eq!(open_nodes(lab, &admin).await, [""; 0]);
    for (user, password) in [("stranger", "invented"), ("mesos", "guessed")] {
        let refused = connect(lab, user, password).await.err();
        assert_eq!(refused, Some(Error::AuthFailed), "{user}");
    }
    let agent = client(lab, "agent", &secret(lab, "agent-zookeeper")).await;
    for path in all(&admin).await {
        let below = format!("{}/stranger", path.trim_end_matches('/'));
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let made = agent.create(&below, b"", &options).await.err();
        let refused = [Error::NoAuth, Error::NoChildrenForEphemerals, Error::NoNode];
        assert!(made.as_ref().is_some_and(|why| refused.contains(why)), "{below}");
    }
    let (leaders, _) = agent.get_children("/mesos").await.expect("an agent reads");
    assert!(leaders.iter().any(|name| name.starts_with("json.info_")), "{leaders:?}");
}

/// The nodes that other users than their owners may write, delete, or create below.
async fn open_nodes(lab: &Lab, admin: &Client) -> Vec<String> {
    let owners =
        OWNERS.map(|(user, name)| identity(user, &Secret::new(secret(lab, name))));
    let mut open = Vec::new();
    for path in all(admin).await {
        let (list, _) = match admin.get_acl(&path).await {
            Err(Error::NoNode) => continue,
            list => list.expect("the administrator may"),
        };
        let is_owner = |acl: &Acl| owners.iter().any(|owner| owner == acl.id());
        let changes = |acl: &&Acl| !is_owner(acl) && acl.permission() != Permission::READ;
        if list.iter().any(|acl| changes(&acl)) && !is_secret(&path) {
            open.push(path);
        }
    }
    open
}

/// Chronos sets no access list on the nodes of its election; but each has a random name, which no
/// other user may read.
fn is_secret(path: &str) -> bool {
    path.strip_prefix("/chronos/state/candidate/_c_").is_some_and(|name| name.len() > 36)
}

/// Every node.
async fn all(admin: &Client) -> Vec<String> {
    let mut found = vec!["/".to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let children = match admin.list_children(&path).await {
            Err(Error::NoNode) => continue,
            children => children.expect("the administrator may"),
        };
        let of = |child: String| format!("{}/{child}", path.trim_end_matches('/'));
        found.extend(children.into_iter().map(of));
    }
    found
}

fn secret(lab: &Lab, name: &str) -> String {
    let path = lab.state().join("secrets").join(name);
    fs::read_to_string(path).expect("the state folder keeps it")
}

async fn client(lab: &Lab, user: &str, password: &str) -> Client {
    connect(lab, user, password).await.expect("ZooKeeper knows the user")
}

async fn connect(lab: &Lab, user: &str, password: &str) -> Result<Client, Error> {
    let servers: Vec<String> =
        (11..14).map(|n| format!("{}.{n}:2181", lab.prefix())).collect();
    zookeeper_client(&servers.join(","), user, password).await
}
