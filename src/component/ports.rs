//! Ports of tasks that Linux must not use for outgoing connections.
//!
//! Linux uses ports from 32768 on, so a task could find its port taken. An agent's ports are below
//! that, unless the inventory sets others: those are reserved.

use crate::inventory::PortRange;
use crate::resource::{Facts, Sysctl};

/// The kernel setting that reserves ports.
pub(super) const SETTING: &str = "net.ipv4.ip_local_reserved_ports";

/// The first port that Linux uses for outgoing connections by default.
const FIRST_GIVEN: u16 = 32768;

/// The setting that reserves an agent's ports; `None` if Linux does not use any of them. Ports that
/// the host already reserves stay reserved.
pub(super) fn reserved(ports: &[PortRange], facts: &Facts) -> Option<Sysctl> {
    let ours: Vec<PortRange> =
        ports.iter().filter(|range| range.last >= FIRST_GIVEN).copied().collect();
    if ours.is_empty() {
        return None;
    }
    let kept = facts.sysctl(SETTING).ok().flatten().unwrap_or_default();
    let all = merged(kept.split(',').filter_map(range).chain(ours).collect());
    let value = all.iter().map(in_kernels_words).collect::<Vec<String>>().join(",");
    Some(Sysctl { name: SETTING.to_owned(), value })
}

/// A part of the kernel's list: one port, or several.
fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(PortRange { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? })
}

fn in_kernels_words(range: &PortRange) -> String {
    match range.first == range.last {
        true => range.first.to_string(),
        false => range.to_string(),
    }
}

/// The same ports in order and without overlaps, as the kernel lists them.
fn merged(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut all: Vec<PortRange> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => all.push(range),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::probe;

    fn check(ports: &[&str], kept: &str, expected: Option<&str>) {
        let ports: Vec<PortRange> =
            ports.iter().map(|range| range.parse().unwrap()).collect();
        let answer = format!(
            "{{\"q\":\"sysctl\",\"name\":\"{SETTING}\",\"value\":\"{kept}\"}}\n{{\"q\":\"end\"}}\n"
        );
        let facts = probe::parse(&answer, 0.0).unwrap();
        let value = reserved(&ports, &facts).map(|sysctl| sysctl.value);
        assert_eq!(value.as_deref(), expected, "{ports:?} {kept}");
    }

    #[test]
    fn ports_that_linux_gives_are_kept_back_beside_those_of_others() {
        check(&["31000-32000"], "", None);
        check(&["31000-32767"], "8080", None);
        check(&["31000-32768"], "", Some("31000-32768"));
        check(&["40000-41000", "31000-32000"], "", Some("40000-41000"));
        check(&["40000-41000"], "8080,50000-50010", Some("8080,40000-41000,50000-50010"));
        check(&["40000-41000"], "39000-39999,40500", Some("39000-41000"));
        // The state after a first run.
        check(&["40000-41000"], "8080,40000-41000", Some("8080,40000-41000"));
        check(&["40000-65535"], "65535", Some("40000-65535"));
    }
}
