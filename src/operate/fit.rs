//! Whether there is anything against changing the hosts, told before the first change.

use super::trouble::Trouble;
use crate::plan::preflight::Objection;
use crate::run::Fleet;
use crate::run::listener::{Listener, listener};

/// Whether there is nothing against it.
pub(super) fn fit(objections: Vec<Objection>) -> Result<(), Trouble> {
    if objections.is_empty() { Ok(()) } else { Err(Trouble::Unfit(objections)) }
}

/// Names the programs that hold ports: who has to stop one wants to know which. A container of
/// ours whose unit waits to start it anew is no reason not to begin, nor is one that has ended.
pub(super) async fn without_ours(
    objections: Vec<Objection>,
    fleet: &Fleet,
) -> Vec<Objection> {
    let mut left = Vec::new();
    for mut objection in objections {
        let remote = fleet.get(&objection.host);
        let listener = match (objection.port, remote) {
            (Some((port, _)), Some(remote)) => listener(remote.as_ref(), port).await,
            _ => Listener::Unknown,
        };
        match listener {
            Listener::Ours | Listener::Nobody => continue,
            Listener::Stranger(program) => objection.name_holder(&program),
            Listener::Unknown => {}
        }
        left.push(objection);
    }
    left
}
