//! Fetches a task's `uris` into its sandbox, as the task's user.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::launch::User;
use crate::http;

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// A URI that could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("Failed to fetch '{uri}': {reason}")]
pub struct FetchError {
    uri: String,
    reason: String,
}

/// Fetches all URIs of a `CommandInfo`, one after the other.
///
/// # Errors
/// When one of them cannot be fetched or extracted.
pub async fn fetch_all(
    command: &Value,
    sandbox: &Path,
    user: Option<&User>,
) -> Result<(), FetchError> {
    for uri in command["uris"].as_array().into_iter().flatten() {
        let value = uri["value"].as_str().unwrap_or_default();
        fetch(uri, value, sandbox, user)
            .await
            .map_err(|reason| FetchError { uri: value.to_owned(), reason })?;
    }
    Ok(())
}

async fn fetch(
    uri: &Value,
    value: &str,
    sandbox: &Path,
    user: Option<&User>,
) -> Result<(), String> {
    let name = match uri["output_file"].as_str() {
        Some(name) => name,
        None => file_name(value).ok_or("it names no file")?,
    };
    let target = sandbox.join(name);
    if let Some(folder) = target.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|e| e.to_string())?;
    }
    match source(value) {
        Source::File(path) => run(&["cp", "--", path, &text(&target)], user).await?,
        Source::Http => download(value, &target, user).await?,
        Source::Unknown => return Err("only file:// and http:// are known".to_owned()),
    }
    if uri["executable"] == true {
        return run(&["chmod", "+x", &text(&target)], user).await;
    }
    if uri["extract"] == false {
        return Ok(());
    }
    match extraction(name, &text(&target), &text(sandbox)) {
        Some(argv) => {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            run(&argv, user).await
        }
        None => Ok(()),
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[derive(Debug, PartialEq, Eq)]
enum Source<'a> {
    File(&'a str),
    Http,
    Unknown,
}

fn source(uri: &str) -> Source<'_> {
    match uri.strip_prefix("file://") {
        Some(path) => Source::File(path),
        None if uri.starts_with('/') => Source::File(uri),
        None if uri.starts_with("http://") => Source::Http,
        None => Source::Unknown,
    }
}

/// The last part of a URI's path.
fn file_name(uri: &str) -> Option<&str> {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    path.rsplit('/').next().filter(|name| !name.is_empty())
}

/// The command that unpacks a file of this name; `None` when it is no archive.
fn extraction(name: &str, file: &str, folder: &str) -> Option<Vec<String>> {
    let argv: &[&str] = match name {
        _ if [".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"]
            .iter()
            .any(|end| name.ends_with(end)) =>
        {
            &["tar", "-C", folder, "-xf", file]
        }
        _ if name.ends_with(".zip") => &["unzip", "-o", "-q", "-d", folder, file],
        _ if name.ends_with(".gz") => &["gzip", "-d", "-f", file],
        _ => return None,
    };
    Some(argv.iter().map(|word| (*word).to_owned()).collect())
}

async fn run(argv: &[&str], user: Option<&User>) -> Result<(), String> {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    let output = command.output().await.map_err(|e| format!("{}: {e}", argv[0]))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} exited with {}: {}", argv[0], output.status, stderr.trim()))
}

async fn download(uri: &str, target: &Path, user: Option<&User>) -> Result<(), String> {
    let client = http::streaming_client(SILENCE).map_err(|e| e.to_string())?;
    let response = client.get(uri).send().await.map_err(|e| e.to_string())?;
    if !response.status().is_success() {
        return Err(format!("the server answered {}", response.status()));
    }
    let mut file = tokio::fs::File::create(target).await.map_err(|e| e.to_string())?;
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|e| e.to_string())?;
        file.write_all(&piece).await.map_err(|e| e.to_string())?;
    }
    file.flush().await.map_err(|e| e.to_string())?;
    match user {
        Some(user) => user.own(target).map_err(|e| e.to_string()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_uri_tells_where_from_and_what() {
        assert_eq!(
            source("file:///etc/docker.tar.gz"),
            Source::File("/etc/docker.tar.gz")
        );
        assert_eq!(source("hdfs://h/x"), Source::Unknown);
        assert_eq!(file_name("http://h/a/b.zip?x=/y"), Some("b.zip"));
        assert_eq!(file_name("http://h/a/"), None);
        let tool = |name| extraction(name, "f", "d").map(|argv| argv[0].clone());
        for (name, want) in [("a.tar.gz", "tar"), ("a.zip", "unzip"), ("a.gz", "gzip")] {
            assert_eq!(tool(name).as_deref(), Some(want));
        }
        assert_eq!(tool("a.json"), None);
    }

    #[tokio::test]
    async fn files_are_copied_and_archives_extracted() {
        let folder = tempfile::tempdir().unwrap();
        let (source, sandbox) = (folder.path().join("in"), folder.path().join("box"));
        std::fs::create_dir_all(source.join(".docker")).unwrap();
        std::fs::create_dir(&sandbox).unwrap();
        std::fs::write(source.join(".docker/config.json"), "{}").unwrap();
        let archive = folder.path().join("docker.tar.gz");
        let (from, to) = (text(&source), text(&archive));
        run(&["tar", "-C", &from, "-czf", &to, ".docker"], None).await.unwrap();
        let uri = format!("file://{to}");
        let whole = json!({"uris": [{"value": uri, "extract": false}]});
        fetch_all(&whole, &sandbox, None).await.unwrap();
        assert!(!sandbox.join(".docker").exists());
        fetch_all(&json!({"uris": [{"value": uri}]}), &sandbox, None).await.unwrap();
        assert!(sandbox.join(".docker/config.json").exists());
        let missing = json!({"uris": [{"value": "file:///does/not/exist"}]});
        assert!(fetch_all(&missing, &sandbox, None).await.is_err());
    }
}
