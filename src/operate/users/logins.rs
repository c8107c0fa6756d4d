//! Asks the edge hosts whether they let a login in.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::Duration;

use futures::future::join_all;

use super::super::RunContext;
use super::super::proof::{NotProved, step};
use crate::api::registry::RegistryError;
use crate::component::Stage;
use crate::event::{Event, in_words};
use crate::host::HostName;
use crate::inventory::{Account, Component};
use crate::progress::{StageReport, poll};
use crate::run::health::services::Services;
use crate::run::registries::{NoRegistry, RegistryLogin};
use crate::secret::Secret;
use crate::topology::{Member, Node};

/// The longest from a reload until only the new logins are let in.
const DEADLINE: Duration = Duration::from_secs(30);
/// The pause between two logins.
const PAUSE: Duration = Duration::from_millis(500);

/// A login, and what it has to be allowed.
pub(super) struct Expected {
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) right: Right,
}

/// What a login is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Nothing.
    Nothing,
    /// Everything, but at a registry only to pull.
    Pull,
    /// Everything.
    Push,
}

impl Right {
    /// What the user of this account is allowed.
    pub(super) fn of(account: &Account) -> Self {
        if account.push { Self::Push } else { Self::Pull }
    }
}

/// The edge hosts, which can be asked.
pub(super) struct Logins<'a> {
    pub(super) services: Services<'a>,
    /// The certificate of the cluster's own authority, in PEM.
    pub(super) ca: &'a str,
}

impl Logins<'_> {
    /// The edge hosts.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.services.topology.registries().map(|node| &node.host)
    }

    /// Waits until each edge host lets these logins in, or does not.
    ///
    /// # Errors
    /// When a host does otherwise for too long.
    pub(super) async fn prove(
        &self,
        expected: Vec<Expected>,
        ctx: &RunContext<'_>,
    ) -> Result<(), NotProved> {
        let hosts = self.hosts().cloned().collect();
        let stage = StageReport::begin(&ctx.events, Stage::Verify, hosts, expected.len());
        let mut proved = Ok(());
        for expected in &expected {
            let name = match expected.right {
                Right::Push => format!("log in as {}", expected.user),
                Right::Pull => {
                    format!("log in as {}, and not be allowed to push", expected.user)
                }
                Right::Nothing => {
                    format!("be refused with the old login of {}", expected.user)
                }
            };
            let nodes = self.services.topology.registries();
            let all = join_all(nodes.map(|node| self.until(node, expected, ctx)));
            let done = async { all.await.into_iter().collect::<Result<(), String>>() };
            proved = proved.and(step(ctx, &name, done).await);
        }
        stage.end(proved.is_ok());
        proved
    }

    /// Waits until a host does with a login what it should.
    async fn until(
        &self,
        node: &Node,
        Expected { user, password, right }: &Expected,
        ctx: &RunContext<'_>,
    ) -> Result<(), String> {
        let gate = match right {
            Right::Push => format!("{} lets {user} in", node.host),
            Right::Pull => format!("{} lets {user} in, and not push", node.host),
            Right::Nothing => format!("{} refuses the old login of {user}", node.host),
        };
        let on_seen = |seen: &str| {
            let (gate, seen) = (gate.clone(), seen.to_owned());
            ctx.events.emit(&Event::Waiting { gate, seen });
        };
        let look = async || -> Result<_, Infallible> {
            let answer = self.answer(node, (user, password)).await;
            Ok(match answer {
                Ok(answer) if answer.is(*right) => ControlFlow::Break(()),
                Ok(answer) => ControlFlow::Continue(answer.to_string()),
                Err(why) => ControlFlow::Continue(why),
            })
        };
        let Ok(found) = poll(DEADLINE, || PAUSE, on_seen, look).await;
        found.map_err(|seen| format!("{}: {seen}", node.host))
    }

    /// Asks what serves users on a host.
    ///
    /// # Errors
    /// When something there does not answer.
    pub(super) async fn answer(
        &self,
        node: &Node,
        login: (&str, &Secret),
    ) -> Result<Answer, String> {
        let proxies = self.services.topology.members_of(Component::Haproxy);
        let proxy = proxies.iter().find(|member| member.host == node.host);
        let (proxy, registry) =
            tokio::join!(self.proxy(proxy, login), self.registry(node, login));
        Ok(Answer { proxy: proxy?, registry: registry? })
    }

    /// Whether HAProxy lets a login in; `None` if there is no HAProxy.
    async fn proxy(
        &self,
        member: Option<&Member>,
        login: (&str, &Secret),
    ) -> Result<Option<bool>, String> {
        match member {
            None => Ok(None),
            Some(member) => self.services.lets_in(member, login).await.map(Some),
        }
    }

    async fn registry(
        &self,
        node: &Node,
        (user, password): (&str, &Secret),
    ) -> Result<Right, String> {
        let login = RegistryLogin { ca: self.ca, user, password };
        match login.may_push(self.services.fleet, node).await {
            Ok(true) => Ok(Right::Push),
            Ok(false) => Ok(Right::Pull),
            Err(NoRegistry::Registry(RegistryError::WrongPassword { .. })) => {
                Ok(Right::Nothing)
            }
            Err(error) => Err(in_words(&error)),
        }
    }
}

/// What the services of an edge host allow a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether HAProxy lets it in, if there is one.
    pub(super) proxy: Option<bool>,
    pub(super) registry: Right,
}

impl Answer {
    /// Whether all of them allow just this.
    pub(super) fn is(self, right: Right) -> bool {
        let let_in = right != Right::Nothing;
        self.registry == right && self.proxy.is_none_or(|it| it == let_in)
    }

    /// Whether all of them let it in.
    pub(super) fn lets_in(self) -> bool {
        self.registry != Right::Nothing && self.proxy != Some(false)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(let_in) = self.proxy {
            write!(f, "HAProxy {}, ", if let_in { "lets it in" } else { "refuses it" })?;
        }
        f.write_str(match self.registry {
            Right::Nothing => "the registry refuses it",
            Right::Pull => "the registry lets it pull, but not push",
            Right::Push => "the registry lets it pull and push",
        })
    }
}
