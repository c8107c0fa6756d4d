//! The route to a target, from the inventory and the operator's configuration.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::host::{HostName, is_safe_user};
use crate::remote::RemoteError;
use crate::remote::config::{self, HostConfig, Question};
use crate::remote::known_hosts::{Key, LookupName};

use super::endpoint::Endpoint;
use super::link::Link;
use super::{Connector, Target};

/// More jump hosts than this are a loop in the operator's configuration.
const MOST_HOPS: usize = 8;
/// How long a jump host that failed is not tried again: fifty hosts behind it must not each wait
/// for it in turn.
const FAILURE_LASTS: Duration = Duration::from_secs(5);

/// The route to a target.
pub(super) struct Route {
    /// Jump hosts, nearest first.
    pub hops: Vec<Endpoint>,
    /// The target itself.
    pub end: Endpoint,
}

/// A jump host as people write it: `[user@]host[:port]`, with or without `ssh://` in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JumpSpec {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
}

/// Why a text does not name a jump host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadJump;

impl FromStr for JumpSpec {
    type Err = BadJump;

    fn from_str(text: &str) -> Result<Self, BadJump> {
        let text = text.trim().trim_start_matches("ssh://").trim_end_matches('/');
        let (user, server) = match text.rsplit_once('@') {
            Some((user, server)) => (Some(user.to_owned()), server),
            None => (None, text),
        };
        let (host, port) = match (server.strip_prefix('['), server.matches(':').count()) {
            (Some(bracketed), _) => {
                let (host, rest) = bracketed.split_once(']').ok_or(BadJump)?;
                (host, rest.strip_prefix(':'))
            }
            (None, 1) => {
                server.split_once(':').map_or((server, None), |(h, p)| (h, Some(p)))
            }
            (None, _) => (server, None),
        };
        let port = port.map(|port| port.parse().map_err(|_| BadJump)).transpose()?;
        match is_address(host) && user.as_deref().is_none_or(is_safe_user) {
            true => Ok(Self { user, host: host.to_owned(), port }),
            false => Err(BadJump),
        }
    }
}

/// Whether a text can be a name or an IP address, with no character that is special to a program
/// or to a file of known hosts.
fn is_address(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
}

impl Connector {
    /// Finds the route to a target.
    pub(super) async fn route(&self, target: &Target) -> Result<Route, RemoteError> {
        let spec = JumpSpec {
            user: target.access.user.clone(),
            host: target.address.clone(),
            port: target.access.port,
        };
        let mut end = self.endpoint(target, &spec).await?;
        end.vouched = target.host_keys.iter().filter_map(|key| Key::parse(key)).collect();
        let mut hops = match target.access.jump.as_slice() {
            [] => self.jumps(target, &end, &end.config.proxy_jump).await?,
            jumps => self.jumps(target, &end, jumps).await?,
        };
        // The nearest jump host may need its own jump hosts.
        while let Some(nearest) = hops.first() {
            let further = self.jumps(target, nearest, &nearest.config.proxy_jump).await?;
            if further.is_empty() {
                break;
            }
            hops.splice(0..0, further);
            if hops.len() > MOST_HOPS {
                return Err(bad_address(&target.host, &hops[0].config.hostname));
            }
        }
        Ok(Route { hops, end })
    }

    /// The servers in a list of jump hosts; an entry that names the target itself is skipped.
    async fn jumps(
        &self,
        target: &Target,
        goal: &Endpoint,
        jumps: &[String],
    ) -> Result<Vec<Endpoint>, RemoteError> {
        let mut hops = Vec::new();
        for text in jumps {
            let spec = text.parse().map_err(|BadJump| bad_address(&target.host, text))?;
            let mut hop = self.endpoint(target, &spec).await?;
            // Both the inventory's key and the operator's SSH agent may give access.
            hop.operator_keys = target.operator_config;
            hop.host = spec.host.parse().unwrap_or(hop.host);
            if hop.lookup != goal.lookup {
                hops.push(hop);
            }
        }
        Ok(hops)
    }

    async fn endpoint(
        &self,
        target: &Target,
        spec: &JumpSpec,
    ) -> Result<Endpoint, RemoteError> {
        let config = self.config_of(target, spec).await?;
        let lookup = match &config.host_key_alias {
            Some(alias) => LookupName::new(alias, 22),
            None => LookupName::new(&config.hostname, config.port),
        };
        Ok(Endpoint {
            host: target.host.clone(),
            lookup,
            config,
            key: target.access.key.as_deref().map(config::expand_home),
            passphrase: target.passphrase.clone(),
            operator_keys: target.operator_config && target.access.key.is_none(),
            policy: target.access.host_keys,
            vouched: Vec::new(),
        })
    }

    async fn config_of(
        &self,
        target: &Target,
        spec: &JumpSpec,
    ) -> Result<HostConfig, RemoteError> {
        let JumpSpec { user, host, port } = spec.clone();
        // The operator's `Match exec` passes both to a shell.
        if !is_address(&host) {
            return Err(bad_address(&target.host, &host));
        }
        if let Some(user) = user.as_ref().filter(|user| !is_safe_user(user)) {
            let (host, user) = (target.host.clone(), user.clone());
            return Err(RemoteError::BadUser { host, user });
        }
        if !target.operator_config {
            return Ok(HostConfig {
                hostname: host,
                user: user.unwrap_or_else(|| "root".to_owned()),
                port: port.unwrap_or(22),
                ..HostConfig::default()
            });
        }
        let asked = self.operator.of(&Question { host, user, port }).await;
        asked.map_err(|source| RemoteError::Config { host: target.host.clone(), source })
    }

    /// The last of a chain of jump hosts, connected; `None` if there are none.
    pub(super) async fn through(
        &self,
        hops: &[Endpoint],
        host: &HostName,
    ) -> Result<Option<Arc<Link>>, RemoteError> {
        let mut way = None;
        let mut chain = String::new();
        for hop in hops {
            chain = format!("{chain} {}", hop.name());
            let connected = self.bastion(&chain, hop, way).await;
            way = Some(connected.map_err(|source| RemoteError::Jump {
                host: host.clone(),
                jump: hop.name(),
                source,
            })?);
        }
        Ok(way)
    }

    /// The one connection to a jump host; made if there is no working one.
    async fn bastion(
        &self,
        chain: &str,
        hop: &Endpoint,
        way: Option<Arc<Link>>,
    ) -> Result<Arc<Link>, Arc<RemoteError>> {
        let cell =
            self.bastions.0.lock().await.entry(chain.to_owned()).or_default().clone();
        let mut bastion = cell.lock().await;
        match &*bastion {
            Bastion::Up(link) if !link.handle.is_closed() => return Ok(link.clone()),
            Bastion::Down(error, since) if since.elapsed() < FAILURE_LASTS => {
                return Err(error.clone());
            }
            _ => {}
        }
        let opened = self.open(hop, way).await.map(Arc::new).map_err(Arc::new);
        *bastion = match &opened {
            Ok(link) => Bastion::Up(link.clone()),
            Err(error) => Bastion::Down(error.clone(), Instant::now()),
        };
        opened
    }
}

/// The jump hosts of a run, each under the chain of names that leads to it.
#[derive(Default)]
pub(super) struct Bastions(Mutex<HashMap<String, Arc<Mutex<Bastion>>>>);

#[derive(Default)]
enum Bastion {
    #[default]
    Untried,
    Up(Arc<Link>),
    Down(Arc<RemoteError>, Instant),
}

fn bad_address(host: &HostName, address: &str) -> RemoteError {
    RemoteError::BadAddress { host: host.clone(), address: address.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_read_as_people_write_them() {
        let check = |text: &str, user: Option<&str>, host: &str, port| {
            let user = user.map(str::to_owned);
            let expected = JumpSpec { user, host: host.to_owned(), port };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        };
        check("b1", None, "b1", None);
        check("ops@b1.example:2222", Some("ops"), "b1.example", Some(2222));
        check("a@corp@b1", Some("a@corp"), "b1", None);
        check("ssh://ops@b1:22/", Some("ops"), "b1", Some(22));
        check("fe80::1", None, "fe80::1", None);
        check("ops@[fe80::1]:2222", Some("ops"), "fe80::1", Some(2222));
        for bad in [
            "",
            "ops@",
            "b1:ssh",
            "b1:70000",
            "-oProxyCommand=x",
            "b 1",
            "[fe80::1",
            "*",
            "$(id)@b1",
            "-lx@b1",
            "a;b@b1",
            "`id`",
        ] {
            assert_eq!(bad.parse::<JumpSpec>(), Err(BadJump), "{bad}");
        }
    }
}
