#!/usr/bin/env python3
"""`make bench`: how long the rehearsal takes, from nothing and with nothing to do, and its edge.

A copy of inventories/rehearsal.yaml runs under its own name and in its own network, so a rehearsal
that is running is not changed. The copy is removed at the end in any case.
"""

import sys

import edge
from lab import INVENTORY, N_HOSTS, remove, write_inventory
from measure import REPO, Failed, Limit, Sample, judge, median, platform, say

N_UNCHANGED = 5


def main() -> int:
    write_inventory()
    try:
        return judge(measure() + edge.measure())
    finally:
        remove()


def measure() -> list[Limit]:
    say("building images that are not there yet")
    platform("image", "build", REPO / "tests" / "standins" / "catalog.yaml")
    platform("down", INVENTORY, "--yes")
    say("up, from no machines")
    first = up()
    say(f"up, {N_UNCHANGED} times with nothing to do")
    unchanged = [up() for _ in range(N_UNCHANGED)]
    return [
        Limit("up from no machines", first.wall, 60, "s"),
        Limit("up with nothing to do", median(unchanged, "wall"), 1.5, "s"),
        # One is made anew to see that the firewall lets it in.
        Limit("connections per host, from no machines", connections(first), 2, ""),
        Limit("connections per host, nothing to do", most(unchanged, connections), 1, ""),
        # The probe, a look whether a machine that was just made has booted, and on edge hosts, at
        # the beginning and at the end, one for the virtual IP.
        Limit("commands per host, nothing to do", most(unchanged, commands), 4, ""),
        Limit("changes made with nothing to do", most(unchanged, changes), 0, ""),
        Limit("peak memory", max(s.memory for s in [first, *unchanged]), 100, "MB"),
    ]


def up() -> Sample:
    return platform("up", INVENTORY, "--yes", "--output", "json")


def most(samples: list[Sample], figure) -> int:
    return max(figure(sample) for sample in samples)


def connections(sample: Sample) -> int:
    """The most connections that were made to one host."""
    return most_per_host(sample, "connected")


def commands(sample: Sample) -> int:
    """The most commands that were run on one host."""
    return most_per_host(sample, "executed")


def most_per_host(sample: Sample, kind: str) -> int:
    hosts = [event["host"] for event in sample.events() if event["event"] == kind]
    if len(set(hosts)) != N_HOSTS:
        raise Failed(f"{len(set(hosts))} hosts have `{kind}` events, not {N_HOSTS}")
    return max(map(hosts.count, hosts))


def changes(sample: Sample) -> int:
    return sample.n_events("step_finished")


if __name__ == "__main__":
    sys.exit(main())
