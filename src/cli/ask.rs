//! Asks the operator on the terminal. Without a terminal the answer is no, and a message says
//! what would make it yes.

use std::io::{self, IsTerminal, Write};

use dialoguer::{Confirm, Input};

use crate::operate::Ask;
use crate::remote::ssh::FirstContact;
use crate::report::{Screen, visible};

/// Asks on the terminal; the display is suspended meanwhile.
pub(super) struct Prompt {
    screen: Screen,
}

impl Prompt {
    pub(super) fn on(screen: Screen) -> Self {
        Self { screen }
    }

    /// Asks if there is a terminal; otherwise says what to do instead.
    fn ask(
        &self,
        instead: &str,
        question: impl FnOnce() -> dialoguer::Result<bool>,
    ) -> bool {
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            self.screen.suspend(|| question().unwrap_or(false))
        } else {
            tell(&format!("There is no terminal to ask on: {instead}\n"));
            false
        }
    }
}

impl Ask for Prompt {
    fn proceed(&self, shown: &str) -> bool {
        self.screen.suspend(|| tell(shown));
        self.ask("add --yes to agree in advance.", || {
            Confirm::new().with_prompt("Make these changes?").default(false).interact()
        })
    }

    fn retype(&self, shown: &str, cluster: &str) -> bool {
        self.screen.suspend(|| tell(shown));
        self.ask("add --yes to agree in advance.", || {
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
                "Its known keys are of other types: {}\n",
                known_types.join(", ")
            ));
        }
        if let Some(note) = note {
            shown.push_str(&format!("In your known hosts: {note}\n"));
        }
        self.screen.suspend(|| tell(&shown));
        let instead = "add the key to your known hosts (ssh-keyscan, then check it yourself), \
                       or set `host_keys: accept-new` in the inventory.";
        self.ask(instead, || {
            Confirm::new()
                .with_prompt("Is this the host's key?")
                .default(false)
                .interact()
        })
    }
}

fn tell(text: &str) {
    // If standard error is closed, there is nowhere to report it.
    let _ = io::stderr().lock().write_all(visible(text).as_bytes());
}
