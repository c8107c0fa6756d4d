//! Secrets that a running cluster uses and that the state folder has lost.
//!
//! A new password differs from the one that hosts have. Members that serve together would get it
//! one by one, and those with the old one would refuse those with the new one; data that belongs
//! to the old one could not be used. So no secret is made again if a host already uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::spec::{Spec, StateUse};
use crate::host::{HostName, joined};
use crate::resource::{Facts, Owned};

/// A cluster runs with secrets that its state folder no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster on {} runs with files that {} no longer holds: {}; new files would not match \
     what its hosts have, so nothing is changed: restore the folder from a backup, or copy it from \
     the computer that ran `platform up` last; if there is neither, run `platform down --purge` \
     and `platform up`: they make a new cluster, without the old data",
    joined(hosts),
    folder.display(),
    missing.join(", ")
)]
pub struct SecretsLost {
    folder: PathBuf,
    missing: Vec<String>,
    hosts: Vec<HostName>,
}

/// Checks that no secret is about to be made again that hosts already use. `made` are the files
/// that `folder` lacked, relative to it.
///
/// # Errors
/// When a host has a unit of an earlier run that uses such a secret.
pub fn check(
    made: &[PathBuf],
    folder: &Path,
    facts: &BTreeMap<HostName, Facts>,
) -> Result<(), SecretsLost> {
    let lacked = |file: &String| made.iter().any(|made| made == Path::new(file));
    let (mut missing, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for spec in Spec::all() {
        let lost: Vec<String> =
            spec.state.iter().flat_map(files).filter(lacked).collect();
        if lost.is_empty() {
            continue;
        }
        let mut users =
            facts.iter().filter(|(_, facts)| runs(facts, spec.unit)).peekable();
        if users.peek().is_some() {
            missing.extend(lost);
            hosts.extend(users.map(|(host, _)| host.clone()));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let (missing, hosts) = (missing.into_iter().collect(), hosts.into_iter().collect());
    Err(SecretsLost { folder: folder.to_owned(), missing, hosts })
}

/// The files of the state folder that hold a given secret.
fn files(used: &StateUse) -> Vec<String> {
    match used {
        StateUse::Authority => vec!["ca/ca.crt".to_owned(), "ca/ca.key".to_owned()],
        StateUse::Secret(name) => vec![format!("secrets/{name}")],
        StateUse::Renewable(_) => Vec::new(),
    }
}

/// Whether an earlier run installed this unit on a host.
fn runs(facts: &Facts, unit: &str) -> bool {
    let is_it = |owned: &Owned| matches!(owned, Owned::Unit { name } if name == unit);
    facts.manifest.entries().iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use super::super::{master, registry, zookeeper};
    use super::*;
    use crate::resource::probe;

    fn facts(unit: &str) -> BTreeMap<HostName, Facts> {
        let text = format!(
            "{{\"q\":\"ours\",\"kind\":\"unit\",\"name\":\"{unit}\"}}\n{{\"q\":\"end\"}}\n"
        );
        let facts = probe::parse(&text, 0.0).unwrap();
        [("control-1".parse().unwrap(), facts)].into()
    }

    fn check_lost(unit: &str, made: &[&str]) -> Result<(), String> {
        let made: Vec<PathBuf> = made.iter().map(PathBuf::from).collect();
        let checked = check(&made, Path::new(".platform/lab"), &facts(unit));
        checked.map_err(|lost| lost.to_string())
    }

    #[test]
    fn what_a_host_was_given_is_missed_with_its_host_and_folder() {
        let lost = check_lost(master::UNIT, &["secrets/mesos-agent", "salts/admin"]);
        let said = lost.unwrap_err();
        for part in
            ["on control-1 runs", ".platform/lab no longer", ": secrets/mesos-agent;"]
        {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    }

    #[test]
    fn what_no_host_was_given_may_be_made() {
        assert_eq!(check_lost(zookeeper::UNIT, &[]), Ok(()));
        // A component that is new to a cluster, and a certificate that is renewed.
        assert_eq!(check_lost(zookeeper::UNIT, &["secrets/chronos-http"]), Ok(()));
        assert_eq!(check_lost(registry::UNIT, &["ca/registry-edge-1.pem"]), Ok(()));
    }
}
