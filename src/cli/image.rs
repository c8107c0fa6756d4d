//! `platform image`

use std::path::Path;

use super::args::{Global, ImageBuild, ImagePin, ImageRecipes};
use super::exit::Exit;
use super::session::{SessionKind, screen};
use super::{error, print};
use crate::event::Events;
use crate::images::pins::{FILE, Pin};
use crate::images::recipes;
use crate::inventory::CatalogSource;
use crate::operate::{ClusterFiles, build_all, pin_all};

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
