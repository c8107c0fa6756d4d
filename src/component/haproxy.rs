//! HAProxy on the edge hosts: serves Marathon, Mesos and Chronos to everyone outside of the cluster,
//! with TLS and a password. What the common ports serve, the balancer adds; the landing page, which
//! the balancer makes, asks for the same password.
//!
//! The services themselves know only accounts of the platform; the proxy asks for a user's password,
//! and then speaks for the user. At the masters its account may only read. It asks the masters and
//! Marathon which of them leads. A request that comes while nobody leads waits for the new leader.
//! Chronos is never asked over HTTP for its health: an instance that is asked while its session at
//! ZooKeeper is disturbed ends itself. So only its port is tried, and who leads is asked of the
//! balancer, which knows it from the leading master.
//!
//! Everyone outside sees the operator's own certificate, if there is one. This program sees that of
//! the cluster's authority, by asking for [`internal_name`]: it trusts no other authority.
//!
//! It runs directly under systemd, from its image's file system: a changed configuration is
//! reloaded without an interruption.

use std::net::{IpAddr, Ipv4Addr};

use minijinja::{Value, context};

use super::mesos::OPERATOR;
use super::service::Native;
use super::spec::{Clients, Health, Port, Spec, StateUse, asks_nothing, no_remedy};
use super::{Context, Stage, Wants, basic_login, chronos, marathon, mesos, path};
use crate::certificate::OwnCertificate;
use crate::inventory::Component;
use crate::inventory::component::{
    BALANCER_PORT, CHRONOS_EDGE_PORT, CHRONOS_PORT, LEADERS_PORT, MARATHON_EDGE_PORT,
    MARATHON_PORT, MASTER_PORT, MESOS_EDGE_PORT, PAGE_PORT, PLAIN_PORT,
};
use crate::resource::{Content, Directory, Facts, File, Image, Resource, Tree};
use crate::secret::Secret;
use crate::template::{BadTemplate, render};
use crate::topology::Topology;

/// The unit that runs it.
pub const UNIT: &str = "platform-haproxy.service";
/// The platform's own password at the proxy.
pub const SECRET: &str = "edge";
/// The socket of the process that serves.
pub(super) const ADMIN_SOCKET: &str = "/run/platform-haproxy/admin.sock";
/// The socket of the process that reloads.
pub(super) const MASTER_SOCKET: &str = "/run/platform-haproxy/master.sock";
/// Where its configuration is on its host.
pub(super) const CONFIG: &str = "/etc/platform/haproxy";
/// The folder of the services of apps, which the balancer writes.
pub(super) const APPS_FOLDER: &str = "/var/lib/platform/balancer";
/// The backend of the landing page.
pub(super) const PAGE: &str = "page";
/// The list of certificates.
pub(super) const CERTIFICATES: &str = "/etc/platform/haproxy/certificates";
/// What the servers did before the last reload.
pub(super) const SERVERS: &str = "/var/lib/platform/balancer/servers";
/// The services of apps.
pub(super) const APPS: &str = "/var/lib/platform/balancer/apps.cfg";

/// What every HAProxy of the cluster asks of TLS.
pub(super) const TLS_RULES: &str = include_str!("../../templates/haproxy/tls.cfg");
/// The script that has HAProxy load its configuration again.
pub(super) const RELOAD: &str = include_str!("../../templates/haproxy/reload");

/// HAProxy on an edge host.
pub(super) const SPEC: Spec = Spec {
    component: Component::Haproxy,
    title: "HAProxy",
    instance: "HAProxy",
    serve: ["HAProxy on {} asks for a password", "HAProxy on {} asks for a password"],
    unit: UNIT,
    stage: Stage::Edge,
    ports: &[
        Port::new(MARATHON_EDGE_PORT, Clients::Outside).on_all_addresses(),
        Port::new(MESOS_EDGE_PORT, Clients::Outside).on_all_addresses(),
        Port::new(CHRONOS_EDGE_PORT, Clients::Outside).on_all_addresses(),
        Port::new(PAGE_PORT, Clients::Outside).on_all_addresses(),
        Port::new(PLAIN_PORT, Clients::Outside).on_all_addresses(),
    ],
    connects_to: &[Component::MesosMaster, Component::Marathon, Component::Chronos],
    interrupted_by: &[],
    framework: None,
    zookeeper: None,
    state: &[StateUse::Authority, StateUse::Renewable(SECRET)],
    health: Health::Edge,
    wants,
    ask: asks_nothing,
    remedy: no_remedy,
};

/// HAProxy's image, files and unit.
///
/// # Errors
/// When a template cannot be rendered.
fn wants(context: Context<'_>, _: &Facts) -> Result<Wants, BadTemplate> {
    let Some(image) = context.pulled(Component::Haproxy) else {
        return Ok(Vec::new());
    };
    let tree = tree(&image);
    let mut reloaded = vec![own("haproxy.cfg", config(context)?)];
    reloaded.extend(certificates(context));
    let text = render(
        "haproxy/platform-haproxy.service",
        include_str!("../../templates/haproxy/platform-haproxy.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            root => tree.path().as_str(),
            config => CONFIG,
            data => APPS_FOLDER,
            apps => APPS,
            servers => SERVERS,
            master_socket => MASTER_SOCKET,
        },
    )?;
    let files = vec![File::public(path(&format!("{CONFIG}/reload")), RELOAD.to_owned())];
    let native = Native { image, tree, files, reloaded, unit: UNIT, text };
    let folder = (Stage::Edge, Resource::Directory(apps_folder()));
    Ok([folder].into_iter().chain(native.wants(Stage::Edge)).collect())
}

/// Its image's file system on the host, from which the balancer runs too.
pub(super) fn tree(image: &Image) -> Tree {
    Tree::of(image, "haproxy")
}

/// It is there before the balancer runs.
fn apps_folder() -> Directory {
    Directory {
        path: path(APPS_FOLDER),
        mode: 0o755,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        data: true,
    }
}

fn own(name: &str, content: impl Into<Content>) -> File {
    File::private(path(&format!("{CONFIG}/{name}")), content)
}

/// The name by which this program asks HAProxy for the certificate of the cluster's authority.
pub fn internal_name(domain: &str) -> String {
    format!("platform-edge.{domain}")
}

/// What each `bind` says for TLS, for all services at the edge.
fn tls() -> String {
    format!("ssl crt-list {CERTIFICATES} alpn h2,http/1.1")
}

/// The certificates with their keys, and the list of them. The first one is for everyone who asks
/// for a name that has no other.
fn certificates(context: Context<'_>) -> Vec<File> {
    let inputs = context.inputs;
    let found = inputs.certificates.get(&context.node.host);
    let of_cluster = found.map(|(chain, key)| in_one(chain, key)).unwrap_or_default();
    let of_cluster = own("tls.pem", Secret::new(of_cluster));
    let path = of_cluster.path.clone();
    let Some(OwnCertificate { chain_pem, key, .. }) = &inputs.own_certificate else {
        return vec![of_cluster, own("certificates", format!("{path}\n"))];
    };
    let given = own("own.pem", Secret::new(in_one(chain_pem, key)));
    let name = internal_name(&inputs.platform.domain);
    let list = own("certificates", format!("{}\n{path} {name}\n", given.path));
    vec![of_cluster, given, list]
}

/// The certificate chain and the key in one text, as HAProxy reads them.
fn in_one(chain: &str, key: &Secret) -> String {
    format!("{chain}{}", key.expose())
}

fn config(context: Context<'_>) -> Result<Secret, BadTemplate> {
    let logins = context.inputs.edge_logins.iter();
    let logins = logins
        .map(|(user, hash)| context! { user => quoted(user), hash => hash.expose() });
    let cluster = context.topology.cluster.as_str();
    let text = render(
        "haproxy/haproxy.cfg",
        include_str!("../../templates/haproxy/haproxy.cfg"),
        context! {
            cluster,
            admin_socket => ADMIN_SOCKET,
            tls_rules => TLS_RULES,
            tls => tls(),
            servers => SERVERS,
            leaders_port => LEADERS_PORT,
            logins => logins.collect::<Vec<Value>>(),
            services => services(context),
        },
    )?;
    Ok(Secret::new(text))
}

/// The address of the cluster's landing page; `None` if it has none.
pub fn page_url(topology: &Topology) -> Option<String> {
    let edge = topology.members_of(Component::Haproxy).into_iter().next()?;
    let address = topology.vip.map_or(edge.address, IpAddr::V4);
    Some(format!("https://{address}/"))
}

/// A service behind the proxy.
pub(super) struct Service {
    pub(super) component: Component,
    name: &'static str,
    /// The port at which everyone reaches it, and its own port.
    pub(super) ports: [u16; 2],
    /// The account with which the proxy speaks to the service.
    user: &'static str,
    /// The name of that account's password.
    secret: &'static str,
    /// The lines that say how its servers are asked whether they lead.
    check: &'static [&'static str],
    /// The framework as which the balancer knows it, if that is asked who leads.
    framework: Option<&'static str>,
}

pub(super) const SERVICES: [Service; 3] = [
    Service {
        component: Component::Marathon,
        name: "marathon",
        ports: [MARATHON_EDGE_PORT, MARATHON_PORT],
        user: OPERATOR,
        secret: marathon::HTTP_SECRET,
        check: &LEADING_MARATHON,
        framework: None,
    },
    Service {
        component: Component::MesosMaster,
        name: "mesos",
        ports: [MESOS_EDGE_PORT, MASTER_PORT],
        user: mesos::EDGE,
        secret: mesos::EDGE_SECRET,
        check: &LEADING_MASTER,
        framework: None,
    },
    Service {
        component: Component::Chronos,
        name: "chronos",
        ports: [CHRONOS_EDGE_PORT, CHRONOS_PORT],
        user: OPERATOR,
        secret: chronos::HTTP_SECRET,
        check: &[],
        framework: Some(chronos::PRINCIPAL),
    },
];

/// The services that the cluster has, each with all of its hosts; and the landing page, of which
/// the ports are the balancer's.
fn services(context: Context<'_>) -> Vec<Value> {
    let service = |service: &Service| {
        let members = context.topology.members_of(service.component).into_iter();
        let [port, inner] = service.ports;
        let servers = members.map(|member| {
            let address = member.address.to_string();
            context! { host => member.host.as_str(), address, port => inner }
        });
        let servers: Vec<Value> = servers.collect();
        let login = basic_login(service.user, context.inputs.secret(service.secret));
        let login = login.expose();
        let check = service.check.iter().map(|line| line.replace("LOGIN", login));
        let check: Vec<String> = check.collect();
        let Service { name, framework, .. } = *service;
        (!servers.is_empty())
            .then(|| context! { name, port, servers, login, check, framework })
    };
    let here = Ipv4Addr::LOCALHOST.to_string();
    let page = context! {
        name => PAGE,
        port => None::<u16>,
        servers => [context! { host => "balancer", address => here, port => BALANCER_PORT }],
        login => None::<&str>,
        check => [""; 0],
        framework => None::<&str>,
    };
    SERVICES.iter().filter_map(service).chain([page]).collect()
}

/// An instance that does not lead passes a request on, and says so in the answer.
const LEADING_MARATHON: [&str; 4] = [
    "option httpchk",
    "http-check send meth GET uri /v2/leader hdr Authorization \"Basic LOGIN\"",
    "http-check expect status 200",
    "http-check expect ! hdr name x-marathon-via",
];

/// A master that does not lead redirects to the one that does.
const LEADING_MASTER: [&str; 3] = [
    "option httpchk",
    "http-check send meth GET uri /master/roles hdr Authorization \"Basic LOGIN\"",
    "http-check expect status 200",
];

/// A word of HAProxy's configuration that holds any text without control characters.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_meant() {
        assert_eq!(quoted("ann"), r#""ann""#);
        assert_eq!(quoted(r#"a"b\c$d'#"#), r#""a\"b\\c\$d'#""#);
    }
}
