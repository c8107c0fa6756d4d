//! Work in the network of a machine: its firewall keeps this computer out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::docker;

/// The networks of machines, by address.
static KNOWN: Mutex<BTreeMap<String, Network>> = Mutex::new(BTreeMap::new());

#[derive(Clone)]
struct Network {
    path: PathBuf,
    /// The text of the link at that path.
    id: PathBuf,
}

/// Does work on a thread in the network of the machine with this address: what connects to that
/// address is the machine itself. If there is no such machine now, the work is done from outside.
pub(crate) fn inside<T: Send>(address: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            if let Some(network) = network(address) {
                let entered = File::open(&network.path).ok().map(|file| {
                    let kind = Some(LinkNameSpaceType::Network);
                    move_into_link_name_space(file.as_fd(), kind)
                });
                if let Some(Err(error)) = entered {
                    panic!(
                        "cannot enter the network of {address}: {error}; are you root?"
                    );
                }
            }
            work()
        });
        done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn network(address: &str) -> Option<Network> {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let network = known().get(address).cloned();
    let is_there =
        |network: &Network| fs::read_link(&network.path).ok() == Some(network.id.clone());
    if let Some(network) = network.filter(is_there) {
        return Some(network);
    }
    let network = find(address)?;
    known().insert(address.to_owned(), network.clone());
    Some(network)
}

fn find(address: &str) -> Option<Network> {
    let said = |words: &[&str]| {
        let output = docker(words);
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    let label = format!("label=platform.address={address}");
    let id = said(&["ps", "--quiet", "--filter", &label])?;
    let pid = said(&["inspect", "--format", "{{.State.Pid}}", &id])?;
    let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
    let id = fs::read_link(&path).ok()?;
    Some(Network { path, id })
}
