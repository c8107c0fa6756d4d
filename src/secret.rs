//! Values that must not be seen: the only types that may carry a password or a key.
//!
//! A [`Secret`] shows as `[redacted]` wherever it is formatted, cannot be serialised, and is
//! wiped from memory when dropped. [`Secret::expose`] is the one way to its text; search for
//! it to find every place where a secret leaves the program.

use std::fmt;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// A password, token or private key.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text that must not be shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself: for the one place that hands it to a host or a server.
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

/// Bytes that must not be seen, such as an archive with a password in it.
#[derive(Clone)]
pub struct SecretBytes(SecretSlice<u8>);

impl SecretBytes {
    /// Wraps bytes that must not be shown.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretSlice::from(bytes))
    }

    /// The bytes themselves: for the one place that hands them to a host or a server.
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
}
