"""Tools that install the same things on the same hosts over SSH, and what each run costs.

They install a user, a file of 1 MB, a template, and a unit that is started. Each tool logs in as
the same user with the same key, knows all host keys in advance, and may work on all hosts at once.
Its first run begins with hosts that have none of that; the next runs find nothing to do. What it
installed is checked and removed before the next tool begins. The hosts are containers: their own
work shares the processors with the tools.
"""

import venv
from collections.abc import Callable
from dataclasses import dataclass, field

from hosts import GIVEN, KNOWN_HOSTS, PAYLOAD, WORK, Containers, Hosts
from measure import BENCH, REPO, Failed, Limit, Sample, median, platform, run, say

VENV = REPO / ".venv-bench"

# Everything that the tools install, and everything else that they leave on a host.
RESET = """
systemctl disable --now ticker.service
rm -rf /opt/ticker.bin /etc/ticker.conf /etc/systemd/system/ticker.service*
rm -rf /var/lib/platform /run/platform ~platform/.ansible
systemctl daemon-reload
systemctl reset-failed
userdel ticker
true
"""
# The expected state of a host after every run, the same for each tool.
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
    command: Callable[[Containers], Sample]
    n_first: int
    n_unchanged: int
    first: list[Sample] = field(default_factory=list)
    unchanged: list[Sample] = field(default_factory=list)

    def measure(self, hosts: Containers) -> str:
        """Makes all runs; returns the state of the hosts at the end."""
        for n in range(self.n_first):
            on_each(RESET)
            say(f"{self.name}: first run {n + 1} of {self.n_first}")
            self.first.append(self.command(hosts))
        shown = on_each(SHOW)
        for n in range(self.n_unchanged):
            say(f"{self.name}: run {n + 1} of {self.n_unchanged} with nothing to do")
            self.unchanged.append(self.command(hosts))
        if on_each(SHOW) != shown:
            raise Failed(f"{self.name}: a run with nothing to do changed something")
        return shown

    def peak(self) -> float:
        """The most memory that one of its processes used, in MB."""
        return max(sample.memory for sample in self.first + self.unchanged)


def install() -> None:
    """The other tools in their own virtual environment, in pinned versions."""
    if not (VENV / "bin" / "pip").exists():
        venv.create(VENV, with_pip=True, clear=True)
    pip = [VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--requirement", BENCH / "requirements.txt"])


def compare(hosts: Containers, tools: list[Tool]) -> None:
    """Measures the tools one after another and prints a table; `platform` is the first."""
    write_inventories(hosts.addresses)
    ours, *others = [(tool.name, tool.measure(hosts)) for tool in tools]
    for name, shown in others:
        if shown != ours[1]:
            raise Failed(f"{name} brought something else:\n{shown[:2000]}")
    print_table(hosts.n_hosts, tools)


def faster(ours: Tool, other: Tool, runs: str, bound: float) -> Limit:
    """How many times faster than another tool; `runs` are its `first` or its `unchanged`."""
    ratio = median(getattr(other, runs), "wall") / median(getattr(ours, runs), "wall")
    what = {"first": "first run", "unchanged": "nothing to do"}[runs]
    return Limit(f"{what}: times faster than {other.name}", ratio, bound, "", True)


def write_inventories(addresses: list[str]) -> None:
    """The inventories of the other tools: same user, key and known hosts as in `GIVEN`."""
    login = {
        "ansible_user": "platform",
        "ansible_ssh_private_key_file": Containers.KEY,
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={KNOWN_HOSTS}",
        "ansible_python_interpreter": "/usr/bin/python3",
        "payload": PAYLOAD,
    }
    lines = [*addresses, "[all:vars]", *(f"{key}={value}" for key, value in login.items())]
    (WORK / "ansible.ini").write_text("\n".join(lines) + "\n")
    data = {
        "ssh_user": "platform",
        "ssh_key": str(Containers.KEY),
        "ssh_known_hosts_file": str(KNOWN_HOSTS),
        "ssh_strict_host_key_checking": "yes",
        "payload": str(PAYLOAD),
    }
    (WORK / "pyinfra_hosts.py").write_text(f"hosts = ({addresses!r}, {data!r})\n")


def run_platform(hosts: Hosts) -> Sample:
    sample = platform("up", GIVEN, "--yes", "--output", "json")
    if sample.n_events("connected") != hosts.n_hosts:
        raise Failed(f"there were {sample.n_events('connected')} connections")
    return sample


def run_pyinfra(hosts: Containers) -> Sample:
    tool = VENV / "bin" / "pyinfra"
    inventory = WORK / "pyinfra_hosts.py"
    return run([tool, "--yes", "--parallel", hosts.n_hosts, inventory, "peers/deploy.py"])


def run_ansible(_: Containers) -> Sample:
    tool = VENV / "bin" / "ansible-playbook"
    env = {"ANSIBLE_CONFIG": str(BENCH / "peers" / "ansible.cfg")}
    return run([tool, "--inventory", WORK / "ansible.ini", "peers/playbook.yaml"], env)


def on_each(script: str) -> str:
    """Runs a script as root on every host; returns their output."""
    return platform("exec", GIVEN, "--sudo", "--", "sh", "-c", script).output


def print_table(n_hosts: int, tools: list[Tool]) -> None:
    """One line for each tool: wall time, processor time per host, memory."""
    print(f"\n{f'{n_hosts} hosts':<15}{'first run':>24}{'nothing to do':>24}{'memory':>12}")
    print(f"{'':<15}{'wall':>10}{'cpu a host':>14}{'wall':>10}{'cpu a host':>14}")
    for tool in tools:
        cells = [
            f"{median(runs, 'wall'):>8.2f} s{median(runs, 'cpu') / n_hosts * 1000:>11.0f} ms"
            for runs in (tool.first, tool.unchanged)
        ]
        print(f"{tool.name:<15}{''.join(cells)}{tool.peak():>9.0f} MB")
    print(flush=True)
