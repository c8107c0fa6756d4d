//! How many instances of one app to start now, and which to end. Pure.

use marathon_rules::app::UpgradeStrategy;

/// One instance, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its task.
    pub task: String,
    /// Whether it was started from what is wanted now.
    pub current: bool,
    /// Whether it runs and no check finds it otherwise than alive.
    pub ready: bool,
    /// Whether it is to end already.
    pub killing: bool,
    /// Whether it counts as lost, though it may come back.
    pub lost: bool,
}

/// What is to become of an app.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// So many instances, whatever they were started from.
    Keep(u32),
    /// So many instances, all started from what is wanted now.
    Replace(u32, UpgradeStrategy),
    /// None.
    Stop,
}

/// What to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// How many to start.
    pub launch: u32,
    /// Which to end.
    pub kill: Vec<String>,
    /// Whether the aim is reached.
    pub reached: bool,
}

/// Decides. `seen` is in the order in which instances are to be ended.
pub fn decide(aim: Aim, seen: &[Seen]) -> Decision {
    match aim {
        Aim::Keep(wanted) => keep(wanted, seen),
        Aim::Replace(wanted, strategy) => replace(wanted, strategy, seen),
        Aim::Stop => Decision {
            launch: 0,
            kill: seen.iter().filter(|s| !s.killing).map(|s| s.task.clone()).collect(),
            reached: seen.is_empty(),
        },
    }
}

/// One that is to end still takes its place: its successor starts when it is gone.
fn keep(wanted: u32, seen: &[Seen]) -> Decision {
    let active: Vec<_> = seen.iter().filter(|s| !s.killing && !s.lost).collect();
    let n_ready = count(active.iter().filter(|s| s.ready));
    let n_active = count(active.iter());
    Decision {
        launch: wanted.saturating_sub(count(seen.iter().filter(|s| !s.lost))),
        kill: first(active.into_iter(), n_active.saturating_sub(wanted)),
        reached: n_ready == wanted
            && n_active == wanted
            && !seen.iter().any(|s| s.killing),
    }
}

fn replace(wanted: u32, strategy: UpgradeStrategy, seen: &[Seen]) -> Decision {
    let (least, most) = bounds(wanted, strategy);
    let alive = || seen.iter().filter(|s| !s.killing && !s.lost);
    let n_fresh = count(alive().filter(|s| s.current));
    let n_fresh_ready = count(alive().filter(|s| s.current && s.ready));
    let old: Vec<_> = seen.iter().filter(|s| !s.current && !s.killing).collect();
    let n_old = count(old.iter());
    let n_there = count(seen.iter());
    let surplus = (n_fresh_ready + n_old).saturating_sub(least);
    let mut kill = first(old.into_iter(), surplus);
    kill.extend(first(alive().filter(|s| s.current), n_fresh.saturating_sub(wanted)));
    Decision {
        launch: wanted.saturating_sub(n_fresh).min(most.saturating_sub(n_there)),
        kill,
        reached: n_there == n_fresh && n_fresh == wanted && n_fresh_ready == wanted,
    }
}

/// How many stay healthy and how many there may be at most. Where that leaves no room to move,
/// one more is allowed.
fn bounds(wanted: u32, strategy: UpgradeStrategy) -> (u32, u32) {
    let least = (f64::from(wanted) * strategy.minimum_health_capacity).ceil() as u32;
    let most =
        (f64::from(wanted) * (1.0 + strategy.maximum_over_capacity)).floor() as u32;
    (least, if least >= most { least + 1 } else { most })
}

fn first<'a>(seen: impl Iterator<Item = &'a Seen>, n: u32) -> Vec<String> {
    seen.take(n as usize).map(|s| s.task.clone()).collect()
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instances from words: `old`, `new`, with `-` when not ready and `x` when to end.
    fn seen(words: &str) -> Vec<Seen> {
        let each = |(index, word): (usize, &str)| Seen {
            task: format!("{index}"),
            current: word.starts_with("new"),
            ready: !word.contains('-') && !word.contains('x') && !word.contains('?'),
            killing: word.contains('x'),
            lost: word.contains('?'),
        };
        words.split_whitespace().enumerate().map(each).collect()
    }

    fn check(aim: Aim, words: &str, launch: u32, kill: &[&str], reached: bool) {
        let decision = decide(aim, &seen(words));
        let kill = kill.iter().map(|task| (*task).to_owned()).collect();
        assert_eq!(decision, Decision { launch, kill, reached }, "{words}");
    }

    fn upgrade(least: f64, over: f64) -> UpgradeStrategy {
        UpgradeStrategy { minimum_health_capacity: least, maximum_over_capacity: over }
    }

    #[test]
    fn keeping_a_number() {
        check(Aim::Keep(2), "", 2, &[], false);
        check(Aim::Keep(2), "new new-", 0, &[], false);
        check(Aim::Keep(2), "new new", 0, &[], true);
        check(Aim::Keep(1), "new new", 0, &["0"], false);
        check(Aim::Keep(1), "newx new", 0, &[], false);
        check(Aim::Keep(2), "newx new", 0, &[], false);
        check(Aim::Keep(2), "new new?", 1, &[], false);
        check(Aim::Keep(0), "", 0, &[], true);
    }

    #[test]
    fn replacing_with_room_keeps_all_healthy() {
        let aim = Aim::Replace(2, upgrade(1.0, 1.0));
        check(aim, "old old", 2, &[], false);
        check(aim, "old old new- new-", 0, &[], false);
        check(aim, "old old new new-", 0, &["0"], false);
        check(aim, "oldx old new new", 0, &["1"], false);
        check(aim, "new new", 0, &[], true);
    }

    #[test]
    fn replacing_without_room_ends_first() {
        let aim = Aim::Replace(2, upgrade(0.0, 0.0));
        check(aim, "old old", 0, &["0", "1"], false);
        check(aim, "oldx oldx", 0, &[], false);
        check(aim, "", 2, &[], false);
    }

    #[test]
    fn where_nothing_could_move_one_more_is_allowed() {
        let aim = Aim::Replace(1, upgrade(1.0, 0.0));
        check(aim, "old", 1, &[], false);
        check(aim, "old new", 0, &["0"], false);
    }

    #[test]
    fn half_stay_healthy() {
        let aim = Aim::Replace(4, upgrade(0.5, 0.0));
        check(aim, "old old old old", 0, &["0", "1"], false);
        check(aim, "old old", 2, &[], false);
        check(aim, "old old new new-", 0, &["0"], false);
    }

    #[test]
    fn stopping_ends_all() {
        check(Aim::Stop, "old newx", 0, &["0"], false);
        check(Aim::Stop, "", 0, &[], true);
    }
}
