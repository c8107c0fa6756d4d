//! Instances of AWS: the settings for all of them, and how those are read.
//!
//! Only the form of ids and names is checked here. Whether they exist, only AWS can say.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::firewall;
use super::jump_host::{jumps, login};
use super::reader::{Fields, Reader, Spanned, did_you_mean};
use super::source::known_secret;
use super::tree::{Node, Value};
use super::{AdminCidr, Cidr, SecretSource};
use crate::unit::parse_duration;

mod network;

use network::is_id;
pub(super) use network::network_has_room;

/// Instances of AWS EC2, all in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// The region. If the file does not set it, the one that other AWS tools would use.
    pub region: Option<String>,
    /// The profile of the operator's AWS configuration. If the file does not set it, the one that
    /// other AWS tools would use.
    pub profile: Option<String>,
    /// The zones to spread machines over, in this order. If the file does not set them, the first
    /// three of the region.
    pub zones: Vec<String>,
    /// Their network.
    pub network: AwsNetwork,
    /// The image that they boot from.
    pub image: AwsImage,
    /// How to log in to them.
    pub ssh: AwsAccess,
    /// The networks that may reach SSH and the edge; never empty.
    pub admin_cidrs: Vec<AdminCidr>,
    /// The time after which `down --expired` may remove the cluster.
    pub expires: Option<Duration>,
}

/// The network of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsNetwork {
    /// A new network, with a subnet in each zone.
    Made(Cidr),
    /// A network that exists.
    Given {
        /// The VPC, such as `vpc-0a1b2c3d4e5f60718`.
        vpc: String,
        /// Its subnets to use, each in a different zone.
        subnets: Vec<String>,
    },
}

/// The image that instances boot from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsImage {
    /// The image with this id, such as `ami-0a1b2c3d4e5f60718`.
    Id(String),
    /// The newest of an owner's images with a matching name.
    Newest {
        /// The owner: an account's twelve digits, or `amazon`, `self`, `aws-marketplace`.
        owner: String,
        /// The name, in which `*` matches any text and `?` any character.
        name: String,
    },
}

/// How to log in to instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsAccess {
    /// The login user of the image, such as `admin` for Debian's.
    pub user: String,
    /// The private key file; its public half, `KEY.pub` beside it, is given to AWS.
    pub key: PathBuf,
    /// The passphrase of `key`.
    pub passphrase: Option<SecretSource>,
    /// Bastions to go through, nearest first; without any, machines have public addresses.
    pub jump: Vec<String>,
}

/// The provider as far as it can be read, and the position of its network for later checks.
pub(super) struct DraftAws {
    pub(super) value: Option<Aws>,
    /// The network to make, if the file gives one.
    pub(super) cidr: Option<Spanned<Cidr>>,
}

const KEYS: [&str; 8] =
    ["region", "profile", "zones", "network", "image", "ssh", "admin_cidrs", "expires"];

/// A cluster must not expire before it is up, and a lab is not planned for longer than a year.
const EXPIRES: RangeInclusive<Duration> =
    Duration::from_mins(10)..=Duration::from_hours(365 * 24);

pub(super) fn aws(node: &Node, r: &mut Reader) -> DraftAws {
    let mut draft = DraftAws { value: None, cidr: None };
    let Some(fields) = r.fields(node, "the provider `aws`", &KEYS) else { return draft };
    let region = fields.get("region").and_then(|node| network::region(node, r));
    let (network, cidr) = network::network(&fields, r);
    draft.cidr = cidr;
    let zones = network::zones(&fields, region.as_deref(), network.as_ref(), r);
    let profile = fields.get("profile").and_then(|node| r.text(node)).map(str::to_owned);
    let expires = fields.get("expires").and_then(|node| expires(node, r));
    let image = fields
        .required(
            "image",
            "image: {owner: \"136693071363\", name: \"debian-12-amd64-*\"}",
            r,
        )
        .and_then(|node| image(node, r));
    let ssh = fields
        .required("ssh", "ssh: {user: admin, key: ~/.ssh/id_ed25519}", r)
        .and_then(|node| ssh(node, r));
    let admin_cidrs = admin_cidrs(&fields, r);
    let whole = network.zip(image).zip(ssh.zip(admin_cidrs));
    draft.value = whole.map(|((network, image), (ssh, admin_cidrs))| Aws {
        region,
        profile,
        zones,
        network,
        image,
        ssh,
        admin_cidrs,
        expires,
    });
    draft
}

fn image(node: &Node, r: &mut Reader) -> Option<AwsImage> {
    if matches!(node.value, Value::Scalar { .. }) {
        let rule = "write its id, such as `ami-0a1b2c3d4e5f60718`, or how to find the newest one: \
                    `{owner: \"136693071363\", name: \"debian-12-amd64-*\"}`";
        let id = r.text_that(node, |text| is_id(text, "ami"), "the id of an image", rule);
        return id.map(AwsImage::Id);
    }
    let fields = r.fields(node, "the image", &["owner", "name"])?;
    let owner = fields
        .required("owner", "owner: \"136693071363\"", r)
        .and_then(|node| owner(node, r));
    let name =
        fields.required("name", "name: \"debian-12-amd64-*\"", r).and_then(|node| {
            let rule = "an image's name has 3 to 128 characters";
            let fits = |text: &str| (3..=128).contains(&text.chars().count());
            r.text_that(node, fits, "an image's name", rule)
        });
    owner.zip(name).map(|(owner, name)| AwsImage::Newest { owner, name })
}

const OWNERS: [&str; 3] = ["amazon", "aws-marketplace", "self"];

fn owner(node: &Node, r: &mut Reader) -> Option<String> {
    let text = r.text(node)?;
    let is_account = text.len() == 12 && text.chars().all(|c| c.is_ascii_digit());
    if is_account || OWNERS.contains(&text) {
        return Some(text.to_owned());
    }
    let message = format!("`{text}` is not an owner of images");
    let help = format!(
        "{}, or the twelve digits of an account, in quotes",
        did_you_mean(text, &OWNERS)
    );
    r.refuse(Diagnostic::new(&node.span, message).help(help))
}

fn ssh(node: &Node, r: &mut Reader) -> Option<AwsAccess> {
    let known = ["user", "key", "passphrase", "jump"];
    let fields = r.fields(node, "`ssh` of the provider", &known)?;
    let user = fields.required("user", "user: admin", r).and_then(|node| login(node, r));
    let key = fields
        .required("key", "key: ~/.ssh/id_ed25519", r)
        .and_then(|node| key_pair(node, r));
    let passphrase = fields.get("passphrase").and_then(|node| known_secret(node, r));
    let jump = fields.get("jump").map(|node| jumps(node, r)).unwrap_or_default();
    let (user, key) = user.zip(key)?;
    Some(AwsAccess { user, key, passphrase, jump })
}

/// A private key with its public half beside it.
fn key_pair(node: &Node, r: &mut Reader) -> Option<PathBuf> {
    if let Some(private) = r.text(node)?.strip_suffix(".pub") {
        let message = "this is the public half of a key";
        let help = format!("name the private one: `{private}`");
        return r.refuse(Diagnostic::new(&node.span, message).help(help));
    }
    let key = r.file(node)?;
    let mut public = key.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    if r.exists(&public) {
        return Some(key);
    }
    let (key, public) = (key.display(), public.display());
    let message = format!("there is no `{public}`, the public half of this key");
    let help = format!("AWS needs it; make it with `ssh-keygen -y -f {key} > {public}`");
    r.refuse(Diagnostic::new(&node.span, message).help(help))
}

/// The networks that may reach the machines. The file must set them: there is no default.
fn admin_cidrs(fields: &Fields, r: &mut Reader) -> Option<Vec<AdminCidr>> {
    let help = "write your own address, such as `admin_cidrs: [203.0.113.7/32]`";
    let Some(node) = fields.get("admin_cidrs") else {
        if !fields.attempts("admin_cidrs") {
            let message = "the key `admin_cidrs` is missing in the provider `aws`";
            r.fault(Diagnostic::new(fields.at(), message).help(help));
        }
        return None;
    };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let message = "nobody could reach the machines, not even you";
        r.fault(Diagnostic::new(&node.span, message).help(help));
    }
    let found = r.distinct(node, "admin_cidrs", admin_cidr);
    Some(found.into_iter().map(|cidr| cidr.value).collect())
}

/// An IPv4 network: the machines have no other addresses.
fn admin_cidr(r: &mut Reader, node: &Node) -> Option<AdminCidr> {
    let text = r.text(node)?;
    let is_v4 = |cidr: &AdminCidr| cidr.network.is_ipv4();
    match text.parse::<AdminCidr>() {
        Ok(cidr) if !is_v4(&cidr) => {
            let message = format!("`{text}` is not an IPv4 network");
            let help = "write an address and a prefix, such as `203.0.113.7/32`";
            r.refuse(Diagnostic::new(&node.span, message).help(help))
        }
        read => firewall::network_or_fault(node, read, r),
    }
}

fn expires(node: &Node, r: &mut Reader) -> Option<Duration> {
    match parse_duration(r.text(node)?) {
        Ok(after) if EXPIRES.contains(&after) => Some(after),
        Ok(_) => {
            let message = "a cluster expires after at least 10m and at most 365d";
            let help = "write a time such as `8h`, or leave it out";
            r.refuse(Diagnostic::new(&node.span, message).help(help))
        }
        Err(error) => r.refuse(Diagnostic::new(&node.span, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::inventory::read;

    #[test]
    fn a_key_needs_its_public_half_beside_it() {
        let text = "cluster: x\nprovider:\n  aws:\n    image: ami-0a1b2c3d\n    \
                    admin_cidrs: [203.0.113.7/32]\n    ssh: {user: admin, key: keys/lab}\n\
                    groups: {a: {roles: [base], count: 1, type: t3.small}}\n";
        let found = |has_public: bool| {
            let exists = |path: &Path| has_public || !path.ends_with("lab.pub");
            read(text, &exists).map_err(|faults| {
                faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>()
            })
        };
        assert!(found(true).is_ok());
        let fault = "there is no `keys/lab.pub`, the public half of this key".to_owned();
        assert_eq!(found(false), Err(vec![fault]));
    }
}
