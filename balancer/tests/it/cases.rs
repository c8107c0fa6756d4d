//! Apps and what has to become of them: `tests/cases/*.json`. Each configuration has to load, and
//! each request is asked of a real HAProxy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use platform_balancer::decide::{Decision, Known, decide};
use platform_balancer::hints::Hints;
use platform_balancer::marathon::Reading;
use platform_balancer::render::render;
use platform_balancer::servers_state::Backends;
use platform_balancer::services::Service;
use platform_balancer::settings::Settings;
use platform_balancer::wanted::{Circumstances, Memory, Names};
use serde::Deserialize;

use crate::support::{Answer, Edge, HTTP, HTTPS, ask, loads, read, until};

/// How many cases there are: none may get lost.
const N_CASES: usize = 57;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    what: String,
    groups: Option<BTreeSet<String>>,
    apps: serde_json::Value,
    services: BTreeMap<String, Expected>,
    #[serde(default)]
    requests: Vec<String>,
    #[serde(default)]
    quarantined: BTreeMap<String, String>,
    #[serde(default)]
    clashes: BTreeMap<u16, BTreeSet<String>>,
    #[serde(default)]
    never: Vec<String>,
    same_text_as: Option<String>,
}

/// A service; servers in the order of their text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    port: u16,
    servers: Vec<String>,
    #[serde(default = "tcp")]
    mode: String,
    #[serde(default = "roundrobin")]
    balance: String,
    #[serde(default)]
    cookie: bool,
    check: Option<ExpectedCheck>,
}

/// Marathon's check of the service. HAProxy's own is the same for all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedCheck {
    path: Option<String>,
    interval_seconds: u32,
    #[serde(default = "five")]
    timeout_seconds: u32,
    max_failures: u32,
    port: Option<u32>,
}

fn tcp() -> String {
    "tcp".to_owned()
}

fn roundrobin() -> String {
    "roundrobin".to_owned()
}

fn five() -> u32 {
    5
}

#[test]
fn every_case_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut texts = BTreeMap::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|at| at.unwrap().path()).collect();
    files.sort();
    let cases: Vec<Case> = files
        .iter()
        .flat_map(|file| serde_json::from_str::<Vec<Case>>(&read(file)).unwrap())
        .collect();
    for case in &cases {
        let text = case.holds();
        if let Some(other) = &case.same_text_as {
            assert_eq!(texts.get(other), Some(&text), "{}", case.name);
        }
        assert!(
            texts.insert(case.name.clone(), text).is_none(),
            "{} is there twice",
            case.name
        );
    }
    assert_eq!(cases.len(), N_CASES);
}

impl Case {
    fn holds(&self) -> String {
        let edge = Edge::new();
        let mut settings = edge.read_settings();
        settings.bind = "*".to_owned();
        settings.groups = self.groups.clone().unwrap_or(settings.groups);
        let decision = decided(&self.apps, &settings);
        let text = render(&decision.reloaded(), &settings);
        let named = format!("{}: {}\n{text}", self.name, self.what);
        let checked = edge.check(&text);
        assert!(loads(&checked), "{named}{checked:?}");
        assert_eq!(found_services(&decision, &text), self.services, "{named}");
        self.compare_refusals(&decision, &named);
        let slip = self.never.iter().find(|never| text.contains(*never));
        assert_eq!(slip, None, "{named}");
        self.ask_requests(&edge, &decision, settings);
        text
    }

    fn compare_refusals(&self, decision: &Decision, named: &str) {
        let found = &decision.services.quarantined;
        assert_eq!(found.len(), self.quarantined.len(), "{named}{found:?}");
        for at in found {
            let key = format!("{} {}", at.app, at.index.unwrap());
            assert!(at.reason.starts_with(&self.quarantined[&key]), "{named}{at:?}");
        }
        let clashes = decision.services.clashes.iter().map(|clash| {
            let all = clash.refused.iter().chain([&clash.kept_by]);
            (clash.port, all.map(|of| of.app.clone()).collect())
        });
        assert_eq!(
            clashes.collect::<BTreeMap<u16, BTreeSet<String>>>(),
            self.clashes,
            "{named}"
        );
    }

    /// Asks a real HAProxy, whose backends answer with their own names.
    fn ask_requests(&self, edge: &Edge, decision: &Decision, mut settings: Settings) {
        if self.requests.is_empty() {
            return;
        }
        settings.bind = edge.ip.to_string();
        let text = render(&decision.reloaded(), &settings);
        std::fs::write(edge.path("apps.cfg"), answering(&text, decision)).unwrap();
        let _running = edge.start();
        for request in &self.requests {
            let (url, expected) = request.split_once(" -> ").unwrap();
            let (scheme, rest) = url.split_once("://").unwrap();
            let (host, path) = rest.split_at(rest.find('/').unwrap());
            let port = if scheme == "http" { HTTP } else { HTTPS };
            let address = SocketAddr::from((edge.ip, port));
            for host in [host.to_owned(), format!("{host}:{port}")] {
                let answer = until("an answer", || ask(address, &host, path));
                assert_eq!(
                    outcome(&answer, decision),
                    expected,
                    "{}: {request}",
                    self.name
                );
            }
        }
    }
}

/// What the balancer makes of these apps when it has just started.
pub(crate) fn decided(apps: &serde_json::Value, settings: &Settings) -> Decision {
    let text = serde_json::json!({ "apps": apps }).to_string();
    let reading = Reading::parse(text.as_bytes()).unwrap();
    let (names, hints) = (Names::new(), Hints::default());
    let at = Circumstances {
        reading: &reading,
        names: &names,
        hints: &hints,
        seconds_with_leader: 0,
    };
    let backends = Backends::new();
    let known = Known {
        settings,
        at,
        backends: &backends,
        loaded: &[],
        broken: &[],
        is_settled: true,
    };
    decide(known, &mut Memory::default())
}

fn key(service: &Service) -> String {
    format!("{} {}", service.of.app, service.of.index)
}

/// The services that have servers, as the text says; Marathon's checks as they are known.
fn found_services(decision: &Decision, text: &str) -> BTreeMap<String, Expected> {
    let sections: BTreeMap<&str, Vec<&str>> = text
        .split("\n\n")
        .filter_map(|section| section.split_once('\n'))
        .map(|(heading, body)| (heading, body.lines().map(str::trim).collect()))
        .collect();
    let found = decision.services.services.iter().map(|service| {
        let mode = service.mode.word();
        let section = |kind| {
            &sections[format!("{kind} {} from apps-{mode}", service.name).as_str()]
        };
        let expected = Expected {
            port: setting(section("frontend"), "bind *:").unwrap().parse().unwrap(),
            servers: servers(section("backend")),
            mode: mode.to_owned(),
            balance: setting(section("backend"), "balance ").unwrap(),
            cookie: setting(section("backend"), "cookie ").is_some(),
            check: service.check.clone().map(|check| ExpectedCheck {
                path: check.path,
                interval_seconds: check.interval_seconds,
                timeout_seconds: check.timeout_seconds,
                max_failures: check.max_failures,
                port: check.port,
            }),
        };
        (key(service), expected)
    });
    found.filter(|(_, service)| !service.servers.is_empty()).collect()
}

fn setting(section: &[&str], start: &str) -> Option<String> {
    section.iter().find_map(|line| line.strip_prefix(start)).map(str::to_owned)
}

/// The servers of a backend. Each has a cookie of its own if the backend has one.
fn servers(section: &[&str]) -> Vec<String> {
    let used = section.iter().filter(|line| !line.ends_with("disabled"));
    let words =
        used.filter_map(|line| line.strip_prefix("server ")).map(|line| line.split(' '));
    let mut servers = Vec::new();
    for mut words in words {
        let slot = words.next().unwrap();
        servers.push(words.next().unwrap().to_owned());
        let has_cookie = setting(section, "cookie ").is_some();
        let cookie: Vec<&str> = words.collect();
        assert_eq!(cookie, if has_cookie { vec!["cookie", slot] } else { vec![] });
    }
    servers.sort();
    servers
}

/// The same configuration without TLS, in which each backend with servers answers by itself.
fn answering(text: &str, decision: &Decision) -> String {
    let with_servers: BTreeSet<&str> = decision
        .reloaded()
        .into_iter()
        .filter(|(_, slots)| slots.iter().any(Option::is_some))
        .map(|(service, _)| service.name.as_str())
        .collect();
    let mut out = String::new();
    for section in text.split("\n\n") {
        let plain = section.lines().map(|line| line.split(" ssl ").next().unwrap());
        out.extend(plain.flat_map(|line| [line, "\n"]));
        let name =
            section.strip_prefix("backend ").and_then(|rest| rest.split(' ').next());
        if let Some(name) = name.filter(|name| with_servers.contains(name)) {
            out += &format!(
                "    http-request return status 200 content-type text/plain string {name}\n"
            );
        }
        out.push('\n');
    }
    out
}

/// Who answered, in the words of the cases.
fn outcome(answer: &Answer, decision: &Decision) -> String {
    let service = decision.services.services.iter().find(|at| at.name == answer.body);
    match (answer.status, service) {
        (200, Some(service)) => key(service),
        (308, _)
            if answer.headers.contains(
                "
location: https://",
            ) =>
        {
            "https".to_owned()
        }
        (404 | 503, _) => "none".to_owned(),
        _ => format!("{answer:?}"),
    }
}
