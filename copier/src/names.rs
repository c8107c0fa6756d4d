//! Names of images. They come from other hosts and become parts of addresses and paths, so they are
//! checked.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A text that is not such a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not the name of a repository, a tag or a digest that can be copied")]
pub struct BadName(String);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(&text) { Ok(Self(text)) } else { Err(BadName(text)) }
            }
        }

        impl $name {
            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// The name of a repository, such as `team/app`.
    Repository, |text| {
        let is_part = |part: &str| {
            let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let edges = [part.bytes().next(), part.bytes().next_back()];
            edges.iter().all(|edge| edge.is_some_and(is_inner))
                && part.bytes().all(|byte| is_inner(byte) || b"._-".contains(&byte))
        };
        text.len() < 256 && text.split('/').all(is_part)
    }
}

name! {
    /// A tag, such as `1.2` or `latest`.
    Tag, |text| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        text.len() <= 128
            && text.bytes().next().is_some_and(is_word)
            && text.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
    }
}

name! {
    /// The digest of a manifest or a blob, `sha256:` and 64 hexadecimal digits.
    Digest, |text| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let digits = text.strip_prefix(SHA256);
        digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(is_digit))
    }
}

const SHA256: &str = "sha256:";

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(Sha256::new_with_prefix(bytes))
    }

    /// The digest of the bytes that were hashed.
    pub(crate) fn from_hash(hash: Sha256) -> Self {
        let digits = hash.finalize();
        let digits = digits.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self(format!("{SHA256}{digits}"))
    }

    /// Its hexadecimal digits.
    pub(crate) fn digits(&self) -> &str {
        &self.0[SHA256.len()..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_leave_its_place_in_an_address_or_a_path_is_no_name() {
        let repository = |text: &str| Repository::try_from(text.to_owned()).is_ok();
        for good in ["app", "team/app", "a/b-c/d__e.f", "0"] {
            assert!(repository(good), "{good}");
        }
        for bad in
            ["", "/", "a/", "/a", "a//b", "..", "a/../b", "_uploads", "A", "a?b", "a b"]
        {
            assert!(!repository(bad), "{bad}");
        }
        let tag = |text: &str| Tag::try_from(text.to_owned()).is_ok();
        assert!(tag("1.2") && tag("latest") && tag("_x") && tag("V1-rc.2"));
        assert!(!tag("") && !tag("..") && !tag("a/b") && !tag(&"x".repeat(129)));
    }

    #[test]
    fn a_digest_is_that_of_its_bytes() {
        let empty =
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::try_from(empty.to_owned()), Ok(Digest::of(b"")));
        for bad in ["sha256:e3b0", "sha512:00", &empty.to_uppercase()] {
            assert!(Digest::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
