#!/usr/bin/env python3
"""`make bench-peers`: fifty hosts, beside pyinfra and Ansible.

Each tool brings the same things to the same hosts over SSH: a user, a file of 1 MB, a
template, a unit that is started. Each logs in as the same user with the same key, knows all
host keys beforehand, and may work on all hosts at once. Its first run finds hosts without
any of that; the next ones find nothing to do. What it brought is checked and removed before
the next tool begins.

The hosts are containers: their own work takes turns with the tools on the same processors.
The hosts are removed again, whatever happens.
"""

import random
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass, field

from measure import BENCH, REPO, Failed, Limit, Sample, judge, median, platform, run, say

WORK = BENCH / ".work"
VENV = REPO / ".venv-bench"
MACHINES = BENCH / "hosts" / "machines.yaml"
GIVEN = BENCH / "hosts" / "given.yaml"
STATE = BENCH / "hosts" / ".platform"
KEY = STATE / "bench" / "id_ed25519"
KNOWN_HOSTS = WORK / "known_hosts"
PAYLOAD = WORK / "payload.bin"
N_HOSTS = 50

# Everything that the tools bring, and what they leave behind on a host.
RESET = """
systemctl disable --now ticker.service
rm -rf /opt/ticker.bin /etc/ticker.conf /etc/systemd/system/ticker.service*
rm -rf /var/lib/platform /run/platform ~platform/.ansible
systemctl daemon-reload
systemctl reset-failed
userdel ticker
true
"""
# What a host must show after every run, whichever tool it was.
SHOW = """
getent passwd ticker | cut -d: -f1,6,7
stat -c '%n %a %U %G %s' /opt/ticker.bin /etc/ticker.conf /etc/systemd/system/ticker.service
sha256sum /opt/ticker.bin /etc/systemd/system/ticker.service
grep -c "name = $(hostname -i | cut -d' ' -f1)$" /etc/ticker.conf
systemctl is-active ticker.service
systemctl is-enabled ticker.service
"""


@dataclass
class Tool:
    """A tool that is measured, and what its runs cost."""

    name: str
    command: Callable[[], Sample]
    n_first: int
    n_unchanged: int
    first: list[Sample] = field(default_factory=list)
    unchanged: list[Sample] = field(default_factory=list)

    def measure(self) -> str:
        """Makes all runs; what the hosts show at the end."""
        for n in range(self.n_first):
            on_hosts(RESET)
            say(f"{self.name}: first run {n + 1} of {self.n_first}")
            self.first.append(self.command())
        shown = on_hosts(SHOW)
        for n in range(self.n_unchanged):
            say(f"{self.name}: run {n + 1} of {self.n_unchanged} with nothing to do")
            self.unchanged.append(self.command())
        if on_hosts(SHOW) != shown:
            raise Failed(f"{self.name}: a run with nothing to do changed something")
        return shown


def main() -> int:
    install_peers()
    try:
        make_hosts()
        tools = [
            Tool("platform", run_platform, n_first=5, n_unchanged=9),
            Tool("pyinfra", run_pyinfra, n_first=2, n_unchanged=3),
            Tool("ansible", run_ansible, n_first=1, n_unchanged=2),
        ]
        shown = {tool.name: tool.measure() for tool in tools}
        for name, other in shown.items():
            if other != shown["platform"]:
                raise Failed(f"{name} brought something else:\n{other[:2000]}")
        print_table(tools)
        return judge(limits(*tools))
    finally:
        platform("down", MACHINES, "--yes")
        shutil.rmtree(WORK, ignore_errors=True)
        shutil.rmtree(STATE, ignore_errors=True)


def install_peers() -> None:
    """The peers in a virtual environment of their own, in pinned versions."""
    if not (VENV / "bin" / "pip").exists():
        venv.create(VENV, with_pip=True, clear=True)
    pip = [VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--requirement", BENCH / "requirements.txt"])


def make_hosts() -> None:
    """The hosts, their keys made known to every tool, and the tools' inventories."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    PAYLOAD.write_bytes(random.Random(1).randbytes(1_000_000))
    say("building the image of the hosts where it is not there yet")
    platform("image", "build", BENCH / "images" / "catalog.yaml")
    say(f"making {N_HOSTS} hosts")
    platform("up", MACHINES, "--yes")
    keys = host_keys()
    addresses = [line.split()[0] for line in keys]
    if len(addresses) != N_HOSTS or any(a not in GIVEN.read_text() for a in addresses):
        raise Failed(f"the hosts are not those of {GIVEN.name}: {addresses}")
    KNOWN_HOSTS.write_text("\n".join(keys) + "\n")
    write_inventories(addresses)
    # Pins the hosts' keys, as the peers know them too.
    platform("exec", GIVEN, "--", "true")


def host_keys() -> list[str]:
    """Address and key of each host, as Docker remembers them."""
    label = '{{{{.Label "platform.{}"}}}}'
    ask = ["docker", "ps", "--filter", "label=platform.cluster=bench", "--format"]
    words = [*ask, f"{label.format('address')} {label.format('host-key')}"]
    return sorted(subprocess.check_output(words, text=True).splitlines())


def write_inventories(addresses: list[str]) -> None:
    """The inventories of the peers: the same user, key and known hosts as in hosts/given.yaml."""
    login = {
        "ansible_user": "platform",
        "ansible_ssh_private_key_file": KEY,
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={KNOWN_HOSTS}",
        "ansible_python_interpreter": "/usr/bin/python3",
        "payload": PAYLOAD,
    }
    lines = [*addresses, "[all:vars]", *(f"{key}={value}" for key, value in login.items())]
    (WORK / "ansible.ini").write_text("\n".join(lines) + "\n")
    data = {
        "ssh_user": "platform",
        "ssh_key": str(KEY),
        "ssh_known_hosts_file": str(KNOWN_HOSTS),
        "ssh_strict_host_key_checking": "yes",
        "payload": str(PAYLOAD),
    }
    (WORK / "pyinfra_hosts.py").write_text(f"hosts = ({addresses!r}, {data!r})\n")


def run_platform() -> Sample:
    sample = platform("up", GIVEN, "--yes", "--output", "json")
    if sample.n_events("connected") != N_HOSTS:
        raise Failed(f"there were {sample.n_events('connected')} connections")
    return sample


def run_pyinfra() -> Sample:
    tool = VENV / "bin" / "pyinfra"
    inventory = WORK / "pyinfra_hosts.py"
    return run([tool, "--yes", "--parallel", N_HOSTS, inventory, "peers/deploy.py"])


def run_ansible() -> Sample:
    tool = VENV / "bin" / "ansible-playbook"
    env = {"ANSIBLE_CONFIG": str(BENCH / "peers" / "ansible.cfg")}
    return run([tool, "--inventory", WORK / "ansible.ini", "peers/playbook.yaml"], env)


def on_hosts(script: str) -> str:
    """Runs a script as root on every host; what they print."""
    return platform("exec", GIVEN, "--sudo", "--", "sh", "-c", script).output


def print_table(tools: list[Tool]) -> None:
    """One line for each tool: wall time, processor time a host, memory."""
    print(f"\n{N_HOSTS} hosts{'':>7}{'first run':>24}{'nothing to do':>24}{'memory':>12}")
    print(f"{'':<15}{'wall':>10}{'cpu a host':>14}{'wall':>10}{'cpu a host':>14}")
    for tool in tools:
        cells = [
            f"{median(runs, 'wall'):>8.2f} s{cpu_a_host(runs) * 1000:>11.0f} ms"
            for runs in (tool.first, tool.unchanged)
        ]
        print(f"{tool.name:<15}{''.join(cells)}{peak(tool):>9.0f} MB")
    print()


def cpu_a_host(runs: list[Sample]) -> float:
    return median(runs, "cpu") / N_HOSTS


def peak(tool: Tool) -> float:
    return max(sample.memory for sample in tool.first + tool.unchanged)


def limits(ours: Tool, pyinfra: Tool, ansible: Tool) -> list[Limit]:
    """What the table has to show."""

    def faster(what: str, other: Tool, runs: str, bound: float) -> Limit:
        ratio = median(getattr(other, runs), "wall") / median(getattr(ours, runs), "wall")
        return Limit(f"{what}: times faster than {other.name}", ratio, bound, "", True)

    execs = max(sample.n_events("executed") for sample in ours.unchanged)
    return [
        faster("first run", pyinfra, "first", 5),
        faster("nothing to do", pyinfra, "unchanged", 5),
        faster("first run", ansible, "first", 20),
        faster("nothing to do", ansible, "unchanged", 20),
        Limit("first run: cpu a host", cpu_a_host(ours.first) * 1000, 30, "ms"),
        Limit("nothing to do: cpu a host", cpu_a_host(ours.unchanged) * 1000, 30, "ms"),
        Limit("nothing to do: commands a host", execs / N_HOSTS, 1, ""),
        Limit("peak memory", peak(ours), 100, "MB"),
    ]


if __name__ == "__main__":
    sys.exit(main())
