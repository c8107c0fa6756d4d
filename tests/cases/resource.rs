//! Resources: what is wanted of a host and what it answered, and what has to be done then.

use std::fmt::Write;
use std::path::Path;

use platform::resource::probe::{Questions, parse};
use platform::resource::{
    self, Boot, Change, Content, Directory, File, Firewall, HostPath, Image, ImageOrigin,
    Package, Resource, Sysctl, Tree, Unit, User,
};
use platform::secret::Secret;
use serde::Deserialize;

use super::{TestResult, expect};

/// A case: what is wanted, and what the host said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    want: Vec<Want>,
    answer: String,
    /// Whether data goes too, with what nobody wants any more.
    #[serde(default)]
    purge: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Want {
    Package { apt: String, dnf: String },
    User { name: String, shell: String },
    Sysctl { name: String, value: String },
    Directory { path: HostPath, mode: String, owner: String },
    File { path: HostPath, text: String, mode: String, owner: String },
    Hidden { path: HostPath, text: String },
    Image { name: String, id: String, from: Vec<String> },
    Tree { name: String, image: String, program: String },
    Unit { name: String, with: Vec<HostPath> },
    Firewall { rules: String },
    Boot { why: String },
    Booted { why: String },
}

/// Holds a case against what is expected of it.
pub(crate) fn diff(path: &Path, text: String) -> TestResult {
    let case: Case = serde_yaml::from_str(&text)?;
    let shown = shown(&case)?;
    match shown.contains("hunter2") {
        true => Err(format!("a secret is shown:\n{shown}").into()),
        false => expect(path, "txt", &shown),
    }
}

fn shown(case: &Case) -> Result<String, Box<dyn std::error::Error>> {
    let want = resources(&case.want)?;
    let asked =
        format!("{:?} {}", Questions::about(&want), Questions::about(&want).script());
    if asked.contains("hunter2") {
        return Err("a secret is asked for".into());
    }
    let facts = match parse(&case.answer, 1000.0) {
        Ok(facts) => facts,
        Err(bad) => return Ok(format!("no facts: {bad}\n")),
    };
    let changes = match resource::diff(&want, &facts) {
        Ok(changes) => changes,
        Err(unknown) => return Ok(format!("unknown: {unknown}\n")),
    };
    let mut out = String::new();
    list(&changes, &mut out)?;
    for (owned, programs) in resource::staying(&want, &facts) {
        writeln!(out, "stays: {owned}, from which {} runs", programs.join(", "))?;
    }
    let retired = resource::retire(&want, &facts, case.purge);
    if !retired.is_empty() {
        writeln!(out, "retire")?;
        list(&retired, &mut out)?;
    }
    Ok(if out.is_empty() { "nothing to do\n".to_owned() } else { out })
}

/// Each change with what the host is told; what interrupts services is marked.
fn list(changes: &[Change], out: &mut String) -> std::fmt::Result {
    for change in changes {
        let mark = if change.disturbs() { " !" } else { "" };
        writeln!(out, "{}: {}{mark}", change.step(), change.reason)?;
        for line in change.diff.iter().flat_map(|diff| diff.lines()) {
            writeln!(out, "  {line}")?;
        }
        writeln!(out, "  -> {:?}", change.action)?;
    }
    Ok(())
}

fn resources(want: &[Want]) -> Result<Vec<Resource>, Box<dyn std::error::Error>> {
    let mut resources: Vec<Resource> = Vec::new();
    for want in want {
        let files = resources.iter().filter_map(|resource| match resource {
            Resource::File(file) => Some(file),
            _ => None,
        });
        let resource = match want {
            Want::Unit { name, with } => {
                let unit = Unit::named(name);
                Resource::Unit(
                    unit.started_with(files.filter(|f| with.contains(&f.path))),
                )
            }
            other => plain(other)?,
        };
        resources.push(resource);
    }
    Ok(resources)
}

/// A resource that depends on no other.
fn plain(want: &Want) -> Result<Resource, std::num::ParseIntError> {
    let mode = |text: &str| u32::from_str_radix(text, 8);
    Ok(match want {
        Want::Package { apt, dnf } => Resource::Package(Package::by_manager(apt, dnf)),
        Want::User { name, shell } => {
            Resource::User(User { name: name.clone(), shell: shell.clone() })
        }
        Want::Sysctl { name, value } => {
            Resource::Sysctl(Sysctl { name: name.clone(), value: value.clone() })
        }
        Want::Directory { path, mode: bits, owner } => Resource::Directory(Directory {
            path: path.clone(),
            mode: mode(bits)?,
            owner: owner.clone(),
            group: owner.clone(),
            data: false,
        }),
        Want::File { path, text, mode: bits, owner } => {
            let file = File::public(path.clone(), Content::from(text.clone()));
            Resource::File(File { mode: mode(bits)?, ..file }.owned_by(owner, owner))
        }
        Want::Hidden { path, text } => {
            Resource::File(File::private(path.clone(), Secret::new(text)))
        }
        Want::Image { name, id, from } => {
            let origin = match from.is_empty() {
                true => ImageOrigin::Here,
                false => ImageOrigin::Registries(from.clone()),
            };
            Resource::Image(Image { name: name.clone(), id: id.clone(), origin })
        }
        Want::Tree { name, image, program } => Resource::Tree(Tree {
            name: name.clone(),
            image: image.clone(),
            program: program.clone(),
            ends_together: false,
        }),
        Want::Firewall { rules } => Resource::Firewall(Firewall { rules: rules.clone() }),
        Want::Unit { name, .. } => Resource::Unit(Unit::named(name)),
        Want::Boot { why } => Resource::Boot(Boot { why: why.clone() }),
        Want::Booted { why } => Resource::Booted(Boot { why: why.clone() }),
    })
}
