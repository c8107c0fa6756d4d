//! `platform image`

use super::args::{Global, ImageBuild};
use super::exit::Exit;
use super::session::{For, screen};
use super::{print, trouble};
use crate::event::Events;
use crate::operate::build_all;

pub(super) async fn build(args: &ImageBuild, global: &Global) -> Exit {
    let screen = screen(global, For::Work("image"), None);
    match build_all(&args.catalog, &Events::to(screen.sink())).await {
        Ok(()) => {
            print(&format!("The images of {} are there.\n", args.catalog.display()))
        }
        Err(error) => trouble::report(&error),
    }
}
