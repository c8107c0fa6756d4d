"""Runs commands and measures what they cost on this computer.

The cost of a command is the wall time, the processor time and the memory of the process and of all
children that it waited for. Programs on the hosts are not counted, although hosts that are
containers share this computer's processors.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

BENCH = Path(__file__).resolve().parent
REPO = BENCH.parent
PLATFORM = REPO / "target" / "release" / "platform"


@dataclass(frozen=True)
class Sample:
    """The cost of one run of a command."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    memory: float  # MB: the most that one of its processes used
    output: str  # its standard output

    def events(self) -> list[dict]:
        """The events of `platform --output json`."""
        return [json.loads(line) for line in self.output.splitlines()]

    def n_events(self, kind: str) -> int:
        """The number of events of a kind."""
        return sum(event["event"] == kind for event in self.events())


class Failed(Exception):
    """A measured command failed."""


def run(words: list, env: dict[str, str] | None = None) -> Sample:
    """Runs a command that must succeed; its standard error is passed through."""
    begun = time.monotonic()
    child = subprocess.Popen(
        [str(word) for word in words],
        cwd=BENCH,
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise Failed(f"`{words[0]}` ended with {child.returncode}:\n{output[:1500]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(wall, cpu, usage.ru_maxrss * 1024 / 1e6, output)


def platform(*words) -> Sample:
    """Runs `platform`, with events as JSON lines if the verb has events."""
    return run([PLATFORM, *words])


def median(samples: list[Sample], figure: str) -> float:
    """The median of `wall`, `cpu` or `memory`."""
    return statistics.median(getattr(sample, figure) for sample in samples)


def say(text: str) -> None:
    """Reports progress; only results go to standard output."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Limit:
    """A figure and its limit."""

    what: str
    found: float
    bound: float
    unit: str
    at_least: bool = False

    def of(self, which: str) -> "Limit":
        """The same figure, marked as that of one of several."""
        return replace(self, what=f"{which}: {self.what}")

    def is_kept(self) -> bool:
        return self.found >= self.bound if self.at_least else self.found <= self.bound

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        kept = "kept" if self.is_kept() else "MISSED"
        return (
            f"{self.what:<58} {self.found:>8.2f} {self.unit:<3}"
            f" {word:>8} {self.bound:g} {self.unit:<3} {kept}"
        )


def judge(limits: list[Limit]) -> int:
    """Prints every limit; the exit code is 0 if all were kept."""
    for limit in limits:
        print(limit)
    return 0 if all(limit.is_kept() for limit in limits) else 1
