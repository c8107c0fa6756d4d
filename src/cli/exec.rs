//! `platform exec`

use std::io::Write;

use super::args::{Exec, Global, Output};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use super::{error, print_json, to_stdout};
use crate::operate::exec::{Said, exec, failure};
use crate::remote::{Argv, As};

pub(super) async fn run(args: &Exec, global: &Global) -> Exit {
    let session =
        match Session::open(&args.inventory.inventory, global, SessionKind::Facts) {
            Ok(session) => session,
            Err(exit) => return exit,
        };
    let user = if args.sudo { As::Root } else { As::Login };
    let command = (user, Argv::new(args.command.clone()));
    let said = match exec(&session.files, &args.limit.limit, command, &session.ctx).await
    {
        Ok(said) => said,
        Err(error) => return error::report(&error),
    };
    let printed = match global.output {
        Output::Human => show(&said),
        Output::Json => print_json(&said.iter().map(document).collect()),
    };
    match printed {
        Exit::Done => failure(&said).map_or(Exit::Done, error::of_kind),
        printed => printed,
    }
}

/// Prints each host's output under its name, byte for byte.
fn show(said: &[Said]) -> Exit {
    to_stdout(|out| {
        said.iter().try_for_each(|said| {
            match &said.status {
                Ok(0) => writeln!(out, "== {}", said.host)?,
                Ok(status) => writeln!(out, "== {}: status {status}", said.host)?,
                Err(none) => writeln!(out, "== {}: {}", said.host, none.why)?,
            }
            out.write_all(&said.stdout)?;
            out.write_all(&said.stderr)
        })
    })
}

fn document(said: &Said) -> serde_json::Value {
    serde_json::json!({
        "host": said.host,
        "status": said.status.as_ref().ok(),
        "error": said.status.as_ref().err().map(|none| &none.why),
        "stdout": String::from_utf8_lossy(&said.stdout),
        "stderr": String::from_utf8_lossy(&said.stderr),
    })
}
