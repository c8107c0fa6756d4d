//! Every case of `cases.jsonl`, each tried on a real Marathon 1.11.24: the rules judge it as
//! Marathon did, at the same place, and makes the same app of it.
#![cfg(test)]

use marathon_rules::change::with_id;
use marathon_rules::compare::differences;
use marathon_rules::finding::{Finding, Kind};
use marathon_rules::root::Root;
use marathon_rules::{Change, Path, Rules, Spec, id};
use serde_json::{Value, json};

/// What a Marathon answers to a change.
enum Answer {
    Taken(Box<Root>, Vec<Finding>),
    Refused(Vec<Finding>),
    /// Refused for what is there or is not, not for the body.
    NotNow,
}

#[test]
fn all_150_cases_are_judged_as_by_a_real_marathon() {
    let cases: Vec<Value> = include_str!("cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(cases.len(), 150);
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn check(case: &Value) -> Result<(), String> {
    let name = case["name"].as_str().unwrap();
    let failed = |text: String| Err(format!("{name}: {text}"));
    let before = given(&case["given"]);
    match (answer(case, &before), case["verdict"].as_str().unwrap()) {
        (Answer::NotNow, "rejected") if [404, 409].contains(&number(&case["status"])) => {
            Ok(())
        }
        (Answer::Refused(found), "rejected") => match is_named(&found, case) {
            true => Ok(()),
            false => failed(format!("{found:?}, not {}", case["reason"])),
        },
        (Answer::Taken(root, found), "accepted") => {
            let stops = found.iter().any(|finding| finding.kind == Kind::Stops);
            let expected =
                ["persistent-volume", "constraint-group-by-none"].contains(&name);
            if stops != expected {
                return failed(format!("{found:?} stops Marathon"));
            }
            match case["kind"].as_str() {
                Some("group") => compare_tree(&root, &case["normalized"]),
                _ => compare_app(&root, &before, case),
            }
            .or_else(failed)
        }
        (Answer::Taken(..), _) => failed("is taken".to_owned()),
        (Answer::Refused(found), _) => failed(format!("is refused: {found:?}")),
        (Answer::NotNow, _) => failed("is refused".to_owned()),
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Whether a refusal names what the reason begins with, and whether it knows that Marathon fails.
fn is_named(found: &[Finding], case: &Value) -> bool {
    let reason = case["reason"].as_str().unwrap();
    let path = reason.split([':', ',']).next().unwrap();
    let fails = found.iter().any(|finding| finding.kind == Kind::Fails);
    let is_at = |finding: &Finding| finding.path.to_string().starts_with(path);
    fails == (case["status"] == 500) && found.iter().any(is_at)
}

fn given(given: &Value) -> Root {
    let mut root = Root { version: "v1".to_owned(), ..Root::default() };
    for group in given["groups"].as_array().into_iter().flatten() {
        let found =
            root.put_group(group["id"].as_str().unwrap(), group, &Rules::default());
        assert_eq!(found, []);
    }
    for app in given["apps"].as_array().into_iter().flatten() {
        match create(&root, app) {
            Answer::Taken(taken, _) => root = *taken,
            _ => panic!("{app}"),
        }
    }
    Root { version: "v2".to_owned(), ..root }
}

fn create(root: &Root, body: &Value) -> Answer {
    let app = id::absolute(body["id"].as_str().unwrap_or_default(), "/");
    put(root, &app, body, (Change::Create, "/"))
}

fn put(root: &Root, app: &str, body: &Value, how: (Change, &str)) -> Answer {
    let judged = root.judge(app, body, how, &Rules::default());
    match root.next_record(app, body, how, &Rules::default()) {
        Ok(record) => {
            let mut root = root.clone();
            root.put_app(app, record);
            Answer::Taken(Box::new(root), judged.found)
        }
        Err(found) => Answer::Refused(found),
    }
}

fn answer(case: &Value, before: &Root) -> Answer {
    let input = &case["input"];
    if case["kind"] == "app" {
        return create(before, input);
    }
    let (method, path) =
        (input["method"].as_str().unwrap(), input["path"].as_str().unwrap());
    let body = &input["body"];
    if let Some(group) = path.strip_prefix("/v2/groups") {
        let group = format!("/{}", group.trim_start_matches('/'));
        let named = body["id"].as_str().map(|name| id::absolute(name, &group));
        let group = named.filter(|_| group == "/").unwrap_or(group);
        if method == "POST" && before.has_group(&group) {
            return Answer::NotNow;
        }
        let mut root = before.clone();
        if let Some(factor) = body["scaleBy"].as_f64() {
            root.scale_group(&group, factor);
            return Answer::Taken(Box::new(root), Vec::new());
        }
        let found = root.put_group(&group, body, &Rules::default());
        return match found.iter().any(|finding| finding.kind.refuses()) {
            true => Answer::Refused(found),
            false => Answer::Taken(Box::new(root), found),
        };
    }
    let app = path.strip_prefix("/v2/apps").unwrap();
    let change = match (method, input["query"]["partialUpdate"].as_str()) {
        ("PATCH", _) if !before.apps.contains_key(app) => return Answer::NotNow,
        ("PATCH", _) => Change::Patch,
        (_, Some("false")) => Change::Replace,
        _ => Change::Merge,
    };
    put(before, app, &with_id(body, app), (change, app))
}

fn compare_tree(root: &Root, expected: &Value) -> Result<(), String> {
    let apps = expected["apps"].as_object().unwrap();
    if !root.apps.keys().eq(apps.keys().collect::<std::collections::BTreeSet<_>>()) {
        return Err(format!("the apps are {:?}", root.apps.keys()));
    }
    let groups = expected["groups"].as_array().unwrap().iter();
    let mut groups: Vec<&str> = groups.map(|group| group.as_str().unwrap()).collect();
    groups.sort_unstable();
    if root.groups.keys().ne(groups.iter()) {
        return Err(format!("the groups are {:?}", root.groups.keys()));
    }
    apps.iter().try_for_each(|(app, expected)| {
        compare(&root.apps[app].json(), expected.as_object().unwrap())
    })
}

fn compare_app(root: &Root, before: &Root, case: &Value) -> Result<(), String> {
    let mut expected = case["normalized"].as_object().unwrap().clone();
    let app = expected["id"].as_str().unwrap().to_owned();
    let shown = root.apps[&app].json();
    let had = before.apps.get(&app).map(|record| record.json());
    give_ports(&mut expected, (&shown, had.as_ref()), before)?;
    compare(&shown, &expected)?;
    for absent in case["absent"].as_array().into_iter().flatten() {
        let path = format!("/{}", absent.as_str().unwrap().replace('.', "/"));
        if let Some(value) = json!(shown).pointer(&path) {
            return Err(format!("{path} is {value}"));
        }
    }
    Ok(())
}

/// Puts the ports that were given into what is expected, if they may be given.
fn give_ports(
    expected: &mut Spec,
    (shown, had): (&Spec, Option<&Spec>),
    before: &Root,
) -> Result<(), String> {
    let mut taken: Vec<u64> = Vec::new();
    for record in before.apps.values() {
        taken.extend(
            marathon_rules::service_ports::of(&record.spec)
                .iter()
                .map(|it| u64::from(*it)),
        );
    }
    for (pointer, key) in [("portDefinitions", "port"), ("container", "servicePort")] {
        let list = |spec: &Value| match pointer {
            "container" => spec[pointer]["portMappings"].clone(),
            _ => spec[pointer].clone(),
        };
        let (shown, had) = (list(&json!(shown)), list(&json!(had)));
        let expected = expected.get_mut(pointer);
        let expected = match pointer {
            "container" => expected.and_then(|it| it.get_mut("portMappings")),
            _ => expected,
        };
        let items = expected.and_then(Value::as_array_mut).into_iter().flatten();
        for (index, item) in items.enumerate() {
            let given = number(&shown[index][key]);
            match item[key].as_str() {
                Some("@assigned") => {
                    // Two apps of a case may not have the same one, an app keeps its own.
                    let own = had[index][key].as_u64() == Some(given);
                    if !(10_000..=20_000).contains(&given)
                        || (taken.contains(&given) && !own)
                    {
                        return Err(format!("{given} is given"));
                    }
                    taken.push(given);
                    item[key] = given.into();
                }
                Some("@same") => item[key] = had[index][key].clone(),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Every member that is expected is there and equal.
fn compare(shown: &Spec, expected: &Spec) -> Result<(), String> {
    let missing = expected.keys().find(|key| !shown.contains_key(*key));
    if let Some(missing) = missing {
        return Err(format!("{missing} is not shown"));
    }
    let shown = shown.iter().filter(|(key, _)| expected.contains_key(*key));
    let shown = shown.map(|(key, value)| (key.clone(), value.clone())).collect();
    match differences(expected, &shown) {
        found if found.is_empty() => Ok(()),
        found => Err(format!("{found:?}")),
    }
}

#[test]
fn a_second_body_of_the_same_app_is_no_difference() {
    let body =
        json!({"id": "/web", "cmd": "exec serve", "ports": [0], "uris": ["a.tgz"]});
    let Answer::Taken(root, _) = create(&Root::default(), &body) else { panic!() };
    let again = root.judge("/web", &body, (Change::Replace, "/web"), &Rules::default());
    assert_eq!(differences(&root.apps["/web"].spec, &again.spec), []);
    assert_eq!(again.found.iter().find(|it| it.path == Path::ROOT), None);
}
