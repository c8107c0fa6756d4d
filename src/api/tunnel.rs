//! A port on this computer that leads to an address inside a host's network.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::remote::{Remote, RemoteError};

const DIAL: Duration = Duration::from_secs(15);
/// More than the clients of one tunnel have at once. Each keeps connections that it does not use,
/// for a minute and longer: where those took all places, the next request waited out its deadline.
/// An SSH server does not count them: its `MaxSessions` limits commands only.
const MAX_CONNECTIONS: usize = 32;
const BUFFER_BYTES: usize = 64 << 10;

/// A loopback port whose connections end at a host's address. When it is dropped, it and all
/// connections through it are closed.
///
/// Other users of this computer can reach the port too: the service behind it must itself ask for
/// a password, and prove its identity by TLS.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    serving: JoinHandle<()>,
    failure: Failure,
}

type Failure = Arc<Mutex<Option<RemoteError>>>;

/// A client for HTTPS through a tunnel: it trusts only this authority, and uses no proxy.
///
/// # Errors
/// When the certificate cannot be read.
pub(super) fn https(ca_pem: &str) -> reqwest::Result<reqwest::ClientBuilder> {
    let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes())?;
    Ok(reqwest::Client::builder().no_proxy().tls_certs_only([ca]))
}

impl Tunnel {
    /// Opens a port on 127.0.0.1, chosen by the system. Connections to it are opened from the
    /// host to `address` and `port`, up to 32 at a time; others wait.
    ///
    /// # Errors
    /// When this computer has no free port. Whether anything listens at the other end is known
    /// only after a connection attempt: see [`failure`](Self::failure).
    pub async fn open(
        remote: Arc<dyn Remote>,
        address: String,
        port: u16,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let here = listener.local_addr()?;
        let failure = Failure::default();
        let target = Target { remote, address, port, failure: Arc::clone(&failure) };
        let serving = tokio::spawn(serve(listener, Arc::new(target)));
        Ok(Self { address: here, serving, failure })
    }

    /// The address to connect to on this computer.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Why the last failed connection failed; each failure is reported once. The client only sees
    /// that the connection ends.
    pub fn failure(&self) -> Option<RemoteError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Target {
    remote: Arc<dyn Remote>,
    address: String,
    port: u16,
    failure: Failure,
}

/// Runs until it is aborted; its connections end with it.
async fn serve(listener: TcpListener, target: Arc<Target>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((socket, _)) = listener.accept().await else { return };
        let target = Arc::clone(&target);
        connections.spawn(async move {
            forward(socket, &target).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut socket: TcpStream, target: &Target) {
    match target.remote.dial(&target.address, target.port, DIAL).await {
        Ok(mut stream) => {
            // Either end may close at any time; the protocols of both sides notice.
            let _ = socket.set_nodelay(true);
            let size = BUFFER_BYTES;
            let _ =
                copy_bidirectional_with_sizes(&mut socket, &mut stream, size, size).await;
        }
        Err(error) => {
            let failure = &target.failure;
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}
