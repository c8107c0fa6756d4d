//! Providers of machines: ask what exists, make what is missing, remove.
//!
//! [`ssh`] takes machines that exist, [`local`] makes containers on this computer that behave like
//! machines, [`aws`] makes instances of AWS EC2. A provider knows machines, but not what runs on
//! them. It finds machines by what it keeps itself (names, labels, addresses), never by a file
//! that this program writes. Every provider describes what it will do as a [`MachinePlan`].

pub mod aws;
pub mod local;
mod machine_plan;
pub mod ssh;

use crate::inventory::{Provider, SecretSource, SshAccess};

pub use crate::topology::Machine;
pub use machine_plan::{MachinePlan, MachineStep, MissingMachine, may_be_booting};

/// What a provider can do: all that the verbs have to know about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// It makes and removes machines. If `false`, its machines exist already.
    pub makes_machines: bool,
    /// A cluster of its machines can expire.
    pub expires: bool,
}

/// What the provider of an inventory can do.
pub fn capabilities(provider: &Provider) -> Capabilities {
    match provider {
        Provider::Ssh(_) => Capabilities { makes_machines: false, expires: false },
        Provider::Local(_) => Capabilities { makes_machines: true, expires: false },
        Provider::Aws(_) => Capabilities { makes_machines: true, expires: true },
    }
}

/// How to log in to the machines of a provider.
#[derive(Debug, Clone)]
pub struct MachineLogin<'a> {
    /// User, key and route. The key's path is relative to the inventory's folder.
    pub access: SshAccess,
    /// Where to find the passphrase of the key.
    pub passphrase: Option<&'a SecretSource>,
    /// Where to find the password for sudo.
    pub sudo_password: Option<&'a SecretSource>,
    /// Whether the key is the one that this program made for the cluster, not a key of the
    /// operator. The operator's own SSH configuration is not used for such machines.
    pub has_own_key: bool,
}

/// How to log in to the machines of an inventory.
pub fn login(provider: &Provider) -> MachineLogin<'_> {
    match provider {
        Provider::Ssh(access) => MachineLogin {
            access: access.clone(),
            passphrase: access.passphrase.as_ref(),
            sudo_password: access.sudo_password.as_ref(),
            has_own_key: false,
        },
        Provider::Aws(aws) => MachineLogin {
            access: SshAccess {
                user: Some(aws.ssh.user.clone()),
                key: Some(aws.ssh.key.clone()),
                jump: aws.ssh.jump.clone(),
                ..SshAccess::default()
            },
            passphrase: aws.ssh.passphrase.as_ref(),
            sudo_password: None,
            has_own_key: false,
        },
        Provider::Local(_) => MachineLogin {
            access: SshAccess {
                user: Some(local::LOGIN_USER.to_owned()),
                ..SshAccess::default()
            },
            passphrase: None,
            sudo_password: None,
            has_own_key: true,
        },
    }
}
