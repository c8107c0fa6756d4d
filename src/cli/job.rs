//! `platform job`

use super::args::{Global, JobVerb, OneJob};
use super::client::{change, look};
use super::exit::Exit;
use crate::operate::job::{self, JobOrder};

pub(super) async fn run(verb: &JobVerb, global: &Global) -> Exit {
    match verb {
        JobVerb::Ls(args) => {
            look(&args.target, global, async |target| {
                let jobs = job::list(target).await?;
                Ok((jobs.show(), jobs))
            })
            .await
        }
        JobVerb::Show(args) => {
            look(&args.job.target, global, async |target| {
                let details = job::show(target, &args.job.name).await?;
                Ok((details.show(), details))
            })
            .await
        }
        JobVerb::Stat(args) => {
            look(&args.job.target, global, async |target| {
                let stat = job::stat(target, &args.job.name).await?;
                Ok((stat.show(), stat))
            })
            .await
        }
        JobVerb::Graph(args) => {
            look(&args.target, global, async |target| {
                let graph = job::graph(target).await?;
                Ok((if args.dot { graph.dot() } else { graph.show() }, graph))
            })
            .await
        }
        JobVerb::Add(args) => {
            change(&args.target, global, async |target, ctx| {
                let done = job::add(target, &args.file, args.yes, ctx).await?;
                Ok((done.show(), done))
            })
            .await
        }
        JobVerb::Run(args) => carry_out(&args.job, JobOrder::Run, args.yes, global).await,
        JobVerb::Kill(args) => carry_out(&args.job, JobOrder::Kill, true, global).await,
        JobVerb::Rm(args) => {
            carry_out(&args.job, JobOrder::Remove, args.yes, global).await
        }
    }
}

async fn carry_out(job: &OneJob, order: JobOrder, agreed: bool, global: &Global) -> Exit {
    change(&job.target, global, async |target, ctx| {
        let done = job::carry_out(target, &job.name, order, agreed, ctx).await?;
        Ok((done.show(), done))
    })
    .await
}
