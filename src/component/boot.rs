//! What components need from the kernel itself: control groups of version 1.
//!
//! A machine reboots only if the inventory allows it, and if a component on it needs that.

use super::{Context, Stage, Wants};
use crate::inventory::{CgroupNeed, Component};
use crate::resource::probe::Questions;
use crate::resource::{Boot, Resource};

/// The resources for a machine that boots with version 1, and has booted with it.
pub(super) fn wants(context: Context<'_>) -> Wants {
    let boot = reason(context).filter(|_| context.node.hybrid).map(|why| Boot { why });
    let both = boot
        .into_iter()
        .flat_map(|boot| [Resource::Boot(boot.clone()), Resource::Booted(boot)]);
    both.map(|resource| (Stage::Boot, resource)).collect()
}

/// Asks how the machine was booted if a component needs version 1. If the inventory does not
/// allow a reboot, the answer is used to say what can be done.
pub(super) fn ask(context: Context<'_>, questions: &mut Questions) {
    if reason(context).is_some() {
        questions.boot();
    }
}

/// Why a component on the machine needs version 1; `None` if none does.
fn reason(context: Context<'_>) -> Option<String> {
    let images = context.inputs.images.iter();
    let mut here = images.filter(|(component, _)| context.node.runs(**component));
    here.find(|(_, image)| image.needs.cgroups == Some(CgroupNeed::V1)).map(
        |(component, image)| match component {
            Component::MesosAgent => {
                format!("Mesos {} needs it for Docker tasks", image.version)
            }
            component => format!("{component} {} needs it", image.version),
        },
    )
}
