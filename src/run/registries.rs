//! Copies images: to registries through a tunnel, to hosts as an archive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::Fleet;
use super::apply::{Bytes, ImageTransport, TransportError};
use crate::api::registry::{Access, OnBytes, Registry, RegistryError};
use crate::api::tunnel::Tunnel;
use crate::event::{Event, Events};
use crate::host::HostName;
use crate::images::load;
use crate::images::resolved::ResolvedImages;
use crate::inventory::Component;
use crate::inventory::component::REGISTRY_PORT;
use crate::plan::{MemberHealth, Push};
use crate::remote::RemoteError;
use crate::resource::Image;
use crate::secret::Secret;
use crate::topology::{Node, Topology};

/// The longest that a registry may take from its start until it listens.
const START: Duration = Duration::from_secs(30);
/// The pause between two checks whether it listens.
const PAUSE: Duration = Duration::from_millis(250);

/// The cluster's registries, each reached through its own host.
pub(crate) struct Registries<'a> {
    fleet: &'a Fleet,
    topology: &'a Topology,
    images: &'a ResolvedImages,
    login: RegistryLogin<'a>,
    /// Held while an image that several components share is sent: the others then have it.
    twins: Mutex<()>,
}

/// A login to the cluster's registries.
#[derive(Clone, Copy)]
pub(crate) struct RegistryLogin<'a> {
    /// The certificate of the cluster's own authority, in PEM.
    pub(crate) ca: &'a str,
    /// The account.
    pub(crate) user: &'a str,
    /// Its password.
    pub(crate) password: &'a Secret,
}

/// Why a registry could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoRegistry {
    #[error("there is no connection to {0}")]
    NoConnection(crate::host::HostName),
    #[error("cannot open a port on this computer for the tunnel to the registry")]
    Tunnel(#[source] std::io::Error),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("nothing answers on port {REGISTRY_PORT}")]
    Silent(#[source] RemoteError),
    /// The connection to it failed, or is blocked.
    #[error(transparent)]
    Remote(RemoteError),
    #[error("the catalogue has no image for {0}")]
    NoImage(Component),
}

impl NoRegistry {
    /// Whether waiting is useless: the host's SSH server forbids the connection to the registry.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Remote(RemoteError::Forwarding { .. }))
    }
}

impl<'a> Registries<'a> {
    pub(crate) fn new(
        fleet: &'a Fleet,
        topology: &'a Topology,
        images: &'a ResolvedImages,
        login: RegistryLogin<'a>,
    ) -> Self {
        Self { fleet, topology, images, login, twins: Mutex::default() }
    }

    /// Whether a host's registry has a component's image.
    pub(crate) async fn has(
        &self,
        node: &Node,
        component: Component,
    ) -> Result<bool, NoRegistry> {
        let image = self.image(component)?.1;
        let (tunnel, registry) = self.open(node).await?;
        let there = registry.has(component.as_str(), &image.digest).await;
        told(there, &tunnel)
    }

    /// Whether a host's registry serves.
    pub(crate) async fn check(&self, host: &HostName) -> Result<(), NoRegistry> {
        let node = self.topology.node(host);
        let node = node.ok_or_else(|| NoRegistry::NoConnection(host.clone()))?;
        self.login.check(self.fleet, node).await
    }

    /// The health of all of them.
    pub(crate) async fn health(&self) -> BTreeMap<HostName, MemberHealth> {
        let asked = self.topology.registries().map(|node| async move {
            let health = match self.check(&node.host).await {
                Ok(()) => MemberHealth::Serves,
                Err(_) => MemberHealth::Down,
            };
            (node.host.clone(), health)
        });
        join_all(asked).await.into_iter().collect()
    }

    async fn push(&self, push: &Push, events: &Events) -> Result<(), NoRegistry> {
        let node = self
            .topology
            .node(&push.to)
            .ok_or(NoRegistry::NoConnection(push.to.clone()))?;
        let (version, image) = self.image(push.component)?;
        let twins = self.twins_of(push.component)?;
        let _turn = match twins.is_empty() {
            true => None,
            false => Some(self.twins.lock().await),
        };
        self.until_it_listens(node).await?;
        let (tunnel, registry) = self.open(node).await?;
        let (what, to) = (format!("push {} {version}", push.component), events.clone());
        let on_bytes: OnBytes = Arc::new(move |done, total| {
            to.emit(&Event::Progress { what: what.clone(), done, total });
        });
        let pushed = async {
            for twin in twins.iter().map(|twin| twin.as_str()) {
                if registry.has(twin, &image.digest).await? {
                    registry.mount(image, twin, push.component.as_str()).await?;
                }
            }
            registry.push(image, push.component.as_str(), version, on_bytes).await
        };
        told(pushed.await.map(drop), &tunnel)
    }

    /// The other components that have the same image, such as Mesos' masters and agents.
    fn twins_of(&self, component: Component) -> Result<Vec<Component>, NoRegistry> {
        let digest = &self.image(component)?.1.digest;
        let has_it = |other: &Component| {
            let image = self.images.get(*other);
            *other != component && image.is_some_and(|(_, image)| image.digest == *digest)
        };
        Ok(Component::with_images().filter(has_it).collect())
    }

    /// Waits for a registry that an earlier run started just before it was interrupted: its unit
    /// runs, and nothing had to be changed, so nothing else has waited for it.
    async fn until_it_listens(&self, node: &Node) -> Result<(), NoRegistry> {
        let begun = Instant::now();
        loop {
            match self.check(&node.host).await {
                Err(NoRegistry::Silent(_)) if begun.elapsed() < START => {
                    sleep(PAUSE).await;
                }
                checked => return checked,
            }
        }
    }

    fn image(
        &self,
        component: Component,
    ) -> Result<(&str, &crate::images::Image), NoRegistry> {
        self.images.get(component).ok_or(NoRegistry::NoImage(component))
    }

    async fn open(&self, node: &Node) -> Result<(Tunnel, Registry), NoRegistry> {
        self.login.open(self.fleet, node).await
    }
}

impl RegistryLogin<'_> {
    /// Whether a host's registry serves: it refuses requests without a password, and accepts this
    /// one.
    pub(crate) async fn check(
        &self,
        fleet: &Fleet,
        node: &Node,
    ) -> Result<(), NoRegistry> {
        let (tunnel, registry) = self.open(fleet, node).await?;
        told(registry.check().await, &tunnel)
    }

    /// Whether the user may push to a host's registry, which also is checked.
    pub(crate) async fn may_push(
        &self,
        fleet: &Fleet,
        node: &Node,
    ) -> Result<bool, NoRegistry> {
        let (tunnel, registry) = self.open(fleet, node).await?;
        let asked = async {
            registry.check().await?;
            registry.may_push().await
        };
        told(asked.await, &tunnel)
    }

    async fn open(
        &self,
        fleet: &Fleet,
        node: &Node,
    ) -> Result<(Tunnel, Registry), NoRegistry> {
        let remote = fleet
            .get(&node.host)
            .ok_or_else(|| NoRegistry::NoConnection(node.host.clone()))?;
        let tunnel =
            Tunnel::open(remote.clone(), node.address.to_string(), REGISTRY_PORT)
                .await
                .map_err(NoRegistry::Tunnel)?;
        let access = Access {
            name: &format!("the registry on {}", node.host),
            address: &tunnel.address().to_string(),
            ca_pem: self.ca,
            user: self.user,
            password: self.password,
        };
        let registry = Registry::new(access).await?;
        Ok((tunnel, registry))
    }
}

/// The error at the far end of a tunnel is more useful than the fact that the near end was
/// closed.
fn told<T>(answer: Result<T, RegistryError>, tunnel: &Tunnel) -> Result<T, NoRegistry> {
    answer.map_err(|error| match tunnel.failure() {
        Some(failure @ RemoteError::Dial { .. }) => NoRegistry::Silent(failure),
        Some(failure) => NoRegistry::Remote(failure),
        None => error.into(),
    })
}

/// Transfers the images of one run.
pub(crate) struct RegistryTransport<'a> {
    pub(crate) registries: Registries<'a>,
    pub(crate) events: &'a Events,
}

impl ImageTransport for RegistryTransport<'_> {
    fn archive<'a>(
        &'a self,
        image: &'a Image,
    ) -> BoxFuture<'a, Result<Bytes, TransportError>> {
        let found = self.registries.images.by_id(&image.id);
        async move {
            let (component, image) =
                found.ok_or_else(|| format!("there is no image {}", image.id))?;
            Ok(load::pack(component.as_str(), image).bytes)
        }
        .boxed()
    }

    fn push<'a>(&'a self, push: &'a Push) -> BoxFuture<'a, Result<(), TransportError>> {
        async move { Ok(self.registries.push(push, self.events).await?) }.boxed()
    }
}
