//! What can go wrong with AWS, in words that say what to do.

use std::time::Duration;

use super::plan::Refusal;

/// Why machines of AWS cannot be had, or not be removed.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The program was built without it.
    #[error(
        "this program was built without AWS: build it with its default features \
         (`cargo build --release`)"
    )]
    NotBuilt,
    /// Nothing says which region.
    #[error(
        "no region is given: write `region: us-east-1` under `provider.aws`, or set AWS_REGION, or \
         `region` in your AWS profile"
    )]
    NoRegion,
    /// There are no credentials.
    #[error(
        "no AWS credentials can be had: {}; what was found: {said}",
        credentials_help(said)
    )]
    NoCredentials {
        /// What the SDK said.
        said: String,
    },
    /// AWS cannot be reached.
    #[error(
        "{call} does not reach AWS in the region {region}: {said}; see whether there is such a \
         region, and whether this computer reaches the internet"
    )]
    Unreachable {
        /// The call.
        call: &'static str,
        /// The region.
        region: String,
        /// What happened.
        said: String,
    },
    /// It is not known whether a call was done.
    #[error(
        "the connection to AWS ended in the midst of {call}: {said}; whether it was done is seen by \
         the next run, which goes on from there"
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
        /// AWS's word for why.
        code: String,
        /// AWS's sentence.
        message: String,
    },
    /// AWS answered something that cannot be.
    #[error("the answer to {call} lacks {what}")]
    Answer {
        /// The call.
        call: &'static str,
        /// What it lacks.
        what: &'static str,
    },
    /// The plan cannot be made.
    #[error(transparent)]
    Refusal(Box<Refusal>),
    /// No place had capacity.
    #[error(
        "AWS has no capacity for {whom} in any zone with any type that the inventory gives: \
         {tried}; add a type (`type: [m7i.large, m6i.large]`) or zones, or try again later"
    )]
    NoCapacity {
        /// What was to be launched.
        whom: String,
        /// What was tried, and what AWS said.
        tried: String,
    },
    /// Another run makes the same.
    #[error(
        "refused: what this run was to make is there already, and was not when it looked: another \
         run, from another computer, makes this cluster at this moment, or something else has its \
         place ({what}); see which it is, and run this again"
    )]
    AnotherRun {
        /// What shows it.
        what: String,
    },
    /// An instance ended while it was waited for.
    #[error(
        "{host} ({id}) was {state} while it was waited for{}: {}",
        reason.as_ref().map(|reason| format!(", and AWS says: {reason}")).unwrap_or_default(),
        end_help(reason.as_deref().unwrap_or_default())
    )]
    Ended {
        /// The machine.
        host: String,
        /// The instance.
        id: String,
        /// What became of it.
        state: String,
        /// Why, in AWS's words.
        reason: Option<String>,
    },
    /// A wait came to its deadline.
    #[error("waited {}s in vain until {what}; seen last: {seen}", deadline.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// What was seen last.
        seen: String,
        /// The longest that it was waited for.
        deadline: Duration,
    },
    /// A host key could not be written.
    #[error("cannot make a host key")]
    HostKey(#[from] russh::keys::ssh_key::Error),
    /// The operator's public key cannot be read.
    #[error("cannot read the public key {}", path.display())]
    PublicKey {
        /// Its file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The operator stopped it.
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
    /// AWS's own code for a refusal.
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

    /// Whether what was to be removed is gone already, or what was to be used is not known.
    pub fn is_gone(&self) -> bool {
        self.code().is_some_and(|code| {
            code.ends_with(".NotFound") || code.ends_with("NotFound.Gateway")
        })
    }

    /// Whether something else has to go first.
    pub fn is_dependency(&self) -> bool {
        const CODES: [&str; 4] = [
            "DependencyViolation",
            "InvalidGroup.InUse",
            "IncorrectState",
            "VolumeInUse",
        ];
        self.code().is_some_and(|code| CODES.contains(&code))
    }

    /// Whether AWS remembers the same launch from before, and its instances have ended since.
    pub fn is_of_an_ended_launch(&self) -> bool {
        self.code() == Some("IdempotentInstanceTerminated")
    }

    /// Whether something of that name or place was made meanwhile.
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

/// What to do where there are no credentials.
fn credentials_help(said: &str) -> &'static str {
    let said = said.to_ascii_lowercase();
    if said.contains("assume") || said.contains("mfa") {
        return "the profile's role was not given to this program; where the profile has \
                `mfa_serial`, which asks for a code that this program does not ask for, get a \
                session by `aws sts assume-role … --serial-number … --token-code …`, or \
                `aws configure export-credentials --profile … --format env`, and set what it \
                gives as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
    }
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of \
     ~/.aws/config, or log in with `aws sso login`"
}

/// What to do about an instance that ended while it was waited for.
fn end_help(reason: &str) -> &'static str {
    // An instance whose disk cannot be made for want of the key ends as if by an inner error.
    if reason.contains("KMS") || reason.contains("Client.InternalError") {
        return "the key that encrypts its disk may not be used: see which it is \
                (`aws ec2 get-ebs-default-kms-key-id`), have its policy allow kms:CreateGrant, \
                kms:Decrypt and kms:GenerateDataKeyWithoutPlaintext to these credentials (for spot \
                instances also to the role AWSServiceRoleForEC2Spot), and run this again";
    }
    "run this again to have another launched"
}

/// What to do about a refusal; begins with a separator, or is empty.
fn help(call: &str, code: &str) -> String {
    let text = match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            return format!(
                ": these credentials lack the right to ec2:{call}; `platform init --provider aws` \
                 prints the least policy"
            );
        }
        "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => {
            "see with `aws sts get-caller-identity` whose credentials these are, whether their \
             secret is right, and whether the region is enabled for the account"
        }
        "RequestExpired" | "ExpiredToken" | "ExpiredTokenException" => {
            "the credentials have expired: get new ones (`aws sso login`, or your own way), and see \
             that this computer's clock is right"
        }
        "OptInRequired" => "enable the region, or the image's terms, for the account",
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted" => {
            "spot instances need a role that the account does not have yet: have an administrator \
             make it (`aws iam create-service-linked-role --aws-service-name \
             spot.amazonaws.com`), or write `spot: false`"
        }
        "PendingVerification" => "AWS verifies the account still: try again in an hour",
        code if code.ends_with("LimitExceeded") && code != "RequestLimitExceeded" => {
            "remove what is not needed any more, or have the account's quota raised in AWS's \
             Service Quotas"
        }
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => {
            "the account makes too many calls: try again in a minute"
        }
        "InvalidIPAddress.InUse" => {
            "an instance that is not this cluster's, or has lost its tags, has that address: give \
             it its tags back, or remove it"
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
        assert!(other.ends_with("run this again to have another launched"), "{other}");
    }
}
