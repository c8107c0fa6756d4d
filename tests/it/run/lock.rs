//! The cluster's lock: free, held by another run, held by an interrupted run, or unknown.

use std::sync::Arc;
use std::time::Duration;

use platform::event::{Event, Events};
use platform::host::HostName;
use platform::remote::Remote;
use platform::run::Fleet;
use platform::run::lock::{Claim, ClusterLock, LockError, take};

use crate::fake::{Act, Fake, Kept};

/// Takes the lock; of this computer's runs, `run-1` was interrupted.
async fn take_telling(
    hosts: &[Arc<Fake>],
    kept: Arc<Kept>,
) -> Result<ClusterLock, LockError> {
    let names: Vec<HostName> = hosts.iter().map(|host| host.name()).collect();
    let mut fleet = Fleet::new();
    for host in hosts {
        fleet.insert(host.name(), host.clone());
    }
    let is_over = &|run: &str| run == "run-1";
    let claim = Claim { run: "run-2", holder: "ops@laptop, since 09:00", is_over };
    take(&fleet, &names, &claim, &Events::to(kept)).await
}

async fn take_on(hosts: &[Arc<Fake>]) -> Result<ClusterLock, LockError> {
    take_telling(hosts, Arc::default()).await
}

/// Waits until a host's command has ended.
async fn ends(host: &Fake) {
    let over = async {
        while !host.has_ended() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), over).await;
    in_time.expect("the lock is let go");
}

fn line(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

fn held(by: &str) -> Act {
    Act::Ends(line(&format!("held {by}")), 0, "")
}

fn taken() -> Act {
    Act::Holds(line("locked"))
}

#[tokio::test]
async fn a_free_lock_is_taken_on_every_host_and_let_go() {
    let hosts = ["a", "b"].map(|host| Fake::new(host, [taken()]));
    let held = take_on(&hosts).await.expect("it is free");
    for host in &hosts {
        let asked = host.asked();
        let words = &asked[0].words;
        assert_eq!(words[4..6], ["run-2", "ops@laptop, since 09:00"]);
        assert!(!host.has_ended(), "the lock is not held");
    }
    held.release().await;
    assert!(hosts.iter().all(|host| host.has_ended()));
}

#[tokio::test]
async fn a_lock_that_is_dropped_goes_too() {
    let host = Fake::new("a", [taken()]);
    drop(take_on(std::slice::from_ref(&host)).await.expect("it is free"));
    ends(&host).await;
}

#[tokio::test]
async fn whoever_holds_the_lock_is_named_and_what_was_taken_is_let_go() {
    let free = Fake::new("a", [taken()]);
    let other = Fake::new("b", [held("run-9 ada@desk, since 08:00")]);
    let refused = take_on(&[free.clone(), other]).await.expect_err("b is held");
    assert_eq!(
        refused.to_string(),
        "b is being changed by another run: ada@desk, since 08:00; wait until that run ends"
    );
    ends(&free).await;
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_waited_for_and_that_is_told() {
    let kept = Arc::new(Kept::default());
    let host = Fake::new("a", [held("run-1 ops@laptop, since 08:00"), taken()]);
    let lock = take_telling(std::slice::from_ref(&host), kept.clone()).await;
    lock.expect("it is let go").release().await;
    let patience: Vec<String> =
        host.asked().into_iter().map(|asked| asked.words[6].clone()).collect();
    assert_eq!(patience, ["0", "35"]);
    assert!(matches!(
        &kept.all()[..],
        [Event::Warned { message }] if message.contains("ops@laptop, since 08:00")
    ));
}

#[tokio::test]
async fn a_lock_that_was_not_let_go_is_told_by_whose_it_is() {
    let still = || held("run-1 ops@laptop, since 08:00");
    let refused = take_on(&[Fake::new("a", [still(), still()])]).await;
    assert!(matches!(refused, Err(LockError::NotLetGo { .. })), "{refused:?}");
    let other = Fake::new("a", [still(), held("run-9 ada@desk, since 08:01")]);
    let refused = take_on(&[other]).await;
    assert!(matches!(refused, Err(LockError::Held { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_say_is_not_taken_to_be_free() {
    for act in [
        Act::Hangs(Vec::new()),
        Act::Dies(Vec::new()),
        Act::Ends(Vec::new(), 1, "flock: not found"),
    ] {
        let refused = take_on(&[Fake::new("a", [act])]).await.expect_err("nobody said");
        assert!(matches!(refused, LockError::NoAnswer { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_host_that_says_something_else_does_not_hold_the_lock() {
    let strange = Fake::new("a", [Act::Holds(line("mkdir: cannot create directory"))]);
    let refused = take_on(&[strange]).await.expect_err("that is no answer");
    assert!(matches!(refused, LockError::NoAnswer { .. }), "{refused}");
}

#[tokio::test]
async fn a_lock_that_was_lost_by_a_reboot_is_taken_again_and_one_that_is_held_is_kept() {
    let lost = Fake::new("a", [Act::Dies(line("locked")), taken()]);
    let kept = Fake::new("b", [taken()]);
    let hosts = [lost.clone(), kept.clone()];
    let held = take_on(&hosts).await.expect("it is free");
    let fleet: Fleet =
        hosts.iter().map(|host| (host.name(), host.clone() as Arc<dyn Remote>)).collect();
    ends(&lost).await;
    tokio::task::yield_now().await;
    let events = Events::to(Arc::new(Kept::default()));
    for host in ["a", "b", "elsewhere"] {
        let host = host.parse().expect("a host's name");
        held.retake(&fleet, &host, &events).await.expect("nobody else wants it");
    }
    assert_eq!((lost.asked().len(), kept.asked().len()), (2, 1));
    assert!(!lost.has_ended(), "the lock is not held");
    held.release().await;
    assert!(lost.has_ended() && kept.has_ended());
}

#[tokio::test]
async fn a_lock_that_went_with_the_connection_is_known_and_taken_again_once_the_host_notices()
 {
    let cut = Act::Dies(line("locked"));
    let host = Fake::new("a", [cut, held("run-2 ops@laptop, since 09:00"), taken()]);
    let other = Fake::new("b", [taken()]);
    let hosts = [host.clone(), other];
    let lock = take_on(&hosts).await.expect("it is free");
    ends(&host).await;
    tokio::task::yield_now().await;
    assert_eq!(lock.lost().await, [host.name()]);
    let fleet: Fleet =
        hosts.iter().map(|host| (host.name(), host.clone() as Arc<dyn Remote>)).collect();
    let events = Events::to(Arc::new(Kept::default()));
    lock.retake(&fleet, &host.name(), &events).await.expect("it is this run's own");
    assert_eq!(host.asked()[2].words[6], "35", "the host was not waited for");
    assert_eq!(lock.lost().await, []);
}

#[tokio::test]
async fn a_lock_that_another_run_took_during_a_reboot_is_not_taken_from_it() {
    let host =
        Fake::new("a", [Act::Dies(line("locked")), held("run-9 bob, since 10:00")]);
    let lock = take_on(std::slice::from_ref(&host)).await.expect("it is free");
    ends(&host).await;
    tokio::task::yield_now().await;
    let fleet = Fleet::from([(host.name(), host.clone() as Arc<dyn Remote>)]);
    let events = Events::to(Arc::new(Kept::default()));
    let retaken = lock.retake(&fleet, &host.name(), &events).await;
    assert!(matches!(retaken, Err(LockError::Held { .. })), "{retaken:?}");
}
