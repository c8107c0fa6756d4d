//! The command line: reads the arguments, calls a verb, returns an exit code.
//!
//! It only translates. What a verb does is in [`operate`](crate::operate); how a run is shown is
//! in [`report`](crate::report).

mod add_node;
mod app;
mod app_exec;
pub mod args;
mod ask;
mod audit;
mod certs;
mod client;
mod completions;
mod cost;
mod definition;
mod down;
mod error;
mod exec;
pub mod exit;
mod group;
mod image;
mod init;
mod job;
mod logs;
mod memory;
mod plan;
mod session;
mod ssh;
mod status;
mod up;
mod users;

use std::io::{self, Write};

use args::{Args, CertsVerb, ImageVerb, Verb};
use exit::Exit;

use crate::report::{visible, visible_json};

/// Runs what the command line asks for. Errors are printed on standard error.
pub fn run(args: Args) -> Exit {
    memory::keep_off_the_disk();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error::tell(&error, Exit::Failed),
    };
    runtime.block_on(verb(args))
}

async fn verb(Args { global, verb }: Args) -> Exit {
    match verb {
        Verb::Init(args) => init::run(&args),
        Verb::Plan(args) => plan::run(&args, &global).await,
        Verb::Cost(args) => cost::run(&args, &global),
        Verb::Up(args) => up::run(&args, &global).await,
        Verb::AddNode(args) => add_node::run(&args, &global).await,
        Verb::Status(args) => status::run(&args, &global).await,
        Verb::App(args) => app::run(&args.verb, &global).await,
        Verb::Group(args) => group::run(&args.verb, &global).await,
        Verb::Job(args) => job::run(&args.verb, &global).await,
        Verb::Users(args) => users::run(&args.verb, &global).await,
        Verb::Down(args) => down::run(&args, &global).await,
        Verb::Ssh(args) => ssh::run(&args, &global).await,
        Verb::Exec(args) => exec::run(&args, &global).await,
        Verb::Audit(args) => audit::run(&args, &global),
        Verb::Certs(args) => match args.verb {
            CertsVerb::Ls(args) => certs::ls(&args, &global),
            CertsVerb::Rotate(args) => certs::rotate(&args, &global).await,
        },
        Verb::Image(args) => match args.verb {
            ImageVerb::Build(args) => image::build(&args, &global).await,
            ImageVerb::Inspect(args) => image::inspect(&args, &global).await,
            ImageVerb::Ls(args) => image::ls(&args, &global).await,
            ImageVerb::Pin(args) => image::pin(&args).await,
            ImageVerb::Push(args) => image::push(&args, &global).await,
            ImageVerb::Recipes(args) => image::recipes(&args),
            ImageVerb::Search(args) => image::search(&args, &global).await,
        },
        Verb::Completions(args) => completions::run(&args),
    }
}

/// Prints a text that may contain text from hosts: no control character reaches the terminal.
fn print(text: &str) -> Exit {
    write(&visible(text))
}

fn write(text: &str) -> Exit {
    to_stdout(|out| out.write_all(text.as_bytes()))
}

/// Writes to standard output. If its reader stops early, that is not a failure.
fn to_stdout(fill: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) -> Exit {
    let mut out = io::stdout().lock();
    match fill(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            error::tell(&error, Exit::Failed)
        }
        _ => Exit::Done,
    }
}

/// Prints a document as JSON.
fn print_json(document: &serde_json::Value) -> Exit {
    write(&visible_json(&format!("{document:#}\n")))
}
