//! Reads options as the parser that Marathon and Chronos share does.
//!
//! Pure: the words, the environment and a reader of `@FILE` are passed in. It knows no option by
//! itself; each program brings its table, and a word that is not in the table is refused.

use std::collections::BTreeMap;

/// Why the words were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// No such option.
    #[error("unknown option '{0}'")]
    Unknown(String),
    /// Given twice, on the command line or once there and once in the environment.
    #[error("option '{0}' is given more than once")]
    Twice(String),
    /// Nothing follows.
    #[error("option '{0}' needs a value")]
    NoValue(String),
    /// Something follows that should not.
    #[error("option '{0}' takes no value")]
    NotTaken(String),
    /// Not a number.
    #[error("option '{0}' needs a number")]
    NotNumber(String),
    /// A word that belongs to no option. It is not repeated: it may be a password.
    #[error("word {0} of the arguments belongs to no option")]
    Excess(usize),
    /// Needed, and not there.
    #[error("required option '{0}' not found")]
    Missing(&'static str),
    /// `@FILE` cannot be read.
    #[error("cannot read the arguments in {0}")]
    File(String),
}

/// The options that were given.
#[derive(Clone, Default)]
pub struct Options(BTreeMap<&'static str, Given>);

#[derive(Clone)]
enum Given {
    Value(String),
    On,
    Off,
}

impl Options {
    /// The value of an option, when given.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Given::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// The value of an option or its default.
    pub fn text_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.text(name).unwrap_or(default)
    }

    /// A whole number, which the table has promised.
    pub fn whole_or(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// A number, which the table has promised.
    pub fn number_or(&self, name: &str, default: f64) -> f64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// Whether a flag or toggle is on.
    pub fn on(&self, name: &str, default: bool) -> bool {
        match self.0.get(name) {
            Some(Given::On) => true,
            Some(Given::Off) => false,
            _ => default,
        }
    }

    fn put(&mut self, name: &'static str, given: Given) -> Result<(), OptionsError> {
        match self.0.insert(name, given) {
            None => Ok(()),
            Some(_) => Err(OptionsError::Twice(name.to_owned())),
        }
    }
}

/// The words of a text.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The arguments that the parser will see: those of a file when the first is `@FILE`, and then
/// nothing else.
///
/// # Errors
/// When the file cannot be read.
pub fn expand(
    words: Vec<String>,
    read: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, OptionsError> {
    match words.first().and_then(|first| first.strip_prefix('@')) {
        None => Ok(words),
        Some(file) => read(file)
            .map(|text| self::words(&text))
            .ok_or_else(|| OptionsError::File(file.to_owned())),
    }
}

/// Environment variables that begin with `prefix` as arguments. Those that begin with `ignored`
/// are what tasks are given, not settings.
pub fn from_environment(
    variables: &BTreeMap<String, String>,
    prefix: &str,
    ignored: &str,
) -> Vec<String> {
    let mut words = Vec::new();
    for (name, value) in variables {
        let Some(option) = name.strip_prefix(prefix) else { continue };
        if name.starts_with(ignored) {
            continue;
        }
        words.push(format!("--{}", option.to_lowercase()));
        if !value.is_empty() {
            words.push(value.clone());
        }
    }
    words
}

/// Reads words by a table: each of its lines names a kind, and then options of it. Of the kind
/// `text` any word follows, of `whole` and `number` a number; `flag` takes nothing, and `toggle`
/// neither, but its opposite is `--disable_NAME`.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(table: &'static str, words: &[String]) -> Result<Options, OptionsError> {
    let mut options = Options::default();
    let mut rest = words.iter().enumerate();
    while let Some((index, word)) = rest.next() {
        let body = word.strip_prefix("--").ok_or(OptionsError::Excess(index + 1))?;
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let (known, kind, on) = find(table, name)?;
        let given = match (kind, inline) {
            ("flag" | "toggle", None) if on => Given::On,
            ("flag" | "toggle", None) => Given::Off,
            ("flag" | "toggle", Some(_)) => {
                return Err(OptionsError::NotTaken(name.to_owned()));
            }
            (kind, Some(value)) => value_of(kind, name, value)?,
            (kind, None) => {
                let next = rest.next().map(|(_, value)| value.clone());
                let value = next.ok_or_else(|| OptionsError::NoValue(name.to_owned()))?;
                value_of(kind, name, value)?
            }
        };
        options.put(known, given)?;
    }
    Ok(options)
}

/// An option's name and kind, and whether it is on.
fn find(
    table: &'static str,
    name: &str,
) -> Result<(&'static str, &'static str, bool), OptionsError> {
    let named = |name: &str| {
        table.lines().find_map(|line| {
            let (kind, names) = line.split_once(' ')?;
            let known = names.split(' ').find(|known| *known == name)?;
            Some((known, kind))
        })
    };
    let off =
        || named(name.strip_prefix("disable_")?).filter(|(_, kind)| *kind == "toggle");
    let on = named(name).map(|(known, kind)| (known, kind, true));
    on.or_else(|| off().map(|(known, kind)| (known, kind, false)))
        .ok_or_else(|| OptionsError::Unknown(name.to_owned()))
}

fn value_of(kind: &str, name: &str, value: String) -> Result<Given, OptionsError> {
    let good = match kind {
        "whole" => value.parse::<u64>().is_ok(),
        "number" => value.parse::<f64>().is_ok(),
        _ => true,
    };
    match good {
        true => Ok(Given::Value(value)),
        false => Err(OptionsError::NotNumber(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "text zk\nwhole http_port\ntoggle ha\nflag disable_http";

    fn read(line: &str) -> Result<Options, OptionsError> {
        parse(TABLE, &words(line))
    }

    #[test]
    fn both_spellings_of_a_value_are_read() {
        assert_eq!(read("--zk a --http_port=1").unwrap().text("zk"), Some("a"));
        assert_eq!(read("--zk a --http_port=1").unwrap().whole_or("http_port", 0), 1);
    }

    #[test]
    fn a_toggle_can_be_disabled_and_a_flag_cannot() {
        assert!(!read("--disable_ha").unwrap().on("ha", true));
        assert!(read("--disable_http").unwrap().on("disable_http", false));
        let refused = read("--disable_disable_http").err();
        assert_eq!(refused, Some(OptionsError::Unknown("disable_disable_http".into())));
    }

    #[test]
    fn what_the_parser_refuses() {
        let refused = |line: &str| read(line).err();
        assert_eq!(refused("--nope"), Some(OptionsError::Unknown("nope".into())));
        assert_eq!(refused("--zk"), Some(OptionsError::NoValue("zk".into())));
        assert_eq!(refused("--ha true"), Some(OptionsError::Excess(2)));
        assert_eq!(refused("--ha=true"), Some(OptionsError::NotTaken("ha".into())));
        assert_eq!(refused("--zk a --zk b"), Some(OptionsError::Twice("zk".into())));
        assert_eq!(
            refused("--http_port x"),
            Some(OptionsError::NotNumber("http_port".into()))
        );
    }

    #[test]
    fn a_file_of_arguments_stands_for_all_of_them() {
        let read = |file: &str| (file == "/f").then(|| "--zk a\n --ha ".to_owned());
        assert_eq!(expand(words("@/f --nope"), read), Ok(words("--zk a --ha")));
        assert_eq!(expand(words("--ha @/f"), read), Ok(words("--ha @/f")));
        assert_eq!(expand(words("@/g"), read), Err(OptionsError::File("/g".into())));
    }

    #[test]
    fn variables_become_options() {
        let variables = [
            ("MARATHON_ZK", "a"),
            ("MARATHON_DISABLE_HA", ""),
            ("MARATHON_APP_ID", "/x"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let found = from_environment(&variables.into(), "MARATHON_", "MARATHON_APP_");
        assert_eq!(found, words("--disable_ha --zk a"));
    }
}
