//! Builds images from folders, in the operator's own Docker.
//!
//! A folder contains either an executable `rootfs`, which writes the tar of a root file system to
//! its standard output, or a `Dockerfile`, whose first `ARG` lines name its base images. An
//! image's tag is a hash of its folder and its bases. So an image that exists is not built again,
//! and the image always matches the folder.
//!
//! Two builds at the same time would both build a common base: build one after the other.

mod folder;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Empty};
use tokio::process::{Child, Command};

use super::cache;
use super::pins::Pins;
use crate::reference::BadReference;
use crate::remote::Argv;
use crate::remote::local::{self, LocalError};
use folder::Base;
pub(super) use folder::is_executable;
pub use folder::{references, tag};

/// The longest build. A root file system from packages takes a minute or two; with a slow mirror
/// it takes far longer.
const BUILD: Duration = Duration::from_secs(30 * 60);
const SAVE: Duration = Duration::from_secs(10 * 60);
const ASK: Duration = Duration::from_secs(30);
/// How many of the last lines of a failed build an error repeats.
const LAST_LINES: usize = 20;

/// The status of a program that wrote into a pipe without a reader.
const BROKEN_PIPE: i32 = 128 + 13;

/// Is called with each line that a build prints.
pub type OnLine<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// An image of the operator's Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its name: `platform/<name>:<12 digits>`.
    pub tag: String,
    /// Whether it had to be built.
    pub was_built: bool,
}

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder contains nothing to build.
    #[error("{} has neither an executable `rootfs` nor a `Dockerfile`", .0.display())]
    NothingToBuild(PathBuf),
    /// The image is built on itself, or on too many others.
    #[error(
        "the base of {} cannot be found: `ARG …=platform/…` in its Dockerfile leads back to \
         the same folder",
        .0.display()
    )]
    Circle(PathBuf),
    /// A base image is not named as images of registries are.
    #[error("the Dockerfile in {} names no base image", folder.display())]
    Base {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with the name.
        source: BadReference,
    },
    /// A base image from a registry has no digest yet.
    #[error("{} is built on {reference}, which has no digest yet", folder.display())]
    NotPinned {
        /// The folder.
        folder: PathBuf,
        /// The image, by its tag.
        reference: String,
    },
    /// There is no `docker` on this computer.
    #[error(
        "cannot build images: there is no `docker` on this computer; install it, or \
         name an archive in the catalogue"
    )]
    NoDocker,
    /// Docker does not answer.
    #[error(
        "cannot build images: Docker on this computer does not answer; start it and run \
         the command again ({said})"
    )]
    DockerDown {
        /// What `docker` printed.
        said: String,
    },
    /// A program could not be run.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The build itself failed.
    #[error("cannot build {tag}: `{program}` ended with status {status}\n{last_lines}")]
    Failed {
        /// The image.
        tag: String,
        /// The program.
        program: String,
        /// Its exit status; 128 + the number of the signal if one ended it.
        status: i32,
        /// The last lines that it printed.
        last_lines: String,
    },
    /// The cache folder cannot be written.
    #[error("cannot write {}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Builds the image of a folder and its base images, unless they exist. `pins` has the digests of
/// base images from registries.
///
/// # Errors
/// When Docker is missing or down, or a build fails. A build that fails leaves no tag.
pub async fn ensure_built(
    folder: &Path,
    pins: &Pins,
    on_line: OnLine<'_>,
) -> Result<Built, BuildError> {
    let tag = tag(folder, pins)?;
    if is_there(&tag).await? {
        return Ok(Built { tag, was_built: false });
    }
    build(folder, pins, &tag, on_line).await?;
    Ok(Built { tag, was_built: true })
}

/// The archive of a folder's image in the cache folder. It is built and saved if it does not exist,
/// or else found without asking Docker. Archives of earlier versions of the folder are removed.
///
/// # Errors
/// As [`ensure_built`], and when the archive cannot be written.
pub async fn ensure_archive(
    folder: &Path,
    pins: &Pins,
    cache: &Path,
    on_line: OnLine<'_>,
) -> Result<PathBuf, BuildError> {
    let tag = tag(folder, pins)?;
    let (name, hash) = tag.rsplit_once(':').unwrap_or((&tag, ""));
    let name = name.rsplit('/').next().unwrap_or(name);
    let file = format!("{name}-{hash}.tar");
    let archive = cache.join(&file);
    if archive.is_file() {
        return Ok(archive);
    }
    ensure_built(folder, pins, on_line).await?;
    save(&tag, &archive).await?;
    let is_old = |other: &str| other != file && is_archive_of(other, name);
    let failed = |source| BuildError::Cache { path: archive.clone(), source };
    cache::remove(cache, is_old).map_err(failed)?;
    Ok(archive)
}

fn is_archive_of(file: &str, name: &str) -> bool {
    let hash = file
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(".tar"));
    hash.is_some_and(|hash| {
        hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

async fn is_there(tag: &str) -> Result<bool, BuildError> {
    let ids = docker(&["image", "ls", "--quiet", tag], ASK).await?;
    Ok(!ids.trim().is_empty())
}

/// Builds an image. Boxed, because a base is built by the same function.
fn build<'a>(
    folder: &'a Path,
    pins: &'a Pins,
    tag: &'a str,
    on_line: OnLine<'a>,
) -> BoxFuture<'a, Result<(), BuildError>> {
    Box::pin(async move {
        let rootfs = folder.join("rootfs");
        if rootfs.metadata().is_ok_and(|about| is_executable(&about)) {
            return import(folder, tag, on_line).await;
        }
        if !folder.join("Dockerfile").is_file() {
            return Err(BuildError::NothingToBuild(folder.to_owned()));
        }
        let mut command = Command::new("docker");
        command.args(["build", "--tag", tag]);
        for (name, base) in folder::bases(folder)? {
            let image = match base {
                Base::Folder(base) => ensure_built(&base, pins, on_line).await?.tag,
                Base::Upstream(reference) => {
                    folder::pinned(folder, &reference, pins)?.to_string()
                }
            };
            command.args(["--build-arg", &format!("{name}={image}")]);
        }
        command.arg(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = spawn("docker", &mut command)?;
        let lines = child.stdout.take();
        finish(child, lines, ("docker build", tag), on_line).await
    })
}

/// Runs `rootfs | docker import -` with a pipe of the kernel. The image gets its tag only once
/// both have ended well, as Docker may accept the incomplete tar of a script that failed.
async fn import(folder: &Path, tag: &str, on_line: OnLine<'_>) -> Result<(), BuildError> {
    let rootfs = fs::canonicalize(folder.join("rootfs"))
        .map_err(|source| BuildError::Read { path: folder.join("rootfs"), source })?;
    let mut script = Command::new(&rootfs);
    script.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut script = spawn("rootfs", &mut script)?;
    let pipe = script.stdout.take().expect("its output was asked for");
    let pipe: Stdio = pipe
        .try_into()
        .map_err(|source| LocalError::Pipe { program: "rootfs".to_owned(), source })?;
    let mut import = Command::new("docker");
    import.args(["import", "-"]).stdin(pipe).stdout(Stdio::piped());
    let mut import = spawn("docker", &mut import)?;
    let id = lines(import.stdout.take()).collect::<String>();
    let (script, import, id) = tokio::join!(
        finish(script, None::<Empty>, ("rootfs", tag), on_line),
        finish(import, None::<Empty>, ("docker import", tag), on_line),
        id,
    );
    let ended = match script {
        // The script could not go on writing: the error of the reader says why.
        Err(BuildError::Failed { status: BROKEN_PIPE, .. }) if import.is_err() => import,
        script => script.and(import),
    };
    if let Err(error) = ended {
        if !id.is_empty() {
            docker(&["image", "rm", &id], ASK).await?;
        }
        return Err(error);
    }
    docker(&["image", "tag", &id, tag], ASK).await.map(drop)
}

/// Saves an image of this computer's Docker as an archive. It is written under another name and then
/// renamed, so that the file is always complete.
///
/// # Errors
/// When Docker is missing or down, has no such image, or the archive cannot be written.
pub async fn save(tag: &str, archive: &Path) -> Result<(), BuildError> {
    let failed = |source| BuildError::Cache { path: archive.to_owned(), source };
    let folder = archive.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let beside = tempfile::Builder::new().prefix(".saving-").tempdir_in(folder);
    let beside = beside.map_err(failed)?;
    let new = beside.path().join("image.tar");
    docker(&["image", "save", "--output", &new.to_string_lossy(), tag], SAVE).await?;
    fs::rename(&new, archive).map_err(failed)
}

async fn docker(arguments: &[&str], deadline: Duration) -> Result<String, BuildError> {
    let words = std::iter::once("docker").chain(arguments.iter().copied());
    local::expect(&Argv::new(words), deadline).await.map_err(explain)
}

/// Explains an error of `docker`. It has one status for everything; only its message shows that the
/// engine does not answer.
fn explain(error: LocalError) -> BuildError {
    match error {
        LocalError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            BuildError::NoDocker
        }
        LocalError::Failed { stderr, .. } if stderr.contains("connect to the Docker") => {
            BuildError::DockerDown { said: stderr }
        }
        other => BuildError::Local(other),
    }
}

fn spawn(program: &str, command: &mut Command) -> Result<Child, BuildError> {
    let child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn();
    child.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound if program == "docker" => BuildError::NoDocker,
        _ => LocalError::Start { program: program.to_owned(), source }.into(),
    })
}

/// Waits for the end of a build, and passes on what it prints until then.
async fn finish(
    mut child: Child,
    stdout: Option<impl AsyncRead + Send + Unpin>,
    (program, tag): (&str, &str),
    on_line: OnLine<'_>,
) -> Result<(), BuildError> {
    let mut printed = stream::select(lines(stdout), lines(child.stderr.take()));
    let mut last_lines = VecDeque::new();
    let ended = async {
        while let Some(line) = printed.next().await {
            on_line(&line);
            last_lines.push_back(line);
            if last_lines.len() > LAST_LINES {
                last_lines.pop_front();
            }
        }
        child.wait().await
    };
    let name = || program.to_owned();
    let status = match tokio::time::timeout(BUILD, ended).await {
        Err(_) => Err(LocalError::TimedOut { program: name(), deadline: BUILD }),
        Ok(Err(source)) => Err(LocalError::Pipe { program: name(), source }),
        Ok(Ok(status)) => Ok(status),
    }?;
    if status.success() {
        return Ok(());
    }
    let signal = status.signal();
    Err(BuildError::Failed {
        tag: tag.to_owned(),
        program: name(),
        status: status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(255),
        last_lines: Vec::from(last_lines).join("\n"),
    })
}

/// The lines that a program prints. If its output breaks off, its status shows what happened.
fn lines<'a>(from: Option<impl AsyncRead + Send + Unpin + 'a>) -> BoxStream<'a, String> {
    let Some(from) = from else { return stream::empty().boxed() };
    stream::unfold(BufReader::new(from), async |mut reader| {
        let mut line = Vec::new();
        let n_read = reader.read_until(b'\n', &mut line).await.ok()?;
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        (n_read > 0).then_some((text, reader))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_a_silent_docker_are_told_from_other_failures() {
        let failed = |stderr: &str| LocalError::Failed {
            command: "docker image".into(),
            status: 1,
            stderr: stderr.into(),
        };
        let down = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is \
                    the docker daemon running?";
        let not_ours = "permission denied while trying to connect to the Docker daemon \
                        socket at unix:///var/run/docker.sock";
        for silent in [down, not_ours] {
            let said = explain(failed(silent));
            assert!(matches!(said, BuildError::DockerDown { .. }), "{said}");
        }
        let other =
            explain(failed("Error response from daemon: no space left on device"));
        assert!(matches!(other, BuildError::Local(_)), "{other}");
        let source = io::ErrorKind::NotFound.into();
        let missing = explain(LocalError::Start { program: "docker".into(), source });
        assert!(matches!(missing, BuildError::NoDocker), "{missing}");
    }

    #[test]
    fn only_archives_of_the_same_name_are_old_ones() {
        assert!(is_archive_of("zk-0123456789ab.tar", "zk"));
        for other in ["zk-tools-0123456789ab.tar", "zk-0123456789ab.tar.gz", "zk.tar"] {
            assert!(!is_archive_of(other, "zk"), "{other}");
        }
    }
}
