//! Asks a host everything at once.

use std::time::Duration;

use crate::host::HostName;
use crate::reason;
use crate::remote::{Argv, As, Exec, Input, Remote, RemoteError};
use crate::resource::Facts;
use crate::resource::probe::{self, BadAnswer, Questions};

/// The longest that a host may take to answer. Hashing a large file on a slow disk is what
/// takes long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Takes the script as its input: a command line would bound the number of questions.
const RECEIVER: &str = r#"script=$(cat) && eval "$script""#;

/// Why a host could not be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The connection failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The script ended with a failure.
    #[error("the probe of {host} ended with status {status}{}", told(stderr))]
    Failed {
        /// The host.
        host: HostName,
        /// The exit status.
        status: u32,
        /// What it said, the decisive line first.
        stderr: String,
    },
    /// The answer cannot be read.
    #[error("cannot read what {host} answered")]
    Answer {
        /// The host.
        host: HostName,
        /// Why.
        source: BadAnswer,
    },
}

/// Asks a host, in one command. `clock` gives this computer's time in seconds since 1970.
/// It only reads; it can be repeated at any time.
///
/// # Errors
/// When the connection fails, the deadline passes, or the answer is not whole.
pub async fn probe(
    host: &HostName,
    remote: &dyn Remote,
    questions: &Questions,
    clock: &(dyn Fn() -> f64 + Send + Sync),
) -> Result<Facts, ProbeError> {
    let asked = clock();
    let exec = Exec {
        purpose: "probe".to_owned(),
        argv: Argv::new(["sh", "-c", RECEIVER]),
        user: As::Root,
        input: Input::Bytes(questions.script().into_bytes()),
        on_line: None,
        deadline: DEADLINE,
    };
    let output = remote.exec(exec).await?;
    let now = f64::midpoint(asked, clock());
    if output.status != 0 {
        let stderr = reason::decisive_first(&String::from_utf8_lossy(&output.stderr));
        return Err(ProbeError::Failed {
            host: host.clone(),
            status: output.status,
            stderr,
        });
    }
    let answer = String::from_utf8_lossy(&output.stdout);
    probe::parse(&answer, now)
        .map_err(|source| ProbeError::Answer { host: host.clone(), source })
}

fn told(stderr: &str) -> String {
    match stderr {
        "" => " and said nothing".to_owned(),
        said => format!(": {said}"),
    }
}
