//! A connection that is made anew: when it is asked to, as after a reboot on purpose, and for a
//! look at a service of the host.
//!
//! A look begins anew each time, so it is no matter over which connection. A command is never
//! sent anew by itself: a connection that ends in mid-exec is an error, and what held a lock
//! through it holds it no more.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Connector, Ssh, Target};
use crate::remote::{Exec, OnLine, Output, Remote, RemoteError, Stream};

/// A host, whose connection may be another one after [`Remote::renew`] or [`Remote::dial`].
pub struct ReconnectingSsh {
    connector: Arc<Connector>,
    target: Target,
    now: RwLock<Arc<Ssh>>,
    /// Held while a new connection is made: one is enough for all who want it.
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
        async move {
            let Exec { on_line, .. } = exec;
            // A listener of this call's own: the caller's outlives the connection.
            let mut listener = on_line.map(|on_line| move |line: &str| on_line(line));
            let on_line = listener.as_mut().map(|listener| listener as OnLine<'_>);
            ssh.exec(Exec { on_line, ..exec }).await
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
