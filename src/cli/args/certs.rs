//! The arguments of `platform certs`.

use clap::{Args as ClapArgs, Subcommand};

use super::Inventory;

/// `platform certs`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct Certs {
    /// What to do with certificates.
    #[command(subcommand)]
    pub verb: CertsVerb,
}

/// What to do with certificates.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum CertsVerb {
    /// List the certificates: whose they are, and until when they are valid
    Ls(CertsLs),
    /// Replace the hosts' certificates, or the authority, while the cluster runs
    Rotate(CertsRotate),
}

/// `platform certs ls`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Reads the state folder beside the inventory and the files of your own certificate; does not \
connect to any host. Exits 1 if a certificate has expired.

EXAMPLES
  See them all:
    platform certs ls lab.yaml

  Those with less than 60 days left, for a program:
    platform certs ls lab.yaml -o json | jq '.certificates[] | select(.days_left < 60)'")]
pub struct CertsLs {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
}

/// `platform certs rotate`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Makes new certificates, and then does what `up` does: shows the plan, asks, changes the hosts, and \
proves that they work. HAProxy reloads without an interruption; registries restart one at a time. \
`up` itself renews what has less than 30 days left, so this is for a key that others may know.

With --ca there are three parts, and it asks before each: all hosts learn to trust the new \
authority too; certificates of the new one replace the others; the old one is dropped. Clients \
outside of the cluster must trust the new one before the second part: after the first, \
`.platform/CLUSTER/ca/ca.crt` has both. A run that was stopped is finished by the next `up`.

EXAMPLES
  New certificates for the edge hosts:
    platform certs rotate lab.yaml

  A new authority:
    platform certs rotate lab.yaml --ca")]
pub struct CertsRotate {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Replace the certificate authority too
    #[arg(long)]
    pub ca: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}
