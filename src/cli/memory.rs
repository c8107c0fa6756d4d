//! Keeps this program's memory, which has passwords and keys, off the disk.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Disables core dumps of this program and of the programs that it starts. The limit alone is not
/// enough: a core dump that is piped to a collector, such as systemd's, ignores it.
pub(super) fn keep_off_the_disk() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // A lower limit is always allowed. If the system forbids even the call, go on with the
    // operator's work.
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_core_is_written() {
        keep_off_the_disk();
        let limit = rustix::process::getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        let dumpable = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(dumpable, DumpableBehavior::NotDumpable);
    }
}
