"""What RunInstances refuses in EC2 but moto accepts, and EC2's defaults."""

import base64
import re
from datetime import timedelta

import calls
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

IMAGE = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")

# The types of each region, and of each zone.
TYPES = {
    region: {offer["InstanceType"] for offer in offers}
    for region, offers in INSTANCE_TYPE_OFFERINGS["region"].items()
    if region in ("us-east-1", "eu-central-1")
}
OFFERS = {
    (offer["InstanceType"], offer["Location"])
    for region in TYPES
    for offer in INSTANCE_TYPE_OFFERINGS["availability-zone"][region]
}

USER_DATA_MAX = 16384


class Launching:
    """The part of the account that makes instances. Mixed into moto's."""

    def begin_launching(self) -> None:
        """Has to be called before the first instance."""
        self.launched = {}

    def run_instances(self, image_id, count, user_data, security_group_names, **kwargs):
        call = calls.current()
        token = call.parameters.get("ClientToken")
        if token in self.launched:
            return self._launched_before(token)
        # EC2 makes as many as there is capacity for, up to MaxCount; moto makes MinCount.
        count = int(call.parameters.get("MaxCount", count))
        self._check(call, image_id, kwargs, count)
        _complete(call, kwargs)
        made = super().run_instances(image_id, count, user_data, security_group_names, **kwargs)
        for instance in made.instances:
            instance.disable_api_termination = (
                call.parameters.get("DisableApiTermination") == "true"
            )
            _release_with(instance, call)
            instance.launch_time -= timedelta(seconds=self.faults.script.age)
            self.move(instance, "pending", "running")
        self.follow("run", made.instances)
        if token:
            self.launched[token] = made
        return made

    def _launched_before(self, token):
        """What a call with this token launched, unless it has ended since."""
        made = self.launched[token]
        if all(instance.state == "terminated" for instance in made.instances):
            raise EC2ClientError(
                "IdempotentInstanceTerminated",
                "The client token of this request is that of an earlier one, whose instance was "
                "terminated.",
            )
        return made

    def _check(self, call, image_id, kwargs, count) -> None:
        self._check_image(image_id, kwargs["instance_type"])
        key = kwargs.get("key_name")
        if key and key not in self.key_pairs:
            raise EC2ClientError("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
        _check_user_data(call)
        subnet_id = subnet_of(call)
        if not subnet_id:
            return
        subnet = self.get_subnet(subnet_id)
        check_offer(self.region_name, kwargs["instance_type"], subnet.availability_zone)
        self._check_groups(call, subnet)
        self._check_address(call, subnet, count)

    def _check_image(self, image_id, kind) -> None:
        if not IMAGE.fullmatch(image_id or ""):
            raise EC2ClientError(
                "InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")'
            )
        if image_id not in self.amis:
            raise EC2ClientError(
                "InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist"
            )
        if kind not in TYPES[self.region_name]:
            raise EC2ClientError(
                "InvalidParameterValue", f"Invalid value '{kind}' for InstanceType."
            )
        have = INSTANCE_TYPES[kind]["ProcessorInfo"]["SupportedArchitectures"]
        wanted = self.amis[image_id].architecture
        if wanted not in have:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"The architecture '{','.join(have)}' of the specified instance type does not "
                f"match the architecture '{wanted}' of the specified AMI. Specify an instance "
                "type and an AMI that have matching architectures, and try again.",
            )

    def _check_groups(self, call, subnet) -> None:
        for group_id in groups_of(call):
            group = self.get_security_group_from_id(group_id)
            if group is None:
                raise EC2ClientError(
                    "InvalidGroup.NotFound", f"The security group '{group_id}' does not exist"
                )
            if group.vpc_id != subnet.vpc_id:
                raise EC2ClientError(
                    "InvalidParameter",
                    f"Security group {group_id} and subnet {subnet.id} belong to different "
                    "networks.",
                )

    def _check_address(self, call, subnet, count) -> None:
        if subnet.available_ip_address_count < count:
            raise EC2ClientError(
                "InsufficientFreeAddressesInSubnet",
                f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the "
                "requested number of instances.",
            )
        address = call.parameters.get("PrivateIpAddress") or call.parameters.get(
            "NetworkInterface.1.PrivateIpAddress"
        )
        if not address:
            return
        if not _is_in(address, subnet):
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Address {address} does not fall within the subnet's address range",
            )
        if any(eni.private_ip_address == address for eni in self.enis.values()
               if eni.subnet.id == subnet.id):  # fmt: skip
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {address} is in use.")


def subnet_of(call) -> str | None:
    """The subnet that a call of RunInstances names, in one of two places."""
    return call.parameters.get("SubnetId") or call.parameters.get("NetworkInterface.1.SubnetId")


def groups_of(call) -> list[str]:
    """The security groups that it names."""
    return call.all("SecurityGroupId") + call.all("NetworkInterface.1.SecurityGroupId")


def check_offer(region: str, kind: str, zone: str) -> None:
    """Refuses a type that its zone does not have."""
    if (kind, zone) not in OFFERS:
        others = ", ".join(sorted(z for k, z in OFFERS if k == kind and z.startswith(region)))
        raise EC2ClientError(
            "Unsupported",
            f"Your requested instance type ({kind}) is not supported in your requested "
            f"Availability Zone ({zone}). Please retry your request by not specifying an "
            f"Availability Zone or choosing {others}.",
        )


def _is_in(address: str, subnet) -> bool:
    hosts = list(subnet.cidr)[4:-1]
    return address in map(str, hosts)


def _check_user_data(call) -> None:
    data = base64.b64decode(call.parameters.get("UserData", ""))
    if len(data) > USER_DATA_MAX:
        raise EC2ClientError(
            "InvalidParameterValue", f"User data is limited to {USER_DATA_MAX} bytes"
        )


def _complete(call, kwargs) -> None:
    """Adds EC2's defaults where moto has other defaults."""
    for number, block in enumerate(kwargs.get("block_device_mappings", []), start=1):
        ebs = block.get("Ebs")
        if ebs is not None:
            silent = f"BlockDeviceMapping.{number}.Ebs.DeleteOnTermination" not in call.parameters
            ebs["DeleteOnTermination"] = silent or ebs.get("DeleteOnTermination")
            ebs["VolumeSize"] = ebs.get("VolumeSize") or 8


def _release_with(instance, call) -> None:
    """An interface that is made for an instance is deleted with it, unless the call says
    otherwise; its groups are those of the instance."""
    instance.security_groups = list(instance.nics[0]._group_set)
    for number, eni in enumerate(instance.nics.values(), start=1):
        kept = f"NetworkInterface.{number}.DeleteOnTermination"
        eni.delete_on_termination = call.parameters.get(kept, "true") == "true"
