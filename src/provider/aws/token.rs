//! Tokens that make a repeated call harmless.
//!
//! If AWS knows a call's token already, it returns what the first call with that token made. A
//! token is made from what the call asks for and from what existed before: a call that is repeated
//! after a lost connection has the same token, and a call that is made because a machine has ended
//! meanwhile has another.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The token of these words: 64 characters, the most that AWS accepts.
pub(super) fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for word in words {
        // The length keeps `ab c` and `a bc` apart.
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word.as_bytes());
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_its_words_and_their_borders() {
        assert_eq!(of(["a", "b"]), of(["a", "b"]));
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        assert_eq!(of(["a"]).len(), 64);
    }
}
