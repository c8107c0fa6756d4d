//! One user and one password for everything that is served, as `--http_credentials` has it.

use axum::http::StatusCode;
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

    /// The value of the `Authorization` header that admits.
    pub fn header(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }

    /// Whether a request with this `Authorization` header is admitted; the status of its refusal
    /// when not.
    ///
    /// # Errors
    /// When it is no such header, or another user's; the real ones fail over one that is broken.
    pub fn admit(&self, header: Option<&str>) -> Result<(), StatusCode> {
        let encoded = header.and_then(|header| header.split_once(' '));
        let basic = encoded.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let (_, encoded) = basic.ok_or(StatusCode::UNAUTHORIZED)?;
        let bytes = STANDARD.decode(encoded.trim());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        match text.split_once(':') == Some((&self.user, &self.password)) {
            true => Ok(()),
            false => Err(StatusCode::UNAUTHORIZED),
        }
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
        let other = Credentials::new("u", "q").header();
        for (header, refusal) in [
            (Some(credentials.header().as_str()), None),
            (Some(other.as_str()), Some(StatusCode::UNAUTHORIZED)),
            (Some("Bearer abc"), Some(StatusCode::UNAUTHORIZED)),
            (Some("Basic !!!"), Some(StatusCode::INTERNAL_SERVER_ERROR)),
            (None, Some(StatusCode::UNAUTHORIZED)),
        ] {
            assert_eq!(credentials.admit(header).err(), refusal, "{header:?}");
        }
    }

    #[test]
    fn a_user_with_a_colon_is_never_admitted() {
        let credentials = Credentials::read("a:b:c").unwrap();
        assert!(credentials.admit(Some(&credentials.header())).is_err());
    }

    #[test]
    fn the_password_is_not_shown() {
        assert!(!format!("{:?}", Credentials::new("u", "secret")).contains("secret"));
    }
}
