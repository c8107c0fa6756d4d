//! `platform completions`

use super::args::{self, Completions};
use super::exit::Exit;
use super::print;

pub(super) fn run(args: &Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "platform", &mut script);
    print(&String::from_utf8_lossy(&script))
}
