//! Asks the operator on the terminal. Where there is none, the answer is no, and says what
//! would have made it yes.

use std::io::{self, IsTerminal, Write};

use dialoguer::{Confirm, Input};

use crate::operate::Ask;
use crate::remote::ssh::FirstContact;
use crate::report::{Screen, visible};

/// Asks on the terminal, around what else is on it.
pub(super) struct Prompt {
    screen: Screen,
}

impl Prompt {
    pub(super) fn on(screen: Screen) -> Self {
        Self { screen }
    }

    /// Asks where somebody can answer; else says what to do instead.
    fn ask(
        &self,
        instead: &str,
        question: impl FnOnce() -> dialoguer::Result<bool>,
    ) -> bool {
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            self.screen.suspend(|| question().unwrap_or(false))
        } else {
            tell(&format!("Nobody is here to be asked: {instead}\n"));
            false
        }
    }
}

impl Ask for Prompt {
    fn proceed(&self, shown: &str) -> bool {
        self.screen.suspend(|| tell(shown));
        self.ask("add --yes to agree beforehand.", || {
            Confirm::new().with_prompt("Make these changes?").default(false).interact()
        })
    }

    fn retype(&self, shown: &str, cluster: &str) -> bool {
        self.screen.suspend(|| tell(shown));
        self.ask("add --yes to agree beforehand.", || {
            let prompt = format!("Type the cluster's name, {cluster}, to go on");
            let typed: String =
                Input::new().with_prompt(prompt).allow_empty(true).interact_text()?;
            Ok(typed.trim() == cluster)
        })
    }

    fn trust(&self, contact: &FirstContact) -> bool {
        let FirstContact { host, address, key_type, fingerprint, known_types, note } =
            contact;
        let mut shown = format!(
            "{host} ({address}) was never seen before. Its {key_type} key is\n  {fingerprint}\n"
        );
        if !known_types.is_empty() {
            shown.push_str(&format!(
                "It is known by another key: {}\n",
                known_types.join(", ")
            ));
        }
        if let Some(note) = note {
            shown.push_str(&format!("Of your known hosts, {note}\n"));
        }
        self.screen.suspend(|| tell(&shown));
        let instead = "add the key to your known hosts (ssh-keyscan, checked by hand), or let \
                       the inventory say `host_keys: accept-new`.";
        self.ask(instead, || {
            Confirm::new()
                .with_prompt("Is this the host's key?")
                .default(false)
                .interact()
        })
    }
}

fn tell(text: &str) {
    // Nobody can be told that standard error is closed.
    let _ = io::stderr().lock().write_all(visible(text).as_bytes());
}
