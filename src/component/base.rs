//! What every host gets, as `platform.base` in the inventory says.

use minijinja::context;

use super::{Context, Stage, Wants};
use crate::inventory::{BaseFile, BaseUnit};
use crate::resource::{Content, File, HostPath, Package, Resource, Sysctl, Unit, User};
use crate::template::{BadTemplate, render};

/// The resources in the order in which they are applied: files before the units that read them.
pub(super) fn wants(context: Context<'_>) -> Result<Wants, BadTemplate> {
    let base = &context.inputs.platform.base;
    let mut files = Vec::new();
    for wanted in &base.files {
        files.push(file(context, wanted)?);
    }
    let packages =
        base.packages.iter().map(|name| Resource::Package(Package::named(name)));
    let users = base.users.iter().map(|user| {
        Resource::User(User { name: user.name.clone(), shell: user.shell.clone() })
    });
    let sysctls = base.sysctls.iter().map(|(name, value)| {
        Resource::Sysctl(Sysctl { name: name.clone(), value: value.clone() })
    });
    let units = base.units.iter().flat_map(|wanted| unit(context, wanted, &files));
    let units: Vec<Resource> = units.collect();
    Ok(packages
        .chain(users)
        .chain(sysctls)
        .chain(files.into_iter().map(Resource::File))
        .chain(units)
        .map(|resource| (Stage::Base, resource))
        .collect())
}

fn file(context: Context<'_>, wanted: &BaseFile) -> Result<File, BadTemplate> {
    let source = context.inputs.files.get(&wanted.source).cloned();
    let source = source.unwrap_or_else(|| Content::from(String::new()));
    let content = if wanted.template {
        let text = String::from_utf8_lossy(source.bytes());
        let node = context.node;
        let values = context! {
            host => node.host.as_str(),
            group => node.group.as_str(),
            address => node.address.to_string(),
            cluster => context.topology.cluster.as_str(),
        };
        render(&wanted.source.to_string_lossy(), &text, values)?.into()
    } else {
        source
    };
    let file = File::public(wanted.path.clone(), content);
    Ok(File { mode: wanted.mode, ..file }.owned_by(&wanted.owner, &wanted.owner))
}

/// A unit with its file, and the drop-in that records what it was started with.
fn unit(context: Context<'_>, wanted: &BaseUnit, files: &[File]) -> Vec<Resource> {
    let source =
        wanted.source.as_ref().and_then(|source| context.inputs.files.get(source));
    let own = source.map(|content| {
        let path: HostPath = format!("/etc/systemd/system/{}", wanted.name)
            .parse()
            .expect("a checked unit's name is safe in a path");
        File::public(path, content.clone())
    });
    let inputs = files.iter().filter(|file| wanted.restart_on.contains(&file.path));
    let unit = Unit::named(&wanted.name).started_with(inputs.chain(own.as_ref()));
    let drop_in = unit.drop_in();
    own.into_iter()
        .chain(drop_in)
        .map(Resource::File)
        .chain([Resource::Unit(unit)])
        .collect()
}
