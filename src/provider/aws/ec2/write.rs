//! Creates and removes one resource at a time. Makes no decisions.
//!
//! A call that could create a second resource is not repeated after a lost answer; what the first
//! call created is found by its tags.

use aws_sdk_ec2::config::{Builder, retry::RetryConfig};
use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::{self as sdk, ResourceType};
use base64::Engine;
use jiff::Timestamp;

use super::super::launch::{Launch, Order};
use super::super::plan::NetworkIds;
use super::super::seen::{Instance, Rule, Source};
use super::super::wanted::Wanted;
use super::super::{
    AwsError, CLUSTER_TAG, EXPIRES_TAG, GROUP_TAG, HOST_KEY_TAG, HostKey, NODE_TAG,
};
use super::read::instance;
use super::{Cloud, undone};
use crate::inventory::Cidr;

/// The settings for everything that is created for a cluster.
pub(super) struct ResourceMaker<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) wanted: &'a Wanted,
    pub(super) network: &'a NetworkIds,
}

impl ResourceMaker<'_> {
    pub(super) async fn import_key(
        &self,
        name: &str,
        public: &str,
    ) -> Result<(), AwsError> {
        let call = self.cloud.client.import_key_pair();
        let call = call.key_name(name).public_key_material(Blob::new(public));
        let call = call.tag_specifications(self.tags(ResourceType::KeyPair, None, &[]));
        let done = call.customize().config_override(once()).send().await;
        done.map(drop).map_err(undone("ImportKeyPair"))
    }

    pub(super) async fn make_vpc(&self, cidr: Cidr) -> Result<String, AwsError> {
        let call = self.cloud.client.create_vpc().cidr_block(cidr.to_string());
        let call = call.tag_specifications(self.tags(ResourceType::Vpc, None, &[]));
        let made = call.customize().config_override(once()).send().await;
        let made = made.map_err(undone("CreateVpc"))?;
        id(made.vpc.and_then(|vpc| vpc.vpc_id), "CreateVpc")
    }

    pub(super) async fn make_subnet(
        &self,
        zone: &str,
        cidr: Cidr,
    ) -> Result<String, AwsError> {
        let call = self.cloud.client.create_subnet().availability_zone(zone);
        let call = call.set_vpc_id(self.network.vpc.clone()).cidr_block(cidr.to_string());
        let call =
            call.tag_specifications(self.tags(ResourceType::Subnet, Some(zone), &[]));
        let made = call.customize().config_override(once()).send().await;
        let made = made.map_err(undone("CreateSubnet"))?;
        id(made.subnet.and_then(|subnet| subnet.subnet_id), "CreateSubnet")
    }

    pub(super) async fn make_gateway(&self) -> Result<String, AwsError> {
        let call = self.cloud.client.create_internet_gateway();
        let call =
            call.tag_specifications(self.tags(ResourceType::InternetGateway, None, &[]));
        let made = call.customize().config_override(once()).send().await;
        let made = made.map_err(undone("CreateInternetGateway"))?;
        let gateway = made.internet_gateway;
        id(
            gateway.and_then(|gateway| gateway.internet_gateway_id),
            "CreateInternetGateway",
        )
    }

    pub(super) async fn attach_gateway(&self) -> Result<(), AwsError> {
        let call = self.cloud.client.attach_internet_gateway();
        let call = call.set_internet_gateway_id(self.network.gateway.clone());
        let done = call.set_vpc_id(self.network.vpc.clone()).send().await;
        let done = done.map(drop).map_err(undone("AttachInternetGateway"));
        unless(done, "Resource.AlreadyAssociated")
    }

    /// Sets the default route to the internet gateway; replaces a route whose target is gone.
    pub(super) async fn route(&self, table: &str) -> Result<(), AwsError> {
        const ELSEWHERE: &str = "0.0.0.0/0";
        let gateway = self.network.gateway.clone();
        let call = self.cloud.client.create_route().route_table_id(table);
        let call = call.destination_cidr_block(ELSEWHERE).set_gateway_id(gateway.clone());
        match call.send().await.map(drop).map_err(undone("CreateRoute")) {
            Err(error) if error.code() == Some("RouteAlreadyExists") => {
                let call = self.cloud.client.replace_route().route_table_id(table);
                let call = call.destination_cidr_block(ELSEWHERE).set_gateway_id(gateway);
                call.send().await.map(drop).map_err(undone("ReplaceRoute"))
            }
            done => done,
        }
    }

    pub(super) async fn make_security_group(
        &self,
        name: &str,
    ) -> Result<String, AwsError> {
        let call = self.cloud.client.create_security_group().group_name(name);
        let call =
            call.description(format!("Cluster {} of platform", self.wanted.cluster));
        let call = call.set_vpc_id(self.network.vpc.clone());
        let call =
            call.tag_specifications(self.tags(ResourceType::SecurityGroup, None, &[]));
        let made = call.customize().config_override(once()).send().await;
        id(made.map_err(undone("CreateSecurityGroup"))?.group_id, "CreateSecurityGroup")
    }

    pub(super) async fn allow(
        &self,
        group: &str,
        rules: &[Rule],
    ) -> Result<(), AwsError> {
        let call = self.cloud.client.authorize_security_group_ingress().group_id(group);
        let rules = rules.iter().map(permission).collect();
        let done = call.set_ip_permissions(Some(rules)).send().await;
        let done = done.map(drop).map_err(undone("AuthorizeSecurityGroupIngress"));
        unless(done, "InvalidPermission.Duplicate")
    }

    pub(super) async fn forbid(
        &self,
        group: &str,
        rules: &[Rule],
    ) -> Result<(), AwsError> {
        let call = self.cloud.client.revoke_security_group_ingress().group_id(group);
        let rules = rules.iter().map(permission).collect();
        let done = call.set_ip_permissions(Some(rules)).send().await;
        let done = done.map(drop).map_err(undone("RevokeSecurityGroupIngress"));
        unless(done, "InvalidPermission.NotFound")
    }

    pub(super) async fn protect(
        &self,
        instance: &str,
        groups: Vec<String>,
    ) -> Result<(), AwsError> {
        let call = self.cloud.client.modify_instance_attribute().instance_id(instance);
        let done = call.set_groups(Some(groups)).send().await;
        done.map(drop).map_err(undone("ModifyInstanceAttribute"))
    }

    pub(super) async fn expire(
        &self,
        resources: &[String],
        at: Option<Timestamp>,
    ) -> Result<(), AwsError> {
        let resources = Some(resources.to_vec());
        match at {
            Some(at) => {
                let call = self.cloud.client.create_tags().set_resources(resources);
                let done = call.tags(tag(EXPIRES_TAG, &at.to_string())).send().await;
                done.map(drop).map_err(undone("CreateTags"))
            }
            None => {
                let call = self.cloud.client.delete_tags().set_resources(resources);
                let key = sdk::Tag::builder().key(EXPIRES_TAG).build();
                let done = call.tags(key).send().await;
                done.map(drop).map_err(undone("DeleteTags"))
            }
        }
    }

    pub(super) async fn start(&self, ids: Vec<String>) -> Result<(), AwsError> {
        let call = self.cloud.client.start_instances().set_instance_ids(Some(ids));
        call.send().await.map(drop).map_err(undone("StartInstances"))
    }

    /// Launches as many of the given instances as there is capacity for, at least one. The same
    /// call again returns the same instances.
    pub(super) async fn launch(
        &self,
        launch: &Launch,
        order: &Order<'_>,
        token: &str,
        host_key: &HostKey,
    ) -> Result<Vec<Instance>, AwsError> {
        let attempt = order.attempt;
        let user_data = base64::engine::general_purpose::STANDARD
            .encode(host_key.user_data().expose());
        let most = i32::try_from(order.count).unwrap_or(i32::MAX);
        let options = sdk::InstanceMetadataOptionsRequest::builder()
            .http_endpoint(sdk::InstanceMetadataEndpointState::Enabled)
            .http_tokens(sdk::HttpTokensState::Required)
            // A program in a container is one hop too far away to use it.
            .http_put_response_hop_limit(1);
        let mut call = self
            .cloud
            .client
            .run_instances()
            .client_token(token)
            .min_count(1)
            .max_count(most)
            .image_id(&launch.image)
            .instance_type(sdk::InstanceType::from(attempt.kind.as_str()))
            .key_name(self.wanted.name())
            .user_data(user_data)
            .metadata_options(options.build())
            .block_device_mappings(disk(launch))
            .network_interfaces(interface(launch, order))
            .disable_api_termination(launch.protected);
        if launch.spot {
            call = call.instance_market_options(spot());
        }
        let extra = extra_tags(launch, host_key);
        let name =
            launch.node.as_ref().map_or(launch.group.as_str(), |node| node.as_str());
        let mut kinds = vec![
            ResourceType::Instance,
            ResourceType::Volume,
            ResourceType::NetworkInterface,
        ];
        kinds.extend(launch.spot.then_some(ResourceType::SpotInstancesRequest));
        for kind in kinds {
            let extra =
                if kind == ResourceType::Instance { &extra[..] } else { &extra[..1] };
            call = call.tag_specifications(self.tags(kind, Some(name), extra));
        }
        // If there is no capacity, AWS answers with a status after which any client would retry;
        // it is better to try another place.
        let made = call.customize().config_override(once()).send().await;
        let made = made.map_err(undone("RunInstances"))?;
        Ok(made.instances().iter().filter_map(instance).collect())
    }

    /// The tags of everything that is created; `part` follows the cluster's name.
    fn tags(
        &self,
        kind: ResourceType,
        part: Option<&str>,
        extra: &[sdk::Tag],
    ) -> sdk::TagSpecification {
        let cluster = self.wanted.cluster.as_str();
        let name = part.map_or(cluster.to_owned(), |part| format!("{cluster}-{part}"));
        let ends = self.network.expires.map(|at| tag(EXPIRES_TAG, &at.to_string()));
        let mut tags = vec![tag("Name", &name), tag(CLUSTER_TAG, cluster)];
        tags.extend(ends);
        tags.extend(extra.iter().cloned());
        sdk::TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
    }
}

/// The tags only for instances; the first tag is also for their disks and interfaces.
fn extra_tags(launch: &Launch, host_key: &HostKey) -> Vec<sdk::Tag> {
    let node = launch.node.as_ref().map(|node| tag(NODE_TAG, node.as_str()));
    let own = [tag(GROUP_TAG, &launch.group), tag(HOST_KEY_TAG, &host_key.public)];
    own.into_iter().chain(node).collect()
}

fn interface(
    launch: &Launch,
    order: &Order<'_>,
) -> sdk::InstanceNetworkInterfaceSpecification {
    sdk::InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .subnet_id(order.subnet)
        .set_groups(Some(order.security_groups.to_vec()))
        .associate_public_ip_address(launch.public_address)
        .set_private_ip_address(order.attempt.placement.address.map(|at| at.to_string()))
        .delete_on_termination(true)
        .build()
}

fn disk(launch: &Launch) -> sdk::BlockDeviceMapping {
    let disk = sdk::EbsBlockDevice::builder()
        .volume_size(i32::try_from(launch.disk_gib).unwrap_or(i32::MAX))
        .volume_type(sdk::VolumeType::Gp3)
        .encrypted(true)
        .delete_on_termination(true);
    sdk::BlockDeviceMapping::builder()
        .device_name(&launch.root_device)
        .ebs(disk.build())
        .build()
}

fn spot() -> sdk::InstanceMarketOptionsRequest {
    let once = sdk::SpotMarketOptions::builder()
        .spot_instance_type(sdk::SpotInstanceType::OneTime)
        .instance_interruption_behavior(sdk::InstanceInterruptionBehavior::Terminate);
    sdk::InstanceMarketOptionsRequest::builder()
        .market_type(sdk::MarketType::Spot)
        .spot_options(once.build())
        .build()
}

fn tag(key: &str, value: &str) -> sdk::Tag {
    sdk::Tag::builder().key(key).value(value).build()
}

fn permission(rule: &Rule) -> sdk::IpPermission {
    let (from, to) = rule.ports.map_or((None, None), |(from, to)| (Some(from), Some(to)));
    let permission = sdk::IpPermission::builder()
        .ip_protocol(&rule.protocol)
        .set_from_port(from.map(i32::from))
        .set_to_port(to.map(i32::from));
    let permission = match &rule.source {
        Source::Group(id) => permission
            .user_id_group_pairs(sdk::UserIdGroupPair::builder().group_id(id).build()),
        Source::Network(list) if list.starts_with("pl-") => permission
            .prefix_list_ids(sdk::PrefixListId::builder().prefix_list_id(list).build()),
        Source::Network(v6) if v6.contains(':') => {
            permission.ipv6_ranges(sdk::Ipv6Range::builder().cidr_ipv6(v6).build())
        }
        Source::Network(v4) => {
            permission.ip_ranges(sdk::IpRange::builder().cidr_ip(v4).build())
        }
    };
    permission.build()
}

/// For calls that could create a second resource after a lost answer.
fn once() -> Builder {
    Builder::default().retry_config(RetryConfig::disabled())
}

fn id(id: Option<String>, call: &'static str) -> Result<String, AwsError> {
    id.ok_or(AwsError::Answer { call, what: "an id" })
}

/// Also succeeds if AWS says that the change was already made.
fn unless(done: Result<(), AwsError>, already: &str) -> Result<(), AwsError> {
    match done {
        Err(error) if error.code() == Some(already) => Ok(()),
        done => done,
    }
}
