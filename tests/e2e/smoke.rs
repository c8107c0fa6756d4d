use crate::harness::*;
#[test]
fn smoke() {
    let _turn = turn();
    let given = Given::new(1);
    given.remove_docker(1);
    let lab = given.lab("groups: {node: {roles: [base], hosts: ['{1}']}}\nplatform: {images: {images}, base: {sysctls: {vm.swappiness: '7'}}}\n");
    let up = lab.up();
    println!("{}", up.said());
    println!("{}", given.machine(1).sh("find / -xdev -newer /etc/hostname -type f; ls /var/lib/docker; systemctl list-units --failed"));
}
