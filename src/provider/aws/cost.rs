//! The cost of a cluster on AWS, by list prices: its instances, their disks, their addresses.
//!
//! Pure: it makes no calls, so it is an estimate. It reports what it left out, and whether it is
//! too high or too low. Network traffic is never included.

use std::time::Duration;

use super::prices::{Prices, RegionPrices, Usd};
use crate::inventory::{Aws, Group, Inventory, Members, Provider};
use crate::unit::Size;

mod show;

pub use show::show_free;

/// The hours of a month, as AWS counts them.
const HOURS_A_MONTH: f64 = 730.0;

/// What a cluster costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The cluster.
    pub cluster: String,
    /// The region of the prices; `None` if no region is known.
    pub region: Option<String>,
    /// When those prices were valid.
    pub date: String,
    /// Whether its machines have public addresses, which then cost something.
    pub is_public: bool,
    /// Its parts, in the order of the inventory.
    pub groups: Vec<GroupCost>,
    /// The time after which it may be taken down.
    pub expires: Option<Duration>,
    /// What is not in the sum because its price is not known, each as part of a sentence.
    pub gaps: Vec<String>,
}

/// The cost of all machines of a group together.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupCost {
    /// The group.
    pub group: String,
    /// How many machines it has.
    pub n_machines: u16,
    /// The type that is counted: the first that the inventory names.
    pub kind: String,
    /// Whether the inventory names other types for lack of capacity.
    pub has_other_kinds: bool,
    /// Whether they are spot instances, which are counted at on-demand prices.
    pub spot: bool,
    /// The disk of each machine, if the inventory sets it.
    pub disk: Option<Size>,
    /// The known part of their cost per hour.
    pub per_hour: Usd,
    /// Whether that is the whole cost.
    pub complete: bool,
}

/// Whether an estimate is too high or too low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Every part has a price.
    About,
    /// A part without a known price is left out.
    AtLeast,
    /// Spot instances cost less than the counted price.
    AtMost,
    /// Both.
    Roughly,
}

/// The cost of an inventory's machines in the region that it names; `None` if they cost nothing,
/// because the machines exist already or are created on this computer.
pub fn estimate(inventory: &Inventory, prices: &Prices) -> Option<Estimate> {
    let Provider::Aws(aws) = &inventory.provider else { return None };
    Some(priced(inventory, aws, aws.known_region(), prices))
}

/// As [`estimate`], for a region that is known from elsewhere.
pub fn estimate_in(
    inventory: &Inventory,
    region: &str,
    prices: &Prices,
) -> Option<Estimate> {
    let Provider::Aws(aws) = &inventory.provider else { return None };
    Some(priced(inventory, aws, Some(region), prices))
}

fn priced(
    inventory: &Inventory,
    aws: &Aws,
    region: Option<&str>,
    prices: &Prices,
) -> Estimate {
    let of_region = region.and_then(|region| prices.of(region));
    let mut gaps = Vec::new();
    match (region, of_region) {
        (None, _) => gaps.push("all of it, because no region is known".to_owned()),
        (Some(region), None) => {
            gaps.push(format!(
                "all of it, because the price table does not have the region {region}"
            ));
        }
        (Some(_), Some(_)) => {}
    }
    let is_public = aws.ssh.jump.is_empty();
    let groups = inventory
        .groups
        .iter()
        .filter_map(|group| group_cost(group, is_public, of_region, &mut gaps));
    Estimate {
        cluster: inventory.cluster.to_string(),
        groups: groups.collect(),
        region: region.map(str::to_owned),
        is_public,
        date: prices.date.clone(),
        expires: aws.expires,
        gaps,
    }
}

fn group_cost(
    group: &Group,
    is_public: bool,
    prices: Option<&RegionPrices>,
    gaps: &mut Vec<String>,
) -> Option<GroupCost> {
    let (Members::Count(n_machines), Some(kind)) =
        (&group.members, group.instances.types.first())
    else {
        return None;
    };
    let mut cost = GroupCost {
        group: group.name.clone(),
        n_machines: *n_machines,
        kind: kind.clone(),
        has_other_kinds: group.instances.types.len() > 1,
        spot: group.instances.spot,
        disk: group.instances.disk,
        per_hour: Usd::default(),
        complete: false,
    };
    let Some(prices) = prices else { return Some(cost) };
    let instance = prices.instances.get(kind).copied();
    if instance.is_none() {
        let name = &group.name;
        gaps.push(format!(
            "the instances of group {name}, because the price table does not have the type {kind}"
        ));
    }
    let disk = cost.disk.map(|size| prices.disk.times(gib(size) / HOURS_A_MONTH));
    if disk.is_none() {
        let name = &group.name;
        gaps.push(format!("the disks of group {name}, whose size depends on the image"));
    }
    cost.complete = instance.is_some() && disk.is_some();
    let address = is_public.then_some(prices.address);
    let each: Usd = [instance, disk, address].into_iter().flatten().sum();
    cost.per_hour = each.times(f64::from(*n_machines));
    Some(cost)
}

fn gib(size: Size) -> f64 {
    // Disk sizes are whole GiB.
    (size.as_mib() / 1024) as f64
}

impl Estimate {
    /// The known part of its cost per hour.
    pub fn per_hour(&self) -> Usd {
        self.groups.iter().map(|group| group.per_hour).sum()
    }

    /// The known part of its cost from creation until it expires; `None` if it does not expire.
    pub fn until_expiry(&self) -> Option<Usd> {
        let expires = self.expires?;
        Some(self.per_hour().times(expires.as_secs_f64() / 3600.0))
    }

    /// Whether it is too high or too low.
    pub fn bound(&self) -> Bound {
        match (self.gaps.is_empty(), self.groups.iter().any(|group| group.spot)) {
            (true, false) => Bound::About,
            (false, false) => Bound::AtLeast,
            (true, true) => Bound::AtMost,
            (false, true) => Bound::Roughly,
        }
    }

    /// Whether any part of it has a price.
    pub fn is_known(&self) -> bool {
        self.groups.iter().any(|group| group.per_hour > Usd::default())
    }
}

impl Bound {
    /// The words before an amount.
    pub const fn word(self) -> &'static str {
        match self {
            Self::About => "about",
            Self::AtLeast => "at least",
            Self::AtMost => "at most",
            Self::Roughly => "roughly",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{self, EXAMPLE_LOCAL};

    /// An inventory with the given provider settings and groups.
    fn inventory(settings: &str, groups: &str) -> Inventory {
        let text = format!(
            "cluster: lab1\nprovider:\n  aws:\n    image: ami-0a1b2c3d\n    \
             admin_cidrs: [203.0.113.7/32]\n    {settings}\ngroups:\n  {groups}\n"
        );
        inventory::read(&text, &|_| true).unwrap()
    }

    fn estimated(settings: &str, groups: &str) -> Estimate {
        estimate(&inventory(settings, groups), &Prices::shipped()).unwrap()
    }

    const PUBLIC: &str = "region: us-east-1\n    ssh: {user: admin, key: k}";
    const HIDDEN: &str =
        "zones: [us-east-1a]\n    ssh: {user: admin, key: k, jump: bastion}";
    const SPARE: &str = "spare: {roles: [base], count: 2, type: m7i.large, disk: 73GiB}";

    #[test]
    fn instances_their_disks_and_public_addresses_are_counted() {
        let hidden = estimated(HIDDEN, SPARE);
        assert_eq!(hidden.per_hour().rounded(), 0.2176);
        assert_eq!(
            (hidden.bound(), hidden.region.as_deref()),
            (Bound::About, Some("us-east-1"))
        );
        let public = estimated(&format!("{PUBLIC}\n    expires: 90m"), SPARE);
        assert_eq!(public.per_hour().rounded(), 0.2276);
        assert_eq!(public.until_expiry().unwrap().rounded(), 0.3414);
    }

    #[test]
    fn what_has_no_price_is_named_and_the_rest_is_counted() {
        let strange =
            "spare: {roles: [base], count: 2, type: [z9.large, m5.large], disk: 73GiB}";
        let odd = estimated(HIDDEN, strange);
        assert_eq!(
            odd.gaps,
            [
                "the instances of group spare, because the price table does not have the type z9.large"
            ]
        );
        assert_eq!((odd.bound(), odd.per_hour().rounded()), (Bound::AtLeast, 0.016));
        let disk = estimated(HIDDEN, "spare: {roles: [base], count: 1, type: m5.large}");
        assert_eq!(
            disk.gaps,
            ["the disks of group spare, whose size depends on the image"]
        );
        assert_eq!(disk.per_hour().rounded(), 0.096);
    }

    #[test]
    fn without_a_region_or_its_prices_nothing_is_known() {
        let settings = "ssh: {user: admin, key: k}";
        let nowhere = estimated(settings, SPARE);
        assert_eq!(nowhere.gaps, ["all of it, because no region is known"]);
        assert!(!nowhere.is_known());
        let inventory = inventory(settings, SPARE);
        let far = estimate_in(&inventory, "ap-south-1", &Prices::shipped()).unwrap();
        assert_eq!(
            far.gaps,
            ["all of it, because the price table does not have the region ap-south-1"]
        );
        let near = estimate_in(&inventory, "us-west-2", &Prices::shipped()).unwrap();
        assert!(near.is_known());
    }

    #[test]
    fn spot_instances_are_counted_as_if_on_demand_and_the_estimate_says_at_most() {
        let spot = SPARE.replace("count: 2", "count: 2, spot: true");
        let spot = estimated(HIDDEN, &spot);
        assert_eq!((spot.bound(), spot.per_hour().rounded()), (Bound::AtMost, 0.2176));
    }

    #[test]
    fn nothing_is_paid_for_where_machines_are_made_here() {
        let local = inventory::read(EXAMPLE_LOCAL, &|_| true).unwrap();
        assert_eq!(estimate(&local, &Prices::shipped()), None);
    }
}
