//! Login shells that parse a command line differently.

use platform::remote::{Argv, Exec, Remote, to_login_shell, to_script};

use super::sshd::{COMMAND, Sshd, connector, openssh, run, script, settings};

/// sshd passes a command line to the login shell with `-c`: this does the same, for any shell.
fn sshd_with(shell: &str) -> Sshd {
    let config = format!("ForceCommand exec {shell} -c \"$SSH_ORIGINAL_COMMAND\"");
    Sshd::start_with(&["ed25519"], &config)
}

/// Words that some shell interprets.
fn words() -> Vec<String> {
    let hard = [
        "it's",
        "a!b",
        "!!",
        "!",
        "\\",
        "\\\\",
        "\\'",
        "a\\b\\n\\t\\0101\\c%s",
        "$HOME",
        "$(id)",
        "`id`",
        "${x}",
        "~",
        "*",
        "[a]",
        "{a,b}",
        "%d",
        "^a^b",
        "#",
        "a;b|c&d>e<f",
        "(x)",
        "\"",
        "\n",
        "a\n\nb\n",
        "\t \r",
        "",
        "é — ü",
        "\u{1}\u{7f}",
        "-n",
        "=x",
    ];
    // Longer than a shell's buffers.
    let long = "it's a !long\\ one\n".repeat(1000);
    hard.into_iter().map(str::to_owned).chain([long]).collect()
}

#[tokio::test]
async fn words_arrive_as_they_are_whatever_the_login_shell() {
    let words = words();
    let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
    for shell in ["bash", "dash", "fish", "tcsh"] {
        let sshd = sshd_with(shell);
        let (connector, _) = connector(settings(sshd.path()));
        let ssh = connector.connect(sshd.target()).await.unwrap();
        let argv =
            ["printf", "%s\\0"].map(str::to_owned).into_iter().chain(words.clone());
        let exec = Exec { argv: Argv::new(argv), ..script("") };
        let output = ssh.exec(exec).await.unwrap();
        assert_eq!(
            output.status,
            0,
            "{shell}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{shell}");

        // A script like those of steps: several lines, assignments, both kinds of quotes.
        let text = "x='a!b'\nif [ \"$x\" = 'a!b' ]; then\n  echo \"it's $x\"; exit 3\nfi";
        let output = ssh.exec(script(text)).await.unwrap();
        assert_eq!(
            (output.status, output.stdout.as_slice()),
            (3, &b"it's a!b\n"[..]),
            "{shell}"
        );
        assert_eq!(
            ssh.exec(script("kill -TERM $$")).await.unwrap().status,
            143,
            "{shell}"
        );
        let exec = Exec { argv: Argv::new(["umask"]), ..script("") };
        assert_eq!(ssh.exec(exec).await.unwrap().status, 0, "{shell} has builtins");
    }
}

/// What `platform ssh` appends to the operator's own `ssh`.
#[test]
fn the_operators_own_ssh_hands_on_the_same_words() {
    for shell in ["bash", "fish", "tcsh"] {
        let sshd = sshd_with(shell);
        let key = super::sshd::bare_public(&sshd.file("host_ed25519"));
        std::fs::write(sshd.file("pins"), format!("[127.0.0.1]:{} {key}\n", sshd.port))
            .unwrap();
        let text =
            to_login_shell(&to_script(&Argv::new(["printf", "%s|", "it's", "a!\\b\n"])));
        let mut ssh = openssh(&sshd.target(), &sshd.file("pins"), None, COMMAND);
        let said = run(ssh.arg(text));
        assert_eq!(said, "it's|a!\\b\n|", "{shell}");
    }
}
