//! The EC2 calls that provider `aws` makes are exactly those in the minimal policy.

use std::collections::BTreeSet;
use std::fs;

use platform::provider::aws::calls::CALLS;

#[test]
fn the_calls_of_the_source_are_those_of_the_list() {
    let files = fs::read_dir("src/provider/aws/ec2").expect("the folder can be listed");
    let made: BTreeSet<String> = files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .flat_map(|text| calls(&text))
        .collect();
    let listed: BTreeSet<String> = CALLS.iter().map(|call| (*call).to_owned()).collect();
    assert_eq!(made, listed);
}

#[test]
fn calls_are_found_over_the_ends_of_lines() {
    let text =
        "self.client.describe_vpcs().send(); cloud\n    .client\n    .run_instances()\n";
    assert_eq!(calls(text), ["DescribeVpcs", "RunInstances"]);
}

/// The AWS names of a client's calls in a source text.
fn calls(text: &str) -> Vec<String> {
    let of_client = text.split("client").skip(1);
    let methods = of_client.filter_map(|rest| {
        let (method, _) = rest.trim_start().strip_prefix('.')?.split_once("()")?;
        let is_word = method.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        is_word.then_some(method)
    });
    methods.map(|method| method.split('_').map(capital).collect()).collect()
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}
