//! Command lines of Mesos: `--name=value`, `--[no-]name`, and the environment.
//!
//! Strict as the real ones: what they do not know is refused, so that a misspelt flag shows in a
//! rehearsal. A table names the known flags; what a flag means is decided by whoever reads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Why a command line was refused; worded as the real programs word it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FlagError {
    /// No flag has this name.
    #[error("Failed to load unknown flag '{0}'")]
    Unknown(String),
    /// A flag that is not a boolean came with `no-`.
    #[error("Failed to load non-boolean flag '{0}' via '--no-{0}'")]
    NotBoolean(String),
    /// A `--no-` flag came with a value.
    #[error("Failed to load boolean flag '{0}' via '--no-{0}' with value '{1}'")]
    NegatedValue(String, String),
    /// A flag that needs a value came without.
    #[error("Failed to load non-boolean flag '{0}': Missing value")]
    MissingValue(String),
    /// A flag was given twice.
    #[error("Duplicate flag '{0}' on command line")]
    Duplicate(String),
    /// A flag that must be given was not.
    #[error("Flag '{0}' is required, but it was not provided")]
    Required(String),
    /// A value is not of its flag's type.
    #[error("Failed to load flag '{name}': Failed to load value '{value}': {reason}")]
    Value {
        /// The flag.
        name: String,
        /// What it was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file named by a value cannot be read.
    #[error("Failed to load flag '{name}': Error reading file '{path}': {reason}")]
    File {
        /// The flag.
        name: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// One flag of a table.
#[derive(Debug, Clone)]
struct Known {
    names: Vec<String>,
    is_boolean: bool,
    default: Option<String>,
}

/// The flags that a program knows.
#[derive(Debug, Clone)]
pub struct Table(Vec<Known>);

impl Table {
    /// Reads one flag a line: `[no-]name[,old_name] [default]`; `[no-]` marks a boolean, and
    /// `""` a default that is empty.
    pub fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter(|line| !line.trim().is_empty())
                .map(parse_known)
                .collect(),
        )
    }

    fn find(&self, name: &str) -> Option<&Known> {
        self.0.iter().find(|known| known.names.iter().any(|n| n == name))
    }
}

fn parse_known(line: &str) -> Known {
    let (names, default) = match line.split_once(' ') {
        Some((names, default)) => (names, Some(default.trim_matches('"'))),
        None => (line, None),
    };
    let (is_boolean, names) = match names.strip_prefix("[no-]") {
        Some(names) => (true, names),
        None => (false, names),
    };
    Known {
        names: names.split(',').map(str::to_owned).collect(),
        is_boolean,
        default: default.map(str::to_owned),
    }
}

/// The values of a program's flags, by their present names.
#[derive(Clone)]
pub struct Flags {
    values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flags").field("names", &self.values.keys()).finish()
    }
}

impl Flags {
    /// Takes defaults, then the variables that begin with `prefix`, then the arguments.
    ///
    /// Variables that name no flag are none of ours; arguments that do not are refused.
    pub fn load(
        table: &Table,
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self, FlagError> {
        let mut values = defaults(table);
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(prefix).map(str::to_lowercase) else {
                continue;
            };
            if let Some((name, value)) = from_variable(table, &name, value)? {
                values.insert(name, value);
            }
        }
        let mut given = BTreeMap::new();
        for argument in arguments {
            let (name, value) = from_argument(table, &argument)?;
            if given.insert(name.clone(), value).is_some() {
                return Err(FlagError::Duplicate(name));
            }
        }
        values.extend(given);
        Ok(Self { values })
    }

    /// All values, as `/flags` shows them.
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The value of a flag, where it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a flag that must be given.
    pub fn required(&self, name: &str) -> Result<&str, FlagError> {
        self.get(name).ok_or_else(|| FlagError::Required(name.to_owned()))
    }

    /// Sets a value that the program finds out itself, as the real ones do for `hostname`.
    pub fn set(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    /// Whether a boolean flag is on.
    pub fn is_on(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    /// A value of any type that can be read from text.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, FlagError>
    where
        T::Err: std::fmt::Display,
    {
        self.get(name)
            .map(|value| value.parse().map_err(|e: T::Err| value_error(name, value, e)))
            .transpose()
    }

    /// A duration such as `15secs`.
    pub fn duration(&self, name: &str) -> Result<Duration, FlagError> {
        let value = self.required(name)?;
        parse_duration(value).ok_or_else(|| {
            value_error(name, value, "Invalid duration; expected e.g. 15secs or 10mins")
        })
    }

    /// The value itself, or the content of the file that it names as `file://…`.
    pub fn text_or_file(&self, name: &str) -> Result<Option<String>, FlagError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.strip_prefix("file://") {
                Some(path) => read_file(name, path).map(Some),
                None => Ok(Some(value.to_owned())),
            },
        }
    }

    /// The content of the file named by a flag, as `file://…` or as a path.
    pub fn file(&self, name: &str) -> Result<Option<String>, FlagError> {
        self.get(name)
            .map(|value| read_file(name, value.strip_prefix("file://").unwrap_or(value)))
            .transpose()
    }

    /// JSON in the value itself, in `file://…`, or in the file at an absolute path.
    pub fn json(&self, name: &str) -> Result<Option<serde_json::Value>, FlagError> {
        let is_path = self.get(name).is_some_and(|value| value.starts_with('/'));
        let text = if is_path { self.file(name)? } else { self.text_or_file(name)? };
        text.map(|text| {
            // The content may be secret, so that only the place of the fault is told.
            serde_json::from_str(&text).map_err(|e| {
                value_error(name, self.get(name).unwrap_or_default(), json_fault(&e))
            })
        })
        .transpose()
    }
}

fn json_fault(error: &serde_json::Error) -> String {
    format!("syntax error at line {}", error.line())
}

fn value_error(name: &str, value: &str, reason: impl ToString) -> FlagError {
    FlagError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        reason: reason.to_string(),
    }
}

fn read_file(name: &str, path: &str) -> Result<String, FlagError> {
    std::fs::read_to_string(Path::new(path)).map(|text| text.trim().to_owned()).map_err(
        |error| FlagError::File {
            name: name.to_owned(),
            path: path.to_owned(),
            reason: error.to_string(),
        },
    )
}

fn defaults(table: &Table) -> BTreeMap<String, String> {
    let default = |known: &Known| Some((known.names[0].clone(), known.default.clone()?));
    table.0.iter().filter_map(default).collect()
}

fn from_variable(
    table: &Table,
    name: &str,
    value: String,
) -> Result<Option<(String, String)>, FlagError> {
    if let Some(known) = table.find(name) {
        return checked(known, name, value).map(Some);
    }
    match name.strip_prefix("no-").and_then(|name| table.find(name)) {
        Some(known) if known.is_boolean => {
            Ok(Some((known.names[0].clone(), "false".into())))
        }
        _ => Ok(None),
    }
}

fn from_argument(table: &Table, argument: &str) -> Result<(String, String), FlagError> {
    let body = argument
        .strip_prefix("--")
        .ok_or_else(|| FlagError::Unknown(argument.to_owned()))?;
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    if let Some(known) = table.find(name) {
        return match value {
            Some(value) => checked(known, name, value.to_owned()),
            None if known.is_boolean => Ok((known.names[0].clone(), "true".into())),
            None => Err(FlagError::MissingValue(name.to_owned())),
        };
    }
    let negated = name.strip_prefix("no-").unwrap_or_default();
    let known = table.find(negated).ok_or_else(|| FlagError::Unknown(name.to_owned()))?;
    match value {
        _ if !known.is_boolean => Err(FlagError::NotBoolean(negated.to_owned())),
        Some(value) => Err(FlagError::NegatedValue(negated.to_owned(), value.to_owned())),
        None => Ok((known.names[0].clone(), "false".into())),
    }
}

fn checked(
    known: &Known,
    name: &str,
    value: String,
) -> Result<(String, String), FlagError> {
    let value = match (known.is_boolean, value.as_str()) {
        (true, "" | "true" | "1") => "true".to_owned(),
        (true, "false" | "0") => "false".to_owned(),
        (true, _) => {
            return Err(value_error(
                name,
                &value,
                "Expecting a boolean (e.g., true or false)",
            ));
        }
        (false, _) => value,
    };
    Ok((known.names[0].clone(), value))
}

/// Reads `15secs`, `1.5mins` and the like; `None` when it is not a duration.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds_per_unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
agent_ping_timeout,slave_ping_timeout 15secs
[no-]log_auto_initialize true
quorum
zk
";

    fn load(variables: &[(&str, &str)], arguments: &[&str]) -> Result<Flags, FlagError> {
        let owned =
            |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Flags::load(
            &Table::parse(TABLE),
            "MESOS_",
            variables.iter().map(owned),
            arguments.iter().map(|argument| (*argument).to_owned()),
        )
    }

    #[test]
    fn arguments_win_over_variables_and_variables_over_defaults() {
        let flags = load(
            &[
                ("MESOS_QUORUM", "1"),
                ("MESOS_SLAVE_PING_TIMEOUT", "2mins"),
                ("HOME", "/"),
            ],
            &["--quorum=2", "--no-log_auto_initialize"],
        )
        .unwrap();
        assert_eq!(flags.parsed::<u32>("quorum"), Ok(Some(2)));
        assert_eq!(flags.duration("agent_ping_timeout"), Ok(Duration::from_secs(120)));
        assert!(!flags.is_on("log_auto_initialize"));
    }

    #[test]
    fn unknown_variables_are_let_pass_and_unknown_arguments_are_not() {
        assert!(load(&[("MESOS_NATIVE_JAVA_LIBRARY", "x")], &[]).is_ok());
        let error = load(&[], &["--quorom=2"]).unwrap_err();
        assert_eq!(error.to_string(), "Failed to load unknown flag 'quorom'");
    }

    #[test]
    fn misuse_is_refused() {
        for (arguments, want) in [
            (&["--no-quorum"][..], FlagError::NotBoolean("quorum".into())),
            (&["--quorum"], FlagError::MissingValue("quorum".into())),
            (&["--quorum=1", "--quorum=1"], FlagError::Duplicate("quorum".into())),
            (&["stray"], FlagError::Unknown("stray".into())),
        ] {
            assert_eq!(load(&[], arguments).unwrap_err(), want);
        }
    }

    #[test]
    fn a_value_may_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zk");
        std::fs::write(&path, "zk://h:1/mesos\n").unwrap();
        let flags = load(&[], &[&format!("--zk=file://{}", path.display())]).unwrap();
        assert_eq!(flags.text_or_file("zk").unwrap().as_deref(), Some("zk://h:1/mesos"));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("1.5mins"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        for text in ["15", "15 secs", "secs", "", "1.2.3secs"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
