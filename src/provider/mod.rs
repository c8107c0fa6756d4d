//! Where machines come from: asks a provider what exists, makes what is missing, destroys.
//!
//! [`ssh`] has machines that exist, [`local`] makes containers of this computer that behave
//! like machines, [`aws`] instances of AWS EC2. A provider knows machines and nothing of what runs
//! on them. Machines are found again by what the provider itself keeps (names, labels,
//! addresses), never by a file of ours. What a provider will do is a [`MachinePlan`], whichever
//! it is.

pub mod aws;
pub mod local;
mod machine_plan;
pub mod ssh;

use crate::inventory::{Provider, SecretSource, SshAccess};

pub use crate::topology::Machine;
pub use machine_plan::{Coming, MachinePlan, MachineStep};

/// What a provider can do: all that the verbs have to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// It makes machines and removes them. One that does not is given machines that exist.
    pub makes_machines: bool,
    /// A cluster of its machines may expire.
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

/// How the machines of a provider are logged in to.
#[derive(Debug, Clone)]
pub struct MachineLogin<'a> {
    /// User, key and the way there. The key's path is relative to the inventory's folder.
    pub access: SshAccess,
    /// Where the passphrase of the key is.
    pub passphrase: Option<&'a SecretSource>,
    /// Where the password for sudo is.
    pub sudo_password: Option<&'a SecretSource>,
    /// Whether the key is the one that this program made for the cluster, in place of one of
    /// the operator's. The operator's own SSH configuration says nothing of such machines.
    pub has_own_key: bool,
}

/// How the machines of an inventory are logged in to.
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
