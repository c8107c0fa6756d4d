//! What every machine gets: packages, users, files, kernel settings, units; and how it is
//! removed.

use platform::event::{Event, RunResult};

use crate::harness::{Lab, Machine, Run, Traces, turn};

/// Only for this network, so that no other machine on this computer has it too.
const SYSCTL: &str = "net.ipv4.tcp_keepalive_time";

const BASE: &str = "
    packages: [tree, jq, libjq1]
    users: [{name: deploy, shell: /bin/bash}]
    sysctls: {net.ipv4.tcp_keepalive_time: '1234'}
    files:
      - {path: /opt/deep/blob, source: blob, mode: '0640', owner: deploy}
      - {path: /opt/ticker.conf, source: ticker.conf, template: true}
      - {path: /etc/precious, source: ours}
      - {path: /etc/linked, source: ours}
    units:
      - {name: ticker.service, source: ticker.service, restart_on: [/opt/ticker.conf]}
      - {name: other.service, source: other.service}
";

#[test]
fn what_the_inventory_says_of_all_machines_is_made_kept_and_taken_back() {
    let _turn = turn();
    let lab = Lab::local(&inventory(""));
    let blob: Vec<u8> =
        (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    lab.file("blob", &blob);
    lab.file("ours", "ours\n");
    lab.file(
        "ticker.conf",
        "{{ host }} of {{ group }} at {{ address }} in {{ cluster }}\n",
    );
    lab.file("ticker.service", service("ticker"));
    lab.file("other.service", service("other"));
    lab.up();
    let machine = lab.machine("node-1");
    machine.sh("printf theirs >/etc/precious; chmod 600 /etc/precious; \
         chown daemon:mail /etc/precious; ln -s /etc/hosts /etc/linked");
    let before = Traces::on(&machine);

    is_made(&lab, &machine, &blob);
    restarts_what_depends_on_a_change_and_nothing_else(&lab, &machine);
    follows_what_is_asked_for(&lab, &machine);
    lab.rewrite(&inventory(""));
    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.is_settled();
    let difference = before.difference(&Traces::on(&machine));
    assert!(difference.is_empty(), "{difference:#?}");
}

fn inventory(base: &str) -> String {
    let base = if base.is_empty() { "{}" } else { base };
    format!(
        "groups: {{node: {{roles: [base], count: 1, memory: 512MiB}}}}\n\
         platform:\n  images: {{images}}\n  firewall: {{enabled: false}}\n  base: {base}\n"
    )
}

fn service(name: &str) -> String {
    format!(
        "[Unit]\nDescription={name}\n[Service]\nExecStart=/usr/bin/sleep infinity\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

fn is_made(lab: &Lab, machine: &Machine, blob: &[u8]) {
    lab.rewrite(&inventory(BASE));
    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.is_settled();
    assert_eq!(machine.get("/opt/deep/blob"), blob);
    let modes =
        machine.sh("stat -c '%a %U:%G %F' /opt/deep/blob /etc/precious /etc/linked");
    let file = "644 root:root regular file\n";
    assert_eq!(modes, format!("640 deploy:deploy regular file\n{file}{file}"));
    assert_eq!(machine.sh("cat /etc/linked /etc/precious"), "ours\nours\n");
    assert!(!machine.is("grep ours /etc/hosts"), "where a link led is left alone");
    let conf = format!("node-1 of node at {}.11 in {}\n", lab.prefix(), lab.cluster());
    assert_eq!(machine.sh("cat /opt/ticker.conf"), conf);
    assert_eq!(machine.sh("getent passwd deploy | cut -d: -f7"), "/bin/bash\n");
    assert_eq!(machine.sh(&format!("sysctl -n {SYSCTL}")), "1234\n");
    assert_eq!(machine.sh("systemctl is-active ticker other"), "active\nactive\n");
    assert_eq!(machine.sh("systemctl is-enabled ticker other"), "enabled\nenabled\n");
    machine.sh("tree --version; jq --version");
}

fn restarts_what_depends_on_a_change_and_nothing_else(lab: &Lab, machine: &Machine) {
    let started = || {
        ["ticker", "other"].map(|unit| {
            machine.sh(&format!("systemctl show -p ExecMainPID --value {unit}"))
        })
    };
    let [ticker, other] = started();
    lab.file("ticker.conf", "{{ host }} has another\n");
    let up = lab.up();
    assert_eq!(
        steps(&up),
        ["write file /opt/ticker.conf", "restart unit ticker.service"],
        "{}",
        up.said()
    );
    let [ticker_2, other_2] = started();
    assert_ne!(ticker, ticker_2, "it reads that file");
    assert_eq!(other, other_2, "it does not");
    lab.is_settled();

    lab.file("other.service", service("another other"));
    lab.up();
    let [ticker_3, other_3] = started();
    assert_eq!(ticker_2, ticker_3, "it is another unit");
    assert_ne!(other_2, other_3, "it starts anew with its own file");
    let described = machine.sh("systemctl show -p Description --value other");
    assert_eq!(described, "another other\n");
    lab.is_settled();

    lab.file("ours", "ours anew\n");
    lab.up();
    assert_eq!(started(), [ticker_3, other_3], "no unit reads that file");
    lab.is_settled();
}

fn steps(up: &Run) -> Vec<String> {
    let step = |event| match event {
        Event::StepFinished { step, .. } => Some(step),
        _ => None,
    };
    up.events().into_iter().filter_map(step).collect()
}

/// The restored value is the one from before the first change, not the second. A package that was
/// installed as a dependency stays if the inventory now names it, and keeps its dependencies.
fn follows_what_is_asked_for(lab: &Lab, machine: &Machine) {
    lab.rewrite(&inventory(&BASE.replace("1234", "2345").replace("jq,", "")));
    lab.up();
    lab.is_settled();
    assert_eq!(machine.sh(&format!("sysctl -n {SYSCTL}")), "2345\n");
    let packages = machine.sh("dpkg-query -W -f '${Package}\n' | grep -e jq -e onig");
    assert_eq!(packages, "libjq1\nlibonig5\n");
}
