//! The interface to AWS: its calls as functions of values.
//!
//! In reading order: [`Cloud::open`] finds credentials and region as every AWS tool does; `read`
//! queries, `write` creates one resource at a time, `make` carries out a plan's steps, and
//! `sweep` removes resources, except those that foreign resources (`strangers`) use. Both report
//! their progress (`tell`).
//!
//! Invariants: every call has a deadline; a call that could create a second resource is never
//! repeated automatically.

mod make;
mod read;
mod strangers;
mod sweep;
mod tell;
mod write;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::ProvideCredentials;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::Filter;

use super::error::AwsError;
use crate::event::in_words;
use crate::inventory::Aws;

/// The longest that AWS may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest that AWS may take to answer one try.
const ATTEMPT: Duration = Duration::from_secs(30);
/// The longest that a call may take, including all retries.
const CALL: Duration = Duration::from_secs(180);
/// How often a call is tried if AWS asks to slow down, or fails internally. The pauses between
/// the tries double from one second to twenty.
const TRIES: u32 = 10;

/// AWS, for one account in one region.
#[derive(Debug, Clone)]
pub struct Cloud {
    client: Client,
    region: String,
}

impl Cloud {
    /// Finds credentials and region as every AWS tool does: the environment, the profile, SSO, a
    /// process, the instance's own role; it respects `AWS_ENDPOINT_URL`. Makes no EC2 calls.
    ///
    /// # Errors
    /// When there are none: the error says where they were looked for.
    pub async fn open(aws: &Aws) -> Result<Self, AwsError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(timeouts.build());
        if let Some(region) = aws.known_region() {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(profile) = &aws.profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        let region = config.region().ok_or(AwsError::NoRegion)?.to_string();
        let none = || AwsError::NoCredentials { said: "nothing".to_owned() };
        let provider = config.credentials_provider().ok_or_else(none)?;
        provider
            .provide_credentials()
            .await
            .map_err(|error| AwsError::NoCredentials { said: in_words(&error) })?;
        Ok(Self { client: Client::new(&config), region })
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The error for a query that failed.
    fn unseen<E, R>(&self, call: &'static str) -> impl FnOnce(SdkError<E, R>) -> AwsError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let region = self.region.clone();
        move |error| match refusal(call, &error) {
            Some(refused) => refused,
            None => AwsError::Unreachable { call, region, said: in_words(&error) },
        }
    }
}

/// The error for a change that failed.
fn undone<E, R>(call: &'static str) -> impl FnOnce(SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    move |error| match refusal(call, &error) {
        Some(refused) => refused,
        None => AwsError::Cut { call, said: in_words(&error) },
    }
}

/// AWS's refusal, if the error is one.
fn refusal<E, R>(call: &'static str, error: &SdkError<E, R>) -> Option<AwsError>
where
    E: ProvideErrorMetadata,
{
    let said = match error {
        SdkError::ServiceError(said) => said.err(),
        _ => return None,
    };
    let text = |text: Option<&str>| text.unwrap_or("AWS gave no reason").to_owned();
    Some(AwsError::Refused {
        call,
        code: text(said.code()),
        message: text(said.message()),
    })
}

fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    let values = values.into_iter().map(Into::into).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}
