//! Marathon: keeps services running. One leads; the others pass on what they are asked.

use minijinja::context;

use super::mesos::{self, OPERATOR, private};
use super::service::Service;
use super::{Context, Stage, Wants, path};
use crate::inventory::catalog::Component;
use crate::resource::{Facts, File};
use crate::secret::Secret;
use crate::template::{BadTemplate, render};
use crate::topology::{MARATHON_DRIVER_PORT, MARATHON_PORT};
use crate::unit::Size;

/// The numeric user and group as which it runs in its container.
const USER: &str = "8080";
/// Where its configuration is on its host.
const CONFIG: &str = "/etc/platform/marathon";
/// The name under which it registers and proves who it is, and its user in ZooKeeper.
pub(super) const PRINCIPAL: &str = "marathon";
/// The unit that runs it.
pub const UNIT: &str = "platform-marathon.service";

/// Marathon's image, files and unit.
///
/// # Errors
/// When the template cannot be rendered.
pub(super) fn wants(context: Context<'_>, facts: &Facts) -> Result<Wants, BadTemplate> {
    let Some(image) = context.pulled(Component::Marathon) else {
        return Ok(Vec::new());
    };
    let files = vec![
        File::private(path(&format!("{CONFIG}/environment")), environment(context)),
        // Marathon takes the file as it is, a newline at its end included.
        private(
            &format!("{CONFIG}/secret"),
            context.materials.marathon.secret.clone(),
            USER,
        ),
    ];
    let text = unit(context, &image.id, facts)?;
    let service = Service { data: None, image, files, unit: UNIT, text, marker: None };
    Ok(service.wants(Stage::Frameworks))
}

/// What must not be seen in the list of processes.
fn environment(context: Context<'_>) -> Secret {
    let own = &context.materials.marathon;
    let zookeeper = (PRINCIPAL, &own.zookeeper);
    let state = mesos::zookeeper_url(context.topology, zookeeper, "/marathon");
    Secret::new(format!(
        "MARATHON_MASTER={}\nMARATHON_ZK={}\nMESOSPHERE_HTTP_CREDENTIALS={OPERATOR}:{}\n\
         LIBPROCESS_IP={}\nLIBPROCESS_PORT={MARATHON_DRIVER_PORT}\n",
        mesos::masters_url(context.topology, zookeeper).expose(),
        state.expose(),
        own.password.expose(),
        context.node.address,
    ))
}

fn flags(context: Context<'_>) -> Vec<String> {
    let address = context.node.address;
    vec![
        format!("--hostname {address}"),
        format!("--http_address {address}"),
        format!("--http_port {MARATHON_PORT}"),
        format!("--framework_name {PRINCIPAL}"),
        "--mesos_authentication".to_owned(),
        format!("--mesos_authentication_principal {PRINCIPAL}"),
        "--mesos_authentication_secret_file /etc/marathon/secret".to_owned(),
        // It cannot be changed after the first registration, and the image's own user is nobody.
        "--mesos_user root".to_owned(),
        "--mesos_role *".to_owned(),
        // Those below are for apps that ask for a service port of their own choice.
        "--local_port_min 10101".to_owned(),
        "--local_port_max 20000".to_owned(),
        "--enable_features task_killing".to_owned(),
    ]
}

fn unit(context: Context<'_>, image: &str, facts: &Facts) -> Result<String, BadTemplate> {
    render(
        "marathon/platform-marathon.service",
        include_str!("../../templates/marathon/platform-marathon.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            flags => flags(context),
            heap_mib => heap_for(facts.system.memory).as_mib(),
            user => USER,
            config => CONFIG,
            image,
        },
    )
}

/// A quarter of the host's memory, at least 256 MiB and at most 2 GiB: it keeps every app and
/// its history in memory.
fn heap_for(memory: Size) -> Size {
    Size::mib((memory.as_mib() / 4).clamp(256, 2048))
}
