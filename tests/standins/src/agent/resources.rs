//! What an agent offers where no flag says otherwise, and what `--resources` makes of it. Pure.

use serde_json::Value;

use crate::mesos::list;
use crate::mesos::resources::Resources;

/// What a machine has.
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

impl BadValue {
    /// Of a flag.
    pub fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.to_owned() }
    }
}

impl Machine {
    /// Leaves the system the margins that a real agent leaves it.
    pub fn resources(self) -> Resources {
        let memory =
            if self.memory >= 2 * GIB { self.memory - GIB } else { self.memory / 2 };
        let disk =
            if self.disk >= 10 * GIB { self.disk - 5 * GIB } else { self.disk / 2 };
        let mut resources = Resources::default();
        resources.set("cpus", self.n_cpus as f64);
        resources.set("mem", (memory / MIB) as f64);
        resources.set("disk", (disk / MIB) as f64);
        resources.set_ranges("ports", vec![(31_000, 32_000)]);
        resources
    }
}

/// Reads `cpus:1;mem:512;ports(*):[31000-31100]` or its JSON, and adds what is not said.
///
/// # Errors
/// When the text is neither.
pub fn parse(text: Option<&str>, machine: Machine) -> Result<Resources, BadValue> {
    let text = text.unwrap_or_default().trim();
    let given =
        if text.starts_with('[') { parse_json(text) } else { Resources::parse(text) };
    let mut resources = given.ok_or_else(|| BadValue::new("resources", text))?;
    resources.add_missing(machine.resources());
    Ok(resources)
}

fn parse_json(text: &str) -> Option<Resources> {
    let value: Value = serde_json::from_str(text).ok()?;
    let is_reserved =
        |resource: &Value| resource["role"].as_str().is_some_and(|role| role != "*");
    (!list(&value).iter().any(is_reserved)).then(|| Resources::from_json(&value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MACHINE: Machine =
        Machine { n_cpus: 2, memory: 25_276_502_016, disk: 20 * GIB };

    #[test]
    fn the_machine_keeps_a_margin() {
        let want = json!({"disk": 15360.0, "mem": 23081.0, "gpus": 0.0, "cpus": 2.0,
            "ports": "[31000-32000]"});
        assert_eq!(MACHINE.resources().plain(), want);
        let small = Machine { n_cpus: 1, memory: GIB, disk: GIB }.resources();
        assert_eq!((small.amount("mem"), small.amount("disk")), (512.0, 512.0));
    }

    #[test]
    fn what_is_not_said_is_found() {
        let text = "ports(*):[31000-31009,31020-31029];cpus:0.5";
        let plain = parse(Some(text), MACHINE).unwrap().plain();
        assert_eq!(plain["ports"], "[31000-31009, 31020-31029]");
        assert_eq!((&plain["cpus"], &plain["mem"]), (&json!(0.5), &json!(23081.0)));
        let text = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":7}}]"#;
        assert_eq!(parse(Some(text), MACHINE).unwrap().amount("cpus"), 7.0);
    }

    #[test]
    fn what_is_no_resource_is_refused() {
        let reserved =
            r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":7},"role":"web"}]"#;
        for text in
            ["cpus", "cpus:x", "ports:[1-", "ports:[1]", "cpus(a:1", "[{", reserved]
        {
            assert!(parse(Some(text), MACHINE).is_err(), "{text}");
        }
    }
}
