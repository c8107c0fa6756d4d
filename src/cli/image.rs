//! `platform image`

use std::path::Path;

use super::args::{
    Global, ImageBuild, ImageInspect, ImageLs, ImagePin, ImagePush, ImageRecipes,
    ImageSearch, TargetArgs,
};
use super::exit::Exit;
use super::session::{SessionKind, screen};
use super::{client, error, print};
use crate::event::Events;
use crate::images::pins::{FILE, Pin};
use crate::images::recipes;
use crate::inventory::CatalogSource;
use crate::operate::push::{self, PushOrder};
use crate::operate::stored_images::{self, Which};
use crate::operate::{ClusterFiles, Error, build_all, pin_all};

pub(super) async fn build(args: &ImageBuild, global: &Global) -> Exit {
    let screen = screen(global, SessionKind::Work("image"), None);
    let catalog = CatalogSource::from(args.catalog.as_str());
    match build_all(&catalog, Path::new("."), &Events::to(screen.sink())).await {
        Ok(()) => print(&format!("The images of {} are ready.\n", args.catalog)),
        Err(error) => error::report(&error),
    }
}

pub(super) async fn pin(args: &ImagePin) -> Exit {
    let files = match ClusterFiles::open(&args.inventory.inventory) {
        Ok(files) => files,
        Err(error) => return error::report(&error.into()),
    };
    match pin_all(&files, args.update).await {
        Ok(asked) if asked.is_empty() => {
            print(&format!("Nothing to do: {FILE} has a digest for each tag.\n"))
        }
        Ok(asked) => print(&asked.iter().map(line).collect::<String>()),
        Err(error) => error::report(&error),
    }
}

fn line(Pin { reference, digest, before }: &Pin) -> String {
    match before {
        None => format!("{reference} is {digest}\n"),
        Some(before) if before == digest => {
            format!("{reference} is {digest} as before\n")
        }
        Some(before) => format!("{reference} is {digest}; it was {before}\n"),
    }
}

pub(super) async fn push(args: &ImagePush, global: &Global) -> Exit {
    let ctx = client::display(global);
    let order = PushOrder {
        source: &args.source,
        name: args.name.as_deref(),
        inventory: args.target.inventory.as_deref(),
    };
    // An interrupt ends the push here, so that temporary files are removed.
    let pushed = tokio::select! {
        pushed = push::push(order, &ctx) => pushed,
        _ = tokio::signal::ctrl_c() => {
            Err(Error::StoppedBefore("the image was on all edge hosts".to_owned()))
        }
    };
    let shown = pushed.map(|pushed| (pushed.show(), pushed));
    client::conclude(ctx, shown, global)
}

pub(super) async fn ls(args: &ImageLs, global: &Global) -> Exit {
    list(Which { all: args.all, text: None }, &args.target, global).await
}

pub(super) async fn search(args: &ImageSearch, global: &Global) -> Exit {
    let which = Which { all: args.all, text: Some(&args.text) };
    list(which, &args.target, global).await
}

async fn list(which: Which<'_>, target: &TargetArgs, global: &Global) -> Exit {
    let ctx = client::display(global);
    let found = stored_images::list(target.inventory.as_deref(), which, &ctx).await;
    client::conclude(ctx, found.map(|found| (found.show(), found)), global)
}

pub(super) async fn inspect(args: &ImageInspect, global: &Global) -> Exit {
    let ctx = client::display(global);
    let inventory = args.target.inventory.as_deref();
    let found = stored_images::inspect(inventory, &args.name, &ctx).await;
    client::conclude(ctx, found.map(|found| (found.show(), found)), global)
}

pub(super) fn recipes(args: &ImageRecipes) -> Exit {
    match recipes::export(&args.folder) {
        Ok(()) => print(&format!(
            "Wrote the built-in catalogues and the folders of their images. To use one, set \
             `images: {}/mesos.yaml` in the inventory; the path is relative to the inventory.\n",
            args.folder.display()
        )),
        Err(error) => error::tell(&error, Exit::Failed),
    }
}
