//! The operator's own list of revoked keys, `RevokedHostKeys`: public keys, one on a line, or a
//! list in OpenSSH's binary format, which only `ssh-keygen` can read.
//!
//! As with OpenSSH, no key is accepted if the list cannot be read.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use russh::keys::{Certificate, PublicKey, PublicKeyBase64};

use crate::remote::known_hosts::Key;
use crate::remote::{Argv, RemoteError, local};

use super::certificate;
use super::shown::Shown;

/// The first bytes of a list in the binary format.
const BINARY: &[u8] = b"SSHKRL\n\0";

/// Looking a key up in a list takes milliseconds.
const LIST_DEADLINE: Duration = Duration::from_secs(10);

/// Whether a list contains a key, or the authority of the certificate in which it was shown.
///
/// # Errors
/// If the list cannot be read, or has a line that is not a public key: it might be this key.
pub(super) async fn lists(list: &Path, shown: &Shown) -> Result<bool, RemoteError> {
    let failed = |source| RemoteError::RevokedKeys { file: list.to_owned(), source };
    let bytes = tokio::fs::read(list).await.map_err(failed)?;
    if bytes.starts_with(BINARY) {
        return in_binary(list, shown).await.map_err(failed);
    }
    let listed = read(&String::from_utf8_lossy(&bytes)).map_err(failed)?;
    Ok(shown.keys().any(|key| listed.contains(key)))
}

/// The keys of a text list, including those of certificates in it.
fn read(text: &str) -> io::Result<Vec<Key>> {
    let lines = text.lines().map(str::trim).zip(1..);
    let keys = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let keys = keys.map(|(line, n)| {
        let said = || format!("line {n} is not a public key");
        key_of(line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, said()))
    });
    keys.collect()
}

fn key_of(line: &str) -> Option<Key> {
    let key = Key::parse(line)?;
    if !certificate::is_type(&key.kind) {
        return Some(key);
    }
    let certificate = Certificate::from_openssh(line).ok()?;
    let inner = PublicKey::new(certificate.public_key().clone(), "");
    Key::from_blob(inner.public_key_bytes())
}

async fn in_binary(list: &Path, shown: &Shown) -> io::Result<bool> {
    let mut file = tempfile::NamedTempFile::new()?;
    writeln!(file, "{}", shown.line()?)?;
    let names = [list, file.path()].map(|path| path.display().to_string());
    let words = ["ssh-keygen", "-Q", "-f"].map(str::to_owned).into_iter().chain(names);
    let answer = local::run(&Argv::new(words), &[], LIST_DEADLINE).await;
    let answer = answer.map_err(io::Error::other)?;
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    match (answer.status, said.contains("REVOKED")) {
        (0, _) => Ok(false),
        (_, true) => Ok(true),
        (_, false) => Err(io::Error::other(
            String::from_utf8_lossy(&answer.stderr).trim().to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILjR8h2MoLSDspJBtbXFCzkhMD5jCgRUmbYtIiz0eqS4";

    #[test]
    fn a_text_has_one_key_on_a_line_and_nothing_else() {
        let keys = read(&format!("# gone\n\n  {A} a comment\r\n")).unwrap();
        assert_eq!(keys, [Key::parse(A).unwrap()]);
        let error = read(&format!("{A}\nssh-ed25519 half\n")).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
