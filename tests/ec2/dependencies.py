"""Refuses to delete what something still needs, like EC2; moto deletes nearly everything."""

from moto.ec2.exceptions import EC2ClientError


class Dependencies:
    """The part of the account that deletes. Mixed into moto's.

    An instance needs its things until it is terminated: its interface exists that long.
    """

    def delete_security_group(self, name=None, group_id=None):
        group = self.get_security_group_from_id(group_id) if group_id else None
        if group and group.name == "default":
            raise EC2ClientError(
                "CannotDelete",
                f'the specified group: "{group.id}" name: "default" cannot be deleted by a user',
            )
        if group and (self._is_used(group) or self._is_referenced(group)):
            raise EC2ClientError(
                "DependencyViolation", f"resource {group.id} has a dependent object"
            )
        return super().delete_security_group(name, group_id)

    def modify_instance_security_groups(self, instance_id, new_group_id_list):
        # An instance's groups are those of its interface, which moto does not change.
        instance = super().modify_instance_security_groups(instance_id, new_group_id_list)
        for interface in instance.nics.values():
            interface._group_set = list(instance.security_groups)
        return instance

    def _is_used(self, group) -> bool:
        return any(group in eni.group_set for eni in self.enis.values())

    def _is_referenced(self, group) -> bool:
        others = (other for groups in self.groups.values() for other in groups.values())
        return any(
            rule.source_group.get("GroupId") == group.id
            for other in others
            if other.id != group.id
            for rule in [*other.ingress_rules, *other.egress_rules]
        )

    def delete_subnet(self, subnet_id):
        if any(eni.subnet.id == subnet_id for eni in self.enis.values()):
            raise EC2ClientError(
                "DependencyViolation",
                f"The subnet '{subnet_id}' has dependencies and cannot be deleted.",
            )
        for table in self.route_tables.values():
            for association, target in list(table._associations.items()):
                if target == subnet_id:
                    del table._associations[association]
        return super().delete_subnet(subnet_id)

    def detach_internet_gateway(self, internet_gateway_id, vpc_id):
        mapped = (eni for eni in self.enis.values() if eni.public_ip)
        if any(eni.subnet.vpc_id == vpc_id for eni in mapped):
            raise EC2ClientError(
                "DependencyViolation",
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public "
                "address(es) before detaching the gateway.",
            )
        return super().detach_internet_gateway(internet_gateway_id, vpc_id)

    def delete_vpc(self, vpc_id):
        self.get_vpc(vpc_id)
        if self._is_needed(vpc_id):
            raise EC2ClientError(
                "DependencyViolation",
                f"The vpc '{vpc_id}' has dependencies and cannot be deleted.",
            )
        for acl in [acl for acl in self.network_acls.values() if acl.vpc_id == vpc_id]:
            del self.network_acls[acl.id]
        self.groups.pop(vpc_id, None)
        deleted = super().delete_vpc(vpc_id)
        if self.machines:
            self.machines.remove_network(vpc_id)
        return deleted

    def _is_needed(self, vpc_id: str) -> bool:
        """Whether a VPC has more than its defaults."""
        subnets = (s for zone in self.subnets.values() for s in zone.values())
        gateways = (g for g in self.internet_gateways.values() if g.vpc)
        groups = (g for g in self.groups.get(vpc_id, {}).values() if g.name != "default")
        tables = (t for t in self.route_tables.values() if not t.main_association_id)
        return (
            any(s.vpc_id == vpc_id for s in subnets)
            or any(g.vpc.id == vpc_id for g in gateways)
            or any(groups)
            or any(t.vpc_id == vpc_id for t in tables)
        )
