//! Finds all resources of a cluster, and removes them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use aws_sdk_ec2::types::{self as sdk, AttributeBooleanValue};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::super::AwsError;
use super::super::plan::noted_end;
use super::super::seen::{Instance, InstanceState};
use super::super::sweep::{AT_ONCE, AwsResource, ClusterResources, Kind, Left, Why};
use super::make::states;
use super::read::{of_cluster, tags};
use super::tell::{Backoff, StageReporter};
use super::{Cloud, undone};
use crate::event::{Events, in_words};
use crate::inventory::ClusterName;

/// The longest that instances may take to be terminated.
const GONE: Duration = Duration::from_secs(900);
/// How long removal is retried without progress: AWS releases interfaces and addresses some time
/// after their instance has ended.
const NO_PROGRESS: Duration = Duration::from_secs(60);

impl Cloud {
    /// All existing resources with the cluster's tag, and foreign resources in its network.
    ///
    /// # Errors
    /// When AWS does not answer, or refuses.
    pub async fn remains(
        &self,
        cluster: &ClusterName,
    ) -> Result<ClusterResources, AwsError> {
        let tagged = || of_cluster(cluster);
        let (instances, volumes, groups, subnets, gateways, vpcs, keys) = tokio::try_join!(
            self.instances(vec![tagged()]),
            self.volumes(cluster),
            self.security_groups_that(tagged(), cluster),
            self.subnets_that(tagged()),
            self.gateways_of(cluster),
            self.vpcs_that(tagged()),
            self.key_pairs_that(tagged()),
        )?;
        let groups = groups.into_iter().map(|group| {
            AwsResource::new(Kind::SecurityGroup, group.id, group.name, [group.vpc])
        });
        let groups: Vec<AwsResource> = groups.collect();
        let (interfaces, strangers) =
            self.in_networks(cluster, &vpcs, &groups, &instances).await?;
        let expires = keys.iter().filter_map(|key| noted_end(&key.tags)).min();
        let alive = instances.iter().filter(|found| found.state.is_alive());
        let things = alive.map(of_instance).chain(interfaces).chain(volumes);
        let things = things.chain(groups);
        let things = things.chain(subnets.into_iter().map(|subnet| {
            let name = format!("{cluster}-{}", subnet.zone);
            AwsResource::new(Kind::Subnet, subnet.id, name, [subnet.vpc])
        }));
        let things = things.chain(gateways.into_iter().map(|(id, vpc)| {
            AwsResource::new(Kind::Gateway, id, cluster.to_string(), vpc)
        }));
        let vpcs = vpcs.into_iter();
        let things = things
            .chain(vpcs.map(|vpc| AwsResource::new(Kind::Vpc, vpc.id, vpc.cidr, [])));
        let keys = keys.into_iter();
        let things = things
            .chain(keys.map(|key| AwsResource::new(Kind::KeyPair, key.id, key.name, [])));
        Ok(ClusterResources { things: things.collect(), strangers, expires })
    }

    /// Removes what can be removed, in order, repeatedly until there is no more progress; returns
    /// what is left after a new query, each with the reason. If repeated, it finds less or
    /// nothing.
    ///
    /// # Errors
    /// When AWS does not answer, or refuses the query.
    pub async fn remove(
        &self,
        cluster: &ClusterName,
        remains: &ClusterResources,
        stage: &str,
        events: &Events,
    ) -> Result<Vec<Left>, AwsError> {
        let (go, stay) = remains.sort();
        let (instances, rest): (Vec<AwsResource>, Vec<AwsResource>) =
            go.into_iter().partition(|thing| thing.kind == Kind::Instance);
        let teller = StageReporter { stage, events };
        let mut why: BTreeMap<String, Why> =
            stay.into_iter().map(|left| (left.thing.id, left.why)).collect();
        if let Err(error) = self.end(&instances, &teller).await {
            let reason = Why::Said(in_words(&error));
            why.extend(instances.iter().map(|thing| (thing.id.clone(), reason.clone())));
        } else {
            self.until_gone(cluster, &instances, &teller).await?;
        }
        why.extend(self.remove_all(rest, &teller).await);
        let left = self.remains(cluster).await?;
        let stays = left.sort().1.into_iter().map(|left| (left.thing.id, left.why));
        let stays: BTreeMap<String, Why> = stays.collect();
        let left = left.things.into_iter().map(|thing| {
            let known = stays.get(&thing.id).or(why.get(&thing.id)).cloned();
            let came = || Why::Said("it was created during the removal".to_owned());
            let why = known.unwrap_or_else(came);
            Left { thing, why }
        });
        Ok(left.collect())
    }

    /// Terminates instances, including those with termination protection: the operator has named
    /// the cluster.
    async fn end(
        &self,
        instances: &[AwsResource],
        teller: &StageReporter<'_>,
    ) -> Result<(), AwsError> {
        for some in instances.chunks(AT_ONCE) {
            let ids: Vec<String> = some.iter().map(|thing| thing.id.clone()).collect();
            let work = async {
                match self.terminate(&ids).await {
                    Err(error) if error.code() == Some("OperationNotPermitted") => {
                        join_all(ids.iter().map(|id| self.unprotect(id)))
                            .await
                            .into_iter()
                            .collect::<Result<(), AwsError>>()?;
                        self.terminate(&ids).await
                    }
                    ended => ended,
                }
            };
            let names: Vec<String> = some.iter().map(AwsResource::to_string).collect();
            teller.step(None, &format!("terminate {}", names.join(", ")), work).await?;
        }
        Ok(())
    }

    async fn terminate(&self, ids: &[String]) -> Result<(), AwsError> {
        let call = self.client.terminate_instances().set_instance_ids(Some(ids.to_vec()));
        call.send().await.map(drop).map_err(undone("TerminateInstances"))
    }

    async fn unprotect(&self, id: &str) -> Result<(), AwsError> {
        let off = AttributeBooleanValue::builder().value(false).build();
        let call = self.client.modify_instance_attribute().instance_id(id);
        let done = call.disable_api_termination(off).send().await;
        done.map(drop).map_err(undone("ModifyInstanceAttribute"))
    }

    async fn until_gone(
        &self,
        cluster: &ClusterName,
        instances: &[AwsResource],
        teller: &StageReporter<'_>,
    ) -> Result<(), AwsError> {
        if instances.is_empty() {
            return Ok(());
        }
        let look = async || {
            let mut known = self.instances(vec![of_cluster(cluster)]).await?;
            known.retain(|found| instances.iter().any(|thing| thing.id == found.id));
            let seen = states(&known, known.len());
            let ended = |found: &Instance| found.state == InstanceState::Terminated;
            Ok(match known.iter().all(ended) {
                true => ControlFlow::Break(((), seen)),
                false => ControlFlow::Continue(seen),
            })
        };
        teller.until("all instances are terminated", GONE, look).await
    }

    /// Removes resources, kind after kind; one that is still in use is tried again while there is
    /// progress. Returns those that are left, with the reason.
    async fn remove_all(
        &self,
        mut things: Vec<AwsResource>,
        teller: &StageReporter<'_>,
    ) -> BTreeMap<String, Why> {
        let (mut pauses, mut progress) = (Backoff::new(), Instant::now());
        loop {
            let (mut left, mut why) = (Vec::new(), BTreeMap::new());
            let before = things.len();
            for kind in things.chunk_by(|a, b| a.kind == b.kind) {
                // A kind that depends on others is not begun while those exist.
                let first_tries = kind.iter().map(|thing| self.remove_one(thing, teller));
                let ended = join_all(first_tries).await;
                for (thing, error) in kind.iter().zip(ended) {
                    if let Err(error) = error {
                        why.insert(thing.id.clone(), Why::Said(in_words(&error)));
                        left.push((thing.clone(), error.is_dependency()));
                    }
                }
            }
            if left.len() < before {
                progress = Instant::now();
            }
            let again = left.iter().any(|(_, dependency)| *dependency);
            if !again || progress.elapsed() > NO_PROGRESS {
                return why;
            }
            things = left.into_iter().map(|(thing, _)| thing).collect();
            sleep(pauses.next()).await;
        }
    }

    async fn remove_one(
        &self,
        thing: &AwsResource,
        teller: &StageReporter<'_>,
    ) -> Result<(), AwsError> {
        teller.step(None, &format!("remove {thing}"), self.delete(thing)).await
    }

    async fn delete(&self, thing: &AwsResource) -> Result<(), AwsError> {
        let (client, id) = (&self.client, thing.id.as_str());
        let done = match thing.kind {
            Kind::Instance => self.terminate(&[id.to_owned()]).await,
            Kind::Interface => {
                let done =
                    client.delete_network_interface().network_interface_id(id).send();
                done.await.map(drop).map_err(undone("DeleteNetworkInterface"))
            }
            Kind::Volume => {
                let done = client.delete_volume().volume_id(id).send().await;
                done.map(drop).map_err(undone("DeleteVolume"))
            }
            Kind::SecurityGroup => {
                let done = client.delete_security_group().group_id(id).send().await;
                done.map(drop).map_err(undone("DeleteSecurityGroup"))
            }
            Kind::Subnet => {
                let done = client.delete_subnet().subnet_id(id).send().await;
                done.map(drop).map_err(undone("DeleteSubnet"))
            }
            Kind::Gateway => self.delete_gateway(thing).await,
            Kind::Vpc => self.delete_vpc(id).await,
            Kind::KeyPair => {
                let done = client.delete_key_pair().key_name(&thing.name).send().await;
                done.map(drop).map_err(undone("DeleteKeyPair"))
            }
        };
        match done {
            Err(error) if error.is_gone() => Ok(()),
            done => done,
        }
    }

    async fn delete_gateway(&self, thing: &AwsResource) -> Result<(), AwsError> {
        for vpc in &thing.within {
            let call =
                self.client.detach_internet_gateway().internet_gateway_id(&thing.id);
            let done = call.vpc_id(vpc).send().await;
            let done = done.map(drop).map_err(undone("DetachInternetGateway"));
            match done {
                Err(error) if error.code() == Some("Gateway.NotAttached") => {}
                done => done?,
            }
        }
        let call = self.client.delete_internet_gateway().internet_gateway_id(&thing.id);
        call.send().await.map(drop).map_err(undone("DeleteInternetGateway"))
    }

    pub(super) async fn delete_vpc(&self, id: &str) -> Result<(), AwsError> {
        let done = self.client.delete_vpc().vpc_id(id).send().await;
        done.map(drop).map_err(undone("DeleteVpc"))
    }

    async fn volumes(&self, cluster: &ClusterName) -> Result<Vec<AwsResource>, AwsError> {
        let ask = self.client.describe_volumes().filters(of_cluster(cluster));
        let mut pages = ask.into_paginator().items().send();
        let mut things = Vec::new();
        while let Some(found) = pages.next().await {
            let found = found.map_err(self.unseen("DescribeVolumes"))?;
            // An attached disk is removed with its instance.
            if found.state() == Some(&sdk::VolumeState::Available) {
                let tags = tags(found.tags());
                things
                    .extend(found.volume_id.map(|id| thing(Kind::Volume, id, &tags, [])));
            }
        }
        Ok(things)
    }
}

fn thing(
    kind: Kind,
    id: String,
    tags: &BTreeMap<String, String>,
    within: impl IntoIterator<Item = String>,
) -> AwsResource {
    AwsResource::new(kind, id, tags.get("Name").cloned().unwrap_or_default(), within)
}

fn of_instance(found: &Instance) -> AwsResource {
    let name = found.tags.get("Name").cloned().unwrap_or_default();
    let name = format!("{name}, {}", found.state);
    AwsResource::new(Kind::Instance, found.id.clone(), name, [])
}
