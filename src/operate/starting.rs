//! Waits for members that were started a moment ago, by a boot or by hand: until they serve, they
//! look like members that are down, and no plan may interrupt the others.

use std::ops::ControlFlow;
use std::time::Duration;

use super::RunContext;
use super::error::Error;
use super::survey::Survey;
use crate::event::Event;
use crate::plan::{Gate, NoPlan, Plan};
use crate::progress;

/// The longest wait. Then the members count as down.
const LONGEST: Duration = Duration::from_secs(60);
/// The pause between two checks of the whole cluster.
const PAUSE: Duration = Duration::from_secs(1);

/// What was seen, and the plan for it.
pub(super) type Checked = (Survey, Result<Plan, NoPlan>);

/// Checks and plans; again, as long as there is no plan only because members that were started a
/// moment ago do not serve yet. Returns the last check.
///
/// # Errors
/// Those of a check.
pub(super) async fn waited_for(
    ctx: &RunContext<'_>,
    mut check: impl AsyncFnMut() -> Result<Checked, Error>,
) -> Result<Checked, Error> {
    let mut last = None;
    let look = async || -> Result<_, Error> {
        let (survey, plan) = check().await?;
        let starting = match &plan {
            Err(NoPlan::Refused(refusals)) => refusals.only_of_starting(&survey.facts),
            _ => None,
        };
        last = Some((survey, plan));
        Ok(match starting {
            Some(gates) => ControlFlow::Continue(in_words(&gates)),
            None => ControlFlow::Break(()),
        })
    };
    let on_seen = |gate: &str| {
        let (gate, seen) = (gate.to_owned(), "started a moment ago".to_owned());
        ctx.events.emit(&Event::Waiting { gate, seen });
    };
    // Whether they serve or not, the last check says what can be done.
    let _ = progress::poll(LONGEST, || PAUSE, on_seen, look).await?;
    Ok(last.expect("a poll checks at least once"))
}

fn in_words(gates: &[Gate]) -> String {
    gates.iter().map(Gate::to_string).collect::<Vec<_>>().join(", and ")
}
