//! A cluster with a ZooKeeper ensemble and a registry, from creation to removal.
//!
//! It is one test, because a cluster is expensive to create: the test follows its whole life.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::event::{Event, RunResult};

use crate::harness::{Lab, Run, Secrets, Watch, Writes, mode, turn, until};

const CONTROL: [&str; 3] = ["control-1", "control-2", "control-3"];
const HOSTS: [&str; 4] = ["control-1", "control-2", "control-3", "edge-1"];
const MAJORITY: usize = 2;

/// The longest until something that repairs itself is repaired.
const SOON: Duration = Duration::from_secs(60);

/// The longest that members may take to elect a new leader when theirs leaves.
const ELECTION: Duration = Duration::from_secs(10);

#[test]
fn a_cluster_comes_up_stays_changes_heals_and_goes() {
    let _turn = turn();
    let lab = Lab::local(&inventory(60));
    comes_up_from_nothing(&lab);
    is_not_touched_by_a_second_run(&lab);
    is_at_the_operators_hand(&lab);
    shows_a_change_before_it_is_made(&lab);
    rolls_a_change_and_keeps_its_quorum(&lab);
    tells_what_is_wrong_and_heals(&lab);
    says_which_port_others_do_not_reach(&lab);
    is_back_by_itself_when_docker_is(&lab);
    ends_the_wait_for_a_member_that_ends_at_each_start(&lab);
    leaves_nothing(&lab);
}

fn inventory(connections: u16) -> String {
    format!(
        "groups:\n  \
           control: {{roles: [control], count: 3, memory: 1GiB}}\n  \
           edge: {{roles: [edge], count: 1, memory: 512MiB}}\n\
         platform:\n  \
           images: {{images}}\n  \
           access: {{users: [{{name: adminUser, password: {{generate: true}}}}]}}\n  \
           zookeeper: {{heap: 128MiB, max_client_connections: {connections}}}\n"
    )
}

fn comes_up_from_nothing(lab: &Lab) {
    let (arguments, up) = Secrets::in_no_argument_during(|| lab.up());
    assert_eq!(up.result(), RunResult::Changed);
    lab.is_settled();

    let secrets = Secrets::of(lab);
    assert!(secrets.len() > 10, "passwords and keys are kept");
    assert!(
        arguments.text().contains("/usr/sbin/sshd"),
        "processes of machines are seen"
    );
    secrets.are_not_in("the list of processes", &arguments.text());
    secrets.are_not_in("the display", &up.said());
    for host in HOSTS {
        let machine = lab.machine(host);
        secrets.are_hidden_on(&machine);
        let shown = machine.sh(
            "docker ps -aq | xargs -r docker inspect; ps auxww; journalctl --no-pager -q; \
             systemctl cat 'platform-*' docker; systemctl show 'platform-*'",
        );
        for part in
            ["\"HostConfig\"", "systemd-journald", "ExecStart=/usr/bin/docker run"]
        {
            assert!(shown.contains(part), "{part} is not seen on {host}");
        }
        secrets.are_not_in(host, &shown);
    }
}

fn is_not_touched_by_a_second_run(lab: &Lab) {
    let before: Vec<Writes> = HOSTS.map(|host| Writes::on(&lab.machine(host))).into();
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Unchanged, "{}", up.said());
    for host in HOSTS {
        assert_eq!(connections(&up, host), 1, "{}", up.said());
        assert_eq!(commands(&up, host), ["probe"], "{}", up.said());
    }
    lab.is_settled();
    let plan = lab.run(&["plan", "-o", "json"]).exits(0).json();
    assert_eq!(plan["changes"], 0);
    for (host, before) in HOSTS.iter().zip(&before) {
        before.are_still_the_last_on(&lab.machine(host));
    }
}

fn connections(run: &Run, name: &str) -> usize {
    let to_host = |event: &Event| matches!(event, Event::Connected { host, .. } if host.as_str() == name);
    run.events().iter().filter(|event| to_host(event)).count()
}

fn commands(run: &Run, name: &str) -> Vec<String> {
    let of_host = run.commands().into_iter().filter(|(host, _)| host == name);
    of_host.map(|(_, purpose)| purpose).collect()
}

fn is_at_the_operators_hand(lab: &Lab) {
    let exec = lab.run(&["exec", "--limit", "control", "--", "hostname"]).exits(0);
    let said: Vec<String> = CONTROL.map(|host| format!("== {host}\n{host}\n")).into();
    assert_eq!(exec.stdout, said.concat());
    let exec = lab.run(&[
        "exec",
        "-o",
        "json",
        "--sudo",
        "--",
        "sh",
        "-c",
        "id -u; echo $0 'a  b'",
    ]);
    for answer in exec.exits(0).json().as_array().expect("a list") {
        assert_eq!(answer["stdout"], "0\nsh a  b\n", "{answer}");
    }
    let exec = lab.run(&["exec", "--limit", "edge-1,control-2", "--", "false"]).exits(1);
    assert_eq!(exec.stdout, "== control-2: status 1\n== edge-1: status 1\n");
    lab.run(&["exec", "--limit", "edge-2", "--", "true"]).exits(2);

    let ssh =
        lab.run(&["ssh", "edge-1", "--", "echo", "it is", "$HOSTNAME", "'"]).exits(0);
    assert_eq!(ssh.stdout, "it is $HOSTNAME '\n", "words arrive as they are");
    assert_eq!(lab.run(&["ssh", "edge-1", "--", "exit 3"]).code, 127);

    let runs = lab.run(&["audit", "-o", "json"]).exits(0).json();
    let runs = runs.as_array().expect("a list");
    assert_eq!(runs.len(), 2, "each `up`, and nothing that only looks: {runs:#?}");
    for run in runs {
        let id = run["id"].as_str().expect("a name");
        let shown = lab.run(&["audit", id]).exits(0);
        assert!(shown.stdout.contains("control-3"), "{}", shown.said());
        assert!(lab.run(&["audit"]).exits(0).stdout.contains(id));
    }
    let secrets = Secrets::of(lab);
    for journal in std::fs::read_dir(lab.state().join("journal")).expect("the journal") {
        let text =
            std::fs::read_to_string(journal.expect("a file").path()).expect("text");
        secrets.are_not_in("the journal", &text);
    }
}

fn shows_a_change_before_it_is_made(lab: &Lab) {
    lab.rewrite(&inventory(77));
    let before: Vec<Writes> = HOSTS.map(|host| Writes::on(&lab.machine(host))).into();
    let plan = lab.run(&["plan"]).exits(10);
    for part in [
        "write file /etc/platform/zookeeper/zoo.cfg",
        "-maxClientCnxns=60",
        "+maxClientCnxns=77",
    ] {
        assert!(plan.stdout.contains(part), "{part} is missing:\n{}", plan.stdout);
    }
    let json = lab.run(&["plan", "-o", "json"]).exits(10);
    let n_changes = json.json()["changes"].as_u64().expect("a number");
    assert_eq!(n_changes, 6, "a file and a restart on each member: {}", json.stdout);
    let secrets = Secrets::of(lab);
    secrets.are_not_in("the plan", &plan.said());
    secrets.are_not_in("the plan", &json.said());
    for (host, before) in HOSTS.iter().zip(&before) {
        before.are_still_the_last_on(&lab.machine(host));
    }
}

fn rolls_a_change_and_keeps_its_quorum(lab: &Lab) {
    let addresses: Vec<String> =
        (11..14).map(|n| format!("{}.{n}", lab.prefix())).collect();
    let leads = addresses.iter().position(|at| mode(at).as_deref() == Some("leader"));
    let leader = CONTROL[leads.expect("one leads")];

    let mut leader_s_turn = None;
    let (watch, up) = Watch::during(&addresses, |watch| {
        let mut running = lab.start(&["up", "--yes", "-o", "json"]);
        running.wait_for("the leader's turn", |event| {
            matches!(event, Event::StepStarted { host: Some(host), .. } if host.as_str() == leader)
        });
        leader_s_turn = Some(watch.now());
        running.end().exits(0)
    });

    let order = order_of_restarts(&up);
    assert_eq!(order.len(), 3, "{}", up.said());
    assert_eq!(
        order.last().map(String::as_str),
        Some(leader),
        "the leader is last: {order:?}"
    );
    let leader_s_turn = leader_s_turn.expect("it came");
    assert!(watch.n_looks(Duration::ZERO, leader_s_turn) > 10, "it was watched");
    let fewest = watch.fewest(Duration::ZERO, leader_s_turn);
    assert!(fewest >= Some(MAJORITY), "{fewest:?} served while a follower restarted");
    let election = watch.longest_without(MAJORITY);
    assert!(election < ELECTION, "no majority for {election:?} as the leader restarted");
    lab.is_settled();
}

/// The members in the order of their restarts.
///
/// # Panics
/// When a member's restart began before another's ended.
fn order_of_restarts(up: &Run) -> Vec<String> {
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for event in up.events() {
        match event {
            Event::StepStarted { stage, host: Some(host), step }
                if stage == "zookeeper" =>
            {
                *open.entry(host.to_string()).or_default() += 1;
                assert_eq!(open.len(), 1, "{step} on {host} while others work: {open:?}");
                if step.starts_with("restart unit") {
                    order.push(host.to_string());
                }
            }
            Event::StepFinished { stage, host: Some(host), .. }
                if stage == "zookeeper" =>
            {
                open.remove(host.as_str());
            }
            _ => {}
        }
    }
    order
}

fn tells_what_is_wrong_and_heals(lab: &Lab) {
    let well = lab.run(&["status"]).exits(0);
    for part in
        ["leads; it can lose 1 more", "All is well.", "registry", "3 of 3 members serve"]
    {
        assert!(well.stdout.contains(part), "{part} is missing:\n{}", well.stdout);
    }
    let json = lab.run(&["status", "-o", "json"]).exits(0).json();
    assert_eq!(json["zookeeper"]["can_lose"], 1, "{json:#}");
    assert_eq!(json["hosts"].as_array().map(Vec::len), Some(4), "{json:#}");
    let leader = json["zookeeper"]["leader"].as_str().expect("one leads").to_owned();

    lab.machine(&leader).stop();
    until("another leader", ELECTION, || {
        let json = lab.run(&["status", "-o", "json"]).exits(1).json();
        (json["zookeeper"]["n_serving"] == 2).then_some(())
    });
    let ill = lab.run(&["status"]).exits(1);
    let problem = format!("problem: {leader} does not run");
    assert!(ill.stdout.contains(&problem), "{}", ill.stdout);
    let json = lab.run(&["status", "-o", "json"]).exits(1).json();
    assert_eq!(json["missing"], serde_json::json!([leader]), "{json:#}");
    assert_eq!(json["zookeeper"]["n_serving"], 2, "{json:#}");
    assert_eq!(json["zookeeper"]["can_lose"], 0, "{json:#}");
    assert!(ill.stdout.contains("it can lose none"), "{}", ill.stdout);
    let plan = lab.run(&["plan"]).exits(10);
    assert!(plan.stdout.contains("start container: it is exited"), "{}", plan.said());

    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.is_settled();
    let well = lab.run(&["status", "-o", "json"]).exits(0).json();
    assert_eq!(well["zookeeper"]["can_lose"], 1, "{well:#}");
}

/// A firewall between two hosts cannot be seen from one of them alone.
fn says_which_port_others_do_not_reach(lab: &Lab) {
    let machine = lab.machine("control-1");
    let source = format!("{}.12", lab.prefix());
    let rule = format!("INPUT -p tcp -s {source} --dport 2181 -j DROP");
    machine.sh(&format!("iptables -I {rule}"));
    let ill = lab.run(&["status"]).exits(1);
    let address = format!("{}.11", lab.prefix());
    let problem = format!(
        "problem: control-2 does not reach port 2181 of control-1 ({address}): the \
         connection timed out: is there a firewall between them?"
    );
    assert!(ill.stdout.contains(&problem), "{}", ill.stdout);
    machine.sh(&format!("iptables -D {rule}"));
    lab.run(&["status"]).exits(0);
}

/// As during an upgrade: Docker is stopped, replaced and started. A stop is respected, and
/// afterwards only a start is needed.
fn is_back_by_itself_when_docker_is(lab: &Lab) {
    for host in HOSTS {
        lab.machine(host).sh("systemctl stop docker docker.socket");
    }
    for (host, unit) in
        HOSTS.into_iter().zip(["zookeeper", "zookeeper", "zookeeper", "registry"])
    {
        let machine = lab.machine(host);
        until("fails at each start", SOON, || {
            let n = machine.sh(&format!("systemctl show -P NRestarts platform-{unit}"));
            (n.trim().parse::<u32>().expect("a number") >= 3).then_some(())
        });
        assert!(!machine.is("systemctl is-active docker"), "it stays stopped on {host}");
        machine.sh("systemctl start docker");
    }
    until("all to be well", SOON, || (lab.run(&["status"]).code == 0).then_some(()));
    lab.run(&["plan"]).exits(0);
}

/// After a power failure, a member may have an empty file, with which it never starts again. The
/// run reports the member's message, and does not wait for its deadline; the data is not touched.
fn ends_the_wait_for_a_member_that_ends_at_each_start(lab: &Lab) {
    let member = lab.machine("control-2");
    let epoch = "/var/lib/platform/zookeeper/version-2/acceptedEpoch";
    let kept = member.get(epoch);
    member.sh(&format!(": >{epoch} && systemctl restart --no-block platform-zookeeper"));
    let begun = std::time::Instant::now();
    let up = lab.run(&["up", "--yes", "-o", "json"]).exits(1);
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    for part in [
        "platform-zookeeper.service on control-2 ended and was started again",
        "Found null in",
        "journalctl -u platform-zookeeper.service",
    ] {
        assert!(up.said().contains(part), "`{part}` is not in:\n{}", up.said());
    }
    let runs = lab.run(&["audit", "-o", "json"]).exits(0).json();
    let id = runs.as_array().and_then(|runs| runs.last()?["id"].as_str()).expect("a run");
    let shown = lab.run(&["audit", id]).exits(0).stdout;
    assert!(shown.contains(" at org.apache.zookeeper."), "all lines:\n{shown}");
    until("its words in the status", SOON, || {
        lab.run(&["status"]).stdout.contains("its log says: Caused by: ").then_some(())
    });
    member.put(epoch, &kept);
    lab.up();
    lab.run(&["status"]).exits(0);
}

fn leaves_nothing(lab: &Lab) {
    assert_eq!(lab.remains().len(), 4 + 4 + 1, "containers, volumes, a network");
    let refused = lab.run(&["down"]).exits(4);
    assert_eq!(
        lab.remains().len(),
        9,
        "nobody was there to be asked: {}",
        refused.said()
    );
    let down = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(down.result(), RunResult::Changed);
    assert_eq!(lab.remains(), [""; 0]);
    let again = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(again.result(), RunResult::Unchanged);
}
