//! The landing page as users see it, in a real browser, and the virtual hosts beside it. Mesos,
//! Marathon and Chronos are stand-ins, everything else is real.
//!
//! The pictures that it takes are in the folder of the build, as `tmp/page-*.png`.

mod browser;
mod files;

use std::time::Duration;

use platform::event::RunResult;
use reqwest::blocking::{Client, Response};
use reqwest::header::{HOST, LOCATION};
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use self::browser::Browser;
use crate::harness::{Lab, Services, http_server, turn, until};

const BODY: &str = "
groups:
  control: {roles: [control], count: 1, memory: 1GiB}
  edge: {roles: [edge], count: 1, memory: 512MiB}
  workers: {roles: [agent], count: 1, memory: 1GiB, attributes: {rack: a}}
platform:
  images: {rehearsed}
  access: {users: [{name: ann, password: {generate: true}}]}
  zookeeper: {heap: 128MiB}
";

/// The longest until the edge serves an app, or the page shows it.
const SERVED: Duration = Duration::from_secs(30);

#[test]
fn the_page_shows_what_runs_and_apps_have_virtual_hosts_beside_it() {
    let _turn = turn();
    let lab = Lab::local(BODY);
    let edge = format!("{}.12", lab.prefix());
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Changed);
    let url = format!("https://{edge}/");
    assert!(up.said().contains(&format!("the landing page is {url}")), "{}", up.said());
    let status = lab.run(&["status"]).exits(0);
    assert!(status.stdout.contains(&format!("The landing page is {url}")));
    let services = Services::of(&lab);
    services.run_app(&app("/shop", 10_001, "Shop.example, www.shop.example"), 1);
    services.run_app(&app("/thief", 10_002, &edge), 2);
    serves_virtual_hosts(&edge);
    files::become_apps_and_a_bad_change_is_taken_back(&lab);
    let browser = Browser::start();
    let password = std::fs::read_to_string(lab.state().join("secrets/user-ann"));
    let password = password.expect("it is kept");
    let open = || browser.open(&format!("https://ann:{}@{edge}/", password.trim()));
    open();
    shows_what_runs(&browser, &edge, &format!("{}.13", lab.prefix()));
    is_kept_fresh(&browser, &services);
    open();
    is_used_by_keyboard(&browser);
    fits_every_screen(&browser);
    browser.has_logged_no_fault();
    lab.run(&["down", "--yes"]).exits(0);
    assert_eq!(lab.remains(), [""; 0]);
}

fn app(id: &str, port: u16, vhosts: &str) -> Value {
    json!({"id": id, "cmd": http_server("here"), "cpus": 0.1, "mem": 32, "instances": 1,
        "labels": {"HAPROXY_0_VHOST": vhosts},
        "portDefinitions": [{"port": port, "protocol": "tcp"}]})
}

/// What the edge answers to a request for this host.
fn ask(edge: &str, scheme: &str, host: &str) -> Option<Response> {
    let client = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        // HTTP/2 would send the host of the address beside this one.
        .http1_only()
        .tls_danger_accept_invalid_certs(true)
        .timeout(Duration::from_secs(5));
    let client = client.build().expect("a client");
    client.get(format!("{scheme}://{edge}/a?b")).header(HOST, host).send().ok()
}

fn serves_virtual_hosts(edge: &str) {
    for (scheme, host) in [
        ("http", "shop.example"),
        ("https", "SHOP.example:443"),
        ("http", "www.shop.example"),
    ] {
        until(&format!("{host} by {scheme}"), SERVED, || {
            let answer = ask(edge, scheme, host)?;
            (answer.text().ok()?.trim() == "here").then_some(())
        });
    }
    for host in ["other.example", edge, "shop.example.com"] {
        let page = ask(edge, "https", host).expect("an answer");
        assert_eq!(page.status().as_u16(), 401, "{host}");
        let plain = ask(edge, "http", host).expect("an answer");
        assert_eq!(plain.status().as_u16(), 307, "{host}");
        assert_eq!(plain.headers()[LOCATION], format!("https://{host}/a?b"));
    }
}

/// The words of the page.
fn words(browser: &Browser) -> String {
    let text = browser.run("return document.body.innerText");
    let text = text.as_str().expect("a text");
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn until_it_says(browser: &Browser, words_of_it: &str) {
    until(words_of_it, SERVED, || words(browser).contains(words_of_it).then_some(()));
}

fn shows_what_runs(browser: &Browser, edge: &str, worker: &str) {
    until_it_says(
        browser,
        &format!("/shop on {worker} 32 0.1 1 / 1 Running {edge}:10001"),
    );
    until_it_says(browser, "shop.example www.shop.example");
    until_it_says(browser, &format!("HAPROXY_0_VHOST may not be {edge}, which is"));
    for service in ["Mesos", "Marathon", "Chronos"] {
        until_it_says(browser, &format!("{service} leads on control-1"));
    }
    until_it_says(browser, &format!("{worker} Active"));
    until_it_says(browser, "rack: a");
    until_it_says(browser, "mesos-master leads");
    browser.picture("light");
}

/// Without another visit, and without losing what the user types.
fn is_kept_fresh(browser: &Browser, services: &Services<'_>) {
    browser.run("document.querySelector('input').focus(); window.stays = true");
    browser.press("sho");
    let shown = "return [...document.querySelectorAll('#apps tbody tr')]
        .filter((row) => !row.hidden).length";
    assert_eq!(browser.run(shown), 1);
    services.run_app(&app("/second-shop", 10_003, ""), 3);
    until("the row of the new app", SERVED, || (browser.run(shown) == 2).then_some(()));
    let kept = "return [window.stays, document.activeElement.value]";
    assert_eq!(browser.run(kept), json!([true, "sho"]));
}

/// Everything that can be used is reached by Tab, in the order of the page, and visibly.
fn is_used_by_keyboard(browser: &Browser) {
    let mut reached = Vec::new();
    for _ in 0..8 {
        browser.press(browser::TAB);
        let at = "const at = document.activeElement;
            const seen = getComputedStyle(at).outlineStyle !== 'none' && at.offsetWidth > 0;
            return [at.innerText || at.tagName, seen]";
        let at = browser.run(at);
        assert_eq!(at[1], true, "the focus is seen: {at}");
        reached.push(at[0].as_str().expect("a name").to_owned());
    }
    let start =
        ["Skip to the services", "Marathon", "Mesos", "Chronos", "Registry", "INPUT"];
    assert_eq!(reached[..6], start);
    assert!(reached[6].ends_with(":10001"), "{reached:?}");
    assert_eq!(reached[7], "shop.example");
}

fn fits_every_screen(browser: &Browser) {
    let colour = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(colour);
    browser.prefers_dark();
    assert_ne!(browser.run(colour), light);
    browser.picture("dark");
    for width in [320, 375, 760, 1280] {
        browser.is_wide(width);
        let overflow = "const page = document.documentElement;
            return page.scrollWidth - page.clientWidth";
        assert_eq!(browser.run(overflow), 0, "at {width} pixels");
        if width == 375 {
            browser.picture("phone");
        }
    }
}
