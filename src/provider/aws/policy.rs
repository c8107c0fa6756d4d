//! The minimal policy for this provider, for the administrator who grants permissions.
//!
//! Everything that is created has the tag `platform:cluster` from the start; everything that is
//! changed or deleted must have it, so that a mistake of this program cannot affect other
//! resources. There are two exceptions: AWS itself creates a VPC's main route table, without the
//! tag, and an existing network that the inventory names has no tag.

/// The policy, in the format of IAM.
pub const POLICY: &str = include_str!("policy.json");

/// The policy as the end of an inventory: in comments, with instructions.
///
/// `file` is the name of that inventory.
pub fn as_comments(file: &str) -> String {
    let lines = POLICY.lines().map(|line| format!("# {line}\n"));
    HOW_TO_USE.replace("FILE", file) + &lines.collect::<String>()
}

const HOW_TO_USE: &str = "
# ── What AWS must allow ────────────────────────────────────────────────────────────────────────
#
# Below are the minimal permissions that `platform` needs. An administrator creates a policy from
# them and attaches it to the user or role whose credentials are used:
#
#   sed -n '/^# {$/,/^# }$/s/^# //p' FILE > policy.json
#   aws iam create-policy --policy-name platform --policy-document file://policy.json
#
# It allows changing or deleting only resources with the tag `platform:cluster`, except for routes:
# the main route table of a VPC does not have this tag. In GovCloud write `arn:aws-us-gov:` instead
# of `arn:aws:`, in China `arn:aws-cn:`.
#
# The first spot instance of an account needs a role that AWS provides, created once:
#
#   aws iam create-service-linked-role --aws-service-name spot.amazonaws.com
#
# Disks are encrypted. If the account uses its own key for that instead of `aws/ebs`, the user or
# role needs permission to use that key too.
#
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::calls::CALLS;
    use super::*;

    fn statements() -> Vec<Value> {
        let policy: Value = serde_json::from_str(POLICY).unwrap();
        policy["Statement"].as_array().unwrap().clone()
    }

    /// A text, or a list of them.
    fn texts(value: &Value) -> Vec<String> {
        let one = value.as_str().map(str::to_owned).into_iter();
        let many = value.as_array().into_iter().flatten();
        one.chain(many.map(|text| text.as_str().unwrap().to_owned())).collect()
    }

    fn actions(statement: &Value) -> Vec<String> {
        let of_ec2 = |action: String| action.strip_prefix("ec2:").unwrap().to_owned();
        texts(&statement["Action"]).into_iter().map(of_ec2).collect()
    }

    #[test]
    fn the_policy_allows_the_calls_that_are_made_and_no_others() {
        let allowed: BTreeSet<String> = statements().iter().flat_map(actions).collect();
        let made: BTreeSet<String> =
            CALLS.iter().map(|call| (*call).to_owned()).collect();
        assert_eq!(allowed, made);
        assert_eq!(made.len(), CALLS.len(), "a call is listed twice");
    }

    #[test]
    fn what_changes_or_deletes_anything_is_bound_to_our_tag_but_for_routes() {
        let by_tag = |statement: &Value| {
            let of = |key: &str| statement["Condition"]["Null"][key] == "false";
            of("aws:ResourceTag/platform:cluster")
                || of("aws:RequestTag/platform:cluster")
        };
        for statement in statements().iter().filter(|statement| !by_tag(statement)) {
            let makes_within = ["CreateSecurityGroup", "CreateSubnet", "RunInstances"];
            for action in actions(statement) {
                let harmless = action.starts_with("Describe")
                    || makes_within.contains(&action.as_str())
                    || action.ends_with("Route")
                    || (action == "CreateTags"
                        && !statement["Condition"]["StringEquals"]["ec2:CreateAction"]
                            .is_null());
                assert!(harmless, "{action} is not bound to our tag");
            }
        }
    }

    #[test]
    fn whatever_is_made_with_our_tag_may_be_given_it() {
        let statements = statements();
        let find = |sid: &str| statements.iter().find(|one| one["Sid"] == sid).unwrap();
        let made = actions(find("MakeWithOurTag"));
        let tagged = texts(
            &find("TagWhatIsMade")["Condition"]["StringEquals"]["ec2:CreateAction"],
        );
        assert_eq!(made, tagged);
    }

    #[test]
    fn it_is_as_small_as_iam_takes_it() {
        let n_characters = POLICY.chars().filter(|c| !c.is_whitespace()).count();
        assert!(n_characters <= 6144, "{n_characters}");
    }

    #[test]
    fn the_command_beside_it_gives_it_back() {
        let text = format!("cluster: lab1\n{}", as_comments("aws.yaml"));
        assert!(text.contains(" aws.yaml > policy.json\n"), "{text}");
        let mut lines = text.lines().skip_while(|line| *line != "# {").peekable();
        assert!(lines.peek().is_some());
        let read: String = lines.map(|line| format!("{}\n", &line[2..])).collect();
        assert_eq!(read, POLICY);
    }
}
