//! Queries the resources at AWS. Changes nothing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{self as sdk, Filter, InstanceStateName, LocationType};
use jiff::Timestamp;

use super::super::seen::{
    Image, Instance, InstanceState, KeyPair, Offer, Rule, SecurityGroup, Seen, Source,
    Subnet, TypeFacts, Vpc,
};
use super::super::wanted::{GroupKind, Wanted};
use super::super::{AwsError, CLUSTER_TAG};
use super::{Cloud, filter};
use crate::inventory::{AwsImage, AwsNetwork, ClusterName};

/// The states in which an instance exists.
const ALIVE: [&str; 4] = ["pending", "running", "stopping", "stopped"];

impl Cloud {
    /// Queries everything that a plan needs, in parallel. Data for launches are only queried if
    /// machines are missing.
    ///
    /// # Errors
    /// When AWS does not answer, or refuses.
    pub async fn look(&self, wanted: &Wanted) -> Result<Seen, AwsError> {
        let (zones, vpcs, subnets, gateways, routes, groups, key, instances, image) = tokio::try_join!(
            self.zones(),
            self.vpcs(wanted),
            self.subnets(wanted),
            self.gateways(wanted),
            self.routes(wanted),
            self.security_groups(wanted),
            self.key_pair(wanted),
            self.instances(vec![of_cluster(&wanted.cluster)]),
            self.image(&wanted.aws.image),
        )?;
        let mut seen = Seen {
            zones,
            vpcs,
            subnets,
            gateways,
            routes,
            security_groups: groups,
            key_pair: key,
            instances,
            image,
            ..Seen::default()
        };
        if wanted.lacks(&seen.instances) {
            let types = wanted.types();
            (seen.offers, seen.types, seen.strangers) = tokio::try_join!(
                self.offers(&types),
                self.types(&types),
                self.strangers(wanted, &seen.vpcs),
            )?;
        }
        Ok(seen)
    }

    async fn zones(&self) -> Result<Vec<String>, AwsError> {
        let filters =
            [filter("state", ["available"]), filter("zone-type", ["availability-zone"])];
        let ask = self.client.describe_availability_zones();
        let answer = ask.set_filters(Some(filters.into())).send().await;
        let answer = answer.map_err(self.unseen("DescribeAvailabilityZones"))?;
        Ok(answer
            .availability_zones()
            .iter()
            .filter_map(|zone| zone.zone_name.clone())
            .collect())
    }

    async fn vpcs(&self, wanted: &Wanted) -> Result<Vec<Vpc>, AwsError> {
        let which = match &wanted.aws.network {
            AwsNetwork::Made(_) => of_cluster(&wanted.cluster),
            AwsNetwork::Given { vpc, .. } => filter("vpc-id", [vpc]),
        };
        self.vpcs_that(which).await
    }

    pub(super) async fn vpcs_that(&self, which: Filter) -> Result<Vec<Vpc>, AwsError> {
        let mut pages =
            self.client.describe_vpcs().filters(which).into_paginator().items().send();
        let mut vpcs = Vec::new();
        while let Some(vpc) = pages.next().await {
            let vpc = vpc.map_err(self.unseen("DescribeVpcs"))?;
            let (Some(id), Some(cidr)) = (vpc.vpc_id, vpc.cidr_block) else { continue };
            vpcs.push(Vpc { id, cidr });
        }
        Ok(vpcs)
    }

    async fn subnets(&self, wanted: &Wanted) -> Result<Vec<Subnet>, AwsError> {
        let which = match &wanted.aws.network {
            AwsNetwork::Made(_) => of_cluster(&wanted.cluster),
            AwsNetwork::Given { subnets, .. } => filter("subnet-id", subnets),
        };
        self.subnets_that(which).await
    }

    pub(super) async fn subnets_that(
        &self,
        which: Filter,
    ) -> Result<Vec<Subnet>, AwsError> {
        let ask = self.client.describe_subnets().filters(which);
        let mut pages = ask.into_paginator().items().send();
        let mut subnets = Vec::new();
        while let Some(subnet) = pages.next().await {
            let found = subnet.map_err(self.unseen("DescribeSubnets"))?;
            let parts = (
                found.subnet_id,
                found.vpc_id,
                found.availability_zone,
                found.cidr_block,
            );
            if let (Some(id), Some(vpc), Some(zone), Some(cidr)) = parts {
                subnets.push(Subnet { id, vpc, zone, cidr });
            }
        }
        Ok(subnets)
    }

    async fn gateways(
        &self,
        wanted: &Wanted,
    ) -> Result<Vec<(String, Option<String>)>, AwsError> {
        match wanted.makes_network() {
            true => self.gateways_of(&wanted.cluster).await,
            false => Ok(Vec::new()),
        }
    }

    /// The gateways that have the cluster's tag, with the VPC that each is attached to.
    pub(super) async fn gateways_of(
        &self,
        cluster: &ClusterName,
    ) -> Result<Vec<(String, Option<String>)>, AwsError> {
        let ask = self.client.describe_internet_gateways().filters(of_cluster(cluster));
        let mut pages = ask.into_paginator().items().send();
        let mut gateways = Vec::new();
        while let Some(gateway) = pages.next().await {
            let gateway = gateway.map_err(self.unseen("DescribeInternetGateways"))?;
            let to = gateway.attachments().first().and_then(|to| to.vpc_id.clone());
            gateways.extend(gateway.internet_gateway_id.map(|id| (id, to)));
        }
        Ok(gateways)
    }

    async fn routes(
        &self,
        wanted: &Wanted,
    ) -> Result<BTreeMap<String, (String, Option<String>)>, AwsError> {
        match wanted.makes_network() {
            true => self.main_tables(filter("association.main", ["true"])).await,
            false => Ok(BTreeMap::new()),
        }
    }

    /// The main route tables of VPCs, with the target of their default route.
    pub(super) async fn main_tables(
        &self,
        which: Filter,
    ) -> Result<BTreeMap<String, (String, Option<String>)>, AwsError> {
        let ask = self.client.describe_route_tables().filters(which);
        let mut pages = ask.into_paginator().items().send();
        let mut tables = BTreeMap::new();
        while let Some(table) = pages.next().await {
            let table = table.map_err(self.unseen("DescribeRouteTables"))?;
            let out = table.routes().iter().find(|route| {
                route.destination_cidr_block() == Some("0.0.0.0/0")
                    && route.state() != Some(&sdk::RouteState::Blackhole)
            });
            let out = out.and_then(|route| route.gateway_id.clone());
            if let (Some(vpc), Some(id)) = (table.vpc_id, table.route_table_id) {
                tables.insert(vpc, (id, out));
            }
        }
        Ok(tables)
    }

    async fn security_groups(
        &self,
        wanted: &Wanted,
    ) -> Result<Vec<SecurityGroup>, AwsError> {
        let names = [GroupKind::Cluster, GroupKind::Edge]
            .map(|which| wanted.security_group_name(which));
        self.security_groups_that(filter("group-name", names), &wanted.cluster).await
    }

    pub(super) async fn security_groups_that(
        &self,
        which: Filter,
        cluster: &ClusterName,
    ) -> Result<Vec<SecurityGroup>, AwsError> {
        let ask = self.client.describe_security_groups().filters(which);
        let mut pages = ask.into_paginator().items().send();
        let mut groups = Vec::new();
        while let Some(group) = pages.next().await {
            let group = group.map_err(self.unseen("DescribeSecurityGroups"))?;
            groups.extend(security_group(&group, cluster));
        }
        Ok(groups)
    }

    async fn key_pair(&self, wanted: &Wanted) -> Result<Option<KeyPair>, AwsError> {
        let named = self.key_pairs_that(filter("key-name", [wanted.name()])).await?;
        Ok(named.into_iter().next())
    }

    pub(super) async fn key_pairs_that(
        &self,
        which: Filter,
    ) -> Result<Vec<KeyPair>, AwsError> {
        let ask = self.client.describe_key_pairs().include_public_key(true);
        let answer = ask.filters(which).send().await;
        let answer = answer.map_err(self.unseen("DescribeKeyPairs"))?;
        let key_pair = |key: &sdk::KeyPairInfo| {
            Some(KeyPair {
                id: key.key_pair_id.clone()?,
                name: key.key_name.clone()?,
                public: key.public_key.clone(),
                created: key.create_time().and_then(time),
                tags: tags(key.tags()),
            })
        };
        Ok(answer.key_pairs().iter().filter_map(key_pair).collect())
    }

    /// The instances that match a filter.
    pub(super) async fn instances(
        &self,
        which: Vec<Filter>,
    ) -> Result<Vec<Instance>, AwsError> {
        let ask = self.client.describe_instances().set_filters(Some(which));
        let mut pages = ask.into_paginator().items().send();
        let mut instances = Vec::new();
        while let Some(reservation) = pages.next().await {
            let reservation = reservation.map_err(self.unseen("DescribeInstances"))?;
            instances.extend(reservation.instances().iter().filter_map(instance));
        }
        Ok(instances)
    }

    async fn image(&self, wanted: &AwsImage) -> Result<Option<Image>, AwsError> {
        let ask = self.client.describe_images();
        let ask = match wanted {
            AwsImage::Id(id) => ask.filters(filter("image-id", [id])),
            AwsImage::Newest { owner, name } => {
                let available = filter("state", ["available"]);
                ask.owners(owner).filters(filter("name", [name])).filters(available)
            }
        };
        let mut pages = ask.into_paginator().items().send();
        let mut newest: Option<sdk::Image> = None;
        while let Some(image) = pages.next().await {
            let image = image.map_err(self.unseen("DescribeImages"))?;
            // Dates in ISO format sort as texts.
            if newest.as_ref().is_none_or(|best| best.creation_date < image.creation_date)
            {
                newest = Some(image);
            }
        }
        Ok(newest.as_ref().and_then(image_of))
    }

    async fn offers(&self, types: &[String]) -> Result<Vec<Offer>, AwsError> {
        let ask = self.client.describe_instance_type_offerings();
        let ask = ask.location_type(LocationType::AvailabilityZone);
        let mut pages =
            ask.filters(filter("instance-type", types)).into_paginator().items().send();
        let mut offers = Vec::new();
        while let Some(offer) = pages.next().await {
            let offer = offer.map_err(self.unseen("DescribeInstanceTypeOfferings"))?;
            if let (Some(kind), Some(zone)) = (offer.instance_type, offer.location) {
                offers.push(Offer { kind: kind.as_str().to_owned(), zone });
            }
        }
        Ok(offers)
    }

    async fn types(&self, types: &[String]) -> Result<Vec<TypeFacts>, AwsError> {
        let ask = self.client.describe_instance_types();
        let mut pages =
            ask.filters(filter("instance-type", types)).into_paginator().items().send();
        let mut facts = Vec::new();
        while let Some(found) = pages.next().await {
            let found = found.map_err(self.unseen("DescribeInstanceTypes"))?;
            let Some(kind) = found.instance_type else { continue };
            let processor = found
                .processor_info
                .unwrap_or_else(|| sdk::ProcessorInfo::builder().build());
            let architectures = processor.supported_architectures();
            facts.push(TypeFacts {
                kind: kind.as_str().to_owned(),
                architectures: architectures
                    .iter()
                    .map(|a| a.as_str().to_owned())
                    .collect(),
            });
        }
        Ok(facts)
    }

    /// Instances in the cluster's own network without its tag.
    async fn strangers(
        &self,
        wanted: &Wanted,
        vpcs: &[Vpc],
    ) -> Result<Vec<(String, Ipv4Addr)>, AwsError> {
        if !wanted.makes_network() || vpcs.is_empty() {
            return Ok(Vec::new());
        }
        let here = filter("vpc-id", vpcs.iter().map(|vpc| &vpc.id));
        let found =
            self.instances(vec![here, filter("instance-state-name", ALIVE)]).await?;
        let cluster = wanted.cluster.as_str();
        let is_ours = |found: &Instance| {
            found.tags.get(CLUSTER_TAG).is_some_and(|tag| tag == cluster)
        };
        let strangers = found.into_iter().filter(|found| !is_ours(found));
        Ok(strangers.filter_map(|found| Some((found.id, found.private?))).collect())
    }
}

/// Resources with the cluster's tag.
pub(super) fn of_cluster(cluster: &ClusterName) -> Filter {
    filter(&format!("tag:{CLUSTER_TAG}"), [cluster.as_str()])
}

pub(super) fn tags(tags: &[sdk::Tag]) -> BTreeMap<String, String> {
    let pair = |tag: &sdk::Tag| Some((tag.key.clone()?, tag.value.clone()?));
    tags.iter().filter_map(pair).collect()
}

fn time(time: &aws_sdk_ec2::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}

fn security_group(
    group: &sdk::SecurityGroup,
    cluster: &ClusterName,
) -> Option<SecurityGroup> {
    let tags = tags(group.tags());
    let mut rules: Vec<Rule> = group.ip_permissions().iter().flat_map(rules).collect();
    rules.sort();
    Some(SecurityGroup {
        id: group.group_id.clone()?,
        name: group.group_name.clone()?,
        vpc: group.vpc_id.clone()?,
        rules,
        tagged: tags.get(CLUSTER_TAG).is_some_and(|tag| tag == cluster.as_str()),
    })
}

fn rules(permission: &sdk::IpPermission) -> Vec<Rule> {
    let protocol = permission.ip_protocol().unwrap_or("-1").to_owned();
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let ports = port(permission.from_port()).zip(port(permission.to_port()));
    let networks = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip());
    let v6 = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6());
    let lists =
        permission.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id());
    let networks = networks.chain(v6).chain(lists);
    let networks = networks.map(|network| Source::Network(network.to_owned()));
    let groups = permission.user_id_group_pairs().iter();
    let groups =
        groups.filter_map(|pair| Some(Source::Group(pair.group_id()?.to_owned())));
    let rule = |source| Rule { protocol: protocol.clone(), ports, source };
    networks.chain(groups).map(rule).collect()
}

pub(super) fn instance(found: &sdk::Instance) -> Option<Instance> {
    let state = match found.state.as_ref()?.name.as_ref()? {
        InstanceStateName::Pending => InstanceState::Pending,
        InstanceStateName::Running => InstanceState::Running,
        InstanceStateName::Stopping => InstanceState::Stopping,
        InstanceStateName::Stopped => InstanceState::Stopped,
        InstanceStateName::ShuttingDown => InstanceState::ShuttingDown,
        _ => InstanceState::Terminated,
    };
    let address = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let reason = found.state_reason().and_then(|reason| reason.message());
    let reason = reason.or(found.state_transition_reason());
    let vpc = found.vpc_id().filter(|id| !id.is_empty());
    Some(Instance {
        id: found.instance_id.clone()?,
        state,
        reason: reason.filter(|reason| !reason.is_empty()).map(str::to_owned),
        kind: found.instance_type()?.as_str().to_owned(),
        zone: found.placement()?.availability_zone()?.to_owned(),
        vpc: vpc.filter(|_| state.is_alive()).map(str::to_owned),
        private: address(found.private_ip_address()),
        public: address(found.public_ip_address()),
        security_groups: found
            .security_groups()
            .iter()
            .filter_map(|group| group.group_id.clone())
            .collect(),
        launched: found.launch_time().and_then(time),
        tags: tags(found.tags()),
    })
}

fn image_of(image: &sdk::Image) -> Option<Image> {
    let root_device = image.root_device_name.clone()?;
    let mappings = image.block_device_mappings().iter();
    let root = mappings.filter(|disk| disk.device_name() == Some(&root_device));
    let size = root.filter_map(|disk| disk.ebs()?.volume_size()).next();
    Some(Image {
        id: image.image_id.clone()?,
        name: image.name.clone().unwrap_or_default(),
        root_device,
        root_gib: size.and_then(|size| u32::try_from(size).ok()),
        architecture: image.architecture()?.as_str().to_owned(),
    })
}
