//! `platform app logs`: what the tasks of an app write, now and as it comes.
//!
//! Marathon names the tasks and their agents, an agent names a task's folder and gives its files.
//! No agent can be waited for, so each file is asked for again after a pause, and read up to its
//! end before the next one.

mod lines;
mod tasks;

use std::collections::BTreeSet;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::sleep;

use self::lines::Lines;
use self::tasks::{Fate, fate, live, meant};
use super::agents::{AgentError, Agents};
use crate::api::http::{ApiError, Reason};
use crate::api::marathon::{App, Marathon, short_name};
use crate::api::mesos::{Begin, Found, Reader};
use crate::event::{Event, in_words};
use crate::operate::RunContext;
use crate::operate::error::Error;
use crate::operate::target::Target;

pub use tasks::NoTask;
pub(super) use tasks::{Placed, last_failed, running};

/// The pause before a file is asked for again.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause before Marathon is asked again which tasks there are.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// What an agent is needed for, in an error.
const WHAT: &str = "what tasks write";

/// One of the two files that a task writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFile {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// What is wanted of the tasks of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Only the tasks with this name, which may be a beginning of it.
    pub task: Option<String>,
    /// Which file.
    pub file: LogFile,
    /// How many lines of what is there.
    pub lines: usize,
    /// Go on with what comes.
    pub follow: bool,
}

/// A line that a task wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The id of the task.
    pub task: &'a str,
    /// Its short name, where lines of other tasks may come between.
    pub name: Option<&'a str>,
    /// The line without its end; it may be no UTF-8.
    pub text: &'a [u8],
}

/// Takes each line.
pub type Print<'a> = &'a (dyn Fn(Line<'_>) -> io::Result<()> + Sync);

/// Prints what tasks of an app have written, and perhaps what they write from now on, until they
/// have ended, the app is removed, or the operator stops it. Warns of what cannot be read.
///
/// # Errors
/// When Marathon or an agent does not answer, there is no such task, or a line cannot be printed.
/// While it follows, it goes on in spite of an agent that does not answer.
pub async fn logs(
    target: &Target,
    id: &str,
    wanted: &Wanted,
    print: Print<'_>,
    ctx: &RunContext<'_>,
) -> Result<(), Error> {
    let marathon = target.marathon()?;
    let agents = Agents::of(target, WHAT, ctx).await?;
    let app = marathon.app(id).await.map_err(|error| target.fails(error))?;
    let tasks = match wanted.follow && wanted.task.is_none() {
        true => live(&app),
        false => meant(&app, wanted.task.as_deref())?,
    };
    let has_names = tasks.len() > 1 || (app.instances > 1 && wanted.task.is_none());
    let logs = Logs { agents: &agents, wanted, has_names, print, ctx };
    match wanted.follow {
        true => logs.follow(&marathon, target, app, tasks).await,
        false => logs.once(&app, &tasks).await,
    }
}

/// The last lines that a task wrote to a file.
///
/// # Errors
/// When its agent does not answer, or does not have the file any more.
pub(super) async fn last_lines(
    agents: &Agents<'_>,
    task: &Placed,
    file: LogFile,
    lines: usize,
) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    let take = |line: &[u8]| {
        found.push(String::from_utf8_lossy(line).into_owned());
        Ok(())
    };
    read(agents, task, (file, lines), take).await?;
    Ok(found)
}

/// Reads the last lines of a file of a task.
async fn read(
    agents: &Agents<'_>,
    task: &Placed,
    (file, n_lines): (LogFile, usize),
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let absent = || AgentError::NoFile { task: short_name(&task.id), file: file.name() };
    let found = agents.run_of((&task.id, &task.host)).await?;
    let (run, agent, _) = found.ok_or_else(absent)?;
    let mut reader = Reader::new(agent, &run, file.name(), Begin::Last(n_lines));
    let mut lines = Lines::default();
    loop {
        match reader.next().await.map_err(AgentError::from)? {
            Found::Bytes(piece) => lines.add(&piece, &mut take)?,
            Found::NoFile => return Err(absent().into()),
            Found::Nothing => break,
            Found::Shorter | Found::LeftOut(_) => {}
        }
        if reader.is_at_end() {
            break;
        }
    }
    lines.end(take)
}

impl LogFile {
    /// Its name in the folder of a task.
    const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The work of one call.
struct Logs<'a> {
    agents: &'a Agents<'a>,
    wanted: &'a Wanted,
    /// Whether lines have the names of their tasks.
    has_names: bool,
    print: Print<'a>,
    ctx: &'a RunContext<'a>,
}

/// A task that is followed.
struct Followed<'a> {
    task: Placed,
    begin: Begin,
    /// `None` before its agent knows it.
    reader: Option<Reader>,
    lines: Lines,
    trouble: Trouble<'a>,
}

impl Logs<'_> {
    /// One task after the other. What cannot be read of one does not hide the others.
    async fn once(&self, app: &App, tasks: &[Placed]) -> Result<(), Error> {
        let mut done = Ok(());
        for task in tasks {
            let take = |line: &[u8]| self.print(task, line);
            let (file, lines) = (self.wanted.file, self.wanted.lines);
            match read(self.agents, task, (file, lines), take).await {
                Err(Error::Print(why)) => return Err(Error::Print(why)),
                read => done = done.and(read),
            }
            if let Fate::Ended(why) = fate(Some(app), &task.id) {
                self.warn(format!("task {} has ended: {why}", short_name(&task.id)));
            }
        }
        done
    }

    /// All tasks at once, and those that begin meanwhile, unless one was named.
    async fn follow(
        &self,
        marathon: &Marathon,
        target: &Target,
        app: App,
        tasks: Vec<Placed>,
    ) -> Result<(), Error> {
        if tasks.is_empty() {
            self.warn(format!("no task of {} runs; waiting until one does", app.id));
        }
        let id = app.id.clone();
        let mut begun: BTreeSet<String> =
            tasks.iter().map(|task| task.id.clone()).collect();
        let (tell, mut known) = watch::channel(Some(app));
        let follow = |task, begin| self.follow_one(task, begin, tell.subscribe());
        let last = Begin::Last(self.wanted.lines);
        let first = tasks.into_iter().map(|task| follow(task, last));
        let mut readers: FuturesUnordered<_> = first.collect();
        let mut looking = pin!(self.look((marathon, target), &id, &tell));
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let (mut comes_more, mut is_removed) = (self.wanted.task.is_none(), false);
        while comes_more || !readers.is_empty() {
            tokio::select! {
                // Without this, Ctrl-C would end the program in the middle of a line.
                _ = &mut interrupted => return Ok(()),
                looked = &mut looking, if !is_removed => {
                    looked?;
                    // What its tasks wrote last is still read.
                    (comes_more, is_removed) = (false, true);
                }
                Some(ended) = readers.next() => ended?,
                Ok(()) = known.changed() => {
                    let tasks = known.borrow_and_update().as_ref().map(live);
                    for task in tasks.into_iter().flatten().filter(|_| comes_more) {
                        if begun.insert(task.id.clone()) {
                            readers.push(follow(task, Begin::Start));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks Marathon again and again, until the app is removed.
    async fn look(
        &self,
        (marathon, target): (&Marathon, &Target),
        id: &str,
        tell: &watch::Sender<Option<App>>,
    ) -> Result<(), Error> {
        let mut trouble = Trouble::new(self.ctx);
        loop {
            sleep(LOOK_AGAIN).await;
            match marathon.app(id).await {
                Ok(app) => {
                    trouble.is_over();
                    tell.send_replace(Some(app));
                }
                Err(ApiError { reason: Reason::NotFound(_), .. }) => {
                    tell.send_replace(None);
                    return Ok(());
                }
                Err(error) if error.is_transient() => trouble.is(in_words(&error)),
                Err(error) => return Err(target.fails(error)),
            }
        }
    }

    /// Follows a task until it has ended and all that it wrote is printed.
    async fn follow_one(
        &self,
        task: Placed,
        begin: Begin,
        known: watch::Receiver<Option<App>>,
    ) -> Result<(), Error> {
        let trouble = Trouble::new(self.ctx);
        let lines = Lines::default();
        let mut followed = Followed { task, begin, reader: None, lines, trouble };
        let name = short_name(&followed.task.id);
        loop {
            // In this order: what a task wrote before it ended is read.
            let fate = fate(known.borrow().as_ref(), &followed.task.id);
            match self.read_on(&mut followed).await {
                Ok(()) => followed.trouble.is_over(),
                Err(Error::Print(why)) => return Err(Error::Print(why)),
                Err(error) => {
                    followed.trouble.is(format!("task {name}: {}", in_words(&error)));
                }
            }
            if let Fate::Ended(why) = fate {
                let Followed { task, lines, .. } = &mut followed;
                lines.end(|line| self.print(task, line))?;
                self.warn(format!("task {name} has ended: {why}"));
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Prints all that is there.
    async fn read_on(&self, followed: &mut Followed<'_>) -> Result<(), Error> {
        let Followed { task, begin, reader, lines, .. } = followed;
        let reader = match reader {
            Some(reader) => reader,
            None => {
                let found = self.agents.run_of((&task.id, &task.host)).await?;
                let Some((run, agent, _)) = found else { return Ok(()) };
                reader.insert(Reader::new(agent, &run, self.wanted.file.name(), *begin))
            }
        };
        let (name, file) = (short_name(&task.id), self.wanted.file.name());
        let take = |line: &[u8]| self.print(task, line);
        loop {
            match reader.next().await.map_err(AgentError::from)? {
                Found::Bytes(piece) => lines.add(&piece, take)?,
                Found::Nothing | Found::NoFile => return Ok(()),
                Found::Shorter => {
                    lines.end(take)?;
                    self.warn(format!(
                        "{file} of task {name} is shorter than before: it was rotated or emptied, and \
                         is read from its start"
                    ));
                }
                Found::LeftOut(bytes) => {
                    lines.end(take)?;
                    self.warn(format!(
                        "task {name} writes faster than {file} can be read: {} MiB are left out",
                        bytes >> 20
                    ));
                }
            }
        }
    }

    fn print(&self, task: &Placed, text: &[u8]) -> Result<(), Error> {
        let name = self.has_names.then(|| short_name(&task.id));
        let line = Line { task: &task.id, name: name.as_deref(), text };
        (self.print)(line).map_err(Error::Print)
    }

    fn warn(&self, message: String) {
        self.ctx.events.emit(&Event::Warned { message });
    }
}

/// Something that is tried again. It is told once for as long as it stays the same.
struct Trouble<'a> {
    ctx: &'a RunContext<'a>,
    told: String,
}

impl<'a> Trouble<'a> {
    fn new(ctx: &'a RunContext<'a>) -> Self {
        Self { ctx, told: String::new() }
    }

    fn is(&mut self, what: String) {
        if self.told != what {
            let message = format!("{what}; trying again");
            self.ctx.events.emit(&Event::Warned { message });
            self.told = what;
        }
    }

    fn is_over(&mut self) {
        self.told.clear();
    }
}
