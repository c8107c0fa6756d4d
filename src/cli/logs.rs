//! `platform app logs`

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use super::args::{AppLogs, Global, OneApp, Output};
use super::exit::Exit;
use super::{client, error};
use crate::operate::Error;
use crate::operate::app::{self, Line, LogFile, Wanted};
use crate::report::visible;

pub(super) async fn run(args: &AppLogs, global: &Global) -> Exit {
    let OneApp { id, target } = &args.app;
    let (target, ctx) = match client::open(target, global).await {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let wanted = Wanted {
        task: args.task.clone(),
        file: if args.stderr { LogFile::Stderr } else { LogFile::Stdout },
        lines: args.lines,
        follow: args.follow,
    };
    let form = match global.output {
        Output::Json => Form::Json,
        Output::Human if io::stdout().is_terminal() => Form::Visible,
        Output::Human => Form::Raw,
    };
    let print = |line: Line<'_>| io::stdout().lock().write_all(&form.of(line));
    match app::logs(&target, id, &wanted, &print, &ctx).await {
        // Its reader stopped early, as `head` does.
        Err(Error::Print(why)) if why.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(why) => error::report(&why),
        Ok(()) => Exit::Done,
    }
}

/// How a line is written.
#[derive(Clone, Copy)]
enum Form {
    /// Byte for byte.
    Raw,
    /// So that no control character reaches the terminal.
    Visible,
    /// As a document.
    Json,
}

impl Form {
    fn of(self, Line { task, name, text }: Line<'_>) -> Vec<u8> {
        let said = String::from_utf8_lossy(text);
        let text = match self {
            Self::Json => {
                let document = serde_json::json!({"task": task, "line": said});
                return format!("{document}\n").into_bytes();
            }
            Self::Visible => {
                Cow::Owned(visible(said.trim_end_matches('\r')).into_bytes())
            }
            Self::Raw => Cow::Borrowed(text),
        };
        let name = name.map(|name| format!("{name} ")).unwrap_or_default();
        [name.as_bytes(), &*text, b"\n"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_raw_visible_or_as_json() {
        let line = Line { task: "web.1", name: Some("1"), text: b"a\x1b[2J\xff\r" };
        let of = |form: Form| form.of(line);
        assert_eq!(of(Form::Raw), b"1 a\x1b[2J\xff\r\n");
        assert_eq!(of(Form::Visible), "1 a\\x1b[2J\u{fffd}\n".as_bytes());
        let json: serde_json::Value = serde_json::from_slice(&of(Form::Json)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"task": "web.1", "line": "a\u{1b}[2J\u{fffd}\r"})
        );
        let alone = Line { name: None, text: b"a", ..line };
        assert_eq!(Form::Raw.of(alone), b"a\n");
    }
}
