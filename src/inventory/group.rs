//! Reads `groups`: the machines and what they do.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use super::access::Kind;
use super::diagnostic::Diagnostic;
use super::jump_host::is_reachable;
use super::reader::{Fields, Reader, Spanned, did_you_mean, spoken};
use super::tree::{Entry, Node, Value};
use super::{
    AgentSpec, FaultDomain, GivenHost, Group, HostSettings, Instances, Members, Role,
    is_label, like_label,
};
use super::{agent_spec, instances};
use crate::host::HostName;
use crate::unit::Size;

/// A group as far as it can be read.
pub(super) struct DraftGroup {
    pub(super) name: Spanned<String>,
    pub(super) roles: Vec<Spanned<Role>>,
    /// Whether `roles` are all that the file gives.
    pub(super) roles_known: bool,
    pub(super) members: Option<DraftMembers>,
    pub(super) memory: Option<Spanned<Size>>,
    pub(super) instances: Instances,
    pub(super) host: HostSettings,
    pub(super) agent_spec: DraftAgentSpec,
}

/// Machines as far as they can be read.
pub(super) struct DraftMembers {
    /// The position of the key that gives their number.
    pub(super) at: Range<usize>,
    /// How many there are, including those with faults.
    pub(super) n_machines: usize,
    /// Those that exist and have no fault; `None` if the provider makes the machines.
    pub(super) given: Option<Vec<DraftHost>>,
}

/// A machine that exists.
pub(super) struct DraftHost {
    pub(super) host: GivenHost,
    /// The position of its name, if it has one.
    pub(super) name_at: Option<Range<usize>>,
    pub(super) address_at: Range<usize>,
    pub(super) agent_spec: DraftAgentSpec,
}

/// What an agent reports about itself, and the position of that in the file.
#[derive(Default)]
pub(super) struct DraftAgentSpec {
    pub(super) value: AgentSpec,
    /// The first key that only an agent can use.
    pub(super) of_agent_at: Option<Range<usize>>,
    pub(super) domain_at: Option<Range<usize>>,
}

impl DraftGroup {
    pub(super) fn runs_zookeeper(&self) -> bool {
        self.roles.iter().any(|role| role.value.runs_zookeeper())
    }

    /// Whether each of its machines has an identity.
    pub(super) fn is_named(&self) -> bool {
        self.roles.iter().any(|role| role.value.has_identity())
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.roles.iter().any(|other| other.value == role)
    }

    /// The domains of its machines, each with its position.
    pub(super) fn domains(&self) -> Vec<(Option<&FaultDomain>, &Range<usize>)> {
        let own = self.agent_spec.value.domain.as_ref();
        let own_at = self.agent_spec.domain_at.as_ref().unwrap_or(&self.name.span);
        let given =
            self.members.iter().flat_map(|members| members.given.iter().flatten());
        let mut of_hosts: Vec<_> = given
            .map(|host| match &host.agent_spec.value.domain {
                Some(domain) => {
                    let at =
                        host.agent_spec.domain_at.as_ref().unwrap_or(&host.address_at);
                    (Some(domain), at)
                }
                None => (own, own_at),
            })
            .collect();
        if of_hosts.is_empty() {
            of_hosts.push((own, own_at));
        }
        of_hosts
    }

    /// The group, if nothing of it is missing.
    pub(super) fn into_group(self) -> Option<Group> {
        let members = self.members?;
        let members = match members.given {
            Some(hosts) => {
                Members::Hosts(hosts.into_iter().map(|host| host.host).collect())
            }
            None => Members::Count(u16::try_from(members.n_machines).ok()?),
        };
        Some(Group {
            name: self.name.value,
            roles: self.roles.into_iter().map(|role| role.value).collect(),
            members,
            memory: self.memory.map(|memory| memory.value),
            instances: self.instances,
            host: self.host,
            agent_spec: self.agent_spec.value,
        })
    }
}

pub(super) fn groups(node: &Node, kind: Option<Kind>, r: &mut Reader) -> Vec<DraftGroup> {
    let entries = r.map(node, "the groups").unwrap_or_default();
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        let help = "write one: `control: {roles: [control], …}`";
        r.fault(Diagnostic::new(&node.at, "there is no group").help(help));
    }
    entries.iter().filter_map(|entry| group(entry, kind, r)).collect()
}

const GROUP_KEYS: [&str; 12] = [
    "roles",
    "count",
    "hosts",
    "memory",
    "type",
    "disk",
    "spot",
    "termination_protection",
    "host",
    "attributes",
    "resources",
    "domain",
];

fn group(entry: &Entry, kind: Option<Kind>, r: &mut Reader) -> Option<DraftGroup> {
    check_name(entry, r);
    let what = format!("group `{}`", entry.key);
    let fields = r.fields(&entry.node, &what, &GROUP_KEYS)?;
    let roles_node = fields.required("roles", "roles: [control]", r);
    let roles = roles_node.map(|node| roles(node, r)).unwrap_or_default();
    let roles_known = match roles_node.map(|node| &node.value) {
        Some(Value::List(items)) => items.len() == roles.len(),
        _ => false,
    };
    let members = members(&fields, kind, r);
    let memory = fields.get("memory").and_then(|node| memory(node, kind, r));
    let instances = instances::instances(&fields, kind, &roles, r);
    let host = fields.get("host").map(|node| host_settings(node, kind, r));
    let host = host.unwrap_or_default();
    let name = Spanned { value: entry.key.clone(), span: entry.key_span.clone() };
    let agent_spec = draft_traits(&fields, r);
    Some(DraftGroup {
        name,
        roles,
        roles_known,
        members,
        memory,
        instances,
        host,
        agent_spec,
    })
}

fn check_name(entry: &Entry, r: &mut Reader) {
    if is_label(&entry.key) {
        return;
    }
    let message = format!("`{}` cannot name a group", entry.key);
    let rule = "1 to 32 lower-case letters, digits and `-`, beginning with a letter";
    let help = match like_label(&entry.key) {
        Some(like) => format!("write `{like}`: {rule}"),
        None => format!("use {rule}"),
    };
    r.fault(Diagnostic::new(&entry.key_span, message).help(help));
}

fn roles(node: &Node, r: &mut Reader) -> Vec<Spanned<Role>> {
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let help = format!("known roles: {}", spoken(&Role::ALL));
        r.fault(Diagnostic::new(&node.span, "a group has at least one role").help(help));
    }
    let roles = r.distinct(node, "roles", |r, node| role(node, r));
    check_conflicts(&roles, r);
    roles
}

fn role(node: &Node, r: &mut Reader) -> Option<Role> {
    let text = r.text(node)?;
    let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
    found.or_else(|| {
        let known = Role::ALL.map(Role::as_str);
        let fault = Diagnostic::new(&node.span, format!("unknown role `{text}`"));
        r.refuse(fault.help(did_you_mean(text, &known)))
    })
}

fn check_conflicts(roles: &[Spanned<Role>], r: &mut Reader) {
    let find = |wanted: Role| roles.iter().find(|role| role.value == wanted);
    if let (Some(base), true) = (find(Role::Base), roles.len() > 1) {
        let message = "`base` is for machines that get only what every machine gets";
        r.fault(Diagnostic::new(&base.span, message).help("leave `base` out here"));
    }
    if find(Role::Control).is_none() {
        return;
    }
    for role in Role::ALL {
        let (Some(found), Some(what)) = (find(role), role.part_of_control()) else {
            continue;
        };
        let message = format!("`control` already runs {what}");
        let help = format!("leave `{role}` out here");
        r.fault(Diagnostic::new(&found.span, message).help(help));
    }
}

fn members(fields: &Fields, kind: Option<Kind>, r: &mut Reader) -> Option<DraftMembers> {
    match (fields.get("count"), fields.get("hosts")) {
        (Some(_), Some(hosts)) => {
            let message = "a group has either `count` or `hosts`";
            let help = "`count` is for machines that the provider makes, `hosts` for those \
                        that exist";
            r.refuse(Diagnostic::new(&hosts.at, message).help(help))
        }
        (Some(count), None) => made(count, kind, r),
        (None, Some(hosts)) => given(hosts, kind, r),
        (None, None) => {
            let (key, say) = match kind {
                Some(Kind::Ssh) => ("hosts", "hosts: [10.0.0.11]"),
                _ => ("count", "count: 1"),
            };
            if !fields.attempts("hosts") && !fields.attempts("count") {
                fields.required(key, say, r);
            }
            None
        }
    }
}

fn made(node: &Node, kind: Option<Kind>, r: &mut Reader) -> Option<DraftMembers> {
    if kind == Some(Kind::Ssh) {
        let message = "the provider `ssh` makes no machines";
        let help = "list machines that exist: `hosts: [10.0.0.11, …]`";
        r.fault(Diagnostic::new(&node.at, message).help(help));
    }
    if matches!(&node.value, Value::Scalar { text, plain: true } if text == "0") {
        let help = "write at least 1, or leave the group out";
        return r.refuse(
            Diagnostic::new(&node.span, "a group has at least one machine").help(help),
        );
    }
    let count = r.number(node, 1..=u16::MAX)?;
    Some(DraftMembers {
        at: node.span.clone(),
        n_machines: usize::from(count),
        given: None,
    })
}

fn given(node: &Node, kind: Option<Kind>, r: &mut Reader) -> Option<DraftMembers> {
    let maker = match kind {
        Some(Kind::Local) => Some("local"),
        Some(Kind::Aws) => Some("aws"),
        Some(Kind::Ssh) | None => None,
    };
    if let Some(maker) = maker {
        let message = format!("the provider `{maker}` makes its machines itself");
        let help = "say how many: `count: 3`";
        r.fault(Diagnostic::new(&node.at, message).help(help));
    }
    let items = r.list(node, "hosts")?;
    if items.is_empty() {
        let help = "write at least one address, or leave the group out";
        return r.refuse(
            Diagnostic::new(&node.span, "a group has at least one machine").help(help),
        );
    }
    let hosts = items.iter().filter_map(|item| host(item, r)).collect();
    Some(DraftMembers {
        at: node.at.clone(),
        n_machines: items.len(),
        given: Some(hosts),
    })
}

fn host(node: &Node, r: &mut Reader) -> Option<DraftHost> {
    if matches!(node.value, Value::Scalar { .. }) {
        let address = address(node, r)?;
        return draft_host(address, None, None);
    }
    let known = ["address", "name", "ssh", "attributes", "resources", "domain"];
    let fields = r.fields(node, "a host", &known)?;
    let address = fields
        .required("address", "address: 10.0.0.11", r)
        .and_then(|node| address(node, r));
    let ssh = fields.get("ssh").and_then(|node| ssh_place(node, r));
    let name = match fields.get("name") {
        Some(node) => Some((r.parsed::<HostName>(node)?, node.span.clone())),
        None => None,
    };
    let agent_spec = draft_traits(&fields, r);
    let host = draft_host(address?, name, ssh)?;
    let given = GivenHost { agent_spec: agent_spec.value.clone(), ..host.host };
    Some(DraftHost { host: given, agent_spec, ..host })
}

/// What a group or a host sets for its agents.
fn draft_traits(fields: &Fields, r: &mut Reader) -> DraftAgentSpec {
    let (attributes, resources) = (fields.get("attributes"), fields.get("resources"));
    let domain = fields.get("domain");
    let value = AgentSpec {
        attributes: attributes
            .map(|node| agent_spec::attributes(node, r))
            .unwrap_or_default(),
        resources: resources
            .map(|node| agent_spec::resources(node, r))
            .unwrap_or_default(),
        domain: domain.and_then(|node| agent_spec::domain(node, r)),
    };
    DraftAgentSpec {
        value,
        of_agent_at: attributes.or(resources).map(|node| node.at.clone()),
        domain_at: domain.map(|node| node.at.clone()),
    }
}

fn draft_host(
    address: Spanned<Ipv4Addr>,
    name: Option<(HostName, Range<usize>)>,
    ssh: Option<String>,
) -> Option<DraftHost> {
    let (name, name_at) = match name {
        Some((name, at)) => (name, Some(at)),
        None => (name_of(&address)?, None),
    };
    let agent_spec = AgentSpec::default();
    let host = GivenHost { name, address: address.value.into(), ssh, agent_spec };
    let agent_spec = DraftAgentSpec::default();
    Some(DraftHost { host, name_at, address_at: address.span, agent_spec })
}

/// The name of a host without one: its address.
fn name_of(address: &Spanned<Ipv4Addr>) -> Option<HostName> {
    address.value.to_string().parse().ok()
}

/// The address that a machine has in the cluster.
fn address(node: &Node, r: &mut Reader) -> Option<Spanned<Ipv4Addr>> {
    let text = r.text(node)?;
    let fault = |message: String| Diagnostic::new(&node.span, message);
    let fault = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(value)) => match is_of_no_machine(value) {
            None => return Some(Spanned { value, span: node.span.clone() }),
            Some(why) => fault(format!("`{text}` {why}"))
                .help("write the address at which the other machines reach this one"),
        },
        Ok(IpAddr::V6(_)) => {
            fault(format!("`{text}`: IPv6 is not supported here")).help(format!(
                "write the machine's IPv4 address; if SSH has to reach it by IPv6, write \
                 `{{address: 10.0.0.11, ssh: \"{text}\"}}`"
            ))
        }
        Err(_) => fault(format!("`{text}` is not an IP address")).help(instead_of(text)),
    };
    r.refuse(fault)
}

/// Why no machine of a cluster can have an address.
fn is_of_no_machine(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        _ if address.is_loopback() => {
            Some("is a loopback address: no other machine reaches it")
        }
        _ if address.is_link_local() => Some(
            "is an address that a machine without another one gives itself: it changes",
        ),
        _ => match address.octets()[0] {
            0 | 224.. => Some("cannot be a machine's address"),
            _ => None,
        },
    }
}

/// What to write instead of a text that is not an address.
fn instead_of(text: &str) -> String {
    match text.split_once([':', '/']) {
        Some((bare, _)) if bare.parse::<IpAddr>().is_ok() => format!(
            "write only the address of one machine, such as `{bare}`: the port belongs in \
             the provider's settings"
        ),
        _ if is_reachable(text) && text.contains(char::is_alphabetic) => format!(
            "a DNS name belongs in `ssh`: write `{{address: 10.0.0.11, ssh: {text}}}`"
        ),
        _ => "write one such as `10.0.0.11`".to_owned(),
    }
}

fn ssh_place(node: &Node, r: &mut Reader) -> Option<String> {
    let rule = "write the name or address for SSH, without user and port: they belong in the \
                provider's settings";
    r.text_that(node, is_reachable, "a host's name or address", rule)
}

fn host_settings(node: &Node, kind: Option<Kind>, r: &mut Reader) -> HostSettings {
    if kind == Some(Kind::Local) {
        let message = "`host` is for machines with their own kernel";
        let help = "leave it out: containers use the kernel of this computer, whose boot \
                    settings stay as they are";
        r.fault(Diagnostic::new(&node.at, message).help(help));
    }
    let Some(fields) = r.fields(node, "host", &["cgroups"]) else {
        return HostSettings::default();
    };
    let hybrid = fields.get("cgroups").and_then(|node| {
        let rule = "write `hybrid`: version 1 beside version 2, if a component needs it";
        r.text_that(node, |text| text == "hybrid", "a setting of control groups", rule)
    });
    HostSettings { hybrid: hybrid.is_some() }
}

/// systemd and Docker do not start with less.
const LEAST_MEMORY: Size = Size::mib(256);

fn memory(node: &Node, kind: Option<Kind>, r: &mut Reader) -> Option<Spanned<Size>> {
    match kind {
        Some(Kind::Ssh) => {
            let message = "`memory` is for machines that the provider makes";
            let help = "leave it out: the memory of existing machines does not change";
            r.fault(Diagnostic::new(&node.at, message).help(help));
        }
        Some(Kind::Aws) => {
            let message = "the type of an AWS instance determines its memory";
            let help = "leave it out, and choose a `type` with enough memory";
            r.fault(Diagnostic::new(&node.at, message).help(help));
        }
        Some(Kind::Local) | None => {}
    }
    let value = r.size(node)?;
    if value < LEAST_MEMORY {
        let message = format!("a machine does not start with {value} of memory");
        let help = format!("write at least {LEAST_MEMORY}");
        return r.refuse(Diagnostic::new(&node.span, message).help(help));
    }
    Some(Spanned { value, span: node.span.clone() })
}
