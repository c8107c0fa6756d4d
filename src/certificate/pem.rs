//! Blocks of PEM, in any form that common programs write.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;

/// Programs differ in whether they pad.
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One block of a text.
pub(super) struct Block<'a> {
    /// What it says that it is, such as `CERTIFICATE`.
    pub(super) label: &'a str,
    body: &'a str,
}

/// The blocks of a text, or the label of one that has no end. What stands before, between and
/// after them does not count: attributes of bags, comments, or nothing at all, not even a line's
/// end.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let Some((label, begun)) = begun.split_once("-----") else {
            return Err(begun.lines().next().unwrap_or_default().to_owned());
        };
        let end = format!("-----END {label}-----");
        let Some((body, after)) = begun.split_once(&end) else {
            return Err(label.to_owned());
        };
        found.push(Block { label, body });
        rest = after;
    }
    Ok(found)
}

impl Block<'_> {
    /// The content; `None` if it is damaged.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let lines = self.body.lines().filter(|line| !line.contains(':'));
        let digits: String =
            lines.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
        ANY_PADDING.decode(digits).ok()
    }

    /// Whether only a passphrase opens it.
    pub(super) fn is_encrypted(&self) -> bool {
        self.label == "ENCRYPTED PRIVATE KEY" || self.body.contains(",ENCRYPTED")
    }
}

/// A block as this program writes it.
pub(super) fn write(label: &str, bytes: &[u8]) -> String {
    let digits = BASE64_STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in digits.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
