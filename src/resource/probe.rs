//! The script that asks a host all questions, and the reading of its answers.

use serde::Deserialize;

use super::apply::LOCK;
pub use super::questions::Questions;
use super::{
    Engine, Facts, Owned, boot, engine, file, firewall, image, manifest, package, sysctl,
    system, tree, unit, user,
};

/// The status of `flock` if another process holds the lock: no other failure has this number.
const HELD: u8 = 99;

/// Why a host's answers cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadAnswer {
    /// The last line is missing: the script was cut off.
    #[error("the host's answer to the probe was cut off after {n_lines} lines")]
    CutOff {
        /// How many lines came.
        n_lines: usize,
    },
    /// The script of an earlier run still changes the host, which does not answer until it ends.
    #[error("the host still executes the script of an earlier run")]
    Busy,
    /// A line that does not answer any question.
    #[error("the host answered the probe with a line that cannot be understood: `{0}`")]
    Senseless(String),
}

impl Questions {
    /// The script that asks the questions once no other script changes the host: the script of a
    /// run that was cut off may still run there. If that takes longer than so many seconds, the
    /// answer is [`BadAnswer::Busy`].
    pub fn script_when_free(&self, seconds: u64) -> String {
        format!(
            r#"if [ -s {LOCK} ]; then
  flock -s -w {seconds} -E {HELD} 9 2>/dev/null 9<{LOCK}
  if [ $? = {HELD} ]; then
    printf '{{"q":"busy"}}\n'
    exit
  fi
fi
{}"#,
            self.script()
        )
    }

    /// The script that asks the questions. It only reads, and its last line marks its end. Docker's
    /// two slow questions run in parallel with the others. The script waits for them before any
    /// line that may be too long for a pipe to write in one piece.
    pub fn script(&self) -> String {
        let mut script = String::from("export LC_ALL=C\n");
        script.push_str(engine::HERE);
        script.push_str(system::SCRIPT);
        let aside = |script: &str| format!("{{\n{script}}} </dev/null &\n");
        let images = image::script(self);
        let docker = self.docker || images.is_some();
        let parts = [
            docker.then(|| aside(engine::SCRIPT)),
            images.map(|images| aside(&images)),
            self.answering.map(|address| aside(&system::answering(address))),
            package::script(self),
            user::script(self),
            unit::script(self),
            sysctl::script(self),
            self.ports.then(|| system::PORTS.to_owned()),
            boot::script(self),
            self.firewall.then(|| firewall::PROBE.to_owned()),
            Some("wait\n".to_owned()),
            Some(file::script(self)),
        ];
        script.extend(parts.into_iter().flatten());
        script.push_str(&tree::script());
        script.push_str(&manifest::script());
        script.push_str("printf '{\"q\":\"end\"}\\n'\n");
        script
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "q", rename_all = "snake_case")]
enum Line {
    System(system::SystemLine),
    Generation(system::GenerationLine),
    BootId(system::BootIdLine),
    Address(system::AddressLine),
    Answering(system::AddressLine),
    Address6(system::Address6Line),
    Manager(system::ManagerLine),
    Port(system::PortLine),
    Docker(Engine),
    Package(package::PackageLine),
    PackageAsked(package::PackageAskedLine),
    Command(package::CommandLine),
    User(user::UserLine),
    Missing(file::MissingLine),
    Path(file::PathLine),
    Sha256(file::HashLine),
    Text(file::TextLine),
    Uptime(unit::UptimeLine),
    Unit(unit::UnitLine),
    Started(unit::StartedLine),
    Image(image::ImageLine),
    Sysctl(sysctl::SysctlLine),
    Boot(boot::BootLine),
    Firewall(firewall::FirewallLine),
    Runs(tree::RunsLine),
    Ours(Owned),
    Busy,
    End,
}

/// Reads a host's answers. `now` is this computer's clock half-way between question and
/// answer, in seconds since 1970.
///
/// # Errors
/// When the answer was cut off, or has a line that cannot be understood.
pub fn parse(answer: &str, now: f64) -> Result<Facts, BadAnswer> {
    let mut facts = Facts::default();
    let mut unit = unit::UnitReader::default();
    let mut ended = false;
    // Docker's client ends its answer with an empty line if it has no image.
    for text in answer.lines().filter(|line| !line.is_empty()) {
        let senseless = || BadAnswer::Senseless(text.to_owned());
        let line: Line = serde_json::from_str(text).map_err(|_| senseless())?;
        let taken = match line {
            Line::Path(line) => line.add_to(&mut facts, now),
            Line::Uptime(line) => unit.note_uptime(&line),
            Line::Unit(line) => unit.take(line, &mut facts),
            Line::Busy => return Err(BadAnswer::Busy),
            Line::End => {
                ended = true;
                Some(())
            }
            line => line.add_to(&mut facts),
        };
        taken.ok_or_else(senseless)?;
    }
    if ended {
        Ok(facts)
    } else {
        Err(BadAnswer::CutOff { n_lines: answer.lines().count() })
    }
}

impl Line {
    /// Adds a line that is complete by itself to the facts.
    fn add_to(self, facts: &mut Facts) -> Option<()> {
        match self {
            Self::System(line) => line.add_to(facts),
            Self::Generation(line) => line.add_to(facts),
            Self::BootId(line) => line.add_to(facts),
            Self::Address(line) => line.add_to(facts),
            Self::Answering(line) => line.add_answering_to(facts),
            Self::Address6(line) => line.add_to(facts),
            Self::Manager(line) => line.add_to(facts),
            Self::Port(line) => line.add_to(facts),
            Self::Docker(line) => line.add_to(facts),
            Self::Package(line) => line.add_to(facts),
            Self::PackageAsked(line) => line.add_to(facts),
            Self::Command(line) => line.add_to(facts),
            Self::User(line) => line.add_to(facts),
            Self::Missing(line) => line.add_to(facts),
            Self::Sha256(line) => line.add_to(facts),
            Self::Text(line) => line.add_to(facts),
            Self::Started(line) => line.add_to(facts),
            Self::Image(line) => line.add_to(facts),
            Self::Sysctl(line) => line.add_to(facts),
            Self::Boot(line) => line.add_to(facts),
            Self::Firewall(line) => line.add_to(facts),
            Self::Runs(line) => line.add_to(facts),
            Self::Ours(owned) => {
                facts.manifest.add(owned);
                Some(())
            }
            Self::Path(_) | Self::Uptime(_) | Self::Unit(_) | Self::Busy | Self::End => {
                None
            }
        }
    }
}
