//! The landing page: what runs where, who leads, what is served under which address, and what is
//! not served and why. Pure: what is known goes in, HTML comes out.
//!
//! The page is whole without its script, which only keeps it fresh and filters. It loads nothing
//! from elsewhere, and its policy forbids it to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::html::Html;
use crate::mesos::Agent;
use crate::services::PortOf;
use crate::settings::{Host, Landing};
use crate::status::{AppRow, ServiceRow, Status};

/// The page's style.
pub const STYLE: &str = include_str!("page/page.css");
/// The page's script.
pub const SCRIPT: &str = include_str!("page/page.js");
/// The page's icon.
pub const ICON: &str = include_str!("page/icon.svg");
/// What a browser may do with the page.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                          img-src 'self'; connect-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";

/// What is older than this is called old: lists and summaries come every 5 s.
const FRESH: Duration = Duration::from_secs(20);

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta name=\"color-scheme\" content=\"light dark\">\n\
    <link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">\n\
    <link rel=\"stylesheet\" href=\"/page.css\">\n<script src=\"/page.js\" defer></script>\n\
    <noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n<title>";

/// Writes the page for a browser that reached the edge by the name `edge`.
pub fn page(status: &Status, page: &Landing, edge: &str) -> String {
    let view = View { status, page, edge };
    let mut out = Html::default();
    out.put(HEAD, &page.cluster, "</title>\n</head>\n<body>\n");
    out.tag("<a class=\"skip\" href=\"#services\">Skip to the services</a>\n");
    view.header(&mut out);
    out.tag("<main>\n<div id=\"alerts\" data-live role=\"status\">\n");
    view.alerts(&mut out);
    out.tag("</div>\n<section id=\"summary\" data-live aria-label=\"Summary\">\n");
    view.summary(&mut out);
    out.tag("</section>\n<div id=\"left-out\" data-live>\n");
    view.left_out(&mut out);
    out.tag("</div>\n");
    view.services(&mut out);
    view.agents(&mut out);
    view.hosts(&mut out);
    out.tag("</main>\n</body>\n</html>\n");
    out.into_string()
}

struct View<'at> {
    status: &'at Status,
    page: &'at Landing,
    edge: &'at str,
}

impl View<'_> {
    fn header(&self, out: &mut Html) {
        let Landing { cluster, host, services, .. } = self.page;
        out.put("<header>\n<div><h1>", cluster, "</h1>\n<p id=\"fresh\">");
        out.put("Served by ", host, "</p></div>\n<nav aria-label=\"The platform\">\n");
        for service in services {
            let (title, port, path) = (&service.title, service.port, &service.path);
            out.put(
                "<a href=\"https://",
                format_args!("{}:{port}{path}", self.edge),
                "\">",
            );
            out.text(title).tag("</a>\n");
        }
        out.tag("</nav>\n</header>\n");
    }

    /// What makes the rest of the page doubtful.
    fn alerts(&self, out: &mut Html) {
        let status = self.status;
        let list = status.last_list.map(|at| at.elapsed());
        let summary = status.mesos.as_ref().map(|mesos| mesos.asked.elapsed());
        let alerts = [
            stale("Marathon", list, status.list_error.as_deref()),
            stale("Mesos", summary, status.mesos_error.as_deref()),
            status.haproxy_error.as_ref().map(|reason| {
                format!("HAProxy goes on with what it had, because of an error: {reason}")
            }),
        ];
        for alert in alerts.into_iter().flatten() {
            out.put("<p class=\"alert\">", alert, "</p>\n");
        }
    }

    fn summary(&self, out: &mut Html) {
        let apps = &self.status.apps;
        let n_running = apps.iter().filter(|app| app.status == "running").count();
        let n_tasks: u32 = apps.iter().map(|app| app.running).sum();
        out.tag("<dl class=\"tiles\">\n");
        tile(out, "Services running", format_args!("{n_running} of {}", apps.len()));
        tile(out, "Tasks", n_tasks);
        if let Some(mesos) = &self.status.mesos {
            let agents = &mesos.summary.agents;
            let n_active =
                agents.iter().filter(|agent| agent.state() == "active").count();
            tile(out, "Agents active", format_args!("{n_active} of {}", agents.len()));
            let sum = |of: fn(&Agent) -> f64| agents.iter().map(of).sum::<f64>();
            let cpus = [sum(|at| at.used_resources.cpus), sum(|at| at.resources.cpus)];
            let mem = [sum(|at| at.used_resources.mem), sum(|at| at.resources.mem)];
            out.tag("<div><dt>CPUs used</dt><dd>");
            used(out, cpus, "CPUs");
            out.tag("</dd></div>\n<div><dt>Memory used (MB)</dt><dd>");
            used(out, mem, "MB of memory");
            out.tag("</dd></div>\n");
        }
        out.tag("</dl>\n<dl class=\"leaders\">\n");
        for (name, _, host) in self.leaders() {
            out.put("<div><dt>", name, " leads on</dt><dd>");
            out.text(host.unwrap_or("nobody known")).tag("</dd></div>\n");
        }
        out.tag("</dl>\n");
    }

    /// The services that one of several hosts leads: each with the name of its program, and that
    /// host.
    fn leaders(&self) -> [(&'static str, &'static str, Option<&str>); 3] {
        let mesos = self.status.mesos.as_ref();
        let framework = |name: &str| mesos.and_then(|mesos| mesos.summary.host_of(name));
        let marathon = self.status.leader.as_deref().map(without_port);
        [
            ("Mesos", "mesos-master", mesos.map(|mesos| without_port(&mesos.leader))),
            ("Marathon", "marathon", marathon.or(framework("marathon"))),
            ("Chronos", "chronos", framework("chronos")),
        ]
        .map(|(title, program, at)| (title, program, at.map(|at| self.name(at))))
    }

    /// The host of this address, by its name.
    fn name<'at>(&'at self, address: &'at str) -> &'at str {
        let host = self.page.hosts.iter().find(|host| host.address == address);
        host.map_or(address, |host| &host.name)
    }

    fn left_out(&self, out: &mut Html) {
        let Status { quarantined, clashes, .. } = self.status;
        if quarantined.is_empty() && clashes.is_empty() {
            return;
        }
        out.tag("<section aria-labelledby=\"left-out-title\">\n");
        out.tag("<h2 id=\"left-out-title\">Not served at the edge</h2>\n<table class=\"cards\">\n");
        head(out, &["Service", "Port", "Reason"]);
        for at in quarantined {
            let app =
                if at.app.is_empty() { "an app without a readable id" } else { &at.app };
            let port = at.index.map_or("all".to_owned(), |index| index.to_string());
            row_of_left_out(out, app, &port, &at.reason);
        }
        for clash in clashes {
            for PortOf { app, index } in &clash.refused {
                let (port, owner) = (clash.port, &clash.kept_by);
                let reason = format!("service port {port} belongs to {owner}");
                row_of_left_out(out, app, &index.to_string(), &reason);
            }
        }
        out.tag("</tbody>\n</table>\n</section>\n");
    }

    fn services(&self, out: &mut Html) {
        out.tag("<section id=\"services\" aria-labelledby=\"services-title\" tabindex=\"-1\">\n");
        out.tag("<div class=\"bar-of-title\"><h2 id=\"services-title\">Services</h2>\n");
        out.tag(
            "<label id=\"filter\" hidden>Filter <input type=\"search\"></label></div>\n",
        );
        out.tag("<div id=\"apps\" data-live>\n");
        if self.status.apps.is_empty() {
            out.tag(
                "<p class=\"none\">Marathon runs no service.</p>\n</div>\n</section>\n",
            );
            return;
        }
        let mut served: BTreeMap<&str, Vec<&ServiceRow>> = BTreeMap::new();
        for service in &self.status.services {
            served.entry(&service.app).or_default().push(service);
        }
        out.tag("<table class=\"cards\">\n");
        let health = ["ID", "Memory (MB)", "CPUs", "Tasks / Instances", "Health"];
        head(out, &[&health[..], &["Status", "Address"]].concat());
        for app in &self.status.apps {
            let services = served.get(app.id.as_str()).map_or(&[][..], Vec::as_slice);
            self.app(out, app, services);
        }
        out.tag("</tbody>\n</table>\n</div>\n</section>\n");
    }

    fn app(&self, out: &mut Html, app: &AppRow, services: &[&ServiceRow]) {
        let AppRow { id, mem, cpus, instances, running, .. } = app;
        let n = f64::from(*instances);
        out.put("<tr><th scope=\"row\">", id, "");
        self.where_it_runs(out, app);
        cell(out, "Memory (MB)", Number(mem * n));
        cell(out, "CPUs", Number(cpus * n));
        cell(out, "Tasks / Instances", format_args!("{running} / {instances}"));
        out.tag("<td data-label=\"Health\">");
        health(out, app);
        out.put("</td><td data-label=\"Status\"><span class=\"state ", app.status, "\">");
        out.text(Capital(app.status)).tag("</span></td><td data-label=\"Address\"><ul>");
        for service in services {
            self.addresses(out, service);
        }
        out.tag("</ul></td></tr>\n");
    }

    fn where_it_runs(&self, out: &mut Html, app: &AppRow) {
        let on = app.hosts.iter().map(|(host, n)| match n {
            1 => self.name(host).to_owned(),
            n => format!("{} ({n})", self.name(host)),
        });
        let on: Vec<String> = on.collect();
        if !on.is_empty() {
            out.put("<small>on ", on.join(", "), "</small>");
        }
        out.tag("</th>");
    }

    /// The service port, and the virtual hosts.
    fn addresses(&self, out: &mut Html, service: &ServiceRow) {
        let (edge, port) = (self.edge, service.port);
        match service.mode {
            "http" => link(out, "http://", format_args!("{edge}:{port}"), "/"),
            _ => {
                out.put("<li>", format_args!("{edge}:{port}"), "</li>");
            }
        }
        let path = service.path.as_deref().unwrap_or("/");
        for host in &service.vhosts {
            link(out, "https://", host, path);
        }
    }

    fn agents(&self, out: &mut Html) {
        out.tag("<section aria-labelledby=\"agents-title\">\n");
        out.tag("<h2 id=\"agents-title\">Agents</h2>\n");
        self.why_mesos_is_not_enough(out);
        out.tag("<div id=\"agents\" data-live>\n");
        let agents = self.status.mesos.as_ref().map(|mesos| &mesos.summary.agents);
        let Some(agents) = agents.filter(|agents| !agents.is_empty()) else {
            out.tag("<p class=\"none\">No agent is known.</p>\n</div>\n</section>\n");
            return;
        };
        out.tag("<table class=\"cards\">\n");
        let titles =
            ["Agent", "Status", "CPUs used", "Memory used (MB)", "Disk used (MB)"];
        head(out, &[&titles[..], &["Tasks", "Attributes"]].concat());
        for agent in agents {
            self.agent(out, agent);
        }
        out.tag("</tbody>\n</table>\n</div>\n</section>\n");
    }

    /// What does not work in Mesos' own page, and what does instead: the page has the browser ask the
    /// leading master and the agents by their own addresses.
    fn why_mesos_is_not_enough(&self, out: &mut Html) {
        out.tag(
            "<p class=\"note\">The page of Mesos does not stay fresh, and opens no files of tasks: \
             a browser would have to reach the masters and agents themselves, and these answer \
             only hosts of the cluster. To see what the tasks on an agent wrote last: <code>",
        );
        out.put(
            "platform exec INVENTORY --limit AGENT --sudo -- sh -c 'tail ",
            &self.page.work_folder,
            "/slaves/*/frameworks/*/executors/*/runs/latest/std*'</code></p>\n",
        );
    }

    fn agent(&self, out: &mut Html, agent: &Agent) {
        let (used_of, all) = (agent.used_resources, agent.resources);
        out.put("<tr><th scope=\"row\">", self.name(&agent.hostname), "</th>");
        out.put("<td data-label=\"Status\"><span class=\"state ", agent.state(), "\">");
        out.put("", Capital(agent.state()), "</span></td><td data-label=\"CPUs used\">");
        used(out, [used_of.cpus, all.cpus], "CPUs");
        out.tag("</td><td data-label=\"Memory used (MB)\">");
        used(out, [used_of.mem, all.mem], "MB of memory");
        out.tag("</td><td data-label=\"Disk used (MB)\">");
        used(out, [used_of.disk, all.disk], "MB of disk");
        out.tag("</td>");
        cell(out, "Tasks", agent.running);
        let attributes = agent.attributes.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}: {text}")
        });
        cell(out, "Attributes", attributes.collect::<Vec<String>>().join(", "));
        out.tag("</tr>\n");
    }

    fn hosts(&self, out: &mut Html) {
        let leaders = self.leaders();
        out.tag("<section aria-labelledby=\"hosts-title\">\n");
        out.tag("<h2 id=\"hosts-title\">Hosts of the platform</h2>\n<div id=\"hosts\" data-live>\n");
        out.tag("<table class=\"cards\">\n");
        head(out, &["Host", "Address", "Runs"]);
        for Host { name, address, runs } in &self.page.hosts {
            out.put("<tr><th scope=\"row\">", name, "</th>");
            cell(out, "Address", address);
            out.tag("<td data-label=\"Runs\"><ul class=\"words\">");
            for program in runs {
                out.put("<li>", program, "");
                let leads = |at: &(_, &str, Option<&str>)| {
                    at.1 == program && at.2 == Some(name.as_str())
                };
                if leaders.iter().any(leads) {
                    out.tag(" <b>leads</b>");
                }
                out.tag("</li>");
            }
            out.tag("</ul></td></tr>\n");
        }
        out.tag("</tbody>\n</table>\n</div>\n</section>\n");
    }
}

/// Why what somebody says cannot be relied on; `None` if it can.
fn stale(whose: &str, age: Option<Duration>, error: Option<&str>) -> Option<String> {
    let known = match age {
        Some(age) if age < FRESH => return None,
        Some(age) => format!("What is shown of {whose} is {} old", in_words(age)),
        None => format!("{whose} has not answered yet"),
    };
    Some(match error {
        Some(reason) => format!("{known}: {reason}"),
        None => known,
    })
}

fn in_words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn without_port(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn tile(out: &mut Html, title: &'static str, value: impl std::fmt::Display) {
    out.put("<div><dt>", title, "</dt><dd>").text(value).tag("</dd></div>\n");
}

fn head(out: &mut Html, titles: &[&'static str]) {
    out.tag("<thead><tr>");
    for title in titles {
        out.put("<th scope=\"col\">", title, "</th>");
    }
    out.tag("</tr></thead>\n<tbody>\n");
}

fn cell(out: &mut Html, label: &'static str, value: impl std::fmt::Display) {
    out.put("<td data-label=\"", label, "\">").text(value).tag("</td>");
}

fn row_of_left_out(out: &mut Html, app: &str, port: &str, reason: &str) {
    out.put("<tr><th scope=\"row\">", app, "</th>");
    cell(out, "Port", port);
    cell(out, "Reason", reason);
    out.tag("</tr>\n");
}

fn link(
    out: &mut Html,
    scheme: &'static str,
    address: impl std::fmt::Display,
    path: &str,
) {
    let shown = format!("{address}{}", if path == "/" { "" } else { path });
    out.put("<li><a href=\"", format_args!("{scheme}{address}{path}"), "\">");
    out.text(shown).tag("</a></li>");
}

/// A share of something: in numbers, and as a bar.
fn used(out: &mut Html, shares: [f64; 2], what: &str) {
    // A part of a megabyte says nothing.
    let rounded = |share: f64| Number(if share < 100.0 { share } else { share.round() });
    let [some, all] = shares.map(rounded);
    out.put("<span class=\"used\">", format_args!("{some} of {all}"), "</span>");
    let said = format!("{some} of {all} {what}");
    bar(out, &said, &[("taken", some.0)], all.0);
}

fn health(out: &mut Html, app: &AppRow) {
    let parts = app.health();
    let shown = parts.iter().filter(|(_, n)| *n > 0);
    let said: Vec<String> = shown.map(|(word, n)| format!("{n} {word}")).collect();
    let said = if said.is_empty() { "no tasks".to_owned() } else { said.join(", ") };
    let widths = parts.map(|(word, n)| (word, f64::from(n)));
    bar(out, &said, &widths, widths.iter().map(|(_, n)| n).sum());
}

/// A bar of parts, each with its class and its share of the whole.
fn bar(out: &mut Html, said: &str, parts: &[(&'static str, f64)], whole: f64) {
    out.tag("<svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" role=\"img\"");
    out.put(" aria-label=\"", said, "\"><title>").text(said).tag("</title>");
    let mut at = 0.0;
    for (class, part) in parts.iter().filter(|(_, part)| *part > 0.0 && whole > 0.0) {
        let width = (100.0 * part / whole).min(100.0 - at);
        out.put("<rect class=\"", class, "\" height=\"10\" x=\"").text(Number(at));
        out.put("\" width=\"", Number(width), "\"/>");
        at += width;
    }
    out.tag("</svg>");
}

/// A number with at most two digits after the point.
#[derive(Debug, Clone, Copy)]
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", (100.0 * self.0).round() / 100.0)
    }
}

/// A word with a capital letter at its beginning.
struct Capital(&'static str);

impl std::fmt::Display for Capital {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, rest) = self.0.split_at(1);
        write!(out, "{}{rest}", first.to_ascii_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::marathon::Reading;
    use crate::mesos::{Mesos, Summary};
    use crate::services::{Clash, Quarantined};

    const APPS: &str = r#"{"apps":[{"id":"/web","instances":4,"cpus":0.1,"mem":32,
        "tasksRunning":3,"tasksStaged":1,"tasksHealthy":2,"tasksUnhealthy":1,
        "healthChecks":[{"protocol":"HTTP"}],"tasks":[
            {"id":"a","host":"10.0.0.1","state":"TASK_RUNNING"},
            {"id":"b","host":"10.0.0.1","state":"TASK_RUNNING"},
            {"id":"c","host":"10.0.0.31","state":"TASK_RUNNING"},
            {"id":"d","host":"10.0.0.32","state":"TASK_STAGING"}]}]}"#;
    const SUMMARY: &str = r#"{"slaves":[{"hostname":"10.0.0.31","active":true,"TASK_RUNNING":5,
        "attributes":{"rack":"<r1>"},"resources":{"cpus":4,"mem":1024,"disk":0},
        "used_resources":{"cpus":1,"mem":256}}],
        "frameworks":[{"name":"chronos","hostname":"10.0.0.2","active":true}]}"#;

    fn landing() -> Landing {
        serde_json::from_str(
            r#"{"cluster":"lab","host":"edge-1",
                "services":[{"title":"Marathon","port":8443,"path":"/"}],
                "hosts":[{"name":"one","address":"10.0.0.1","runs":["mesos-master","marathon"]},
                    {"name":"two","address":"10.0.0.2","runs":["marathon","chronos"]}],
                "work_folder":"/var/<w>"}"#,
        )
        .unwrap()
    }

    fn status() -> Status {
        let apps = Reading::parse(APPS.as_bytes()).unwrap().apps;
        let summary = Summary::parse(SUMMARY.as_bytes()).unwrap();
        let leader = "10.0.0.1:5050".to_owned();
        Status {
            leader: Some("10.0.0.2:8080".to_owned()),
            apps: apps.iter().map(AppRow::of).collect(),
            mesos: Some(Mesos { leader, summary, asked: Instant::now() }),
            last_list: Some(Instant::now()),
            ..Status::default()
        }
    }

    fn service(mode: &'static str, port: u16, vhosts: &[&str]) -> ServiceRow {
        ServiceRow {
            app: "/web".to_owned(),
            index: 0,
            port,
            mode,
            vhosts: vhosts.iter().map(|&host| host.to_owned()).collect(),
            path: None,
            check: None,
            needs_route: false,
            servers: Vec::new(),
        }
    }

    /// The page without its markup, on one line.
    fn words(html: &str) -> String {
        let parts = html.split('<').filter_map(|part| part.split_once('>'));
        let words: Vec<&str> =
            parts.flat_map(|(_, text)| text.split_whitespace()).collect();
        words.join(" ")
    }

    fn check(status: &Status, expected: &[&str]) {
        let html = page(status, &landing(), "lab.example");
        let words = words(&html);
        for part in expected {
            assert!(words.contains(part), "{part:?} is missing:\n{words}");
        }
    }

    #[test]
    fn a_service_is_a_row_as_in_the_reference() {
        let mut status = status();
        status.services =
            vec![service("http", 10001, &["shop.example"]), service("tcp", 10002, &[])];
        let row = "/web on one (2), 10.0.0.31 128 0.4 3 / 4 2 healthy, 1 unhealthy, 1 staged \
                   Waiting lab.example:10001 shop.example lab.example:10002";
        check(
            &status,
            &["ID Memory (MB) CPUs Tasks / Instances Health Status Address", row],
        );
        let html = page(&status, &landing(), "lab.example");
        assert!(html.contains(r#"<a href="http://lab.example:10001/">"#), "{html}");
        assert!(html.contains(r#"<a href="https://shop.example/">"#), "{html}");
    }

    #[test]
    fn who_leads_and_what_agents_have_is_shown() {
        check(
            &status(),
            &[
                "Mesos leads on one Marathon leads on two Chronos leads on two",
                "one 10.0.0.1 mesos-master leads marathon two",
                "two 10.0.0.2 marathon leads chronos leads",
                "10.0.0.31 Active 1 of 4 1 of 4 CPUs 256 of 1024",
                "5 rack: &lt;r1&gt;",
                "only hosts of the cluster. To see what the tasks on an agent wrote last: platform \
                 exec INVENTORY --limit AGENT --sudo -- sh -c 'tail /var/&lt;w&gt;/slaves/",
            ],
        );
    }

    #[test]
    fn what_is_not_served_is_told_with_the_reason() {
        let mut status = status();
        let of = |app: &str| PortOf { app: app.to_owned(), index: 0 };
        status.quarantined = vec![Quarantined {
            app: "/<b>".to_owned(),
            index: Some(1),
            reason: "it is \"odd\"".to_owned(),
        }];
        status.clashes =
            vec![Clash { port: 10005, kept_by: of("/a"), refused: vec![of("/c")] }];
        check(
            &status,
            &[
                "/&lt;b&gt; 1 it is &quot;odd&quot;",
                "/c 0 service port 10005 belongs to /a port 0",
            ],
        );
    }

    #[test]
    fn what_is_old_or_unknown_is_said_to_be_so() {
        let mut status = status();
        let html = page(&status, &landing(), "lab.example");
        assert!(!html.contains("class=\"alert\""), "{html}");
        status.last_list = Instant::now().checked_sub(Duration::from_secs(150));
        status.list_error = Some("10.0.0.2:8080: cannot connect".to_owned());
        check(
            &status,
            &["What is shown of Marathon is 2 min old: 10.0.0.2:8080: cannot connect"],
        );
        let new = Status { mesos_error: Some("no".to_owned()), ..Status::default() };
        check(
            &new,
            &[
                "Marathon has not answered yet Mesos has not answered yet: no",
                "Mesos leads on nobody known",
                "Marathon runs no service.",
                "No agent is known.",
            ],
        );
    }

    #[test]
    fn a_page_loads_only_what_is_served_with_it() {
        let html = page(&status(), &landing(), "lab.example");
        for (before, _) in html.match_indices("src=\"") {
            assert!(html[before..].starts_with("src=\"/page."), "{html}");
        }
        assert!(!html.contains("style=") && !html.contains("onclick"), "{html}");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
