//! Shows what the balancer tells, on a loopback address: `/status.json` with everything, `/metrics`
//! for Prometheus, and the landing page, which HAProxy serves to users.

use std::net::TcpListener;

use platform_daemon::pages::{self, Asked, Page};

use crate::page;
use crate::settings::Landing;
use crate::status::Board;

/// Shows the board for ever, in a thread, and the landing page if there is one.
pub fn serve(listener: TcpListener, board: Board, landing: Option<Landing>) {
    pages::serve_for(listener, move |asked| shown(&board, asked, landing.as_ref()));
}

fn shown(board: &Board, asked: &Asked, landing: Option<&Landing>) -> Option<Page> {
    let of_landing = |kind, text: &str| landing.map(|_| Page::new(kind, text.to_owned()));
    match asked.path.as_str() {
        "/status.json" => Some(Page::json(board.status().json())),
        "/metrics" => Some(Page::metrics(board.status().metrics())),
        "/" => {
            let html = page::page(&board.status(), landing?, &asked.host);
            Some(Page::new("text/html; charset=utf-8", html).with_policy(page::POLICY))
        }
        "/page.css" => of_landing("text/css", page::STYLE),
        "/page.js" => of_landing("text/javascript", page::SCRIPT),
        "/icon.svg" => of_landing("image/svg+xml", page::ICON),
        _ => None,
    }
}
