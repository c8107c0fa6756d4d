//! The settings: one JSON file that `platform` writes on each edge host.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use platform_daemon::settings;
pub use platform_daemon::settings::{Login, SettingsError};
use serde::Deserialize;

/// What the copier is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The registry of this host.
    pub registry: SocketAddr,
    /// The root of that registry's data, which is only read.
    pub data: PathBuf,
    /// The other hosts.
    pub others: Vec<Other>,
    /// The certificate of the authority that signed those of the registries, in PEM.
    pub authority: PathBuf,
    /// The login at all registries.
    pub login: Login,
    /// The file that keeps when each tag was pushed.
    pub book: PathBuf,
    /// The address where other copiers ask what the registry has, and everyone for the status.
    pub listen: SocketAddr,
}

/// Another host with a registry and a copier.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// Its name.
    pub host: String,
    /// Its registry.
    pub registry: SocketAddr,
    /// Its copier.
    pub copier: SocketAddr,
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
        let registries = self.others.iter().map(|other| other.registry);
        let all: BTreeSet<SocketAddr> = registries.chain([self.registry]).collect();
        let checks = [
            (!self.others.is_empty(), "others", "must name at least one"),
            (
                all.len() == self.others.len() + 1,
                "others",
                "must have registries of their own",
            ),
            (self.data.is_absolute(), "data", "must be an absolute path"),
            (self.book.is_absolute(), "book", "must be an absolute path"),
        ];
        let fault = checks.into_iter().find(|(holds, ..)| !holds);
        fault.map(|(_, member, reason)| (member, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "registry": "10.0.0.1:5000", "data": "/var/lib/registry",
        "others": [{"host": "edge-2", "registry": "10.0.0.2:5000", "copier": "10.0.0.2:5001"}],
        "authority": "/etc/ca.crt", "login": {"user": "copier", "password_file": "/etc/pw"},
        "book": "/var/lib/book.json", "listen": "10.0.0.1:5001"
    }"#;

    fn read(text: &str) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Settings::read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        assert_eq!(read(GOOD).unwrap().others[0].host, "edge-2");
        for (from, to, expected) in [
            ("\"10.0.0.2:5000\"", "\"10.0.0.1:5000\"", "others must have registries"),
            ("\"/var/lib/registry\"", "\"registry\"", "data must be an absolute path"),
            ("\"data\"", "\"colour\": 1, \"data\"", "is not valid"),
        ] {
            let refusal = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
