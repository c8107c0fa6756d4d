"""A copy of the rehearsal under its own name and in its own network.

A rehearsal that is running is not changed by it.
"""

import shutil

from measure import BENCH, REPO, Failed, platform

WORK = BENCH / ".work"
INVENTORY = WORK / "rehearsal.yaml"
CLUSTER = "bench-rehearsal"
STATE = WORK / ".platform" / CLUSTER
VIP = "10.84.0.10"
N_HOSTS = 7


def write_inventory() -> None:
    """The rehearsal under another name; checks that each replaced text exists."""
    text = (REPO / "inventories" / "rehearsal.yaml").read_text()
    replacements = {
        "cluster: rehearsal": f"cluster: {CLUSTER}",
        "10.77.0.0/24": "10.84.0.0/24",
        "vip: 10.77.0.10": f"vip: {VIP}",
        "../tests/standins/catalog.yaml": "../../tests/standins/catalog.yaml",
    }
    for old, new in replacements.items():
        if old not in text:
            raise Failed(f"inventories/rehearsal.yaml has no `{old}` any more")
        text = text.replace(old, new)
    WORK.mkdir(exist_ok=True)
    INVENTORY.write_text(text)


def remove() -> None:
    """Removes the copy and its machines."""
    platform("down", INVENTORY, "--yes")
    shutil.rmtree(WORK)
