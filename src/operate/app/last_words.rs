//! What the task of an app that failed last wrote to standard error before it ended.

use serde::Serialize;

use super::agents::Agents;
use super::logs::{LogFile, Placed, last_failed, last_lines};
use crate::api::marathon::{App, short_name};
use crate::event::in_words;
use crate::operate::RunContext;
use crate::operate::error::Error;
use crate::operate::target::{Target, TargetError};

/// The number of lines that are shown.
const LINES: usize = 10;

/// The end of what a failed task wrote to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastWords {
    /// The id of the task.
    pub task: String,
    /// The lines, or why they are not known.
    pub stderr: Stderr,
}

/// What is known of a standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stderr {
    /// Its last lines.
    Lines(Vec<String>),
    /// It cannot be read.
    Unreadable(String),
    /// No inventory says how to reach the agents.
    NoInventory,
}

impl LastWords {
    /// Those of the task that failed last; `None` if none has failed.
    pub(super) async fn of(
        app: &App,
        target: &Target,
        ctx: &RunContext<'_>,
    ) -> Option<Self> {
        let task = last_failed(app)?;
        let stderr = match read(&task, target, ctx).await {
            Ok(lines) => Stderr::Lines(lines),
            Err(Error::Target(TargetError::NoInventory(_))) => Stderr::NoInventory,
            Err(error) => Stderr::Unreadable(in_words(&error)),
        };
        Some(Self { task: task.id, stderr })
    }

    /// As lines.
    pub(super) fn show(&self, app: &str) -> String {
        let name = short_name(&self.task);
        match &self.stderr {
            Stderr::Lines(lines) if lines.is_empty() => {
                format!("{app}: task {name} wrote nothing to standard error\n")
            }
            Stderr::Lines(lines) => {
                let lines: String =
                    lines.iter().map(|line| format!("  {line}\n")).collect();
                format!("{app}: task {name} wrote last to standard error:\n{lines}")
            }
            Stderr::Unreadable(why) => {
                format!("{app}: what task {name} wrote cannot be read: {why}\n")
            }
            Stderr::NoInventory => format!(
                "{app}: `platform app logs {app} --stderr --task {name} -i INVENTORY` shows what it \
                 wrote\n"
            ),
        }
    }
}

async fn read(
    task: &Placed,
    target: &Target,
    ctx: &RunContext<'_>,
) -> Result<Vec<String>, Error> {
    let agents = Agents::of(target, "what the task wrote", ctx).await?;
    last_lines(&agents, task, LogFile::Stderr, LINES).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_wrote_is_shown_or_how_to_see_it() {
        let show = |stderr| {
            let task =
                "web.instance-c08b32c5-ec07-11f1-b99a-26ba1e2ad6e9._app.1".to_owned();
            LastWords { task, stderr }.show("/web")
        };
        let lines = ["no such file", "giving up"].map(str::to_owned).to_vec();
        assert_eq!(
            show(Stderr::Lines(lines)),
            "/web: task c08b32c5.1 wrote last to standard error:\n  no such file\n  giving up\n"
        );
        let nothing = show(Stderr::Lines(Vec::new()));
        assert_eq!(nothing, "/web: task c08b32c5.1 wrote nothing to standard error\n");
        let how = show(Stderr::NoInventory);
        let command = "`platform app logs /web --stderr --task c08b32c5.1 -i INVENTORY`";
        assert!(how.contains(command), "{how}");
        let why = show(Stderr::Unreadable("cannot reach w1".to_owned()));
        assert!(why.ends_with("cannot be read: cannot reach w1\n"), "{why}");
    }
}
