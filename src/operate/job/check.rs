//! Checks a job before Chronos gets it. Pure.
//!
//! Chronos 3.0.2 takes much that it turns into something else without a word, and some that ends
//! it: a period below one second, and a job that is its own ancestor. All faults are told at once.

use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{self, TimeZone};
use jiff::{Span, SpanRelativeTo};
use serde_json::Value;

use super::graph::JobGraph;

/// What stands in a member of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Whole,
    Flag,
    Texts,
    /// It is checked by itself.
    Special,
}

/// The members that Chronos knows.
const MEMBERS: [(&str, Kind); 34] = [
    ("name", Kind::Text),
    ("command", Kind::Text),
    ("description", Kind::Text),
    ("owner", Kind::Text),
    ("ownerName", Kind::Text),
    ("runAsUser", Kind::Text),
    ("schedule", Kind::Text),
    ("scheduleTimeZone", Kind::Text),
    ("executor", Kind::Text),
    ("executorFlags", Kind::Text),
    ("taskInfoData", Kind::Text),
    ("lastSuccess", Kind::Text),
    ("lastError", Kind::Text),
    ("cpus", Kind::Number),
    ("mem", Kind::Number),
    ("disk", Kind::Number),
    ("retries", Kind::Whole),
    ("successCount", Kind::Whole),
    ("errorCount", Kind::Whole),
    ("errorsSinceLastSuccess", Kind::Whole),
    ("shell", Kind::Flag),
    ("disabled", Kind::Flag),
    ("concurrent", Kind::Flag),
    ("softError", Kind::Flag),
    ("dataProcessingJobType", Kind::Flag),
    ("highPriority", Kind::Flag),
    ("parents", Kind::Texts),
    ("uris", Kind::Texts),
    ("arguments", Kind::Texts),
    ("constraints", Kind::Special),
    ("environmentVariables", Kind::Special),
    ("fetch", Kind::Special),
    ("container", Kind::Special),
    // Old files have it; no version that this program knows reads it.
    ("epsilon", Kind::Special),
];

/// The operators of constraints; Chronos drops others without a word.
const OPERATORS: [&str; 3] = ["EQUALS", "LIKE", "UNLIKE"];
const NETWORKS: [&str; 3] = ["HOST", "BRIDGE", "USER"];

/// A job that Chronos takes as it is meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewJob {
    /// Its name.
    pub(super) name: String,
    /// What Chronos gets.
    pub(super) body: Value,
    /// What is correct and may be unexpected, in sentences.
    pub(super) notes: Vec<String>,
}

/// Everything that is wrong with a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", .0.len(), told(.0))]
pub struct JobFaults(pub(super) Vec<String>);

fn told(faults: &[String]) -> String {
    let noun = if faults.len() == 1 { "fault" } else { "faults" };
    let lines: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    format!(" {noun}, so nothing was sent:{lines}")
}

/// Checks a job against these that are there.
///
/// # Errors
/// With all faults.
pub(super) fn check(text: &str, there: &JobGraph) -> Result<NewJob, JobFaults> {
    let body: Value = serde_json::from_str(text)
        .map_err(|error| JobFaults(vec![format!("this is not JSON: {error}")]))?;
    let Value::Object(members) = &body else {
        return Err(JobFaults(vec!["a job is one JSON object, `{…}`".to_owned()]));
    };
    let mut faults = Vec::new();
    let mut notes = Vec::new();
    for (name, value) in members {
        match MEMBERS.iter().find(|(known, _)| known == name) {
            None => notes.push(format!("Chronos does not know `{name}`, and ignores it")),
            Some(("epsilon", _)) => {
                notes.push("Chronos 3 has no `epsilon`, and ignores it".to_owned());
            }
            Some(_) if value.is_null() => faults.push(format!(
                "`{name}` is null, which Chronos turns into something else: leave it out"
            )),
            Some((_, kind)) => faults.extend(kind.fault(name, value)),
        }
    }
    faults.extend(name_fault(&body["name"]));
    faults.extend(start_fault(&body, there));
    faults.extend(zone_fault(&body["scheduleTimeZone"]));
    faults.extend(list(&body, "constraints").filter_map(constraint_fault));
    faults.extend(list(&body, "environmentVariables").filter_map(variable_fault));
    faults.extend(container_faults(&body));
    if list(&body, "uris").next().is_some() && list(&body, "fetch").next().is_some() {
        faults.push("`uris` and `fetch` are the same thing: use only `fetch`".to_owned());
    }
    if body["shell"] == false && list(&body, "arguments").next().is_some() {
        notes.push(
            "with `shell: false` Chronos takes the command with all its arguments for the name \
             of a program, and the run fails: leave `shell` out"
                .to_owned(),
        );
    }
    if !faults.is_empty() {
        return Err(JobFaults(faults));
    }
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    Ok(NewJob { name, body, notes })
}

impl Kind {
    fn fault(self, name: &str, value: &Value) -> Option<String> {
        let texts = |value: &Value| {
            value.as_array().is_some_and(|all| all.iter().all(Value::is_string))
        };
        let (fits, wanted) = match self {
            Self::Text => (value.is_string(), "a text"),
            Self::Number => {
                let fits = value.as_f64().is_some_and(|number| number > 0.0);
                (fits, "a number above 0: Chronos replaces 0 by its default")
            }
            Self::Whole => (value.is_u64(), "a whole number"),
            Self::Flag => (value.is_boolean(), "true or false"),
            Self::Texts => (texts(value), "a list of texts"),
            Self::Special => (true, ""),
        };
        (!fits).then(|| format!("`{name}` is {value}; it has to be {wanted}"))
    }
}

fn list<'a>(body: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    body[name].as_array().into_iter().flatten()
}

fn name_fault(name: &Value) -> Option<String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match name.as_str() {
        Some(name) if !name.is_empty() && name.chars().all(is_good) => None,
        Some(name) => Some(format!(
            "`{name}` cannot name a job: use letters without accents, digits, `.`, `_` and `-`"
        )),
        None if name.is_null() => Some("`name` is missing".to_owned()),
        None => None,
    }
}

/// What is wrong with that which starts the job.
fn start_fault(body: &Value, there: &JobGraph) -> Vec<String> {
    let name = body["name"].as_str().unwrap_or_default();
    match (body.get("schedule"), body.get("parents")) {
        (None, None) => vec![
            "it has neither `schedule` nor `parents`: Chronos would run it once, now; if that \
             is meant, write `\"schedule\": \"R1//PT1H\"`"
                .to_owned(),
        ],
        (Some(_), Some(_)) => {
            vec!["it has both `schedule` and `parents`: only one can start it".to_owned()]
        }
        (Some(schedule), None) => {
            let fault = schedule.as_str().and_then(schedule_fault);
            fault.map(|why| format!("`schedule` is {schedule}: {why}")).into_iter().collect()
        }
        (None, Some(_)) => {
            let parents = list(body, "parents").filter_map(Value::as_str);
            parents_faults(name, &parents.map(str::to_owned).collect::<Vec<_>>(), there)
        }
    }
}

fn parents_faults(name: &str, parents: &[String], there: &JobGraph) -> Vec<String> {
    if parents.is_empty() {
        return vec!["`parents` is empty: name the jobs that start it".to_owned()];
    }
    let is_unknown =
        |parent: &&String| *parent != name && !there.jobs.contains_key(*parent);
    let unknown = parents.iter().filter(is_unknown).map(|parent| {
        format!(
            "there is no job `{parent}` to be its parent: Chronos would store the job, and \
             neither show nor run it"
        )
    });
    let cycle = there.cycle(name, parents).map(|way| {
        format!(
            "it would be its own ancestor ({}): Chronos ends at such a job, and again at each \
             start",
            way.join(", then ")
        )
    });
    unknown.chain(cycle).collect()
}

/// Why a text is not a schedule, `R[n]/[start]/period`.
fn schedule_fault(schedule: &str) -> Option<String> {
    let form = || "it has to look like `R/2030-01-31T08:00:00Z/PT24H`".to_owned();
    let parts: Vec<&str> = schedule.split('/').collect();
    let [repeat, start, period] = parts.as_slice() else { return Some(form()) };
    let Some(n) = repeat.strip_prefix('R') else { return Some(form()) };
    if !n.is_empty()
        && (n.parse::<i64>().is_err() || !n.bytes().all(|b| b.is_ascii_digit()))
    {
        return Some(format!(
            "`{repeat}` is not how often: write R, or R5 for five times"
        ));
    }
    let date = Pieces::parse(start).ok().map(|pieces| pieces.date());
    match date {
        _ if start.is_empty() => {}
        // Other forms of ISO 8601, and a space before the time, are not read there.
        _ if start.get(4..5) != Some("-") || start.contains(' ') => return Some(form()),
        None => return Some(format!("`{start}` is not a time")),
        Some(date) if date.year() < 1970 => {
            return Some(format!("`{start}` is before 1970"));
        }
        Some(_) => {}
    }
    let length = period.parse::<Span>().ok().and_then(|span| {
        let first = SpanRelativeTo::from(Date::constant(2000, 1, 1));
        span.total((jiff::Unit::Second, first)).ok()
    });
    match length.filter(|_| period.starts_with('P')) {
        None => Some(format!("`{period}` is not a period, such as PT1H or P1D")),
        Some(seconds) if seconds < 1.0 => Some(format!(
            "`{period}` is shorter than a second: Chronos would never run any job again"
        )),
        Some(_) => None,
    }
}

fn zone_fault(zone: &Value) -> Option<String> {
    let zone = zone.as_str().filter(|zone| !zone.is_empty())?;
    // Without a list of zones on this computer nothing can be said.
    let is_unknown = !tz::db().is_definitively_empty() && TimeZone::get(zone).is_err();
    is_unknown.then(|| {
        format!(
            "`{zone}` is not a time zone, such as Europe/Berlin: Chronos would take UTC"
        )
    })
}

fn constraint_fault(constraint: &Value) -> Option<String> {
    let words: Option<Vec<&str>> =
        constraint.as_array().and_then(|words| words.iter().map(Value::as_str).collect());
    match words.as_deref() {
        Some([_, operator, _]) if OPERATORS.contains(operator) => None,
        _ => Some(format!(
            "the constraint {constraint} has to be three texts: an attribute, one of {}, and a \
             value; Chronos drops others without a word",
            OPERATORS.join(", ")
        )),
    }
}

fn variable_fault(variable: &Value) -> Option<String> {
    let fits = variable["name"].is_string() && variable["value"].is_string();
    // The value may be a secret.
    let name = &variable["name"];
    (!fits).then(|| {
        format!(
            "the environment variable {name} needs a `name` and a `value`, both texts"
        )
    })
}

fn container_faults(body: &Value) -> Vec<String> {
    let Some(container) = body.get("container").filter(|value| !value.is_null()) else {
        return Vec::new();
    };
    let one_of = |name: &str, allowed: &[&str]| {
        let value = container.get(name)?;
        let fits = value.as_str().is_some_and(|value| allowed.contains(&value));
        let allowed = allowed.join(", ");
        (!fits).then(|| {
            format!("`container.{name}` is {value}; it has to be one of {allowed}")
        })
    };
    let image = container["image"].as_str().filter(|image| !image.is_empty());
    let no_image = image.is_none().then(|| {
        "`container` has no `image`: Chronos would run the job without a container"
            .to_owned()
    });
    let is_bare = |volume: &&Value| !volume["containerPath"].is_string();
    let no_path = list(container, "volumes").find(is_bare).map(|volume| {
        format!("the volume {volume} of `container` has no `containerPath`, a text")
    });
    let others = [one_of("type", &["DOCKER", "MESOS"]), one_of("network", &NETWORKS)];
    no_image.into_iter().chain(no_path).chain(others.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn there() -> JobGraph {
        let jobs = json!({"load": [], "report": ["load"]});
        JobGraph { jobs: serde_json::from_value(jobs).unwrap() }
    }

    fn job(changes: Value) -> String {
        let mut job = json!({"name": "new", "command": "true",
            "schedule": "R/2030-01-01T00:00:00Z/PT1H"});
        for (key, value) in changes.as_object().unwrap() {
            job[key] = value.clone();
        }
        job.to_string()
    }

    fn refused(changes: Value, why: &str) {
        let faults = check(&job(changes.clone()), &there()).expect_err(why).0;
        let [fault] = &faults[..] else { panic!("{changes}: {faults:?}") };
        assert!(fault.contains(why), "{changes}: {fault}");
    }

    #[test]
    fn what_chronos_turns_into_something_else_is_refused() {
        refused(json!({"command": null}), "leave it out");
        refused(json!({"retries": null}), "leave it out");
        refused(json!({"cpus": "0.5"}), "a number above 0");
        refused(json!({"mem": 0}), "a number above 0");
        refused(json!({"disabled": "true"}), "true or false");
        refused(json!({"retries": 1.5}), "a whole number");
        refused(json!({"name": 5}), "a text");
        refused(json!({"name": "größe"}), "cannot name a job");
        refused(json!({"uris": "http://a"}), "a list of texts");
        refused(json!({"scheduleTimeZone": "Mars/Olympus"}), "not a time zone");
        refused(
            json!({"constraints": [["rack", "CLUSTER", "x"]]}),
            "EQUALS, LIKE, UNLIKE",
        );
        refused(json!({"constraints": [["rack", "EQUALS"]]}), "three texts");
        refused(json!({"container": {"type": "DOCKER"}}), "no `image`");
        refused(
            json!({"container": {"image": "a", "network": "bridge"}}),
            "HOST, BRIDGE",
        );
        let volume = json!({"image": "a", "volumes": [{"hostPath": "/a"}]});
        refused(json!({"container": volume}), "no `containerPath`");
        refused(json!({"environmentVariables": [{"name": "A"}]}), "needs a `name`");
        refused(json!({"uris": ["a"], "fetch": [{"uri": "b"}]}), "only `fetch`");
    }

    #[test]
    fn a_value_of_a_variable_is_not_quoted() {
        let job = job(json!({"environmentVariables": [{"name": 5, "value": "hunter2"}]}));
        let said = check(&job, &there()).unwrap_err().to_string();
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn what_ends_chronos_is_refused() {
        for period in ["PT0.5S", "PT0S", "P0D"] {
            let schedule = format!("R/2030-01-01T00:00:00Z/{period}");
            refused(json!({"schedule": schedule}), "shorter than a second");
        }
        let job = |name: &str, parents: &[&str]| {
            json!({"name": name, "command": "true", "parents": parents}).to_string()
        };
        let said = |text: &str| check(text, &there()).unwrap_err().to_string();
        assert!(said(&job("a", &["a"])).contains("(a, then a)"));
        let cycle = said(&job("load", &["report"]));
        assert!(cycle.contains("(load, then report, then load)"), "{cycle}");
        assert!(said(&job("a", &["nosuch"])).contains("there is no job `nosuch`"));
        assert!(said(&job("a", &[])).contains("`parents` is empty"));
        assert!(check(&job("a", &["report", "load"]), &there()).is_ok());
    }

    #[test]
    fn schedules_are_those_that_chronos_reads() {
        for good in [
            "R/2030-01-01T00:00:00Z/PT1H",
            "R5/2030-07-01/P1W",
            "R1//PT1H",
            "R0/2030-07-01T00:00:00Z/PT1H",
            "R/2030-07-01T08:00:00+02:00/P1M",
            "R/2030-07-01T08:00:00.000Z/P1DT2H",
        ] {
            assert_eq!(schedule_fault(good), None, "{good}");
        }
        for bad in [
            "* * * * *",
            "2030-01-01T00:00:00Z/PT1H",
            "R/2030-01-01T00:00:00Z",
            "R/2030-13-01T00:00:00Z/PT1H",
            "",
            "R-1/2030-01-01T00:00:00Z/PT1H",
            "R/1969-01-01T00:00:00Z/PT1H",
            "R99999999999999999999/2030-01-01T00:00:00Z/PT1H",
            "R/2030-01-01T00:00:00Z/P",
            "R/2030-01-01T00:00:00Z/1h",
            "R/2030-01-01 00:00:00/PT1H",
            "R/20300101T000000Z/PT1H",
        ] {
            assert!(schedule_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once_and_notes_do_not_refuse() {
        let job = json!({"command": null, "cpus": "1"}).to_string();
        let faults = check(&job, &there()).unwrap_err();
        assert_eq!(faults.0.len(), 4, "{faults}");
        assert!(
            faults.to_string().starts_with("4 faults, so nothing was sent:\n  `command`")
        );
        let job = job_with_notes();
        assert_eq!(job.notes.len(), 2, "{:?}", job.notes);
        let broken = check("{\"name\": \"a\",\n}", &there()).unwrap_err().to_string();
        assert!(broken.contains("not JSON") && broken.contains("line 2"), "{broken}");
    }

    fn job_with_notes() -> NewJob {
        check(&job(json!({"epsilon": "PT15M", "async": true})), &there()).unwrap()
    }
}
