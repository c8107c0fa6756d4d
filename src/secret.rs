//! Secret values: the only types that may hold a password or a key.
//!
//! A [`Secret`] is always formatted as `[redacted]`, cannot be serialised, and is wiped from
//! memory when dropped. Only [`Secret::expose`] returns its text; search for it to find every
//! place where a secret leaves the program.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// A password, token or private key.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text that must not be shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself: only for code that passes it to a host or a server.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Secret bytes, such as an archive with a password in it.
#[derive(Clone)]
pub struct SecretBytes(SecretSlice<u8>);

impl SecretBytes {
    /// Wraps bytes that must not be shown.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretSlice::from(bytes))
    }

    /// The bytes themselves: only for code that passes them to a host or a server.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl From<Secret> for SecretBytes {
    fn from(secret: Secret) -> Self {
        Self::new(secret.expose().as_bytes().to_vec())
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Removes secrets from the output of other programs, such as the journal of a unit.
#[derive(Clone, Default)]
pub struct Redactor(Vec<Secret>);

/// Shorter secrets would be found in words that are not secret.
const SHORTEST: usize = 6;

impl Redactor {
    /// Knows these secrets, also encoded in base64, as in HTTP logins.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut known: Vec<Secret> = secrets
            .into_iter()
            .flat_map(|secret| in_base64(&secret).into_iter().chain([secret]))
            .filter(|secret| secret.expose().len() >= SHORTEST)
            .collect();
        // A secret that contains another one is first; otherwise its rest would stay in the text.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self(known)
    }

    /// The text without the secrets.
    pub fn clean(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            match text.contains(secret.expose()) {
                true => text.replace(secret.expose(), "[redacted]"),
                false => text,
            }
        })
    }
}

/// The base64 digits that depend only on the secret, whatever text is before it. There are three
/// forms, because three bytes are four digits.
fn in_base64(secret: &Secret) -> [Secret; 3] {
    [0, 1, 2].map(|n_before| {
        let bytes = [&[0; 2][..n_before], secret.expose().as_bytes()].concat();
        let digits = BASE64_STANDARD_NO_PAD.encode(&bytes);
        let (first, end) = ((n_before * 8).div_ceil(6), bytes.len() * 8 / 6);
        Secret::new(digits.get(first..end).unwrap_or_default())
    })
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_formatting_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?}"),
            "[redacted] [redacted] [redacted]"
        );
        assert_eq!(secret.expose(), "hunter2");
        let bytes = SecretBytes::from(secret);
        assert_eq!(format!("{bytes:?} {bytes:#?}"), "[redacted] [redacted]");
        assert_eq!(bytes.expose(), b"hunter2");
    }

    #[test]
    fn what_others_wrote_shows_no_secret_that_is_known() {
        let known = ["hunter2", "hunter2hunter3", "tiny"].map(Secret::new);
        let redactor = Redactor::new(known);
        assert_eq!(
            redactor.clean("a hunter2, hunter2hunter3 and a tiny one"),
            "a [redacted], [redacted] and a tiny one"
        );
        assert_eq!(format!("{redactor:?}"), "[redacted]");
        for user in ["a", "ab", "abc"] {
            let login = BASE64_STANDARD_NO_PAD.encode(format!("{user}:hunter2hunter3"));
            let shown = redactor.clean(&login);
            assert!(shown.contains("[redacted]") && shown.len() < 18, "{shown}");
        }
    }
}
