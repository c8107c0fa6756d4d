//! Keeps values in ZooKeeper, each in a node of its own below one path.

use crate::zk::{Session, ZkError};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use zookeeper_client::{CreateMode, Error};

/// Something in the store cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path} in the store")]
pub struct Unreadable {
    path: String,
    #[source]
    source: serde_json::Error,
}

/// The paths among those that are kept that begin with `prefix`.
pub fn below<'a>(
    kept: &'a BTreeMap<String, Vec<u8>>,
    prefix: &'a str,
) -> impl Iterator<Item = &'a str> {
    kept.keys().map(String::as_str).filter(move |path| path.starts_with(prefix))
}

/// One of those that are kept, as a value.
///
/// # Errors
/// When it is not there or is no such value.
pub fn read<T: DeserializeOwned>(
    kept: &BTreeMap<String, Vec<u8>>,
    path: &str,
) -> Result<T, Unreadable> {
    let bytes = kept.get(path).map(Vec::as_slice).unwrap_or_default();
    serde_json::from_slice(bytes)
        .map_err(|source| Unreadable { path: path.to_owned(), source })
}

/// One of those that are kept, as a value, or nothing when it is not there.
///
/// # Errors
/// When it is no such value.
pub fn read_if_kept<T: DeserializeOwned>(
    kept: &BTreeMap<String, Vec<u8>>,
    path: &str,
) -> Result<Option<T>, Unreadable> {
    kept.contains_key(path).then(|| read(kept, path)).transpose()
}

/// A place for values.
#[derive(Clone, Debug)]
pub struct Store {
    session: Session,
    root: String,
}

impl Store {
    /// A store below a path.
    pub fn new(session: &Session, root: impl Into<String>) -> Self {
        Self { session: session.clone(), root: root.into() }
    }

    /// Everything that is kept, by path.
    ///
    /// # Errors
    /// When ZooKeeper does not answer.
    pub async fn load(&self) -> Result<BTreeMap<String, Vec<u8>>, ZkError> {
        self.session.make_path(&self.root).await?;
        let mut found = BTreeMap::new();
        let mut waiting = vec![String::new()];
        while let Some(path) = waiting.pop() {
            let full = format!("{}{path}", self.root);
            let (data, children) = match self.read(&full).await {
                Ok(node) => node,
                Err(Error::NoNode) => continue,
                Err(source) => return Err(ZkError::Request { path: full, source }),
            };
            waiting.extend(children.iter().map(|child| format!("{path}/{child}")));
            if !data.is_empty() {
                found.insert(path.trim_start_matches('/').to_owned(), data);
            }
        }
        Ok(found)
    }

    async fn read(&self, full: &str) -> Result<(Vec<u8>, Vec<String>), Error> {
        let client = self.session.client();
        let (data, _) = client.get_data(full).await?;
        Ok((data, client.list_children(full).await?))
    }

    /// Keeps a value.
    ///
    /// # Errors
    /// When ZooKeeper does not take it.
    pub async fn put(&self, path: &str, value: &[u8]) -> Result<(), ZkError> {
        let full = format!("{}/{path}", self.root);
        let failed = |source| ZkError::Request { path: full.clone(), source };
        match self.session.client().set_data(&full, value, None).await {
            Ok(_) => return Ok(()),
            Err(Error::NoNode) => {}
            Err(source) => return Err(failed(source)),
        }
        if let Some((parent, _)) = full.rsplit_once('/') {
            self.session.make_path(parent).await?;
        }
        let options = CreateMode::Persistent.with_acls(self.session.value_acl());
        let made = self.session.client().create(&full, value, &options).await;
        made.map(|_| ()).map_err(failed)
    }

    /// Forgets a value; one that is not kept is no error.
    ///
    /// # Errors
    /// When ZooKeeper does not take it.
    pub async fn forget(&self, path: &str) -> Result<(), ZkError> {
        let full = format!("{}/{path}", self.root);
        match self.session.client().delete(&full, None).await {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(source) => Err(ZkError::Request { path: full, source }),
        }
    }
}
