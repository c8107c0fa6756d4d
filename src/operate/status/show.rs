//! A status as a table and sentences.

use std::fmt::{self, Write};

use super::{EnsembleStatus, ServiceStatus, Status};

impl Status {
    /// The status as a table and sentences.
    ///
    /// # Errors
    /// When the text cannot be written to `out`.
    pub fn show(&self, out: &mut impl Write) -> fmt::Result {
        let width =
            self.hosts.iter().map(|host| host.host.as_str().len()).max().unwrap_or(4);
        writeln!(out, "{:width$}  {:15}  {:10}  SERVICES", "HOST", "ADDRESS", "DOCKER")?;
        for host in &self.hosts {
            let docker = match (&host.docker, &host.docker_down, host.reachable) {
                (Some(_), Some(_), _) => "down",
                (Some(version), ..) => version.split('+').next().unwrap_or(version),
                (None, _, true) => "none",
                (None, _, false) => "?",
            };
            let services: Vec<String> = host
                .services
                .iter()
                .map(|(name, service)| format!("{name} {service}"))
                .collect();
            let services = services.join(", ");
            writeln!(
                out,
                "{:width$}  {:15}  {docker:10}  {services}",
                host.host, host.address
            )?;
        }
        writeln!(out)?;
        if let Some(zookeeper) = &self.zookeeper {
            writeln!(out, "{zookeeper}")?;
        }
        if let Some(mesos) = &self.mesos {
            writeln!(out, "{mesos}")?;
        }
        if let Some(page) = &self.page {
            writeln!(out, "The landing page is {page}")?;
        }
        if let Some(at) = self.expires {
            writeln!(out, "It expires at {at}.")?;
        }
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        for problem in &self.problems {
            writeln!(out, "problem: {problem}")?;
        }
        if self.problems.is_empty() {
            writeln!(out, "All is well.")?;
        }
        Ok(())
    }
}

impl fmt::Display for ServiceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{version} {}", self.state),
            None => write!(f, "{}", self.state),
        }
    }
}

impl fmt::Display for EnsembleStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_members, n_serving, .. } = self;
        write!(f, "ZooKeeper")?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        let serve = if *n_serving == 1 { "serves" } else { "serve" };
        write!(f, ": {n_serving} of {n_members} members {serve}")?;
        if let Some(leader) = &self.leader {
            write!(f, ", {leader} leads")?;
        }
        match self.can_lose {
            Some(0) => write!(f, "; it can lose none"),
            Some(n) => write!(f, "; it can lose {n} more"),
            None => write!(f, "; that is no majority"),
        }
    }
}
