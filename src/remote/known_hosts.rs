//! Which keys a host may show: the `known_hosts` format of OpenSSH, read as OpenSSH reads it.
//!
//! Pure: texts in, a [`Verdict`] out. It supports hashed names, wildcards, negation,
//! `[host]:port`, `@revoked` and several keys for one host. `@cert-authority` lines are about
//! certificates, never about plain keys, and have their own queries. A line that cannot be parsed
//! is ignored, as with OpenSSH.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What a host is known by: its name or address, and its port if that is not 22.
///
/// Written as OpenSSH writes it: `web.example`, `[web.example]:2222`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LookupName {
    name: String,
    port: u16,
}

impl LookupName {
    /// The name of a server at a host and port.
    pub fn new(host: &str, port: u16) -> Self {
        Self { name: host.to_ascii_lowercase(), port }
    }

    /// The name alone, as in a certificate.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name without the port, which OpenSSH tries second.
    fn without_port(&self) -> Self {
        Self { name: self.name.clone(), port: 22 }
    }
}

impl std::fmt::Display for LookupName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            22 => f.write_str(&self.name),
            port => write!(f, "[{}]:{port}", self.name),
        }
    }
}

/// A host's public key, in the form in which it is compared: its type and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Its type, such as `ssh-ed25519`.
    pub kind: String,
    /// The key itself in SSH's wire format.
    pub blob: Vec<u8>,
}

impl Key {
    /// Reads `ssh-ed25519 AAAA… comment`; `None` if it is not a public key.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (kind, encoded) = (words.next()?, words.next()?);
        let key = Self::from_blob(STANDARD.decode(encoded).ok()?)?;
        (key.kind == kind).then_some(key)
    }

    /// A key from its wire format, which begins with the name of its type.
    pub fn from_blob(blob: Vec<u8>) -> Option<Self> {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let kind = std::str::from_utf8(name).ok()?.to_owned();
        Some(Self { kind, blob })
    }

    /// The fingerprint as `ssh-keygen -l` shows it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, STANDARD.encode(&self.blob))
    }
}

/// A line of a file of known hosts, or the whole file if it has no lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLocation {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 for the whole file.
    pub line: usize,
}

impl std::fmt::Display for KeyLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// What the files say about a key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the host's key.
    Known,
    /// The files do not name the host.
    Unknown,
    /// The host is known, but only by keys of other types; this line has one of them.
    OtherType(KeyLocation),
    /// The host is known by another key of the same type, on this line.
    Changed(KeyLocation),
    /// This line revokes the key: it is never accepted.
    Revoked(KeyLocation),
}

/// Several files of known hosts, used together; earlier files are reported first.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts(Vec<Arc<KnownFile>>);

/// One file of known hosts.
#[derive(Debug, Clone, Default)]
pub struct KnownFile {
    entries: Vec<Entry>,
    n_lines: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    place: KeyLocation,
    marker: Marker,
    names: Names,
    key: Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Plain,
    Authority,
    Revoked,
}

#[derive(Debug, Clone)]
enum Names {
    Patterns(Vec<String>),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl KnownFile {
    /// Reads the text of a file; lines that cannot be parsed are ignored.
    pub fn parse(file: &Path, text: &str) -> Self {
        Self::parse_after(0, file, text)
    }

    /// Reads text that was appended to a file after the given number of lines.
    pub fn parse_after(n_before: usize, file: &Path, text: &str) -> Self {
        let mut known = Self::default();
        for line in text.lines() {
            known.n_lines += 1;
            if let Some((marker, names, key)) = parse_line(line) {
                let line = n_before + known.n_lines;
                let place = KeyLocation { file: file.to_owned(), line };
                known.entries.push(Entry { place, marker, names, key });
            }
        }
        known
    }

    /// How many lines were read.
    pub fn n_lines(&self) -> usize {
        self.n_lines
    }
}

impl KnownHosts {
    /// Combines several files.
    pub fn of(files: Vec<Arc<KnownFile>>) -> Self {
        Self(files)
    }

    /// What the files say about a key that a host shows.
    ///
    /// Revocation takes precedence over everything; after that, one line with the key is enough.
    /// A host at another port than 22 that the files do not name with its port may be known by
    /// its name alone.
    pub fn check(&self, host: &LookupName, key: &Key) -> Verdict {
        match self.check_exactly(host, key) {
            Verdict::Unknown if host.port != 22 => {
                match self.check_exactly(&host.without_port(), key) {
                    sure @ (Verdict::Known | Verdict::Revoked(_)) => sure,
                    _ => Verdict::Unknown,
                }
            }
            verdict => verdict,
        }
    }

    fn check_exactly(&self, host: &LookupName, key: &Key) -> Verdict {
        let entries = self.about(host);
        let revoked = |e: &&&Entry| e.marker == Marker::Revoked && e.key == *key;
        if let Some(entry) = entries.iter().find(revoked) {
            return Verdict::Revoked(entry.place.clone());
        }
        let plain = || entries.iter().filter(|e| e.marker == Marker::Plain);
        if plain().any(|e| e.key == *key) {
            return Verdict::Known;
        }
        match (plain().find(|e| e.key.kind == key.kind), plain().next()) {
            (Some(entry), _) => Verdict::Changed(entry.place.clone()),
            (None, Some(entry)) => Verdict::OtherType(entry.place.clone()),
            (None, None) => Verdict::Unknown,
        }
    }

    /// The line that revokes a key for a host: the host's own key, or that of an authority.
    pub fn revokes(&self, host: &LookupName, key: &Key) -> Option<KeyLocation> {
        let mut lines = self.marked(host, Marker::Revoked).into_iter();
        lines.find(|entry| entry.key == *key).map(|entry| entry.place.clone())
    }

    /// Whether any key is revoked for a host.
    pub fn revokes_any(&self, host: &LookupName) -> bool {
        !self.marked(host, Marker::Revoked).is_empty()
    }

    /// The line that trusts the authority with this key to sign the host's certificates.
    pub fn trusts(&self, host: &LookupName, authority: &Key) -> Option<KeyLocation> {
        let mut lines = self.marked(host, Marker::Authority).into_iter();
        lines.find(|entry| entry.key == *authority).map(|entry| entry.place.clone())
    }

    /// The first line that trusts any authority to sign the host's certificates.
    pub fn authority(&self, host: &LookupName) -> Option<KeyLocation> {
        self.marked(host, Marker::Authority).first().map(|entry| entry.place.clone())
    }

    /// The types of the keys that a host is known by, in the order of the files.
    pub fn kinds(&self, host: &LookupName) -> Vec<String> {
        let mut kinds = Vec::new();
        for entry in self.marked(host, Marker::Plain) {
            if !kinds.contains(&entry.key.kind) {
                kinds.push(entry.key.kind.clone());
            }
        }
        kinds
    }

    /// The lines of one kind that match a host, by its name with the port or by its name alone.
    fn marked(&self, host: &LookupName, marker: Marker) -> Vec<&Entry> {
        let mut entries = self.about(host);
        if host.port != 22 {
            entries.extend(self.about(&host.without_port()));
        }
        entries.retain(|entry| entry.marker == marker);
        entries
    }

    fn about(&self, host: &LookupName) -> Vec<&Entry> {
        let host = host.to_string();
        let entries = self.0.iter().flat_map(|file| &file.entries);
        entries.filter(|entry| entry.names.include(&host)).collect()
    }
}

/// The line that makes a host known by a key, with its newline.
pub fn render(host: &LookupName, key: &Key) -> String {
    format!("{host} {key}\n")
}

impl Names {
    fn parse(text: &str) -> Option<Self> {
        let Some(hashed) = text.strip_prefix("|1|") else {
            return Some(Self::Patterns(
                text.split(',').map(str::to_ascii_lowercase).collect(),
            ));
        };
        let (salt, hash) = hashed.split_once('|')?;
        let decode = |text| STANDARD.decode(text).ok();
        Some(Self::Hashed { salt: decode(salt)?, hash: decode(hash)? })
    }

    fn include(&self, host: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                let is_meant = |pattern: &String| match pattern.strip_prefix('!') {
                    Some(_) => false,
                    None => matches(pattern, host),
                };
                let is_excepted = |pattern: &String| {
                    pattern.strip_prefix('!').is_some_and(|not| matches(not, host))
                };
                patterns.iter().any(is_meant) && !patterns.iter().any(is_excepted)
            }
            Self::Hashed { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(host).verify_slice(hash).is_ok()),
        }
    }
}

fn parse_line(line: &str) -> Option<(Marker, Names, Key)> {
    let line = line.trim_start();
    if line.starts_with('#') {
        return None;
    }
    let (first, rest) = line.split_once([' ', '\t'])?;
    let (marker, line) = match first {
        "@revoked" => (Marker::Revoked, rest.trim_start()),
        "@cert-authority" => (Marker::Authority, rest.trim_start()),
        unknown if unknown.starts_with('@') => return None,
        _ => (Marker::Plain, line),
    };
    let (names, key) = line.split_once([' ', '\t'])?;
    Some((marker, Names::parse(names)?, Key::parse(key)?))
}

/// Whether a text matches a pattern with `*` (any characters) and `?` (any one character).
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to continue if the characters after the last `*` do not match.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, fill: u8) -> Key {
        let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(kind.as_bytes());
        blob.extend_from_slice(&[fill; 32]);
        Key { kind: kind.to_owned(), blob }
    }

    fn ed(fill: u8) -> Key {
        key("ssh-ed25519", fill)
    }

    fn read(text: &str) -> KnownHosts {
        KnownHosts::of(vec![file("kh", text)])
    }

    fn file(name: &str, text: &str) -> Arc<KnownFile> {
        Arc::new(KnownFile::parse(Path::new(name), text))
    }

    fn at(line: usize) -> KeyLocation {
        KeyLocation { file: "kh".into(), line }
    }

    /// Replaces the letters A, B and R by keys, and checks ed25519 key A.
    fn check(lines: &str, host: &str, port: u16, expected: Verdict) {
        let text = lines
            .replace("<A>", &ed(1).to_string())
            .replace("<B>", &ed(2).to_string())
            .replace("<R>", &key("ssh-rsa", 3).to_string());
        let verdict = read(&text).check(&LookupName::new(host, port), &ed(1));
        assert_eq!(verdict, expected, "{lines:?} on {host}:{port}");
    }

    #[test]
    fn a_key_on_a_line_that_names_the_host_is_known() {
        check("web <A>", "web", 22, Verdict::Known);
        check("db,web,10.0.0.1 <A> a comment", "10.0.0.1", 22, Verdict::Known);
        check("WEB <A>", "weB", 22, Verdict::Known);
        check("  web\t<A>", "web", 22, Verdict::Known);
        check("web <B>\nweb <A>", "web", 22, Verdict::Known);
        check("web <R>\nweb <A>", "web", 22, Verdict::Known);
        check("::1 <A>", "::1", 22, Verdict::Known);
    }

    #[test]
    fn what_the_files_do_not_speak_of_is_unknown() {
        check("", "web", 22, Verdict::Unknown);
        check("# web <A>", "web", 22, Verdict::Unknown);
        check("web2 <A>\nwe <A>", "web", 22, Verdict::Unknown);
        check("web ssh-ed25519 not-base64", "web", 22, Verdict::Unknown);
        check("web ssh-ed25519", "web", 22, Verdict::Unknown);
        check("@mystery web <A>", "web", 22, Verdict::Unknown);
        check("@cert-authority web <A>", "web", 22, Verdict::Unknown);
        check("@revoked web <B>", "web", 22, Verdict::Unknown);
    }

    #[test]
    fn another_key_of_the_same_type_is_a_change_and_names_its_line() {
        check("# note\n\nweb <B>", "web", 22, Verdict::Changed(at(3)));
        check("web <R>\nweb <B>", "web", 22, Verdict::Changed(at(2)));
    }

    #[test]
    fn a_host_known_only_by_another_type_is_not_taken_for_a_new_one() {
        check("web <R>", "web", 22, Verdict::OtherType(at(1)));
    }

    #[test]
    fn revocation_beats_every_other_line() {
        check("web <A>\n@revoked * <A>", "web", 22, Verdict::Revoked(at(2)));
        check("@revoked web <A>\nweb <A>", "web", 22, Verdict::Revoked(at(1)));
        check("@revoked web <A>", "web", 2222, Verdict::Revoked(at(1)));
        check("@revoked other <A>\nweb <A>", "web", 22, Verdict::Known);
    }

    #[test]
    fn authorities_are_asked_for_by_themselves() {
        let text = format!(
            "web {a}\n@cert-authority *.lab {a}\n@cert-authority w* {b}\n@revoked w* {b}",
            a = ed(1),
            b = ed(2)
        );
        let known = read(&text);
        let (web, lab) = (LookupName::new("web", 2222), LookupName::new("n1.lab", 22));
        assert_eq!(known.trusts(&lab, &ed(1)), Some(at(2)));
        assert_eq!(known.trusts(&lab, &ed(2)), None);
        assert_eq!(known.trusts(&web, &ed(2)), Some(at(3)), "its port names no line");
        assert_eq!(known.authority(&web), Some(at(3)));
        assert_eq!(known.authority(&LookupName::new("db", 22)), None);
        assert_eq!(known.revokes(&web, &ed(2)), Some(at(4)));
        assert_eq!(known.revokes(&web, &ed(1)), None);
        assert!(known.revokes_any(&web) && !known.revokes_any(&lab));
    }

    #[test]
    fn wildcards_and_negation_select_hosts() {
        check("*.example <A>", "a.b.example", 22, Verdict::Known);
        check("10.0.?.1 <A>", "10.0.7.1", 22, Verdict::Known);
        check("10.0.?.1 <A>", "10.0.17.1", 22, Verdict::Unknown);
        check("*,!db* <A>", "web", 22, Verdict::Known);
        check("*,!db* <A>", "db1", 22, Verdict::Unknown);
        check("!web,* <A>", "web", 22, Verdict::Unknown);
        check("!db <A>", "web", 22, Verdict::Unknown);
        check("w*b*c <A>", "wabab", 22, Verdict::Unknown);
        check("w*b*c <A>", "wababc", 22, Verdict::Known);
    }

    #[test]
    fn a_port_of_its_own_is_looked_up_in_brackets_and_then_without() {
        check("[web]:2222 <A>", "web", 2222, Verdict::Known);
        check("[web]:2222 <A>", "web", 22, Verdict::Unknown);
        check("[*]:2222 <A>", "web", 2222, Verdict::Known);
        check("[web]:2222 <B>\nweb <A>", "web", 2222, Verdict::Changed(at(1)));
        check("web <A>", "web", 2222, Verdict::Known);
        check("web <B>", "web", 2222, Verdict::Unknown);
    }

    #[test]
    fn hashed_names_are_recognised() {
        // The output of `ssh-keygen -H` for `web` and for `[web]:2222`.
        let web = "|1|jyfpWe8Yo3qalzfG2aoDJnsx9wI=|BN9q3KRVc9crUosCI0kwt5adRdI=";
        let port = "|1|Yw6WybP1lqmozDcF5QAIc1aO0No=|lxogI9bzlQzkarE6ZkPVQeC9Kxg=";
        check(&format!("{web} <A>"), "web", 22, Verdict::Known);
        check(&format!("{web} <A>"), "WEB", 22, Verdict::Known);
        check(&format!("{web} <A>"), "other", 22, Verdict::Unknown);
        check(&format!("{port} <A>"), "web", 2222, Verdict::Known);
        check("|1|!!!|??? <A>", "web", 22, Verdict::Unknown);
        check("|1|abc <A>", "web", 22, Verdict::Unknown);
    }

    #[test]
    fn the_first_file_is_named_first_and_any_file_may_vouch() {
        let line = |fill| format!("web {}", ed(fill));
        let (web, shown) = (LookupName::new("web", 22), ed(1));
        let mut files = vec![file("pins", &line(2)), file("own", &line(3))];
        let place = KeyLocation { file: "pins".into(), line: 1 };
        let verdict = KnownHosts::of(files.clone()).check(&web, &shown);
        assert_eq!(verdict, Verdict::Changed(place));
        files.push(file("more", &line(1)));
        assert_eq!(KnownHosts::of(files).check(&web, &shown), Verdict::Known);
    }

    #[test]
    fn a_fingerprint_is_the_one_that_ssh_keygen_shows() {
        let key = Key::parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILjR8h2MoLSDspJBtbXFCzkhMD5jCgRUmbYtIiz0eqS4").unwrap();
        assert_eq!(
            key.fingerprint(),
            "SHA256:GG8/gIAd3Algm48fDCIcIa+eJGB20Bio3myzxbXEPNM"
        );
    }

    #[test]
    fn known_types_are_listed_once_and_revoked_ones_not() {
        let (rsa, other) = (key("ssh-rsa", 1), key("ssh-dss", 1));
        let text = format!(
            "[web]:2222 {rsa}\nweb {}\nweb {}\n@revoked web {other}",
            ed(1),
            ed(2)
        );
        let known = read(&text);
        assert_eq!(
            known.kinds(&LookupName::new("web", 2222)),
            ["ssh-rsa", "ssh-ed25519"]
        );
        assert_eq!(known.kinds(&LookupName::new("web", 22)), ["ssh-ed25519"]);
    }

    #[test]
    fn what_is_added_to_a_file_is_known_at_its_line() {
        let host = LookupName::new("web", 22);
        let (file, line) = (Path::new("kh"), render(&host, &ed(2)));
        let before = KnownFile::parse(file, "# note\n\n");
        let added = KnownFile::parse_after(before.n_lines(), file, &line);
        let known = KnownHosts::of(vec![Arc::new(before), Arc::new(added)]);
        assert_eq!(known.check(&host, &ed(2)), Verdict::Known);
        assert_eq!(known.check(&host, &ed(1)), Verdict::Changed(at(3)));
    }

    #[test]
    fn a_rendered_line_is_known_when_read_again() {
        for host in [LookupName::new("web", 22), LookupName::new("fe80::1", 2222)] {
            let line = render(&host, &ed(9));
            assert!(line.ends_with('\n'), "{line:?}");
            assert_eq!(read(&line).check(&host, &ed(9)), Verdict::Known, "{line}");
        }
    }
}
