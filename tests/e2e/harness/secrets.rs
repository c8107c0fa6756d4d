//! The secrets of a cluster, and the places where they must not appear.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{End, Lab, Machine, pause, until};

/// The longest until the journal contains what was written to it.
const LOGGED: Duration = Duration::from_secs(10);

/// Every secret of a cluster, as text that does not occur elsewhere by chance.
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Everything in the state folder: passwords, and the lines of private keys.
    pub(crate) fn of(lab: &Lab) -> Self {
        let mut found = Vec::new();
        collect(&lab.state(), &mut found);
        Self(found)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks that a text contains none of them.
    pub(crate) fn are_not_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret.as_str()), "{what} holds a secret:\n{text}");
        }
    }

    /// Checks that no file that any user of a machine may read contains one.
    pub(crate) fn are_hidden_on(&self, machine: &Machine) {
        machine.put("/tmp/sought", self.0.join("\n").as_bytes());
        // A text that is there must be found: this shows that the search works.
        let found = machine.sh(
            "head -n 1 /tmp/sought >/run/planted; chmod 644 /tmp/sought /run/planted
             setpriv --reuid=65534 --regid=65534 --clear-groups \
               find / \\( -path /proc -o -path /sys -o -path /tmp/sought \\) -prune \
               -o -type f -cnewer /etc/hostname -readable -print0 2>/dev/null |
               xargs -0r setpriv --reuid=65534 --regid=65534 --clear-groups \
               grep -lF -f /tmp/sought
             rm /tmp/sought /run/planted",
        );
        assert_eq!(found, "/run/planted\n", "on {}", machine.container());
    }

    /// Checks that the journal of a machine contains none, in the output of any unit.
    pub(crate) fn are_in_no_journal_of(&self, machine: &Machine) {
        machine.put("/run/sought", self.0.join("\n").as_bytes());
        // A text that is there must be found: this shows that the search works.
        machine.sh("head -n 1 /run/sought | systemd-cat --identifier=planted");
        let found = until("the planted secret", LOGGED, || {
            let found = machine
                .sh("journalctl --no-pager --output=short | grep -aF -f /run/sought |
                   sed -E 's/^([^ ]+ +){4}([^]: []+).*/\\2/' | sort -u");
            (!found.is_empty()).then_some(found)
        });
        machine.sh("rm /run/sought");
        assert_eq!(found, "planted\n", "in the journal of {}", machine.container());
    }

    /// Checks that no process has one as an argument while `work` runs. This computer's process
    /// list includes those of its machines.
    pub(crate) fn in_no_argument_during<T>(work: impl FnOnce() -> T) -> (Arguments, T) {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| Arguments::until(&ended));
            let end = End(&ended);
            let done = work();
            drop(end);
            (looking.join().expect("looking does not panic"), done)
        })
    }
}

/// The arguments of every process that was seen.
pub(crate) struct Arguments(BTreeSet<String>);

impl Arguments {
    fn until(ended: &AtomicBool) -> Self {
        let mut seen = BTreeSet::new();
        while !ended.load(Ordering::Relaxed) {
            seen.extend(processes());
            pause(Duration::from_millis(20));
        }
        Self(seen)
    }

    /// All of them, as one text.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Processes start and end: one that has ended does not matter any more.
fn processes() -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let of_process = |entry: fs::DirEntry| {
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        (!words.is_empty()).then(|| String::from_utf8_lossy(&words).replace('\0', " "))
    };
    processes.filter_map(of_process).collect()
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the state folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.extend(secrets_in(&path, &text));
        }
    }
}

/// The lines of a private key file; the whole content of a file in `secrets`.
fn secrets_in(path: &Path, text: &str) -> Vec<String> {
    if let Some((_, key)) = text.split_once("PRIVATE KEY-----") {
        // The first lines of an OpenSSH key are the same for all keys of its kind.
        let lines =
            key.lines().filter(|line| line.len() > 20 && !line.contains("b3BlbnNz"));
        return lines.filter(|line| !line.starts_with('-')).map(str::to_owned).collect();
    }
    if !path.parent().is_some_and(|folder| folder.ends_with("secrets")) {
        return Vec::new();
    }
    // A password in a header is also visible there.
    let password = text.trim();
    let login = BASE64_STANDARD.encode(format!("platform:{password}"));
    vec![password.to_owned(), login]
}
