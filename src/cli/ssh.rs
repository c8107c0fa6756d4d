//! `platform ssh`

use std::io::{IsTerminal, stdin, stdout};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::args::{Global, Ssh};
use super::error;
use super::exit::Exit;
use super::session::{Session, SessionKind};
use crate::operate::connect::ssh;
use crate::remote::ssh::Purpose;
use crate::remote::{Argv, to_login_shell, to_script};

/// Replaces this process with this computer's `ssh`, so that `ssh` has the terminal to itself.
pub(super) async fn run(args: &Ssh, global: &Global) -> Exit {
    let (inventory, node) = match args.target() {
        Ok(target) => target,
        Err(error) => error.exit(),
    };
    let session = match Session::open(inventory, global, SessionKind::Facts) {
        Ok(session) => session,
        Err(exit) => return exit,
    };
    let on_terminal = stdin().is_terminal() && stdout().is_terminal();
    let purpose = match args.command.is_empty() {
        true => Purpose::Shell,
        false => Purpose::Command { on_terminal },
    };
    let argv = match ssh(&session.files, node, purpose, &session.ctx).await {
        Ok(argv) => argv,
        Err(error) => return error::report(&error.or_no_machine(&session.files)),
    };
    let (program, words) = argv.words().split_first().expect("it begins with `ssh`");
    let mut command = Command::new(program);
    command.args(words);
    if !args.command.is_empty() {
        // ssh joins its words with spaces, and the login user's shell splits them again.
        command.arg(to_login_shell(&to_script(&Argv::new(args.command.clone()))));
    }
    error::tell(&command.exec(), Exit::Failed)
}
