//! Machines that exist before the program first sees them.

use std::net::TcpStream;
use std::time::Duration;

use super::lab::Lab;
use super::machine::Machine;
use super::until;

/// Machines for provider `ssh`: created in advance, by their own inventory, without any
/// components. They are `node-1`, `node-2`, …; removed when this is dropped.
pub(crate) struct Given {
    maker: Lab,
}

impl Given {
    /// Creates this many machines.
    pub(crate) fn new(count: u8) -> Self {
        let maker = Lab::local(&format!(
            "groups: {{node: {{roles: [base], count: {count}, memory: 1GiB}}}}\n\
             platform: {{images: {{images}}, firewall: {{enabled: false}}}}\n"
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

    /// An inventory with these machines, which accepts their keys at the first contact. In
    /// `body`, `{1}`, `{2}`, … are replaced by their addresses, and `{images}` by the catalogue.
    pub(crate) fn lab(&self, body: &str) -> Lab {
        let access = format!("{{{}, host_keys: accept-new}}", self.login());
        Lab::over_ssh(
            format!("{}-given", self.maker.cluster()),
            &access,
            &self.fill(body),
        )
    }

    /// The same with another login: `access` is the content of `provider.ssh`.
    pub(crate) fn lab_with(&self, access: &str, body: &str) -> Lab {
        Lab::over_ssh(format!("{}-given", self.maker.cluster()), access, &self.fill(body))
    }

    /// The user and key for logins, as written in `provider.ssh`.
    pub(crate) fn login(&self) -> String {
        let key = self.maker.state().join("id_ed25519");
        format!("user: platform, key: {}", key.display())
    }

    /// Replaces the numbers by addresses.
    pub(crate) fn fill(&self, body: &str) -> String {
        (1..=9).fold(body.to_owned(), |body, number| {
            body.replace(&format!("{{{number}}}"), &self.address(number))
        })
    }

    /// Removes all traces of Docker and the firewall's package from a machine. It is rebooted, so
    /// that its network has no traces of Docker either.
    pub(crate) fn remove_docker(&self, number: u8) {
        let machine = self.machine(number);
        machine.sh(
            "systemctl stop docker.socket docker containerd && \
             DEBIAN_FRONTEND=noninteractive apt-get purge -qq --autoremove docker.io nftables && \
             find /var/lib/docker -mindepth 1 -delete && rm -rf /var/lib/containerd /etc/docker",
        );
        machine.stop();
        machine.start();
        // This computer's own Docker has it switched on, and machines start with its settings.
        machine.sh("sysctl -q -w net.ipv4.ip_forward=0");
        until("a login", Duration::from_secs(30), || {
            let address =
                format!("{}:22", self.address(number)).parse().expect("an address");
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
        });
    }
}
