//! Images made from folders, in the operator's own Docker.
//!
//! A folder `images/<name>/` holds either an executable `rootfs`, which writes the tar of a
//! root file system to its standard output, or a `Dockerfile`. One that begins with
//! `ARG BASE=platform/<sibling>` and `FROM ${BASE}` stands on the image of the folder beside
//! it. An image's tag is a hash of its folder and its base, so what is there is never built
//! again, and what is built is always of the folder as it is.
//!
//! Two builds of the same base at once would both build it: build one after the other.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Empty};
use tokio::process::{Child, Command};

use super::{Digest, cache};
use crate::remote::Argv;
use crate::remote::local::{self, LocalError};

/// A root file system from packages takes a minute or two; a slow mirror far more.
const BUILD: Duration = Duration::from_secs(30 * 60);
const SAVE: Duration = Duration::from_secs(10 * 60);
const ASK: Duration = Duration::from_secs(30);
/// No image stands on more others; a folder that stands on itself is found so.
const MAX_BASES: usize = 8;
/// How much of a failed build's last words an error repeats.
const LAST_LINES: usize = 20;

/// The status of a program that wrote into a pipe that nobody reads any more.
const BROKEN_PIPE: i32 = 128 + 13;

/// Gets each line that a build prints.
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
    /// There is nothing to build in it.
    #[error("{} has neither an executable `rootfs` nor a `Dockerfile`", .0.display())]
    NothingToBuild(PathBuf),
    /// It stands on itself, or on too many others.
    #[error(
        "the base of {} is not to be found by following `ARG BASE`: it leads in a \
         circle",
        .0.display()
    )]
    Circle(PathBuf),
    /// There is no `docker` on this computer.
    #[error(
        "cannot build images: there is no `docker` on this computer; install it, or \
         give an archive in the catalogue"
    )]
    NoDocker,
    /// Docker does not answer.
    #[error(
        "cannot build images: Docker on this computer does not answer; start it and run \
         again ({said})"
    )]
    DockerDown {
        /// What `docker` said.
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
        /// Which program.
        program: String,
        /// Its exit status; 128 + the signal's number where one ended it.
        status: i32,
        /// Its last words.
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

/// The tag that the image of a folder has: of the names, contents and executable bits in it,
/// and of its base's. Reads the folder, and nothing else.
///
/// # Errors
/// When the folder cannot be read, or stands on itself.
pub fn tag(folder: &Path) -> Result<String, BuildError> {
    tag_of(folder, MAX_BASES)
}

/// Builds the image of a folder, and those it stands on, where they are not there yet.
///
/// # Errors
/// When Docker is missing or down, or a build fails. A build that fails leaves no tag.
pub async fn ensure_built(
    folder: &Path,
    on_line: OnLine<'_>,
) -> Result<Built, BuildError> {
    let tag = tag(folder)?;
    if is_there(&tag).await? {
        return Ok(Built { tag, was_built: false });
    }
    build(folder, &tag, on_line).await?;
    Ok(Built { tag, was_built: true })
}

/// The archive of a folder's image in the cache folder: built and saved where it is not there
/// yet, else found without asking Docker. Archives of what the folder was before are removed.
///
/// # Errors
/// As [`ensure_built`], and when the archive cannot be written.
pub async fn ensure_archive(
    folder: &Path,
    cache: &Path,
    on_line: OnLine<'_>,
) -> Result<PathBuf, BuildError> {
    let tag = tag(folder)?;
    let (name, hash) = tag.rsplit_once(':').unwrap_or((&tag, ""));
    let name = name.rsplit('/').next().unwrap_or(name);
    let file = format!("{name}-{hash}.tar");
    let archive = cache.join(&file);
    if archive.is_file() {
        return Ok(archive);
    }
    ensure_built(folder, on_line).await?;
    save(&tag, &archive).await?;
    let is_old = |other: &str| other != file && is_archive_of(other, name);
    let failed = |source| BuildError::Cache { path: archive.clone(), source };
    cache::remove(cache, is_old).map_err(failed)?;
    Ok(archive)
}

fn tag_of(folder: &Path, bases_left: usize) -> Result<String, BuildError> {
    let mut hasher = Sha256::new();
    hash_folder(folder, Path::new(""), &mut hasher)?;
    if let Some(base) = base_of(folder)? {
        if bases_left == 0 {
            return Err(BuildError::Circle(folder.to_owned()));
        }
        hasher.update(tag_of(&base, bases_left - 1)?);
    }
    let name = folder.file_name().unwrap_or(OsStr::new("image")).to_string_lossy();
    Ok(format!("platform/{name}:{}", Digest::finish(hasher).short()))
}

/// Of a file's mode only the executable bit counts: the others come from the operator's umask.
fn hash_folder(root: &Path, inner: &Path, hasher: &mut Sha256) -> Result<(), BuildError> {
    let folder = root.join(inner);
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Read { path, source }
    };
    let names = fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<_> = names.map_err(unreadable(&folder))?;
    names.sort();
    for name in names {
        let (inner, path) = (inner.join(&name), folder.join(&name));
        let about = path.symlink_metadata().map_err(unreadable(&path))?;
        if about.is_dir() {
            hash_folder(root, &inner, hasher)?;
            continue;
        }
        let content = match about.is_symlink() {
            true => {
                fs::read_link(&path).map(|to| to.into_os_string().into_encoded_bytes())
            }
            false => fs::read(&path),
        };
        let content = content.map_err(unreadable(&path))?;
        let kind = match (about.is_symlink(), is_executable(&about)) {
            (true, _) => "link",
            (false, true) => "program",
            (false, false) => "file",
        };
        // Lengths keep one file's end apart from the next one's begin.
        hasher.update(format!("{kind} {} {}\n", inner.display(), content.len()));
        hasher.update(content);
    }
    Ok(())
}

fn is_executable(about: &fs::Metadata) -> bool {
    about.permissions().mode() & 0o111 != 0
}

/// The folder of the image that a folder's image stands on.
fn base_of(folder: &Path) -> Result<Option<PathBuf>, BuildError> {
    let path = folder.join("Dockerfile");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(BuildError::Read { path, source }),
    };
    let sibling = base_name(&text);
    Ok(sibling.map(|name| folder.parent().unwrap_or(Path::new("")).join(name)))
}

/// The sibling that a Dockerfile names before anything else but comments.
fn base_name(dockerfile: &str) -> Option<&str> {
    let mut lines = dockerfile.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let name = first.strip_prefix("ARG BASE=platform/")?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
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

/// Boxed, because a base is built by the same function.
fn build<'a>(
    folder: &'a Path,
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
        if let Some(base) = base_of(folder)? {
            let base = ensure_built(&base, on_line).await?;
            command.args(["--build-arg", &format!("BASE={}", base.tag)]);
        }
        command.arg(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = spawn("docker", &mut command)?;
        let lines = child.stdout.take();
        finish(child, lines, ("docker build", tag), on_line).await
    })
}

/// Runs `rootfs | docker import -`, joined by the kernel. The image gets its tag only once
/// both have ended well: a script that breaks off leaves a tar that Docker may well take.
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
        // The script could not write on: the other end knows why.
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

/// Written beside and renamed, so that a file of that name is always whole.
async fn save(tag: &str, archive: &Path) -> Result<(), BuildError> {
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

/// `docker` has one status for everything; that nobody answers shows only in its words.
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

/// Waits for a build's end and passes on what it prints meanwhile.
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

/// The lines that a program prints. Its output may break off; its status tells how it went.
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

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    const ON_BASE: &str = "# A comment.\nARG BASE=platform/base\nFROM ${BASE}\n";

    #[test]
    fn the_tag_follows_names_contents_executable_bits_and_the_base() {
        let dir = folder(&[("base/rootfs", "#!/bin/sh\n"), ("zk/Dockerfile", ON_BASE)]);
        let (base, zk) = (dir.path().join("base"), dir.path().join("zk"));
        let tags = || (tag(&base).unwrap(), tag(&zk).unwrap());
        let first = tags();
        assert!(
            first.1.starts_with("platform/zk:") && first.1.len() == 24,
            "{}",
            first.1
        );
        assert_eq!(first, tags());

        fs::set_permissions(base.join("rootfs"), fs::Permissions::from_mode(0o755))
            .unwrap();
        let executable = tags();
        assert!(executable.0 != first.0 && executable.1 != first.1);

        fs::write(zk.join("serve"), "x").unwrap();
        let with_file = tags();
        assert!(with_file.0 == executable.0 && with_file.1 != executable.1);
        fs::rename(zk.join("serve"), zk.join("served")).unwrap();
        assert_ne!(tags().1, with_file.1);
    }

    #[test]
    fn group_permissions_and_the_place_of_the_folder_do_not_matter() {
        let files = [("zk/Dockerfile", "FROM scratch\n"), ("zk/etc/conf", "x")];
        let (one, other) = (folder(&files), folder(&files));
        let conf = other.path().join("zk/etc/conf");
        fs::set_permissions(conf, fs::Permissions::from_mode(0o664)).unwrap();
        let tag_in = |dir: &tempfile::TempDir| tag(&dir.path().join("zk")).unwrap();
        assert_eq!(tag_in(&one), tag_in(&other));
    }

    #[test]
    fn a_folder_that_stands_on_itself_is_refused() {
        let dir = folder(&[("base/Dockerfile", ON_BASE)]);
        let circle = tag(&dir.path().join("base"));
        assert!(matches!(circle, Err(BuildError::Circle(_))), "{circle:?}");
    }

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
    fn only_a_leading_argument_names_a_base() {
        assert_eq!(base_name(ON_BASE), Some("base"));
        assert_eq!(base_name("FROM scratch\nARG BASE=platform/base"), None);
        assert_eq!(base_name("ARG BASE=platform/../../etc"), None);
        assert_eq!(base_name(""), None);
    }

    #[test]
    fn only_archives_of_the_same_name_are_old_ones() {
        assert!(is_archive_of("zk-0123456789ab.tar", "zk"));
        for other in ["zk-tools-0123456789ab.tar", "zk-0123456789ab.tar.gz", "zk.tar"] {
            assert!(!is_archive_of(other, "zk"), "{other}");
        }
    }
}
