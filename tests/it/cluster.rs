//! A simulated cluster: hosts answer a probe as if certain things were on them.
//!
//! The answers are lines as a host's shell writes them, and the program's own parser reads them:
//! the plans here are made from the same data as real plans.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use platform::component::znode::{self, Secure, Seen};
use platform::component::{
    self, Context, ImageFacts, Inputs, Spec, Wants, firewall, marathon, master, zookeeper,
};
use platform::host::HostName;
use platform::inventory::{self, Component, Inventory, Needs, Provider};
use platform::plan::{
    self, Folder, Forming, MembersHealth, NoPlan, Plan, Push, Situation,
};
use platform::provider::{local, ssh};
use platform::resource::probe;
use platform::resource::{
    Content, Facts, File, Firewall, Manager, Owned, Package, Resource, Tree,
};
use platform::secret::Secret;
use platform::topology::{Machine, Node, Topology};
use serde_json::{Value, json};

/// Where a member's data is.
const DATA: &str = "/var/lib/platform/zookeeper";

/// A state folder with everything in it.
pub(crate) fn folder() -> Folder<'static> {
    Folder { path: Path::new(".platform/lab"), made: &[], served: None }
}

/// Directories that every host has.
const EVERYWHERE: [&str; 8] = [
    "/etc",
    "/etc/systemd/system",
    "/etc/systemd",
    "/etc/sysctl.d",
    "/opt",
    "/var",
    "/var/lib",
    "/var/lib/platform",
];

/// A cluster and the inputs of its components.
pub(crate) struct Cluster {
    pub(crate) topology: Topology,
    pub(crate) inputs: Inputs,
}

impl Cluster {
    /// The cluster of an inventory whose machines all exist, with constant inputs.
    pub(crate) fn of(text: &str) -> Self {
        let exists = |_: &Path| true;
        let inventory = inventory::read(text, &exists).expect("a valid inventory");
        let topology =
            Topology::new(&inventory, &machines(&inventory)).expect("an odd ensemble");
        let inputs = inputs(&inventory, &topology);
        Self { topology, inputs }
    }

    pub(crate) fn wants(&self, node: &Node, facts: &Facts) -> Wants {
        let context = Context { topology: &self.topology, node, inputs: &self.inputs };
        component::wants(context, facts).expect("the templates are given all they name")
    }

    /// The questions to a host: everything that it would get if nothing were known about it.
    fn asked(&self, node: &Node) -> Vec<Resource> {
        let wants = self.wants(node, &Facts::default());
        wants.into_iter().map(|(_, resource)| resource).collect()
    }

    /// The answer of a host that has the things in `there`; `also` are lines at the end.
    pub(crate) fn answer(&self, node: &Node, there: &[Resource], also: &str) -> Facts {
        let asked = self.asked(node);
        let mut lines = machine(there);
        for resource in &asked {
            lines.extend(state(resource, there));
        }
        if node.runs(Component::Zookeeper) {
            lines.extend(data(there));
        }
        if node.runs(Component::MesosMaster) {
            lines.extend(log(there));
        }
        lines.extend(there.iter().flat_map(|resource| records(resource, there)));
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let answer = format!("{}\n{also}\n{{\"q\":\"end\"}}\n", lines.join("\n"));
        probe::parse(&answer, 1000.0).unwrap_or_else(|bad| panic!("{bad}"))
    }

    /// Everything that an earlier run of this inventory installed on a host.
    pub(crate) fn applied(&self, node: &Node) -> Vec<Resource> {
        let installed = self.answer(node, &[], "");
        let wants = self.wants(node, &installed);
        wants.into_iter().map(|(_, resource)| resource).collect()
    }

    /// Plans as `up` does.
    pub(crate) fn plan(
        &mut self,
        facts: &BTreeMap<HostName, Facts>,
        health: &MembersHealth,
        pushes: &[Push],
    ) -> Result<Plan, NoPlan> {
        self.look(facts);
        let (topology, wants) = (&self.topology, self.all_wants(facts));
        let nodes = self.nodes();
        let nodes = &nodes;
        plan::build(&Situation {
            topology,
            wants: &wants,
            facts,
            health,
            pushes,
            nodes,
            preflight_failures: &[],
            folder: folder(),
            forming: self.forming(),
        })
    }

    /// What has not begun yet, after [`look`](Self::look).
    pub(crate) fn forming(&self) -> Forming {
        Forming {
            ensemble: self.inputs.forming.contains(&Component::Zookeeper),
            masters: self.inputs.forming.contains(&Component::MesosMaster),
        }
    }

    /// The changes of ZooKeeper's nodes: all if the ensemble has not formed yet, and none if it
    /// serves.
    fn nodes(&self) -> Vec<Secure> {
        let ensemble = self.topology.zookeeper().into_iter();
        let wanted = ensemble.flat_map(|_| znode::wanted(&self.topology, &self.inputs));
        match self.forming().ensemble {
            true => znode::changes(wanted.collect(), &Seen::of_new()),
            false => Vec::new(),
        }
    }

    /// Checks whether the ensemble and the masters have formed.
    pub(crate) fn look(&mut self, facts: &BTreeMap<HostName, Facts>) {
        self.topology.keep_numbers(&zookeeper::numbers(facts.values()));
        let members =
            self.topology.nodes.iter().filter(|node| node.runs(Component::Zookeeper));
        let of_members = members.filter_map(|node| facts.get(&node.host));
        let ensemble = zookeeper::forming(of_members).expect("every member answered");
        let masters =
            self.topology.nodes.iter().filter(|node| node.runs(Component::MesosMaster));
        let of_masters = masters.filter_map(|node| facts.get(&node.host));
        let masters = master::forming(of_masters).expect("every master answered");
        self.inputs.forming = Forming { ensemble, masters }.components();
        let marathons =
            self.topology.nodes.iter().filter(|node| node.runs(Component::Marathon));
        let of_marathons = marathons.filter_map(|node| facts.get(&node.host));
        self.inputs.as_root = marathon::registered_as_root(of_marathons);
    }

    /// The wanted state of each host.
    pub(crate) fn all_wants(
        &self,
        facts: &BTreeMap<HostName, Facts>,
    ) -> BTreeMap<HostName, Wants> {
        let wants = self.topology.nodes.iter().map(|node| {
            let wants = facts.get(&node.host).map(|facts| self.wants(node, facts));
            (node.host.clone(), wants.unwrap_or_default())
        });
        wants.collect()
    }
}

fn machines(inventory: &Inventory) -> Vec<Machine> {
    match &inventory.provider {
        Provider::Ssh(_) => ssh::machines(inventory),
        Provider::Aws(_) => panic!("a cluster of AWS has no machines without AWS"),
        Provider::Local(network) => {
            let wanted = local::wanted(inventory);
            let plan = local::plan(&wanted, &[], network.subnet).expect("there is room");
            plan.create.iter().map(local::NewMachine::planned).collect()
        }
    }
}

fn inputs(inventory: &Inventory, topology: &Topology) -> Inputs {
    let image = |component, version: &str, digit: &str| {
        let (id, digest) = (format!("sha256:1{digit}"), format!("sha256:2{digit}"));
        let (version, needs) = (version.to_owned(), Needs::default());
        (component, ImageFacts { version, id, digest, needs })
    };
    let certificate = |node: &Node| {
        let chain = format!("certificate of {}\n", node.host);
        (node.host.clone(), (chain, Secret::new("secret-tls-key")))
    };
    let of_agent = |node: &Node| {
        (node.host.clone(), Secret::new(format!("secret-of-{}", node.host)))
    };
    let base = &inventory.platform.base;
    let of_units = base.units.iter().filter_map(|unit| unit.source.as_ref());
    let sources = base.files.iter().map(|file| &file.source).chain(of_units);
    Inputs {
        platform: inventory.platform.clone(),
        images: BTreeMap::from([
            image(Component::Registry, "2.8.2", "a"),
            image(Component::Zookeeper, "3.8.0", "b"),
            image(Component::MesosMaster, "1.11.0", "c"),
            image(Component::MesosAgent, "1.11.0", "d"),
            image(Component::Marathon, "1.11.24", "e"),
            image(Component::Chronos, "3.0.2", "f"),
            image(Component::Haproxy, "2.6.12", "0"),
            image(Component::Keepalived, "2.2.7", "1"),
        ]),
        files: sources.map(|source| (source.clone(), content(source))).collect(),
        ca: "certificate of the authority\n".to_owned(),
        secrets: secrets(),
        agents: topology.agents().map(of_agent).collect(),
        htpasswd: Secret::new("platform:secret-hash\n"),
        pushers: vec!["platform".to_owned()],
        edge_logins: vec![("platform".to_owned(), Secret::new("$6$secret-edge-hash"))],
        own_certificate: None,
        certificates: topology.registries().map(certificate).collect(),
        forming: BTreeSet::new(),
        firewall: firewall::Settings::of(inventory),
        as_root: false,
    }
}

/// A secret of each name, which no other has.
fn secrets() -> BTreeMap<&'static str, Secret> {
    let uses = Spec::all().flat_map(|spec| spec.state);
    let names = uses.filter_map(|used| used.secret());
    names.map(|name| (name, Secret::new(format!("secret-{name}")))).collect()
}

/// A file that an inventory names contains its own name.
fn content(source: &Path) -> Content {
    format!("content of {}\n", source.display()).into()
}

fn is_there(resource: &Resource, there: &[Resource]) -> bool {
    let key = resource.key(Manager::Apt);
    there.iter().any(|other| other.key(Manager::Apt) == key)
}

fn machine(there: &[Resource]) -> Vec<Value> {
    let is_hybrid = there.iter().any(|resource| matches!(resource, Resource::Booted(_)));
    let cgroups = if is_hybrid { "v1" } else { "v2" };
    let docker = Resource::Unit(platform::resource::Unit::named("docker.service"));
    let docker = match is_there(&docker, there) {
        true => json!({"q": "docker", "command": "/usr/bin/docker",
            "version": "20.10.24", "in_place": true}),
        false => json!({"q": "docker", "offered": "20.10.24+dfsg1"}),
    };
    let generation = if there.is_empty() { "" } else { "run-1/0/0" };
    vec![
        json!({"q": "system", "os": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-18",
            "arch": "x86_64", "cpus": 2, "memory_kib": 4_000_000, "free_kib": 20_000_000, "disk": "/var/lib",
            "cgroups": cgroups, "systemd": true, "apparmor": false}),
        json!({"q": "path", "path": "/proc/self/ns/net", "kind": "symbolic link", "mode": "777",
            "owner": ["root", "0"], "group": ["root", "0"], "inode": 7, "changed": 1000}),
        json!({"q": "generation", "generation": generation}),
        json!({"q": "manager", "manager": "apt"}),
        docker,
    ]
}

/// The answer of a host about one thing that it was asked for.
fn state(asked: &Resource, there: &[Resource]) -> Vec<Value> {
    let found =
        there.iter().find(|other| other.key(Manager::Apt) == asked.key(Manager::Apt));
    match (asked, found) {
        (Resource::Package(package), found) => self::package(package, found.is_some()),
        (Resource::User(user), None) => vec![json!({"q": "user", "name": user.name})],
        (_, Some(Resource::User(user))) => {
            vec![json!({"q": "user", "name": user.name, "shell": user.shell})]
        }
        (Resource::Sysctl(sysctl), None) => vec![
            json!({"q": "missing", "path": sysctl.file()}),
            json!({"q": "sysctl", "name": sysctl.name, "value": "60"}),
        ],
        (_, Some(Resource::Sysctl(sysctl))) => {
            let kept = File::public(sysctl.file(), sysctl.line());
            let mut lines = file(&kept, None);
            lines
                .push(json!({"q": "sysctl", "name": sysctl.name, "value": sysctl.value}));
            lines
        }
        (Resource::Directory(directory), None) => {
            vec![json!({"q": "missing", "path": directory.path})]
        }
        (_, Some(Resource::Directory(directory))) => {
            let access = (directory.mode, &directory.owner, &directory.group);
            vec![path(directory.path.as_str(), "directory", access)]
        }
        (Resource::File(file), None) => vec![json!({"q": "missing", "path": file.path})],
        (Resource::File(asked), Some(Resource::File(found))) => file(found, Some(asked)),
        (Resource::Image(image), found) => {
            vec![
                json!({"q": "image", "id": image.id, "present": found.is_some_and(|found| {
                    matches!(found, Resource::Image(found) if found.id == image.id)
                })}),
            ]
        }
        (Resource::Absent(absent), _) => {
            vec![json!({"q": "missing", "path": absent.path})]
        }
        (Resource::Tree(tree), found) => match found {
            None => vec![json!({"q": "missing", "path": tree.path()})],
            Some(_) => {
                let root = "root".to_owned();
                vec![path(tree.path().as_str(), "directory", (0o755, &root, &root))]
            }
        },
        (Resource::Firewall(_), found) => self::firewall(found),
        (Resource::Unit(unit), found) => self::unit(&unit.name, found.is_some(), there),
        (Resource::Boot(_), found) => boot(found.is_some()),
        (Resource::Booted(_), _) => Vec::new(),
        (_, Some(other)) => panic!("{other:?} has the key of another kind"),
    }
}

/// A package, and the command that it must install.
fn package(package: &Package, is_there: bool) -> Vec<Value> {
    let name = package.name(Manager::Apt);
    let known = is_there.then(
        || json!({"q": "package", "name": name, "status": "installed", "version": "1"}),
    );
    let asked = [Manager::Apt, Manager::Dnf]
        .map(|manager| json!({"q": "package_asked", "name": package.name(manager)}));
    let command = package
        .command()
        .map(|command| json!({"q": "command", "name": command, "present": is_there}));
    known.into_iter().chain(asked).chain(command).collect()
}

/// The firewall of a host that has loaded these rules, or none.
fn firewall(found: Option<&Resource>) -> Vec<Value> {
    let (state, rules) = match found {
        Some(Resource::Firewall(found)) => ("confirmed", found.rules.as_str()),
        _ => ("", ""),
    };
    let is_there = found.is_some();
    let loaded =
        json!({"q": "firewall", "state": state, "rules": rules, "intact": is_there});
    [vec![loaded], unit(Firewall::UNIT, is_there, &[])].concat()
}

/// A machine booted by GRUB, with only control groups of version 2 unless set otherwise.
fn boot(is_set: bool) -> Vec<Value> {
    let file = "/etc/default/grub.d/99-platform.cfg";
    let setting = "systemd.unified_cgroup_hierarchy=0";
    let text = format!(
        "# Written by platform: control groups of version 1 beside version 2.\n\
         GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {setting}\"\n"
    );
    let (mut lines, now) = match is_set {
        false => (vec![json!({"q": "missing", "path": file})], ""),
        true => {
            let file = File::public(file.parse().expect("a path"), text);
            (self::file(&file, None), setting)
        }
    };
    lines.push(
        json!({"q": "boot", "id": "boot-1", "systemd": 252, "container": false, "grub": true,
        "now": now, "next": now}),
    );
    lines
}

fn path(path: &str, kind: &str, (mode, owner, group): (u32, &String, &String)) -> Value {
    json!({"q": "path", "path": path, "kind": kind, "mode": format!("{mode:o}"),
        "owner": [owner, "-1"], "group": [group, "-1"]})
}

/// An existing file; its text is included if it was requested and is different.
fn file(found: &File, asked: Option<&File>) -> Vec<Value> {
    let access = (found.mode, &found.owner, &found.group);
    let sha256 = found.content.sha256();
    let mut lines = vec![
        path(found.path.as_str(), "regular file", access),
        json!({"q": "sha256", "path": found.path, "sha256": sha256}),
    ];
    let open = |file: &&File| matches!(file.content, Content::Open(_));
    if asked.filter(open).is_some_and(|asked| asked.content.sha256() != sha256) {
        use base64::Engine;
        let text = base64::prelude::BASE64_STANDARD.encode(found.content.bytes());
        lines.push(json!({"q": "text", "path": found.path, "base64": text}));
    }
    lines
}

/// A unit; an existing unit was started with the existing files.
fn unit(name: &str, is_there: bool, there: &[Resource]) -> Vec<Value> {
    let (load, active, enabled) = match is_there {
        true => ("loaded", "active", "enabled"),
        false => ("not-found", "inactive", ""),
    };
    let show = |line: String| json!({"q": "unit", "show": line});
    let mut lines = vec![
        show(format!("Id={name}")),
        show(format!("LoadState={load}")),
        show(format!("ActiveState={active}")),
        show(format!("UnitFileState={enabled}")),
        show("NeedDaemonReload=no".to_owned()),
        show(String::new()),
    ];
    let notes = format!("/etc/systemd/system/{name}.d/50-platform.conf");
    let files = || {
        there.iter().filter_map(|resource| match resource {
            Resource::File(file) => Some(file),
            _ => None,
        })
    };
    let noted = files().find(|file| file.path.as_str() == notes);
    let noted =
        noted.map(|file| String::from_utf8_lossy(file.content.bytes()).into_owned());
    let noted = noted.unwrap_or_default();
    for file in files() {
        if noted.split_whitespace().any(|word| word == file.path.as_str()) {
            let (path, sha256) = (&file.path, file.content.sha256());
            lines.push(
                json!({"q": "started", "unit": name, "path": path, "sha256": sha256}),
            );
        }
    }
    lines
}

/// What a member's data shows about its past: it has a past if the member runs.
fn data(there: &[Resource]) -> Vec<Value> {
    let member = Resource::Unit(platform::resource::Unit::named(zookeeper::UNIT));
    let paths = ["version-2/acceptedEpoch", "version-2/snapshot.0"]
        .map(|name| format!("{DATA}/{name}"));
    let mut lines = vec![json!({"q": "missing", "path": format!("{DATA}/initialize")})];
    for path in paths {
        let text = "1".to_owned();
        match is_there(&member, there) {
            true => {
                let path = path.parse().expect("a path");
                lines.extend(file(
                    &File::public(path, text).owned_by("2181", "2181"),
                    None,
                ));
            }
            false => lines.push(json!({"q": "missing", "path": path})),
        }
    }
    lines
}

/// What a master's data shows about its past: it has a log if the master runs.
fn log(there: &[Resource]) -> Vec<Value> {
    let master = Resource::Unit(platform::resource::Unit::named(master::UNIT));
    let own = |name: &str| format!("/var/lib/platform/mesos-master/{name}");
    let user = "5050".to_owned();
    let log = own("replicated_log");
    let log = match is_there(&master, there) {
        true => path(&log, "directory", (0o755, &user, &user)),
        false => json!({"q": "missing", "path": log}),
    };
    vec![log, json!({"q": "missing", "path": own("initialize")})]
}

/// The host's own record of a thing, and of the directories that were created for it.
fn records(resource: &Resource, there: &[Resource]) -> Vec<Value> {
    let own = match resource.clone() {
        Resource::Package(package) => {
            let name = package.name(Manager::Apt).to_owned();
            Some(Owned::Package { manager: Manager::Apt, asked: name.clone(), name })
        }
        Resource::User(user) => Some(Owned::User { name: user.name }),
        Resource::Sysctl(sysctl) => {
            Some(Owned::Sysctl { name: sysctl.name, before: "60".to_owned() })
        }
        Resource::Directory(directory) => {
            Some(Owned::Directory { path: directory.path, data: directory.data })
        }
        Resource::File(file) if file.data => None,
        Resource::Absent(_) => None,
        Resource::File(file) => Some(Owned::File { path: file.path }),
        Resource::Image(image) => Some(Owned::Image { id: image.id, name: image.name }),
        Resource::Tree(tree) => {
            let path = tree.path();
            let Tree { name, program, ends_together, .. } = tree;
            Some(Owned::Tree { path, name, program, ends_together })
        }
        Resource::Firewall(_) => Some(Owned::Firewall),
        Resource::Unit(unit) => Some(Owned::Unit { name: unit.name }),
        Resource::Boot(_) => {
            let path = "/etc/default/grub.d/99-platform.cfg".parse().expect("a path");
            Some(Owned::Boot { path })
        }
        Resource::Booted(_) => None,
    };
    let mut owned = parents(resource, there);
    owned.extend(own);
    let line = |owned: Owned| {
        let mut line = serde_json::to_value(owned).expect("plain data");
        line["q"] = "ours".into();
        line
    };
    owned.into_iter().map(line).collect()
}

fn parents(resource: &Resource, there: &[Resource]) -> Vec<Owned> {
    let path = match resource {
        Resource::File(File { path, .. })
        | Resource::Directory(platform::resource::Directory { path, .. }) => path.clone(),
        Resource::Tree(tree) => tree.path(),
        _ => return Vec::new(),
    };
    let wanted = |parent: &str| {
        there.iter().any(|other| {
            matches!(other, Resource::Directory(directory) if directory.path.as_str() == parent)
        })
    };
    let above = Path::new(path.as_str()).ancestors().skip(1);
    let above = above.map(|parent| parent.to_string_lossy().into_owned());
    above
        .filter(|parent| parent != "/" && !EVERYWHERE.contains(&parent.as_str()))
        .filter(|parent| !wanted(parent))
        .map(|parent| Owned::Directory {
            path: parent.parse().expect("a path"),
            data: false,
        })
        .collect()
}

/// The lines of a host which has a file with this text at a path.
pub(crate) fn holds(path: &str, text: &str) -> String {
    let path = path.parse().expect("a path");
    let lines = file(&File::public(path, text.to_owned()), None);
    lines.iter().map(|line| format!("{line}\n")).collect()
}
