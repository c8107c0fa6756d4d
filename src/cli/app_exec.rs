//! `platform app exec`

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use super::args::{AppExec, Global, OneApp, Output};
use super::exit::Exit;
use super::{client, error, print_json, to_stdout};
use crate::operate::app::{self, Ran};
use crate::remote::Input;

/// Ends the program with the status of the command. It does so itself: a read of standard input that
/// nobody answers any more would keep the program from ending.
pub(super) async fn run(args: &AppExec, global: &Global) -> Exit {
    let OneApp { id, target } = &args.app;
    let (target, ctx) = match client::open(target, global).await {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let input = match input() {
        Ok(input) => input,
        Err(why) => return error::tell(&why, Exit::Failed),
    };
    let (task, command) = (args.task.as_deref(), (args.command.as_slice(), input));
    let ran = app::exec(&target, id, task, command, &ctx).await;
    // The display is cleared before anything else is printed.
    drop(ctx);
    let status = match ran {
        Ok(ran) => pass_on(&ran, global.output),
        Err(why) => i32::from(error::report(&why).code()),
    };
    std::process::exit(status)
}

/// Standard input, unless a person sits there: then the command reads an end of file.
fn input() -> io::Result<Input> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(Input::Empty);
    }
    let file = File::from(stdin.as_fd().try_clone_to_owned()?);
    Ok(Input::Stream(Box::new(tokio::fs::File::from_std(file))))
}

/// Prints what the command wrote, byte for byte, and returns its status.
fn pass_on(Ran { task, output }: &Ran, form: Output) -> i32 {
    let status = i32::try_from(output.status).unwrap_or(i32::from(Exit::Failed.code()));
    let printed = match form {
        Output::Json => print_json(&serde_json::json!({
            "task": task,
            "status": output.status,
            "stdout": String::from_utf8_lossy(&output.stdout),
            "stderr": String::from_utf8_lossy(&output.stderr),
        })),
        Output::Human => write(output),
    };
    if printed == Exit::Done { status } else { i32::from(printed.code()) }
}

fn write(output: &crate::remote::Output) -> Exit {
    let mut err = io::stderr().lock();
    // If standard error is closed, there is nowhere to report it.
    let _ = err.write_all(&output.greeting).and_then(|()| err.write_all(&output.stderr));
    to_stdout(|out| out.write_all(&output.stdout))
}
