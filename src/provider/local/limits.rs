//! What this computer's kernel must allow for many machines.

use tokio::fs;

const INSTANCES: &str = "/proc/sys/fs/inotify/max_user_instances";
/// systemd opens five in a machine, and the machine's own programs some more.
const EACH: usize = 8;
/// What this computer itself may use.
const OTHERS: usize = 64;
/// Enough for a thousand machines, and cheap.
const PLENTY: usize = 8192;

/// Lets the kernel take so many machines of this computer's in all, and says what the operator
/// should know of it: that a limit was raised (until the next boot), or has to be. Where the
/// limit is high enough, or was raised before, it does and says nothing.
pub async fn raise_limits(n_machines: usize) -> Option<String> {
    let text = fs::read_to_string(INSTANCES).await.ok()?;
    let has = text.trim().parse().ok()?;
    if suffices(has, n_machines) {
        return None;
    }
    let name = "fs.inotify.max_user_instances";
    let why = format!("systemd in {n_machines} machines needs more");
    Some(match fs::write(INSTANCES, PLENTY.to_string()).await {
        Ok(()) => format!("raised {name} of this computer from {has} to {PLENTY}: {why}"),
        Err(_) => format!(
            "{name} of this computer is {has} and {why}; if machines do not come up, run \
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
