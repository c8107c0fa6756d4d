//! Checks for Mesos: agents have masters, masters have ZooKeeper, and fault domains fit together.

use super::super::diagnostic::Diagnostic;
use super::super::group::DraftGroup;
use super::super::reader::Reader;
use super::super::{Role, agent_spec};
use super::is_odd;

pub(super) fn check(groups: &[DraftGroup], r: &mut Reader) {
    only_agents_have_traits(groups, r);
    let roles = || groups.iter().flat_map(|group| &group.roles);
    if !roles().any(|role| role.value.brings_mesos()) {
        return;
    }
    if groups.iter().all(|group| group.roles_known) {
        each_finds_what_it_needs(groups, r);
    }
    let masters: Vec<&DraftGroup> =
        groups.iter().filter(|group| runs_master(group)).collect();
    domains_fit(groups, &masters, r);
    // If every group of masters also runs ZooKeeper, its check has reported this already.
    if masters.iter().any(|group| group.has(Role::Master)) {
        is_odd(masters, "Mesos masters", r);
    }
}

fn runs_master(group: &DraftGroup) -> bool {
    group.has(Role::Control) || group.has(Role::Master)
}

fn only_agents_have_traits(groups: &[DraftGroup], r: &mut Reader) {
    for group in groups.iter().filter(|group| group.roles_known) {
        let hosts =
            group.members.iter().flat_map(|members| members.given.iter().flatten());
        let all =
            [&group.agent_spec].into_iter().chain(hosts.map(|host| &host.agent_spec));
        for agent_spec in all {
            let help = "give the group the role `agent`, or leave this out";
            if let (Some(at), false) = (&agent_spec.of_agent_at, group.has(Role::Agent)) {
                let message = "only Mesos agents have attributes and resources";
                r.fault(Diagnostic::new(at, message).help(help));
            }
            let has_domain = group.has(Role::Agent) || runs_master(group);
            if let (Some(at), false) = (&agent_spec.domain_at, has_domain) {
                let message = "only Mesos agents and masters have a fault domain";
                r.fault(Diagnostic::new(at, message).help(help));
            }
        }
    }
}

fn each_finds_what_it_needs(groups: &[DraftGroup], r: &mut Reader) {
    let roles = || groups.iter().flat_map(|group| &group.roles);
    let has = |wanted: Role| roles().any(|role| role.value == wanted);
    if has(Role::Control) {
        return;
    }
    for role in Role::ALL {
        let Some((needed, what)) = role.needs() else { continue };
        let needy = roles().find(|found| found.value == role);
        if let (Some(needy), false) = (needy, has(needed)) {
            let message = format!(
                "no group has the role `control` or `{needed}`, but `{}` needs {what}",
                needy.value
            );
            let help = format!(
                "add one of these roles to a group with an odd number of machines, such as `control: {{roles: [{needed}], …}}`"
            );
            r.fault(Diagnostic::new(&needy.span, message).help(help));
        }
    }
}

/// Checks fault domains: a master without one refuses agents that have one, and all masters must
/// be in the same region.
fn domains_fit(groups: &[DraftGroup], masters: &[&DraftGroup], r: &mut Reader) {
    let of_masters: Vec<_> = masters.iter().flat_map(|group| group.domains()).collect();
    let agents = groups.iter().filter(|group| group.has(Role::Agent));
    let of_agent =
        agents.flat_map(DraftGroup::domains).find(|(domain, _)| domain.is_some());
    let blank = of_masters.iter().find(|(domain, _)| domain.is_none());
    if let (Some((_, at)), Some(_)) = (of_agent, blank) {
        let message = "agents have a fault domain, but not every master has one";
        let help = "masters without one refuse such agents: give every master a `domain`";
        r.fault(Diagnostic::new(at, message).help(help));
    }
    let regions =
        agent_spec::regions(of_masters.iter().filter_map(|(domain, _)| *domain));
    let mut placed = of_masters.iter().filter(|(domain, _)| domain.is_some());
    if let (true, Some((_, at))) = (regions.len() > 1, placed.next_back()) {
        let regions: Vec<&str> = regions.into_iter().collect();
        let message =
            format!("the masters are in several regions: {}", regions.join(", "));
        let help = "put all masters in one region; their zones may differ";
        r.fault(Diagnostic::new(at, message).help(help));
    }
}
