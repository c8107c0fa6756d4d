#!/usr/bin/env python3
"""`make bench-scale`: how time and memory grow with the number of hosts.

Fifty and two hundred containers, compared with pyinfra. Then two hundred and a thousand hosts in
namespaces: the time of a run with nothing to do, compared with a run that only logs in on each
host, and the memory that it takes to copy a file of 1 MB to all of them. This needs root, Docker,
and 5 GiB of memory.
"""

import sys

from hosts import GIVEN, Containers, Hosts, Namespaces
from measure import Limit, Sample, judge, median, platform, say
from tools import Tool, compare, faster, install, run_platform, run_pyinfra

# The most memory that a run may take, in MB, by number of hosts.
MEMORY = {200: 80, 1000: 200}
N_TIMES = 3


def main() -> int:
    install()
    limits = []
    for n_hosts in (50, 200):
        with Containers(n_hosts) as hosts:
            limits += beside_pyinfra(hosts)
    for n_hosts in MEMORY:
        with Namespaces(n_hosts) as hosts:
            limits += beside_logins(hosts)
    return judge(limits)


def beside_pyinfra(hosts: Containers) -> list[Limit]:
    ours = Tool("platform", run_platform, n_first=3, n_unchanged=5)
    pyinfra = Tool("pyinfra", run_pyinfra, n_first=2, n_unchanged=2)
    compare(hosts, [ours, pyinfra])
    found = [faster(ours, pyinfra, runs, 10) for runs in ("first", "unchanged")]
    if hosts.n_hosts in MEMORY:
        found.append(Limit("peak memory", ours.peak(), MEMORY[hosts.n_hosts], "MB"))
    return [limit.of(f"{hosts.n_hosts} containers") for limit in found]


def beside_logins(hosts: Hosts) -> list[Limit]:
    first = run_platform(hosts)
    # They take turns, so that other work of the computer slows both.
    logins, unchanged = [], []
    for n in range(N_TIMES):
        say(f"{hosts.n_hosts} hosts: logins and nothing to do, {n + 1} of {N_TIMES}")
        logins.append(platform("exec", GIVEN, "--", "true"))
        unchanged.append(run_platform(hosts))
    print_lines(hosts.n_hosts, {"first": [first], "logins": logins, "nothing to do": unchanged})
    ratio = median(unchanged, "wall") / median(logins, "wall")
    peak = max(sample.memory for sample in [first, *unchanged])
    found = [
        Limit("nothing to do: times as long as logins", ratio, 1.5, ""),
        Limit("peak memory", peak, MEMORY[hosts.n_hosts], "MB"),
    ]
    return [limit.of(f"{hosts.n_hosts} namespaces") for limit in found]


def print_lines(n_hosts: int, runs: dict[str, list[Sample]]) -> None:
    print(f"\n{n_hosts} hosts")
    for name, samples in runs.items():
        wall, cpu = median(samples, "wall"), median(samples, "cpu") / n_hosts * 1000
        peak = max(sample.memory for sample in samples)
        print(f"{name:<15}{wall:>8.2f} s{cpu:>8.1f} ms a host{peak:>9.0f} MB")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
