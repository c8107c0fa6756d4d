//! One user and one password for everything that is served, as `--http_credentials` has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// A user with a password.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    /// Splits `user:password` at the last colon; `None` when there is none. The caller then
    /// serves without asking for a password, as the real ones do.
    pub fn read(text: &str) -> Option<Self> {
        let (user, password) = text.rsplit_once(':')?;
        (!user.is_empty() && !password.is_empty()).then(|| Self::new(user, password))
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The value of the `Authorization` header that admits.
    pub fn header(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }

    /// Whether a request with this `Authorization` header is admitted.
    pub fn admit(&self, header: Option<&str>) -> bool {
        let encoded = header.and_then(|header| header.split_once(' '));
        let Some((scheme, encoded)) = encoded else { return false };
        let Ok(bytes) = STANDARD.decode(encoded.trim()) else { return false };
        let Ok(text) = String::from_utf8(bytes) else { return false };
        scheme.eq_ignore_ascii_case("basic")
            && text.split_once(':') == Some((&self.user, &self.password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_colon_divides() {
        let credentials = Credentials::read("a:b:c").unwrap();
        assert_eq!(credentials, Credentials::new("a:b", "c"));
        assert_eq!(Credentials::read("nocolon"), None);
        assert_eq!(Credentials::read(":p"), None);
    }

    #[test]
    fn only_the_right_header_admits() {
        let credentials = Credentials::new("u", "p");
        assert!(credentials.admit(Some(&credentials.header())));
        assert!(!credentials.admit(Some(&Credentials::new("u", "q").header())));
        assert!(!credentials.admit(Some("Basic !")));
        assert!(!credentials.admit(None));
    }

    #[test]
    fn a_user_with_a_colon_is_never_admitted() {
        let credentials = Credentials::read("a:b:c").unwrap();
        assert!(!credentials.admit(Some(&credentials.header())));
    }

    #[test]
    fn the_password_is_not_shown() {
        assert!(!format!("{:?}", Credentials::new("u", "secret")).contains("secret"));
    }
}
