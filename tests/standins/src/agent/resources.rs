//! What an agent offers: `--resources` and `--attributes` read, and totals made of them.
//!
//! Pure. Resources are the JSON of Mesos' v1 API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The scalars and the ranges that a machine has where no flag says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub n_cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Size in bytes of the file system that holds the work folder.
    pub disk: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Why resources or attributes were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Failed to determine agent resources: Bad value for {what}: '{text}'")]
pub struct BadValue {
    what: &'static str,
    text: String,
}

fn bad(what: &'static str, text: &str) -> BadValue {
    BadValue { what, text: text.to_owned() }
}

impl Machine {
    /// Leaves the system the margins that a real agent leaves it.
    pub fn resources(self) -> Vec<Value> {
        let memory =
            if self.memory >= 2 * GIB { self.memory - GIB } else { self.memory / 2 };
        let disk =
            if self.disk >= 10 * GIB { self.disk - 5 * GIB } else { self.disk / 2 };
        vec![
            scalar("cpus", self.n_cpus as f64),
            scalar("mem", (memory / MIB) as f64),
            scalar("disk", (disk / MIB) as f64),
            ranges("ports", &[(31_000, 32_000)]),
        ]
    }
}

fn scalar(name: &str, value: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}})
}

fn ranges(name: &str, list: &[(u64, u64)]) -> Value {
    let range: Vec<Value> =
        list.iter().map(|(begin, end)| json!({"begin": begin, "end": end})).collect();
    json!({"name": name, "type": "RANGES", "ranges": {"range": range}})
}

/// Reads `cpus:1;mem:512;ports(*):[31000-31100]` or its JSON, and adds what is not said.
///
/// # Errors
/// When the text is neither.
pub fn parse(text: Option<&str>, machine: Machine) -> Result<Vec<Value>, BadValue> {
    let mut given = match text.map(str::trim) {
        None | Some("") => Vec::new(),
        Some(text) if text.starts_with('[') => {
            serde_json::from_str(text).map_err(|_| bad("resources", text))?
        }
        Some(text) => items(text).map(parse_item).collect::<Result<_, _>>()?,
    };
    for found in machine.resources() {
        if !given.iter().any(|resource| resource["name"] == found["name"]) {
            given.push(found);
        }
    }
    given.sort_by_key(|resource| position(resource["name"].as_str().unwrap_or_default()));
    Ok(given)
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', '\n']).map(str::trim).filter(|item| !item.is_empty())
}

/// The order in which a real agent lists them.
fn position(name: &str) -> usize {
    ["cpus", "mem", "disk", "ports"].iter().position(|n| *n == name).unwrap_or(4)
}

fn parse_item(item: &str) -> Result<Value, BadValue> {
    let refused = || bad("resources", item);
    let (name, value) = item.split_once(':').ok_or_else(refused)?;
    let (name, role) = match name.split_once('(') {
        Some((name, role)) => (name, role.strip_suffix(')').ok_or_else(refused)?),
        None => (name, "*"),
    };
    let value = value.trim();
    let mut resource = match value.strip_prefix('[') {
        Some(inner) => {
            let inner = inner.strip_suffix(']').ok_or_else(refused)?;
            ranges(name.trim(), &parse_ranges(inner).ok_or_else(refused)?)
        }
        None => scalar(name.trim(), value.parse().map_err(|_| refused())?),
    };
    if role != "*" {
        resource["role"] = role.into();
    }
    Ok(resource)
}

fn parse_ranges(text: &str) -> Option<Vec<(u64, u64)>> {
    text.split(',')
        .map(|range| {
            let (begin, end) = range.split_once('-')?;
            Some((begin.trim().parse().ok()?, end.trim().parse().ok()?))
        })
        .collect()
}

/// Reads `rack:r1;level:3;ports:[1-2]`: numbers and ranges are told from text.
///
/// # Errors
/// When an item has no name or no value.
pub fn parse_attributes(text: Option<&str>) -> Result<Vec<Value>, BadValue> {
    items(text.unwrap_or_default()).map(parse_attribute).collect()
}

fn parse_attribute(item: &str) -> Result<Value, BadValue> {
    let (name, value) = item
        .split_once(':')
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .ok_or_else(|| bad("attributes", item))?;
    if let Some(inner) = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
        let list = parse_ranges(inner).ok_or_else(|| bad("attributes", item))?;
        return Ok(ranges(name, &list));
    }
    Ok(match value.parse::<f64>() {
        Ok(number) => scalar(name, number),
        Err(_) => json!({"name": name, "type": "TEXT", "text": {"value": value}}),
    })
}

/// Attributes as `/state` shows them: a map from name to value.
pub fn attribute_map(attributes: &[Value]) -> Value {
    let pair = |attribute: &Value| {
        let name = attribute["name"].as_str().unwrap_or_default().to_owned();
        let value = match attribute["type"].as_str() {
            Some("SCALAR") => attribute["scalar"]["value"].clone(),
            Some("RANGES") => range_text(&range_list(attribute)).into(),
            _ => attribute["text"]["value"].clone(),
        };
        (name, value)
    };
    Value::Object(attributes.iter().map(pair).collect())
}

/// The sum of resources as `/state` shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    scalars: BTreeMap<String, f64>,
    ranges: BTreeMap<String, Vec<(u64, u64)>>,
}

impl Totals {
    /// Sums resources of the v1 API.
    pub fn of<'a>(resources: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut totals = Self::default();
        for resource in resources {
            totals.add(resource);
        }
        totals
    }

    /// Adds one resource.
    pub fn add(&mut self, resource: &Value) {
        let name = resource["name"].as_str().unwrap_or_default().to_owned();
        if let Some(value) = resource["scalar"]["value"].as_f64() {
            *self.scalars.entry(name).or_default() += value;
        } else {
            self.ranges.entry(name).or_default().extend(range_list(resource));
        }
    }

    /// The amount of a scalar.
    pub fn amount(&self, name: &str) -> f64 {
        self.scalars.get(name).copied().unwrap_or_default()
    }

    /// `{"disk": …, "mem": …, "gpus": …, "cpus": …, "ports": "[31000-32000]"}`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for name in ["disk", "mem", "gpus", "cpus"] {
            map.insert(name.to_owned(), rounded(self.amount(name)).into());
        }
        for (name, list) in &self.ranges {
            map.insert(name.clone(), range_text(&merged(list)).into());
        }
        Value::Object(map)
    }
}

/// Mesos counts in thousandths.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn range_list(resource: &Value) -> Vec<(u64, u64)> {
    let list = resource["ranges"]["range"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(|range| Some((range["begin"].as_u64()?, range["end"].as_u64()?)))
        .collect()
}

fn merged(list: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in sorted {
        match merged.last_mut() {
            Some(last) if begin <= last.1 + 1 => last.1 = last.1.max(end),
            _ => merged.push((begin, end)),
        }
    }
    merged
}

fn range_text(list: &[(u64, u64)]) -> String {
    let texts: Vec<String> =
        list.iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
    format!("[{}]", texts.join(", "))
}

/// Whether the first holds at least all of the second: amounts may grow, ranges may extend.
pub fn covers(new: &[Value], old: &[Value]) -> bool {
    let (new, old) = (Totals::of(new), Totals::of(old));
    let scalars = old.scalars.iter().all(|(name, value)| new.amount(name) >= *value);
    scalars
        && old.ranges.iter().all(|(name, list)| {
            let have = merged(new.ranges.get(name).map_or(&[][..], Vec::as_slice));
            merged(list)
                .iter()
                .all(|(begin, end)| have.iter().any(|h| h.0 <= *begin && *end <= h.1))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine =
        Machine { n_cpus: 2, memory: 25_276_502_016, disk: 20 * GIB };

    #[test]
    fn the_machine_keeps_a_margin() {
        let totals = Totals::of(&MACHINE.resources()).to_json();
        let want = json!({"disk": 15360.0, "mem": 23081.0, "gpus": 0.0, "cpus": 2.0,
            "ports": "[31000-32000]"});
        assert_eq!(totals, want);
        let small = Machine { n_cpus: 1, memory: GIB, disk: GIB };
        let totals = Totals::of(&small.resources());
        assert_eq!((totals.amount("mem"), totals.amount("disk")), (512.0, 512.0));
    }

    #[test]
    fn what_is_not_said_is_found() {
        let text = "ports(*):[31000-31009,31020-31029];cpus:0.5";
        let resources = parse(Some(text), MACHINE).unwrap();
        let totals = Totals::of(&resources).to_json();
        assert_eq!(totals["ports"], "[31000-31009, 31020-31029]");
        assert_eq!((&totals["cpus"], &totals["mem"]), (&json!(0.5), &json!(23081.0)));
        let text = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":7}}]"#;
        let resources = parse(Some(text), MACHINE).unwrap();
        assert_eq!(Totals::of(&resources).amount("cpus"), 7.0);
    }

    #[test]
    fn what_is_no_resource_is_refused() {
        for text in ["cpus", "cpus:x", "ports:[1-", "ports:[1]", "cpus(a:1", "[{"] {
            assert!(parse(Some(text), MACHINE).is_err(), "{text}");
        }
    }

    #[test]
    fn attributes_are_text_number_or_ranges() {
        let attributes =
            parse_attributes(Some("rack:r1;level:3;vlans:[1-2,5-6];path:a:b")).unwrap();
        let want = json!({"rack": "r1", "level": 3.0, "vlans": "[1-2, 5-6]",
            "path": "a:b"});
        assert_eq!(attribute_map(&attributes), want);
        for text in ["rack", "rack:", ":r1"] {
            assert!(parse_attributes(Some(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn more_covers_less() {
        let read = |text| parse(Some(text), MACHINE).unwrap();
        let old = read("cpus:2;ports:[10-20]");
        assert!(covers(&read("cpus:3;ports:[5-15,16-30]"), &old));
        assert!(!covers(&read("cpus:1;ports:[10-20]"), &old));
        assert!(!covers(&read("cpus:2;ports:[11-20]"), &old));
    }
}
