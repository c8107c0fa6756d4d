//! From one tree of apps to another: the steps of a deployment. Pure.

use marathon_rules::root::Root;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One thing that a deployment does to an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What.
    pub action: Doing,
    /// To which app.
    pub app: String,
}

/// What a deployment can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doing {
    /// Knows the app, with no instance yet.
    #[serde(rename = "StartApplication")]
    Start,
    /// Reaches the number of instances that is wanted.
    #[serde(rename = "ScaleApplication")]
    Scale,
    /// Replaces every instance.
    #[serde(rename = "RestartApplication")]
    Restart,
    /// Stops all and forgets the app.
    #[serde(rename = "StopApplication")]
    Stop,
}

/// What is done at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The parts of it.
    pub actions: Vec<Action>,
}

/// Apps depend on one another in a circle.
#[derive(Debug, PartialEq, Eq)]
pub struct Cycle;

/// The steps from `old` to `new`: what is gone is stopped, what is new is started with nothing,
/// and then each app is brought to what is wanted, after those that it depends on.
///
/// # Errors
/// When apps of `new` depend on one another in a circle.
pub fn steps(old: &Root, new: &Root) -> Result<Vec<Step>, Cycle> {
    let gone = old.apps.keys().filter(|app| !new.apps.contains_key(*app));
    let fresh = new.apps.keys().filter(|app| !old.apps.contains_key(*app));
    let mut steps = vec![all(Doing::Stop, gone), all(Doing::Start, fresh)];
    for level in levels(new.dependencies())? {
        let actions = level.into_iter().filter_map(|app| change(old, new, app)).collect();
        steps.push(Step { actions });
    }
    steps.retain(|step| !step.actions.is_empty());
    Ok(steps)
}

/// The apps that steps touch.
pub fn affected(steps: &[Step]) -> BTreeSet<String> {
    steps.iter().flat_map(|step| &step.actions).map(|action| action.app.clone()).collect()
}

fn all<'a>(doing: Doing, apps: impl Iterator<Item = &'a String>) -> Step {
    Step { actions: apps.map(|app| Action { action: doing, app: app.clone() }).collect() }
}

fn change(old: &Root, new: &Root, app: String) -> Option<Action> {
    let after = &new.apps[&app];
    let action = match old.apps.get(&app) {
        None => Doing::Scale,
        Some(before) if before.last_config != after.last_config => Doing::Restart,
        Some(before) if before.instances() != after.instances() => Doing::Scale,
        Some(_) => return None,
    };
    Some(Action { action, app })
}

/// Apps in levels: each depends on those of earlier levels alone.
fn levels(
    mut waiting: BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<Vec<String>>, Cycle> {
    let mut levels = Vec::new();
    while !waiting.is_empty() {
        let ready = |(app, needs): (&String, &BTreeSet<String>)| {
            needs.is_empty().then(|| app.clone())
        };
        let level: Vec<_> = waiting.iter().filter_map(ready).collect();
        if level.is_empty() {
            return Err(Cycle);
        }
        waiting.retain(|app, _| !level.contains(app));
        for needs in waiting.values_mut() {
            needs.retain(|need| !level.contains(need));
        }
        levels.push(level);
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use marathon_rules::app::Record;
    use serde_json::json;

    fn root(apps: &[(&str, u32, &[&str], &str)]) -> Root {
        let mut root = Root::default();
        for (app, instances, dependencies, version) in apps {
            let spec =
                json!({"id": app, "instances": instances, "dependencies": dependencies});
            root.put_app(app, Record::new(spec.as_object().unwrap().clone(), version));
        }
        root
    }

    fn shown(old: &Root, new: &Root) -> Vec<String> {
        let word = |action: &Action| format!("{:?} {}", action.action, action.app);
        let line =
            |step: Step| step.actions.iter().map(word).collect::<Vec<_>>().join(", ");
        steps(old, new).unwrap().into_iter().map(line).collect()
    }

    #[test]
    fn a_new_app_is_started_and_then_scaled() {
        let new = root(&[("/a", 1, &[], "v")]);
        assert_eq!(shown(&Root::default(), &new), ["Start /a", "Scale /a"]);
        assert_eq!(shown(&new, &new), Vec::<String>::new());
        assert_eq!(shown(&new, &Root::default()), ["Stop /a"]);
    }

    #[test]
    fn changes_scale_or_restart() {
        let old = root(&[("/a", 1, &[], "v"), ("/b", 1, &[], "v")]);
        let mut new = root(&[("/a", 2, &[], "v"), ("/b", 1, &[], "w")]);
        assert_eq!(shown(&old, &new), ["Scale /a, Restart /b"]);
        new.remove_app("/a");
        assert_eq!(shown(&old, &new), ["Stop /a", "Restart /b"]);
    }

    #[test]
    fn what_is_depended_on_comes_first() {
        let new = root(&[
            ("/a", 1, &["/b"], "v"),
            ("/b", 1, &["/c"], "v"),
            ("/c", 1, &[], "v"),
        ]);
        let expected =
            ["Start /a, Start /b, Start /c", "Scale /c", "Scale /b", "Scale /a"];
        assert_eq!(shown(&Root::default(), &new), expected);
    }
}
