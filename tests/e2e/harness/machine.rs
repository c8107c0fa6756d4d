//! A machine, observed and changed from outside: not over SSH, and not by the program under test.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs this computer's `docker`.
pub(crate) fn docker(words: &[&str]) -> Output {
    Command::new("docker").args(words).output().expect("docker runs")
}

/// A machine: a container of this computer.
#[derive(Clone)]
pub(crate) struct Machine {
    container: String,
}

impl Machine {
    pub(super) fn new(cluster: &str, host: &str) -> Self {
        Self { container: format!("platform-{cluster}-{host}") }
    }

    /// The name of its container.
    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// Runs a shell script as root, which must succeed, and returns its output.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.try_sh(script);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "`{script}` on {}: {} {said}{complained}",
            self.container,
            output.status
        );
        said
    }

    /// Runs a shell script as root and ignores its result.
    pub(crate) fn try_sh(&self, script: &str) -> Output {
        docker(&["exec", &self.container, "sh", "-c", script])
    }

    /// Runs a shell script as root and says whether it succeeded.
    pub(crate) fn is(&self, script: &str) -> bool {
        self.try_sh(script).status.success()
    }

    /// The content of a file.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.try_sh(&format!("cat '{path}'")).stdout
    }

    /// Writes a file as root.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let mut child = Command::new("docker")
            .args(["exec", "-i", &self.container, "sh", "-c", &format!("cat >'{path}'")])
            .stdin(Stdio::piped())
            .spawn()
            .expect("docker runs");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(content).expect("docker takes the content");
        drop(input);
        assert!(
            child.wait().expect("docker runs").success(),
            "{path} on {}",
            self.container
        );
    }

    /// Stops it as a power failure would.
    pub(crate) fn kill(&self) {
        self.has_to("kill");
    }

    /// Shuts it down cleanly.
    pub(crate) fn stop(&self) {
        self.has_to("stop");
    }

    /// Starts it again.
    pub(crate) fn start(&self) {
        self.has_to("start");
    }

    fn has_to(&self, verb: &str) {
        let output = docker(&[verb, &self.container]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {verb} {}: {said}", self.container);
    }
}
