//! A kernel setting, for now and for after a reboot.

use serde::Deserialize;

use super::questions::Questions;
use super::{Action, Change, Facts, FileState, HostPath, Key, Unknown};

/// A kernel setting that a host should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name, such as `vm.swappiness`.
    pub name: String,
    /// Its value; fields are separated by single spaces.
    pub value: String,
}

impl Sysctl {
    /// The file that sets it at boot: one for each setting, so that each comes and goes alone.
    pub fn file(&self) -> HostPath {
        path_for(&self.name)
    }

    /// What is in [`Sysctl::file`].
    pub fn line(&self) -> String {
        format!("{} = {}\n", self.name, self.value)
    }

    pub(super) fn ask(&self, questions: &mut Questions) {
        questions.sysctl(&self.name);
        questions.file(&self.file(), None);
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let persisted = match facts.file(&self.file())? {
            FileState::Missing => false,
            FileState::Present { sha256, .. } => {
                sha256.as_ref() == Some(&super::Content::from(self.line()).sha256())
            }
        };
        let reason = match facts.sysctl(&self.name)? {
            Some(value) if value == self.value && persisted => return Ok(None),
            Some(value) if value == self.value => "is not kept over a reboot".to_owned(),
            Some(value) => format!("is {value}, not {}", self.value),
            None => "this kernel does not have it".to_owned(),
        };
        Ok(Some(Change {
            key: Key::Sysctl(self.name.clone()),
            verb: "set",
            reason,
            diff: None,
            action: Action::SetSysctl {
                sysctl: self.clone(),
                before: facts.sysctl(&self.name)?.unwrap_or_default().to_owned(),
            },
        }))
    }
}

/// The file that sets a kernel setting at boot.
pub(super) fn path_for(name: &str) -> HostPath {
    format!("/etc/sysctl.d/60-platform-{}.conf", name.replace('/', "."))
        .parse()
        .expect("a checked setting's name is safe in a path")
}

/// The part of the probe that answers for kernel settings.
pub(super) fn script(questions: &Questions) -> Option<String> {
    let names: Vec<&str> = questions.sysctls().collect();
    (!names.is_empty()).then(|| {
        format!(
            r#"for name in {names}; do
  path=/proc/sys/$(printf %s "$name" | tr . /)
  if [ -r "$path" ]; then
    printf '{{"q":"sysctl","name":"%s","value":"%s"}}\n' "$name" "$(tr -s '\t\n' '  ' <"$path")"
  else
    printf '{{"q":"sysctl","name":"%s"}}\n' "$name"
  fi
done
"#,
            names = names.join(" ")
        )
    })
}

/// A kernel setting; without a value where the kernel does not have it.
#[derive(Debug, Deserialize)]
pub(super) struct SysctlLine {
    name: String,
    value: Option<String>,
}

impl SysctlLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        let value = self.value.map(|value| value.trim().to_owned());
        facts.sysctls.insert(self.name, value);
        Some(())
    }
}
