//! The results of single edits.

use super::*;

const LOCAL: &str = "cluster: x\nprovider: {local: {network: {cidr: 10.9.0.0/24}}}\n";
const SSH: &str = "cluster: x\nprovider: {ssh: {}}\n";

fn host(address: &str) -> GivenHost {
    GivenHost {
        name: address.parse().unwrap(),
        address: address.parse().unwrap(),
        ssh: None,
        agent_spec: crate::inventory::AgentSpec::default(),
    }
}

fn more(groups: &str, group: &str, n: u16) -> Result<String, String> {
    edited(LOCAL, groups, group, &Addition::Machines(n))
}

fn hosts(groups: &str, addresses: &[&str]) -> Result<String, String> {
    let hosts = addresses.iter().map(|address| host(address)).collect();
    edited(SSH, groups, "workers", &Addition::Hosts(hosts))
}

fn edited(
    head: &str,
    groups: &str,
    group: &str,
    addition: &Addition,
) -> Result<String, String> {
    let text = format!("{head}{groups}");
    match add(&text, group, addition, &|_| true) {
        Ok(edited) => Ok(edited.text[head.len()..].to_owned()),
        Err(Refused::Faults { faults, .. }) => Err(faults[0].message.clone()),
        Err(why) => Err(why.to_string()),
    }
}

#[test]
fn only_the_number_of_a_group_changes() {
    let text = "groups:\n    all: {roles: [control, edge], count: 1} # one\n    \
                workers:\n     count:   5   # five, until spring\n     roles: [agent]";
    assert_eq!(more(text, "workers", 2), Ok(text.replace("  5 ", "  7 ")));
    let json = r#"{"cluster":"x","provider":{"local":{}},"groups":{"all":{"roles":["control","edge"],"count":1},"w":{"roles":["agent"],"count":9}}}"#;
    let grown = add(json, "w", &Addition::Machines(1), &|_| true).unwrap();
    assert_eq!(grown.text, json.replace(":9", ":10"));
}

#[test]
fn a_number_by_an_alias_becomes_a_number_of_its_own() {
    let text = "groups:\n  all: {roles: [control, edge], count: &n 3}\n  \
                workers: {roles: [agent], count: *n} # as many\n";
    assert_eq!(more(text, "workers", 1), Ok(text.replace("*n", "4")));
    let shared = more(text, "all", 2).unwrap_err();
    assert!(
        shared.contains("line 4 is used in several places: line 5 uses it as `*n`"),
        "{shared}"
    );
}

#[test]
fn a_group_that_is_another_s_alias_is_left_alone() {
    let text = "groups:\n  all: {roles: [control, edge], count: 1}\n  \
                a: &a {roles: [agent], count: 2}\n  b: *a\n";
    for group in ["a", "b"] {
        let shared = more(text, group, 1).unwrap_err();
        assert!(shared.contains("line 6 uses it as `*a`"), "{shared}");
    }
    let alone = text.replace("\n  b: *a", "");
    assert_eq!(more(&alone, "a", 1), Ok(alone.replace("count: 2", "count: 3")));
}

#[test]
fn hosts_follow_the_last_one_as_it_is_written() {
    let all = "groups:\n  all: {roles: [control, edge], hosts: [10.0.0.1]}\n";
    let check = |list: &str, expected: &str| {
        let text = |list| {
            format!("{all}  workers: {{roles: [agent]}}\n# end\n").replace(
                "{roles: [agent]}",
                &format!("\n    roles: [agent]\n    hosts:{list}"),
            )
        };
        assert_eq!(hosts(&text(list), &["10.0.0.8", "10.0.0.9"]), Ok(text(expected)));
    };
    check(" [10.0.0.2]", " [10.0.0.2, 10.0.0.8, 10.0.0.9]");
    check(" [ '10.0.0.2', ] # x", " [ '10.0.0.2', '10.0.0.8', '10.0.0.9', ] # x");
    check(
        " [\n      10.0.0.2,  # two\n      10.0.0.3   # three\n    ]",
        " [\n      10.0.0.2,  # two\n      10.0.0.3,   # three\n      10.0.0.8,\n      10.0.0.9\n    ]",
    );
    check(
        "\n    -   10.0.0.2  # two\n    # last",
        "\n    -   10.0.0.2  # two\n    -   10.0.0.8\n    -   10.0.0.9\n    # last",
    );
    check(
        "\n      - address: 10.0.0.2\n        name: w1 # first",
        "\n      - address: 10.0.0.2\n        name: w1 # first\n      - address: 10.0.0.8\n      - address: 10.0.0.9",
    );
}

#[test]
fn attributes_are_written_with_the_quotes_that_yaml_needs() {
    let mut new = host("10.0.0.8");
    let pairs = [("rack", "a"), ("ssd", "true"), ("zone", "3")];
    new.agent_spec.attributes =
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let text = "groups: {all: {roles: [control, edge], hosts: [10.0.0.1]}, \
                workers: {roles: [agent], hosts: [10.0.0.2]}}";
    let expected = "10.0.0.2, {address: 10.0.0.8, attributes: {rack: a, ssd: \"true\", zone: \"3\"}}";
    assert_eq!(
        edited(SSH, text, "workers", &Addition::Hosts(vec![new])),
        Ok(text.replace("10.0.0.2", expected))
    );
}

#[test]
fn what_is_there_or_does_not_fit_is_said_with_its_place() {
    let text = "groups:\n  all: {roles: [control, edge], hosts: [10.0.0.1]}\n  \
                workers:\n    roles: [agent]\n    hosts:\n    - 10.0.0.2\n    - 10.0.0.3\n";
    let known = hosts(text, &["10.0.0.9", "10.0.0.3"]).unwrap_err();
    assert!(known.starts_with("10.0.0.3 is already in group `workers` (line 9)"));
    let twice = hosts(text, &["10.0.0.9", "10.0.0.9"]).unwrap_err();
    assert_eq!(twice, "the address 10.0.0.9 is given twice");
    let counted = "groups: {all: {roles: [control, edge, agent], count: 3}}";
    assert!(more(counted, "all", 300).unwrap_err().contains("has room for"));
    assert!(more(counted, "all", 1).unwrap_err().contains("must be odd"));
    assert!(more(counted, "all", u16::MAX).unwrap_err().contains("65535"));
}

#[test]
fn the_group_is_the_one_that_has_agents_alone_unless_one_is_named() {
    let inventory = |more: &str| {
        let text = format!(
            "{LOCAL}groups:\n  all: {{roles: [control, edge], count: 1}}\n{more}"
        );
        read(&text, &|_| true).unwrap()
    };
    let workers = "  workers: {roles: [agent], count: 1}\n";
    let one = inventory(workers);
    assert_eq!(group(&one, None).map(|group| &*group.name), Ok("workers"));
    assert_eq!(group(&one, Some("all")).map(|group| &*group.name), Ok("all"));
    let error = group(&one, Some("worker")).unwrap_err().to_string();
    assert!(error.contains("did you mean `workers`?"), "{error}");
    let two = inventory(&(workers.to_owned() + &workers.replace("workers", "big")));
    let error = group(&two, None).unwrap_err().to_string();
    assert!(error.contains("`workers` and `big`"), "{error}");
    let error = group(&inventory(""), None).unwrap_err().to_string();
    assert!(error.starts_with("no group has agents"), "{error}");
}
