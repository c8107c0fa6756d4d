//! `platform app exec`: a command where a task runs.

use std::time::Duration;

use super::agents::{AgentError, Agents};
use super::logs::{Placed, running};
use crate::api::marathon::short_name;
use crate::event::{Event, count};
use crate::operate::RunContext;
use crate::operate::error::Error;
use crate::operate::target::Target;
use crate::remote::{Argv, As, Exec, Input, Output};

/// The longest that a command may run.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Goes to where a process is, as its user, and becomes the command there. The process is what runs
/// a task without Docker; its folder is that of the task's files.
const ENTER: &str = r#"pid=$1; shift
exec nsenter --target "$pid" --mount --root --wd \
  --setgid "$(stat -c %g "/proc/$pid")" --setuid "$(stat -c %u "/proc/$pid")" -- "$@""#;

/// What a command did in a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The id of the task.
    pub task: String,
    /// How the command ended, and what it wrote.
    pub output: Output,
}

/// Where a task runs on its host.
enum Place {
    /// In this container of Docker.
    Container(String),
    /// Where this process is.
    Process(u32),
}

/// Runs a command in a task of an app: in the one that is named, or in the first that runs. A
/// command that cannot be started ends with a status as in a shell.
///
/// # Errors
/// When there is no such task, or its agent or host does not answer.
pub async fn exec(
    target: &Target,
    id: &str,
    name: Option<&str>,
    (command, input): (&[String], Input),
    ctx: &RunContext<'_>,
) -> Result<Ran, Error> {
    let marathon = target.marathon()?;
    let agents = Agents::of(target, "where a task runs", ctx).await?;
    let app = marathon.app(id).await.map_err(|error| target.fails(error))?;
    let (task, n_running) = running(&app, name)?;
    if n_running > 1 {
        let (tasks, task) = (count(n_running, "task"), short_name(&task.id));
        let message = format!("{tasks} of {id} run; the command runs in {task}");
        ctx.events.emit(&Event::Warned { message });
    }
    let Placed { id: task, host } = task;
    let unknown = || AgentError::NotThere(short_name(&task));
    let found = agents.run_of((&task, &host)).await?;
    let (run, agent, remote) = found.ok_or_else(unknown)?;
    let process = agent.process_of(&run).await.map_err(AgentError::from)?;
    let place = match process {
        Some(process) => Place::Process(process),
        None => Place::Container(run.container),
    };
    let exec = Exec {
        purpose: format!("exec in {}", short_name(&task)),
        argv: argv(&place, command, !matches!(input, Input::Empty)),
        user: As::Root,
        input,
        on_line: None,
        deadline: DEADLINE,
    };
    let output = remote.exec(exec).await;
    let output = output.map_err(|error| Error::Unreachable(vec![error]))?;
    Ok(Ran { task, output })
}

/// The command for the host.
fn argv(place: &Place, command: &[String], has_input: bool) -> Argv {
    let words: Vec<String> = match place {
        Place::Container(container) => {
            let docker = ["docker", "exec"].map(str::to_owned);
            let input = has_input.then(|| "--interactive".to_owned());
            docker
                .into_iter()
                .chain(input)
                .chain([format!("mesos-{container}")])
                .collect()
        }
        Place::Process(process) => {
            let [sh, c, name] = ["sh", "-c", "sh"].map(str::to_owned);
            vec![sh, c, ENTER.to_owned(), name, process.to_string()]
        }
    };
    Argv::new(words.into_iter().chain(command.iter().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gets_its_words_unchanged_wherever_it_runs() {
        let command = ["printf", "it's $HOME", "--"].map(str::to_owned);
        let words = |place: &Place, input| argv(place, &command, input).words().to_vec();
        let container = Place::Container("f68f9cc4".to_owned());
        assert_eq!(
            words(&container, false),
            ["docker", "exec", "mesos-f68f9cc4", "printf", "it's $HOME", "--"]
        );
        assert_eq!(words(&container, true)[2..4], ["--interactive", "mesos-f68f9cc4"]);
        let process = words(&Place::Process(42), true);
        assert_eq!(process[..3], ["sh", "-c", ENTER]);
        assert_eq!(process[3..], ["sh", "42", "printf", "it's $HOME", "--"]);
    }
}
