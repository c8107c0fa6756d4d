//! Mesos agents: each runs tasks on its host, and the tasks go on when the agent restarts.
//!
//! An agent runs from its image's file system directly under systemd. In a container it could
//! not restart without its tasks: the end of a container ends everything that it started. While
//! it has tasks, an agent refuses to start with changes that make it a different agent to its
//! master, such as another attribute. So [`check`] refuses them, on values, before anything is
//! changed.
//!
//! An agent that was marked gone ends its tasks and then itself, and does so again at each start
//! with its old id. So its unit leaves it stopped, and writes a mark. If the inventory still has
//! the host, it comes back as a new agent, with changes that only a new agent accepts.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::{Compression, GzBuilder};
use minijinja::context;
use serde_json::json;

use super::identity::{self, Identity};
use super::mesos::{self, AGENT, OPERATOR, TASKS, credential, private};
use super::service::unit_file;
use super::spec::{Clients, Health, Port, Spec, StateUse, no_remedy};
use super::znode::ZookeeperUser;
use super::{Context, Stage, Wants, docker, path, ports};
use crate::host::HostName;
use crate::inventory::Component;
use crate::inventory::component::AGENT_PORT;
use crate::path::HostPath;
use crate::resource::probe::Questions;
use crate::resource::{
    Absent, Cgroups, Content, Directory, Facts, File, FileState, Owned, Resource, Sysctl,
    Tree, Unit, UnitState, User,
};
use crate::secret::{Secret, SecretBytes};
use crate::template::{BadTemplate, render};
use crate::topology::{Node, Topology};

/// Where an agent's data is on its host. The agent sees it at the same path, as containers of
/// tasks get folders of it under that path.
const DATA: &str = "/var/lib/platform/mesos-agent";
/// Where the files of its tasks are: the folder `slaves` there.
pub(super) const WORK: &str = "/var/lib/platform/mesos-agent/work";
/// Where an agent's configuration is on its host.
const CONFIG: &str = "/etc/platform/mesos-agent";
/// The registries' passwords as apps fetch them, at a path that existing apps rely on.
const LOGIN: &str = "/etc/docker.tar.gz";
/// The same passwords for the agent's own pulls, in a configuration folder of Docker's client.
const PULL_LOGIN: &str = "/etc/platform/mesos-agent/docker/config.json";
/// The script that the agent calls as Docker's client.
const CLIENT: &str = "/etc/platform/mesos-agent/docker-client";
/// The key with which an agent signs the tokens of executors.
const KEY: &str = "/var/lib/platform/mesos-agent/executors.key";
/// The unit that runs an agent.
pub const UNIT: &str = "platform-mesos-agent.service";

/// The Mesos agents' password in ZooKeeper.
const ZOOKEEPER_SECRET: &str = "agent-zookeeper";

/// The Mesos agents.
pub(super) const SPEC: Spec = Spec {
    component: Component::MesosAgent,
    title: "the Mesos agents",
    instance: "the Mesos agent",
    serve: ["the agent on {} is registered", "the agents on {} are registered"],
    unit: UNIT,
    stage: Stage::Agents,
    ports: &[Port::new(AGENT_PORT, Clients::Users)],
    connects_to: &[Component::Zookeeper, Component::MesosMaster],
    interrupted_by: &[],
    framework: None,
    zookeeper: Some(ZookeeperUser {
        name: AGENT,
        secret: ZOOKEEPER_SECRET,
        nodes: &[],
        is_public: false,
    }),
    state: &[
        StateUse::Secret(mesos::AGENT_SECRET),
        // Agents only read in ZooKeeper, which anyone may.
        StateUse::Renewable(ZOOKEEPER_SECRET),
    ],
    health: Health::Agents,
    wants,
    ask,
    remedy: no_remedy,
};

/// Adds the questions about an agent that may have been marked gone.
fn ask(questions: &mut Questions) {
    questions.path(&latest());
    questions.path(&gone());
}

/// Whether the host's agent stopped for good because its master told it to, as one that was
/// marked gone does. It has then ended all of its tasks first.
pub fn is_gone(facts: &Facts) -> bool {
    let rests = |unit: &UnitState| unit.active == "inactive";
    let is_marked = |state: &FileState| *state != FileState::Missing;
    facts.unit(UNIT).is_ok_and(rests) && facts.file(&gone()).is_ok_and(is_marked)
}

/// An agent that would have to register again as a new agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused: the agent on {host} {}; an agent with tasks does not accept this and must be \
     drained first, which this program cannot do yet: undo the change for this host in the \
     inventory",
    differences.join(", ")
)]
pub struct NeedsDrain {
    host: HostName,
    differences: Vec<String>,
}

/// Checks that every agent accepts the changes that the inventory asks for.
///
/// # Errors
/// When one would have to be drained first; the first such host is named, with all differences.
pub fn check<'a>(
    nodes: impl IntoIterator<Item = (&'a Node, &'a Facts)>,
) -> Result<(), NeedsDrain> {
    for (node, facts) in nodes {
        let differences = differences(node, facts);
        if !differences.is_empty() {
            return Err(NeedsDrain { host: node.host.clone(), differences });
        }
    }
    Ok(())
}

fn differences(node: &Node, facts: &Facts) -> Vec<String> {
    // It has no tasks any more, and never comes back with its old identity.
    if is_gone(facts) {
        return Vec::new();
    }
    let unit = |owned: &Owned| matches!(owned, Owned::Unit { name } if name == UNIT);
    let runs = facts.manifest.entries().iter().any(unit);
    if !node.runs(Component::MesosAgent) {
        return runs.then(|| "would be removed".to_owned()).into_iter().collect();
    }
    match facts.file(&identity::kept_at()) {
        Ok(FileState::Present { text: Some(text), .. }) => match Identity::read(text) {
            Some(before) => before.lost_in(&Identity::of(node)),
            None => vec![format!(
                "has an identity in {} that cannot be read",
                identity::kept_at()
            )],
        },
        _ => Vec::new(),
    }
}

/// An agent's image, folder, files and unit.
///
/// # Errors
/// When the template cannot be rendered.
fn wants(context: Context<'_>, facts: &Facts) -> Result<Wants, BadTemplate> {
    let Some(image) = context.pulled(Component::MesosAgent) else {
        return Ok(Vec::new());
    };
    let tree = Tree::outlived(&image, "mesos-agent");
    let identity = Identity::of(context.node);
    let files = files(context, &identity);
    let service = service(context, &identity, &tree, facts)?;
    // The login is read whenever a task starts: the agent need not restart for a new one.
    let is_login = |file: &&File| [LOGIN, PULL_LOGIN].contains(&file.path.as_str());
    let inputs = files.iter().filter(|file| !is_login(file));
    let unit = Unit::named(UNIT).started_with(inputs.chain([&service]));
    let drop_in = unit.drop_in();
    let forgotten = is_gone(facts).then(forgotten);
    let resources = reserved_ports(context, facts)
        .map(Resource::Sysctl)
        .into_iter()
        .chain([Resource::Directory(data()), Resource::Image(image)])
        .chain([Resource::Tree(tree), Resource::File(identity.file())])
        .chain([Resource::User(tasks())])
        .chain(files.into_iter().chain([service]).chain(drop_in).map(Resource::File))
        .chain(forgotten.map(Resource::Absent))
        .chain([Resource::Unit(unit)]);
    Ok(resources.map(|resource| (Stage::Agents, resource)).collect())
}

/// The setting that reserves the ports of tasks; `None` if the inventory itself sets it.
fn reserved_ports(context: Context<'_>, facts: &Facts) -> Option<Sysctl> {
    let is_set = context.inputs.platform.base.sysctls.contains_key(ports::SETTING);
    let own = (!is_set).then_some(&context.node.agent_spec.resources.ports)?;
    ports::reserved(own, facts)
}

fn files(context: Context<'_>, identity: &Identity) -> Vec<File> {
    let own = |name: &str, content| private(&format!("{CONFIG}/{name}"), content, "root");
    let inputs = context.inputs;
    let zookeeper = (AGENT, inputs.secret(ZOOKEEPER_SECRET));
    let of_this_agent = inputs.agents.get(&context.node.host);
    let operator = of_this_agent.map(|password| credential(OPERATOR, password));
    let operator = json!({ "credentials": Vec::from_iter(operator) });
    let login = docker::login(context);
    let mut files = vec![
        own("zk", Content::from(mesos::masters_url(context.topology, zookeeper))),
        own(
            "credential.json",
            secret(credential(AGENT, inputs.secret(mesos::AGENT_SECRET)).to_string()),
        ),
        own("http-credentials.json", secret(operator.to_string())),
        private(PULL_LOGIN, login.clone(), "root"),
        docker_client(),
        File::public(path(&format!("{CONFIG}/acls.json")), mesos::acls_of_agent(context)),
        login_of_tasks(&login),
    ];
    if let Some(domain) = &identity.domain {
        let text = format!("{}\n", mesos::domain(domain));
        files.push(File::public(path(&format!("{CONFIG}/domain.json")), text));
    }
    files
}

/// Docker's client, with the login for tasks that have not fetched a login of their own. The agent
/// has a flag for this login, but writes the value of the flag to its log.
fn docker_client() -> File {
    let script = include_str!("../../templates/mesos-agent/docker-client");
    File { mode: 0o755, ..File::public(path(CLIENT), script.to_owned()) }
}

/// The login that apps fetch. It is fetched as the app's user, which must be able to read it.
fn login_of_tasks(login: &Secret) -> File {
    let file = File::private(path(LOGIN), packed(login));
    File { mode: 0o640, ..file }.owned_by("root", TASKS)
}

fn secret(text: String) -> Content {
    Secret::new(text).into()
}

/// The registries' passwords as an archive that holds `.docker/config.json`: the same bytes for
/// the same passwords, so that the file changes only with them.
fn packed(login: &Secret) -> SecretBytes {
    let text = login.expose().as_bytes();
    let mut header = tar::Header::new_gnu();
    header.set_path(".docker/config.json").expect("a short name fits into the header");
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    let in_memory = "memory takes all that is written";
    archive.append(&header, text).expect(in_memory);
    let archive = archive.into_inner().expect(in_memory);
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(&archive).expect(in_memory);
    SecretBytes::new(gzip.finish().expect(in_memory))
}

/// The user as which tasks run: it owns nothing, and cannot log in.
fn tasks() -> User {
    User { name: TASKS.to_owned(), shell: "/usr/sbin/nologin".to_owned() }
}

/// Names the hosts where command tasks can use more memory than they asked for; `None` if all
/// hosts limit them. Docker itself limits the tasks that it runs.
pub fn unlimited(
    topology: &Topology,
    facts: &BTreeMap<HostName, Facts>,
) -> Option<String> {
    let is_limited = |facts: &Facts| facts.system.cgroups == Cgroups::V1;
    let free = |host: &HostName| facts.get(host).is_some_and(|facts| !is_limited(facts));
    let hosts = topology.agents().map(|node| &node.host).filter(|host| free(host));
    let hosts: Vec<&str> = hosts.map(HostName::as_str).collect();
    (!hosts.is_empty()).then(|| {
        format!(
            "the memory of tasks that run without Docker is not limited on {}: Mesos limits it \
             with control groups of version 1, but these hosts have only version 2",
            hosts.join(", ")
        )
    })
}

/// The flags of an agent. Its own support for systemd needs systemd's programs, which its file
/// system lacks. The `linux` launcher mounts a hierarchy of version 1 onto a host of version 2;
/// with the `posix` launcher, tasks are known to go on while the agent restarts, under both
/// versions. The limits of tasks on memory and processors work only on hosts with control groups
/// of version 1; on a host with only version 2 that flag breaks what other programs need. Whether
/// an agent can run containers at all with the host's control groups depends on its version: the
/// catalogue says what it needs.
fn flags(context: Context<'_>, identity: &Identity, facts: &Facts) -> Vec<String> {
    let address = context.node.address;
    let mut flags = vec![
        format!("--master=file://{CONFIG}/zk"),
        format!("--ip={address}"),
        format!("--hostname={}", identity.hostname),
        format!("--port={AGENT_PORT}"),
        format!("--work_dir={WORK}"),
        "--runtime_dir=/run/mesos".to_owned(),
        "--containerizers=docker,mesos".to_owned(),
        "--no-systemd_enable_support".to_owned(),
        "--launcher=posix".to_owned(),
        // Containers that it does not know may belong to other programs on the same host.
        "--no-docker_kill_orphans".to_owned(),
        format!("--docker={CLIENT}"),
        "--docker_socket=/run/docker.sock".to_owned(),
        // This time includes the pull of the image.
        "--executor_registration_timeout=10mins".to_owned(),
        "--reconfiguration_policy=additive".to_owned(),
        format!("--credential={CONFIG}/credential.json"),
        "--authenticate_http_readonly".to_owned(),
        "--authenticate_http_readwrite".to_owned(),
        format!("--http_credentials={CONFIG}/http-credentials.json"),
        format!("--acls=file://{CONFIG}/acls.json"),
        // The executor of pods speaks HTTP, and has to prove its identity with a token. The key
        // of the tokens is made on the host, and never leaves it.
        "--authenticate_http_executors".to_owned(),
        format!("--jwt_secret_key={KEY}"),
        "--switch_user".to_owned(),
        format!("--resources={}", identity.resources()),
    ];
    if facts.system.cgroups == Cgroups::V1 {
        flags.push("--isolation=cgroups/cpu,cgroups/mem".to_owned());
    }
    if !identity.attributes.is_empty() {
        flags.push(format!("--attributes={}", identity.attributes()));
    }
    if identity.domain.is_some() {
        flags.push(format!("--domain=file://{CONFIG}/domain.json"));
    }
    flags
}

fn service(
    context: Context<'_>,
    identity: &Identity,
    tree: &Tree,
    facts: &Facts,
) -> Result<File, BadTemplate> {
    let text = render(
        "mesos-agent/platform-mesos-agent.service",
        include_str!("../../templates/mesos-agent/platform-mesos-agent.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            flags => flags(context, identity, facts),
            root => tree.path().as_str(),
            config => CONFIG,
            data => DATA,
            gone => gone().as_str(),
            key => KEY,
            users => mesos::task_users(context).join(", "),
        },
    )?;
    Ok(unit_file(UNIT, text))
}

/// The link that must be missing so that an agent that is gone starts as a new one.
fn forgotten() -> Absent {
    let reason = "its agent was marked gone; it comes back as a new one".to_owned();
    Absent { path: latest(), reason }
}

/// The link to the state with which the agent last ran.
fn latest() -> HostPath {
    path(&format!("{WORK}/meta/slaves/latest"))
}

/// The mark that the unit writes when its agent stopped for good.
fn gone() -> HostPath {
    path(&format!("{DATA}/gone"))
}

fn data() -> Directory {
    let root = || "root".to_owned();
    Directory { path: path(DATA), mode: 0o755, owner: root(), group: root(), data: true }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_login_is_packed_the_same_way_each_time_and_under_its_usual_name() {
        let login = Secret::new("{\"auths\":{}}");
        let bytes = packed(&login);
        assert_eq!(bytes, packed(&login));
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.expose()));
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some(".docker/config.json"));
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, login.expose());
        assert!(entries.next().is_none());
    }
}
