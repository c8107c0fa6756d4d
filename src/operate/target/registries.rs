//! The registries at the edge of a cluster, as its users reach them.

use std::path::Path;

use super::super::RunContext;
use super::super::cluster_files::ClusterFiles;
use super::super::error::{Error, ExitKind};
use super::super::machines;
use super::{
    CA_FILE, Environment, Origin, TargetError, URL, login, origin, read, service,
};
use crate::api::http::{Endpoint, Login};
use crate::api::registry::{Access, Registry, RegistryError};
use crate::component::registry;
use crate::host::HostName;
use crate::inventory::component::REGISTRY_PORT;
use crate::topology::Topology;

/// The registries of a cluster's edge, and how to log in there.
pub(in crate::operate) struct EdgeRegistries {
    /// Where everyone finds one of them.
    pub(in crate::operate) front: Endpoint,
    /// That of each edge host; nothing if only the URL of the edge is known.
    pub(in crate::operate) hosts: Vec<(HostName, Endpoint)>,
    /// Who logs in.
    pub(in crate::operate) login: Login,
    /// The cluster's authority, in PEM.
    ca_pem: String,
}

/// Why the registry at the edge does not do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum EdgeRegistryError {
    /// The login that the environment gives is refused.
    #[error(
        "the registry rejects the password of `{0}`: check PLATFORM_USER, PLATFORM_PASSWORD and \
         PLATFORM_PASSWORD_FILE"
    )]
    WrongLogin(String),
    /// It says so itself, or cannot be reached.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl EdgeRegistryError {
    /// The kind of this failure.
    pub(in crate::operate) fn kind(&self) -> ExitKind {
        match self {
            Self::Registry(RegistryError::Unreachable { .. }) => ExitKind::Unreachable,
            Self::Registry(RegistryError::TimedOut { .. }) => ExitKind::TimedOut,
            _ => ExitKind::Failed,
        }
    }
}

impl EdgeRegistries {
    /// Finds out where the registries are; sends them nothing yet.
    ///
    /// # Errors
    /// Those of [`open`](super::open).
    pub(in crate::operate) async fn find(
        inventory: Option<&Path>,
        ctx: &RunContext<'_>,
    ) -> Result<Self, Error> {
        match origin(inventory, ctx.env)? {
            Origin::Inventory(inventory) => Self::of_cluster(&inventory, ctx).await,
            Origin::Environment => Ok(Self::of_environment(ctx.env)?),
        }
    }

    async fn of_cluster(path: &Path, ctx: &RunContext<'_>) -> Result<Self, Error> {
        let files = ClusterFiles::open(path)?;
        let password = files.state.kept_secret(registry::SECRET)?;
        let password = password.ok_or_else(|| TargetError::NotUp(path.to_owned()))?;
        let authorities = files.state.certificates()?.authorities;
        let machines = machines::running(&files, ctx).await?;
        let topology = Topology::new(&files.inventory, &machines)?;
        let endpoint =
            |address: &dyn ToString| Endpoint::new(&address.to_string(), REGISTRY_PORT);
        let hosts = topology.registries();
        let hosts: Vec<(HostName, Endpoint)> =
            hosts.map(|node| (node.host.clone(), endpoint(&node.address))).collect();
        let first = hosts.first().ok_or_else(|| Error::NoMachine(path.to_owned()))?;
        Ok(Self {
            front: topology.vip.map_or_else(|| first.1.clone(), |vip| endpoint(&vip)),
            ca_pem: authorities.iter().map(|(_, authority)| authority.pem()).collect(),
            login: Login { user: registry::ACCOUNT.to_owned(), password },
            hosts,
        })
    }

    fn of_environment(env: Environment<'_>) -> Result<Self, TargetError> {
        let service = service(URL, env)?
            .ok_or(TargetError::NoUrl { variable: URL, service: "the edge" })?;
        if !service.tls {
            let why = "the registry is reached over TLS alone".to_owned();
            return Err(TargetError::Url { variable: URL, why });
        }
        let ca_file = (env)(CA_FILE).ok_or(TargetError::Login(
            "PLATFORM_CA_FILE is not set: the registry shows a certificate of the cluster's own \
             authority, which is .platform/CLUSTER/ca/ca.crt beside the inventory",
        ))?;
        Ok(Self {
            front: Endpoint { host: service.at.host, port: REGISTRY_PORT },
            hosts: Vec::new(),
            ca_pem: read(CA_FILE, Path::new(&ca_file))?,
            login: login(env)?.ok_or(TargetError::Login(
                "the registry asks for a login: set PLATFORM_USER, and PLATFORM_PASSWORD or \
                 PLATFORM_PASSWORD_FILE",
            ))?,
        })
    }

    /// The registry that everyone uses.
    ///
    /// # Errors
    /// When the authority's certificate cannot be used.
    pub(in crate::operate) async fn open_front(
        &self,
    ) -> Result<Registry, EdgeRegistryError> {
        self.open(&self.front, &format!("the registry at {}", self.front)).await
    }

    /// One of the registries, with its name in messages.
    ///
    /// # Errors
    /// When the authority's certificate cannot be used.
    pub(in crate::operate) async fn open(
        &self,
        at: &Endpoint,
        name: &str,
    ) -> Result<Registry, EdgeRegistryError> {
        let access = Access {
            name,
            address: &at.to_string(),
            ca_pem: &self.ca_pem,
            user: &self.login.user,
            password: &self.login.password,
        };
        Ok(Registry::new(access).await?)
    }

    /// An error with what helps: who gave a wrong login.
    pub(in crate::operate) fn told(&self, error: RegistryError) -> EdgeRegistryError {
        match error {
            RegistryError::WrongPassword { .. } if self.hosts.is_empty() => {
                EdgeRegistryError::WrongLogin(self.login.user.clone())
            }
            error => error.into(),
        }
    }
}
