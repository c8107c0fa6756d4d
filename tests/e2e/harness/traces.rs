//! The state of a machine, in so much detail that no change is missed.

use std::collections::BTreeMap;

use super::Machine;

/// When everything on a machine was last written and started: the same before and after a run
/// that wrote nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Writes(Vec<String>);

/// Change times show every write, a new owner or mode, and a replaced file. A login itself
/// changes /var/log and /run; ZooKeeper, Mesos, the balancer, the copier and Docker write to their own data at
/// any time.
const WRITES: &str = "
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \\
    -o -path /var/log \\
    -o -path /var/lib/platform/balancer -o -path /var/lib/platform/copier \\
    -o -path /var/lib/platform/zookeeper -o -path '/var/lib/platform/mesos-*' \\) -prune \\
    -o -printf '%p %y %m %U:%G %s %C@ %l\\n' | sort
find /run/platform /run/systemd/system -printf '%p %C@\\n' 2>/dev/null | sort
for unit in docker platform-registry platform-zookeeper; do
  systemctl show -p Id,ActiveState,UnitFileState,NRestarts,ExecMainPID $unit \\
    -p ActiveEnterTimestampMonotonic -p ExecMainStartTimestampMonotonic
done
if command -v docker >/dev/null; then
  docker ps -aq | xargs -r docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}'
  docker image ls -a --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' | sort
fi";

impl Writes {
    /// Reads the state of a machine; writes nothing.
    pub(crate) fn on(machine: &Machine) -> Self {
        Self(machine.sh(WRITES).lines().map(str::to_owned).collect())
    }

    /// Checks that nothing was written since, except the firewall's rules, the number of the
    /// change, and what a run leaves in /run.
    pub(crate) fn are_still_the_last_but_for_the_firewall_on(self, machine: &Machine) {
        let written = [
            "/etc/platform/firewall",
            "/run/platform",
            "/var/lib/platform ",
            "/var/lib/platform/generation ",
        ];
        let without = |Self(mut lines): Self| {
            lines.retain(|line| !written.iter().any(|path| line.starts_with(path)));
            Self(lines)
        };
        without(self).are_those(&without(Self::on(machine)));
    }

    /// Checks that nothing was written since.
    pub(crate) fn are_still_the_last_on(&self, machine: &Machine) {
        self.are_those(&Self::on(machine));
    }

    fn are_those(&self, now: &Self) {
        let new: Vec<&String> =
            now.0.iter().filter(|line| !self.0.contains(line)).collect();
        let gone: Vec<&String> =
            self.0.iter().filter(|line| !now.0.contains(line)).collect();
        assert!(new.is_empty() && gone.is_empty(), "new {new:#?}\ngone {gone:#?}");
    }
}

/// The content of a machine: files, packages, users, units, kernel settings, network. The same
/// before `up` and after `down` if nothing of the platform is left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces(BTreeMap<&'static str, Vec<String>>);

/// Each question has a name. Excluded is everything that a host writes by itself:
///
/// - logs, caches, and the package manager's lists, locks and backups of its own database
/// - the random seed, the time of the last login, what a process keeps while it runs
/// - backups that `useradd` and its like make of the files that they rewrite (`/etc/passwd-`)
/// - counters and random values among the kernel's settings, and those of this whole computer
/// - the fact that the network was waited for, or waited for something
const QUESTIONS: [(&str, &str); 10] = [
    (
        "files",
        "cd / && find . -xdev \\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp \\
            -o -path ./run -o -path ./var/log -o -path ./var/cache -o -path ./var/tmp \\
            -o -path ./var/lib/apt/lists -o -path ./var/lib/dpkg \\
            -o -path ./etc/passwd- -o -path ./etc/shadow- -o -path ./etc/group- \\
            -o -path ./etc/gshadow- -o -path ./etc/subuid- -o -path ./etc/subgid- \\
            -o -path ./var/lib/systemd/random-seed \\) -prune \\
            -o -printf '%p %y %m %U:%G %l\\n' -type f -exec sha256sum {} + | sort",
    ),
    ("packages", "dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'"),
    ("asked for", "apt-mark showmanual"),
    ("users", "getent passwd; getent group; getent shadow"),
    ("unit files", "systemctl list-unit-files --no-legend --no-pager | sort"),
    (
        "units",
        "systemctl list-units --all --plain --no-legend --no-pager \\
            -t service,socket,timer,mount,target | grep -v not-found | \\
            awk '{print $1, $3, $4}' | grep -v -e '^session-' -e '^user@' -e '^apt-daily' \\
            -e '^user-runtime-dir@' -e network-online.target -e network-pre.target | sort",
    ),
    (
        "kernel settings",
        "sysctl -a 2>/dev/null | grep -v -e random -e nr_ -e -nr -e ns_last_pid -e fs.quota \\
            -e sched_ -e '^fs\\.' -e neigh -e nf_conntrack_count -e '^vm\\.' -e '^kernel\\.' \\
            -e '^user\\.' -e '\\.docker0\\.'",
    ),
    ("network", "ip -brief link | awk '{print $1}' | sort; ip -4 route"),
    ("docker's data", "ls -A /var/lib/docker 2>/dev/null; true"),
    (
        "firewall",
        "! command -v iptables-save >/dev/null || iptables-save | grep -v -e '^[#*]' \\
            -e COMMIT -e ' ACCEPT \\['; true",
    ),
];

impl Traces {
    /// Reads the content of a machine.
    pub(crate) fn on(machine: &Machine) -> Self {
        let answer =
            |script: &str| machine.sh(script).lines().map(str::to_owned).collect();
        Self(QUESTIONS.iter().map(|(what, script)| (*what, answer(script))).collect())
    }

    /// The differences, line by line.
    pub(crate) fn difference(&self, later: &Self) -> Vec<String> {
        [self.lacking_in(later, '-'), later.lacking_in(self, '+')].concat()
    }

    fn lacking_in(&self, other: &Self, sign: char) -> Vec<String> {
        let mut lacking = Vec::new();
        for (what, lines) in &self.0 {
            let there = other.0.get(what).map(Vec::as_slice).unwrap_or_default();
            let new = lines.iter().filter(|line| !there.contains(line));
            lacking.extend(new.map(|line| format!("{what}: {sign} {line}")));
        }
        lacking
    }
}
