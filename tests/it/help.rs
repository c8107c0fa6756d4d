//! The help texts, and how the program parses a command line.

use std::path::Path;

use crate::snapshot;
use clap::{Command, Parser};
use platform::cli::args::{Args, ProviderKind, Verb, command};

#[test]
fn every_verb_explains_itself_with_examples() {
    let mut root = command();
    root.build();
    for path in paths(&root) {
        let help = help(&path);
        let groups = ["app", "certs", "group", "image", "job", "users"];
        let is_group = groups.iter().any(|group| path == ["platform", group]);
        assert!(is_group || help.contains("EXAMPLES\n"), "{path:?} has no examples");
        snapshot::check(&format!("help-{}", path.join("-")), &help);
    }
}

/// The words of a command and of each command below it.
fn paths(command: &Command) -> Vec<Vec<String>> {
    let own = vec![command.get_name().to_owned()];
    let below = command.get_subcommands().flat_map(paths);
    let led = below.map(|path| [own.clone(), path].concat());
    std::iter::once(own.clone()).chain(led).collect()
}

/// The output of `--help` on a terminal of 80 columns.
fn help(path: &[String]) -> String {
    let words = path.iter().map(String::as_str).chain(["--help"]);
    let shown = command().term_width(80).try_get_matches_from(words);
    shown.expect_err("help ends the program").render().to_string()
}

fn parsed(words: &str) -> Result<Verb, clap::Error> {
    Args::try_parse_from(words.split_whitespace()).map(|args| args.verb)
}

#[test]
fn a_node_and_its_command_are_told_apart_from_the_inventory() {
    let Ok(Verb::Ssh(ssh)) = parsed("platform ssh lab.yaml control-1 -- ls -l") else {
        panic!("ssh was not understood");
    };
    assert_eq!(ssh.target().unwrap(), (Path::new("lab.yaml"), "control-1"));
    assert_eq!(ssh.command, ["ls", "-l"]);
}

#[test]
fn a_node_alone_needs_an_inventory_from_elsewhere() {
    let Ok(Verb::Ssh(ssh)) = parsed("platform ssh control-1 -- ls") else {
        panic!("ssh was not understood");
    };
    assert_eq!(ssh.target().unwrap_err().exit_code(), 2);
    let Ok(Verb::Ssh(ssh)) = parsed("platform ssh --inventory lab.yaml control-1") else {
        panic!("ssh was not understood");
    };
    assert_eq!(ssh.target().unwrap(), (Path::new("lab.yaml"), "control-1"));
}

#[test]
fn hosts_are_limited_by_a_list_and_only_where_that_is_safe() {
    let Ok(Verb::Exec(exec)) = parsed("platform exec l.yaml --limit a,b --limit c -- id")
    else {
        panic!("exec was not understood");
    };
    assert_eq!(exec.limit.limit, ["a", "b", "c"]);
    assert!(parsed("platform up l.yaml --limit a").is_err());
    assert!(parsed("platform down l.yaml --limit a").is_err());
}

#[test]
fn nothing_is_guessed_where_a_word_is_missing() {
    let wrong = [
        "platform up",
        "platform exec l.yaml",
        "platform ssh",
        "platform ssh l.yaml control-1 ls",
        "platform image",
        "platform up l.yaml --parallel 0",
        "platform up l.yaml -o yaml",
        "platform init --provider vagrant",
    ];
    for words in wrong {
        let error = parsed(words).expect_err(words);
        assert_eq!(error.exit_code(), 2, "{words}");
    }
    let zero = parsed("platform up l.yaml --parallel 0").expect_err("zero hosts");
    assert!(zero.to_string().contains("must be at least 1"), "{zero}");
    let Ok(Verb::Init(init)) = parsed("platform init") else {
        panic!("init was not understood");
    };
    assert_eq!((init.provider, init.output_file), (ProviderKind::Local, None));
}
