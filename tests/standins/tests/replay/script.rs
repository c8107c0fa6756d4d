//! Plays what happened to a real Marathon or Chronos while it was recorded, line by line.

use jiff::Timestamp;
use serde_json::Value;
use standins::framework::node::Service;
use standins::framework::options;
use standins::framework::setup::World as Around;

use super::known::{self, Known};
use super::recording;
use super::world::{Found, World};

/// Plays a script against a stand-in at a port, and insists that it answers as recorded in the file
/// but for what is known. The first word of a line of the script says what happens:
///
/// - `start FLAGS`: another stand-in, with nothing around it; `restart`: the same as a new process.
/// - `ask NAME…`: what was recorded is asked, and compared; `slowly SECONDS NAME…`: with so much
///   time before each, but for what was asked at once.
/// - `say METHOD PATH BODY`: it is asked for something else; `job BODY`: it is given a job of
///   Chronos, which shows then.
/// - `call RECORDED PATH POINTER`: a recorded name is the one here that a path shows.
/// - `task RECORDED INDEX`: a recorded instance is that of the task launched so many before.
/// - `later SECONDS`: time passes; `offer`: the master offers; `run`: and what is launched runs.
/// - `end WORD STATE UPDATE`: running tasks whose ids contain a word end, `end-first` the oldest;
///   `tell WORD STATE UPDATE`: they go on; `killed`: those end that are to be killed.
/// - `ended`: the stand-in has ended itself; any other word is its own.
pub(crate) async fn check<S: Service>(
    (file, script): (&str, &str),
    port: u16,
    own: fn(&mut S::Core, Timestamp, &str),
    known: &[Known],
) {
    let service = |flags: &str| {
        let at = "--master zk://127.0.0.1:1/mesos --hostname 127.0.0.1";
        let words = options::words(&format!("{at} --http_port {port} {flags}"));
        let options = options::parse(S::TABLE, &words).unwrap();
        let around = Around { hostname: "h", http_credentials: None, read: &|_| None };
        S::read(&options, &around).unwrap()
    };
    let mut found = Found::new();
    let mut flags = String::new();
    let mut world = World::start(file, service("")).await;
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "start" => {
                rest.clone_into(&mut flags);
                found.extend(std::mem::take(&mut world.found));
                world = World::start(file, service(rest)).await;
            }
            "restart" => world.restart(service(&flags)).await,
            _ => {
                if step(&mut world, word, rest).await.is_none() {
                    world.leader.change(|core, now| own(core, now, line)).await;
                }
            }
        }
    }
    found.extend(world.found);
    let recorded = recording::read(file);
    known::check(recorded.iter().map(|recording| &recording.name), &found, known);
}

async fn step<C: standins::framework::leader::Core>(
    world: &mut World<C>,
    word: &str,
    rest: &str,
) -> Option<()> {
    let words: Vec<&str> = rest.split(' ').collect();
    let json = |from: usize| -> Value {
        let text = words.get(from..).unwrap_or_default().join(" ");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    };
    match word {
        "ask" => world.replay(&words).await,
        "slowly" => world.replay_slowly(words[0].parse().ok()?, &words[1..]).await,
        "say" => drop(world.say(words[0], words[1], &json(2)).await),
        "job" => {
            let job = json(0);
            let kind =
                if job.get("parents").is_some() { "dependency" } else { "iso8601" };
            world.say("POST", &format!("/v1/scheduler/{kind}"), &job).await;
            world.later(1.0).await;
        }
        "call" => {
            let shown = world.say("GET", words[1], &Value::Null).await;
            world.name(words[0], shown.pointer(words[2])?.as_str()?);
        }
        "task" => {
            let id = world.tasks.iter().rev().nth(words[1].parse().ok()?)?.id.clone();
            world.name(words[0], id.split_once("instance-")?.1.split('.').next()?);
        }
        "later" => world.later(rest.parse().ok()?).await,
        "offer" => world.offer().await,
        "run" => world.run().await,
        "killed" => world.end_killed().await,
        "ended" => drop(world.ended.take()?),
        "end" | "end-first" | "tell" => {
            let mut those = world.in_state("TASK_RUNNING");
            those.retain(|id| id.contains(words[0]));
            those.truncate(if word == "end-first" { 1 } else { usize::MAX });
            let update = Some(json(2)).filter(|update| !update.is_null());
            for task in those {
                let update = update.clone().unwrap_or_else(|| serde_json::json!({}));
                world.tell(&task, words[1], update).await;
            }
        }
        _ => return None,
    }
    Some(())
}
