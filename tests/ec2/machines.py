"""Containers on this computer as instances: systemd, sshd and the real cloud-init.

Each has its instance's private address, on a network with the VPC's CIDR, and starts, stops and
ends with its instance. Everything that is made here has a label, by which it is removed again.

Nothing here waits for a boot: an instance that runs may not answer yet, as at AWS.
"""

import io
import json
import subprocess
import sys
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import ip_network

LABEL = "platform.ec2"

MEMORY = "1g"

# The same as for machines of provider `local` (src/provider/local/docker.rs explains it).
SHAPE = ["--cgroupns=private", "--tmpfs=/run:exec,mode=755", "--tmpfs=/run/lock",
         "--tmpfs=/tmp:exec,mode=1777"]  # fmt: skip
LISTED = [
    *(f"--cap-add={name}" for name in
      ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG", "SYS_NICE", "IPC_LOCK")),
    *(f"--security-opt={name}=unconfined" for name in ("seccomp", "apparmor", "systempaths")),
]  # fmt: skip

# The longest that Docker may take for one command on a busy computer.
DEADLINE = 120


class Machines:
    """The containers of one server."""

    def __init__(self, label: str, image: str):
        self._label, self._image = label, image
        self._rights = _rights(image)
        self._networks: dict[str, Future] = {}
        # The work that is left for an instance, so that it is done in order.
        self._last: dict[str, Future] = {}
        self._work = ThreadPoolExecutor(max_workers=4)

    def run(self, instance) -> None:
        """Makes and starts the machine of an instance that was launched."""
        account, vpc_id = instance.ec2_backend, instance.vpc_id
        if vpc_id not in self._networks:
            cidr = account.get_vpc(vpc_id).cidr_block
            # Before the first machine in it: the call waits for it once, about a second.
            self._networks[vpc_id] = self._work.submit(self._make_network, vpc_id, cidr)
            self._networks[vpc_id].result()
        key = account.key_pairs.get(instance.key_name)
        seed = _seed(instance, key.public_key if key else None)
        self._queue(instance.id, lambda: self._make(instance, vpc_id, seed))

    def stop(self, instance) -> None:
        """Shuts it down cleanly."""
        self._queue(instance.id, lambda: docker("stop", _name(instance)))

    def start(self, instance) -> None:
        """Starts it again."""
        self._queue(instance.id, lambda: docker("start", _name(instance)))

    def terminate(self, instance) -> None:
        """Removes it with everything that it has."""
        self._queue(instance.id, lambda: docker("rm", "--force", "--volumes", _name(instance)))

    def remove_network(self, vpc_id: str) -> None:
        """Removes the network of a VPC that was deleted."""
        if self._networks.pop(vpc_id, None):
            self._drain()
            docker("network", "rm", vpc_id)

    def remove_all(self) -> None:
        """Removes everything that was made here."""
        self._drain()
        mine = f"label={LABEL}={self._label}"
        for kind, options, force in (
            ("container", ["-aq"], ["--force", "--volumes"]),
            ("volume", ["-q"], []),
            ("network", ["-q"], []),
        ):
            names = docker(kind, "ls", *options, "--filter", mine).split()
            if names:
                docker(kind, "rm", *force, *names)

    def _drain(self) -> None:
        for work in list(self._last.values()):
            work.exception(timeout=DEADLINE)

    def _queue(self, identity: str, work) -> None:
        before = self._last.get(identity)

        def in_order():
            if before:
                before.exception(timeout=DEADLINE)
            try:
                work()
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                # The instance never answers, and the log has the reason.
                print(f"{identity}: {error}", file=sys.stderr, flush=True)

        self._last[identity] = self._work.submit(in_order)

    def _make_network(self, vpc_id: str, cidr: str) -> None:
        gateway = next(ip_network(cidr).hosts())
        docker("network", "create", f"--label={LABEL}={self._label}", f"--subnet={cidr}",
               f"--gateway={gateway}", f"--opt=com.docker.network.driver.mtu={_mtu()}",
               vpc_id)  # fmt: skip

    def _make(self, instance, vpc_id: str, seed: bytes) -> None:
        name, label = _name(instance), f"{LABEL}={self._label}"
        docker(
            "create", f"--name={name}", f"--network={vpc_id}", f"--ip={instance.private_ip}",
            f"--hostname=ip-{instance.private_ip.replace('.', '-')}", f"--label={label}",
            f"--memory={MEMORY}", f"--memory-swap={MEMORY}",
            f"--mount=type=volume,source={name}-docker,target=/var/lib/docker,volume-label={label}",
            *SHAPE, *self._rights, self._image,
        )  # fmt: skip
        docker("cp", "-", f"{name}:/", data=seed)
        docker("start", name)


def docker(*words: str, data: bytes = b"") -> str:
    """Runs a `docker` command that must succeed; returns its output."""
    done = subprocess.run(
        ["docker", *words], input=data, capture_output=True, timeout=DEADLINE, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"docker {words[0]}: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def _name(instance) -> str:
    return f"platform-{instance.id}"


def _mtu() -> str:
    """The MTU of this computer's default route, which may be smaller than Docker's default."""
    way = subprocess.run(["ip", "-json", "route", "show", "default"], capture_output=True,
                         timeout=10, check=True)  # fmt: skip
    device = json.loads(way.stdout)[0]["dev"]
    with open(f"/sys/class/net/{device}/mtu", encoding="ascii") as file:
        return file.read().strip()


def _rights(image: str) -> list[str]:
    """The privileges of a container: all, if this computer's Docker can give them."""
    tried = subprocess.run(
        ["docker", "run", "--rm", "--privileged", "--network=none", "--entrypoint=/bin/true",
         image], capture_output=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    return ["--privileged"] if tried.returncode == 0 else LISTED


def _seed(instance, public_key: str | None) -> bytes:
    """The NoCloud seed for cloud-init, as a tar. It has host keys, so only root can read it."""
    user_data = instance.user_data.decode() if instance.user_data else "#cloud-config\n{}\n"
    meta = {"instance-id": instance.id, "public-keys": [public_key] if public_key else []}
    files = {
        "meta-data": json.dumps(meta).encode(),
        "user-data": user_data.encode(),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"var/lib/cloud/seed/nocloud/{name}")
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
