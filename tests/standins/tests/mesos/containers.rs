//! What the tests run in Docker: images of this repository, and a real ZooKeeper.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use standins::zk::Session;

use crate::processes::{DEADLINE, until};

/// The newest image of this name. `make test` builds the images first.
pub(crate) fn image(name: &str) -> String {
    let repository = format!("platform/{name}");
    let output =
        docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", &repository]);
    let images = String::from_utf8(output.stdout).expect("names are text");
    images.lines().next().expect("`make test` builds the images first").to_owned()
}

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().expect("docker is installed")
}

/// A container that ends with the test, whatever becomes of the test.
pub(crate) struct Container(pub(crate) String);

impl Container {
    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        let output =
            docker(&["container", "inspect", "--format={{.State.Running}}", &self.0]);
        String::from_utf8_lossy(&output.stdout).trim() == "true"
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

/// A real ZooKeeper of one member, with sessions as short as the tests want them.
pub(crate) struct ZooKeeper {
    address: SocketAddr,
    _container: Container,
    _folder: tempfile::TempDir,
}

impl ZooKeeper {
    pub(crate) async fn start(ip: &str) -> Self {
        let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("zoo.cfg");
        let text = format!(
            "dataDir=/var/lib/zookeeper\nclientPortAddress={ip}\nclientPort={}\ntickTime=500\n",
            address.port()
        );
        std::fs::write(&configuration, text).unwrap();
        let volume = format!("{}:/etc/zookeeper/zoo.cfg:ro", configuration.display());
        let output = docker(&[
            "run",
            "--detach",
            "--network=host",
            "--env=JVMFLAGS=-Xmx64m",
            "--volume",
            &volume,
            &image("zookeeper"),
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let container =
            Container(String::from_utf8(output.stdout).unwrap().trim().into());
        let zookeeper = Self { address, _container: container, _folder: folder };
        let url = zookeeper.url("/").parse().unwrap();
        until("ZooKeeper", async || Session::connect(&url, DEADLINE).await.is_ok()).await;
        zookeeper
    }

    /// Where a path of it is, as the flags name it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("zk://{}{path}", self.address)
    }
}
