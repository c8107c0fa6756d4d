"""Hosts for measurements, known to every tool in advance: containers, or namespaces.

Both kinds are reached over SSH by the user `platform`, with one key, and are made from the image
`machine` in images/base.yaml. All their files are in one folder, and are removed with it.
"""

import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

from measure import BENCH, Failed, platform, say

WORK = BENCH / ".work"
GIVEN = WORK / "given.yaml"
KNOWN_HOSTS = WORK / "known_hosts"
PAYLOAD = WORK / "payload.bin"

# What the tools install on every host; units only if hosts have systemd.
GIVEN_TEXT = """\
cluster: bench-given
provider:
  ssh: {{user: platform, key: {key}, host_keys: accept-new}}
groups:
  hosts:
    roles: [base]
    hosts: {addresses}
platform:
  images: ../images/base.yaml
  base:
    users: [{{name: ticker}}]
    files:
      - {{path: /opt/ticker.bin, source: payload.bin, owner: ticker, mode: "0640"}}
      - {{path: /etc/ticker.conf, source: ../files/ticker.conf, template: true}}
"""
UNITS_TEXT = """\
    units:
      - {name: ticker.service, source: ../files/ticker.service}
"""


class Hosts:
    """Hosts for the length of a `with`; they are removed at its end in any case."""

    def __init__(self, n_hosts: int) -> None:
        self.n_hosts = n_hosts
        self.addresses: list[str] = []

    def __enter__(self) -> "Hosts":
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir()
        PAYLOAD.write_bytes(random.Random(1).randbytes(1_000_000))
        say("building the image of the hosts where it is not there yet")
        platform("image", "build", BENCH / "images" / "catalog.yaml")
        say(f"making {self.n_hosts} hosts")
        try:
            self.make()
            # Pins the hosts' keys: the other tools know them too.
            self.on_each("true")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.remove()
        shutil.rmtree(WORK, ignore_errors=True)

    def make(self) -> None:
        """Makes the hosts and writes `GIVEN` and `KNOWN_HOSTS`."""
        raise NotImplementedError

    def remove(self) -> None:
        """Removes the hosts, even if only some of them were made."""
        raise NotImplementedError

    def on_each(self, *words: str) -> str:
        """Runs a command on every host; returns their output."""
        return platform("exec", GIVEN, "--", *words).output

    def write_given(self, keys: dict[str, str], key: str, *, has_systemd: bool) -> None:
        """Writes the inventory, and the known host keys of each address."""
        self.addresses = list(keys)
        text = GIVEN_TEXT.format(key=key, addresses=f"[{', '.join(keys)}]")
        GIVEN.write_text(text + (UNITS_TEXT if has_systemd else ""))
        KNOWN_HOSTS.write_text("".join(f"{host} {line}\n" for host, line in keys.items()))


class Containers(Hosts):
    """Containers that behave like newly installed servers, including systemd."""

    # The first 10 addresses of the network are not given to machines.
    NETWORK = "10.83.0.0/24"
    KEY = WORK / ".platform" / "bench" / "id_ed25519"
    MACHINES = WORK / "machines.yaml"

    def make(self) -> None:
        self.MACHINES.write_text(
            f"cluster: bench\n"
            f"provider: {{local: {{network: {{cidr: {self.NETWORK}}}}}}}\n"
            f"groups: {{host: {{roles: [base], count: {self.n_hosts}}}}}\n"
            f"platform: {{images: ../images/base.yaml}}\n"
        )
        platform("up", self.MACHINES, "--yes")
        label = '{{{{.Label "platform.{}"}}}}'
        words = ["docker", "ps", "--filter", "label=platform.cluster=bench", "--format"]
        words.append(f"{label.format('address')} {label.format('host-key')}")
        lines = subprocess.check_output(words, text=True).splitlines()
        if len(lines) != self.n_hosts:
            raise Failed(f"{len(lines)} hosts run, not {self.n_hosts}")
        keys = dict(sorted(line.split(maxsplit=1) for line in lines))
        self.write_given(keys, ".platform/bench/id_ed25519", has_systemd=True)

    def remove(self) -> None:
        platform("down", self.MACHINES, "--yes")


class Namespaces(Hosts):
    """Hosts that are one sshd each, on a shared file system tree: a thousand fit on a laptop.

    Each has its own network, processes, mounts and host name. None has systemd, so units cannot
    be compared. This needs root.
    """

    BRIDGE = "bench-hosts"
    KEY = WORK / "id_ed25519"
    TREE = WORK / "tree"
    HOST = BENCH / "namespace.sh"
    # The kernel's default limit for neighbour entries is too low for so many hosts.
    LIMITS = ("net.ipv4.neigh.default.gc_thresh2", "net.ipv4.neigh.default.gc_thresh3")

    def __init__(self, n_hosts: int) -> None:
        super().__init__(n_hosts)
        self.hosts: list[subprocess.Popen] = []
        self.limits: dict[str, str] = {}

    def make(self) -> None:
        self.make_tree()
        self.make_bridge()
        keys = {}
        for n in range(self.n_hosts):
            address = f"10.85.{n // 250}.{n % 250 + 2}"
            folder = WORK / "hosts" / str(n)
            for name in ("upper", "work", "root"):
                (folder / name).mkdir(parents=True)
            keys[address] = self.start(n, address, folder)
        for n, host in enumerate(self.hosts):
            if host.stdout.readline() != "ready\n":
                raise Failed(f"host {n} did not start: see its output")
        self.write_given(keys, self.KEY.name, has_systemd=False)

    def make_tree(self) -> None:
        """What all hosts share: the image's files, and the keys that may log in."""
        keygen(self.KEY)
        self.TREE.mkdir()
        newest, *_ = output("docker", "image", "ls", "--quiet", "platform/python").split()
        container = output("docker", "create", newest)
        try:
            export = subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", self.TREE], stdin=export.stdout, check=True)
            if export.wait() != 0:
                raise Failed("the image of the hosts could not be unpacked")
        finally:
            subprocess.run(["docker", "rm", container], check=True, stdout=subprocess.DEVNULL)
        allowed = self.TREE / "etc/ssh/authorized_keys"
        allowed.mkdir()
        (allowed / "platform").write_text(self.KEY.with_suffix(".pub").read_text())

    def make_bridge(self) -> None:
        self.limits = {name: output("sysctl", "-n", name) for name in self.LIMITS}
        for name in self.LIMITS:
            subprocess.run(["sysctl", "-q", "-w", f"{name}=8192"], check=True)
        for words in (
            f"link add {self.BRIDGE} type bridge",
            f"address add 10.85.255.254/16 dev {self.BRIDGE}",
            f"link set {self.BRIDGE} up",
        ):
            subprocess.run(["ip", *words.split()], check=True)

    def start(self, n: int, address: str, folder: Path) -> str:
        """Starts a host; returns its host key."""
        key = folder / "upper/etc/ssh/ssh_host_ed25519_key"
        key.parent.mkdir(parents=True)
        keygen(key)
        namespaces = ["unshare", "--net", "--mount", "--uts", "--ipc"]
        words = [*namespaces, self.HOST, folder, self.TREE, str(n), address, str(os.getpid())]
        self.hosts.append(
            subprocess.Popen(
                [*words, self.BRIDGE],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        kind, public, *_ = key.with_suffix(".pub").read_text().split()
        return f"{kind} {public}"

    def remove(self) -> None:
        for host in self.hosts:
            os.killpg(host.pid, signal.SIGKILL)
        for host in self.hosts:
            host.wait()
        subprocess.run(["ip", "link", "delete", self.BRIDGE], check=False)
        for name, value in self.limits.items():
            subprocess.run(["sysctl", "-q", "-w", f"{name}={value}"], check=True)


def keygen(path: Path) -> None:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", path]
    subprocess.run(words, check=True)


def output(*words: str) -> str:
    return subprocess.check_output(words, text=True).strip()
