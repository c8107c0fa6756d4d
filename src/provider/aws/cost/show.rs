//! An estimate as a line for a plan, as a table for people, and as JSON for programs.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::super::prices::Usd;
use super::{Estimate, GroupCost, HOURS_A_MONTH};
use crate::inventory::{Inventory, Provider};

/// The hours in a day.
const HOURS_A_DAY: f64 = 24.0;

impl Estimate {
    /// The estimate in a line: `about 1.23 USD an hour, 29.52 a day (list prices of us-east-1,
    /// 2025-06)`.
    pub fn line(&self) -> String {
        let gaps = self.gaps.join("; ");
        if !self.is_known() {
            return format!("not known; not counted: {gaps}");
        }
        let hour = self.per_hour();
        let mut line = format!(
            "{} {hour} USD an hour, {} a day ({}",
            self.bound().word(),
            hour.times(HOURS_A_DAY),
            self.source()
        );
        if !gaps.is_empty() {
            line += &format!("; not counted: {gaps}");
        }
        line + ")"
    }

    /// The estimate as text: a line for each group, the sum, and what is not included.
    ///
    /// # Errors
    /// When writing to `out` fails.
    pub fn show(&self, out: &mut impl Write) -> fmt::Result {
        if self.is_known() {
            let groups: Vec<Row> = self.groups.iter().map(Row::of_group).collect();
            let (word, source) = (self.bound().word(), self.source());
            writeln!(
                out,
                "{}: {word} {} USD an hour ({source})\n",
                self.cluster,
                self.per_hour()
            )?;
            show_table(&groups, self.per_hour(), out)?;
        } else {
            writeln!(out, "{}: the cost is not known", self.cluster)?;
        }
        writeln!(out)?;
        self.notes().iter().try_for_each(|note| writeln!(out, "{note}"))
    }

    /// The estimate as JSON; amounts are in US dollars.
    pub fn to_json(&self) -> Value {
        let group = |group: &GroupCost| {
            json!({
                "group": group.group,
                "machines": group.n_machines,
                "type": group.kind,
                "spot": group.spot,
                "disk_bytes": group.disk.map(|size| size.as_bytes()),
                "cost": amounts(group.per_hour),
                "complete": group.complete,
            })
        };
        json!({
            "cluster": self.cluster,
            "provider": "aws",
            "currency": "USD",
            "region": self.region,
            "prices_of": self.date,
            "bound": self.bound().word(),
            "groups": self.groups.iter().map(group).collect::<Vec<_>>(),
            "total": amounts(self.per_hour()),
            "until_expiry": self.until_expiry().map(Usd::rounded),
            "not_counted": self.gaps,
        })
    }

    fn source(&self) -> String {
        let region = self.region.as_deref().unwrap_or("no region");
        format!("list prices of {region}, {}", self.date)
    }

    /// What is missing from the amounts, and notes on how to read them.
    fn notes(&self) -> Vec<String> {
        let mut notes =
            if self.is_known() { self.notes_on_amounts() } else { Vec::new() };
        notes.extend(self.gaps.iter().map(|gap| format!("Not counted: {gap}.")));
        if self.region.is_none() {
            notes.push("Set the region in the inventory, or with --region.".to_owned());
        } else if !self.gaps.is_empty() {
            notes.push("Use --prices FILE for other prices.".to_owned());
        }
        notes
    }

    fn notes_on_amounts(&self) -> Vec<String> {
        let counted = match self.is_public {
            true => "Instances, disks and public addresses are counted",
            false => "Instances and disks are counted",
        };
        let mut notes = vec![format!("{counted}, traffic is not. A month is 730 hours.")];
        if let Some(cost) = self.until_expiry() {
            notes.push(format!("From creation until it expires: {cost} USD."));
        }
        if self.groups.iter().any(|group| group.spot) {
            notes.push(
                "Spot instances are counted at on-demand prices; they cost less."
                    .to_owned(),
            );
        }
        if self.groups.iter().any(|group| group.has_other_kinds) {
            notes.push("If a group has several types, the first is counted.".to_owned());
        }
        notes
    }
}

/// The text, and the JSON for programs, if nothing has to be paid for.
pub fn show_free(inventory: &Inventory) -> (String, Value) {
    let (provider, why) = match inventory.provider {
        Provider::Ssh(_) => ("ssh", "its machines exist already"),
        Provider::Local(_) => ("local", "its machines are containers on this computer"),
        Provider::Aws(_) => ("aws", "it has no machines"),
    };
    let cluster = &inventory.cluster;
    let text = format!("{cluster}: there is no cost, because {why}.\n");
    let json = json!({
        "cluster": cluster.as_str(),
        "provider": provider,
        "currency": "USD",
        "groups": [],
        "total": amounts(Usd::default()),
    });
    (text, json)
}

fn amounts(hour: Usd) -> Value {
    json!({
        "hour": hour.rounded(),
        "day": hour.times(HOURS_A_DAY).rounded(),
        "month": hour.times(HOURS_A_MONTH).rounded(),
    })
}

/// A line of the table.
struct Row {
    group: String,
    machines: String,
    disk: String,
    amounts: [String; 3],
}

impl Row {
    fn of_group(cost: &GroupCost) -> Self {
        let spot = if cost.spot { ", spot" } else { "" };
        let known = cost.complete || cost.per_hour > Usd::default();
        let mark = if cost.complete { "" } else { "≥ " };
        let amounts = match known {
            true => columns(cost.per_hour).map(|amount| format!("{mark}{amount}")),
            false => ["?"; 3].map(str::to_owned),
        };
        Self {
            group: cost.group.clone(),
            machines: format!("{} × {}{spot}", cost.n_machines, cost.kind),
            disk: cost.disk.map_or("?".to_owned(), |size| size.to_string()),
            amounts,
        }
    }
}

/// The cost per hour, day and month, each with enough decimals for its column.
fn columns(hour: Usd) -> [String; 3] {
    let (day, month) = (hour.times(HOURS_A_DAY), hour.times(HOURS_A_MONTH));
    [format!("{hour:.4}"), format!("{day:.2}"), format!("{month:.2}")]
}

fn show_table(groups: &[Row], hour: Usd, out: &mut impl Write) -> fmt::Result {
    let head = Row {
        group: "group".to_owned(),
        machines: "machines".to_owned(),
        disk: "disk each".to_owned(),
        amounts: ["an hour", "a day", "a month"].map(str::to_owned),
    };
    let total = Row {
        group: "total".to_owned(),
        machines: String::new(),
        disk: String::new(),
        amounts: columns(hour),
    };
    let rows: Vec<&Row> = [&head].into_iter().chain(groups).chain([&total]).collect();
    let widest = |text: fn(&Row) -> &str| {
        rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0)
    };
    let (group, machines, disk) =
        (widest(|row| &row.group), widest(|row| &row.machines), widest(|row| &row.disk));
    for row in &rows {
        let [an_hour, a_day, a_month] = &row.amounts;
        writeln!(
            out,
            "{:group$}  {:machines$}  {:>disk$}  {an_hour:>9}  {a_day:>9}  {a_month:>10}",
            row.group, row.machines, row.disk
        )?;
    }
    Ok(())
}
