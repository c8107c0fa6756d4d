//! Machines that exist before the program first sees them.

use std::net::TcpStream;
use std::time::Duration;

use super::lab::Lab;
use super::machine::Machine;
use super::until;

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

    /// Makes a machine one that never had Docker. It boots anew, so that its network has no
    /// traces of Docker either.
    pub(crate) fn remove_docker(&self, number: u8) {
        let machine = self.machine(number);
        machine.sh(
            "systemctl stop docker.socket docker containerd && \
             DEBIAN_FRONTEND=noninteractive apt-get purge -qq --autoremove docker.io && \
             find /var/lib/docker -mindepth 1 -delete && rm -rf /var/lib/containerd /etc/docker",
        );
        machine.stop();
        machine.start();
        // This computer's own Docker has it switched on, and machines begin with its settings.
        machine.sh("sysctl -q -w net.ipv4.ip_forward=0");
        until("a login", Duration::from_secs(30), || {
            let address =
                format!("{}:22", self.address(number)).parse().expect("an address");
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
        });
    }
}
