//! What this computer's kernel must allow for many machines.

use tokio::fs;

const INSTANCES: &str = "/proc/sys/fs/inotify/max_user_instances";
/// systemd opens five in each machine, and the machine's own programs open some more.
const EACH: usize = 8;
/// What this computer itself may need.
const OTHERS: usize = 64;
/// Enough for a thousand machines, and cheap.
const PLENTY: usize = 8192;

/// Raises the kernel's limit for this number of machines on this computer, and returns a message
/// for the operator: that the limit was raised (until the next boot), or that the operator has to
/// raise it. If the limit is high enough already, this does nothing and returns `None`.
pub async fn raise_limits(n_machines: usize) -> Option<String> {
    let text = fs::read_to_string(INSTANCES).await.ok()?;
    let has = text.trim().parse().ok()?;
    if suffices(has, n_machines) {
        return None;
    }
    let name = "fs.inotify.max_user_instances";
    let why = format!("systemd in {n_machines} machines needs more");
    Some(match fs::write(INSTANCES, PLENTY.to_string()).await {
        Ok(()) => format!("raised {name} on this computer from {has} to {PLENTY}: {why}"),
        Err(_) => format!(
            "{name} on this computer is {has}, and {why}; if machines do not start, run \
             `sudo sysctl {name}={PLENTY}`"
        ),
    })
}

fn suffices(limit: usize, n_machines: usize) -> bool {
    limit >= OTHERS + EACH * n_machines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_limit_suffices_for_a_few_machines_and_plenty_for_a_thousand() {
        assert!(suffices(128, 4) && !suffices(128, 25));
        assert!(suffices(PLENTY, 1000));
    }
}
