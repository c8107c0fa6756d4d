"""Instances need time to change their state; moto's change at once.

An instance is `pending` before it runs, `stopping` before it is stopped and `shutting-down`
before it is terminated, for as long as faults.json says. While it shuts down it still has its
interface, and so its subnet, its groups and its address. A terminated instance stays visible, with
a reason and without any of these.
"""

import time
from dataclasses import dataclass

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance, InstanceState, StateReason
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.utils import filter_dict_attribute_mapping

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64,
         "stopped": 80}

# What a terminated instance no longer has in EC2's answers.
GONE = {
    "private_ip": None, "private_ip_address": None, "private_dns_name": None,
    "public_ip": None, "public_ip_address": None, "subnet_id": None, "vpc_id": None,
    "network_interfaces": [],
}  # fmt: skip


@dataclass
class Move:
    """A change to a state."""

    to: str
    describes: int | None  # how many more answers show the change
    end: float | None  # when the change ends in any case

    def is_over(self) -> bool:
        seen = self.describes is not None and self.describes <= 0
        return seen or (self.end is not None and time.monotonic() >= self.end)


class States:
    """The part of the account that moves instances from state to state. Mixed into moto's."""

    def begin_states(self, faults, machines) -> None:
        """Sets the faults of the tests, and the machines that follow the instances, if any."""
        self.faults, self.machines = faults, machines
        self.moving: dict[str, tuple[Instance, Move]] = {}

    def settle(self) -> None:
        """Ends every change that has taken long enough."""
        for identity, (instance, move) in list(self.moving.items()):
            if move.is_over():
                del self.moving[identity]
                arrive(self, instance, move.to)

    def see(self, instances: list[Instance]) -> None:
        """Counts that an answer shows these instances."""
        for instance in instances:
            move = self.moving.get(instance.id, (None, None))[1]
            if move and move.describes is not None:
                move.describes -= 1

    def move(self, instance: Instance, through: str, to: str) -> InstanceState:
        """Begins the change of an instance; returns the state before."""
        left = instance._state
        instance._state = InstanceState(through, CODES[through])
        lasts = self.faults.state(through)
        seconds = lasts.get("seconds")
        end = None if seconds is None else time.monotonic() + seconds
        self.moving[instance.id] = (instance, Move(to, lasts.get("describes"), end))
        return left

    def stop_instances(self, instance_ids):
        instances = self.get_multi_instances_by_id(instance_ids)
        refuse_unless(instances, ("running", "stopped", "stopping"), "stopped")
        self.follow("stop", instances)
        return [(i, self.move(i, "stopping", "stopped")) for i in instances]

    def start_instances(self, instance_ids):
        instances = self.get_multi_instances_by_id(instance_ids)
        refuse_unless(instances, ("running", "stopped", "pending"), "started")
        self.follow("start", instances)
        return [(i, self.move(i, "pending", "running")) for i in instances]

    def terminate_instances(self, instance_ids):
        instances = self.get_multi_instances_by_id(instance_ids)
        # All or none, as in EC2; moto ends the first ones even if a later one fails.
        for instance in instances:
            if str(instance.disable_api_termination).lower() == "true":
                raise EC2ClientError(
                    "OperationNotPermitted",
                    f"The instance '{instance.id}' may not be terminated. Modify its "
                    "'disableApiTermination' instance attribute and try again.",
                )
        ended = ("shutting-down", "terminated")
        self.follow("terminate", [i for i in instances if i.state not in ended])
        return [(i, self._terminate(i)) for i in instances]

    def _terminate(self, instance: Instance) -> InstanceState:
        if instance.state == "terminated":
            return instance._state
        instance.state_reason = StateReason(
            "Client.UserInitiatedShutdown: User initiated shutdown",
            "Client.UserInitiatedShutdown",
        )
        return self.move(instance, "shutting-down", "terminated")

    def follow(self, verb: str, instances: list[Instance]) -> None:
        """Makes the machines follow their instances."""
        if self.machines:
            for instance in instances:
                getattr(self.machines, verb)(instance)


def arrive(account, instance: Instance, state: str) -> None:
    """Ends the change of an instance."""
    if state == "running":
        instance.start()
    elif state == "stopped":
        instance.stop()
    else:
        subnet = account.get_subnet(instance.subnet_id)
        for address in instance._private_ips:
            subnet.del_subnet_ip(address)
        # Its interfaces and volumes are deleted with it, if they are marked so.
        instance.terminate()
        instance.security_groups = []
    instance._state = InstanceState(state, CODES[state])


def refuse_unless(instances: list[Instance], states: tuple, verb: str) -> None:
    """Refuses if an instance's state does not allow it."""
    for instance in instances:
        if instance.state not in states:
            raise EC2ClientError(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' is not in a state from which it can be {verb}.",
            )


def teach_moto() -> None:
    """Makes moto show the real state of instances."""
    # moto says `pending` in every reply to RunInstances, even in a repeated one.
    EC2BaseResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER.pop(
        "RunInstances.Reservation.Instances.Instance.State"
    )
    filter_dict_attribute_mapping["client-token"] = "client_token"
    for name, nothing in GONE.items():
        setattr(Instance, name, _unless_gone(getattr(Instance, name).fget, nothing))


def _unless_gone(get, nothing):
    return property(lambda self: nothing if self._state.name == "terminated" else get(self))
