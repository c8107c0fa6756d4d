//! The labels of an app that are meant for the balancer: those of marathon-lb, as far as they have
//! one safe meaning.
//!
//! Each value becomes a type that can only hold what is harmless in HAProxy's configuration. What
//! does not fit is refused with the reason. Free text for the configuration is always refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The labels of an app.
pub type Labels = BTreeMap<String, String>;

/// What the labels say of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortLabels {
    /// The virtual hosts.
    pub vhosts: Vec<VirtualHost>,
    /// The path that requests must begin with.
    pub path: Option<UrlPath>,
    /// Another service port than Marathon's.
    pub port: Option<u32>,
    /// The protocol.
    pub mode: Option<Mode>,
    /// How servers are chosen.
    pub balance: Balance,
    /// Whether a client stays with its server.
    pub sticky: bool,
    /// Whether plain HTTP is sent to HTTPS.
    pub redirect: bool,
    /// Whether browsers are told to use HTTPS only.
    pub hsts: bool,
    /// Where the rules of this port stand among all rules; higher is earlier.
    pub weight: Option<i32>,
    /// The password that is asked for.
    pub auth: Option<Auth>,
}

/// The protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Any protocol over TCP.
    Tcp,
    /// HTTP.
    Http,
}

/// The name of a virtual host, in lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VirtualHost(String);

/// The beginning of a path, such as `/api`, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UrlPath(String);

/// How a server is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// In turn, with fixed weights.
    StaticRoundRobin,
    /// The one with the fewest connections.
    LeastConnections,
    /// The first one that is not full.
    First,
    /// By the client's address.
    Source,
    /// By the address of the page; for HTTP only.
    Uri,
    /// By chance.
    Random,
}

/// A login that HAProxy asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    realm: String,
    user: String,
    password: String,
}

/// Why the labels of a port cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("label {label} {reason}")]
pub struct LabelError {
    label: String,
    reason: String,
}

/// Labels of marathon-lb that hold a piece of configuration, or protect a port in a way that this
/// program does not know. To ignore them would be unsafe.
const REFUSED: [&str; 26] = [
    "BACKEND_HEAD",
    "BACKEND_HSTS_OPTIONS",
    "BACKEND_HTTP_BACKEND_PROXYPASS",
    "BACKEND_HTTP_HEALTHCHECK_OPTIONS",
    "BACKEND_HTTP_OPTIONS",
    "BACKEND_NETWORK_ALLOWED_ACL",
    "BACKEND_REDIRECT_HTTP_TO_HTTPS",
    "BACKEND_REDIRECT_HTTP_TO_HTTPS_WITH_PATH",
    "BACKEND_SERVER_HTTP_HEALTHCHECK_OPTIONS",
    "BACKEND_SERVER_OPTIONS",
    "BACKEND_SERVER_TCP_HEALTHCHECK_OPTIONS",
    "BACKEND_STICKY_OPTIONS",
    "BACKEND_TCP_HEALTHCHECK_OPTIONS",
    "BIND_ADDR",
    "BIND_OPTIONS",
    "FRONTEND_BACKEND_GLUE",
    "FRONTEND_HEAD",
    "HTTPS_FRONTEND_ACL",
    "HTTPS_FRONTEND_ACL_WITH_PATH",
    "HTTP_BACKEND_PROXYPASS_PATH",
    "HTTP_BACKEND_REDIR",
    "HTTP_BACKEND_REVPROXY_PATH",
    "HTTP_FRONTEND_ACL",
    "HTTP_FRONTEND_ACL_WITH_PATH",
    "HTTP_FRONTEND_APPID_ACL",
    "SSL_CERT",
];

/// Whether a balancer of these groups serves the port: it is in one of them and not switched off.
pub fn serves(labels: &Labels, index: usize, groups: &BTreeSet<String>) -> bool {
    value(labels, index, "ENABLED").is_none_or(is_true) && is_in(labels, index, groups)
}

fn is_in(labels: &Labels, index: usize, groups: &BTreeSet<String>) -> bool {
    let own = value(labels, index, "GROUP");
    let label = own.or_else(|| labels.get("HAPROXY_GROUP").map(String::as_str));
    groups.contains("*")
        || label.unwrap_or_default().split(',').any(|group| groups.contains(group.trim()))
}

impl PortLabels {
    /// Reads the labels of one port.
    ///
    /// # Errors
    ///
    /// If a value is not of its form, or a label holds a piece of configuration.
    pub fn read(labels: &Labels, index: usize) -> Result<Self, LabelError> {
        let reader = Reader { labels, index };
        reader.refuse_free_text()?;
        Ok(Self {
            vhosts: reader.parsed("VHOST", virtual_hosts)?.unwrap_or_default(),
            path: reader.parsed("PATH", path)?.flatten(),
            port: reader.parsed("PORT", number)?,
            mode: reader.parsed("MODE", mode)?,
            balance: reader.parsed("BALANCE", balance)?.unwrap_or_default(),
            sticky: reader.is_true("STICKY"),
            redirect: reader.is_true("REDIRECT_TO_HTTPS"),
            hsts: reader.is_true("USE_HSTS"),
            weight: reader.parsed("BACKEND_WEIGHT", number)?,
            auth: reader.parsed("AUTH", auth)?,
        })
    }
}

struct Reader<'app> {
    labels: &'app Labels,
    index: usize,
}

impl Reader<'_> {
    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, LabelError> {
        let Some(text) = value(self.labels, self.index, name) else { return Ok(None) };
        let refused = |reason| match name {
            "AUTH" => self.error(name, reason),
            _ => self.error(name, &format!("{reason}, not {}", short(text))),
        };
        parse(text).map(Some).map_err(refused)
    }

    fn is_true(&self, name: &str) -> bool {
        value(self.labels, self.index, name).is_some_and(is_true)
    }

    fn refuse_free_text(&self) -> Result<(), LabelError> {
        let is_set = |name: &&&str| value(self.labels, self.index, name).is_some();
        match REFUSED.iter().find(is_set) {
            None => Ok(()),
            Some(name) => Err(self.error(name, "is not supported by this balancer")),
        }
    }

    fn error(&self, name: &str, reason: &str) -> LabelError {
        LabelError {
            label: format!("HAPROXY_{}_{name}", self.index),
            reason: reason.to_owned(),
        }
    }
}

/// The value of a label of a port; an empty one is none.
fn value<'app>(labels: &'app Labels, index: usize, name: &str) -> Option<&'app str> {
    let text = labels.get(&format!("HAPROXY_{index}_{name}"))?;
    Some(text.as_str()).filter(|text| !text.is_empty())
}

/// A value for a message: on one line and not too long.
fn short(text: &str) -> String {
    let mut start: String = text.chars().take(60).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

fn is_true(text: &str) -> bool {
    ["true", "t", "yes", "y"].contains(&text.trim().to_ascii_lowercase().as_str())
}

fn virtual_hosts(text: &str) -> Result<Vec<VirtualHost>, &'static str> {
    let names = text.split(',').map(|name| name.trim_matches(' '));
    names.filter(|name| !name.is_empty()).map(virtual_host).collect()
}

fn virtual_host(name: &str) -> Result<VirtualHost, &'static str> {
    let is_label = |part: &str| {
        let is_plain =
            |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
        (1..=63).contains(&part.len())
            && part.bytes().all(is_plain)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        Ok(VirtualHost(name.to_ascii_lowercase()))
    } else {
        Err("must be host names with commas between them")
    }
}

fn path(text: &str) -> Result<Option<UrlPath>, &'static str> {
    let is_plain = |letter: char| {
        letter.is_ascii_alphanumeric() || "/-_.~%:@!&+,;=*".contains(letter)
    };
    if !text.starts_with('/') || text.len() > 1024 || !text.chars().all(is_plain) {
        return Err("must be one path that begins with / and needs no quotes");
    }
    let whole = text.trim_end_matches('/');
    Ok(Some(whole).filter(|path| !path.is_empty()).map(|path| UrlPath(path.to_owned())))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, &'static str> {
    text.trim_matches(' ').parse().map_err(|_| "must be a number")
}

fn mode(text: &str) -> Result<Mode, &'static str> {
    match text {
        "tcp" => Ok(Mode::Tcp),
        "http" => Ok(Mode::Http),
        _ => Err("must be tcp or http"),
    }
}

fn balance(text: &str) -> Result<Balance, &'static str> {
    let known = Balance::ALL.into_iter().find(|balance| balance.word() == text);
    known.ok_or("must be roundrobin, static-rr, leastconn, first, source, uri or random")
}

fn auth(text: &str) -> Result<Auth, &'static str> {
    const FORM: &str = "must be realm:user:password, with a password that crypt(3) has \
                        hashed by SHA-256 or SHA-512";
    let mut parts = text.splitn(3, ':');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let auth = Auth { realm: part(), user: part(), password: part() };
    let is_word = |text: &str, more: &str| {
        let is_plain = |at: char| at.is_ascii_alphanumeric() || more.contains(at);
        !text.is_empty() && text.len() <= 200 && text.chars().all(is_plain)
    };
    let is_hashed = auth.password.starts_with("$5$") || auth.password.starts_with("$6$");
    let is_plain = is_word(&auth.realm, "-_.")
        && is_word(&auth.user, "-_.@")
        && is_word(&auth.password, "$./=");
    if is_hashed && is_plain { Ok(auth) } else { Err(FORM) }
}

impl Balance {
    const ALL: [Self; 7] = [
        Self::RoundRobin,
        Self::StaticRoundRobin,
        Self::LeastConnections,
        Self::First,
        Self::Source,
        Self::Uri,
        Self::Random,
    ];

    /// HAProxy's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::RoundRobin => "roundrobin",
            Self::StaticRoundRobin => "static-rr",
            Self::LeastConnections => "leastconn",
            Self::First => "first",
            Self::Source => "source",
            Self::Uri => "uri",
            Self::Random => "random",
        }
    }
}

impl Mode {
    /// HAProxy's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for VirtualHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl UrlPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Auth {
    /// What the login is for.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The hashed password.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Auth({}:{}:…)", self.realm, self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<PortLabels, String> {
        let labels = Labels::from([(format!("HAPROXY_0_{name}"), text.to_owned())]);
        PortLabels::read(&labels, 0).map_err(|error| error.to_string())
    }

    #[test]
    fn what_could_change_the_configuration_is_refused() {
        for text in [
            "a\nb", "a b", "a\0", "a'", "a\"", "{a}", "a\\", "a#", "a$b", "a\u{a0}b", "é",
        ] {
            assert!(read("VHOST", text).is_err(), "{text:?}");
            assert!(read("PATH", &format!("/{text}")).is_err(), "{text:?}");
            assert!(read("BALANCE", text).is_err(), "{text:?}");
            assert!(read("MODE", text).is_err(), "{text:?}");
            assert!(read("PORT", text).is_err(), "{text:?}");
            assert!(read("AUTH", &format!("r:u:$5$x${text}")).is_err() || text == "a$b");
        }
    }

    #[test]
    fn a_message_names_the_label_and_stays_on_one_line() {
        assert_eq!(
            read("MODE", "x\ny").unwrap_err(),
            "label HAPROXY_0_MODE must be tcp or http, not \"x\\ny\""
        );
    }

    #[test]
    fn a_refused_login_is_not_shown() {
        assert!(!read("AUTH", "r:u:plain").unwrap_err().contains("plain"));
    }

    #[test]
    fn pieces_of_configuration_are_refused() {
        for name in REFUSED {
            let refusal = read(name, "x").unwrap_err();
            assert!(refusal.ends_with("is not supported by this balancer"), "{refusal}");
        }
    }

    #[test]
    fn a_slash_at_the_end_of_a_path_says_nothing() {
        assert_eq!(read("PATH", "/api/").unwrap().path.unwrap().as_str(), "/api");
        assert_eq!(read("PATH", "/").unwrap().path, None);
    }

    #[test]
    fn unknown_labels_and_empty_values_say_nothing() {
        let plain = PortLabels::read(&Labels::new(), 0).unwrap();
        assert_eq!(read("COLOUR", "x").unwrap(), plain);
        assert_eq!(read("MODE", "").unwrap(), plain);
    }

    #[test]
    fn a_port_may_have_a_group_of_its_own() {
        let groups = BTreeSet::from(["external".to_owned()]);
        let mut labels =
            Labels::from([("HAPROXY_GROUP".to_owned(), "a, external".to_owned())]);
        assert!(serves(&labels, 0, &groups));
        labels.insert("HAPROXY_0_GROUP".to_owned(), "internal".to_owned());
        assert!(!serves(&labels, 0, &groups) && serves(&labels, 1, &groups));
    }

    #[test]
    fn a_port_that_is_switched_off_is_not_served_even_by_a_balancer_of_all_groups() {
        let labels = Labels::from([("HAPROXY_0_ENABLED".to_owned(), "no".to_owned())]);
        assert!(!serves(&labels, 0, &BTreeSet::from(["*".to_owned()])));
    }
}
