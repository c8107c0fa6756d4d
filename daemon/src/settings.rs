//! Reads the settings: one JSON file that `platform` writes on each host. Everything is checked when
//! the file is read, so that the rest of a program can rely on it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A user of a service. The password stays in its file and is read when it is needed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The file that holds the password.
    pub password_file: PathBuf,
}

/// A password file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the password file {}", path.display())]
pub struct NoPassword {
    path: PathBuf,
    source: io::Error,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not what is expected.
    #[error("{} is not valid", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        source: serde_json::Error,
    },
    /// A value is not acceptable.
    #[error("{path}: {member} {reason}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The member's name.
        member: &'static str,
        /// What it must be.
        reason: &'static str,
    },
}

impl Login {
    /// The value of the header `Authorization`.
    ///
    /// # Errors
    ///
    /// If the password file cannot be read.
    pub fn authorization(&self) -> Result<String, NoPassword> {
        let Self { user, password_file: path } = self;
        let failed = |source| NoPassword { path: path.clone(), source };
        let password = fs::read_to_string(path).map_err(failed)?;
        let login = format!("{user}:{}", password.trim_end_matches(['\r', '\n']));
        Ok(format!("Basic {}", STANDARD.encode(login)))
    }
}

/// Reads and checks a file. `fault` names a member that cannot work, and what it must be.
///
/// # Errors
///
/// If the file cannot be read, is not JSON of this form, or has a value that cannot work.
pub fn read<S: DeserializeOwned>(
    path: &Path,
    fault: impl FnOnce(&S) -> Option<(&'static str, &'static str)>,
) -> Result<S, SettingsError> {
    let path = path.to_owned();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(SettingsError::Read { path, source }),
    };
    let settings: S = match serde_json::from_slice(&text) {
        Ok(settings) => settings,
        Err(source) => return Err(SettingsError::Parse { path, source }),
    };
    match fault(&settings) {
        None => Ok(settings),
        Some((member, reason)) => Err(SettingsError::Value { path, member, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_encoded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "secret\n").unwrap();
        let login =
            Login { user: "admin".to_owned(), password_file: file.path().to_owned() };
        assert_eq!(login.authorization().unwrap(), "Basic YWRtaW46c2VjcmV0");
        drop(file);
        let said = login.authorization().unwrap_err().to_string();
        assert!(said.starts_with("cannot read the password file /"), "{said}");
    }
}
