//! The settings: one JSON file that `platform` writes on each edge host. Everything is checked when
//! the file is read, so that the rest of the program can rely on it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use platform_daemon::settings::{self, Login, SettingsError};
use serde::Deserialize;

/// What the balancer is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Every Marathon, as `host:port`.
    pub marathons: Vec<String>,
    /// The login at Marathon; `None` if it asks for none.
    #[serde(default)]
    pub login: Option<Login>,
    /// Where HAProxy is.
    pub haproxy: Haproxy,
    /// The address that services listen on; `*` is every address.
    #[serde(default = "every_address")]
    pub bind: String,
    /// The service ports that apps may have.
    pub ports: Ports,
    /// The groups of apps that are served; `*` serves every app.
    pub groups: BTreeSet<String>,
    /// Whether virtual hosts are served on the two common ports.
    #[serde(default)]
    pub vhosts: bool,
    /// The common port for HTTP.
    #[serde(default = "http_port")]
    pub http_port: u16,
    /// The common port for HTTPS, which needs a certificate.
    #[serde(default = "https_port")]
    pub https_port: u16,
    /// The list of certificates for HTTPS, in the form of HAProxy's `crt-list`.
    #[serde(default)]
    pub certificates: Option<PathBuf>,
    /// The backend of the base file that answers what no virtual host matches.
    #[serde(default)]
    pub default_backend: Option<String>,
    /// The names and addresses of the platform itself, in lower case: no app may have one of them
    /// as its virtual host. Browsers send what they know for a name, such as a password, to
    /// whoever answers under it.
    #[serde(default)]
    pub own_names: BTreeSet<String>,
    /// The loopback address for the status.
    pub listen: SocketAddr,
    /// The Mesos masters; `None` if Mesos is not asked.
    #[serde(default)]
    pub mesos: Option<Masters>,
    /// The loopback address at which HAProxy's agent checks ask who leads; `None` if they do not.
    #[serde(default)]
    pub leaders: Option<SocketAddr>,
    /// What the landing page shows besides the apps; `None` if there is no page.
    #[serde(default)]
    pub page: Option<Landing>,
}

/// The Mesos masters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masters {
    /// Each of them, as `host:port`.
    pub masters: Vec<String>,
    /// The login at them, which need only let it read.
    pub login: Login,
}

/// What the landing page shows besides the apps.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landing {
    /// The cluster's name.
    pub cluster: String,
    /// The name of this host.
    pub host: String,
    /// The hosts of the cluster, besides those that are agents and nothing else.
    pub hosts: Vec<Host>,
    /// The services of the platform itself.
    pub services: Vec<OwnService>,
    /// The folder on agents in which Mesos keeps the files of tasks.
    pub work_folder: String,
}

/// A host of the cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its address, by which Mesos and Marathon know it.
    pub address: String,
    /// The programs of the platform that it runs.
    pub runs: Vec<String>,
}

/// A service of the platform that the edge serves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnService {
    /// Its name.
    pub title: String,
    /// Its port at the edge.
    pub port: u16,
    /// The path that a browser can show.
    pub path: String,
}

/// The program, its files and its sockets.
///
/// HAProxy has to run as `haproxy -W -S MASTER_SOCKET -f BASE -f APPS`. The base file needs in
/// `global` a `stats socket ADMIN_SOCKET level admin expose-fd listeners`, a `log` and a
/// `hard-stop-after`. The file with the apps may be empty at first, but has to be there. Backends of
/// the base file with `load-server-state-from-file global` begin as they were before a reload, if
/// `global` names the file of servers as `server-state-file`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Haproxy {
    /// The program that checks a configuration.
    pub command: PathBuf,
    /// The file with `global`, `defaults` and the administrators' frontends, which is only read.
    pub base: PathBuf,
    /// The file with the apps, which this program writes.
    pub apps: PathBuf,
    /// The file with what the servers did before a reload, which this program writes.
    pub servers: PathBuf,
    /// The socket of the worker, with level `admin`.
    pub admin_socket: PathBuf,
    /// The socket of the master.
    pub master_socket: PathBuf,
}

/// The service ports that apps may have.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// The first one.
    pub from: u16,
    /// The last one.
    pub to: u16,
    /// Ports in between that belong to the platform.
    #[serde(default)]
    pub reserved: BTreeSet<u16>,
}

impl Settings {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not JSON of this form, or has a value that cannot work.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        settings::read(path, Self::fault)
    }

    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let checks = [
            (!self.marathons.is_empty(), "marathons", "must name at least one"),
            (
                self.marathons.iter().all(|at| is_host_and_port(at)),
                "marathons",
                "must be of the form host:port",
            ),
            (is_bind(&self.bind), "bind", "must be an IP address or *"),
            (
                self.ports.from > 0 && self.ports.from <= self.ports.to,
                "ports",
                "must go from a port above 0 to one that is not below it",
            ),
            (!self.groups.is_empty(), "groups", "must name at least one"),
            (
                self.http_port > 0
                    && self.https_port > 0
                    && self.http_port != self.https_port,
                "http_port",
                "and https_port must be two ports above 0",
            ),
            (
                self.certificates.iter().all(|path| is_plain_path(path)),
                "certificates",
                "must be an absolute path without spaces or quotes",
            ),
            (
                self.default_backend.iter().all(|name| is_name(name)),
                "default_backend",
                "must be a name of letters, digits, - and _",
            ),
            (self.listen.ip().is_loopback(), "listen", "must be a loopback address"),
            (
                self.leaders
                    .is_none_or(|at| at.ip().is_loopback() && self.mesos.is_some()),
                "leaders",
                "must be a loopback address, and needs mesos",
            ),
            (
                self.masters().all(|at| is_host_and_port(at)),
                "mesos.masters",
                "must be of the form host:port",
            ),
        ];
        let fault = checks.into_iter().find(|(holds, ..)| !holds);
        fault.map(|(_, member, reason)| (member, reason))
    }

    fn masters(&self) -> impl Iterator<Item = &String> {
        self.mesos.iter().flat_map(|mesos| &mesos.masters)
    }

    /// The ports that no app may have.
    pub fn is_reserved(&self, port: u16) -> bool {
        let is_common = self.vhosts && [self.http_port, self.https_port].contains(&port);
        let mut own = [Some(self.listen), self.leaders].into_iter().flatten();
        is_common
            || own.any(|at| at.port() == port)
            || self.ports.reserved.contains(&port)
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn is_bind(text: &str) -> bool {
    text == "*" || text.parse::<std::net::IpAddr>().is_ok()
}

fn is_plain_path(path: &Path) -> bool {
    let is_plain =
        |letter: char| letter.is_ascii_alphanumeric() || "/._-@+".contains(letter);
    path.is_absolute() && path.to_str().is_some_and(|text| text.chars().all(is_plain))
}

fn is_name(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    !text.is_empty() && text.chars().all(is_plain)
}

fn every_address() -> String {
    "*".to_owned()
}

fn http_port() -> u16 {
    80
}

fn https_port() -> u16 {
    443
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD: &str = r#"{
        "marathons": ["10.0.0.1:8080"],
        "haproxy": {"command": "/usr/sbin/haproxy", "base": "/etc/base.cfg",
            "apps": "/var/apps.cfg", "servers": "/var/servers", "admin_socket": "/run/a", "master_socket": "/run/m"},
        "ports": {"from": 10000, "to": 10100},
        "groups": ["external"],
        "listen": "127.0.0.1:9095"
    }"#;

    fn read(text: &str) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Settings::read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn short_settings_are_completed() {
        let settings = read(GOOD).unwrap();
        assert_eq!((settings.bind.as_str(), settings.http_port), ("*", 80));
        assert!(!settings.vhosts && settings.login.is_none());
        assert!(settings.is_reserved(9095) && !settings.is_reserved(80));
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        for (from, to, expected) in [
            ("10.0.0.1:8080", "10.0.0.1", "marathons must be of the form host:port"),
            ("10100", "9000", "ports must go from"),
            ("\"external\"", "", "groups must name at least one"),
            ("127.0.0.1:9095", "0.0.0.0:9095", "listen must be a loopback address"),
            ("\"groups\"", "\"colour\": 1, \"groups\"", "is not valid"),
        ] {
            let refusal = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
