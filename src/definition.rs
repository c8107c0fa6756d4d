//! A file that describes apps or a group for Marathon, as JSON or YAML, and all that is to be said of
//! it, at its position.
//!
//! What is wrong with an app is decided by [`marathon_rules`] alone; here it gets its position.

use std::str::FromStr;

use marathon_rules::file::{self, Definition, FileApp};
use marathon_rules::{Finding, Kind, Path, Rules, Step};
use serde::Serialize;
use serde_json::{Value, json};

use crate::inventory::{Diagnostic, Level, Positions};

/// What a file says.
#[derive(Debug)]
pub struct File {
    /// Its apps and groups, in its order.
    pub definitions: Vec<Definition>,
    /// All that is to be said of it, in its order.
    pub remarks: Vec<Remark>,
}

/// Something to say of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The member that it is about, as Marathon names it: `/healthChecks(0)/path`.
    pub path: String,
    /// What Marathon does about it.
    pub effect: Effect,
    /// What it is, with its position.
    pub diagnostic: Diagnostic,
}

/// What Marathon does about something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Refuses it.
    Refused,
    /// Fails with a server's error that does not say what is wrong.
    Fails,
    /// Takes it, and then starts no task of any app.
    Stops,
    /// Drops it without a word.
    Dropped,
    /// Takes it, but it may not do what was meant.
    Doubtful,
    /// Takes it, and it can be better.
    Advice,
}

/// A member that the command line gives in place of the file: `instances=3`, `env.STAGE=lab`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    way: Vec<Step>,
    value: Value,
}

/// What was read is no setting, or fits no app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSetting(String);

impl FromStr for Setting {
    type Err = BadSetting;

    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let (name, value) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(
                || BadSetting("write MEMBER=VALUE, such as instances=3".to_owned()),
            )?;
        // Names in these two may have dots in them, and all values are texts.
        let of_texts = ["env.", "labels."].iter().find(|it| name.starts_with(**it));
        let keys: Vec<&str> = match of_texts {
            Some(_) => name.splitn(2, '.').collect(),
            None => name.split('.').collect(),
        };
        let step = |key: &&str| match key.parse() {
            Ok(index) if of_texts.is_none() => Step::Index(index),
            _ => Step::Key((*key).to_owned()),
        };
        let value = match serde_json::from_str(value) {
            Ok(value) if of_texts.is_none() => value,
            _ => value.into(),
        };
        Ok(Self { way: keys.iter().map(step).collect(), value })
    }
}

impl Setting {
    /// Puts the value where it belongs. Objects on the way are made.
    fn apply(&self, body: &mut Value) -> Result<(), BadSetting> {
        let mut place = body;
        for step in &self.way {
            place = match (step, place) {
                (Step::Key(key), Value::Object(members)) => {
                    members.entry(key).or_insert_with(|| json!({}))
                }
                (Step::Index(index), Value::Array(items)) if *index < items.len() => {
                    &mut items[*index]
                }
                _ => {
                    let path = path_of(&self.way);
                    return Err(BadSetting(format!("the file has no place for {path}")));
                }
            };
        }
        place.clone_from(&self.value);
        Ok(())
    }
}

impl Effect {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Shape(_) | Kind::Invalid => Self::Refused,
            Kind::Fails => Self::Fails,
            Kind::Stops => Self::Stops,
            Kind::Dropped => Self::Dropped,
            Kind::Doubtful => Self::Doubtful,
            Kind::Advice => Self::Advice,
        }
    }

    fn level(self) -> Level {
        match self {
            Self::Refused | Self::Fails | Self::Stops => Level::Error,
            Self::Dropped | Self::Doubtful => Level::Warning,
            Self::Advice => Level::Note,
        }
    }
}

impl File {
    /// Reads a file. If it is neither JSON nor YAML, that is all that is to be said of it.
    pub fn read(text: &str) -> Self {
        match value(text) {
            Ok(value) => Self::judge(text, file::definitions(&value)),
            Err(diagnostic) => Self::broken(diagnostic),
        }
    }

    /// The same, with members that are given in place of the file's.
    ///
    /// # Errors
    /// When the file has another number of apps than one, or no place for such a member.
    pub fn read_with(text: &str, settings: &[Setting]) -> Result<Self, BadSetting> {
        let (mut definitions, found) = match value(text) {
            Ok(value) => file::definitions(&value),
            Err(diagnostic) => return Ok(Self::broken(diagnostic)),
        };
        match definitions.as_mut_slice() {
            [Definition { body, is_group: false, .. }] => {
                settings.iter().try_for_each(|setting| setting.apply(body))?;
            }
            _ if settings.is_empty() => {}
            _ => {
                let text = "`--set` needs a file of one app";
                return Err(BadSetting(text.to_owned()));
            }
        }
        Ok(Self::judge(text, (definitions, found)))
    }

    fn broken(diagnostic: Diagnostic) -> Self {
        let (path, effect) = (Path::ROOT.to_string(), Effect::Refused);
        let remarks = vec![Remark { path, effect, diagnostic }];
        Self { definitions: Vec::new(), remarks }
    }

    fn judge(
        text: &str,
        (definitions, mut found): (Vec<Definition>, Vec<Finding>),
    ) -> Self {
        // JSON that is no YAML has no positions; then all is said of its beginning.
        let positions = Positions::read(text).ok();
        found.extend(file::judge(&definitions, &Rules::default()));
        let mut remarks: Vec<Remark> =
            found.into_iter().map(|it| remark(it, positions.as_ref())).collect();
        let twice = positions.iter().flat_map(Positions::faults).cloned();
        remarks.extend(twice.map(|diagnostic| Remark {
            path: Path::ROOT.to_string(),
            effect: Effect::Doubtful,
            diagnostic: Diagnostic { level: Level::Warning, ..diagnostic },
        }));
        remarks.sort_by_key(|it| (it.diagnostic.level, it.diagnostic.span.start));
        Self { definitions, remarks }
    }

    /// All apps, those of groups too.
    pub fn apps(&self) -> Vec<FileApp> {
        self.definitions.iter().flat_map(Definition::apps).collect()
    }

    /// Whether Marathon refuses it, or fails over it.
    pub fn is_refused(&self) -> bool {
        self.remarks.iter().any(|it| matches!(it.effect, Effect::Refused | Effect::Fails))
    }

    /// How many remarks there are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.remarks.iter().filter(|it| it.diagnostic.level == level).count()
    }

    /// The file for programs, with the line and the column of each remark, from 1.
    pub fn to_json(&self, name: &str, text: &str) -> Value {
        let remark = |Remark { path, effect, diagnostic }: &Remark| {
            let before = &text[..text.floor_char_boundary(diagnostic.span.start)];
            let line = before.rsplit('\n').next().unwrap_or_default();
            json!({
                "path": path, "effect": effect, "level": diagnostic.level.word(),
                "line": before.matches('\n').count() + 1,
                "column": line.chars().count() + 1,
                "message": diagnostic.message, "help": diagnostic.help,
            })
        };
        let apps = self.apps().into_iter().map(|app| app.id);
        json!({
            "file": name,
            "apps": apps.collect::<Vec<_>>(),
            "remarks": self.remarks.iter().map(remark).collect::<Vec<_>>(),
        })
    }

    /// Whether it would stop Marathon itself.
    pub fn stops(&self) -> bool {
        self.remarks.iter().any(|it| it.effect == Effect::Stops)
    }
}

/// JSON is read as JSON, so that a fault of it is named as that; all else is YAML.
fn value(text: &str) -> Result<Value, Diagnostic> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with(['{', '[']) {
        return match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(value) => Ok(value),
            Err(_) if yaml(text).is_ok() && !looks_like_json(text) => yaml(text),
            Err(error) => Err(syntax(text, &error)),
        };
    }
    yaml(text)
}

/// Whether keys are in quotes: then it is JSON that was meant, not YAML in one line.
fn looks_like_json(text: &str) -> bool {
    let inside =
        text.trim_start_matches('\u{feff}').trim_start().trim_start_matches(['{', '[']);
    inside.trim_start().starts_with(['"', '{', '[', '}', ']'])
}

fn yaml(text: &str) -> Result<Value, Diagnostic> {
    Positions::read(text)?;
    serde_yaml::from_str(text).map_err(|error| {
        let message = format!("this is not YAML: {error}");
        Diagnostic::new(&(0..0), message.lines().next().unwrap_or_default())
    })
}

fn syntax(text: &str, error: &serde_json::Error) -> Diagnostic {
    let line = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let start: usize =
        line.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    let start = text.floor_char_boundary(start.min(text.len()));
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let fault = Diagnostic::new(&(start..start), format!("this is not JSON: {message}"));
    match message.as_str() {
        "trailing comma" => fault.help("leave out the comma before it"),
        _ => fault,
    }
}

fn remark(finding: Finding, positions: Option<&Positions>) -> Remark {
    let Finding { path, kind, message, help } = finding;
    let effect = Effect::of(kind);
    let span = positions.map_or(0..0, |positions| {
        let position = written(&path)
            .into_iter()
            .map(|path| positions.find(path.steps()))
            .find(|position| position.is_whole)
            .unwrap_or_else(|| positions.find(path.steps()));
        match kind {
            Kind::Shape(_) if position.is_whole => position.value,
            _ => position.key,
        }
    });
    let message = match kind {
        Kind::Fails => format!("{message} (Marathon answers 500)"),
        _ => message,
    };
    let diagnostic = Diagnostic { span, message, help, level: effect.level() };
    Remark { path: path.to_string(), effect, diagnostic }
}

/// Where a member may be in the file: in its place, or in that of the form before 1.5.
fn written(path: &Path) -> Vec<Path> {
    const OLD: [(&[&str], &[&str]); 5] = [
        (&["portDefinitions"], &["ports"]),
        (&["fetch"], &["uris"]),
        (&["networks"], &["container", "docker", "network"]),
        (&["networks"], &["ipAddress"]),
        (&["container", "portMappings"], &["container", "docker", "portMappings"]),
    ];
    let steps = path.steps();
    let is_at = |at: usize, keys: &[&str]| {
        keys.iter().enumerate().all(|(index, key)| {
            matches!(steps.get(at + index), Some(Step::Key(found)) if found == key)
        })
    };
    let mut all = vec![path.clone()];
    for at in 0..steps.len() {
        for (new, old) in OLD.iter().filter(|(new, _)| is_at(at, new)) {
            let rebuilt = |rest: &[Step]| {
                let start = path_of(&steps[..at]).then(&Path::of(old));
                start.then(&path_of(rest))
            };
            all.push(rebuilt(&steps[at + new.len()..]));
            all.push(rebuilt(&[]));
        }
    }
    all
}

fn path_of(steps: &[Step]) -> Path {
    steps.iter().fold(Path::ROOT, |path, step| match step {
        Step::Key(key) => path.key(key),
        Step::Index(index) => path.index(*index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each remark: the line, the text that is marked, and the level.
    fn check(text: &str, expected: &[(usize, &str, Level)]) {
        let file = File::read(text);
        let found: Vec<_> = file
            .remarks
            .iter()
            .map(|Remark { diagnostic: it, .. }| {
                let line = text[..it.span.start].matches('\n').count() + 1;
                (line, text[it.span.clone()].trim_matches('"'), it.level)
            })
            .collect();
        assert_eq!(found, expected, "{:#?}", file.remarks);
    }

    #[test]
    fn every_fault_is_at_its_place_in_json_and_in_yaml() {
        let json = "{\n  \"id\": \"/web\",\n  \"instances\": \"2\",\n  \"healthCheck\": [],\n  \
                    \"cmd\": \"serve\",\n  \"env\": {\"WORKERS\": 4}\n}";
        let yaml = "\nid: /web\ninstances: \"2\"\nhealthCheck: []\ncmd: serve\nenv: {WORKERS: 4}\n";
        for text in [json, yaml] {
            check(
                text,
                &[
                    (3, "2", Level::Error),
                    (6, "4", Level::Error),
                    (4, "healthCheck", Level::Warning),
                ],
            );
        }
    }

    #[test]
    fn what_the_old_form_says_is_found_where_it_is_written() {
        let text = "id: /web\ncontainer:\n  docker:\n    image: web:1\n    network: BRIDGE\n    \
                    portMappings:\n    - {containerPort: 80, name: a}\n    \
                    - {containerPort: 81, name: a}\n";
        let file = File::read(text);
        let fault = &file.remarks[0].diagnostic;
        assert_eq!(fault.message, "two ports have the name `a`");
        assert!(text[fault.span.clone()].contains("81"), "{fault:?}");
        let user =
            "id: /web\ncontainer:\n  docker:\n    image: web:1\n    network: USER\n";
        check(user, &[(5, "network", Level::Error)]);
    }

    #[test]
    fn broken_json_is_named_with_its_place() {
        let text = "{\n  \"id\": \"/web\",\n}";
        let fault = File::read(text).remarks.remove(0).diagnostic;
        assert_eq!(fault.message, "this is not JSON: trailing comma");
        assert_eq!(text[..fault.span.start].matches('\n').count(), 2);
        assert!(File::read("id: [\n").is_refused());
        assert!(!File::read("{id: /web, cmd: serve}").is_refused());
    }

    #[test]
    fn members_of_the_command_line_take_the_place_of_the_file() {
        let text = "{id: /web, cmd: serve, env: {STAGE: lab}}";
        let settings = ["instances=3", "env.A.B=1", "cmd=exec serve", "env.STAGE=prod"]
            .map(|text| text.parse().unwrap());
        let file = File::read_with(text, &settings).unwrap();
        let expected = json!({"id": "/web", "cmd": "exec serve",
            "env": {"STAGE": "prod", "A.B": "1"}, "instances": 3});
        assert_eq!(file.definitions[0].body, expected);
        assert!("instances".parse::<Setting>().is_err());
        let nowhere = ["cmd.0=x".parse().unwrap()];
        assert!(File::read_with(text, &nowhere).is_err());
        assert!(File::read_with("[{id: /a}, {id: /b}]", &nowhere).is_err());
    }

    #[test]
    fn a_key_that_is_written_twice_is_a_warning() {
        let text = "{\"id\": \"/web\", \"cmd\": \"serve\", \"cmd\": \"other\"}";
        check(text, &[(1, "cmd", Level::Warning)]);
    }

    #[test]
    fn the_example_of_an_app_needs_no_remark() {
        let file = File::read(include_str!("../inventories/services/web.yaml"));
        assert_eq!((file.apps().len(), file.remarks), (1, Vec::new()));
    }

    /// Named values in place of the reference's own, in its form.
    #[test]
    fn files_in_the_form_of_the_reference_are_taken() {
        let app = include_str!("../inventories/services/broker-old-form.json");
        let file = File::read(app);
        assert!(!file.is_refused() && !file.stops(), "{:#?}", file.remarks);
        let dropped: Vec<&str> = file
            .remarks
            .iter()
            .filter(|remark| remark.effect == Effect::Dropped)
            .map(|remark| remark.path.as_str())
            .collect();
        assert_eq!(dropped, ["/container/docker/hostname", "/container/docker/name"]);
        let group = include_str!("../inventories/services/group.json");
        let file = File::read(group);
        assert!(!file.is_refused() && !file.stops(), "{:#?}", file.remarks);
        assert_eq!(file.apps().len(), 5);
    }
}
