//! The arguments of `platform add-node`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use clap::error::ErrorKind;

use super::{INVENTORY_VARIABLE, command};
use crate::host::HostName;
use crate::inventory::edit::Addition;
use crate::inventory::{AgentSpec, Attribute, GivenHost};

/// `platform add-node`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(
    override_usage = "platform add-node [OPTIONS] [INVENTORY] --count <N>\n       \
        platform add-node [OPTIONS] [INVENTORY] <ADDRESS>...",
    after_help = "\
Writes the machines into the inventory, keeps its comments and layout, and shows that edit \
before it asks. Then makes what is missing, installs on the new machines all that their group \
gets, and runs a task on each new agent as proof. Other hosts change only if they have to know \
the new machines; for agents no host has to. Members of a quorum cannot be added this way.

If a run was stopped for any reason, finish it with the same command, which then means the same \
machines and no more, or with `platform up`. Until then, no others can be added. The inventory \
has the new machines already; to undo that, remove them from it.

EXAMPLES
  Two more machines, if the provider makes them:
    platform add-node lab.yaml --count 2

  An existing machine, to the agents of an inventory of provider ssh:
    platform add-node rack7.yaml 10.0.0.33

  A machine with its own attribute, to one of several groups:
    platform add-node rack7.yaml 10.0.0.34 --group big --attribute ssd=yes"
)]
pub struct AddNode {
    /// The inventory, a YAML file; omit it if PLATFORM_INVENTORY names it
    #[arg(value_name = "INVENTORY")]
    first: Option<String>,
    /// The addresses of existing machines, if the provider does not make machines
    #[arg(value_name = "ADDRESS", conflicts_with = "count")]
    addresses: Vec<String>,
    #[arg(long, hide = true, env = INVENTORY_VARIABLE)]
    inventory: Option<PathBuf>,
    /// How many machines to add, if the provider makes them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    count: Option<u16>,
    /// The group that they join; without it, the only group that has agents and nothing else
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// An attribute of the agents on these addresses, in addition to those of their group
    #[arg(
        long = "attribute",
        value_name = "KEY=VALUE",
        conflicts_with = "count",
        value_parser = str::parse::<Attribute>
    )]
    attributes: Vec<Attribute>,
    /// The name of the one machine at this address; without it, the address
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "count",
        value_parser = str::parse::<HostName>
    )]
    name: Option<HostName>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

impl AddNode {
    /// The inventory, and what to add.
    ///
    /// # Errors
    /// If there is no inventory, nothing to add, or an address is not valid.
    pub fn target(&self) -> Result<(&Path, Addition), clap::Error> {
        let (inventory, addresses) = self.places()?;
        let addition = match self.count {
            Some(count) => Addition::Machines(count),
            None => Addition::Hosts(self.hosts(&addresses)?),
        };
        Ok((inventory, addition))
    }

    /// The same arguments after the verb, for a message: none has a special meaning to a shell.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.first.iter().cloned().collect();
        words.extend(self.addresses.iter().cloned());
        let mut option = |name: &str, value: String| {
            words.extend([format!("--{name}"), value]);
        };
        if let Some(count) = self.count {
            option("count", count.to_string());
        }
        if let Some(group) = &self.group {
            option("group", group.clone());
        }
        for attribute in &self.attributes {
            option("attribute", attribute.to_string());
        }
        if let Some(name) = &self.name {
            option("name", name.to_string());
        }
        words
    }

    /// The inventory and the addresses. If the environment names an inventory, a first argument
    /// that is an address is not the inventory.
    fn places(&self) -> Result<(&Path, Vec<&str>), clap::Error> {
        let addresses = self.addresses.iter().map(String::as_str);
        match (&self.first, &self.inventory) {
            (Some(first), Some(inventory)) if first.parse::<IpAddr>().is_ok() => {
                Ok((inventory, std::iter::once(&**first).chain(addresses).collect()))
            }
            (Some(first), _) => Ok((Path::new(first), addresses.collect())),
            (None, Some(inventory)) => Ok((inventory, Vec::new())),
            (None, None) => Err(command().error(
                ErrorKind::MissingRequiredArgument,
                format!("name INVENTORY, or set {INVENTORY_VARIABLE}"),
            )),
        }
    }

    fn hosts(&self, addresses: &[&str]) -> Result<Vec<GivenHost>, clap::Error> {
        let wrong = |kind, message: String| command().error(kind, message);
        if addresses.is_empty() {
            let message = "say what to add: `--count N` machines that the provider makes, \
                           or the addresses of machines that exist";
            return Err(wrong(ErrorKind::MissingRequiredArgument, message.to_owned()));
        }
        if self.name.is_some() && addresses.len() > 1 {
            let message = "`--name` is for one machine: add the others separately";
            return Err(wrong(ErrorKind::ArgumentConflict, message.to_owned()));
        }
        let mut seen = BTreeSet::new();
        let host = |address: &&str| {
            let host =
                self.host(address).map_err(|it| wrong(ErrorKind::ValueValidation, it))?;
            match seen.insert(host.address) {
                true => Ok(host),
                false => {
                    let message = format!("{address} is given twice");
                    Err(wrong(ErrorKind::ValueValidation, message))
                }
            }
        };
        addresses.iter().map(host).collect()
    }

    fn host(&self, text: &str) -> Result<GivenHost, String> {
        let address: IpAddr = text.parse().map_err(|_| {
            format!(
                "`{text}` is not an IP address: name a machine by the address at which the \
                 cluster's hosts reach it"
            )
        })?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => address.to_string().parse().map_err(|_| {
                format!("a machine with the IPv6 address {address} needs a `--name`")
            })?,
        };
        let attributes =
            self.attributes.iter().cloned().map(Attribute::into_pair).collect();
        let agent_spec = AgentSpec { attributes, ..AgentSpec::default() };
        Ok(GivenHost { name, address, ssh: None, agent_spec })
    }
}
