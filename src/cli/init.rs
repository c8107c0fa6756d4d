//! `platform init`

use std::fs::File;
use std::io::Write;

use super::args::{Init, ProviderKind};
use super::exit::Exit;
use super::{error, print};
use crate::inventory::{EXAMPLE_AWS, EXAMPLE_LOCAL, EXAMPLE_SSH};
use crate::provider::aws::policy;

pub(super) fn run(args: &Init) -> Exit {
    let text = example(args);
    let Some(path) = &args.output_file else { return print(&text) };
    let written =
        File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => print(&format!(
            "Wrote {0}. Edit it, then run `platform up {0}`.\n",
            path.display()
        )),
        Err(error) => {
            let error = std::io::Error::new(
                error.kind(),
                format!("cannot write {}: {error}", path.display()),
            );
            error::tell(&error, Exit::Failed)
        }
    }
}

fn example(args: &Init) -> String {
    let (text, usual) = match args.provider {
        ProviderKind::Local => (EXAMPLE_LOCAL, "local.yaml"),
        ProviderKind::Ssh => (EXAMPLE_SSH, "ssh.yaml"),
        ProviderKind::Aws => (EXAMPLE_AWS, "aws.yaml"),
    };
    let file = args.output_file.as_ref().map(|path| path.display().to_string());
    let file = file.as_deref().unwrap_or(usual);
    // Its comments name it by its path among the examples.
    let text = text.replace(&format!("inventories/{usual}"), file);
    if args.provider != ProviderKind::Aws {
        return text;
    }
    text + &policy::as_comments(file)
}
