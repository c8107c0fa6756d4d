//! What the cluster accepts: its security groups and their rules.

use super::super::seen::{Rule, SecurityGroup, Seen};
use super::super::wanted::{GroupKind, Wanted};
use super::network::NetworkPlan;
use super::{Refusal, Step, push};

pub(super) fn add(
    wanted: &Wanted,
    seen: &Seen,
    network: &mut NetworkPlan,
) -> Result<(), Refusal> {
    let (mut make, mut change) = (Vec::new(), Vec::new());
    for security_group in wanted.security_groups() {
        let name = wanted.security_group_name(security_group);
        match there(seen, &name, network.plan.network.vpc.as_ref()) {
            None => {
                make.push(Step::MakeSecurityGroup { security_group, name });
                change.push(Step::Allow { security_group, rules: None });
            }
            Some(found) if !found.tagged => {
                let (id, cluster) = (found.id.clone(), wanted.cluster.to_string());
                let what = "security group";
                return Err(Refusal::Untagged { what, name, id, cluster });
            }
            Some(found) => {
                network
                    .plan
                    .network
                    .security_groups
                    .insert(security_group, found.id.clone());
                change.extend(changes(wanted, security_group, found));
            }
        }
    }
    push(&mut network.plan, make);
    push(&mut network.plan, change);
    Ok(())
}

fn there<'a>(
    seen: &'a Seen,
    name: &str,
    vpc: Option<&String>,
) -> Option<&'a SecurityGroup> {
    let fits = |group: &&SecurityGroup| group.name == name && vpc == Some(&group.vpc);
    seen.security_groups.iter().find(fits)
}

/// The rules to add and to remove.
fn changes(
    wanted: &Wanted,
    security_group: GroupKind,
    found: &SecurityGroup,
) -> Vec<Step> {
    let rules = wanted.rules(security_group, &found.id);
    let without = |some: &[Rule], others: &[Rule]| -> Vec<Rule> {
        some.iter().filter(|rule| !others.contains(rule)).cloned().collect()
    };
    let (missing, surplus) =
        (without(&rules, &found.rules), without(&found.rules, &rules));
    let mut steps = Vec::new();
    if !missing.is_empty() {
        steps.push(Step::Allow { security_group, rules: Some(missing) });
    }
    if !surplus.is_empty() {
        steps.push(Step::Forbid { security_group, rules: surplus });
    }
    steps
}
