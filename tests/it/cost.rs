//! The output about the cost of a cluster on AWS.

use platform::inventory::{self, EXAMPLE_AWS, EXAMPLE_LOCAL, EXAMPLE_SSH};
use platform::provider::aws::cost::{Estimate, estimate, estimate_in, show_free};
use platform::provider::aws::prices::Prices;

use crate::snapshot;

fn estimated(text: &str) -> Estimate {
    let inventory = inventory::read(text, &|_| true).unwrap();
    estimate(&inventory, &Prices::shipped()).expect("AWS is paid for")
}

fn shown(estimate: &Estimate) -> String {
    let mut text = String::new();
    estimate.show(&mut text).unwrap();
    format!("{text}\n{}\n", estimate.line())
}

/// The example, with every case that an estimate reports.
fn odd() -> String {
    let with = [
        ("# expires: 8h", "expires: 8h"),
        ("type: t3.medium, disk: 50GiB", "type: z9.large"),
        ("type: m7i.xlarge", "type: m7i.xlarge\n    spot: true"),
        ("# jump:", "jump:"),
    ];
    with.iter().fold(EXAMPLE_AWS.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old} is not in the example");
        text.replacen(old, new, 1)
    })
}

#[test]
fn an_estimate_shows_each_group_the_sum_and_the_date_of_its_prices() {
    snapshot::check("cost-example", &shown(&estimated(EXAMPLE_AWS)));
}

#[test]
fn an_estimate_names_what_it_could_not_count() {
    snapshot::check("cost-odd", &shown(&estimated(&odd())));
    let json = format!("{:#}\n", estimated(&odd()).to_json());
    snapshot::check("cost-odd-json", &json);
}

#[test]
fn an_estimate_without_prices_says_how_to_get_one() {
    let nowhere = EXAMPLE_AWS.replace("    region: us-east-1\n", "");
    let inventory = inventory::read(EXAMPLE_AWS, &|_| true).unwrap();
    let far = estimate_in(&inventory, "ap-south-1", &Prices::shipped()).unwrap();
    let text = shown(&estimated(&nowhere)) + "\n" + &shown(&far);
    snapshot::check("cost-unknown", &text);
}

#[test]
fn machines_that_cost_nothing_are_said_to() {
    let text = [EXAMPLE_LOCAL, EXAMPLE_SSH].map(|text| {
        let inventory = inventory::read(text, &|_| true).unwrap();
        assert_eq!(estimate(&inventory, &Prices::shipped()), None);
        let (text, json) = show_free(&inventory);
        assert_eq!(json["total"]["month"], 0.0);
        text
    });
    assert_eq!(
        text,
        [
            "lab: there is no cost, because its machines are containers on this computer.\n",
            "rack7: there is no cost, because its machines exist already.\n",
        ]
    );
}
