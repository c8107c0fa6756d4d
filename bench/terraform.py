#!/usr/bin/env python3
"""`make bench-terraform`: a hundred machines of AWS, compared with Terraform.

Both tools ask the tests' EC2 for the same: it is written in terraform/aws.yaml and
terraform/main.tf. A tool's first run begins with an empty account; the next finds nothing to do,
and the tool has to report that. Each account is its own, newly started server, and the results of
the tools are compared. No call leaves this computer, except that `terraform init` fetches
Terraform's provider before anything is measured.

Terraform's memory is that of its provider, a separate process and the larger of the two.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from measure import BENCH, REPO, Failed, Limit, Sample, judge, median, platform, run, say

SOURCES = BENCH / "terraform"
EC2 = REPO / "tests" / "ec2" / "serve.py"
# The folder in which `make ec2` installs what the server needs.
PYTHON = REPO / "target" / "ec2" / "bin" / "python"
CATALOG = "../../tests/standins/catalog.yaml"
N_MACHINES = 100
N_RUNS = 3  # of `platform`; one run of Terraform takes longer than all of them

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTBENCH0000001",
    "AWS_SECRET_ACCESS_KEY": "of-no-account",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    # Terraform does not ask for newer versions of itself.
    "CHECKPOINT_DISABLE": "1",
}


class Account:
    """The tests' EC2 with nothing in it, for as long as the `with` lasts."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self._folder = folder

    def __enter__(self) -> "Account":
        # It ends when its standard input ends, so it ends with this script in any case.
        command = [PYTHON, EC2, "--folder", self._folder, "--follow"]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            self.url = f"http://127.0.0.1:{self._port()}"
        except BaseException:
            self.__exit__()
            raise
        os.environ["AWS_ENDPOINT_URL"] = self.url
        return self

    def __exit__(self, *_) -> None:
        self._server.stdin.close()
        try:
            self._server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _port(self) -> str:
        """The port, once the server listens."""
        said = self._folder / "port"
        deadline = time.monotonic() + 60
        while not said.exists():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{EC2} does not listen; does `make ec2` succeed?")
            time.sleep(0.05)
        return said.read_text().strip()

    def n_calls(self) -> int:
        """How many calls there were."""
        return len((self._folder / "calls.jsonl").read_text().splitlines())

    def contents(self) -> Counter:
        """How many there are of what kind, zone and type."""
        with urllib.request.urlopen(f"{self.url}/state", timeout=60) as answer:
            things = json.load(answer)
        return Counter((t["kind"], t.get("zone", ""), t.get("type", "")) for t in things)


@dataclass
class Cost:
    """The cost of runs of one kind: processes and calls, in the order of the runs."""

    samples: list[Sample] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)

    def add(self, sample: Sample, n_calls: int) -> None:
        self.samples.append(sample)
        self.calls.append(n_calls)

    def wall(self) -> float:
        return median(self.samples, "wall")

    def most_calls(self) -> int:
        return max(self.calls)

    def peak(self) -> float:
        return max(sample.memory for sample in self.samples)


@dataclass
class Tool:
    """A tool that is measured, and what its runs cost."""

    name: str
    prepare: Callable[[Path, Path], None]
    first_run: Callable[[Path], Sample]
    next_run: Callable[[Path], Sample]
    first: Cost = field(default_factory=Cost)
    unchanged: Cost = field(default_factory=Cost)

    def measure(self, folder: Path, key: Path) -> Counter:
        """Makes both runs in an empty account; returns what exists at the end."""
        folder.mkdir()
        self.prepare(folder, key)
        with Account(folder / "ec2") as account:
            say(f"{self.name}: {N_MACHINES} machines from nothing")
            sample = self.first_run(folder)
            n_calls = account.n_calls()
            self.first.add(sample, n_calls)
            made = account.contents()
            say(f"{self.name}: nothing to do")
            sample = self.next_run(folder)
            self.unchanged.add(sample, account.n_calls() - n_calls)
            if account.contents() != made:
                raise Failed(f"{self.name}: a run with nothing to do changed something")
        return made


def main() -> int:
    set_environment()
    ours = Tool("platform", prepare_platform, make_by_platform, repeat_platform)
    peer = Tool("terraform", prepare_terraform, apply_terraform, plan_terraform)
    with tempfile.TemporaryDirectory(prefix="bench-terraform-") as work:
        key = make_key(Path(work))
        made = [ours.measure(Path(work) / f"{ours.name}-{n}", key) for n in range(N_RUNS)]
        made.append(peer.measure(Path(work) / peer.name, key))
    if any(other != made[0] for other in made):
        raise Failed(f"the tools did not make the same: {made}")
    n_machines = sum(n for (kind, *_), n in made[0].items() if kind == "instance")
    if n_machines != N_MACHINES:
        raise Failed(f"there are {n_machines} machines, not {N_MACHINES}")
    print_table(ours, peer)
    return judge(limits(ours, peer))


def set_environment() -> None:
    """The endpoint and the credentials come only from what is set here."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(ENVIRONMENT)


def make_key(folder: Path) -> Path:
    """A key for logins; it is never used."""
    key = folder / "id_ed25519"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", key])
    return key


def prepare_platform(folder: Path, key: Path) -> None:
    """The inventory, in a folder without files of earlier runs."""
    text = (SOURCES / "aws.yaml").read_text()
    replacements = {
        f"images: {CATALOG}": f"images: {json.dumps(str(SOURCES / CATALOG))}",
        "key: KEY": f"key: {json.dumps(str(key))}",
    }
    for old, new in replacements.items():
        if text.count(old) != 1:
            raise Failed(f"terraform/aws.yaml has not one `{old}`")
        text = text.replace(old, new)
    (folder / "aws.yaml").write_text(text)


def make_by_platform(folder: Path) -> Sample:
    return up(folder, "changed")


def repeat_platform(folder: Path) -> Sample:
    return up(folder, "unchanged")


def up(folder: Path, result: str) -> Sample:
    """Makes the machines and connects to none: their addresses are not real."""
    words = ["--machines-only", "--yes", "--output", "json"]
    sample = platform("up", folder / "aws.yaml", *words)
    found = [e["result"] for e in sample.events() if e["event"] == "run_finished"]
    if found != [result]:
        raise Failed(f"`platform up` ended as {found}, not {result}")
    return sample


def prepare_terraform(folder: Path, key: Path) -> None:
    """The configuration and its provider, from the source in Terraform's own settings."""
    (folder / "main.tf").write_text((SOURCES / "main.tf").read_text())
    os.environ["TF_VAR_public_key"] = key.with_suffix(".pub").read_text().strip()
    say("terraform: fetching its provider")
    terraform(folder, "init")


def apply_terraform(folder: Path) -> Sample:
    return terraform(folder, "apply", "-auto-approve")


def plan_terraform(folder: Path) -> Sample:
    """Fails (with exit code 2) if it would change something."""
    return terraform(folder, "plan", "-detailed-exitcode")


def terraform(folder: Path, verb: str, *words: str) -> Sample:
    return run(["terraform", f"-chdir={folder}", verb, "-input=false", "-no-color", *words])


def print_table(*tools: Tool) -> None:
    """One line for each tool: wall time, calls and memory of both runs."""
    print(f"\n{N_MACHINES} machines{'':>8}{'from nothing':>32}{'nothing to do':>32}")
    columns = f"{'wall':>10}{'calls':>10}{'memory':>12}"
    print(f"{'':<20}{columns}{columns}")
    for tool in tools:
        cells = [
            f"{cost.wall():>8.2f} s{cost.most_calls():>10}{cost.peak():>9.0f} MB"
            for cost in (tool.first, tool.unchanged)
        ]
        print(f"{tool.name:<20}{''.join(cells)}")
    print()


def limits(ours: Tool, peer: Tool) -> list[Limit]:
    """What the table has to show."""

    def faster(what: str, peers: Cost, own: Cost) -> Limit:
        ratio = peers.wall() / own.wall()
        return Limit(f"{what}: times faster than {peer.name}", ratio, 10, "", True)

    peak = max(ours.first.peak(), ours.unchanged.peak())
    return [
        Limit("from nothing: calls", ours.first.most_calls(), 40, ""),
        Limit("nothing to do: calls", ours.unchanged.most_calls(), 12, ""),
        faster("from nothing", peer.first, ours.first),
        faster("nothing to do", peer.unchanged, ours.unchanged),
        Limit("peak memory", peak, 100, "MB"),
    ]


if __name__ == "__main__":
    sys.exit(main())
