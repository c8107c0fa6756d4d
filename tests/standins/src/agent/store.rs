//! What survives the agent: its id and info, and the records of its tasks, below the work folder.
//!
//! Every file is written beside its place, flushed and renamed, so that a death at any instant
//! leaves the old or the new one. The layout of folders is that of the real agent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::record::Record;

/// A file of the work folder that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path}: {source}")]
pub struct StoreError {
    path: PathBuf,
    source: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError { path: path.to_owned(), source }
}

/// The work folder.
#[derive(Debug, Clone)]
pub struct Store {
    work_dir: PathBuf,
}

/// What an earlier agent left.
#[derive(Debug)]
pub struct Recovered {
    /// Its id.
    pub agent_id: String,
    /// Its info, without the id.
    pub info: Value,
    /// Its frameworks.
    pub frameworks: Vec<Value>,
    /// Its tasks, ended ones included.
    pub records: Vec<Record>,
}

impl Store {
    /// The store below a work folder, which is created if missing.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(work_dir: &Path) -> Result<Self, StoreError> {
        let meta = work_dir.join("meta/slaves");
        fs::create_dir_all(&meta).map_err(at(&meta))?;
        Ok(Self { work_dir: work_dir.to_owned() })
    }

    /// The folder whose files the agent shows.
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// The link to the agent that was here last.
    pub fn latest(&self) -> PathBuf {
        self.work_dir.join("meta/slaves/latest")
    }

    fn agent_meta(&self, agent_id: &str) -> PathBuf {
        self.work_dir.join("meta/slaves").join(agent_id)
    }

    /// The folder of a task's run: for what the agent keeps (`meta`), or the sandbox.
    fn run_dir(&self, root: &str, record: &Record) -> PathBuf {
        self.work_dir
            .join(root)
            .join(&record.agent_id)
            .join("frameworks")
            .join(&record.framework_id)
            .join("executors")
            .join(record.task_id())
            .join("runs")
            .join(&record.container_id)
    }

    /// Where the agent keeps what it knows of a task.
    pub fn task_meta(&self, record: &Record) -> PathBuf {
        self.run_dir("meta/slaves", record)
    }

    /// Where a task works.
    pub fn sandbox(&self, record: &Record) -> PathBuf {
        self.run_dir("slaves", record)
    }

    /// Keeps the agent's id and info, as the latest.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_agent(&self, agent_id: &str, info: &Value) -> Result<(), StoreError> {
        let meta = self.agent_meta(agent_id);
        let sandboxes = self.work_dir.join("slaves").join(agent_id);
        fs::create_dir_all(&sandboxes).map_err(at(&sandboxes))?;
        let kept = json!({"id": agent_id, "info": info});
        write_json(&meta.join("slave.info"), &kept)?;
        link(&meta, &self.latest())
    }

    /// Keeps a framework.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_framework(
        &self,
        agent_id: &str,
        framework: &Value,
    ) -> Result<(), StoreError> {
        let id = framework["id"]["value"].as_str().unwrap_or_default();
        let folder = self.agent_meta(agent_id).join("frameworks").join(id);
        write_json(&folder.join("framework.info"), framework)
    }

    /// Makes a new task's folders, and links `latest` to them.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn make_run(&self, record: &Record) -> Result<(), StoreError> {
        for folder in [self.task_meta(record), self.sandbox(record)] {
            fs::create_dir_all(&folder).map_err(at(&folder))?;
            link(&folder, &folder.with_file_name("latest"))?;
        }
        Ok(())
    }

    /// Keeps a task.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, record: &Record) -> Result<(), StoreError> {
        let value = serde_json::to_value(record).map_err(io::Error::from);
        let path = self.task_meta(record).join("task.json");
        write_json(&path, &value.map_err(at(&path))?)
    }

    /// Reads what the latest agent left; `None` when there is none.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn recover(&self) -> Result<Option<Recovered>, StoreError> {
        let meta = self.latest();
        let Some(kept) = read_json::<Value>(&meta.join("slave.info"))? else {
            return Ok(None);
        };
        let mut frameworks = Vec::new();
        let mut records = Vec::new();
        for folder in folders(&meta.join("frameworks"))? {
            frameworks.extend(read_json::<Value>(&folder.join("framework.info"))?);
            for executor in folders(&folder.join("executors"))? {
                for run in folders(&executor.join("runs"))? {
                    records.extend(read_json::<Record>(&run.join("task.json"))?);
                }
            }
        }
        Ok(Some(Recovered {
            agent_id: kept["id"].as_str().unwrap_or_default().to_owned(),
            info: kept["info"].clone(),
            frameworks,
            records,
        }))
    }
}

/// The folders in a folder, links left out; none when it is missing.
fn folders(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(at(path))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(path))?;
        if entry.file_type().map_err(at(path))?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Replaces a link at once, so that none is missing at any time.
fn link(target: &Path, link: &Path) -> Result<(), StoreError> {
    let new = link.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at(&new)(error));
        }
        _ => (),
    }
    std::os::unix::fs::symlink(target, &new).map_err(at(&new))?;
    fs::rename(&new, link).map_err(at(link))
}

fn write_json(path: &Path, value: &Value) -> Result<(), StoreError> {
    write_file(path, value.to_string().as_bytes(), 0o600)
}

/// Writes a file as a whole, for good, readable for those of `mode` alone.
///
/// # Errors
/// When it cannot be written.
pub fn write_file(path: &Path, content: &[u8], mode: u32) -> Result<(), StoreError> {
    write_whole(path, content, mode).map_err(at(path))
}

fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut options = File::options();
    let mut file =
        options.write(true).create(true).truncate(true).mode(mode).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| at(path)(io::Error::from(error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(store: &Store, container: &str) -> Record {
        let task = json!({"task_id": {"value": "t"}});
        let mut record = Record::new("f", task, "a", container);
        record.sandbox = store.sandbox(&record);
        record
    }

    #[test]
    fn what_is_saved_is_recovered() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.recover().unwrap().is_none());
        store.save_agent("a", &json!({"port": 1})).unwrap();
        store.save_framework("a", &json!({"id": {"value": "f"}})).unwrap();
        for container in ["c1", "c2"] {
            let record = record(&store, container);
            store.make_run(&record).unwrap();
            store.save(&record).unwrap();
        }
        let recovered = Store::open(folder.path()).unwrap().recover().unwrap().unwrap();
        assert_eq!(
            (recovered.agent_id.as_str(), &recovered.info["port"]),
            ("a", &json!(1))
        );
        assert_eq!(recovered.frameworks, [json!({"id": {"value": "f"}})]);
        let ids: Vec<&str> =
            recovered.records.iter().map(|r| r.container_id.as_str()).collect();
        assert_eq!(ids, ["c1", "c2"]);
        let latest = recovered.records[1].sandbox.with_file_name("latest");
        assert_eq!(fs::read_link(latest).unwrap(), recovered.records[1].sandbox);
    }

    #[test]
    fn removing_the_link_makes_a_new_agent() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.save_agent("a", &json!({})).unwrap();
        fs::remove_file(store.latest()).unwrap();
        assert!(store.recover().unwrap().is_none());
    }
}
