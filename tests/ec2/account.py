"""The account of the tests: moto's, with what EC2 has in addition."""

import ipaddress
import os
from pathlib import Path

import calls
from access import ACCOUNT, REGIONS
from dependencies import Dependencies
from faults import Faults
from launching import Launching
from moto.moto_api._internal import mock_random
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from states import States, teach_moto

# Including the default one of every region.
VPCS_MAX = 5

# What answers omit while it is hidden, by the function of moto that lists it.
LISTS = (
    "describe_vpcs",
    "describe_subnets",
    "describe_internet_gateways",
    "describe_route_tables",
    "describe_security_groups",
    "describe_key_pairs",
    "get_all_network_interfaces",
)

# The disk of an image, the same for all images here.
DISK = {"VolumeSize": 8, "DeleteOnTermination": True, "VolumeType": "gp3", "Encrypted": False}


class Account(Launching, States, Dependencies, EC2Backend):
    """One region of the account."""

    # moto finds a service's addresses by the module of its class.
    __module__ = EC2Backend.__module__

    def __init__(self, region_name, account_id):
        # No faults, and no machines, until `begin`.
        self.begin_states(Faults(Path(os.devnull)), None)
        self.begin_launching()
        super().__init__(region_name, account_id)

    def create_vpc(self, cidr_block, *args, **kwargs):
        if len(self.vpcs) >= VPCS_MAX:
            raise EC2ClientError(
                "VpcLimitExceeded", "The maximum number of VPCs has been reached."
            )
        return super().create_vpc(_network(cidr_block), *args, **kwargs)

    def create_subnet(self, vpc_id, cidr_block, *args, **kwargs):
        made = super().create_subnet(vpc_id, _network(cidr_block), *args, **kwargs)
        # moto makes the first subnet of a zone the default subnet, with public addresses.
        made.default_for_az = made.map_public_ip_on_launch = self.vpcs[vpc_id].is_default
        return made

    def describe_instances(self, filters=None):
        return self._shown(super().describe_instances(filters))

    def get_reservations_by_instance_ids(self, instance_ids, filters=None):
        return self._shown(super().get_reservations_by_instance_ids(instance_ids, filters))

    def describe_instance_status(self, *args):
        shown = super().describe_instance_status(*args)
        self.see(shown)
        return shown

    def _shown(self, reservations):
        for reservation in reservations:
            reservation.instances = self.visible(reservation.instances)
            self.see(reservation.instances)
        return [reservation for reservation in reservations if reservation.instances]

    def visible(self, things: list) -> list:
        """The part of these that a reading call may see."""
        if not self.faults.hides() or calls.current().changes:
            return things
        return [thing for thing in things if not self.faults.is_hidden(thing.id)]


def _network(cidr: str) -> str:
    """The canonical form of a network: EC2 turns 10.0.0.5/24 into 10.0.0.0/24."""
    try:
        return str(ipaddress.ip_network(cidr, strict=False))
    except ValueError:
        return cidr


def _filtered(name: str):
    def listed(self, *args, **kwargs):
        return self.visible(getattr(EC2Backend, name)(self, *args, **kwargs))

    return listed


for _name in LISTS:
    setattr(Account, _name, _filtered(_name))


def install() -> None:
    """Replaces moto's account with this one, and makes its regions, which takes moto a second."""
    teach_moto()
    Ami.block_device_mappings = property(
        lambda ami: [
            {
                "DeviceName": ami.root_device_name,
                "Ebs": {"SnapshotId": ami.ebs_snapshot.id, **DISK},
            }
        ]
    )
    ec2_backends.backend = Account
    calls.begin(calls.Call("", {}, "", "", ""))
    for name in REGIONS:
        region(name)


def begin(faults, machines) -> None:
    """Gives the account the faults of its test, and the machines that follow its instances, if any."""
    # Accounts that come from one process would give out the same ids.
    mock_random.seed()
    if machines:
        NetworkInterface.check_auto_public_ip = _reached_privately
    for name in REGIONS:
        region(name).begin_states(faults, machines)


def region(name: str) -> Account:
    """One of its regions."""
    return ec2_backends[ACCOUNT][name]


def _reached_privately(interface) -> None:
    """The public address of a container is its private one, because that one can be reached."""
    if str(interface.public_ip_auto_assign).lower() == "true":
        interface.public_ip = interface.private_ip_address
