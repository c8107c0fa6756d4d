//! `platform image`

use super::args::{Global, ImageBuild, ImagePin};
use super::exit::Exit;
use super::session::{For, screen};
use super::{print, trouble};
use crate::event::Events;
use crate::operate::{build_all, pin_all};

pub(super) async fn build(args: &ImageBuild, global: &Global) -> Exit {
    let screen = screen(global, For::Work("image"), None);
    match build_all(&args.catalog, &Events::to(screen.sink())).await {
        Ok(()) => {
            print(&format!("The images of {} are there.\n", args.catalog.display()))
        }
        Err(error) => trouble::report(&error),
    }
}

pub(super) async fn pin(args: &ImagePin) -> Exit {
    match pin_all(&args.catalog).await {
        Ok(pinned) if pinned.is_empty() => {
            print(&format!("Every image of {} is pinned.\n", args.catalog.display()))
        }
        Ok(pinned) => {
            let lines = pinned.iter().map(|image| format!("pinned {image}\n"));
            print(&lines.collect::<String>())
        }
        Err(error) => trouble::report(&error),
    }
}
