//! Secrets: read from where the inventory says, or made at random once and kept.

use std::path::{Path, PathBuf};

use bcrypt::{BcryptError, Version};
use rand::TryRng;
use rand::distr::{Alphanumeric, SampleString};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use sha_crypt::{PasswordHasher, ShaCrypt};

use super::{State, StateError, files};
use crate::inventory::SecretSource;
use crate::secret::{Redactor, Secret};

/// The operator's environment: the value of a variable, if it is set.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// The number of letters and digits of a random password: 190 bits.
const GENERATED_CHARS: usize = 32;
/// The cost that Apache's and Docker's tools use. Each check takes the registry about 80 ms.
const BCRYPT_COST: u32 = 10;
const SALT_BYTES: usize = 16;
/// The bytes of a salt that `crypt` takes with SHA-512: 16 characters.
const CRYPT_SALT_BYTES: usize = 12;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The environment variable is not set, or empty.
    #[error(
        "the inventory takes {name} from the environment variable {variable}, which is not set: \
         set it and run the command again"
    )]
    Unset {
        /// Which secret.
        name: String,
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error(
        "the inventory takes {name} from the file {}, which cannot be read",
        path.display()
    )]
    Unreadable {
        /// Which secret.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's first line is empty.
    #[error(
        "{name} cannot be read from the file {}: its first line is empty",
        path.display()
    )]
    EmptyFile {
        /// Which secret.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The password cannot be used for a service that keeps bcrypt hashes.
    #[error(
        "the password of {user} cannot be used: bcrypt takes 1 to 72 bytes without a NUL"
    )]
    Unhashable {
        /// The user with that password.
        user: String,
        /// Why.
        source: BcryptError,
    },
}

impl State {
    /// The secret of that name, from where the inventory says. Files are relative to
    /// `base_dir`, the inventory's folder. The first call makes a random secret; once it is kept,
    /// it stays the same. `name` tells it from other random secrets.
    ///
    /// # Errors
    /// When the variable or the file is missing or empty, or the folder cannot be written.
    pub fn resolve(
        &self,
        source: &SecretSource,
        name: &str,
        base_dir: &Path,
        env: Environment<'_>,
    ) -> Result<Secret, SecretError> {
        match source {
            SecretSource::Env(variable) => from_env(name, variable, env),
            SecretSource::File(file) => from_file(name, base_dir.join(file)),
            SecretSource::Generate => self.generated(name),
        }
    }

    /// A redactor that removes the random secrets, kept or not, from what hosts report.
    pub fn redactor(&self) -> Redactor {
        let folder = self.folder.join("secrets");
        let kept = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let kept = kept.map(|entry| entry.path());
        let made =
            self.draft.paths().into_iter().filter(|path| path.starts_with(&folder));
        let texts =
            kept.chain(made).filter_map(|path| self.draft.read_text(&path).ok()?);
        Redactor::new(texts.map(|text| Secret::new(text.trim_end())))
    }

    /// The line of an htpasswd file for a user. The same password gives the same bytes in every
    /// run, so the file on a host changes only when a password does. Takes about 80 ms.
    ///
    /// # Errors
    /// When the password is empty, longer than bcrypt takes, or the folder cannot be written.
    pub fn htpasswd_line(
        &self,
        user: &str,
        password: &Secret,
    ) -> Result<String, SecretError> {
        let salt = self.salt(user)?;
        let text = password.expose();
        bcrypt::non_truncating_hash_with_salt(text, BCRYPT_COST, salt)
            .map(|hash| format!("{user}:{}", hash.format_for_version(Version::TwoY)))
            .map_err(|source| SecretError::Unhashable { user: user.to_owned(), source })
    }

    /// The hash of a user's password as `crypt` has it, with SHA-512, for a service that checks
    /// passwords often: a check takes about 3 ms. The same password gives the same bytes in every
    /// run.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn crypt_hash(
        &self,
        user: &str,
        password: &Secret,
    ) -> Result<Secret, SecretError> {
        let salt = self.salt(user)?;
        let salt = &salt[..CRYPT_SALT_BYTES];
        let hash = ShaCrypt::SHA512
            .hash_password_with_salt(password.expose().as_bytes(), salt)
            .expect("any password and a salt of this length have a hash");
        Ok(Secret::new(hash.as_str()))
    }

    /// The file that holds a random secret. It may not exist yet.
    pub fn secret_file(&self, name: &str) -> PathBuf {
        self.folder.join("secrets").join(files::name_for(name))
    }

    /// The random secret of that name, if there is one; makes none.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn kept_secret(&self, name: &str) -> Result<Option<Secret>, StateError> {
        let text = self.draft.read_text(&self.secret_file(name))?;
        Ok(text.map(|text| Secret::new(text.trim_end())))
    }

    /// Replaces the random secret of that name: by this one, or by another random one.
    pub fn renew_secret(&self, name: &str, given: Option<&Secret>) {
        let new = given.map(|secret| secret.expose().as_bytes().to_vec());
        self.draft.write(&self.secret_file(name), new.unwrap_or_else(random_secret));
    }

    /// Removes the random secret of that name for good. Repeated, it changes nothing.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn forget_secret(&self, name: &str) -> Result<(), StateError> {
        files::remove(&self.secret_file(name))
    }

    /// Whether hashes of this user's password were made before, for hosts.
    pub fn knows_user(&self, user: &str) -> bool {
        self.salt_file(user).exists()
    }

    /// Forgets that hashes of this user's password were made. Repeated, it changes nothing.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget_user(&self, user: &str) -> Result<(), StateError> {
        files::remove(&self.salt_file(user))
    }

    fn generated(&self, name: &str) -> Result<Secret, SecretError> {
        let path = self.secret_file(name);
        let kept = self.draft.once(&path, random_secret)?;
        match String::from_utf8_lossy(&kept).trim_end() {
            // Somebody emptied it by hand, and the old secret may still be in use.
            "" => Err(SecretError::EmptyFile { name: name.to_owned(), path }),
            kept => Ok(Secret::new(kept)),
        }
    }

    /// The user's salt. It is not secret, but must stay: a new one would change the file on every
    /// host.
    fn salt(&self, user: &str) -> Result<[u8; SALT_BYTES], StateError> {
        let path = self.salt_file(user);
        let kept = self.draft.once(&path, random_salt)?;
        if let Ok(salt) = kept.try_into() {
            return Ok(salt);
        }
        let salt = random_salt();
        self.draft.write(&path, salt.clone());
        Ok(std::array::from_fn(|i| salt[i]))
    }

    fn salt_file(&self, user: &str) -> PathBuf {
        self.folder.join("salts").join(files::name_for(user))
    }
}

fn from_env(
    name: &str,
    variable: &str,
    env: Environment<'_>,
) -> Result<Secret, SecretError> {
    let set = env(variable).filter(|value| !value.is_empty());
    set.map(Secret::new).ok_or_else(|| SecretError::Unset {
        name: name.to_owned(),
        variable: variable.to_owned(),
    })
}

fn from_file(name: &str, path: PathBuf) -> Result<Secret, SecretError> {
    let name = name.to_owned();
    match std::fs::read_to_string(&path) {
        Err(source) => Err(SecretError::Unreadable { name, path, source }),
        Ok(text) => match text.lines().next().filter(|line| !line.is_empty()) {
            Some(line) => Ok(Secret::new(line)),
            None => Err(SecretError::EmptyFile { name, path }),
        },
    }
}

fn random_secret() -> Vec<u8> {
    let text = Alphanumeric.sample_string(&mut UnwrapErr(SysRng), GENERATED_CHARS);
    text.into_bytes()
}

fn random_salt() -> Vec<u8> {
    let mut salt = vec![0; SALT_BYTES];
    let Ok(()) = UnwrapErr(SysRng).try_fill_bytes(&mut salt);
    salt
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::state::fixture::state;

    fn nothing_set(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_generated_secret_is_long_private_and_stays() {
        let (dir, state) = state();
        let get = |name| {
            state
                .resolve(&SecretSource::Generate, name, dir.path(), &nothing_set)
                .unwrap()
        };
        let first = get("admin");
        assert_eq!(first.expose().len(), 32);
        assert!(first.expose().chars().all(|c| c.is_ascii_alphanumeric()));
        assert!(first == get("admin"));
        assert!(first != get("ops"));
        let said = format!("{} {}", first.expose(), get("ops").expose());
        assert_eq!(state.redactor().clean(&said), "[redacted] [redacted]");
        state.keep().unwrap();
        assert_eq!(state.redactor().clean(&said), "[redacted] [redacted]");
        let file = state.folder().join("secrets/admin").metadata().unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_secret_is_renewed_when_it_is_kept_and_forgotten_for_good() {
        let (dir, state) = state();
        let get = |state: &State| {
            let source = SecretSource::Generate;
            state.resolve(&source, "user-bob", dir.path(), &nothing_set).unwrap()
        };
        assert!(state.kept_secret("user-bob").unwrap().is_none());
        let first = get(&state);
        state.htpasswd_line("bob", &first).unwrap();
        state.keep().unwrap();
        state.renew_secret("user-bob", None);
        let second = get(&state);
        assert!(first != second && second.expose().len() == 32);
        assert!(get(&state.with_own_draft()) == first, "it is not kept yet");
        state.renew_secret("user-bob", Some(&Secret::new("hunter2")));
        state.keep().unwrap();
        let kept = state.with_own_draft().kept_secret("user-bob").unwrap();
        assert!(kept == Some(Secret::new("hunter2")) && state.knows_user("bob"));
        for _ in 0..2 {
            state.forget_secret("user-bob").unwrap();
            state.forget_user("bob").unwrap();
        }
        assert!(!state.secret_file("user-bob").exists() && !state.knows_user("bob"));
    }

    #[test]
    fn a_generated_secret_that_was_emptied_by_hand_is_no_empty_password() {
        let (dir, state) = state();
        let get =
            || state.resolve(&SecretSource::Generate, "admin", dir.path(), &nothing_set);
        get().unwrap();
        state.keep().unwrap();
        std::fs::write(state.folder().join("secrets/admin"), "\n").unwrap();
        assert!(matches!(get(), Err(SecretError::EmptyFile { .. })));
    }

    #[test]
    fn a_missing_variable_is_named() {
        let (dir, state) = state();
        let source = SecretSource::Env("LAB_PASSWORD".to_owned());
        let missing = state.resolve(&source, "admin", dir.path(), &nothing_set);
        let said = missing.unwrap_err().to_string();
        assert!(said.contains("LAB_PASSWORD") && said.contains("admin"), "{said}");
        let set = |name: &str| (name == "LAB_PASSWORD").then(|| "hunter2".to_owned());
        let found = state.resolve(&source, "admin", dir.path(), &set).unwrap();
        assert_eq!(found.expose(), "hunter2");
    }

    #[test]
    fn of_a_file_the_first_line_counts() {
        let (dir, state) = state();
        let source = SecretSource::File("password".into());
        let get = || state.resolve(&source, "admin", dir.path(), &nothing_set);
        assert!(matches!(get(), Err(SecretError::Unreadable { .. })));
        std::fs::write(dir.path().join("password"), "\nsecond").unwrap();
        assert!(matches!(get(), Err(SecretError::EmptyFile { .. })));
        std::fs::write(dir.path().join("password"), "hunter2\r\nsecond").unwrap();
        assert_eq!(get().unwrap().expose(), "hunter2");
    }

    #[test]
    fn an_htpasswd_line_is_the_same_each_time_and_fits_its_password() {
        let (_dir, state) = state();
        let line =
            |user, password| state.htpasswd_line(user, &Secret::new(password)).unwrap();
        let first = line("admin", "hunter2");
        assert_eq!(first, line("admin", "hunter2"));
        assert_ne!(first, line("admin", "hunter3"));
        let hash = first.strip_prefix("admin:").unwrap();
        assert!(hash.starts_with("$2y$10$"), "{hash}");
        assert!(bcrypt::verify("hunter2", hash).unwrap());
        assert_ne!(hash, line("ops", "hunter2").strip_prefix("ops:").unwrap());
    }

    #[test]
    fn a_crypt_hash_is_the_same_each_time_and_fits_its_password() {
        use sha_crypt::PasswordVerifier;

        let (_dir, state) = state();
        let hash =
            |user, password| state.crypt_hash(user, &Secret::new(password)).unwrap();
        let every = (' '..='~').collect::<String>() + "äß€";
        let first = hash("admin", &every);
        assert_eq!(first.expose(), hash("admin", &every).expose());
        assert_ne!(first.expose(), hash("ops", &every).expose());
        let rounds = first.expose().strip_prefix("$6$rounds=5000$");
        let (salt, _) = rounds.and_then(|rest| rest.split_once('$')).unwrap();
        assert_eq!(salt.len(), 16);
        let fits = |password: &str| {
            ShaCrypt::SHA512.verify_password(password.as_bytes(), first.expose()).is_ok()
        };
        assert!(fits(&every) && !fits("hunter2"));
    }

    #[test]
    fn a_password_that_bcrypt_would_cut_is_refused() {
        let (_dir, state) = state();
        let long = Secret::new("x".repeat(73));
        let refused = state.htpasswd_line("admin", &long);
        assert!(matches!(refused, Err(SecretError::Unhashable { .. })));
    }
}
