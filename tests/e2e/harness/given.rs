//! Machines that exist before the program first sees them.

use super::lab::Lab;
use super::machine::Machine;

/// Machines for provider `ssh`: made beforehand, by an inventory of their own that gives them
/// nothing. They are `node-1`, `node-2`, …; gone when this is dropped.
pub(crate) struct Given {
    maker: Lab,
}

impl Given {
    /// Makes so many.
    pub(crate) fn new(count: u8) -> Self {
        let maker = Lab::local(&format!(
            "groups: {{node: {{roles: [base], count: {count}, memory: 1GiB}}}}\n\
             platform: {{images: {{images}}}}\n"
        ));
        maker.up();
        Self { maker }
    }

    /// A machine by its number, from 1.
    pub(crate) fn machine(&self, number: u8) -> Machine {
        self.maker.machine(&format!("node-{number}"))
    }

    /// Its address.
    pub(crate) fn address(&self, number: u8) -> String {
        format!("{}.{}", self.maker.prefix(), 10 + number)
    }

    /// An inventory over these machines, which accepts their keys at first sight. In `body`,
    /// `{1}`, `{2}`, … stand for their addresses, and `{images}` for the catalogue.
    pub(crate) fn lab(&self, body: &str) -> Lab {
        let access = format!("{{{}, host_keys: accept-new}}", self.login());
        Lab::over_ssh(
            format!("{}-given", self.maker.cluster()),
            &access,
            &self.fill(body),
        )
    }

    /// The same with a way to log in of the test's own: `access` is the content of
    /// `provider.ssh`.
    pub(crate) fn lab_with(&self, access: &str, body: &str) -> Lab {
        Lab::over_ssh(format!("{}-given", self.maker.cluster()), access, &self.fill(body))
    }

    /// The user and key that may log in, as they are written in `provider.ssh`.
    pub(crate) fn login(&self) -> String {
        let key = self.maker.state().join("id_ed25519");
        format!("user: platform, key: {}", key.display())
    }

    /// Puts addresses in for their numbers.
    pub(crate) fn fill(&self, body: &str) -> String {
        (1..=9).fold(body.to_owned(), |body, number| {
            body.replace(&format!("{{{number}}}"), &self.address(number))
        })
    }

    /// Makes a machine one that never had Docker.
    pub(crate) fn remove_docker(&self, number: u8) {
        self.machine(number).sh("systemctl stop docker.socket docker containerd && \
             DEBIAN_FRONTEND=noninteractive apt-get purge -qq --autoremove docker.io && \
             find /var/lib/docker -mindepth 1 -delete && \
             rm -rf /var/lib/containerd /etc/docker /run/docker* /run/containerd && \
             systemctl daemon-reload && systemctl reset-failed");
    }
}
