//! Foreign resources in a cluster's network: they prevent the removal of the resources that they
//! use.
//!
//! An account's security services add endpoints and security groups to every network
//! automatically, and other people's security groups may name the cluster's groups in their
//! rules. AWS then refuses to remove the network or the group, and does not say why.

use aws_sdk_ec2::types as sdk;

use super::super::seen::{Instance, Vpc};
use super::super::sweep::{AwsResource, ForeignResource, Kind};
use super::super::{AwsError, CLUSTER_TAG};
use super::read::{of_cluster, tags};
use super::{Cloud, filter};
use crate::inventory::ClusterName;

/// The group that is created and removed with each network.
const DEFAULT_GROUP: &str = "default";

impl Cloud {
    /// Network interfaces with the cluster's tag that no instance uses, and all foreign resources
    /// in these networks or with rules that name these security groups.
    pub(super) async fn in_networks(
        &self,
        cluster: &ClusterName,
        vpcs: &[Vpc],
        own: &[AwsResource],
        instances: &[Instance],
    ) -> Result<(Vec<AwsResource>, Vec<ForeignResource>), AwsError> {
        let ((things, interfaces), endpoints, groups) = tokio::try_join!(
            self.interfaces(cluster, vpcs, instances),
            self.endpoints(vpcs),
            self.strange_groups(cluster, vpcs, own),
        )?;
        let of_endpoint = |id: &String| {
            endpoints.iter().any(|endpoint| endpoint.network_interface_ids().contains(id))
        };
        let interfaces = interfaces.into_iter().filter(|(id, _)| !of_endpoint(id));
        let interfaces = interfaces.map(|(_, stranger)| stranger);
        let strangers = interfaces.chain(endpoints.iter().filter_map(of_service));
        Ok((things, strangers.chain(groups).collect()))
    }

    /// Network interfaces with the cluster's tag that no instance uses, and foreign interfaces in
    /// its networks, with their ids.
    async fn interfaces(
        &self,
        cluster: &ClusterName,
        vpcs: &[Vpc],
        instances: &[Instance],
    ) -> Result<(Vec<AwsResource>, Vec<(String, ForeignResource)>), AwsError> {
        let which = match vpcs {
            [] => of_cluster(cluster),
            vpcs => filter("vpc-id", vpcs.iter().map(|vpc| &vpc.id)),
        };
        let ask = self.client.describe_network_interfaces().filters(which);
        let mut pages = ask.into_paginator().items().send();
        let (mut things, mut strangers) = (Vec::new(), Vec::new());
        while let Some(found) = pages.next().await {
            let found = found.map_err(self.unseen("DescribeNetworkInterfaces"))?;
            let tags = tags(found.tag_set());
            let owner = found.attachment().and_then(|to| to.instance_id());
            let tagged = tags.get(CLUSTER_TAG).is_some_and(|tag| tag == cluster.as_str());
            let of_ours =
                owner.is_some_and(|id| instances.iter().any(|own| own.id == id));
            let Some(id) = found.network_interface_id.clone() else { continue };
            match (of_ours, tagged, owner) {
                (true, ..) => {}
                (false, true, None) => {
                    let name = tags.get("Name").cloned().unwrap_or_default();
                    let subnet = found.subnet_id;
                    things.push(AwsResource::new(Kind::Interface, id, name, subnet));
                }
                _ => strangers.push((id.clone(), of_interface(&id, &found))),
            }
        }
        Ok((things, strangers))
    }

    /// Endpoints of AWS's services in these networks, except those that AWS removes itself.
    async fn endpoints(&self, vpcs: &[Vpc]) -> Result<Vec<sdk::VpcEndpoint>, AwsError> {
        if vpcs.is_empty() {
            return Ok(Vec::new());
        }
        let here = filter("vpc-id", vpcs.iter().map(|vpc| &vpc.id));
        let ask = self.client.describe_vpc_endpoints().filters(here);
        let mut pages = ask.into_paginator().items().send();
        let mut endpoints = Vec::new();
        while let Some(found) = pages.next().await {
            let found = found.map_err(self.unseen("DescribeVpcEndpoints"))?;
            // AWS sends the states in lower case, but its SDK has them in upper case.
            let state = found.state().map_or("", sdk::State::as_str);
            let goes = ["deleting", "deleted"];
            if !goes.iter().any(|going| state.eq_ignore_ascii_case(going)) {
                endpoints.push(found);
            }
        }
        Ok(endpoints)
    }

    /// Security groups without the cluster's tag that are in these networks, or whose rules name
    /// a security group of `own`.
    async fn strange_groups(
        &self,
        cluster: &ClusterName,
        vpcs: &[Vpc],
        own: &[AwsResource],
    ) -> Result<Vec<ForeignResource>, AwsError> {
        let of_kind = own.iter().filter(|thing| thing.kind == Kind::SecurityGroup);
        let own: Vec<&str> = of_kind.map(|thing| thing.id.as_str()).collect();
        let which = match (vpcs, own.as_slice()) {
            ([], []) => return Ok(Vec::new()),
            ([], own) => filter("ip-permission.group-id", own.iter().copied()),
            (vpcs, _) => filter("vpc-id", vpcs.iter().map(|vpc| &vpc.id)),
        };
        let ask = self.client.describe_security_groups().filters(which);
        let mut pages = ask.into_paginator().items().send();
        let mut strangers = Vec::new();
        while let Some(found) = pages.next().await {
            let found = found.map_err(self.unseen("DescribeSecurityGroups"))?;
            let tags = tags(found.tags());
            if tags.get(CLUSTER_TAG).is_none_or(|tag| tag != cluster.as_str()) {
                strangers.extend(of_group(&found, vpcs, &own));
            }
        }
        Ok(strangers)
    }
}

fn of_interface(id: &str, found: &sdk::NetworkInterface) -> ForeignResource {
    let owner = found.attachment().and_then(|to| to.instance_id());
    let (what, command) = match owner {
        Some(owner) => (
            format!("instance {owner}"),
            format!("aws ec2 terminate-instances --instance-ids {owner}"),
        ),
        None => (
            format!("network interface {id} ({})", found.description().unwrap_or("?")),
            format!("aws ec2 delete-network-interface --network-interface-id {id}"),
        ),
    };
    let groups = found.groups().iter().filter_map(|group| group.group_id.clone());
    let on = found.vpc_id.iter().chain(&found.subnet_id).cloned().chain(groups).collect();
    ForeignResource { what, command, on }
}

fn of_service(found: &sdk::VpcEndpoint) -> Option<ForeignResource> {
    let id = found.vpc_endpoint_id()?;
    let groups = found.groups().iter().filter_map(|group| group.group_id.clone());
    let subnets = found.subnet_ids().iter().cloned();
    Some(ForeignResource {
        what: format!("VPC endpoint {id} ({})", found.service_name().unwrap_or("?")),
        command: format!("aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}"),
        on: found.vpc_id.iter().cloned().chain(subnets).chain(groups).collect(),
    })
}

/// A group that prevents the removal of its network, or of the cluster's groups that its rules
/// name.
fn of_group(
    found: &sdk::SecurityGroup,
    vpcs: &[Vpc],
    own: &[&str],
) -> Option<ForeignResource> {
    let (id, name) = (found.group_id()?, found.group_name().unwrap_or("?"));
    let what = format!("security group {id} ({name})");
    let ours = |vpc: &str| vpcs.iter().any(|own| own.id == vpc);
    let named = |rules: &[sdk::IpPermission]| -> Vec<String> {
        let pairs = rules.iter().flat_map(|rule| rule.user_id_group_pairs());
        let ids = pairs.filter_map(|pair| pair.group_id());
        ids.filter(|id| own.contains(id)).map(str::to_owned).collect()
    };
    let (lets_in, lets_out) =
        (named(found.ip_permissions()), named(found.ip_permissions_egress()));
    let in_ours = found.vpc_id().filter(|vpc| ours(vpc) && name != DEFAULT_GROUP);
    let mut on: Vec<String> = in_ours.map(str::to_owned).into_iter().collect();
    on.extend(lets_in.iter().chain(&lets_out).cloned());
    let command = match (in_ours, lets_in.is_empty()) {
        (Some(_), _) => format!("aws ec2 delete-security-group --group-id {id}"),
        (None, false) => revoke("ingress", id, found.ip_permissions(), own),
        (None, true) => revoke("egress", id, found.ip_permissions_egress(), own),
    };
    (!on.is_empty()).then_some(ForeignResource { what, command, on })
}

/// The command that removes the rules that name the cluster's groups from a foreign group.
fn revoke(way: &str, id: &str, rules: &[sdk::IpPermission], own: &[&str]) -> String {
    let rules = rules.iter().flat_map(|rule| {
        let pairs = rule.user_id_group_pairs().iter();
        let ids = pairs.filter_map(|pair| pair.group_id()).filter(|id| own.contains(id));
        ids.map(move |own| {
            let protocol = rule.ip_protocol().unwrap_or("-1");
            let ports = match (rule.from_port(), rule.to_port()) {
                (Some(from), Some(to)) => format!(",FromPort={from},ToPort={to}"),
                _ => String::new(),
            };
            format!("'IpProtocol={protocol}{ports},UserIdGroupPairs=[{{GroupId={own}}}]'")
        })
    });
    let rules: Vec<String> = rules.collect();
    format!(
        "aws ec2 revoke-security-group-{way} --group-id {id} --ip-permissions {}",
        rules.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(group: &str) -> sdk::IpPermission {
        let pair = sdk::UserIdGroupPair::builder().group_id(group).build();
        let rule =
            sdk::IpPermission::builder().ip_protocol("tcp").user_id_group_pairs(pair);
        rule.from_port(22).to_port(22).build()
    }

    fn group(name: &str, vpc: &str) -> sdk::builders::SecurityGroupBuilder {
        sdk::SecurityGroup::builder().group_id("sg-9").group_name(name).vpc_id(vpc)
    }

    fn vpcs() -> Vec<Vpc> {
        let cidr = "10.0.0.0/16".to_owned();
        vec![Vpc { id: "vpc-1".to_owned(), cidr }]
    }

    #[test]
    fn a_group_in_the_network_keeps_the_network() {
        let found =
            of_group(&group("Guard", "vpc-1").build(), &vpcs(), &["sg-1"]).unwrap();
        assert_eq!(found.what, "security group sg-9 (Guard)");
        assert_eq!(found.command, "aws ec2 delete-security-group --group-id sg-9");
        assert_eq!(found.on, ["vpc-1"]);
    }

    #[test]
    fn a_group_elsewhere_keeps_those_of_ours_that_its_rules_name() {
        let found = group("web", "vpc-2").ip_permissions(rule("sg-1")).build();
        let found = of_group(&found, &[], &["sg-1"]).unwrap();
        assert_eq!(found.on, ["sg-1"]);
        assert_eq!(
            found.command,
            "aws ec2 revoke-security-group-ingress --group-id sg-9 --ip-permissions \
             'IpProtocol=tcp,FromPort=22,ToPort=22,UserIdGroupPairs=[{GroupId=sg-1}]'"
        );
    }

    #[test]
    fn the_networks_default_group_keeps_nothing_unless_its_rules_name_ours() {
        let found = group(DEFAULT_GROUP, "vpc-1");
        assert_eq!(of_group(&found.clone().build(), &vpcs(), &["sg-1"]), None);
        let found = found.ip_permissions_egress(rule("sg-1")).build();
        let found = of_group(&found, &vpcs(), &["sg-1"]).unwrap();
        assert_eq!(found.on, ["sg-1"]);
        assert!(found.command.contains("revoke-security-group-egress"), "{found:?}");
    }
}
