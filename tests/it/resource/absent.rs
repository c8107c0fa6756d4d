//! Files that a component left and must not find again.

use platform::resource::{Absent, Resource};

use super::host::{Host, is_done};
use super::probe::at;

fn want() -> [Resource; 1] {
    let reason = "it is of another time".to_owned();
    [Resource::Absent(Absent { path: at("/srv/meta/latest"), reason })]
}

#[test]
fn a_link_goes_and_what_it_points_at_stays() {
    let host = Host::new();
    host.write("/srv/meta/S0/info", b"precious");
    host.link("/srv/meta/latest", "S0");
    let (_, changes) = host.changes(&want());
    let [change] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(change.step(), "remove file /srv/meta/latest");
    assert_eq!(change.reason, "it is of another time");
    assert!(!change.disturbs());

    assert!(is_done(&host.apply(&want())));
    assert!(!host.path("/srv/meta/latest").is_symlink());
    assert!(host.has("/srv/meta/S0/info"));
    assert_eq!(host.changes(&want()).1, []);
}

#[test]
fn it_is_nothing_of_ours_that_a_tear_down_would_bring_back() {
    let host = Host::new();
    host.write("/srv/meta/latest", b"old");
    assert!(is_done(&host.apply(&want())));
    assert!(is_done(&host.retire()));
    assert!(!host.has("/srv/meta/latest"));
}
