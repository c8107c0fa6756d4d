//! `platform job`

use super::args::{Global, JobLs, JobVerb};
use super::exit::Exit;
use super::{client, error};
use crate::operate::job::list;

pub(super) async fn run(verb: &JobVerb, global: &Global) -> Exit {
    match verb {
        JobVerb::Ls(args) => ls(args, global).await,
    }
}

async fn ls(args: &JobLs, global: &Global) -> Exit {
    let target = match client::open(&args.target, global).await {
        Ok((target, _)) => target,
        Err(exit) => return exit,
    };
    match list(&target).await {
        Ok(jobs) => client::show(&jobs, &jobs.show(), global),
        Err(error) => error::report(&error),
    }
}
