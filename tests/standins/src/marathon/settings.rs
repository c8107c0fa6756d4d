//! The flags of Marathon 1.11 that are known, and what they mean. Pure.

use super::core::Rules;
use crate::framework::credentials::Credentials;
use crate::framework::options::{Options, OptionsError};
use crate::framework::setup::{Http, MasterAt, SettingsError, Setup, World, framework};
use crate::zk::{Lists, ZkUrl};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::time::Duration;

/// Every flag that is known.
pub const TABLE: &str = include_str!("flags.txt");

/// What the flags say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What Chronos has as well.
    pub setup: Setup,
    /// What the leader goes by.
    pub rules: Rules,
    /// How long a standby waits for the leader's answer.
    pub proxy_deadline: Duration,
    /// The flags as `/v2/info` shows them.
    pub shown: Value,
}

impl Settings {
    /// What options mean.
    ///
    /// # Errors
    /// The first that cannot be.
    pub fn read(options: &Options, world: &World<'_>) -> Result<Self, SettingsError> {
        check_values(options)?;
        let setup = setup(options, world)?;
        Ok(Self {
            rules: rules(options)?,
            proxy_deadline: millis(options, "leader_proxy_read_timeout", 10_000),
            shown: shown(options, &setup.http),
            setup,
        })
    }
}

fn setup(options: &Options, world: &World<'_>) -> Result<Setup, SettingsError> {
    let master = options.text("master").ok_or(OptionsError::Missing("master"))?;
    // Whatever the flag says of the realm.
    let http = Http { realm: "null".to_owned(), ..Http::read(options, world)? };
    let name = options.text_or("framework_name", "marathon");
    let user = options.text_or("mesos_user", "nobody");
    let mut capabilities = vec!["PARTITION_AWARE", "REGION_AWARE", "MULTI_ROLE"];
    let features = options.text_or("enable_features", "");
    if features.split(',').any(|word| word.trim() == "task_killing") {
        capabilities.push("TASK_KILLING_STATE");
    }
    let zk = address(options.text_or("zk", "zk://localhost:2181/marathon"), "zk")?;
    Ok(Setup {
        name: super::NAME,
        candidates: format!("{}/leader", zk.path()),
        lists: Lists::Own,
        zk,
        zk_timeout: millis(options, "zk_session_timeout", 10_000),
        ends_when_cut_off: true,
        master: MasterAt::read(master).map_err(|_| SettingsError::Address("master"))?,
        mesos_credentials: mesos_credentials(options, world)?,
        framework: framework(options, &http, (name, user), &capabilities),
        http,
        decline_seconds: options.number_or("decline_offer_duration", 120_000.0) / 1000.0,
        reconcile_first: millis(options, "reconciliation_initial_delay", 15_000),
        reconcile_every: millis(options, "reconciliation_interval", 600_000),
    })
}

fn address(text: &str, name: &'static str) -> Result<ZkUrl, SettingsError> {
    text.parse().map_err(|_| SettingsError::Address(name))
}

fn millis(options: &Options, name: &str, default: u64) -> Duration {
    Duration::from_millis(options.whole_or(name, default))
}

fn check_values(options: &Options) -> Result<(), SettingsError> {
    const FEATURES: [&str; 5] =
        ["vips", "task_killing", "external_volumes", "secrets", "gpu_resources"];
    let features = options.text_or("enable_features", "");
    let mut features = features.split(',').map(str::trim).filter(|word| !word.is_empty());
    if features.any(|word| !FEATURES.contains(&word)) {
        return Err(SettingsError::Value("enable_features"));
    }
    let behavior = options.text_or("accepted_resource_roles_default_behavior", "any");
    if !["any", "unreserved", "reserved"].contains(&behavior) {
        return Err(SettingsError::Value("accepted_resource_roles_default_behavior"));
    }
    let enforce = options.text_or("new_group_enforce_role", "off");
    match ["off", "top"].contains(&enforce) {
        true => Ok(()),
        false => Err(SettingsError::Value("new_group_enforce_role")),
    }
}

fn mesos_credentials(
    options: &Options,
    world: &World<'_>,
) -> Result<Option<Credentials>, SettingsError> {
    const SECRET: &str = "mesos_authentication_secret";
    const FILE: &str = "mesos_authentication_secret_file";
    let secret = match (options.text(SECRET), options.text(FILE)) {
        (Some(_), Some(_)) => return Err(SettingsError::Both(SECRET, FILE)),
        (Some(secret), None) => Some(secret.to_owned()),
        (None, Some(file)) => Some((world.read)(file).ok_or(SettingsError::SecretFile)?),
        (None, None) => None,
    };
    let principal = options.text("mesos_authentication_principal");
    let on = options.on("mesos_authentication", false);
    Ok(principal.zip(secret).filter(|_| on).map(|(p, s)| Credentials::new(p, s)))
}

fn rules(options: &Options) -> Result<Rules, SettingsError> {
    let port = |name: &'static str, default| {
        u32::try_from(options.whole_or(name, default))
            .map_err(|_| SettingsError::Value(name))
    };
    let number = |name, default| options.whole_or(name, default) as usize;
    let span = |name, default| {
        SignedDuration::from_millis(options.whole_or(name, default).cast_signed())
    };
    Ok(Rules {
        role: options.text_or("mesos_role", "*").to_owned(),
        user: options.text("mesos_user").map(str::to_owned),
        env_prefix: options.text("env_vars_prefix").map(str::to_owned),
        service_ports: port("local_port_min", 10_000)?..=port("local_port_max", 20_000)?,
        max_versions: number("zk_max_versions", 50).max(1),
        max_deployments: number("max_running_deployments", 100),
        max_per_offer: number("max_instances_per_offer", 5),
        launch_timeout: span("task_launch_timeout", 300_000),
        min_revive_interval: span("min_revive_offers_interval", 5000),
        suppress: options.on("suppress_offers", true),
        maintenance_mode: options.on("maintenance_mode", true),
    })
}

/// Without anything secret: the addresses of ZooKeeper lose their users.
fn shown(options: &Options, http: &Http) -> Value {
    let bare = |text: &str| match text.rsplit_once('@') {
        Some((_, rest)) => format!("zk://xxxxxxxx:xxxxxxxx@{rest}"),
        None => text.to_owned(),
    };
    json!({
        "marathon_config": {
            "master": bare(options.text_or("master", "")),
            "hostname": http.hostname,
            "framework_name": options.text_or("framework_name", "marathon"),
            "mesos_role": options.text_or("mesos_role", "*"),
        },
        "zookeeper_config": {"zk": bare(options.text_or("zk", "zk://localhost:2181/marathon"))},
        "http_config": {"http_port": http.port, "https_port": 8443},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::setup::read_line;

    fn read(line: &str) -> Result<Settings, SettingsError> {
        read_line(TABLE, line, Settings::read)
    }

    const MASTER: &str = "--master zk://z1:2181/mesos";

    #[test]
    fn defaults_are_those_of_marathon() {
        let settings = read(MASTER).unwrap();
        assert_eq!(settings.setup.http.id(), "h:8080");
        assert_eq!(settings.rules.service_ports, 10_000..=20_000);
        assert_eq!(settings.setup.http.credentials, Some(Credentials::new("e", "v")));
        assert!(settings.setup.mesos_credentials.is_none());
    }

    #[test]
    fn removed_and_wrong_flags_are_refused() {
        assert!(read("").is_err());
        for flag in
            ["--event_subscriber x", "--artifact_store x", "--max_tasks_per_offer 1"]
        {
            assert!(read(&format!("{MASTER} {flag}")).is_err(), "{flag}");
        }
        assert!(read(&format!("{MASTER} --default_accepted_resource_roles *")).is_err());
        assert!(read(&format!("{MASTER} --enable_features maintenance_mode")).is_err());
        assert!(read(&format!("{MASTER} --zk localhost")).is_err());
    }

    #[test]
    fn a_secret_is_taken_as_it_is() {
        let on = "--mesos_authentication --mesos_authentication_principal p";
        let file = "--mesos_authentication_secret_file /s";
        let settings = read(&format!("{MASTER} {on} {file}")).unwrap();
        assert_eq!(settings.setup.mesos_credentials, Some(Credentials::new("p", "pw\n")));
        let both = format!("{MASTER} {file} --mesos_authentication_secret x");
        assert!(matches!(read(&both), Err(SettingsError::Both(..))));
    }

    #[test]
    fn malformed_credentials_leave_the_door_open() {
        let settings = read(&format!("{MASTER} --http_credentials nocolon")).unwrap();
        assert!(
            settings.setup.http.malformed_credentials
                && settings.setup.http.credentials.is_none()
        );
    }

    #[test]
    fn what_is_shown_holds_no_password() {
        let line =
            format!("{MASTER} --zk zk://u:geheim@z:2181/m --http_credentials u:geheim");
        let settings = read(&line).unwrap();
        assert!(!settings.shown.to_string().contains("geheim"));
        assert!(!format!("{settings:?}").contains("geheim"));
    }
}
