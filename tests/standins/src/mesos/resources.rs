//! Resources of an agent, an offer or a task: amounts and ranges, with Mesos' arithmetic.
//!
//! Amounts are kept in thousandths, as Mesos does, so that sums of 0.1 come out even. Roles are
//! not told apart: everything is in one role, and nothing is reserved.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{list, text};

/// Whole numbers from first to last, both included.
pub type Range = (u64, u64);

/// Amounts and ranges by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    thousandths: BTreeMap<String, i64>,
    ranges: BTreeMap<String, Vec<Range>>,
}

impl Resources {
    /// Reads `cpus:1;mem:512;ports:[31000-32000]`, with or without `(*)`; `None` when faulty, and
    /// when it reserves something for a role.
    pub fn parse(text: &str) -> Option<Self> {
        let mut resources = Self::default();
        for part in text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty())
        {
            let (name, value) = part.split_once(':')?;
            let name = name.trim();
            let name = name.strip_suffix("(*)").unwrap_or(name);
            if name.is_empty() || name.contains(['(', ')']) {
                return None;
            }
            resources.set_text(name, value.trim())?;
        }
        Some(resources)
    }

    fn set_text(&mut self, name: &str, value: &str) -> Option<()> {
        if let Some(ranges) = parse_ranges(value) {
            self.ranges.insert(name.to_owned(), merged(ranges));
        } else {
            let number: f64 = value.parse().ok().filter(|n: &f64| *n >= 0.0)?;
            self.set(name, number);
        }
        Some(())
    }

    /// Reads a list of `Resource` messages; those of the same name add up.
    pub fn from_json(value: &Value) -> Self {
        let mut sum = Self::default();
        for resource in list(value) {
            let name = text(resource, "name").to_owned();
            if resource["ranges"].is_object() {
                let ranges = sum.ranges.entry(name).or_default();
                ranges.extend(ranges_of(resource));
                *ranges = merged(std::mem::take(ranges));
            } else if let Some(amount) = resource["scalar"]["value"].as_f64() {
                *sum.thousandths.entry(name).or_default() += thousandths(amount);
            }
        }
        sum
    }

    /// Sets an amount.
    pub fn set(&mut self, name: &str, amount: f64) {
        self.thousandths.insert(name.to_owned(), thousandths(amount));
    }

    /// Sets ranges.
    pub fn set_ranges(&mut self, name: &str, ranges: Vec<Range>) {
        self.ranges.insert(name.to_owned(), merged(ranges));
    }

    /// An amount; nothing is zero.
    pub fn amount(&self, name: &str) -> f64 {
        self.thousandths.get(name).copied().unwrap_or_default() as f64 / 1000.0
    }

    /// The ranges of a name.
    pub fn ranges(&self, name: &str) -> &[Range] {
        self.ranges.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a name has an amount or ranges.
    pub fn has(&self, name: &str) -> bool {
        self.thousandths.contains_key(name) || self.ranges.contains_key(name)
    }

    /// Takes over what another has under names that are not here.
    pub fn add_missing(&mut self, other: Self) {
        let is_new = |name: &String| !self.has(name);
        let (scalars, ranges): (Vec<_>, Vec<_>) = (
            other.thousandths.into_iter().filter(|(name, _)| is_new(name)).collect(),
            other.ranges.into_iter().filter(|(name, _)| is_new(name)).collect(),
        );
        self.thousandths.extend(scalars);
        self.ranges.extend(ranges);
    }

    /// Adds what another has.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.thousandths {
            *self.thousandths.entry(name.clone()).or_default() += amount;
        }
        for (name, ranges) in &other.ranges {
            let own = self.ranges.entry(name.clone()).or_default();
            own.extend(ranges);
            *own = merged(std::mem::take(own));
        }
        self.forget_nothings();
    }

    /// Takes away what another has, as far as it is there.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.thousandths {
            if let Some(own) = self.thousandths.get_mut(name) {
                *own = (*own - amount).max(0);
            }
        }
        for (name, ranges) in &other.ranges {
            if let Some(own) = self.ranges.get_mut(name) {
                *own = ranges.iter().fold(std::mem::take(own), without);
            }
        }
        self.forget_nothings();
    }

    fn forget_nothings(&mut self) {
        self.thousandths.retain(|_, amount| *amount != 0);
        self.ranges.retain(|_, ranges| !ranges.is_empty());
    }

    /// Whether all that another has is here.
    pub fn contains(&self, other: &Self) -> bool {
        let mut rest = other.clone();
        rest.subtract(self);
        rest.thousandths.is_empty() && rest.ranges.is_empty()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.thousandths.values().all(|amount| *amount == 0) && self.ranges.is_empty()
    }

    /// Whether it is worth an offer: some processor or some memory, as by default.
    pub fn is_offerable(&self) -> bool {
        self.amount("cpus") >= 0.01 || self.amount("mem") >= 32.0
    }

    /// As the older endpoints show it.
    pub fn plain(&self) -> Value {
        let mut object = Map::new();
        for name in ["disk", "mem", "gpus", "cpus"] {
            object.insert(name.to_owned(), json!(self.amount(name)));
        }
        for (name, ranges) in &self.ranges {
            object.insert(name.clone(), json!(ranges_text(ranges)));
        }
        Value::Object(object)
    }

    /// As a list of `Resource` messages, each with the members of `extra`.
    pub fn full(&self, extra: &Value) -> Value {
        let order = ["cpus", "mem", "disk", "gpus"];
        let named = order.iter().filter_map(|name| self.thousandths.get_key_value(*name));
        let others =
            self.thousandths.iter().filter(|(name, _)| !order.contains(&name.as_str()));
        let scalars = named.chain(others).map(|(name, amount)| {
            let amount = *amount as f64 / 1000.0;
            json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}})
        });
        let ranges = self.ranges.iter().map(|(name, ranges)| {
            json!({"name": name, "type": "RANGES", "ranges": ranges_json(ranges)})
        });
        let mut all: Vec<Value> = scalars.chain(ranges).collect();
        for resource in &mut all {
            for (name, value) in extra.as_object().into_iter().flatten() {
                resource[name] = value.clone();
            }
        }
        Value::from(all)
    }
}

fn thousandths(amount: f64) -> i64 {
    (amount * 1000.0).round() as i64
}

/// Reads `[1-3, 7-7]`; `None` when it is something else.
pub fn parse_ranges(text: &str) -> Option<Vec<Range>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let parts = inner.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (begin, end) = part.split_once('-')?;
            let range = (begin.trim().parse().ok()?, end.trim().parse().ok()?);
            (range.0 <= range.1).then_some(range)
        })
        .collect()
}

/// The ranges of a `Resource` or `Attribute` message.
pub fn ranges_of(message: &Value) -> Vec<Range> {
    let ranges = list(&message["ranges"]["range"]).iter();
    ranges.filter_map(|r| Some((r["begin"].as_u64()?, r["end"].as_u64()?))).collect()
}

/// Ranges as a `Ranges` message.
pub fn ranges_json(ranges: &[Range]) -> Value {
    let all: Vec<Value> =
        ranges.iter().map(|(begin, end)| json!({"begin": begin, "end": end})).collect();
    json!({"range": all})
}

/// Ranges as Mesos prints them.
pub fn ranges_text(ranges: &[Range]) -> String {
    let all: Vec<String> =
        ranges.iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
    format!("[{}]", all.join(", "))
}

/// In order, with neighbours joined.
fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.0 <= last.1.saturating_add(1) => {
                last.1 = last.1.max(range.1)
            }
            _ => joined.push(range),
        }
    }
    joined
}

fn without(ranges: Vec<Range>, gone: &Range) -> Vec<Range> {
    let cut = |range: Range| {
        let below = (range.0, range.1.min(gone.0.wrapping_sub(1)));
        let above = (range.0.max(gone.1.saturating_add(1)), range.1);
        let below = (range.0 < gone.0).then_some(below);
        let above = (range.1 > gone.1).then_some(above);
        below.into_iter().chain(above)
    };
    ranges.into_iter().flat_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(text: &str) -> Resources {
        Resources::parse(text).unwrap()
    }

    #[test]
    fn text_and_json_say_the_same() {
        let read = resources("cpus(*):1.5;mem:512;ports:[31000-31001, 31002-32000]");
        assert_eq!(read, Resources::from_json(&read.full(&json!({"role": "*"}))));
        assert_eq!(read.plain()["ports"], "[31000-32000]");
        assert_eq!(
            read.full(&json!({"role": "*"}))[0],
            json!(
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.5}, "role": "*"})
        );
        for text in
            ["cpus", "cpus:x", "cpus:-1", "ports:[2-1]", "cpus(web):1", "cpus(*:1", ":1"]
        {
            assert!(Resources::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_taken_and_given_back_comes_out_even() {
        let total = resources("cpus:0.3;mem:64;ports:[10-20]");
        let task = resources("cpus:0.1;mem:64;ports:[10-10,15-16,20-20]");
        let mut rest = total.clone();
        rest.subtract(&task);
        assert_eq!(rest, resources("cpus:0.2;ports:[11-14,17-19]"));
        assert!(!rest.contains(&task) && total.contains(&task));
        rest.add(&task);
        assert_eq!(rest, total);
    }

    #[test]
    fn more_contains_less() {
        let old = resources("cpus:2;ports:[10-20]");
        assert!(resources("cpus:3;ports:[5-15,16-30]").contains(&old));
        assert!(!resources("cpus:1;ports:[10-20]").contains(&old));
        assert!(!resources("cpus:2;ports:[11-20]").contains(&old));
    }
}
