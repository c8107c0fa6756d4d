"""What exists: tests read it without the program, and without a call that would be noted."""

from access import REGIONS
from account import region


def everything() -> list[dict]:
    """Everything that was made in all regions, without the defaults of every account."""
    return [thing for name in REGIONS for thing in _of_region(name)]


def _of_region(name: str) -> list[dict]:
    account = region(name)
    account.settle()
    default = account.default_vpc.id
    subnets = (s for zone in account.subnets.values() for s in zone.values())
    groups = (g for of_vpc in account.groups.values() for g in of_vpc.values())
    tables = account.route_tables.values()
    kinds = {
        "vpc": account.vpcs.values(),
        "subnet": subnets,
        "internet-gateway": account.internet_gateways.values(),
        # The defaults of a VPC are removed with it.
        "route-table": (t for t in tables if not t.main_association_id),
        "security-group": (g for g in groups if g.name != "default"),
        "key-pair": account.key_pairs.values(),
        "network-interface": account.enis.values(),
        "volume": account.volumes.values(),
        "launch-template": account.launch_templates.values(),
        "instance": account.all_instances(),
    }
    return [
        _described(account, name, kind, thing)
        for kind, things in kinds.items()
        for thing in list(things)
        if default not in (thing.id, getattr(thing, "vpc_id", None))
    ]


def _described(account, region_name: str, kind: str, thing) -> dict:
    described = {
        "kind": kind,
        "id": thing.id,
        "region": region_name,
        "tags": dict(account.tags.get(thing.id, {})),
        "state": getattr(thing, "state", None) or getattr(thing, "status", None),
        "name": getattr(thing, "name", None),
    }
    if kind == "instance":
        described |= {
            "zone": thing.availability_zone,
            "type": thing.instance_type,
            "lifecycle": thing.lifecycle,
            "address": thing.private_ip_address,
            "public": thing.public_ip_address,
        }
    return described
