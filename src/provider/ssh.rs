//! Machines that exist, at the addresses that the inventory gives.
//!
//! Pure: no service has to be asked, and their host keys are not known in advance.

use super::Machine;
use crate::inventory::{Inventory, Members};

/// The machines that the inventory gives, in the order of the file.
pub fn machines(inventory: &Inventory) -> Vec<Machine> {
    let mut machines = Vec::new();
    for group in &inventory.groups {
        let Members::Hosts(hosts) = &group.members else { continue };
        machines.extend(hosts.iter().map(|given| Machine {
            host: given.name.clone(),
            group: group.name.clone(),
            address: given.address,
            ssh: given.ssh.clone(),
            host_keys: Vec::new(),
        }));
    }
    machines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inventory;

    #[test]
    fn given_hosts_are_machines_in_the_order_of_the_file() {
        let text = "cluster: rack7\n\
                    provider: {ssh: {}}\n\
                    groups:\n  \
                      edge: {roles: [edge], hosts: [{address: 10.0.0.21, name: e1}]}\n  \
                      control: {roles: [control], hosts: [10.0.0.11]}\n";
        let inventory = inventory::read(text, &|_: &Path| true).unwrap();
        let seen: Vec<_> = machines(&inventory)
            .into_iter()
            .map(|machine| {
                format!("{} {} {}", machine.host, machine.group, machine.address)
            })
            .collect();
        assert_eq!(seen, ["e1 edge 10.0.0.21", "10.0.0.11 control 10.0.0.11"]);
    }
}
