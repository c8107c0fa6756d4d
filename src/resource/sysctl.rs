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
    /// The file that sets it at boot. Each setting has its own file, so that it can be added and
    /// removed alone.
    pub fn file(&self) -> HostPath {
        path_for(&self.name)
    }

    /// The content of [`Sysctl::file`].
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

/// The kernel's own file of a setting. As in sysctl, the first dot or slash in a name decides which
/// of the two separates its parts. The other one is a dot within a part, such as in the name of a
/// network interface.
pub(super) fn in_proc(name: &str) -> String {
    let parted_by_dots =
        name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('.'));
    let swap = |c: char| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    match parted_by_dots {
        true => format!("/proc/sys/{}", name.chars().map(swap).collect::<String>()),
        false => format!("/proc/sys/{name}"),
    }
}

/// The part of the probe about kernel settings.
pub(super) fn script(questions: &Questions) -> Option<String> {
    let names: Vec<String> =
        questions.sysctls().map(|name| format!("{name}:{}", in_proc(name))).collect();
    (!names.is_empty()).then(|| {
        format!(
            r#"for each in {names}; do
  name=${{each%%:*}}
  path=${{each#*:}}
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

/// A kernel setting; without a value if the kernel does not have it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_own_file_is_found_however_the_name_is_written() {
        for (name, file) in [
            ("vm.swappiness", "vm/swappiness"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
            ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ] {
            assert_eq!(in_proc(name), format!("/proc/sys/{file}"));
        }
    }
}
