//! Whether one answer of `ssh -G` serves all hosts: only if no line of the files that OpenSSH
//! read can differ between hosts.
//!
//! Pure. Only lines that are known, byte by byte, count as safe. OpenSSH may understand what this
//! module does not: if a file has an unknown line, OpenSSH is asked for each host.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// OpenSSH truncates longer file names when it prints which files it read.
const LONGEST_NAME: usize = 190;

/// Settings that are the same for all hosts, as long as their values contain no token.
const HARMLESS: [&[u8]; 42] = [
    b"addkeystoagent",
    b"addressfamily",
    b"batchmode",
    b"casignaturealgorithms",
    b"certificatefile",
    b"checkhostip",
    b"ciphers",
    b"compression",
    b"connectionattempts",
    b"connecttimeout",
    b"controlmaster",
    b"controlpersist",
    b"fingerprinthash",
    b"forwardagent",
    b"forwardx11",
    b"forwardx11trusted",
    b"globalknownhostsfile",
    b"gssapiauthentication",
    b"gssapidelegatecredentials",
    b"hashknownhosts",
    b"hostbasedauthentication",
    b"hostkeyalgorithms",
    b"identitiesonly",
    b"identityagent",
    b"identityfile",
    b"include",
    b"kbdinteractiveauthentication",
    b"kexalgorithms",
    b"loglevel",
    b"macs",
    b"passwordauthentication",
    b"port",
    b"preferredauthentications",
    b"pubkeyacceptedalgorithms",
    b"pubkeyauthentication",
    b"sendenv",
    b"serveralivecountmax",
    b"serveraliveinterval",
    b"stricthostkeychecking",
    b"tcpkeepalive",
    b"user",
    b"userknownhostsfile",
];

/// The configuration files that OpenSSH read, as it prints with `-v`; `None` if the output names no
/// file (another version of OpenSSH may word this line differently), or if a name may have been
/// truncated.
pub(super) fn files_read(said: &[u8]) -> Option<Vec<PathBuf>> {
    const SAYS: &[u8] = b"Reading configuration data ";
    let name = |line: &[u8]| {
        let at = line.windows(SAYS.len()).position(|part| part == SAYS)?;
        Some(line[at + SAYS.len()..].trim_ascii().to_vec())
    };
    let names: Vec<Vec<u8>> =
        said.split(|&byte| byte == b'\n').filter_map(name).collect();
    let names_are_missing = names.is_empty();
    let whole = names.iter().all(|name| name.len() <= LONGEST_NAME);
    let paths = names.into_iter().map(|name| PathBuf::from(OsString::from_vec(name)));
    (whole && !names_are_missing).then(|| paths.collect())
}

/// Whether a configuration file is the same for all hosts.
pub(super) fn treats_hosts_alike(file: &[u8]) -> bool {
    file.split(|&byte| byte == b'\n').all(is_harmless)
}

fn is_harmless(line: &[u8]) -> bool {
    let blank = |byte: &u8| b" \t".contains(byte);
    let end = line.iter().rposition(|byte| !b" \t\r\x0c".contains(byte));
    let line = &line[..end.map_or(0, |end| end + 1)];
    let line = &line[line.iter().position(|byte| !blank(byte)).unwrap_or(line.len())..];
    if line.first().is_none_or(|&first| first == b'#') {
        return true;
    }
    let end = line.iter().position(|byte| !byte.is_ascii_alphanumeric());
    let Some((keyword, rest)) = end.map(|end| line.split_at(end)) else { return false };
    let Some(value) = after_separator(rest) else { return false };
    match keyword.to_ascii_lowercase().as_slice() {
        b"host" => value == b"*",
        b"match" => value.eq_ignore_ascii_case(b"all"),
        keyword => HARMLESS.contains(&keyword) && value.iter().all(is_plain),
    }
}

/// What follows blanks, or one `=` with or without blanks around it.
fn after_separator(rest: &[u8]) -> Option<&[u8]> {
    let skip = |text: &'_ [u8]| text.iter().take_while(|b| b" \t".contains(b)).count();
    let blanks = skip(rest);
    let after = &rest[blanks..];
    match after.split_first() {
        Some((b'=', value)) => Some(&value[skip(value)..]),
        _ if blanks > 0 => Some(after),
        _ => None,
    }
}

/// Whether a byte is an ordinary character in every value: no quote, token or variable.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b" \t_,.:/+*@~=-".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_whose_every_line_is_known_treat_hosts_alike() {
        for alike in [
            &b""[..],
            b"# Host web\n#\xe9\nHost *\n  SendEnv LANG LC_*\n",
            b"host = *\nUser bob\nIdentityFile ~/.ssh/id\r\n\n",
            b"Match all\n  IdentityAgent none\n\tPort\t2222\n",
            b"Include /etc/ssh/ssh_config.d/*.conf",
        ] {
            assert!(treats_hosts_alike(alike), "{}", alike.escape_ascii());
        }
        for apart in [
            &b"Host web\n  User bob"[..],
            b"HOST=10.*",
            b"Host * !web",
            b"\"Host\" web",
            b"Host \"web\"",
            b"\tMatch user bob",
            b"Match all exec true",
            b"HostName %h.example",
            b"CanonicalizeHostname yes",
            b"ProxyJump bastion",
            b"UserKnownHostsFile ~/.ssh/kh_%h",
            b"IdentityFile ${KEY}",
            b"User caf\xe9",
            b"Us\xe9r bob",
            b"\x0bHost web",
            b"User a\0",
            b"Port",
            b"SomethingNew yes",
        ] {
            assert!(!treats_hosts_alike(apart), "{}", apart.escape_ascii());
        }
    }

    #[test]
    fn the_files_that_were_read_are_taken_from_the_chatter() {
        let said =
            b"OpenSSH_9.2p1\ndebug1: Reading configuration data /etc/ssh/ssh_config\r\n\
                     debug1: /etc/ssh/ssh_config line 19: include x matched no files\n";
        assert_eq!(files_read(said), Some(vec![PathBuf::from("/etc/ssh/ssh_config")]));
        assert_eq!(files_read(b"OpenSSH_10.1\ndebug1: Loading settings of /c\n"), None);
        let long = format!("debug1: Reading configuration data /{}\n", "x".repeat(199));
        assert_eq!(files_read(long.as_bytes()), None);
    }
}
