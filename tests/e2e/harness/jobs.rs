//! Jobs of a lab's Chronos, given and looked at from outside of its machines.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use platform::api::chronos::{Chronos, Job};
use platform::api::http::{Access, ApiError, Dialer, Endpoint, Login};
use platform::component::mesos::OPERATOR;
use platform::remote::{RemoteError, Stream};
use platform::secret::Secret;
use platform::topology::CHRONOS_PORT;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::Lab;

/// The longest that an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The Chronos of a lab, asked on one host.
pub(crate) struct Jobs {
    chronos: Chronos,
    runtime: Runtime,
}

impl Jobs {
    /// Chronos on the machine at this address.
    pub(crate) fn of(lab: &Lab, address: &str) -> Self {
        let ask = Endpoint { host: address.to_owned(), port: CHRONOS_PORT };
        let file = lab.state().join("secrets/chronos-http");
        let password = fs::read_to_string(file).expect("a password was made");
        let login = Login {
            user: OPERATOR.to_owned(),
            password: Secret::new(password.trim().to_owned()),
        };
        let chronos = Chronos::new(Access {
            name: "Chronos".to_owned(),
            own: [ask.clone()].into(),
            ask,
            else_ask: Vec::new(),
            login: Some(login),
            dialer: Arc::new(Direct),
            deadline: ANSWER,
        });
        let runtime = Builder::new_current_thread().enable_all().build();
        Self { chronos, runtime: runtime.expect("a runtime") }
    }

    /// Whether it refuses a stranger.
    pub(crate) fn is_guarded(&self) -> Result<bool, ApiError> {
        self.runtime.block_on(self.chronos.is_guarded())
    }

    /// The address of the member that leads, by this one's word.
    pub(crate) fn leader(&self) -> Result<Option<String>, ApiError> {
        let leader = self.runtime.block_on(self.chronos.leader())?;
        Ok(leader.map(|leader| leader.host))
    }

    /// Gives it a job.
    pub(crate) fn put(&self, definition: &Value) {
        let put = self.runtime.block_on(self.chronos.put(definition));
        put.expect("Chronos takes the job");
    }

    /// A job by its name, when it answers and knows it.
    pub(crate) fn named(&self, name: &str) -> Option<Job> {
        let jobs = self.runtime.block_on(self.chronos.jobs()).ok()?;
        jobs.into_iter().find(|job| job.name == name)
    }
}

/// This computer is in the networks of its machines.
struct Direct;

impl Dialer for Direct {
    fn dial<'a>(
        &'a self,
        to: &'a Endpoint,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        async move {
            let place = (to.host.as_str(), to.port);
            match timeout(deadline, TcpStream::connect(place)).await {
                Ok(Ok(stream)) => Ok(Box::new(stream) as Box<dyn Stream>),
                _ => Err(RemoteError::Dial {
                    host: "here".parse().expect("a name"),
                    address: to.host.clone(),
                    port: to.port,
                }),
            }
        }
        .boxed()
    }
}
