//! Errors of AWS, with messages that say what to do.

use std::time::Duration;

use super::plan::Refusal;

/// Why AWS machines cannot be created or removed.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The program was built without AWS.
    #[error(
        "this program was built without AWS: build it with its default features \
         (`cargo build --release`)"
    )]
    NotBuilt,
    /// No region is set.
    #[error(
        "no region is set: write `region: us-east-1` under `provider.aws`, or set AWS_REGION, or \
         `region` in your AWS profile"
    )]
    NoRegion,
    /// There are no credentials.
    #[error(
        "no AWS credentials were found: {}; the AWS SDK said: {said}",
        credentials_help(said)
    )]
    NoCredentials {
        /// The SDK's message.
        said: String,
    },
    /// AWS cannot be reached.
    #[error(
        "{call} does not reach AWS in the region {region}: {said}; check that the region exists, \
         and that this computer has a connection to the internet"
    )]
    Unreachable {
        /// The call.
        call: &'static str,
        /// The region.
        region: String,
        /// What happened.
        said: String,
    },
    /// It is not known whether a call was carried out.
    #[error(
        "the connection to AWS ended during {call}: {said}; the next run checks whether it was \
         done, and continues from there"
    )]
    Cut {
        /// The call.
        call: &'static str,
        /// What happened.
        said: String,
    },
    /// AWS refused.
    #[error("AWS refused {call}: {message} ({code}){}", help(call, code))]
    Refused {
        /// The call.
        call: &'static str,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// AWS gave an impossible answer.
    #[error("the answer to {call} does not contain {what}")]
    Answer {
        /// The call.
        call: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// The plan cannot be made.
    #[error(transparent)]
    Refusal(Box<Refusal>),
    /// No place had capacity.
    #[error(
        "AWS has no capacity for {whom} in any zone with any type in the inventory: \
         {tried}; add a type (`type: [m7i.large, m6i.large]`) or zones, or try again later"
    )]
    NoCapacity {
        /// The instances that should be launched.
        whom: String,
        /// What was tried, and AWS's answers.
        tried: String,
    },
    /// Another run creates the same resource.
    #[error(
        "refused: a resource that this run should create was created in the meantime ({what}): \
         another run, on another computer, is creating this cluster now, or a foreign resource \
         took its place; check which it is, and run the command again"
    )]
    AnotherRun {
        /// What shows this.
        what: String,
    },
    /// An instance ended while it was waited for.
    #[error(
        "{host} ({id}) was {state} during the wait for it{}: {}",
        reason.as_ref().map(|reason| format!(", and AWS says: {reason}")).unwrap_or_default(),
        end_help(reason.as_deref().unwrap_or_default())
    )]
    Ended {
        /// The machine.
        host: String,
        /// The instance.
        id: String,
        /// Its new state.
        state: String,
        /// The reason in AWS's words.
        reason: Option<String>,
    },
    /// A wait reached its deadline.
    #[error("gave up after waiting {}s until {what}; last seen: {seen}", deadline.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// What was seen last.
        seen: String,
        /// How long it was waited for at most.
        deadline: Duration,
    },
    /// A host key could not be created.
    #[error("cannot create a host key")]
    HostKey(#[from] russh::keys::ssh_key::Error),
    /// The operator's public key cannot be read.
    #[error("cannot read the public key {}", path.display())]
    PublicKey {
        /// Its file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The operator stopped the run.
    #[error("stopped: {n_done} calls done, {n_left} left")]
    Stopped {
        /// How many calls were done.
        n_done: usize,
        /// How many were left.
        n_left: usize,
    },
}

impl From<Refusal> for AwsError {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(Box::new(refusal))
    }
}

impl AwsError {
    /// AWS's error code, if AWS refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether there was no capacity: another zone or type may have some.
    pub fn is_capacity(&self) -> bool {
        const CODES: [&str; 6] = [
            "InsufficientInstanceCapacity",
            "InsufficientHostCapacity",
            "InsufficientReservedInstanceCapacity",
            "InsufficientCapacity",
            "SpotMaxPriceTooLow",
            "Unsupported",
        ];
        self.code().is_some_and(|code| CODES.contains(&code))
    }

    /// Whether AWS asks to slow down.
    pub fn is_throttling(&self) -> bool {
        const CODES: [&str; 4] = [
            "RequestLimitExceeded",
            "Throttling",
            "ThrottlingException",
            "RequestThrottled",
        ];
        self.code().is_some_and(|code| CODES.contains(&code))
    }

    /// Whether the resource to remove is already gone, or the resource to use is not known.
    pub fn is_gone(&self) -> bool {
        self.code().is_some_and(|code| {
            code.ends_with(".NotFound") || code.ends_with("NotFound.Gateway")
        })
    }

    /// Whether something else must be removed first.
    pub fn is_dependency(&self) -> bool {
        const CODES: [&str; 4] = [
            "DependencyViolation",
            "InvalidGroup.InUse",
            "IncorrectState",
            "VolumeInUse",
        ];
        self.code().is_some_and(|code| CODES.contains(&code))
    }

    /// Whether AWS remembers the same launch from an earlier run, and its instances have ended
    /// since.
    pub fn is_of_an_ended_launch(&self) -> bool {
        self.code() == Some("IdempotentInstanceTerminated")
    }

    /// Whether a resource with that name or place was created in the meantime.
    pub fn is_taken(&self) -> bool {
        const CODES: [&str; 4] = [
            "InvalidKeyPair.Duplicate",
            "InvalidGroup.Duplicate",
            "InvalidSubnet.Conflict",
            "IdempotentParameterMismatch",
        ];
        self.code().is_some_and(|code| CODES.contains(&code))
    }
}

/// What to do if there are no credentials.
fn credentials_help(said: &str) -> &'static str {
    let said = said.to_ascii_lowercase();
    if said.contains("assume") || said.contains("mfa") {
        return "this program could not assume the profile's role; if the profile has \
                `mfa_serial`, it needs a code that this program does not ask for: get a \
                session with `aws sts assume-role … --serial-number … --token-code …`, or \
                `aws configure export-credentials --profile … --format env`, and set its \
                output as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
    }
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of \
     ~/.aws/config, or log in with `aws sso login`"
}

/// What to do about an instance that ended while it was waited for.
fn end_help(reason: &str) -> &'static str {
    // If AWS may not use the key, it cannot create the disk, and reports an internal error.
    if reason.contains("KMS") || reason.contains("Client.InternalError") {
        return "AWS may not use the key that encrypts its disk: find the key \
                (`aws ec2 get-ebs-default-kms-key-id`), make its policy allow kms:CreateGrant, \
                kms:Decrypt and kms:GenerateDataKeyWithoutPlaintext to these credentials (for spot \
                instances also to the role AWSServiceRoleForEC2Spot), and run the command again";
    }
    "run the command again to launch a new one"
}

/// What to do about a refusal; begins with a separator, or is empty.
fn help(call: &str, code: &str) -> String {
    let text = match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            return format!(
                ": these credentials do not allow ec2:{call}; `platform init --provider aws` \
                 prints the minimal policy"
            );
        }
        "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => {
            "check with `aws sts get-caller-identity` whose credentials these are, that their \
             secret is right, and that the region is enabled for the account"
        }
        "RequestExpired" | "ExpiredToken" | "ExpiredTokenException" => {
            "the credentials have expired: get new ones (for example `aws sso login`), and check \
             that this computer's clock is right"
        }
        "OptInRequired" => {
            "enable the region, or accept the image's terms, for the account"
        }
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted" => {
            "spot instances need a role that the account does not have yet: ask an administrator \
             to create it (`aws iam create-service-linked-role --aws-service-name \
             spot.amazonaws.com`), or write `spot: false`"
        }
        "PendingVerification" => {
            "AWS is still verifying the account: try again in an hour"
        }
        code if code.ends_with("LimitExceeded") && code != "RequestLimitExceeded" => {
            "remove resources that you no longer need, or raise the account's quota in AWS's \
             Service Quotas"
        }
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => {
            "the account makes too many calls: try again in a minute"
        }
        "InvalidIPAddress.InUse" => {
            "an instance that is not in this cluster, or has lost its tags, has that address: \
             restore its tags, or remove it"
        }
        "DependencyViolation" => "something else still uses it",
        _ => return String::new(),
    };
    format!(": {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_call_and_what_to_do() {
        let refused = |code: &str| {
            AwsError::Refused {
                call: "RunInstances",
                code: code.to_owned(),
                message: "No.".to_owned(),
            }
            .to_string()
        };
        let lacking = refused("UnauthorizedOperation");
        assert!(lacking.contains("ec2:RunInstances"), "{lacking}");
        assert!(lacking.contains("platform init --provider aws"), "{lacking}");
        assert!(refused("VpcLimitExceeded").contains("quota"));
        let role = refused("AuthFailure.ServiceLinkedRoleCreationNotPermitted");
        assert!(role.contains("create-service-linked-role"), "{role}");
        assert_eq!(refused("Strange"), "AWS refused RunInstances: No. (Strange)");
    }

    #[test]
    fn missing_credentials_say_what_fits_the_way_they_were_looked_for() {
        let told =
            |said: &str| AwsError::NoCredentials { said: said.to_owned() }.to_string();
        let role =
            told("an error occurred while loading credentials: AssumeRole: denied");
        assert!(role.contains("mfa_serial"), "{role}");
        assert!(!told("nothing").contains("mfa_serial"));
        assert!(told("nothing").contains("aws sso login"));
    }

    #[test]
    fn an_instance_that_ended_for_want_of_its_key_says_so() {
        let told = |reason: &str| {
            AwsError::Ended {
                host: "c1".to_owned(),
                id: "i-1".to_owned(),
                state: "terminated".to_owned(),
                reason: Some(reason.to_owned()),
            }
            .to_string()
        };
        let key = told("Client.InternalError: Client error on launch");
        assert!(key.contains("kms:CreateGrant"), "{key}");
        let other = told("Server.SpotInstanceTermination");
        assert!(other.ends_with("run the command again to launch a new one"), "{other}");
    }
}
