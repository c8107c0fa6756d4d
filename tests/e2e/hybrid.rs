//! A machine that has only control groups of version 2, for components that need version 1:
//! refused, then rebooted, and restored.

use std::time::Duration;

use platform::event::{Event, RunResult};

use crate::harness::{CATALOG, Lab, Vm, turn};

/// A catalogue in which the registry needs version 1: requirements of a version are data, and a
/// registry starts fast.
fn catalogue() -> String {
    let registry = CATALOG.replace("base.yaml", "registry");
    format!(
        "components:\n  registry: {{version: 2.8.2, build: {registry}, needs: {{cgroups: v1}}}}\n"
    )
}

fn body(setting: &str) -> String {
    format!(
        "groups:\n  edge:\n    roles: [edge]\n    hosts: [{{address: {}, name: vm-1, ssh: \
         127.0.0.1}}]\n{setting}platform: {{images: needy.yaml}}\n",
        Vm::ADDRESS
    )
}

#[test]
fn a_machine_is_booted_with_version_1_where_that_is_needed_and_allowed() {
    let _turn = turn();
    let vm = Vm::boot();
    let lab = vm.lab(&body(""));
    lab.file("needy.yaml", catalogue());
    is_refused(&vm, &lab);
    lab.rewrite(&body("    host: {cgroups: hybrid}\n"));
    is_planned(&vm, &lab);
    is_rebooted_once(&vm, &lab);
    is_taken_back(&vm, &lab);
}

const IS_V2: &str = "test -e /sys/fs/cgroup/cgroup.controllers && echo v2 || echo v1";

/// Both faults at once. The emulated clock falls behind by itself, so its seconds are not exact.
fn is_refused(vm: &Vm, lab: &Lab) {
    vm.set_clock_behind(Duration::from_secs(60));
    let refused = lab.run(&["up", "--yes"]).exits(4);
    for said in [
        "it has only control groups of version 2, but registry 2.8.2 needs version 1; add \
         `host: {cgroups: hybrid}` to the group `edge`",
        "s behind this computer's",
        "chrony",
    ] {
        assert!(refused.said().contains(said), "{said} is missing:\n{}", refused.said());
    }
}

fn is_planned(vm: &Vm, lab: &Lab) {
    vm.set_clock();
    let plan = lab.run(&["plan", "-o", "json"]).exits(10).json();
    let boot = &plan["stages"][0];
    assert_eq!(boot["stage"], "boot");
    let changes = &boot["waves"][0]["hosts"][0]["changes"];
    assert_eq!(
        changes[0]["change"],
        "write boot setting /etc/default/grub.d/99-platform.cfg"
    );
    assert_eq!(changes[1]["change"], "reboot the machine");
    assert_eq!(changes[1]["reason"], "boots with cgroup v1: registry 2.8.2 needs it");
    assert_eq!(boot["gates"][0], "vm-1 is back with cgroup v1");
    assert_eq!(vm.sh(IS_V2), "v2\n", "a plan changes nothing");
}

fn is_rebooted_once(vm: &Vm, lab: &Lab) {
    let boot = || vm.sh("cat /proc/sys/kernel/random/boot_id");
    let before = boot();
    vm.set_clock();
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Changed);
    let is_back = |event: &Event| matches!(event, Event::GatePassed { gate, .. } if gate == "vm-1 is back with cgroup v1");
    assert_eq!(up.events().into_iter().filter(is_back).count(), 1, "{}", up.said());
    let after = boot();
    assert_ne!(before, after);
    assert_eq!(vm.sh(IS_V2), "v1\n");
    assert!(vm.sh("docker ps").contains("platform-registry"));

    vm.set_clock();
    lab.is_settled();
    assert_eq!(lab.up().result(), RunResult::Unchanged);
    assert_eq!(boot(), after, "it was booted again");
}

fn is_taken_back(vm: &Vm, lab: &Lab) {
    let down = lab.run(&["down", "--purge", "--yes", "-o", "json"]).exits(0);
    assert_eq!(down.result(), RunResult::Changed);
    let said = "0 left; reboot vm-1 to return to control groups of version 2";
    assert!(down.said().contains(said), "{}", down.said());
    let left = vm.sh("ls /etc/default/grub.d; grep unified /boot/grub/grub.cfg || true");
    assert_eq!(left, "init-select.cfg\n");
    assert_eq!(vm.sh(IS_V2), "v1\n", "`down` reboots nothing");
}
