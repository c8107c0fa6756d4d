//! Unfit hosts: each is reported with what was found and what to do.

use std::collections::BTreeMap;

use platform::host::HostName;
use platform::inventory::catalog;
use platform::plan::preflight::preflight_failures;
use platform::resource::Facts;

use crate::cluster::Cluster;

/// Three control hosts, of which c1 has a separate address for SSH, an edge, and one host with
/// only the base.
fn cluster() -> Cluster {
    Cluster::of(
        "cluster: lab\nprovider: {ssh: {}}\ngroups:\n  \
           control:\n    roles: [control]\n    hosts:\n      \
             - {address: 203.0.113.11, name: c1, ssh: 10.0.0.1}\n      \
             - {address: 10.0.0.2, name: c2}\n      \
             - {address: 10.0.0.3, name: c3}\n  \
           edge: {roles: [edge], hosts: [{address: 203.0.113.9, name: e1}]}\n  \
           spare: {roles: [base], hosts: [{address: 203.0.113.8, name: b1}]}\n",
    )
}

/// The preflight failures if these hosts give these answers in addition to the usual ones.
fn objected(said: &[(&str, &str)]) -> Vec<String> {
    objected_in(&cluster(), said)
}

fn objected_in(cluster: &Cluster, said: &[(&str, &str)]) -> Vec<String> {
    let catalog = catalog::read("components: {}", &|_| true).expect("a valid catalogue");
    let facts = cluster.topology.nodes.iter().map(|node| {
        let of_host = said.iter().filter(|(host, _)| *host == node.host.as_str());
        let also: Vec<&str> = of_host.map(|(_, also)| *also).collect();
        (node.host.clone(), cluster.answer(node, &[], &also.join("\n")))
    });
    let facts: BTreeMap<HostName, Facts> = facts.collect();
    let found = preflight_failures(&cluster.topology, &catalog, &facts);
    found.iter().map(|it| format!("{}: {}; {}", it.host, it.problem, it.help)).collect()
}

/// The only preflight failure if c2 gives this answer about its Docker, without the host's name.
fn of_engine(also: &str) -> Option<String> {
    let mut found = objected(&[("c2", also)]);
    assert!(found.len() < 2, "{found:#?}");
    let found = found.pop()?;
    Some(found.strip_prefix("c2: ").expect("it is of c2").to_owned())
}

/// A unit `docker.service` that is not from a package.
const UNIT: &str = r#"{"q":"unit","show":"Id=docker.service"}
{"q":"unit","show":"LoadState=loaded"}
{"q":"unit","show":"ActiveState=active"}
{"q":"unit","show":""}
"#;

#[test]
fn what_only_looks_like_docker_is_named_with_what_to_do() {
    let installed = "then `platform up` installs the distribution's own Docker";
    let podman = r#"{"q":"docker","command":"/usr/bin/docker","client":"4.3.1","podman":true,"in_place":true}"#;
    let expected = format!(
        "/usr/bin/docker is Podman's (podman-docker), not Docker's; remove the package \
         podman-docker, or /usr/bin/docker itself: {installed}"
    );
    assert_eq!(of_engine(podman).as_deref(), Some(&*expected));
    assert_eq!(of_engine(&format!("{UNIT}{podman}")).as_deref(), Some(&*expected));

    let snap = format!(
        "its Docker is the snap, which can read neither /etc/docker nor most of /var/lib; remove \
         it with `snap remove docker`: {installed}"
    );
    // Its command is not in the PATH of every login.
    for command in ["", "/snap/bin/docker"] {
        let said = format!(r#"{{"q":"docker","command":"{command}","snap":true}}"#);
        assert_eq!(of_engine(&said), Some(snap.clone()));
    }
    assert_eq!(
        of_engine(
            r#"{"q":"docker","command":"/usr/local/bin/docker","version":"27.1.0"}"#
        ),
        Some(format!(
            "Docker 27.1.0 runs behind /usr/local/bin/docker, but systemd has no unit \
             docker.service; run it by a unit docker.service, or stop and remove it: {installed}"
        ))
    );
}

#[test]
fn a_client_alone_and_an_engine_of_another_vendor_are_no_hindrance() {
    for said in [
        "",
        r#"{"q":"docker","command":"/usr/local/bin/docker","client":"29.0.0","offered":"20.10.24"}"#,
        &format!(
            "{UNIT}{}",
            r#"{"q":"docker","command":"/usr/bin/docker","version":"29.0.0","in_place":true,
               "runs_with":[false,false]}"#
                .replace("\n", "")
        ),
        &format!(
            r#"{UNIT}{{"q":"docker","command":"/usr/bin/docker","client":"29.0.0","in_place":true}}"#
        ),
    ] {
        assert_eq!(of_engine(said), None, "{said}");
    }
}

#[test]
fn another_vendor_s_engine_needs_its_client_where_the_services_look_for_it() {
    let none = format!(r#"{UNIT}{{"q":"docker"}}"#);
    assert_eq!(
        of_engine(&none).as_deref(),
        Some(
            "it has Docker's engine (docker.service) but no `docker` command; install the \
             client that belongs to that engine, such as docker-ce-cli"
        )
    );
    let aside = format!(
        r#"{UNIT}{{"q":"docker","command":"/opt/bin/docker","version":"24.0.7"}}"#
    );
    assert_eq!(
        of_engine(&aside).as_deref(),
        Some(
            "its `docker` is /opt/bin/docker, but the services need /usr/bin/docker; link it: \
             `ln -s /opt/bin/docker /usr/bin/docker`"
        )
    );
}

/// An engine with these settings.
fn set(version: &str, runs_with: &str, configured: &str) -> Option<String> {
    let found = of_engine(&format!(
        r#"{UNIT}{{"q":"docker","command":"/usr/bin/docker","version":"{version}","in_place":true,"runs_with":[{runs_with}],"configured":[{configured}]}}"#
    ));
    found.map(|text| text.split(';').next().unwrap_or_default().to_owned())
}

/// An engine that is not installed yet, with these settings already there.
fn offered(version: &str, configured: &str) -> bool {
    of_engine(&format!(
        r#"{{"q":"docker","offered":"{version}","configured":[{configured}]}}"#
    ))
    .is_some()
}

#[test]
fn settings_that_the_services_cannot_work_with_are_named() {
    let userns =
        "does not let containers use the host's network, which the services need";
    assert_eq!(
        set("20.10.24", "false,false", "true,null"),
        Some(format!(
            "Docker's setting `userns-remap` in /etc/docker/daemon.json {userns}"
        ))
    );
    assert_eq!(
        set("20.10.24", "true,false", "null,null"),
        Some(format!("Docker's setting `userns-remap` {userns}"))
    );
    let store = |version: &str| {
        Some(format!(
            "Docker {version} keeps images in containerd's store (`containerd-snapshotter`), \
             which does not know images by the ids that the services use"
        ))
    };
    assert_eq!(set("29.1.0", "false,true", "null,null"), store("29.1.0"));
    assert_eq!(
        set("24.0.7", "false,false", "null,true"),
        store("24.0.7"),
        "from its next start"
    );
    assert_eq!(
        set("29.1.0", "false,true", "null,false"),
        store("29.1.0"),
        "until its next start"
    );
    assert_eq!(set("29.1.0", "false,false", "null,false"), None);
    assert_eq!(
        set("29.1.0", "false,false", "null,null"),
        None,
        "it is an old installation"
    );
    assert_eq!(
        set("20.10.24", "false,false", "null,true"),
        None,
        "it knows no such setting"
    );
}

#[test]
fn settings_of_an_engine_that_is_still_to_come_count_too() {
    assert!(offered("20.10.24", "true,null"));
    assert!(!offered("20.10.24", "null,true"), "it knows no such setting");
    assert!(offered("26.1.5+dfsg1", "null,true"));
    assert!(!offered("26.1.5+dfsg1", "null,null"));
    assert!(offered("29.1.0", "null,null"), "it is the default by then");
    assert!(!offered("29.1.0", "null,false"));
}

const ADDRESSES: &str = r#"{"q":"address","address":"127.0.0.1"}
{"q":"address","address":"10.0.0.1"}
{"q":"address","address":"172.17.0.1"}
{"q":"address6","hex":"fe800000000000000000000000000001"}"#;

#[test]
fn an_address_that_a_host_does_not_have_is_named_with_those_that_it_has() {
    assert_eq!(
        objected(&[("c1", ADDRESSES), ("e1", ADDRESSES), ("b1", ADDRESSES)]),
        [
            "c1: 203.0.113.11 is not one of its addresses (10.0.0.1, 172.17.0.1); set `address` \
             to the address at which the other hosts reach it, and `ssh` to the one at which \
             this computer reaches it"
        ],
        "a registry listens on all addresses, and the base on none"
    );
    let own = r#"{"q":"address","address":"203.0.113.11"}"#;
    assert_eq!(objected(&[("c1", ADDRESSES), ("c1", own)]), [""; 0]);
    let many: Vec<String> =
        (1..9).map(|n| format!(r#"{{"q":"address","address":"10.0.0.{n}"}}"#)).collect();
    let found = objected(&[("c1", &many.join("\n"))]).concat();
    assert!(found.contains("(10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, …)"), "{found}");
}

#[test]
fn a_virtual_ip_that_another_machine_has_is_not_taken_from_it() {
    let cluster = Cluster::of(
        "cluster: lab\nprovider: {ssh: {}}\ngroups:\n  \
           control: {roles: [control], hosts: [{address: 10.0.0.1, name: c1}]}\n  \
           edge:\n    roles: [edge]\n    hosts:\n      \
             - {address: 10.0.0.8, name: e1}\n      \
             - {address: 10.0.0.9, name: e2}\n  \
           workers: {roles: [agent], hosts: [{address: 10.0.0.21, name: w1}]}\n\
         platform: {vip: 10.0.0.100}\n",
    );
    let answering = r#"{"q":"answering","address":"10.0.0.100"}"#;
    let found = objected_in(&cluster, &[("e2", answering)]);
    assert_eq!(
        found,
        [
            "e2: another machine on its network already has the virtual IP 10.0.0.100; set \
          `platform.vip` to an address that nobody has, or take that address from the other \
          machine"
        ]
    );
    let vip = r#"{"q":"address","address":"10.0.0.100"}"#;
    for (host, address) in [("e1", "10.0.0.8"), ("e2", "10.0.0.9")] {
        let own = format!("{{\"q\":\"address\",\"address\":\"{address}\"}}\n{vip}");
        let found = objected_in(&cluster, &[("e2", answering), (host, &own)]);
        assert_eq!(found, [""; 0], "{host} has it");
    }
}

#[test]
fn entries_that_lead_to_one_machine_are_named_together() {
    let address = |host: &str| format!(r#"{{"q":"address","address":"{host}"}}"#);
    let machine = |boot: &str, network: u64, own: &[&str]| {
        let own: Vec<String> = own.iter().map(|own| address(own)).collect();
        let boot = format!(r#"{{"q":"boot_id","boot_id":"{boot}"}}"#);
        let network = format!(
            r#"{{"q":"path","path":"-","kind":"regular empty file","mode":"444","owner":["root","0"],"group":["root","0"],"inode":{network},"changed":1}}"#
        );
        format!("{boot}\n{network}\n{}", own.join("\n"))
    };
    let both = machine("a", 1, &["10.0.0.2", "10.0.0.3"]);
    let help = "keep only one of these entries in the inventory: each must be a different machine";
    let twins = ["c2", "c3"]
        .map(|host| format!("{host}: c2 and c3 are the same machine; {help}"));
    assert_eq!(objected(&[("c2", &both), ("c3", &both)]), twins);

    let one = machine("a", 1, &["10.0.0.2"]);
    for (other, why) in [
        (machine("a", 2, &["10.0.0.3"]), "containers of one kernel"),
        (machine("b", 1, &["10.0.0.3"]), "two kernels"),
        (machine("a", 1, &["10.0.0.3"]), "a machine and its resumed snapshot"),
        (machine("", 1, &["10.0.0.3"]), "a host that does not tell"),
    ] {
        assert_eq!(objected(&[("c2", &one), ("c3", &other)]), [""; 0], "{why}");
    }
    let silent = machine("", 1, &["10.0.0.2", "10.0.0.3"]);
    assert_eq!(objected(&[("c2", &silent), ("c3", &silent)]), [""; 0]);
}
