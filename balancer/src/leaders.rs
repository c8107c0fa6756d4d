//! Which instance of a framework leads, told to HAProxy: its agent checks ask here for each server.
//!
//! Only Mesos' leading master knows for certain: a framework is active from one host. Chronos is not
//! asked itself: for many seconds after its leader died, its instances name one that does not
//! lead, and they answer requests with 500 meanwhile. While nobody leads, all servers are down, and
//! HAProxy holds requests until one is up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use platform_daemon::journal::{chain, say};
use serde::Deserialize;

use crate::follow::{Asked, FollowError};
use crate::http::Limit;
use crate::settings::Masters;

/// How often the masters are asked.
const PERIOD: Duration = Duration::from_millis(500);
const WHOLE_ANSWER: Duration = Duration::from_secs(3);
/// HAProxy sends its question at once.
const QUESTION: Duration = Duration::from_secs(2);
const MAX_QUESTION: u64 = 256;
const GET_FRAMEWORKS: &str = r#"{"type":"GET_FRAMEWORKS"}"#;

/// The frameworks that the leading master knows; `None` while there is none or it does not answer.
#[derive(Debug, Clone, Default)]
struct Known(Arc<Mutex<Option<Vec<Framework>>>>);

/// A framework.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Framework {
    #[serde(rename = "framework_info")]
    info: FrameworkInfo,
    active: bool,
    connected: bool,
    /// Whether this master has heard of it only from agents yet.
    recovered: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct FrameworkInfo {
    name: String,
    #[serde(default)]
    hostname: String,
}

#[derive(Deserialize)]
struct Answer {
    get_frameworks: Frameworks,
}

#[derive(Deserialize)]
struct Frameworks {
    #[serde(default)]
    frameworks: Vec<Framework>,
}

/// What an agent check is told of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Up,
    Down,
}

/// Asks the masters for ever, and answers the agent checks of HAProxy, each in a thread. A question
/// is a line, `FRAMEWORK HOST`.
pub fn serve(listener: TcpListener, masters: Masters) {
    let known = Known::default();
    let answers = known.clone();
    thread::spawn(move || watch(&masters, &answers));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let known = known.clone();
            // HAProxy asks again soon after a question that was cut.
            thread::spawn(move || drop(answer(stream, &known)));
        }
    });
}

fn watch(masters: &Masters, known: &Known) {
    let mut failure = None;
    loop {
        let answer = frameworks(masters).map_err(|error| chain(&error));
        let reason = answer.as_ref().err().cloned();
        if let Some(reason) = reason.as_ref().filter(|_| reason != failure) {
            say(format_args!("it is not known which frameworks are active: {reason}"));
        }
        failure = reason;
        *known.get() = answer.ok();
        thread::park_timeout(PERIOD);
    }
}

/// The frameworks of the leading master, which each master names.
fn frameworks(masters: &Masters) -> Result<Vec<Framework>, FollowError> {
    let question = Asked {
        path: "/api/v1",
        json: Some(GET_FRAMEWORKS),
        accept: "application/json",
        limit: Limit::Whole(WHOLE_ANSWER),
        login: Some(&masters.login),
    };
    let (_, answer) =
        masters.ask(question, |text| serde_json::from_slice::<Answer>(text))?;
    Ok(answer.get_frameworks.frameworks)
}

fn answer(mut stream: TcpStream, known: &Known) -> io::Result<()> {
    stream.set_read_timeout(Some(QUESTION))?;
    stream.set_write_timeout(Some(QUESTION))?;
    let mut question = String::new();
    BufReader::new((&stream).take(MAX_QUESTION)).read_line(&mut question)?;
    let verdict =
        known.get().as_deref().and_then(|all| verdict(all, question.trim_end()));
    match verdict {
        Some(Verdict::Up) => stream.write_all(b"up\n"),
        Some(Verdict::Down) => stream.write_all(b"down\n"),
        // Without an answer, HAProxy leaves the server as it is.
        None => Ok(()),
    }
}

/// What is certain about a server; `None` if nothing is. A new leading master hears of a framework
/// from agents before its leader registers anew: that leader may serve all the time.
fn verdict(frameworks: &[Framework], question: &str) -> Option<Verdict> {
    let (name, host) = question.split_once(' ')?;
    let mut named = frameworks
        .iter()
        .filter(|it| it.info.name == name && !it.recovered)
        .map(|it| it.active && it.connected && it.info.hostname == host)
        .peekable();
    named.peek()?;
    Some(if named.any(|leads| leads) { Verdict::Up } else { Verdict::Down })
}

impl Known {
    fn get(&self) -> MutexGuard<'_, Option<Vec<Framework>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a real Mesos 1.11 answers, shortened.
    fn frameworks(chronos: &str) -> Vec<Framework> {
        let text = format!(
            r#"{{"type":"GET_FRAMEWORKS","get_frameworks":{{"frameworks":[
                {{"framework_info":{{"name":"marathon","hostname":"10.0.0.12"}},
                  "active":true,"connected":true,"recovered":false}},
                {{"framework_info":{{"name":"chronos","hostname":"10.0.0.11"}},{chronos}}}],
                "completed_frameworks":[]}}}}"#
        );
        let answer: Answer = serde_json::from_str(&text).unwrap();
        answer.get_frameworks.frameworks
    }

    #[test]
    fn only_the_leader_is_up_and_nothing_is_said_that_is_not_certain() {
        let (up, down) = (Some(Verdict::Up), Some(Verdict::Down));
        let leads = r#""active":true,"connected":true,"recovered":false"#;
        let gone = r#""active":false,"connected":false,"recovered":false"#;
        let recovered = r#""active":false,"connected":false,"recovered":true"#;
        for (chronos, of_11, of_12) in
            [(leads, up, down), (gone, down, down), (recovered, None, None)]
        {
            let all = frameworks(chronos);
            assert_eq!(verdict(&all, "chronos 10.0.0.11"), of_11, "{chronos}");
            assert_eq!(verdict(&all, "chronos 10.0.0.12"), of_12, "{chronos}");
            assert_eq!(verdict(&all, "marathon 10.0.0.12"), up);
            assert_eq!(verdict(&all, "other 10.0.0.12"), None);
        }
        assert_eq!(verdict(&frameworks(leads), "chronos"), None);
    }

    #[test]
    fn a_question_is_answered_and_one_without_a_certain_answer_gets_none() {
        let known = Known::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ask = |expected: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"marathon 10.0.0.12\n").unwrap();
            answer(listener.accept().unwrap().0, &known).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            assert_eq!(said, expected);
        };
        ask("");
        *known.get() =
            Some(frameworks(r#""active":true,"connected":true,"recovered":false"#));
        ask("up\n");
    }
}
