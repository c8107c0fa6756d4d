//! `platform users`: who may use the platform's services.
//!
//! The inventory says who the users are, so it is edited first; then what depends on users is
//! changed on the edge hosts, and nothing else. HAProxy takes new logins by a reload and the
//! registries by themselves, so nothing is interrupted. At the end each edge host is asked whether
//! it lets in whom it should, and nobody else. A run that was interrupted is finished by the same
//! command, or by `up`.

mod list;
mod logins;
mod order;

use std::path::PathBuf;

use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::look::{Part, look};
use super::run::{Ended, finish, take_lock};
use super::up::{Assessment, act};
use super::{RunContext, connect, image, machines};
use crate::component::Spec;
use crate::event::Event;
use crate::host::joined;
use crate::inventory::edit::NoUser;
use crate::inventory::{Component, SecretSource};
use crate::resource::Action;
use crate::run::Fleet;
use crate::secret::Secret;
use logins::Logins;
use order::Order;

pub use list::{LoginStatus, PasswordPlace, UserStatus, Users, list};

/// A change of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The user's name.
    pub user: String,
    /// What to do.
    pub change: UserChange,
}

/// What to do with a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChange {
    /// Let a new user in.
    Add {
        /// The password.
        password: NewPassword,
        /// Whether the user may push images.
        push: bool,
    },
    /// Let the user in no longer.
    Remove,
    /// Give the user another password.
    Password(NewPassword),
}

/// Where a user's new password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewPassword {
    /// It is made at random, and kept in the state folder.
    Random,
    /// It is this one, and kept in the state folder.
    Given(Secret),
    /// It is in a variable or a file, from where each run reads it.
    At(SecretSource),
}

/// Why a user cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The inventory has no such user.
    #[error(transparent)]
    Unknown(#[from] NoUser),
    /// The user is there already, with a password from elsewhere or with another right.
    #[error(
        "`{0}` is a user already: `platform users passwd` changes the password, and `push` of the \
         user in the inventory says who may push; nothing was changed"
    )]
    Known(String),
    /// The only user would be removed.
    #[error(
        "`{0}` is the only user: nobody could use the platform any more; add another user first; \
         nothing was changed"
    )]
    Last(String),
    /// An earlier user of that name left a password.
    #[error(
        "{} has the password of an earlier user `{user}`: run `platform users rm` for `{user}` \
         first, and the new user gets a new password; nothing was changed",
        path.display()
    )]
    LeftOver {
        /// The name.
        user: String,
        /// The file with the password.
        path: PathBuf,
    },
    /// Some machines do not run.
    #[error(
        "these machines of the inventory do not run: {}; run `platform up` first; nothing was \
         changed",
        .0.join(", ")
    )]
    NotRunning(Vec<String>),
    /// An edge host is not set up, or not as it should be.
    #[error(
        "the edge is not as it should be ({0}): run `platform up` first; nothing was changed"
    )]
    NotUp(String),
}

/// Changes a user in the inventory and on the edge hosts, and proves that the right logins are let
/// in. Repeated, it changes nothing, except that a new random password is made each time one is
/// asked for.
///
/// # Errors
/// When any part fails; the error says whether the inventory was changed already.
pub async fn change(
    files: &ClusterFiles,
    request: &Request,
    agreed: bool,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    image::tell_new_pins(files, ctx).await?;
    let order = Order::of(files, request, ctx)?;
    let files = order.files();
    let machines = machines::look(files, ctx).await?.plan;
    if machines.running.is_empty() {
        return in_inventory_alone(&order, agreed, ctx);
    }
    if machines.n_missing() > 0 {
        let missing = machines.missing.into_iter().map(|machine| machine.name).collect();
        return Err(UserError::NotRunning(missing).into());
    }
    let running = (machines.running.as_slice(), &machines.booting);
    let (fleet, silent) = connect::connect_to(files, running, &EDGE, ctx).await?;
    let all = (&fleet, silent.as_slice());
    let seen = look(files, &machines.running, all, Part::Users, ctx).await?;
    is_up(&seen)?;
    let changes_nothing = seen.plan.is_empty() && !order.edits();
    if !agreed && !changes_nothing {
        ctx.agree(&order.show(Some(&seen.plan)))?;
    }
    order.write(ctx)?;
    files.state.keep()?;
    let ended = carry_out(&order, seen, &fleet, ctx).await;
    ended.map_err(|why| order.written(why))
}

/// Edits the inventory of a cluster without machines.
fn in_inventory_alone(
    order: &Order,
    agreed: bool,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    order.check_password(ctx)?;
    if !agreed && order.edits() {
        ctx.agree(&order.show(None))?;
    }
    order.write(ctx)?;
    order.files().state.keep()?;
    order.forget()?;
    let done = "no machine of this cluster runs: `platform up` does the rest";
    Ok(order.ended(order.edits(), done))
}

/// The components that know users.
const EDGE: [Component; 2] = [Component::Registry, Component::Haproxy];

/// Checks that these components run, and that a plan for users needs no new start of them.
fn is_up(seen: &Assessment) -> Result<(), UserError> {
    let starts = seen.plan.host_changes().find_map(|(host, change)| {
        let Action::StartUnit { name, .. } = &change.action else { return None };
        Some(format!("{name} on {host} {}", change.reason))
    });
    let down = EDGE.iter().find_map(|component| {
        let unit = Spec::of(*component).unit;
        seen.topology.members_of(*component).iter().find_map(|member| {
            let facts = seen.survey.facts.get(&member.host);
            let state = facts.and_then(|facts| facts.unit(unit).ok());
            let state = state.map_or("unknown", |state| &state.active);
            (state != "active").then(|| format!("{unit} on {} is {state}", member.host))
        })
    });
    match starts.or(down) {
        Some(why) => Err(UserError::NotUp(why)),
        None => Ok(()),
    }
}

/// Makes the changes on the hosts, and proves them.
async fn carry_out(
    order: &Order,
    mut seen: Assessment,
    fleet: &Fleet,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    let is_changed = !seen.plan.is_empty();
    if is_changed {
        ctx.events.emit(&Event::Planned { stages: seen.plan.summary() });
        let held = take_lock(&seen.topology, fleet, "users", ctx).await?;
        let tally = act(&mut seen, fleet, &held, ctx).await;
        held.release().await;
        finish(tally, ctx)?;
    }
    let logins = Logins { services: seen.services(fleet), ca: &seen.gathered.inputs.ca };
    logins.prove(order.expected(ctx)?, ctx).await?;
    order.forget()?;
    let done = format!("{} by {}", order.done(), joined(logins.hosts()));
    Ok(order.ended(is_changed || order.edits(), &done))
}
