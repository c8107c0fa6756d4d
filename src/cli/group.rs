//! `platform group`

use super::args::{Global, GroupScale, GroupVerb, OneGroup};
use super::exit::Exit;
use super::{client, definition};
use crate::operate::app::group;

pub(super) async fn run(verb: &GroupVerb, global: &Global) -> Exit {
    match verb {
        GroupVerb::Ls(args) => {
            client::look(&args.target, global, async |target| {
                let groups = group::list(target).await?;
                Ok((groups.show(), groups))
            })
            .await
        }
        GroupVerb::Show(args) => {
            let OneGroup { id, target } = &args.group;
            client::look(target, global, async |target| {
                let details = group::show(target, id).await?;
                Ok((details.show(), details))
            })
            .await
        }
        GroupVerb::Diff(args) => {
            definition::diff((&args.files, &[]), args.prune, global).await
        }
        GroupVerb::Deploy(args) => {
            definition::deploy((&args.files, &[]), args.prune, args.how, global).await
        }
        GroupVerb::Scale(args) => {
            let GroupScale { id, factor, target, manner } = args;
            client::change(target, global, async |target, ctx| {
                let done =
                    group::multiply(target, id, *factor, manner.manner(), ctx).await?;
                Ok((done.show(), done))
            })
            .await
        }
        GroupVerb::Rm(args) => {
            let OneGroup { id, target } = &args.group;
            client::change(target, global, async |target, ctx| {
                let done = group::remove(target, id, args.manner.manner(), ctx).await?;
                Ok((done.show(), done))
            })
            .await
        }
    }
}
