//! Keeps what is in this program's memory from the disk: it holds passwords and keys.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Lets no core of this program be written, nor of those that it starts. The limit alone is not
/// enough: a core that goes to a collector, as systemd's, does not heed it.
pub(super) fn keep_off_the_disk() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Less is always allowed. Where the system forbids even to ask, there is nothing better to do
    // than the operator's work.
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
