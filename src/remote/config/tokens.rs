//! The values of `%h`, `~` and `${HOME}` in the operator's SSH settings.
//!
//! Pure except for the environment's variables. `ssh -G` prints some settings as written; this
//! module completes them as OpenSSH does when it connects.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::host::{is_safe_name, is_safe_user};

/// The tokens that OpenSSH supports in a `ProxyCommand`.
const IN_COMMANDS: &[u8] = b"hknpr";

/// The values of the tokens in one host's settings.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    /// `%h`: where to connect.
    pub(super) hostname: String,
    /// `%n`: the host name as requested.
    pub(super) asked: String,
    /// `%k`: the name by which its key is known.
    pub(super) alias: String,
    /// `%p`.
    pub(super) port: u16,
    /// `%r`: the user that logs in.
    pub(super) user: String,
    /// `%j`: the jump host nearest to this one.
    pub(super) jump: String,
    /// The values that depend on this computer, as reported by OpenSSH.
    pub(super) here: Here,
}

/// The values of the tokens that depend on this computer and its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Here {
    /// `%d` and `~`.
    pub(super) home: Vec<u8>,
    /// `%C`: a hash of the connection.
    pub(super) hash: Vec<u8>,
    /// `%i`.
    pub(super) uid: Vec<u8>,
    /// `%L`.
    pub(super) short_name: Vec<u8>,
    /// `%l`.
    pub(super) long_name: Vec<u8>,
    /// `%u`.
    pub(super) user: Vec<u8>,
}

/// Why a setting cannot be completed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// OpenSSH does not support this token there.
    #[error("OpenSSH has no token `%{0}` there")]
    NoToken(String),
    /// The environment does not have this variable.
    #[error("the environment has no variable `{0}`")]
    NoVariable(String),
    /// A shell would interpret the name.
    #[error(
        "`%{token}` becomes `{name}`, which a shell could run as a command: quotes, \
         brackets, blanks and other characters special to a shell are not allowed in it"
    )]
    Unsafe {
        /// The token's letter.
        token: char,
        /// Its value.
        name: String,
    },
}

impl Here {
    /// What OpenSSH is asked in order to report these values: it completes the path of a setting
    /// that this program does not use.
    pub(super) const QUESTION: &str = "ControlPath=~/%C/%i/%L/%l/%u";

    /// Reads OpenSSH's answer to [`Self::QUESTION`].
    pub(super) fn read(path: &[u8]) -> Option<Self> {
        let mut parts = path.rsplitn(6, |&byte| byte == b'/').map(<[u8]>::to_vec);
        let mut next = || parts.next();
        let (user, long_name, short_name) = (next()?, next()?, next()?);
        Some(Self {
            user,
            long_name,
            short_name,
            uid: next()?,
            hash: next()?,
            home: next()?,
        })
    }

    /// A path, with a leading `~` replaced by the home directory.
    pub(super) fn in_home(&self, path: &[u8]) -> PathBuf {
        in_home(path, Path::new(OsStr::from_bytes(&self.home)))
    }
}

/// A path, with a leading `~` replaced by the given home directory.
pub(super) fn in_home(path: &[u8], home: &Path) -> PathBuf {
    match path.strip_prefix(b"~") {
        Some(b"") => home.to_owned(),
        Some([b'/', rest @ ..]) => home.join(OsStr::from_bytes(rest)),
        _ => PathBuf::from(OsStr::from_bytes(path)),
    }
}

impl Tokens {
    /// Completes a file's name: `~`, tokens and variables.
    pub(super) fn path(&self, text: &[u8]) -> Result<PathBuf, BadValue> {
        let text = self.here.in_home(text).into_os_string().into_vec();
        let mut path = Vec::new();
        let mut rest = text.as_slice();
        while let Some((&first, after)) = rest.split_first() {
            rest = match first {
                b'%' => {
                    let (token, after) = split_token(after)?;
                    path.extend(self.value(token).ok_or_else(|| no_token(token))?);
                    after
                }
                b'$' if after.starts_with(b"{") => {
                    let end = after.iter().position(|&byte| byte == b'}');
                    let end = end.unwrap_or(after.len());
                    path.extend(variable(&after[1..end])?.into_vec());
                    after.get(end + 1..).unwrap_or_default()
                }
                _ => {
                    path.push(first);
                    after
                }
            };
        }
        Ok(PathBuf::from(OsString::from_vec(path)))
    }

    /// Completes a command that a shell of this computer runs. OpenSSH replaces only the tokens
    /// in it, and leaves `~` and variables to the shell.
    pub(super) fn command(&self, text: &[u8]) -> Result<OsString, BadValue> {
        let mut command = Vec::new();
        let mut rest = text;
        while let Some((&first, after)) = rest.split_first() {
            rest = match first {
                b'%' => {
                    let (token, after) = split_token(after)?;
                    command.extend(self.value_in_shell(token)?);
                    after
                }
                _ => {
                    command.push(first);
                    after
                }
            };
        }
        Ok(OsString::from_vec(command))
    }

    fn value_in_shell(&self, token: u8) -> Result<Vec<u8>, BadValue> {
        if token == b'%' {
            return Ok(vec![b'%']);
        }
        let known = IN_COMMANDS.contains(&token).then(|| self.value(token)).flatten();
        let value = known.ok_or_else(|| no_token(token))?;
        let name = String::from_utf8_lossy(&value);
        let fits = match token {
            b'r' => is_safe_user(&name),
            _ => is_safe_name(&name),
        };
        match fits {
            true => Ok(value),
            false => Err(BadValue::Unsafe {
                token: char::from(token),
                name: name.into_owned(),
            }),
        }
    }

    fn value(&self, token: u8) -> Option<Vec<u8>> {
        let text = |text: &str| text.as_bytes().to_vec();
        Some(match token {
            b'%' => vec![b'%'],
            b'C' => self.here.hash.clone(),
            b'd' => self.here.home.clone(),
            b'h' => text(&self.hostname),
            b'i' => self.here.uid.clone(),
            b'j' => text(&self.jump),
            b'k' => text(&self.alias),
            b'L' => self.here.short_name.clone(),
            b'l' => self.here.long_name.clone(),
            b'n' => text(&self.asked),
            b'p' => text(&self.port.to_string()),
            b'r' => text(&self.user),
            b'u' => self.here.user.clone(),
            _ => return None,
        })
    }
}

fn split_token(after: &[u8]) -> Result<(u8, &[u8]), BadValue> {
    let (token, after) = after.split_first().ok_or(BadValue::NoToken(String::new()))?;
    Ok((*token, after))
}

fn no_token(token: u8) -> BadValue {
    BadValue::NoToken(token.escape_ascii().to_string())
}

fn variable(name: &[u8]) -> Result<OsString, BadValue> {
    let missing = || BadValue::NoVariable(String::from_utf8_lossy(name).into_owned());
    // A name with one of these is not a variable's name, and asking for it would panic.
    let is_name = !name.is_empty() && !name.contains(&b'=') && !name.contains(&0);
    let value = is_name.then(|| std::env::var_os(OsStr::from_bytes(name))).flatten();
    value.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens {
            hostname: "10.0.0.9".into(),
            asked: "web".into(),
            alias: "the-web".into(),
            port: 2222,
            user: "bob".into(),
            jump: "b1".into(),
            here: Here::read(b"/home/a b/0a1b/1000/desk/desk.example/ann").unwrap(),
        }
    }

    #[test]
    fn paths_are_completed_with_all_tokens_the_home_and_variables() {
        let path = |text: &str| tokens().path(text.as_bytes());
        assert_eq!(
            path("~/%%%C_%d_%h_%i_%j_%k_%L_%l_%n_%p_%r_%u").unwrap(),
            Path::new(
                "/home/a b/%0a1b_/home/a b_10.0.0.9_1000_b1_the-web_desk_desk.example_web_\
                 2222_bob_ann"
            )
        );
        let home = std::env::var("PATH").unwrap();
        assert_eq!(path("${PATH}/x$y").unwrap(), PathBuf::from(format!("{home}/x$y")));
        assert_eq!(path("~root/x").unwrap(), Path::new("~root/x"));
        assert_eq!(path("/%z"), Err(BadValue::NoToken("z".into())));
        assert_eq!(path("/%"), Err(BadValue::NoToken(String::new())));
        let missing = "NO_SUCH_VARIABLE".to_owned();
        assert_eq!(path("${NO_SUCH_VARIABLE}/x"), Err(BadValue::NoVariable(missing)));
        assert_eq!(path("${}"), Err(BadValue::NoVariable(String::new())));
    }

    #[test]
    fn commands_are_completed_with_the_tokens_that_openssh_knows_there() {
        let command = |text: &str| tokens().command(text.as_bytes());
        assert_eq!(
            command("nc -x %% %h:%p %n %k %r ~ ${HOME}").unwrap(),
            "nc -x % 10.0.0.9:2222 web the-web bob ~ ${HOME}"
        );
        assert_eq!(command("nc %u"), Err(BadValue::NoToken("u".into())));
        assert_eq!(
            tokens().command(b"caf\xe9 %h").unwrap().as_bytes(),
            b"caf\xe9 10.0.0.9"
        );
    }

    #[test]
    fn a_name_that_a_shell_could_take_for_a_command_gets_into_none() {
        let user = |user: &str| Tokens { user: user.into(), ..tokens() }.command(b"x %r");
        assert_eq!(user(r"CORP\ann").unwrap(), r"x CORP\ann");
        for bad in
            ["$(>x)", "a;b", "`id`", "-oProxyCommand=x", "a\nb", "a -l", "a\\", "$IFS"]
        {
            assert!(
                matches!(user(bad), Err(BadValue::Unsafe { token: 'r', .. })),
                "{bad}"
            );
        }
        let host =
            |host: &str| Tokens { hostname: host.into(), ..tokens() }.command(b"x %h");
        assert_eq!(host("fe80::1%eth0").unwrap(), "x fe80::1%eth0");
        for bad in ["$(>x)", "a b", "a|b", "-x", "a\\b", "*"] {
            assert!(
                matches!(host(bad), Err(BadValue::Unsafe { token: 'h', .. })),
                "{bad}"
            );
        }
        // A file name never reaches a shell.
        let odd = Tokens { user: "$(>x)".into(), ..tokens() };
        assert_eq!(odd.path(b"/k/%r").unwrap(), Path::new("/k/$(>x)"));
    }
}
