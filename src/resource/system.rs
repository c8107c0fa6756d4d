//! The machine itself: facts that no resource can change. The checks before the first change read
//! them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

use super::{Engine, Facts, Manager, Unknown};
use crate::unit::Size;

/// A machine and its system.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct System {
    /// Its distribution, such as `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// The kernel's machine name, such as `x86_64`.
    pub arch: String,
    /// The kernel's release.
    pub kernel: String,
    /// How many processors it has.
    pub cpus: u32,
    /// The memory that all its processes together can use.
    pub memory: Size,
    /// The free space for images and data; the least of it if they are on several disks.
    pub free_disk: Size,
    /// Where the disk with that space is mounted.
    pub disk: String,
    /// How many seconds its clock is ahead of this computer's; negative if it is behind. The error
    /// is up to half a second, plus half the time that the probe took.
    pub clock_skew: f64,
    /// Which cgroups its processes get.
    pub cgroups: Cgroups,
    /// Whether systemd runs it.
    pub systemd: bool,
    /// Whether AppArmor is on.
    pub apparmor: bool,
    /// What is behind the command `docker`.
    pub engine: Engine,
    /// The TCP ports on which programs listen.
    pub listening: BTreeSet<u16>,
    /// Its addresses, without loopback addresses; empty if they are not known.
    pub addresses: BTreeSet<IpAddr>,
    /// The address that was asked about, if something answers there: this machine or another one.
    pub answering: Option<IpAddr>,
    /// An identity that no other running machine has, made of its boot and its network. Clones of a
    /// disk have other ids in common, and containers on one computer have the same boot. Empty if
    /// it is not known.
    pub identity: String,
    pub(super) manager: Option<Manager>,
}

/// Which cgroups a machine's processes get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cgroups {
    /// Version 1, perhaps with version 2 beside it.
    V1,
    /// Only version 2.
    #[default]
    V2,
}

impl System {
    /// The package manager.
    ///
    /// # Errors
    /// When the host has none that this program can use.
    pub fn manager(&self) -> Result<Manager, Unknown> {
        self.manager
            .ok_or_else(|| Unknown::about("its package manager (neither dpkg nor rpm)"))
    }
}

/// The part of the probe about the machine. The shell reads almost everything by itself: all hosts
/// of a lab may share a processor, and each program that a probe starts takes a millisecond of it.
/// It starts only `df`, and `uname` if the kernel does not show its machine name (before 6.1).
pub(super) const SCRIPT: &str = r#"os=unknown
[ -r /etc/os-release ] && while IFS='=' read -r key value; do
  [ "$key" = PRETTY_NAME ] && os=$value && break
done </etc/os-release
while :; do
  case $os in *[\"\'\\]*) os=${os%%[\"\'\\]*}${os#*[\"\'\\]} ;; *) break ;; esac
done
memory=0
while read -r name kib _; do [ "$name" = MemTotal: ] && memory=$kib && break; done </proc/meminfo
for limit in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; do
  [ -r $limit ] && read -r bytes <$limit && case $bytes in
    *[!0-9]* | ????????????????*) ;;
    *) [ $((bytes / 1024)) -lt "$memory" ] && memory=$((bytes / 1024)) ;;
  esac
done
set -- $(df -Pk /var/lib /var/lib/docker /var/lib/platform 2>/dev/null)
free=0 disk=/
[ $# -gt 7 ] && shift 7 && free=$4 disk=$6
while [ $# -gt 5 ]; do
  [ "$4" -lt "$free" ] && free=$4 disk=$6
  shift 6
done
cgroups=v1
[ -e /sys/fs/cgroup/cgroup.controllers ] && cgroups=v2
systemd=false
[ -d /run/systemd/system ] && systemd=true
apparmor=false
[ -r /sys/module/apparmor/parameters/enabled ] && read -r on </sys/module/apparmor/parameters/enabled && [ "$on" = Y ] && apparmor=true
read -r kernel </proc/sys/kernel/osrelease
arch=
[ -r /proc/sys/kernel/arch ] && read -r arch </proc/sys/kernel/arch
[ "$arch" ] || arch=$(uname -m)
cpus=0
while read -r key value; do [ "$key" = Cpus_allowed_list: ] && break; done </proc/self/status
IFS=,
for range in $value; do cpus=$((cpus + ${range#*-} - ${range%-*} + 1)); done
unset IFS
printf '{"q":"system","os":"%s","kernel":"%s","arch":"%s","cpus":%s,"memory_kib":%s,"free_kib":%s,"disk":"%s","cgroups":"%s","systemd":%s,"apparmor":%s}\n' \
  "$os" "$kernel" "$arch" "$cpus" "$memory" "$free" "$disk" "$cgroups" "$systemd" "$apparmor"
boot=
[ -r /proc/sys/kernel/random/boot_id ] && read -r boot </proc/sys/kernel/random/boot_id
printf '{"q":"boot_id","boot_id":"%s"}\n' "$boot"
[ -r /proc/net/fib_trie ] && while read -r word what kind; do
  case "$word $what $kind" in
    '|-- '*) address=$what ;;
    '/32 host LOCAL') printf '{"q":"address","address":"%s"}\n' "$address" ;;
  esac
done </proc/net/fib_trie
[ -r /proc/net/if_inet6 ] && while read -r address _; do
  printf '{"q":"address6","hex":"%s"}\n' "$address"
done </proc/net/if_inet6
generation=
[ -r /var/lib/platform/generation ] && read -r generation </var/lib/platform/generation
printf '{"q":"generation","generation":"%s"}\n' "$generation"
"#;

/// A path that the probe's `stat` also reads: the kernel makes it when it is read, so its last
/// change is the current time.
pub(super) const NOW: &str = "/proc/self/ns/net";

/// How `stat` names its input, which is the machine's network.
pub(super) const NETWORK: &str = "-";

/// The part of the probe that lists the listening ports, as the kernel shows them.
pub(super) const PORTS: &str = r#"for table in /proc/net/tcp /proc/net/tcp6; do
  [ -r $table ] && while read -r _ local _ state _; do
    [ "$state" = 0A ] && printf '{"q":"port","hex":"%s"}\n' "${local##*:}"
  done <$table
done
"#;

/// The part of the probe that tells whether something answers at an address: it takes a connection
/// to the port of SSH or refuses it. A host without Bash does not tell.
pub(super) fn answering(address: Ipv4Addr) -> String {
    format!(
        r#"answer=$(timeout 1 bash -c ': </dev/tcp/{address}/22' 2>&1) && answer=refused
case $answer in
  *refused*) printf '{{"q":"answering","address":"{address}"}}\n' ;;
esac
"#
    )
}

/// The machine.
#[derive(Debug, Deserialize)]
pub(super) struct SystemLine {
    os: String,
    kernel: String,
    arch: String,
    cpus: u32,
    memory_kib: u64,
    free_kib: u64,
    #[serde(default)]
    disk: String,
    cgroups: Cgroups,
    systemd: bool,
    apparmor: bool,
}

/// The last change that a run made.
#[derive(Debug, Deserialize)]
pub(super) struct GenerationLine {
    generation: String,
}

/// The id of the machine's boot.
#[derive(Debug, Deserialize)]
pub(super) struct BootIdLine {
    boot_id: String,
}

/// An address of the machine, or one at which something answers.
#[derive(Debug, Deserialize)]
pub(super) struct AddressLine {
    address: IpAddr,
}

/// An IPv6 address, in hexadecimal.
#[derive(Debug, Deserialize)]
pub(super) struct Address6Line {
    hex: String,
}

/// The package manager.
#[derive(Debug, Deserialize)]
pub(super) struct ManagerLine {
    manager: Manager,
}

/// A listening port, in hexadecimal.
#[derive(Debug, Deserialize)]
pub(super) struct PortLine {
    hex: String,
}

impl SystemLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        let system = &mut facts.system;
        system.os = self.os;
        system.kernel = self.kernel;
        system.arch = self.arch;
        system.cpus = self.cpus;
        system.memory = Size::bytes(self.memory_kib.checked_mul(1024)?);
        system.free_disk = Size::bytes(self.free_kib.checked_mul(1024)?);
        system.disk = self.disk;
        system.cgroups = self.cgroups;
        system.systemd = self.systemd;
        system.apparmor = self.apparmor;
        Some(())
    }
}

impl GenerationLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        facts.generation = self.generation;
        Some(())
    }
}

impl BootIdLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        facts.system.identity = self.boot_id;
        Some(())
    }
}

/// Adds the number of the machine's network to its identity. Its boot has been added before.
pub(super) fn add_network(number: u64, facts: &mut Facts) {
    let identity = &mut facts.system.identity;
    if !identity.is_empty() {
        identity.push_str(&format!(" {number}"));
    }
}

impl AddressLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        if !self.address.is_loopback() {
            facts.system.addresses.insert(self.address);
        }
        Some(())
    }

    pub(super) fn add_answering_to(self, facts: &mut Facts) -> Option<()> {
        facts.system.answering = Some(self.address);
        Some(())
    }
}

impl Address6Line {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        let address = Ipv6Addr::from_bits(u128::from_str_radix(&self.hex, 16).ok()?);
        AddressLine { address: address.into() }.add_to(facts)
    }
}

impl ManagerLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        facts.system.manager = Some(self.manager);
        Some(())
    }
}

impl PortLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        facts.system.listening.insert(u16::from_str_radix(&self.hex, 16).ok()?);
        Some(())
    }
}
