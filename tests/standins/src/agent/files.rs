//! `/files/…`: the sandboxes, and nothing else of the machine.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::http;

/// What one answer holds at most, and where no length is asked for.
const MAX_LENGTH: u64 = 64 * 1024;

/// The parameters of a query.
pub type Query = BTreeMap<String, String>;

/// The file that a query names, below the folder of sandboxes.
fn find(work_dir: &Path, query: &Query) -> Result<PathBuf, Box<Response>> {
    let bad = |text: &str| Box::new(http::text(StatusCode::BAD_REQUEST, text));
    let asked = query
        .get("path")
        .filter(|path| !path.is_empty())
        .ok_or_else(|| bad("Expecting 'path=value' in query.\n"))?;
    let missing = || Box::new(http::not_found());
    let root = work_dir.join("slaves").canonicalize().map_err(|_| missing())?;
    let found = resolve(work_dir, asked).ok_or_else(missing)?;
    // Links are followed first, so that none leads out of the sandboxes.
    let real = found.canonicalize().map_err(|_| missing())?;
    if real.starts_with(&root) { Ok(real) } else { Err(missing()) }
}

/// A path of the machine, or one that begins with `/frameworks` for the present agent.
fn resolve(work_dir: &Path, asked: &str) -> Option<PathBuf> {
    let asked = asked.trim_end_matches('/');
    if !asked.starts_with("/frameworks/") {
        return Some(PathBuf::from(asked));
    }
    let latest = fs::read_link(work_dir.join("meta/slaves/latest")).ok()?;
    let agent_id = latest.file_name()?.to_owned();
    let rest = asked.trim_start_matches('/');
    Some(work_dir.join("slaves").join(agent_id).join(rest))
}

/// `/files/read`: a piece of a file; the offset -1 asks for its size.
pub fn read(work_dir: &Path, query: &Query) -> Result<Response, Box<Response>> {
    let path = find(work_dir, query)?;
    let bad = |text: String| Box::new(http::text(StatusCode::BAD_REQUEST, text));
    if path.is_dir() {
        return Err(bad("Cannot read a directory.\n".to_owned()));
    }
    let number = |name: &str| {
        let value = query.get(name).map(|text| text.parse::<i64>()).transpose();
        value.map_err(|_| bad(format!("Failed to parse {name}.\n")))
    };
    let (offset, length) = (number("offset")?.unwrap_or(-1), number("length")?);
    let answer = match u64::try_from(offset) {
        Ok(offset) => piece(&path, offset, length),
        Err(_) if offset == -1 => size(&path).map(|size| said(&[], size)),
        Err(_) => return Err(bad(format!("Negative offset provided: {offset}.\n"))),
    };
    let json = |body| http::of_kind(StatusCode::OK, "application/json", body);
    answer.map(json).map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> Box<Response> {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Box::new(http::text(status, format!("Failed to read file: {error}.\n")))
}

fn size(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

/// What is there from an offset on; behind the end, nothing and the size.
fn piece(path: &Path, offset: u64, length: Option<i64>) -> io::Result<Vec<u8>> {
    let size = size(path)?;
    if offset >= size {
        return Ok(said(&[], size));
    }
    let wanted = length.and_then(|length| u64::try_from(length).ok());
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut data = Vec::new();
    file.take(wanted.unwrap_or(MAX_LENGTH).min(MAX_LENGTH)).read_to_end(&mut data)?;
    Ok(said(&data, offset))
}

/// An answer. Mesos sends bytes that are no UTF-8 as they are, also inside a JSON string.
fn said(data: &[u8], offset: u64) -> Vec<u8> {
    let mut body = b"{\"data\":\"".to_vec();
    for chunk in data.utf8_chunks() {
        let quoted = Value::from(chunk.valid()).to_string();
        body.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        body.extend_from_slice(chunk.invalid());
    }
    body.extend_from_slice(format!("\",\"offset\":{offset}}}").as_bytes());
    body
}

/// `/files/browse`: what a folder holds.
pub fn browse(work_dir: &Path, query: &Query) -> Result<Response, Box<Response>> {
    let path = find(work_dir, query)?;
    let shown = query.get("path").map_or("", |path| path.trim_end_matches('/'));
    let entries = fs::read_dir(&path).map_err(|_| Box::new(http::not_found()))?;
    let mut list = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error))?;
        let shown = format!("{shown}/{}", entry.file_name().to_string_lossy());
        // A file may go between the two questions.
        if let Ok(metadata) = entry.path().symlink_metadata() {
            list.push(entry_json(&shown, &metadata));
        }
    }
    list.sort_by(|a, b| a["path"].as_str().cmp(&b["path"].as_str()));
    Ok(http::json(&list.into()))
}

fn entry_json(path: &str, metadata: &Metadata) -> Value {
    json!({
        "gid": metadata.gid().to_string(),
        "mode": mode_text(metadata),
        "mtime": metadata.mtime(),
        "nlink": metadata.nlink(),
        "path": path,
        "size": metadata.len(),
        "uid": metadata.uid().to_string(),
    })
}

/// A mode as `ls` writes it.
fn mode_text(metadata: &Metadata) -> String {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => 'd',
        kind if kind.is_symlink() => 'l',
        _ => '-',
    };
    let mode = metadata.permissions().mode();
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    let bits = bits.map(|(bit, sign)| if mode & (1 << bit) == 0 { '-' } else { sign });
    std::iter::once(kind).chain(bits).collect()
}

/// `/files/download`: a whole file.
pub fn download(work_dir: &Path, query: &Query) -> Result<Response, Box<Response>> {
    let path = find(work_dir, query)?;
    let bytes = fs::read(&path).map_err(|error| failed(&error))?;
    let response = http::of_kind(StatusCode::OK, "application/octet-stream", bytes);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let value = format!("attachment; filename={name}");
    Ok(http::with_header(response, header::CONTENT_DISPOSITION, &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(path: &str, offset: &str) -> Query {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        [pair("path", path), pair("offset", offset)].into()
    }

    fn sandbox() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("slaves/a/frameworks/f");
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir_all(folder.path().join("meta/slaves/a")).unwrap();
        let meta = folder.path().join("meta/slaves");
        std::os::unix::fs::symlink(meta.join("a"), meta.join("latest")).unwrap();
        fs::write(inside.join("stdout"), "hello").unwrap();
        (folder, inside)
    }

    #[tokio::test]
    async fn a_file_is_read_in_pieces_by_either_path() {
        let (folder, inside) = sandbox();
        let real = inside.join("stdout").display().to_string();
        for path in ["/frameworks/f/stdout", &real] {
            for (offset, want) in [
                ("-1", json!({"data": "", "offset": 5})),
                ("2", json!({"data": "llo", "offset": 2})),
                ("9", json!({"data": "", "offset": 5})),
            ] {
                let response = read(folder.path(), &query(path, offset)).unwrap();
                let body =
                    axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
                assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), want);
            }
        }
    }

    #[test]
    fn bytes_that_are_no_characters_are_sent_as_they_are() {
        assert_eq!(said(b"a\"\n\xff", 7), b"{\"data\":\"a\\\"\\n\xff\",\"offset\":7}");
    }

    #[test]
    fn nothing_outside_the_sandboxes_is_shown() {
        let (folder, inside) = sandbox();
        std::os::unix::fs::symlink("/etc/passwd", inside.join("link")).unwrap();
        let status =
            |path: &str| read(folder.path(), &query(path, "0")).unwrap_err().status();
        let meta = folder.path().join("meta/slaves/a").display().to_string();
        for path in ["/etc/passwd", "/frameworks/f/link", "/frameworks/../../x", &meta] {
            assert_eq!(status(path), StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(status(""), StatusCode::BAD_REQUEST);
        assert_eq!(status("/frameworks/f"), StatusCode::BAD_REQUEST);
        let listed = browse(folder.path(), &query("/frameworks/f", ""));
        assert_eq!(listed.unwrap().status(), StatusCode::OK);
    }
}
