//! Which instance of a framework leads, told to HAProxy: its agent checks ask here for each server.
//!
//! Only Mesos' leading master knows for certain: a framework is active from one host. Chronos is not
//! asked itself: for many seconds after its leader died, its instances name one that does not
//! lead, and they answer requests with 500 meanwhile. While nobody leads, or no master says who does,
//! all servers are down, and HAProxy holds requests until one is up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use platform_daemon::journal::{chain, say};
use platform_daemon::settings::Login;
use serde::Deserialize;

use crate::follow::{Asked, FollowError};
use crate::http::Limit;
use crate::settings::Masters;

/// How often the masters are asked.
const PERIOD: Duration = Duration::from_millis(500);
const WHOLE_ANSWER: Duration = Duration::from_secs(3);
/// How long an answer is true. What takes the leading master away often takes the leader of a
/// framework too, which then answers with 500: after that nothing is said to lead.
const TRUE_FOR: Duration = Duration::from_secs(1);
/// HAProxy sends its question at once.
const QUESTION: Duration = Duration::from_secs(2);
const MAX_QUESTION: u64 = 256;
const GET_FRAMEWORKS: &str = r#"{"type":"GET_FRAMEWORKS"}"#;

/// What the leading master said last; `None` until one has answered.
#[derive(Debug, Clone, Default)]
struct Known(Arc<Mutex<Option<Said>>>);

/// An answer of the leading master.
#[derive(Debug)]
struct Said {
    /// When it answered.
    at: Instant,
    frameworks: Vec<Framework>,
}

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

/// Asks the masters for ever, each in a thread, and answers the agent checks of HAProxy, each in a
/// thread. A question is a line, `FRAMEWORK HOST`.
pub fn serve(listener: TcpListener, masters: Masters) {
    let known = Known::default();
    let login = Arc::new(masters.login);
    for master in masters.masters {
        let (login, known) = (Arc::clone(&login), known.clone());
        thread::spawn(move || watch(&master, &login, &known));
    }
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let known = known.clone();
            // HAProxy asks again soon after a question that was cut.
            thread::spawn(move || drop(answer(stream, &known)));
        }
    });
}

/// Asks one master for ever. None is asked through another: those that are left still name a leader
/// whose host is gone, and would have it waited for.
fn watch(master: &str, login: &Login, known: &Known) {
    let mut fails = false;
    loop {
        let answer = frameworks(master, login);
        if let (Err(error), false) = (&answer, fails) {
            let reason = chain(error);
            say(format_args!(
                "a master does not say which frameworks it knows: {reason}"
            ));
        }
        fails = answer.is_err();
        if let Ok(Some(frameworks)) = answer {
            *known.get() = Some(Said { at: Instant::now(), frameworks });
        }
        thread::park_timeout(PERIOD);
    }
}

/// The frameworks that a master knows; `None` if it does not lead.
fn frameworks(
    master: &str,
    login: &Login,
) -> Result<Option<Vec<Framework>>, FollowError> {
    let question = Asked {
        path: "/api/v1",
        json: Some(GET_FRAMEWORKS),
        accept: "application/json",
        limit: Limit::Whole(WHOLE_ANSWER),
        login: Some(login),
    };
    let Some(bytes) = question.of_leader_only(master)? else { return Ok(None) };
    let unreadable =
        |source| FollowError::NotMesos { address: master.to_owned(), source };
    let answer: Answer = serde_json::from_slice(&bytes).map_err(unreadable)?;
    Ok(Some(answer.get_frameworks.frameworks))
}

fn answer(mut stream: TcpStream, known: &Known) -> io::Result<()> {
    stream.set_read_timeout(Some(QUESTION))?;
    stream.set_write_timeout(Some(QUESTION))?;
    let mut question = String::new();
    BufReader::new((&stream).take(MAX_QUESTION)).read_line(&mut question)?;
    let said = known.get();
    let verdict = said.as_ref().map(|said| said.verdict(question.trim_end()));
    drop(said);
    match verdict {
        Some(Verdict::Up) => stream.write_all(b"up\n"),
        Some(Verdict::Down) => stream.write_all(b"down\n"),
        // No master has answered yet. Without an answer, HAProxy leaves the server as it is.
        None => Ok(()),
    }
}

impl Said {
    /// What HAProxy is told of a server. Nothing is left as it is: after a reload HAProxy has
    /// forgotten what it was told before. A new leading master hears of a framework from agents
    /// before its leader registers anew: until then nobody can say whether that one still leads.
    fn verdict(&self, question: &str) -> Verdict {
        let leads = question.split_once(' ').is_some_and(|(name, host)| {
            self.frameworks.iter().any(|it| it.leads(name, host))
        });
        match leads && self.at.elapsed() < TRUE_FOR {
            true => Verdict::Up,
            false => Verdict::Down,
        }
    }
}

impl Framework {
    fn leads(&self, name: &str, host: &str) -> bool {
        let is_it = self.info.name == name && self.info.hostname == host;
        is_it && self.active && self.connected && !self.recovered
    }
}

impl Known {
    fn get(&self) -> MutexGuard<'_, Option<Said>> {
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

    fn said(chronos: &str, at: Instant) -> Said {
        Said { at, frameworks: frameworks(chronos) }
    }

    const LEADS: &str = r#""active":true,"connected":true,"recovered":false"#;

    #[test]
    fn only_the_leader_is_up_and_while_nobody_is_known_to_lead_none_is() {
        let (up, down) = (Verdict::Up, Verdict::Down);
        let gone = r#""active":false,"connected":false,"recovered":false"#;
        let recovered = r#""active":false,"connected":false,"recovered":true"#;
        for (chronos, of_11) in [(LEADS, up), (gone, down), (recovered, down)] {
            let said = said(chronos, Instant::now());
            assert_eq!(said.verdict("chronos 10.0.0.11"), of_11, "{chronos}");
            assert_eq!(said.verdict("chronos 10.0.0.12"), down, "{chronos}");
            assert_eq!(said.verdict("marathon 10.0.0.12"), up);
            assert_eq!(said.verdict("other 10.0.0.12"), down);
            assert_eq!(said.verdict("chronos"), down);
        }
        let long_ago = Instant::now().checked_sub(TRUE_FOR).expect("the computer ran");
        assert_eq!(said(LEADS, long_ago).verdict("chronos 10.0.0.11"), down);
    }

    #[test]
    fn a_question_gets_no_answer_until_a_master_has_answered() {
        let known = Known::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ask = |expected: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"chronos 10.0.0.11\n").unwrap();
            answer(listener.accept().unwrap().0, &known).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            assert_eq!(said, expected);
        };
        ask("");
        *known.get() = Some(said(LEADS, Instant::now()));
        ask("up\n");
        let gone = r#""active":false,"connected":false,"recovered":false"#;
        *known.get() = Some(said(gone, Instant::now()));
        ask("down\n");
    }
}
