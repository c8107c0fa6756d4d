//! `platform audit`

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::args::{Audit, Global, Output};
use super::exit::Exit;
use super::{error, print, print_json};
use crate::event::Sink;
use crate::operate::{ClusterFiles, Error};
use crate::report::{Detail, Plain};
use crate::state::{Ending, Run, RunSummary};

pub(super) fn run(args: &Audit, global: &Global) -> Exit {
    let files = match ClusterFiles::open(&args.inventory.inventory) {
        Ok(files) => files,
        Err(error) => return error::report(&error.into()),
    };
    let json = global.output == Output::Json;
    let shown = match &args.run {
        None => files.state.runs().map(|runs| list(&runs, json)),
        Some(id) => files.state.run(id).map(|run| show(&run, json)),
    };
    match shown {
        Ok(exit) => exit,
        Err(error) => error::report(&Error::Journal(error)),
    }
}

fn list(runs: &[RunSummary], json: bool) -> Exit {
    if json {
        return print_json(&serde_json::json!(runs));
    }
    if runs.is_empty() {
        return print("There were no runs yet.\n");
    }
    let mut text = String::new();
    for RunSummary { id, verb, who, took, ending, .. } in runs {
        let ending = match ending {
            Ending::Finished { summary, .. } => summary.clone(),
            Ending::Running => "still running".to_owned(),
            Ending::CutOff { last_step: Some(step) } => format!("cut off at: {step}"),
            Ending::CutOff { last_step: None } => "cut off".to_owned(),
        };
        let took = took.as_secs_f64();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{id}  {verb:6}  {who}  {took:.1}s  {ending}");
    }
    print(&text)
}

/// Shows a run as it was shown while it ran.
fn show(run: &Run, json: bool) -> Exit {
    if json {
        return print_json(&serde_json::json!(run.lines));
    }
    let text = Shared::default();
    let plain = Plain::new(text.clone(), Detail::Verbose, None);
    for line in &run.lines {
        plain.take(&line.event);
    }
    if run.last_line_cut {
        let mut text = text.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(
            b"(the last line is incomplete: the run was cut off while writing it)\n",
        );
    }
    let text = text.0.lock().unwrap_or_else(PoisonError::into_inner);
    print(&String::from_utf8_lossy(&text))
}

/// A buffer that a display writes to and that can be read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
