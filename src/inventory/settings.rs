//! Reads `platform`: what runs on the machines, and what every machine gets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;

use super::access::Kind;
use super::batch::{Batch, batch};
use super::builtin::{BuiltIn, CatalogSource, catalog_source};
use super::diagnostic::Diagnostic;
use super::firewall::firewall;
use super::reader::{Reader, Spanned, did_you_mean};
use super::source::secret;
use super::tree::{Node, Value};
use super::{Account, Base, BaseFile, BaseUnit, BaseUser, ClusterName};
use super::{Firewall, Platform, TlsFiles, Zookeeper};
use crate::path::HostPath;
use crate::unit::Size;

/// `platform` as far as it can be read.
#[derive(Default)]
pub(super) struct DraftPlatform {
    pub(super) domain: Option<String>,
    /// The virtual IP and its position.
    pub(super) vip: Option<Spanned<Ipv4Addr>>,
    /// The catalogue that the file names; the inner value is `None` if it is wrong.
    pub(super) images: Option<Option<CatalogSource>>,
    pub(super) users: Vec<Account>,
    /// The operator's own certificate and its position.
    pub(super) tls: Option<Spanned<TlsFiles>>,
    pub(super) base: Base,
    pub(super) zookeeper: Zookeeper,
    pub(super) batch: Batch,
    pub(super) task_users: Option<Vec<String>>,
    pub(super) firewall: Firewall,
    /// The heap and its position.
    pub(super) heap: Option<Spanned<Size>>,
}

impl DraftPlatform {
    /// The settings with their defaults, if they have no fault.
    pub(super) fn into_platform(
        self,
        cluster: &ClusterName,
        has_mesos: bool,
    ) -> Option<Platform> {
        let images = match self.images {
            Some(images) => images?,
            None => CatalogSource::BuiltIn(BuiltIn::usual(has_mesos)),
        };
        Some(Platform {
            domain: self.domain.unwrap_or_else(|| format!("{cluster}.internal")),
            vip: self.vip.map(|vip| vip.value),
            images,
            users: self.users,
            tls: self.tls.map(|tls| tls.value),
            base: self.base,
            zookeeper: self.zookeeper,
            batch: self.batch,
            task_users: self.task_users,
            firewall: self.firewall,
        })
    }
}

pub(super) fn platform(node: &Node, kind: Option<Kind>, r: &mut Reader) -> DraftPlatform {
    let known =
        ["domain", "vip", "images", "access", "base", "zookeeper", "agents", "firewall"];
    let Some(fields) = r.fields(node, "platform", &known) else {
        return DraftPlatform::default();
    };
    let (zookeeper, heap) =
        fields.get("zookeeper").map(|node| zookeeper(node, r)).unwrap_or_default();
    let base =
        fields.get("base").and_then(|node| base(node, kind, r)).unwrap_or_default();
    let agents = fields.get("agents").map(|node| agents(node, &base.users, r));
    let (batch, task_users) = agents.unwrap_or_default();
    let firewall = fields.get("firewall").map(|node| firewall(node, kind, r));
    let (users, tls) =
        fields.get("access").map(|node| access(node, r)).unwrap_or_default();
    DraftPlatform {
        domain: fields.get("domain").and_then(|node| domain(node, r)),
        vip: fields.get("vip").and_then(|node| vip(node, r)),
        images: fields.get("images").map(|node| catalog_source(node, r)),
        users,
        tls,
        base,
        zookeeper,
        batch,
        task_users,
        firewall: firewall.unwrap_or_default(),
        heap,
    }
}

/// The settings of all agents: how many may be interrupted at once, and as which users apps may
/// run tasks, besides the usual one.
fn agents(
    node: &Node,
    users: &[BaseUser],
    r: &mut Reader,
) -> (Batch, Option<Vec<String>>) {
    let Some(fields) = r.fields(node, "agents", &["batch", "task_users"]) else {
        return Default::default();
    };
    let batch = fields.get("batch").and_then(|node| batch(node, r)).unwrap_or_default();
    let allowed = fields.get("task_users").map(|node| {
        let known = r.distinct(node, "task_users", |r, node| task_user(node, users, r));
        known.into_iter().map(|user| user.value).collect()
    });
    (batch, allowed)
}

/// A user as which tasks may run: one that every agent has.
fn task_user(node: &Node, users: &[BaseUser], r: &mut Reader) -> Option<String> {
    let text = r.text(node)?;
    let made = users.iter().map(|user| user.name.as_str());
    let known: Vec<&str> = ["root"].into_iter().chain(made).collect();
    if known.contains(&text) {
        return Some(text.to_owned());
    }
    let message = format!("`{text}` is not a user that every agent has");
    let near = did_you_mean(text, &known);
    let help = format!("add the user to `platform.base.users`; {near}");
    r.refuse(Diagnostic::new(&node.span, message).help(help))
}

fn domain(node: &Node, r: &mut Reader) -> Option<String> {
    let is_part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (1..=63).contains(&part.len())
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let is_domain = |text: &str| text.len() <= 200 && text.split('.').all(is_part);
    let rule = "write lower-case letters, digits, `-` and `.`, such as `lab.example.com`";
    r.text_that(node, is_domain, "a DNS domain", rule)
}

fn vip(node: &Node, r: &mut Reader) -> Option<Spanned<Ipv4Addr>> {
    let text = r.text(node)?;
    let is_host = |vip: &Ipv4Addr| {
        !vip.is_unspecified()
            && !vip.is_loopback()
            && !vip.is_multicast()
            && !vip.is_broadcast()
    };
    match text.parse().ok().filter(is_host) {
        Some(value) => Some(Spanned { value, span: node.span.clone() }),
        None => {
            let message = format!("`{text}` is not an IPv4 address of a host");
            let help =
                "write a free address of the edge hosts' network, such as `10.0.0.100`";
            r.refuse(Diagnostic::new(&node.span, message).help(help))
        }
    }
}

/// The accounts, and the operator's own certificate.
fn access(node: &Node, r: &mut Reader) -> (Vec<Account>, Option<Spanned<TlsFiles>>) {
    let Some(fields) = r.fields(node, "access", &["users", "tls"]) else {
        return Default::default();
    };
    let users = fields.required("users", "users: []", r);
    let users = users.map(|node| accounts(node, r)).unwrap_or_default();
    (users, fields.get("tls").and_then(|node| tls(node, r)))
}

/// The files of the operator's own certificate.
fn tls(node: &Node, r: &mut Reader) -> Option<Spanned<TlsFiles>> {
    let fields = r.fields(node, "tls", &["certificate", "chain", "key"])?;
    let certificate = fields.required("certificate", "certificate: tls/fullchain.pem", r);
    let certificate = certificate.and_then(|node| r.file(node));
    let chain = fields.get("chain").map(|node| r.file(node));
    let key = fields.required("key", "key: tls/privkey.pem", r);
    let key = key.and_then(|node| r.file(node));
    let chain = match chain {
        Some(chain) => Some(chain?),
        None => None,
    };
    let value = TlsFiles { certificate: certificate?, chain, key: key? };
    Some(Spanned { value, span: node.place().clone() })
}

fn accounts(users: &Node, r: &mut Reader) -> Vec<Account> {
    let mut accounts = Vec::new();
    let mut names = Names::new("user");
    for item in r.list(users, "users").unwrap_or_default() {
        accounts.extend(account(item, &mut names, r));
    }
    accounts
}

fn account(node: &Node, names: &mut Names, r: &mut Reader) -> Option<Account> {
    let fields = r.fields(node, "a user", &["name", "password", "push"])?;
    let name = fields
        .required("name", "name: adminUser", r)
        .and_then(|node| names.unused(node, account_name(node, r)?, r));
    let password = fields
        .required("password", "password: {generate: true}", r)
        .and_then(|node| secret(node, r));
    let push = match fields.get("push") {
        Some(node) => r.boolean(node),
        None => Some(true),
    };
    Some(Account { name: name?, password: password?, push: push? })
}

/// The names under which the program and its hosts use the platform's services.
const OWN_ACCOUNTS: [&str; 3] = ["platform", "platform-pull", "platform-copier"];

fn account_name(node: &Node, r: &mut Reader) -> Option<String> {
    let text = r.text(node)?;
    if OWN_ACCOUNTS.contains(&text) {
        let message = format!("the user name `{text}` is reserved for the platform");
        return r
            .refuse(Diagnostic::new(&node.span, message).help("choose another name"));
    }
    let bad = |c: char| c == ':' || c.is_whitespace() || c.is_control();
    let fits =
        |text: &str| text.len() <= 64 && !text.contains(bad) && !text.starts_with('#');
    let rule = "write at most 64 bytes without `:` and blanks, and no `#` at the beginning: \
                neither logins nor the registries' password file can hold these";
    r.text_that(node, fits, "a user's name", rule)
}

fn base(node: &Node, kind: Option<Kind>, r: &mut Reader) -> Option<Base> {
    let known = ["packages", "users", "files", "sysctls", "units"];
    let fields = r.fields(node, "base", &known)?;
    let files = fields.get("files");
    Some(Base {
        packages: fields
            .get("packages")
            .map(|node| packages(node, r))
            .unwrap_or_default(),
        users: fields.get("users").map(|node| users(node, r)).unwrap_or_default(),
        files: files.map(|node| self::files(node, r)).unwrap_or_default(),
        sysctls: fields
            .get("sysctls")
            .map(|node| sysctls(node, kind, r))
            .unwrap_or_default(),
        units: fields.get("units").map(|node| units(node, files, r)).unwrap_or_default(),
    })
}

fn packages(node: &Node, r: &mut Reader) -> Vec<String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "+-._:".contains(c);
    let fits = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(inner)
    };
    let rule = "write only the package's name, such as `jq`";
    r.distinct(node, "packages", |r, node| r.text_that(node, fits, "a package", rule))
        .into_iter()
        .map(|package| package.value)
        .collect()
}

fn users(node: &Node, r: &mut Reader) -> Vec<BaseUser> {
    let mut names = Names::new("user");
    let items = r.list(node, "users").unwrap_or_default();
    items.iter().filter_map(|item| user(item, &mut names, r)).collect()
}

fn user(node: &Node, names: &mut Names, r: &mut Reader) -> Option<BaseUser> {
    let fields = r.fields(node, "a user", &["name", "shell"])?;
    let name = fields.required("name", "name: deploy", r).and_then(|node| {
        let name = system_user(node, r)?;
        if name == "root" {
            let help = "leave it out: every machine has it";
            return r.refuse(
                Diagnostic::new(&node.span, "`root` cannot be added").help(help),
            );
        }
        if name.starts_with("platform-") {
            let message =
                "user names that begin with `platform-` are reserved for the platform";
            return r.refuse(
                Diagnostic::new(&node.span, message).help("choose another name"),
            );
        }
        names.unused(node, name, r)
    });
    let shell = match fields.get("shell") {
        Some(node) => host_path(node, r).map(|path| path.to_string()),
        None => Some("/usr/sbin/nologin".to_owned()),
    };
    Some(BaseUser { name: name?, shell: shell? })
}

fn system_user(node: &Node, r: &mut Reader) -> Option<String> {
    let inner =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    let fits = |text: &str| {
        text.len() <= 32
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && text.chars().all(inner)
    };
    let rule = "write at most 32 lower-case letters, digits, `_` and `-`, beginning with a \
                letter";
    r.text_that(node, fits, "a system user's name", rule)
}

fn files(node: &Node, r: &mut Reader) -> Vec<BaseFile> {
    let mut paths = Names::new("file");
    let items = r.list(node, "files").unwrap_or_default();
    items.iter().filter_map(|item| file(item, &mut paths, r)).collect()
}

fn file(node: &Node, paths: &mut Names, r: &mut Reader) -> Option<BaseFile> {
    let known = ["path", "source", "template", "mode", "owner"];
    let fields = r.fields(node, "a file", &known)?;
    let path = fields.required("path", "path: /opt/x", r).and_then(|node| {
        let path = unreserved(node, host_path(node, r)?, r)?;
        paths.unused(node, path.to_string(), r).map(|_| path)
    });
    let source = fields.required("source", "source: files/x", r).and_then(|n| r.file(n));
    let template = match fields.get("template") {
        Some(node) => r.boolean(node),
        None => Some(false),
    };
    let mode = match fields.get("mode") {
        Some(node) => mode(node, r),
        None => Some(0o644),
    };
    let owner = match fields.get("owner") {
        Some(node) => system_user(node, r),
        None => Some("root".to_owned()),
    };
    let (path, source, template) = (path?, source?, template?);
    Some(BaseFile { path, source, template, mode: mode?, owner: owner? })
}

fn mode(node: &Node, r: &mut Reader) -> Option<u32> {
    let Value::Scalar { text, plain } = &node.value else {
        r.text(node)?;
        return None;
    };
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = (3..=4).contains(&digits.len()) && digits.chars().all(|c| c.is_digit(8));
    if octal && *plain {
        let message = "YAML may read a mode without quotes as another number";
        let help = format!("put it in quotes: \"{digits:0>4}\"");
        return r.refuse(Diagnostic::new(&node.span, message).help(help));
    }
    let rule = "write three or four octal digits in quotes, such as \"0644\"";
    if *plain && !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        let message = format!("{text} is not a file's mode");
        return r.refuse(Diagnostic::new(&node.span, message).help(rule));
    }
    let fits = |text: &str| octal && text == digits;
    let text = r.text_that(node, fits, "a file's mode", rule)?;
    u32::from_str_radix(&text, 8).ok()
}

/// A path on a machine.
fn host_path(node: &Node, r: &mut Reader) -> Option<HostPath> {
    let fits = |text: &str| text.parse::<HostPath>().is_ok();
    let rule = "write a path from the root, such as `/opt/x`, with letters, digits and \
                `/._-+@:`, but without `..`, `//` or `/` at its end";
    r.text_that(node, fits, "a plain absolute path", rule)?.parse().ok()
}

/// Folders on a machine that hold the platform's own files.
const OWN_FOLDERS: [&str; 2] = ["/etc/platform", "/var/lib/platform"];

fn unreserved(node: &Node, path: HostPath, r: &mut Reader) -> Option<HostPath> {
    match OWN_FOLDERS.iter().find(|folder| path.is_below(folder)) {
        None => Some(path),
        Some(folder) => {
            let message = format!("`{folder}` is reserved for the platform's own files");
            r.refuse(Diagnostic::new(&node.span, message).help("choose another folder"))
        }
    }
}

fn sysctls(node: &Node, kind: Option<Kind>, r: &mut Reader) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for entry in r.map(node, "sysctls").unwrap_or_default() {
        if !is_sysctl(&entry.key) {
            let message = format!("`{}` is not a kernel setting", entry.key);
            let help = "write its name with dots, such as `vm.swappiness`";
            r.fault(Diagnostic::new(&entry.key_span, message).help(help));
        } else if kind == Some(Kind::Local) && !is_of_a_container(&entry.key) {
            let message = format!(
                "`{}` would change the kernel of this computer, which local machines share",
                entry.key
            );
            let help = "leave it out if the provider is `local`: it would affect everything on \
                        this computer, also after `platform down`; settings that each container \
                        has for itself, such as `net.*`, are allowed";
            r.fault(Diagnostic::new(&entry.key_span, message).help(help));
        }
        let value = r.text(&entry.node);
        settings.extend(value.map(|value| (entry.key.clone(), value.to_owned())));
    }
    settings
}

/// Whether each container has its own value of a kernel setting: Docker's list of such settings.
fn is_of_a_container(key: &str) -> bool {
    let of_ipc = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let is_below = |prefix| key.starts_with(prefix);
    is_below("net.") || is_below("fs.mqueue.") || of_ipc.contains(&key)
}

fn is_sysctl(key: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-/".contains(c);
    let is_part = |part: &str| !part.is_empty() && part.chars().all(inner);
    // A leading dash would make it an option of sysctl, and in its files a setting that may fail.
    key.contains('.') && !key.starts_with('-') && key.split('.').all(is_part)
}

fn units(node: &Node, files: Option<&Node>, r: &mut Reader) -> Vec<BaseUnit> {
    let mut names = Names::new("unit");
    let paths = file_paths(files);
    let items = r.list(node, "units").unwrap_or_default();
    items.iter().filter_map(|item| unit(item, &mut names, &paths, r)).collect()
}

/// The paths of `files`, even wrong ones: those that a unit may name.
fn file_paths(files: Option<&Node>) -> Vec<&str> {
    let path = |item| match item {
        &Node { value: Value::Map(ref entries), .. } => {
            match &entries.iter().find(|entry| entry.key == "path")?.node.value {
                Value::Scalar { text, .. } => Some(text.as_str()),
                _ => None,
            }
        }
        _ => None,
    };
    match files.map(|files| &files.value) {
        Some(Value::List(items)) => items.iter().filter_map(path).collect(),
        _ => Vec::new(),
    }
}

fn unit(
    node: &Node,
    names: &mut Names,
    paths: &[&str],
    r: &mut Reader,
) -> Option<BaseUnit> {
    let fields = r.fields(node, "a unit", &["name", "source", "restart_on"])?;
    let name = fields
        .required("name", "name: ticker.service", r)
        .and_then(|node| names.unused(node, unit_name(node, r)?, r));
    let source = fields.get("source").map(|node| r.file(node));
    let restart_on = fields.get("restart_on").map(|node| {
        r.distinct(node, "restart_on", |r, node| known_path(node, paths, r))
            .into_iter()
            .filter_map(|path| path.value.parse().ok())
            .collect()
    });
    let source = match source {
        Some(source) => Some(source?),
        None => None,
    };
    Some(BaseUnit { name: name?, source, restart_on: restart_on.unwrap_or_default() })
}

const UNIT_TYPES: [&str; 6] = ["service", "socket", "timer", "path", "mount", "target"];

fn unit_name(node: &Node, r: &mut Reader) -> Option<String> {
    let text = r.text(node)?;
    if text.starts_with("platform-") {
        let message =
            "unit names that begin with `platform-` are reserved for the platform";
        return r
            .refuse(Diagnostic::new(&node.span, message).help("choose another name"));
    }
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.@:-".contains(c);
    let fits = |text: &str| {
        text.rsplit_once('.').is_some_and(|(stem, kind)| {
            UNIT_TYPES.contains(&kind)
                && stem.starts_with(|c: char| c.is_ascii_alphanumeric())
                && stem.chars().all(inner)
        })
    };
    let rule = "write its name with its type, such as `ticker.service`";
    r.text_that(node, fits, "a systemd unit", rule)
}

fn known_path(node: &Node, paths: &[&str], r: &mut Reader) -> Option<String> {
    let text = r.text(node)?;
    if paths.contains(&text) {
        return Some(text.to_owned());
    }
    let help = match paths {
        [] => "there are none: add the file to `files`".to_owned(),
        paths => did_you_mean(text, paths),
    };
    let message = format!("`{text}` is not the path of one of the files");
    r.refuse(Diagnostic::new(&node.span, message).help(help))
}

fn zookeeper(node: &Node, r: &mut Reader) -> (Zookeeper, Option<Spanned<Size>>) {
    let known = ["heap", "max_client_connections"];
    let Some(fields) = r.fields(node, "zookeeper", &known) else {
        return Default::default();
    };
    let heap = fields.get("heap").and_then(|node| heap(node, r));
    let connections = fields.get("max_client_connections");
    let max_client_connections =
        connections.and_then(|node| r.number(node, 1..=u16::MAX));
    let value = heap.as_ref().map(|heap| heap.value);
    (Zookeeper { heap: value, max_client_connections }, heap)
}

/// ZooKeeper's JVM does not start with less.
const LEAST_HEAP: Size = Size::mib(64);

fn heap(node: &Node, r: &mut Reader) -> Option<Spanned<Size>> {
    let value = r.size(node)?;
    if value < LEAST_HEAP {
        let message = format!("ZooKeeper does not start with a heap of {value}");
        let help = format!("write at least {LEAST_HEAP}, or leave it out");
        return r.refuse(Diagnostic::new(&node.span, message).help(help));
    }
    Some(Spanned { value, span: node.span.clone() })
}

/// Names of one kind. Each may be used once.
struct Names {
    kind: &'static str,
    used: BTreeMap<String, Range<usize>>,
}

impl Names {
    fn new(kind: &'static str) -> Self {
        Self { kind, used: BTreeMap::new() }
    }

    fn unused(&mut self, node: &Node, name: String, r: &mut Reader) -> Option<String> {
        let Some(first) = self.used.get(&name) else {
            self.used.insert(name.clone(), node.span.clone());
            return Some(name);
        };
        let message = format!("the {} `{name}` is given twice", self.kind);
        let help = format!("it is already in {}: keep one of them", r.line(first));
        r.refuse(Diagnostic::new(&node.span, message).help(help))
    }
}
