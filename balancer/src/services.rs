//! From apps to services: which port of which app is served, and how. Pure.
//!
//! A port that cannot be served is quarantined with the reason, alone. Two apps that want one
//! service port never share it: one has it, and the clash is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::labels::{self, Auth, Balance, Mode, PortLabels, UrlPath, VirtualHost};
use crate::marathon::{App, AppPort, HealthCheck};
use crate::settings::Settings;

/// A port of an app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PortOf {
    /// The app's id.
    pub app: String,
    /// The port's place among the app's ports.
    pub index: usize,
}

/// A port of an app that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Whose port it is.
    pub of: PortOf,
    /// The name of its frontend and its backend.
    pub name: String,
    /// The service port.
    pub port: u16,
    /// The port inside a container with a network of its own.
    pub container_port: Option<u16>,
    /// The port's place among a task's ports on its host, if it has one there.
    pub host_place: Option<usize>,
    /// The protocol.
    pub mode: Mode,
    /// How servers are chosen.
    pub balance: Balance,
    /// Whether a client stays with its server.
    pub sticky: bool,
    /// The virtual hosts.
    pub vhosts: Vec<VirtualHost>,
    /// The path that requests to the virtual hosts must begin with.
    pub path: Option<UrlPath>,
    /// Whether plain HTTP to the virtual hosts is sent to HTTPS.
    pub redirect: bool,
    /// Whether browsers are told to use HTTPS only.
    pub hsts: bool,
    /// Where its rules stand; higher is earlier.
    pub weight: i32,
    /// The login that HAProxy asks for.
    pub auth: Option<Auth>,
    /// How Marathon checks this port.
    pub check: Option<Check>,
    /// Whether a healthy task is known to listen. If not, only HAProxy's own check lets it in.
    pub is_vouched: bool,
}

/// How Marathon checks a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The page, if it asks by HTTP.
    pub path: Option<String>,
    /// The time between two checks.
    pub interval_seconds: u32,
    /// How long an answer may take.
    pub timeout_seconds: u32,
    /// After so many failures in a row the task is killed.
    pub max_failures: u32,
    /// The port, if it is not the service's own.
    pub port: Option<u32>,
}

/// A port, or a whole app, that is not served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Quarantined {
    /// The app's id; empty if it cannot be read.
    pub app: String,
    /// The port's place; `None` if the whole app is meant.
    pub index: Option<usize>,
    /// The reason.
    pub reason: String,
}

/// A service port that several apps want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clash {
    /// The service port.
    pub port: u16,
    /// Who has it.
    pub kept_by: PortOf,
    /// Who does not get it.
    pub refused: Vec<PortOf>,
}

/// What is made of all apps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services {
    /// What is served, in the order of apps and ports.
    pub services: Vec<Service>,
    /// What is not.
    pub quarantined: Vec<Quarantined>,
    /// The ports that several apps want.
    pub clashes: Vec<Clash>,
}

/// Why a port is not served.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Label(#[from] labels::LabelError),
    #[error("service port 0 cannot be served: give the port a number")]
    PortZero,
    #[error("service port {0} is above 65535")]
    PortTooHigh(u32),
    #[error("service port {port} is not between {from} and {to}")]
    PortOutside { port: u16, from: u16, to: u16 },
    #[error("service port {0} belongs to the platform")]
    PortReserved(u16),
    #[error("the port takes UDP only, which HAProxy does not serve")]
    UdpOnly,
    #[error("label {label} needs HTTP, but label HAPROXY_{index}_MODE says tcp")]
    NeedsHttp { label: String, index: usize },
    #[error(
        "label HAPROXY_{0}_REDIRECT_TO_HTTPS needs HTTPS, but the balancer has no certificate"
    )]
    NoHttps(usize),
    #[error(
        "label HAPROXY_{index}_VHOST may not be {name}, which is the platform's own name"
    )]
    OwnName { index: usize, name: String },
}

/// Makes services of apps, which are in the order of their ids. `had` says whether a service had
/// its port before.
pub fn from_apps(
    apps: &[App],
    settings: &Settings,
    had: &dyn Fn(&Service) -> bool,
) -> Services {
    let mut found = Services::default();
    for app in apps {
        for (index, port) in app.ports().into_iter().enumerate() {
            if !labels::serves(&app.labels, index, &settings.groups) {
                continue;
            }
            match service(app, index, port, settings) {
                Ok(service) => found.services.push(service),
                Err(refusal) => found.quarantined.push(Quarantined {
                    app: app.id.clone(),
                    index: Some(index),
                    reason: refusal.to_string(),
                }),
            }
        }
    }
    found.settle_clashes(had);
    found.services.sort_by(|one, other| one.of.cmp(&other.of));
    found
}

fn service(
    app: &App,
    index: usize,
    port: AppPort,
    settings: &Settings,
) -> Result<Service, Refusal> {
    let labels = PortLabels::read(&app.labels, index)?;
    if !port.is_tcp {
        return Err(Refusal::UdpOnly);
    }
    let number = service_port(labels.port.unwrap_or(port.service), settings)?;
    let check = check(app, index);
    let mode = mode(app, index, &labels, settings)?;
    refuse_own_names(index, &labels, settings)?;
    let is_commanded = app.health_checks.iter().any(|check| check.protocol == "COMMAND");
    Ok(Service {
        name: name(&app.id, number),
        port: number,
        container_port: port.container.and_then(|port| u16::try_from(port).ok()),
        host_place: port.place,
        mode,
        balance: labels.balance,
        sticky: labels.sticky,
        weight: labels.weight.unwrap_or(i32::from(labels.path.is_some())),
        vhosts: labels.vhosts,
        path: labels.path,
        redirect: labels.redirect,
        hsts: labels.hsts,
        auth: labels.auth,
        is_vouched: check.is_some() || is_commanded,
        check,
        of: PortOf { app: app.id.clone(), index },
    })
}

fn service_port(port: u32, settings: &Settings) -> Result<u16, Refusal> {
    let port = u16::try_from(port).map_err(|_| Refusal::PortTooHigh(port))?;
    let (from, to) = (settings.ports.from, settings.ports.to);
    match port {
        0 => Err(Refusal::PortZero),
        port if settings.is_reserved(port) => Err(Refusal::PortReserved(port)),
        port if !(from..=to).contains(&port) => {
            Err(Refusal::PortOutside { port, from, to })
        }
        port => Ok(port),
    }
}

/// The protocol, and whether the labels agree with it.
fn mode(
    app: &App,
    index: usize,
    labels: &PortLabels,
    settings: &Settings,
) -> Result<Mode, Refusal> {
    let is_checked_by_http =
        asked(app, index).is_some_and(|check| is_plain_http(&check.protocol));
    let has_vhost = !labels.vhosts.is_empty();
    let needs_http = [
        (has_vhost, "VHOST"),
        (labels.auth.is_some(), "AUTH"),
        (labels.balance == Balance::Uri, "BALANCE"),
    ];
    let needs_http = needs_http.into_iter().find(|(needs, _)| *needs);
    let lacks_https = settings.vhosts && settings.certificates.is_none();
    match (labels.mode, needs_http) {
        (Some(Mode::Tcp), Some((_, label))) => {
            Err(Refusal::NeedsHttp { label: format!("HAPROXY_{index}_{label}"), index })
        }
        _ if has_vhost && labels.redirect && lacks_https => Err(Refusal::NoHttps(index)),
        (Some(mode), _) => Ok(mode),
        (None, None) if !is_checked_by_http => Ok(Mode::Tcp),
        (None, _) => Ok(Mode::Http),
    }
}

fn refuse_own_names(
    index: usize,
    labels: &PortLabels,
    settings: &Settings,
) -> Result<(), Refusal> {
    let mut names = labels.vhosts.iter().map(ToString::to_string);
    match names.find(|name| settings.own_names.contains(name)) {
        Some(name) => Err(Refusal::OwnName { index, name }),
        None => Ok(()),
    }
}

fn is_plain_http(protocol: &str) -> bool {
    matches!(protocol, "HTTP" | "MESOS_HTTP")
}

/// The health check that asks this port. A check with a port of its own speaks for every port.
fn asked(app: &App, index: usize) -> Option<&HealthCheck> {
    let asks = |check: &&HealthCheck| {
        check.protocol != "COMMAND"
            && (check.port.is_some_and(|port| port > 0)
                || check.port_index.unwrap_or_default() == index)
    };
    app.health_checks.iter().find(asks)
}

fn check(app: &App, index: usize) -> Option<Check> {
    let check = asked(app, index)?;
    let page = check.path.clone().unwrap_or_else(|| "/".to_owned());
    Some(Check {
        path: check.protocol.contains("HTTP").then_some(page),
        interval_seconds: check.interval_seconds,
        timeout_seconds: check.timeout_seconds,
        max_failures: check.max_consecutive_failures,
        port: check.port.filter(|port| *port > 0),
    })
}

/// The app's id with only letters that HAProxy takes in a name, and the port, which makes it
/// unique.
fn name(app: &str, port: u16) -> String {
    let plain = |letter: char| match letter {
        'a'..='z' | '0'..='9' | '-' | '.' => letter,
        _ => '_',
    };
    let words: String =
        app.trim_start_matches('/').chars().take(100).map(plain).collect();
    format!("{words}_{port}")
}

impl Services {
    /// Leaves each service port to one service: the one that had it before, else the first.
    fn settle_clashes(&mut self, had: &dyn Fn(&Service) -> bool) {
        let mut wanted: BTreeMap<u16, Vec<&Service>> = BTreeMap::new();
        for service in &self.services {
            wanted.entry(service.port).or_default().push(service);
        }
        wanted.retain(|_, all| all.len() > 1);
        for (port, mut all) in wanted {
            all.sort_by(|one, other| one.of.cmp(&other.of));
            let first = all.iter().position(|service| had(service));
            let kept_by = all.remove(first.unwrap_or_default()).of.clone();
            let refused = all.into_iter().map(|service| service.of.clone()).collect();
            self.clashes.push(Clash { port, kept_by, refused });
        }
        let losers: BTreeSet<&PortOf> =
            self.clashes.iter().flat_map(|clash| &clash.refused).collect();
        self.services.retain(|service| !losers.contains(&service.of));
    }
}

/// The services with virtual hosts, in the order in which their rules are asked: by weight, then
/// longer paths first, then by app.
pub fn routes<'at>(
    services: impl IntoIterator<Item = &'at Service>,
) -> Vec<&'at Service> {
    let with_hosts = |service: &&Service| !service.vhosts.is_empty();
    let mut routes: Vec<&Service> = services.into_iter().filter(with_hosts).collect();
    let length =
        |service: &Service| service.path.as_ref().map_or(0, |at| at.as_str().len());
    routes.sort_by(|one, other| {
        let key = |at: &Service| (at.weight, length(at));
        key(other).cmp(&key(one)).then_with(|| one.of.cmp(&other.of))
    });
    routes
}

impl fmt::Display for PortOf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} port {}", self.app, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{app, settings};

    fn made(apps: &[App]) -> Services {
        from_apps(apps, &settings(), &|_| false)
    }

    fn reasons(found: &Services) -> Vec<&str> {
        found.quarantined.iter().map(|at| at.reason.as_str()).collect()
    }

    #[test]
    fn the_app_that_had_a_port_keeps_it() {
        let apps = [app("/a", 10050, &[]), app("/z", 10050, &[])];
        let of = |app: &str| PortOf { app: app.to_owned(), index: 0 };
        let first = made(&apps);
        assert_eq!(first.clashes[0].kept_by, of("/a"));
        let owned = from_apps(&apps, &settings(), &|service| service.of.app == "/z");
        assert_eq!((&owned.clashes[0].kept_by, owned.services.len()), (&of("/z"), 1));
        assert_eq!(owned.clashes[0].refused, [of("/a")]);
    }

    #[test]
    fn ports_of_the_platform_and_outside_the_range_are_refused() {
        let apps = [
            app("/a", 10080, &[]),
            app("/b", 9999, &[]),
            app("/c", 70000, &[]),
            app("/d", 80, &[]),
        ];
        let found = made(&apps);
        assert!(found.services.is_empty());
        assert_eq!(
            reasons(&found),
            [
                "service port 10080 belongs to the platform",
                "service port 9999 is not between 10000 and 20000",
                "service port 70000 is above 65535",
                "service port 80 belongs to the platform"
            ]
        );
    }

    #[test]
    fn labels_that_contradict_each_other_are_refused() {
        let labels = [("HAPROXY_0_VHOST", "a.example"), ("HAPROXY_0_MODE", "tcp")];
        let found = made(&[app("/a", 10001, &labels)]);
        assert_eq!(
            reasons(&found),
            ["label HAPROXY_0_VHOST needs HTTP, but label HAPROXY_0_MODE says tcp"]
        );
    }

    #[test]
    fn a_redirect_without_a_certificate_is_refused() {
        let labels =
            [("HAPROXY_0_VHOST", "a.example"), ("HAPROXY_0_REDIRECT_TO_HTTPS", "true")];
        let mut settings = settings();
        settings.certificates = None;
        let found = from_apps(&[app("/a", 10001, &labels)], &settings, &|_| false);
        assert!(found.services.is_empty() && found.quarantined.len() == 1);
    }

    #[test]
    fn no_app_answers_under_a_name_of_the_platform() {
        let mut settings = settings();
        settings.own_names = ["lab.example".to_owned(), "10.0.0.100".to_owned()].into();
        let label = |text| [("HAPROXY_0_VHOST", text)];
        let apps = [
            app("/a", 10001, &label("a.lab.example")),
            app("/b", 10002, &label("b.example,LAB.example")),
            app("/c", 10003, &label("10.0.0.100")),
        ];
        let found = from_apps(&apps, &settings, &|_| false);
        assert_eq!(found.services.len(), 1);
        assert_eq!(
            reasons(&found),
            [
                "label HAPROXY_0_VHOST may not be lab.example, which is the platform's own name",
                "label HAPROXY_0_VHOST may not be 10.0.0.100, which is the platform's own name",
            ]
        );
    }

    #[test]
    fn names_hold_only_plain_letters() {
        assert_eq!(name("/prod/web-1.x", 10001), "prod_web-1.x_10001");
        assert_eq!(name("/a b\nc{é}", 1), "a_b_c____1");
    }
}
