//! Whether an agent may run one more instance of an app. Pure.

use crate::framework::offer::Offer;
use regex::Regex;
use std::collections::BTreeMap;

/// Where an instance is, or where it might be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The agent's host name.
    pub host: String,
    /// The agent's attributes.
    pub attributes: BTreeMap<String, String>,
    /// The agent's region.
    pub region: Option<String>,
    /// The agent's zone.
    pub zone: Option<String>,
}

impl Place {
    /// Where an offer would put a task.
    pub fn of(offer: &Offer) -> Self {
        Self {
            host: offer.hostname.clone(),
            attributes: offer.attributes(),
            region: offer.place("region"),
            zone: offer.place("zone"),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        match name {
            "hostname" | "@hostname" => Some(&self.host),
            "@region" => self.region.as_deref(),
            "@zone" => self.zone.as_deref(),
            other => self.attributes.get(other).map(String::as_str),
        }
    }
}

/// Whether a place satisfies one constraint, beside the instances that are there.
pub fn holds(constraint: &[String], place: &Place, others: &[&Place]) -> bool {
    let [field, operator, rest @ ..] = constraint else { return false };
    let value = rest.first().map(String::as_str);
    let Some(here) = place.field(field) else { return operator == "UNLIKE" };
    let same = others.iter().filter(|other| other.field(field) == Some(here)).count();
    match operator.as_str() {
        "UNIQUE" => same == 0,
        "CLUSTER" => {
            value.is_none_or(|wanted| wanted.is_empty() || wanted == here)
                && same == others.len()
        }
        "IS" => value == Some(here),
        "LIKE" => value.and_then(whole).is_some_and(|pattern| pattern.is_match(here)),
        "UNLIKE" => value.and_then(whole).is_some_and(|pattern| !pattern.is_match(here)),
        "MAX_PER" => value
            .and_then(|text| text.parse().ok())
            .is_some_and(|most: usize| same < most),
        "GROUP_BY" => evens_out(value, same, field, others),
        _ => false,
    }
}

/// Whether one more here keeps groups even: here is nobody yet, or here is one of the smallest
/// groups and there are as many groups as there should be.
fn evens_out(value: Option<&str>, same: usize, field: &str, others: &[&Place]) -> bool {
    let n_wanted: usize = value.and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut groups: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for other in others {
        *groups.entry(other.field(field)).or_default() += 1;
    }
    let smallest = groups.values().copied().min().unwrap_or(0);
    same == 0 || (groups.len() >= n_wanted && same == smallest)
}

fn whole(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, rack: &str) -> Place {
        let attributes = [("rack".to_owned(), rack.to_owned())].into();
        Place { host: host.into(), attributes, zone: Some("z1".into()), region: None }
    }

    fn check(constraint: &[&str], place: &Place, others: &[&Place]) -> bool {
        let words: Vec<_> = constraint.iter().map(|word| (*word).to_owned()).collect();
        holds(&words, place, others)
    }

    #[test]
    fn one_per_host() {
        let (w1, w2) = (at("w1", "a"), at("w2", "a"));
        assert!(check(&["hostname", "UNIQUE"], &w2, &[&w1]));
        assert!(!check(&["hostname", "UNIQUE"], &w1, &[&w1]));
        assert!(!check(&["rack", "UNIQUE"], &w2, &[&w1]));
    }

    #[test]
    fn all_in_one_place() {
        let (a, b) = (at("w1", "a"), at("w2", "b"));
        assert!(check(&["rack", "CLUSTER", "a"], &a, &[]));
        assert!(!check(&["rack", "CLUSTER", "a"], &b, &[]));
        assert!(!check(&["rack", "CLUSTER"], &b, &[&a]));
        assert!(check(&["@zone", "CLUSTER"], &b, &[&a]));
    }

    #[test]
    fn patterns_match_the_whole_value() {
        let a = at("w1", "rack-1");
        assert!(check(&["rack", "LIKE", "rack-[12]"], &a, &[]));
        assert!(!check(&["rack", "LIKE", "rack"], &a, &[]));
        assert!(!check(&["rack", "UNLIKE", "rack-1"], &a, &[]));
        assert!(check(&["ssd", "UNLIKE", "true"], &a, &[]));
        assert!(!check(&["ssd", "LIKE", "true"], &a, &[]));
        assert!(check(&["rack", "IS", "rack-1"], &a, &[]));
    }

    #[test]
    fn no_more_than_so_many() {
        let w1 = at("w1", "a");
        assert!(check(&["hostname", "MAX_PER", "2"], &w1, &[&w1]));
        assert!(!check(&["hostname", "MAX_PER", "1"], &w1, &[&w1]));
    }

    #[test]
    fn groups_stay_even() {
        let (a, b) = (at("w1", "a"), at("w2", "b"));
        assert!(check(&["rack", "GROUP_BY", "2"], &b, &[&a]));
        assert!(!check(&["rack", "GROUP_BY", "2"], &a, &[&a, &a, &b]));
        assert!(!check(&["rack", "GROUP_BY", "2"], &a, &[&a]));
    }
}
