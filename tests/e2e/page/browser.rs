//! Chromium without a window, driven as the WebDriver standard says.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::harness::until;

/// The key Tab.
pub(super) const TAB: &str = "\u{e004}";

/// A start on a busy computer takes seconds.
const START: Duration = Duration::from_secs(60);

/// A browser with one page. It ends when it is dropped.
pub(super) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        drop(listener);
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed: `apt-get install chromium-driver`");
        let mut browser = Self { driver, port, session: String::new() };
        until("chromedriver", START, || {
            let status = browser.try_ask(Method::GET, "status", None)?;
            (status["ready"] == true).then_some(())
        });
        // The page's certificate is signed by the cluster's authority, which it does not know. In a
        // container its sandbox cannot be had.
        let options = json!({"args": ["--headless=new", "--no-sandbox", "--no-proxy-server",
            "--disable-dev-shm-usage", "--window-size=1280,1000"]});
        let wish = json!({"browserName": "chrome", "acceptInsecureCerts": true,
            "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": options});
        let wish = json!({"capabilities": {"alwaysMatch": wish}});
        let made = browser.ask(Method::POST, "session", Some(&wish));
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    pub(super) fn open(&self, url: &str) {
        self.post("url", &json!({"url": url}));
    }

    /// Runs a script in the page, and returns its value.
    pub(super) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Presses these keys, one after the other.
    pub(super) fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|act| json!({"type": act, "value": key}))
        });
        let strokes: Vec<Value> = strokes.collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.post("actions", &json!({"actions": [keyboard]}));
    }

    /// Keeps a picture of the whole page.
    pub(super) fn picture(&self, name: &str) {
        let shot =
            self.order("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        let png = STANDARD.decode(shot["data"].as_str().expect("a picture"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("page-{name}.png"));
        std::fs::write(path, png.expect("base64")).expect("the folder takes files");
    }

    pub(super) fn prefers_dark(&self) {
        let dark = json!({"name": "prefers-color-scheme", "value": "dark"});
        self.order("Emulation.setEmulatedMedia", &json!({"features": [dark]}));
    }

    /// Takes a screen of this width.
    pub(super) fn is_wide(&self, width: u32) {
        let screen = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700});
        self.order("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// Neither a script failed, nor was anything refused by the page's policy.
    pub(super) fn has_logged_no_fault(&self) {
        let log = self.post("se/log", &json!({"type": "browser"}));
        let entries = log.as_array().expect("a list").iter();
        let faults: Vec<&Value> =
            entries.filter(|entry| entry["level"] == "SEVERE").collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// Orders what only Chromium has.
    fn order(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let path = format!("session/{}/{path}", self.session);
        self.ask(Method::POST, &path, Some(body))
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let answer = self.try_ask(method, path, body).expect("chromedriver answers");
        assert!(answer["error"].is_null(), "{path}: {answer:#}");
        answer
    }

    fn try_ask(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Value> {
        let client =
            Client::builder().no_proxy().timeout(START).build().expect("a client");
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let request = client.request(method, url);
        let request = body.iter().fold(request, |request, body| request.json(body));
        let answer: Value = request.send().ok()?.json().ok()?;
        Some(answer["value"].clone())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let path = format!("session/{}", self.session);
            self.try_ask(Method::DELETE, &path, None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
