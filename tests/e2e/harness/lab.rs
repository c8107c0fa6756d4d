//! A cluster's inventory, its folder and the program's runs on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::ec2::Ec2;
use super::machine::Machine;
use super::run::{Run, Running};
use super::slot::{self, Slot};

/// The catalogue of this repository.
pub(crate) const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/images/base.yaml");

/// The catalogue of a rehearsal, which also contains the stand-ins.
pub(crate) const REHEARSED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/standins/catalog.yaml");

/// An inventory in its own folder. When it is dropped, everything that was created for it is
/// removed.
pub(crate) struct Lab {
    cluster: String,
    /// The beginning of the inventory: the cluster's name and its provider.
    head: String,
    folder: TempDir,
    /// The environment variables of its runs.
    environment: Vec<(String, String)>,
    /// `None` if the machines belong to another lab.
    slot: Option<Slot>,
}

impl Lab {
    /// An inventory of provider `local`. `body` is the part after the provider: `groups` and
    /// `platform`; in it, `{images}` is replaced by the path of this repository's catalogue, and
    /// `{rehearsed}` by the one with the stand-ins.
    pub(crate) fn local(body: &str) -> Self {
        let slot = Slot::take();
        let cluster = slot.cluster();
        let head = format!(
            "cluster: {cluster}\nprovider: {{local: {{network: {{cidr: {}}}}}}}\n",
            slot.network()
        );
        Self::new(cluster, head, Some(slot), body)
    }

    /// An inventory of provider `ssh`, with the login settings `access`.
    pub(super) fn over_ssh(cluster: String, access: &str, body: &str) -> Self {
        let head = format!("cluster: {cluster}\nprovider:\n  ssh: {access}\n");
        Self::new(cluster, head, None, body)
    }

    /// An inventory of provider `aws` with its own VPC in us-east-1. Its runs find the account in
    /// their environment; `KEY` and `KEY.pub` are next to the inventory as `key`.
    pub(crate) fn aws(ec2: &Ec2, body: &str) -> Self {
        let slot = Slot::take();
        let (cluster, network) = (slot.cluster(), slot.network());
        let head = format!(
            "cluster: {cluster}\n\
             provider:\n  aws:\n    region: us-east-1\n    network: {{cidr: {network}}}\n    \
             image: {{owner: \"136693071363\", name: debian-12-amd64-*}}\n    \
             ssh: {{user: admin, key: key}}\n    admin_cidrs: [{network}]\n"
        );
        let mut lab = Self::new(cluster, head, Some(slot), body);
        lab.environment = ec2.environment();
        make_key(&lab.folder.path().join("key"));
        lab
    }

    fn new(cluster: String, head: String, slot: Option<Slot>, body: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = Vec::new();
        let lab = Self { cluster, head, folder, environment, slot };
        lab.rewrite(body);
        lab
    }

    /// Changes the inventory: `body` as in [`Lab::local`].
    pub(crate) fn rewrite(&self, body: &str) {
        let body = body.replace("{images}", CATALOG).replace("{rehearsed}", REHEARSED);
        self.file("lab.yaml", format!("{}{body}", self.head));
    }

    /// Writes a file next to the inventory.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("the folder takes files");
        path
    }

    /// The folder of the inventory.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The inventory.
    pub(crate) fn inventory(&self) -> PathBuf {
        self.folder.path().join("lab.yaml")
    }

    /// The name of the cluster.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The program's state folder of the cluster.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join(".platform").join(&self.cluster)
    }

    /// One of the machines that were created for this inventory.
    pub(crate) fn machine(&self, host: &str) -> Machine {
        Machine::new(&self.cluster, host)
    }

    /// All containers, volumes and networks that Docker has of this cluster.
    pub(crate) fn remains(&self) -> Vec<String> {
        let everything = slot::everything_of(&self.cluster).into_iter();
        everything.flat_map(|(_, names)| names).collect()
    }

    /// Whether the program creates its machines on this computer.
    pub(crate) fn is_local(&self) -> bool {
        self.head.contains("provider: {local:")
    }

    /// `platform up --yes -o json`, which must succeed.
    pub(crate) fn up(&self) -> Run {
        self.run(&["up", "--yes", "-o", "json"]).exits(0)
    }

    /// Checks that `plan` finds nothing to do after `up`: no difference.
    pub(crate) fn is_settled(&self) {
        let plan = self.run(&["plan"]).exits(0);
        assert_eq!(plan.stdout, "Nothing to do: every host is as it should be.\n");
    }

    /// Runs a verb on the inventory until it ends: the command without the inventory, which
    /// follows the verb, such as `certs ls`.
    pub(crate) fn run(&self, words: &[&str]) -> Run {
        self.start(words).end()
    }

    /// The same on a copy of the inventory in another folder, as from another computer.
    pub(crate) fn run_in(&self, folder: &Path, words: &[&str]) -> Run {
        let (verb, rest) = words.split_first().expect("a verb");
        let inventory = folder.join("lab.yaml");
        Running::start(self.program().arg(verb).arg(inventory).args(rest)).end()
    }

    /// Starts a verb on the inventory.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        let (verb, rest) = words.split_first().expect("a verb");
        let verb = verb.split(' ');
        Running::start(self.program().args(verb).arg(self.inventory()).args(rest))
    }

    /// The program itself, in the inventory's folder, without arguments.
    pub(crate) fn program(&self) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_platform"));
        program.current_dir(self.folder.path()).env_remove("PLATFORM_INVENTORY");
        program.envs(self.environment.iter().map(|(name, value)| (name, value)));
        program
    }

    /// Sets a variable in the environment of its runs, such as `AWS_ACCESS_KEY_ID`.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The network's first three numbers, such as `10.81.7`.
    pub(crate) fn prefix(&self) -> String {
        let network = self.slot.as_ref().expect("a lab with machines").network();
        network.trim_end_matches(".0/24").to_owned()
    }
}

/// Creates a key pair without a passphrase, in OpenSSH's two files.
fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f"])
        .arg(path)
        .status();
    assert!(made.expect("ssh-keygen runs").success(), "{}", path.display());
}
