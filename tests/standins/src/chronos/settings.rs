//! The flags of Chronos 3.0.2 that are known, and what they mean. Pure.

use super::core::Rules;
use super::job::Defaults;
use crate::framework::credentials::Credentials;
use crate::framework::offer::Roles;
use crate::framework::options::Options;
use crate::framework::setup::{Http, MasterAt, SettingsError, Setup, World, framework};
use crate::zk::{Lists, ZkUrl};
use jiff::SignedDuration;
use std::time::Duration;

/// Every flag that is known. What those of notifications and statistics say is not used.
pub const TABLE: &str = include_str!("flags.txt");

/// What the flags say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What Marathon has as well.
    pub setup: Setup,
    /// What the leader goes by.
    pub rules: Rules,
}

impl Settings {
    /// What options mean.
    ///
    /// # Errors
    /// The first that cannot be.
    pub fn read(options: &Options, world: &World<'_>) -> Result<Self, SettingsError> {
        Ok(Self { setup: setup(options, world)?, rules: rules(options) })
    }
}

fn setup(options: &Options, world: &World<'_>) -> Result<Setup, SettingsError> {
    let master = match options.text_or("master", "local") {
        "local" => return Err(SettingsError::Local),
        master => MasterAt::read(master).map_err(|_| SettingsError::Address("master"))?,
    };
    let http = Http::read(options, world)?;
    let name = options.text_or("mesos_framework_name", "chronos");
    let user = options.text_or("user", "root");
    let zk = zookeeper(options)?;
    let reconcile_every =
        Duration::from_secs(options.whole_or("reconciliation_interval", 600));
    Ok(Setup {
        name: super::NAME,
        candidates: format!("{}/candidate", zk.path()),
        lists: Lists::Open,
        zk,
        // Whatever `zk_timeout` says, its election asks for this.
        zk_timeout: Duration::from_secs(60),
        ends_when_cut_off: false,
        master,
        mesos_credentials: mesos_credentials(options, world)?,
        framework: framework(options, &http, (name, user), &["MULTI_ROLE"]),
        http,
        // What Mesos itself takes where nothing is said.
        decline_seconds: options.number_or("decline_offer_duration", 5000.0) / 1000.0,
        reconcile_first: reconcile_every,
        reconcile_every,
    })
}

/// The servers; the path of an address of the form `zk://…/path` is not looked at.
fn zookeeper(options: &Options) -> Result<ZkUrl, SettingsError> {
    let hosts = options.text_or("zk_hosts", "localhost:2181");
    let hosts = hosts.strip_prefix("zk://").unwrap_or(hosts);
    let hosts = hosts.split('/').next().unwrap_or_default();
    let has_port = |host: &str| {
        host.split_once(':')
            .is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
    };
    if !hosts.split(',').all(has_port) {
        return Err(SettingsError::Value("zk_hosts"));
    }
    let auth = options.text("zk_auth").map(|auth| format!("{auth}@"));
    let path = options.text_or("zk_path", "/chronos/state").trim_start_matches('/');
    let address = format!("zk://{}{hosts}/{path}", auth.unwrap_or_default());
    address.parse().map_err(|_| SettingsError::Address("zk_hosts"))
}

/// The file is taken as it is: a newline at its end belongs to the secret.
fn mesos_credentials(
    options: &Options,
    world: &World<'_>,
) -> Result<Option<Credentials>, SettingsError> {
    let principal = options.text("mesos_authentication_principal");
    let file = options.text("mesos_authentication_secret_file");
    let Some((principal, file)) = principal.zip(file) else { return Ok(None) };
    let secret = (world.read)(file).ok_or(SettingsError::SecretFile)?;
    Ok(Some(Credentials::new(principal, secret)))
}

fn rules(options: &Options) -> Rules {
    let millis = |name, default| {
        SignedDuration::from_millis(options.whole_or(name, default).cast_signed())
    };
    let role = options.text_or("mesos_role", "*").to_owned();
    Rules {
        defaults: Defaults {
            cpus: options.number_or("mesos_task_cpu", 0.1),
            mem: options.number_or("mesos_task_mem", 128.0),
            disk: options.number_or("mesos_task_disk", 256.0),
            user: options.text_or("user", "root").to_owned(),
        },
        roles: Roles::new([role, "*".to_owned()]),
        failure_retry: millis("failure_retry", 60_000),
        disable_after_failures: options.whole_or("disable_after_failures", 0),
        revive_for_new_jobs: options.on("revive_offers_for_new_jobs", false),
        min_revive_interval: millis("min_revive_offers_interval", 5000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::setup::read_line;

    const MASTER: &str = "--master zk://z1:2181/mesos";

    fn read(line: &str) -> Result<Settings, SettingsError> {
        read_line(TABLE, line, Settings::read)
    }

    #[test]
    fn defaults_are_those_of_chronos() {
        let Settings { setup, rules } = read(MASTER).unwrap();
        assert_eq!(setup.http.id(), "h:8080");
        assert_eq!(setup.candidates, "/chronos/state/candidate");
        assert_eq!(setup.zk.servers(), "localhost:2181");
        assert_eq!(setup.http.credentials, Some(Credentials::new("e", "v")));
        assert_eq!(setup.framework["name"], "chronos");
        assert_eq!(setup.framework["user"], "root");
        assert_eq!(rules.defaults.user, "root");
        assert!(setup.mesos_credentials.is_none());
    }

    #[test]
    fn other_and_wrong_flags_are_refused() {
        for flags in [
            "--zk zk://a:1/b",
            "--schedule_horizon 60",
            "--mesos_authentication",
            "--framework_name x",
            "--mesos_checkpoint true",
            "--disable_http",
            "--http_port 70000",
            "--zk_hosts a,b:2181",
            "--zk_auth nocolon",
            "--mesos_authentication_principal p --mesos_authentication_secret_file /none",
        ] {
            assert!(read(&format!("{MASTER} {flags}")).is_err(), "{flags}");
        }
        assert!(matches!(read(""), Err(SettingsError::Local)));
    }

    #[test]
    fn the_user_of_zookeeper_comes_by_a_flag_and_a_path_of_its_servers_is_dropped() {
        let flags = "--zk_hosts zk://a:1,b:2/elsewhere --zk_auth u:p:q --zk_path /c";
        let zk = read(&format!("{MASTER} {flags}")).unwrap().setup.zk;
        assert_eq!((zk.servers(), zk.path()), ("a:1,b:2", "/c"));
        assert_eq!(zk.credentials(), Some(("u", "p:q")));
    }

    #[test]
    fn a_secret_is_taken_as_it_is() {
        let flags =
            "--mesos_authentication_principal p --mesos_authentication_secret_file /s";
        let settings = read(&format!("{MASTER} {flags}")).unwrap();
        let wanted = Credentials::new("p", "pw\n");
        assert_eq!(settings.setup.mesos_credentials, Some(wanted));
    }
}
