//! The permanent property: after applying, a check finds no difference; after removing all, the
//! host is as it was.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use platform::resource::{Content, Directory, File, Resource};

use super::host::{Host, is_done};
use super::probe::at;

/// Where files may be: some share parents, some of which may be wanted as directories.
const FILES: [&str; 6] = [
    "/etc/a.conf",
    "/etc/app/b.conf",
    "/etc/app/sub/c@1.conf",
    "/opt/x/y/z",
    "/srv/data/id",
    "/var/opt/t+1:2",
];
const DIRECTORIES: [&str; 4] = ["/etc/app", "/opt/x", "/srv/data", "/srv/other/deep"];
const MODES: [u32; 5] = [0o600, 0o644, 0o755, 0o4711, 0o440];

/// The content of a file's place before the first run.
#[derive(Debug, Clone)]
enum Before {
    File(Vec<u8>, u32),
    Link(&'static str),
}

/// The wanted content of each place.
#[derive(Debug, Clone)]
struct Want {
    files: Vec<Option<(Vec<u8>, u32, &'static str)>>,
    directories: Vec<Option<u32>>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"same\n".to_vec()),
        vec(any::<u8>(), 0..40),
        vec(any::<u8>(), 4000..9000),
        "[ -~\n'\"$`\\\\]{0,60}".prop_map(String::into_bytes),
    ]
}

fn mode() -> impl Strategy<Value = u32> {
    proptest::sample::select(&MODES[..])
}

fn before() -> impl Strategy<Value = Vec<Option<Before>>> {
    let one = prop_oneof![
        (bytes(), mode()).prop_map(|(bytes, mode)| Before::File(bytes, mode)),
        proptest::sample::select(&["/etc/passwd", "nothing"][..]).prop_map(Before::Link),
    ];
    vec(of(one), FILES.len())
}

fn want() -> impl Strategy<Value = Want> {
    let owners: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["root", "0", "daemon", "5000"],
        false => &["root", "0"],
    };
    let file = (bytes(), mode(), proptest::sample::select(owners.to_vec()));
    (vec(of(file), FILES.len()), vec(of(mode()), DIRECTORIES.len()))
        .prop_map(|(files, directories)| Want { files, directories })
}

impl Want {
    /// An existing directory that is no longer wanted keeps its access only if it had that access
    /// before: so existing directories are not wanted here.
    fn resources(self, made_by_others: &[&str]) -> Vec<Resource> {
        let files = FILES.iter().zip(self.files).filter_map(|(path, file)| {
            let (bytes, mode, owner) = file?;
            let file = File::public(at(path), Content::from(bytes));
            Some(Resource::File(File { mode, ..file }.owned_by(owner, owner)))
        });
        let root = || "root".to_owned();
        let directories = DIRECTORIES.iter().zip(self.directories);
        let directories = directories.filter(|(path, _)| !made_by_others.contains(*path));
        let directories = directories.filter_map(|(path, mode)| {
            let (path, data) = (at(path), path.starts_with("/srv/data"));
            let mode = mode? & 0o777 | 0o700;
            let (owner, group) = (root(), root());
            Some(Resource::Directory(Directory { path, mode, owner, group, data }))
        });
        directories.chain(files).collect()
    }
}

fn host(before: Vec<Option<Before>>) -> Host {
    let host = Host::new();
    for (path, before) in FILES.iter().zip(before) {
        match before {
            None => {}
            Some(Before::Link(target)) => host.link(path, target),
            Some(Before::File(bytes, mode)) => {
                host.write(path, &bytes);
                host.chmod(path, mode);
            }
        }
    }
    host
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 40, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn what_was_applied_is_there_and_goes_without_a_trace(
        before in before(),
        first in want(),
        second in want(),
    ) {
        let host = host(before);
        let tree = host.tree();
        let there: Vec<&str> =
            DIRECTORIES.iter().copied().filter(|path| host.has(path)).collect();
        for want in [first.resources(&there), second.resources(&there)] {
            let said = host.apply(&want);
            prop_assert!(is_done(&said), "{said:?}");
            let (_, left) = host.changes(&want);
            prop_assert!(left.is_empty(), "{left:?}");
            let settled = host.tree();
            prop_assert!(is_done(&host.apply(&want)));
            prop_assert!(host.tree() == settled, "an apply without changes wrote something");
        }
        let said = host.retire();
        prop_assert!(is_done(&said), "{said:?}");
        let after = host.tree();
        let paths = tree.keys().chain(after.keys());
        let other: Vec<_> = paths.filter(|path| tree.get(*path) != after.get(*path)).collect();
        prop_assert!(other.is_empty(), "not as before: {other:?}");
    }
}
