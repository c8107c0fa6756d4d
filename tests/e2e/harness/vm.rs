//! A virtual machine: with its own kernel, boot loader and clock, which containers do not have.
//! Its processor is emulated, so that it runs wherever the tests run; a task of one second takes
//! several there.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use super::lab::Lab;
use super::machine::docker;
use super::until;

/// The folder of the image for its disk.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/vm");

/// The image. Docker's own cache decides whether any part of it must be rebuilt.
const IMAGE: &str = "platform/e2e-vm";

/// The size of its disk.
const DISK_MIB: &str = "2048";

/// The longest that it may take to boot on a busy computer.
const BOOT: Duration = Duration::from_secs(240);

/// Has only control groups of version 2, Docker, and the login user `platform`. Nothing that is
/// written to its disk is kept; it ends when dropped.
pub(crate) struct Vm {
    emulator: Child,
    port: u16,
    key: PathBuf,
}

impl Vm {
    /// Its address in its own network.
    pub(crate) const ADDRESS: &str = "10.0.2.15";

    /// Boots a machine. Its disk is created if it is missing, and kept for the next time.
    pub(crate) fn boot() -> Self {
        let made = disk();
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let drive = format!(
            "file={},if=virtio,format=raw,snapshot=on",
            made.join("disk.img").display()
        );
        let network = format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22");
        let emulator = Command::new("qemu-system-x86_64")
            .args(["-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max"])
            // One processor: with two, one may see the other stop for a minute on a busy
            // computer, and its kernel treats that as a fault.
            .args(["-smp", "1", "-m", "1024", "-display", "none", "-nodefaults"])
            .args(["-drive", &drive, "-netdev", &network])
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .args(["-device", "virtio-rng-pci"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("qemu-system-x86_64 starts: it is in the package qemu-system-x86");
        let vm = Self { emulator, port, key: made.join("id") };
        until("a login to the virtual machine", BOOT, || {
            vm.ssh("true").status.success().then_some(())
        });
        vm
    }

    /// Runs a shell script as root, which must succeed, and returns its output.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.ssh(&format!("sudo sh -c '{script}'"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "`{script}`: {said}{complained}");
        said
    }

    /// An inventory for it, which accepts its key at the first contact.
    pub(crate) fn lab(&self, body: &str) -> Lab {
        let access = format!(
            "{{user: platform, key: {}, port: {}, host_keys: accept-new}}",
            self.key.display(),
            self.port
        );
        Lab::over_ssh(format!("e2e-vm-{}", self.port), &access, body)
    }

    /// Sets its clock to this computer's time: an emulated clock falls behind on a busy computer.
    pub(crate) fn set_clock(&self) {
        self.set_clock_behind(Duration::ZERO);
    }

    /// Sets its clock to a time behind this computer's. The time is sent after the login, which
    /// may take seconds.
    #[expect(clippy::disallowed_methods, reason = "the time itself is what is sent")]
    pub(crate) fn set_clock_behind(&self, behind: Duration) {
        let set = "sudo sh -c 'echo ready; read -r now; date -s @$now'";
        let mut child =
            self.command(set).stdin(Stdio::piped()).spawn().expect("ssh runs");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("it speaks text");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = now.expect("it is after 1970") - behind;
        let mut stdin = child.stdin.take().expect("a pipe");
        writeln!(stdin, "{}", time.as_secs_f64()).expect("it listens");
        assert!(child.wait().expect("ssh runs").success(), "{said}");
    }

    fn ssh(&self, command: &str) -> Output {
        self.command(command).stdin(Stdio::null()).output().expect("ssh runs")
    }

    /// The login. Each machine creates its own host key, so no key is kept.
    fn command(&self, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
            .args(["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10"])
            .args(["-p", &self.port.to_string(), "-i"])
            .arg(&self.key)
            .args(["platform@127.0.0.1", command])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ssh
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

/// The folder with the disk and the key that may log in.
fn disk() -> PathBuf {
    let image = image();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = target.join(format!("vm-{}", &image[..12]));
    if made.join("disk.img").exists() {
        return made;
    }
    fs::create_dir_all(&made).expect("the target folder takes folders");
    let at = |name: &str| made.join(name).display().to_string();
    let _ = fs::remove_file(made.join("id"));
    has_to("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &at("id")]);
    let container = said(&docker(&["create", &image, "true"]));
    let exported = docker(&["export", &container, "-o", &at("tree.tar")]);
    said(&docker(&["rm", &container]));
    said(&exported);
    let folder = format!("{}:/made", made.display());
    let words = ["/made/tree.tar", "/made/id.pub", "/made/disk.img", DISK_MIB];
    let run = ["run", "--rm", "-v", &folder, &image, "/usr/lib/vm/disk"];
    said(&docker(&[&run[..], &words].concat()));
    fs::remove_file(made.join("tree.tar")).expect("it is ours");
    made
}

/// The image's id; builds it if needed.
fn image() -> String {
    let bases = said(&docker(&["image", "ls", "-q", "platform/base"]));
    let base = bases.lines().next().expect("`platform image build` made the base");
    let base = format!("BASE={base}");
    said(&docker(&["build", "-q", "--build-arg", &base, "-t", IMAGE, FOLDER]));
    let id = said(&docker(&["image", "inspect", "-f", "{{.Id}}", IMAGE]));
    id.trim_start_matches("sha256:").to_owned()
}

fn has_to(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).output();
    said(&output.unwrap_or_else(|error| panic!("{program}: {error}")));
}

/// The output of a command, which must have succeeded.
fn said(output: &Output) -> String {
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
