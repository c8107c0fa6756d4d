//! Connections that this computer opens itself, with TLS or without.
//!
//! Proxies of the environment are not used.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::http::{DialError, Dialer, Endpoint};
use crate::remote::Stream;

/// Opens connections from this computer.
pub(crate) struct Direct(Option<Tls>);

/// How the other side proves who it is.
struct Tls {
    config: Arc<ClientConfig>,
    /// The name in its certificate; `None` if that is its address.
    name: Option<ServerName<'static>>,
}

/// Who may vouch for a certificate.
pub(crate) enum Trust<'a> {
    /// The authorities that this computer trusts.
    System,
    /// Only those of this text, in PEM.
    Only(&'a str),
}

/// These authorities cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum NoTrust {
    /// There is no certificate in the text.
    #[error("it has no certificate: a PEM file with `BEGIN CERTIFICATE` is needed")]
    Empty,
    /// A certificate cannot be read.
    #[error("a certificate in it is damaged")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// The list of this computer cannot be used.
    #[error("the authorities of this computer cannot be used")]
    System(#[source] Box<dyn Error + Send + Sync>),
}

impl Direct {
    /// Without TLS.
    pub(crate) const fn plain() -> Self {
        Self(None)
    }

    /// Whether it is without TLS.
    pub(crate) const fn is_plain(&self) -> bool {
        self.0.is_none()
    }

    /// With TLS. The certificate has to be for `name`, which the other side is asked for; without
    /// a name, for the address that is dialled.
    ///
    /// # Errors
    /// When the authorities cannot be used.
    pub(crate) fn tls(
        trust: &Trust<'_>,
        name: Option<ServerName<'static>>,
    ) -> Result<Self, NoTrust> {
        let system = |error: rustls::Error| NoTrust::System(error.into());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(system)?;
        let builder = match trust {
            Trust::System => builder.with_platform_verifier().map_err(system)?,
            Trust::Only(pem) => builder.with_root_certificates(roots(pem)?),
        };
        let config = Arc::new(builder.with_no_client_auth());
        Ok(Self(Some(Tls { config, name })))
    }
}

fn roots(pem: &str) -> Result<RootCertStore, NoTrust> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate =
            certificate.map_err(|error| NoTrust::Damaged(error.to_string().into()))?;
        roots.add(certificate).map_err(|error| NoTrust::Damaged(error.into()))?;
    }
    if roots.is_empty() { Err(NoTrust::Empty) } else { Ok(roots) }
}

impl Dialer for Direct {
    fn dial<'a>(
        &'a self,
        to: &'a Endpoint,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, DialError>> {
        let late = move |_| {
            let why = format!("no connection within {}s", deadline.as_secs_f32());
            DialError::Unreachable(why.into())
        };
        async move { timeout(deadline, self.connect(to)).await.map_err(late)? }.boxed()
    }
}

impl Direct {
    async fn connect(&self, to: &Endpoint) -> Result<Box<dyn Stream>, DialError> {
        let unreachable = |error: io::Error| DialError::Unreachable(error.into());
        let stream = TcpStream::connect((to.host.as_str(), to.port)).await;
        let stream = stream.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let Some(Tls { config, name }) = &self.0 else { return Ok(Box::new(stream)) };
        let name = match name {
            Some(name) => name.clone(),
            None => ServerName::try_from(to.host.clone())
                .map_err(|error| DialError::Unreachable(error.into()))?,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let secured = connector.connect(name, stream).await;
        Ok(Box::new(secured.map_err(refused)?))
    }
}

/// Whether TLS failed because of the certificate.
fn refused(error: io::Error) -> DialError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => DialError::Untrusted(error.into()),
        _ => DialError::Unreachable(format!("TLS is not possible there: {error}").into()),
    }
}
