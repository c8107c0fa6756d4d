//! A connection that can be made again: when asked, as after a reboot on purpose, and to query a
//! service of the host.
//!
//! Each query starts from the beginning, so it does not matter which connection it uses. A
//! command is never sent again automatically: a connection that ends while a command runs is an
//! error, and a lock that was held through it is lost.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Connector, Ssh, Target};
use crate::remote::{Exec, OnLine, Output, Remote, RemoteError, Stream};

/// A host whose connection may be replaced by [`Remote::renew`] or [`Remote::dial`].
pub struct ReconnectingSsh {
    connector: Arc<Connector>,
    target: Target,
    now: RwLock<Arc<Ssh>>,
    /// Held while a new connection is made: everyone who needs one shares it.
    renewing: Mutex<()>,
}

impl ReconnectingSsh {
    /// Connects to a target and logs in.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect(
        connector: Arc<Connector>,
        target: Target,
    ) -> Result<Self, RemoteError> {
        let now = RwLock::new(Arc::new(connector.connect(target.clone()).await?));
        Ok(Self { connector, target, now, renewing: Mutex::new(()) })
    }

    fn now(&self) -> Arc<Ssh> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Remote for ReconnectingSsh {
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>> {
        let ssh = self.now();
        async move { over(&ssh, exec).await }.boxed()
    }

    fn exec_anew<'a>(
        &'a self,
        exec: Exec<'a>,
    ) -> BoxFuture<'a, Result<Output, RemoteError>> {
        async move {
            let ssh = self.connector.connect(self.target.clone()).await?;
            over(&ssh, exec).await
        }
        .boxed()
    }

    fn dial<'a>(
        &'a self,
        address: &'a str,
        port: u16,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        async move {
            let end = Instant::now() + deadline;
            if self.now().is_closed() {
                let host = self.target.host.clone();
                let during = "a new connection".to_owned();
                let late = |_| RemoteError::TimedOut { host, during, deadline };
                timeout(deadline, self.renew()).await.map_err(late)??;
            }
            let left = end.saturating_duration_since(Instant::now());
            self.now().dial(address, port, left).await
        }
        .boxed()
    }

    fn has_room(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        let ssh = self.now();
        async move { ssh.has_room().await }.boxed()
    }

    fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        async move {
            let _turn = self.renewing.lock().await;
            if !self.now().is_closed() {
                return Ok(());
            }
            let new = Arc::new(self.connector.connect(self.target.clone()).await?);
            *self.now.write().unwrap_or_else(PoisonError::into_inner) = new;
            Ok(())
        }
        .boxed()
    }
}

/// Runs a command over a connection that the caller's listener outlives: the connection gets a
/// listener for this call only.
async fn over(ssh: &Ssh, exec: Exec<'_>) -> Result<Output, RemoteError> {
    let Exec { on_line, .. } = exec;
    let mut listener = on_line.map(|on_line| move |line: &str| on_line(line));
    let on_line = listener.as_mut().map(|listener| listener as OnLine<'_>);
    ssh.exec(Exec { on_line, ..exec }).await
}
