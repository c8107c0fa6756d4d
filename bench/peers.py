#!/usr/bin/env python3
"""`make bench-peers`: fifty hosts, compared with pyinfra and Ansible; see tools.py."""

import sys

from hosts import Containers
from measure import Limit, judge, median
from tools import (
    Tool,
    compare,
    faster,
    install,
    run_ansible,
    run_platform,
    run_pyinfra,
)

N_HOSTS = 50


def main() -> int:
    install()
    ours = Tool("platform", run_platform, n_first=5, n_unchanged=9)
    pyinfra = Tool("pyinfra", run_pyinfra, n_first=2, n_unchanged=3)
    ansible = Tool("ansible", run_ansible, n_first=1, n_unchanged=2)
    with Containers(N_HOSTS) as hosts:
        compare(hosts, [ours, pyinfra, ansible])
    execs = max(sample.n_events("executed") for sample in ours.unchanged)
    return judge(
        [
            faster(ours, pyinfra, "first", 5),
            faster(ours, pyinfra, "unchanged", 8),
            faster(ours, ansible, "first", 20),
            faster(ours, ansible, "unchanged", 20),
            Limit("first run: cpu a host", cpu_a_host(ours.first), 30, "ms"),
            Limit("nothing to do: cpu a host", cpu_a_host(ours.unchanged), 30, "ms"),
            Limit("nothing to do: commands a host", execs / N_HOSTS, 1, ""),
            Limit("peak memory", ours.peak(), 100, "MB"),
        ]
    )


def cpu_a_host(runs: list) -> float:
    """In milliseconds."""
    return median(runs, "cpu") / N_HOSTS * 1000


if __name__ == "__main__":
    sys.exit(main())
