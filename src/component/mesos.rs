//! What masters, agents and frameworks of Mesos share: their accounts, what each of them may do,
//! and where they find the leading master.

use serde_json::{Value, json};

use super::spec::{Clients, Framework, Spec};
use super::{Context, path};
use crate::inventory::component::ZOOKEEPER_PORT;
use crate::inventory::{Component, FaultDomain};
use crate::resource::{Content, File};
use crate::secret::Secret;
use crate::topology::Topology;

/// The account with which this program connects to masters and agents. Its name is the same
/// everywhere; its password is one for the masters, and a different one for each agent.
pub const OPERATOR: &str = "platform";

/// The account with which the edge speaks to the masters for everyone outside: it may only read.
pub const EDGE: &str = "edge";

/// The masters' password in ZooKeeper.
pub const ZOOKEEPER_SECRET: &str = "mesos-zookeeper";
/// The password of [`OPERATOR`] for the masters.
pub const OPERATOR_SECRET: &str = "mesos-operator";
/// The password of [`EDGE`].
pub const EDGE_SECRET: &str = "mesos-edge";
/// The password with which agents register.
pub const AGENT_SECRET: &str = "mesos-agent";

/// The components that connect back to a framework's driver.
pub(super) const DRIVER_CLIENTS: Clients =
    Clients::Hosts(&[Component::MesosMaster, Component::MesosAgent]);

/// The user as which tasks run on agents, unless an app names another allowed user.
pub const TASKS: &str = "platform-tasks";

/// The account with which agents register, and their user in ZooKeeper.
pub(super) const AGENT: &str = "agent";

/// The masters' user in ZooKeeper. Only it may change what masters write there.
pub(super) const MASTERS: &str = "mesos";

/// The ensemble's members in the format for clients: `address:port,…`.
pub(super) fn zookeepers(topology: &Topology) -> String {
    let members =
        topology.zookeeper().into_iter().flat_map(|ensemble| ensemble.members());
    let places: Vec<String> =
        members.map(|member| format!("{}:{ZOOKEEPER_PORT}", member.address)).collect();
    places.join(",")
}

/// A user in ZooKeeper and its password. Passwords that this program makes are letters and digits,
/// so they need no escaping in a URL.
pub(super) type User<'a> = (&'a str, &'a Secret);

/// The URL with which a user reaches a path in ZooKeeper.
pub(super) fn zookeeper_url(
    topology: &Topology,
    (user, password): User<'_>,
    path: &str,
) -> Secret {
    let (password, servers) = (password.expose(), zookeepers(topology));
    Secret::new(format!("zk://{user}:{password}@{servers}{path}"))
}

/// The URL at which masters elect their leader, and all others find it. Only masters use the user
/// [`MASTERS`]; all others only read, each with its own user.
pub(super) fn masters_url(topology: &Topology, user: User<'_>) -> Secret {
    zookeeper_url(topology, user, "/mesos")
}

/// The frameworks, in the order of their components.
fn frameworks() -> impl Iterator<Item = Framework> {
    Spec::all().filter_map(|spec| spec.framework)
}

/// The names of all frameworks, in the format of access lists.
fn all_frameworks() -> Value {
    json!({ "values": frameworks().map(|it| it.principal).collect::<Vec<&str>>() })
}

/// The accounts that may connect to the masters, with their passwords.
pub(super) fn credentials(context: Context<'_>) -> Secret {
    let inputs = context.inputs;
    let own = [(OPERATOR, OPERATOR_SECRET), (EDGE, EDGE_SECRET), (AGENT, AGENT_SECRET)];
    let frameworks = frameworks().map(|it| (it.principal, it.secret));
    let known = own.into_iter().chain(frameworks);
    let known: Vec<Value> = known
        .map(|(principal, secret)| credential(principal, inputs.secret(secret)))
        .collect();
    Secret::new(json!({ "credentials": known }).to_string())
}

/// A credential in Mesos' format.
pub(super) fn credential(principal: &str, secret: &Secret) -> Value {
    json!({ "principal": principal, "secret": secret.expose() })
}

/// What each account may do; nobody may do anything that is not listed here. Mesos ignores unknown
/// keys without an error, and such a key protects nothing. So every key here is one that Mesos 1.11
/// defines.
pub(super) fn acls(context: Context<'_>) -> String {
    let any = || json!({ "type": "ANY" });
    let marathon = || json!({ "values": ["marathon"] });
    let chronos = || json!({ "values": ["chronos"] });
    let mut acls = json!({
        "permissive": false,
        // Marathon runs apps in the roles of their groups, reserves resources for them and keeps
        // their volumes. It may not take or destroy what belongs to others.
        "register_frameworks": [
            { "principals": marathon(), "roles": any() },
            { "principals": chronos(), "roles": { "values": ["*"] } },
        ],
        "reserve_resources": [{ "principals": marathon(), "roles": any() }],
        "unreserve_resources": [{ "principals": marathon(), "reserver_principals": marathon() }],
        "create_volumes": [{ "principals": marathon(), "roles": any() }],
        "resize_volumes": [{ "principals": marathon(), "roles": any() }],
        "destroy_volumes": [{ "principals": marathon(), "creator_principals": marathon() }],
        "run_tasks": run_tasks(context),
        "register_agents": [{ "principals": { "values": [AGENT] }, "agents": any() }],
        "teardown_frameworks": [{
            "principals": { "values": [OPERATOR] },
            "framework_principals": all_frameworks(),
        }],
    });
    for (key, object) in READS {
        acls[key] =
            json!([{ "principals": { "values": [OPERATOR, EDGE] }, object: any() }]);
    }
    for (key, object) in OPERATOR_MAY {
        acls[key] = json!([{ "principals": { "values": [OPERATOR] }, object: any() }]);
    }
    format!("{acls:#}\n")
}

/// The same for an agent, which checks the user of a task itself and does not rely on its masters
/// alone. Executors prove with their tokens which containers belong to them.
pub(super) fn acls_of_agent(context: Context<'_>) -> String {
    let mut acls = json!({ "permissive": false, "run_tasks": run_tasks(context) });
    for (key, object) in READS.into_iter().chain([SET_LOG_LEVEL]) {
        let any = json!({ "type": "ANY" });
        acls[key] = json!([{ "principals": { "values": [OPERATOR] }, object: any }]);
    }
    format!("{acls:#}\n")
}

/// Frameworks may run tasks only as these users.
fn run_tasks(context: Context<'_>) -> Value {
    json!([{
        "principals": all_frameworks(),
        "users": { "values": task_users(context) },
    }])
}

/// The users as which tasks may run. The first is the one for apps that name no user.
pub(super) fn task_users(context: Context<'_>) -> Vec<&str> {
    let platform = &context.inputs.platform;
    let allowed = platform.task_users.iter().flatten().map(String::as_str);
    let root = stays_root(context.inputs).then_some("root");
    root.into_iter().chain([TASKS]).chain(allowed).collect()
}

/// Whether tasks still run as root, as they did under an earlier version: until the inventory sets
/// the allowed users.
pub(super) fn stays_root(inputs: &super::Inputs) -> bool {
    inputs.as_root && inputs.platform.task_users.is_none()
}

/// What may be read: everything.
const READS: [(&str, &str); 10] = [
    ("get_endpoints", "paths"),
    ("view_frameworks", "users"),
    ("view_tasks", "users"),
    ("view_executors", "users"),
    ("view_containers", "users"),
    ("view_roles", "roles"),
    ("view_flags", "flags"),
    ("view_resource_providers", "resource_providers"),
    ("access_sandboxes", "users"),
    ("access_mesos_logs", "logs"),
];

const SET_LOG_LEVEL: (&str, &str) = ("set_log_level", "level");

/// What only the operator may do: take agents in and out of service.
const OPERATOR_MAY: [(&str, &str); 11] = [
    SET_LOG_LEVEL,
    ("get_quotas", "roles"),
    ("drain_agents", "agents"),
    ("deactivate_agents", "agents"),
    ("reactivate_agents", "agents"),
    ("mark_agents_gone", "agents"),
    ("get_maintenance_schedules", "machines"),
    ("update_maintenance_schedules", "machines"),
    ("start_maintenances", "machines"),
    ("stop_maintenances", "machines"),
    ("get_maintenance_statuses", "machines"),
];

/// A fault domain in Mesos' format.
pub(super) fn domain(domain: &FaultDomain) -> Value {
    json!({ "fault_domain": {
        "region": { "name": domain.region },
        "zone": { "name": domain.zone },
    }})
}

/// A file that only `user` may read.
pub(super) fn private(at: &str, content: impl Into<Content>, user: &str) -> File {
    File::private(path(at), content).owned_by(user, user)
}
