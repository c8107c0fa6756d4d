//! What masters, agents and frameworks of Mesos share: who they are to each other, what each
//! of them may do, and where they find the master that leads.

use std::fmt;

use serde_json::{Value, json};

use super::{Context, path};
use crate::inventory::FaultDomain;
use crate::resource::{Content, File};
use crate::secret::Secret;
use crate::topology::{Topology, ZOOKEEPER_PORT};

/// The account with which this program speaks to masters and agents.
pub const OPERATOR: &str = "platform";

/// The account with which agents register, and their user in ZooKeeper.
pub(super) const AGENT: &str = "agent";

/// The user in ZooKeeper who may change what masters write there: the masters themselves.
pub(super) const MASTERS: &str = "mesos";

/// What Mesos needs.
#[derive(Clone)]
pub struct Materials {
    /// The masters' password in ZooKeeper.
    pub zookeeper: Secret,
    /// The agents' password in ZooKeeper, where they only read.
    pub agent_zookeeper: Secret,
    /// The password of [`OPERATOR`].
    pub operator: Secret,
    /// The password of agents.
    pub agent: Secret,
    /// Whether the masters' registry is being begun: see [`super::master::forming`].
    pub forming: bool,
}

impl fmt::Debug for Materials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Materials")
            .field("forming", &self.forming)
            .finish_non_exhaustive()
    }
}

/// What a framework needs.
#[derive(Clone)]
pub struct Framework {
    /// The password of its user in ZooKeeper.
    pub zookeeper: Secret,
    /// With which it registers at the masters.
    pub secret: Secret,
    /// The password that its clients have to know; their user is [`OPERATOR`].
    pub password: Secret,
}

impl fmt::Debug for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framework").finish_non_exhaustive()
    }
}

/// The ensemble's members as clients name them: `address:port,…`.
pub(super) fn zookeepers(topology: &Topology) -> String {
    let members = topology.ensemble.iter().flat_map(|ensemble| ensemble.members());
    let places: Vec<String> =
        members.map(|member| format!("{}:{ZOOKEEPER_PORT}", member.address)).collect();
    places.join(",")
}

/// A user in ZooKeeper and his password. Passwords that this program makes are letters and
/// digits, so nothing in them ends anything in an address.
pub(super) type User<'a> = (&'a str, &'a Secret);

/// A place in ZooKeeper, as a user reaches it.
pub(super) fn zookeeper_url(
    topology: &Topology,
    (user, password): User<'_>,
    path: &str,
) -> Secret {
    let (password, servers) = (password.expose(), zookeepers(topology));
    Secret::new(format!("zk://{user}:{password}@{servers}{path}"))
}

/// Where masters elect their leader, and everyone else finds it. Only masters come as
/// [`MASTERS`]: all others read, each as a user of its own.
pub(super) fn masters_url(topology: &Topology, user: User<'_>) -> Secret {
    zookeeper_url(topology, user, "/mesos")
}

/// Who may speak to the masters, and how each proves it.
pub(super) fn credentials(context: Context<'_>) -> Secret {
    let materials = context.materials;
    let mesos = &materials.mesos;
    let known = [
        (OPERATOR, &mesos.operator),
        (AGENT, &mesos.agent),
        ("marathon", &materials.marathon.secret),
        ("chronos", &materials.chronos.secret),
    ];
    let known = known.map(|(principal, secret)| credential(principal, secret));
    Secret::new(json!({ "credentials": known }).to_string())
}

/// A credential in Mesos' own form.
pub(super) fn credential(principal: &str, secret: &Secret) -> Value {
    json!({ "principal": principal, "secret": secret.expose() })
}

/// What each may do; whatever is not said here, nobody may. Mesos takes a key that it does not
/// know without a word, and then it protects nothing: each of these is one of those that
/// Mesos 1.11 defines.
pub(super) fn acls() -> String {
    let any = || json!({ "type": "ANY" });
    let frameworks = || json!({ "values": ["marathon", "chronos"] });
    let marathon = || json!({ "values": ["marathon"] });
    let chronos = || json!({ "values": ["chronos"] });
    let mut acls = json!({
        "permissive": false,
        // Marathon runs apps in the roles of their groups, reserves for them and keeps their
        // volumes. What is another's it may neither take nor destroy.
        "register_frameworks": [
            { "principals": marathon(), "roles": any() },
            { "principals": chronos(), "roles": { "values": ["*"] } },
        ],
        "reserve_resources": [{ "principals": marathon(), "roles": any() }],
        "unreserve_resources": [{ "principals": marathon(), "reserver_principals": marathon() }],
        "create_volumes": [{ "principals": marathon(), "roles": any() }],
        "resize_volumes": [{ "principals": marathon(), "roles": any() }],
        "destroy_volumes": [{ "principals": marathon(), "creator_principals": marathon() }],
        "run_tasks": [{ "principals": frameworks(), "users": any() }],
        "register_agents": [{ "principals": { "values": [AGENT] }, "agents": any() }],
        "teardown_frameworks": [{
            "principals": { "values": [OPERATOR] },
            "framework_principals": frameworks(),
        }],
    });
    for (key, object) in OPERATOR_MAY {
        acls[key] = json!([{ "principals": { "values": [OPERATOR] }, object: any() }]);
    }
    format!("{acls:#}\n")
}

/// The operator reads everything, and takes agents in and out of service.
const OPERATOR_MAY: [(&str, &str); 21] = [
    ("get_endpoints", "paths"),
    ("view_frameworks", "users"),
    ("view_tasks", "users"),
    ("view_executors", "users"),
    ("view_containers", "users"),
    ("view_roles", "roles"),
    ("view_flags", "flags"),
    ("view_resource_providers", "resource_providers"),
    ("get_quotas", "roles"),
    ("access_sandboxes", "users"),
    ("access_mesos_logs", "logs"),
    ("set_log_level", "level"),
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

/// A fault domain in Mesos' own form.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key that an access list of Mesos 1.11 may have, as its `acls.proto` defines them.
    const DEFINED: &str = "permissive register_frameworks run_tasks reserve_resources \
        unreserve_resources create_volumes destroy_volumes teardown_frameworks update_weights \
        get_endpoints get_quotas update_quotas view_frameworks view_tasks view_executors \
        access_sandboxes access_mesos_logs view_roles view_flags \
        launch_nested_containers_as_user launch_nested_containers_under_parent_with_user \
        kill_nested_containers wait_nested_containers launch_nested_container_sessions_as_user \
        launch_nested_container_sessions_under_parent_with_user attach_containers_input \
        attach_containers_output view_containers set_log_level remove_nested_containers \
        register_agents update_maintenance_schedules get_maintenance_schedules \
        start_maintenances stop_maintenances get_maintenance_statuses drain_agents \
        deactivate_agents reactivate_agents mark_agents_gone launch_standalone_containers \
        kill_standalone_containers wait_standalone_containers remove_standalone_containers \
        view_standalone_containers modify_resource_provider_configs \
        mark_resource_providers_gone view_resource_providers prune_images resize_volumes \
        create_block_disks destroy_block_disks create_mount_disks destroy_mount_disks \
        destroy_raw_disks";

    fn lists() -> serde_json::Map<String, Value> {
        let acls: Value = serde_json::from_str(&acls()).unwrap();
        acls.as_object().unwrap().clone()
    }

    #[test]
    fn every_key_of_the_access_lists_is_one_that_mesos_knows() {
        let defined: Vec<&str> = DEFINED.split_whitespace().collect();
        for key in lists().keys() {
            assert!(defined.contains(&key.as_str()), "{key}");
        }
    }

    #[test]
    fn who_is_not_named_may_nothing_and_an_agent_may_only_register() {
        let lists = lists();
        assert_eq!(lists["permissive"], false);
        let names = |key: &str| {
            let entries = lists[key].as_array().unwrap().iter();
            let named =
                entries.map(|entry| entry["principals"]["values"].as_array().unwrap());
            Value::from(named.flatten().cloned().collect::<Vec<_>>())
        };
        for key in lists.keys().filter(|key| *key != "permissive") {
            let named = names(key);
            let expected = match key.as_str() {
                "register_frameworks" | "run_tasks" => json!(["marathon", "chronos"]),
                "register_agents" => json!(["agent"]),
                "reserve_resources"
                | "unreserve_resources"
                | "create_volumes"
                | "resize_volumes"
                | "destroy_volumes" => json!(["marathon"]),
                _ => json!(["platform"]),
            };
            assert_eq!(named, expected, "{key}");
        }
    }
}
