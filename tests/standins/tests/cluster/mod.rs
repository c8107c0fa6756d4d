//! A ZooKeeper in a container and stand-ins as processes, for the tests.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use standins::zk::{Session, ZkUrl};

/// The longest that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// ZooKeeper's session, short, so that a leader that died is soon missed.
pub(crate) const SESSION: Duration = Duration::from_secs(4);

/// A real ZooKeeper of one member; it ends with this.
pub(crate) struct ZooKeeper {
    container: String,
    address: String,
    _folder: tempfile::TempDir,
}

impl ZooKeeper {
    pub(crate) async fn start() -> Self {
        let folder = folder();
        let settings = "tickTime=500\ndataDir=/var/lib/zookeeper\nclientPort=2181\n";
        std::fs::write(folder.path().join("zoo.cfg"), settings).unwrap();
        let volume = format!("{}:/etc/zookeeper:ro", folder.path().display());
        let image = image("zookeeper");
        let run = ["run", "--detach", "--rm", "--volume", &volume];
        let container =
            docker(&[&run, &["--env", "JVMFLAGS=-Xmx96m", &image][..]].concat());
        let shown = ["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &container];
        let address = format!("{}:2181", docker(&shown));
        let zookeeper = Self { container, address, _folder: folder };
        let url = zookeeper.url("", "/");
        until("ZooKeeper to serve", async || {
            Session::connect(&url, SESSION).await.is_ok()
        })
        .await;
        zookeeper
    }

    pub(crate) fn servers(&self) -> &str {
        &self.address
    }

    /// An address of a path, with `user:password@` or nothing.
    pub(crate) fn url(&self, user: &str, path: &str) -> ZkUrl {
        format!("zk://{user}{}{path}", self.address).parse().unwrap()
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        docker(&["rm", "--force", &self.container]);
    }
}

/// The newest image of this repository with this name.
pub(crate) fn image(name: &str) -> String {
    let repository = format!("platform/{name}");
    let format = "--format={{.Repository}}:{{.Tag}}";
    let images = docker(&["image", "ls", format, &repository]);
    images.lines().next().expect("`make test` builds the images first").to_owned()
}

/// What Docker's client says, without blanks around it.
pub(crate) fn docker(words: &[&str]) -> String {
    let output =
        Command::new("docker").args(words).output().expect("docker is installed");
    assert!(output.status.success(), "docker {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A folder that everyone may read, as tasks of other users have to.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    folder
}

/// A stand-in as a process; it ends with this.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(
        program: &str,
        log: &Path,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) -> Self {
        let file = std::fs::File::create(log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log: log.to_owned() }
    }

    /// Ends the process as SIGKILL does.
    pub(crate) fn kill_outright(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Ends the process as SIGTERM does; its exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended().await
    }

    /// The exit code, when the process has ended.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        until("the process to end", async || {
            let status = self.child.try_wait().unwrap();
            code = status.and_then(|status| status.code());
            status.is_some()
        })
        .await;
        code
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition, and fails when it does not come true in time.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while !condition().await {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(DEADLINE, wait).await;
    assert!(waited.is_ok(), "still waiting for {what}");
}
