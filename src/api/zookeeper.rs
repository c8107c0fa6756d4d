//! ZooKeeper: the four-letter word `mntr`, with which a member reports its state, and
//! [sessions](session).
//!
//! The parser is pure. A value that a member does not report is unknown: it never counts as
//! zero.

pub(crate) mod session;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::remote::Stream;

/// Answers are some kilobytes; if there is more, another program is listening there.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// What a member reports about itself.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It serves clients.
    Serving(Status),
    /// It runs, but has no quorum.
    NotServing,
}

/// A member that serves.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    /// Its version, such as `3.8.0`.
    pub(crate) version: String,
    /// Its part in the ensemble.
    pub(crate) mode: Mode,
    /// Voting members that follow it and are up to date; only a leader reports it.
    pub(crate) synced_followers: Option<u32>,
}

/// A member's role in the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Orders all changes.
    Leader,
    /// Votes and serves.
    Follower,
    /// Serves but does not vote.
    Observer,
    /// Runs alone, and needs no quorum.
    Standalone,
}

/// Why a member's answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZookeeperError {
    /// The connection was lost.
    #[error("the connection was lost during ZooKeeper's answer to `mntr`")]
    Broken(#[source] std::io::Error),
    /// It took too long.
    #[error("ZooKeeper did not answer `mntr` within {}s", deadline.as_secs())]
    TimedOut {
        /// The longest it was allowed to take.
        deadline: Duration,
    },
    /// It does not support this question.
    #[error(
        "ZooKeeper does not answer `mntr`: it is missing in `4lw.commands.whitelist`"
    )]
    NotAllowed,
    /// It accepted the question and sent nothing, as members do while they start or stop.
    #[error(
        "the program there accepted `mntr` and closed the connection without an answer: \
         ZooKeeper is starting or stopping, or this is another program"
    )]
    Silent,
    /// The program there is not a ZooKeeper that this program supports.
    #[error("the program that answers there is not ZooKeeper: it says `{begin}`")]
    Unknown {
        /// The beginning of its answer.
        begin: String,
    },
}

/// Asks a member `mntr`. The stream ends with the answer.
///
/// # Errors
/// When the connection breaks, the deadline passes, the member does not answer this word, or the
/// answer is not from ZooKeeper.
pub(crate) async fn mntr(
    mut stream: impl Stream,
    deadline: Duration,
) -> Result<Answer, ZookeeperError> {
    let mut answer = Vec::new();
    let talk = async {
        stream.write_all(b"mntr").await?;
        stream.flush().await?;
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await
    };
    match tokio::time::timeout(deadline, talk).await {
        Err(_) => return Err(ZookeeperError::TimedOut { deadline }),
        Ok(Err(source)) => return Err(ZookeeperError::Broken(source)),
        Ok(Ok(_)) => {}
    }
    let text = String::from_utf8_lossy(&answer);
    match &*text {
        text if text.trim().is_empty() => Err(ZookeeperError::Silent),
        text if text.contains("not in the whitelist") => Err(ZookeeperError::NotAllowed),
        text => parse(text),
    }
}

/// Reads an answer: lines of a name, a tab and a value.
fn parse(text: &str) -> Result<Answer, ZookeeperError> {
    if text.starts_with(NOT_SERVING) {
        return Ok(Answer::NotServing);
    }
    status(text).map(Answer::Serving).ok_or_else(|| ZookeeperError::Unknown {
        begin: text.chars().take(80).filter(|c| !c.is_control()).collect(),
    })
}

fn status(text: &str) -> Option<Status> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('\t')?.trim()))
    };
    let mode = match value("zk_server_state")? {
        "leader" => Mode::Leader,
        "follower" => Mode::Follower,
        "observer" => Mode::Observer,
        "standalone" => Mode::Standalone,
        _ => return None,
    };
    Some(Status {
        version: plain_version(value("zk_version")?),
        mode,
        synced_followers: value("zk_synced_followers").and_then(count),
    })
}

/// `3.8.0` of `3.8.0-5a02a05eddb59aee6ac762f7ea82e92a68eb9c0f, built on 2022-…`.
fn plain_version(text: &str) -> String {
    text.split(['-', ',']).next().unwrap_or(text).trim().to_owned()
}

/// Some versions write counts as `2`, others as `2.0`.
fn count(text: &str) -> Option<u32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // As Debian's ZooKeeper 3.8.0 answers, in an ensemble of three that has just begun. Of its
    // many lines, those that are near the ones that count.
    const LEADER: &str = "\
zk_version\t3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC
zk_server_state\tleader
zk_peer_state\tleading - broadcast
zk_ephemerals_count\t0
zk_avg_latency\t0.0
zk_znode_count\t5
zk_synced_followers\t2
zk_synced_non_voting_followers\t0
zk_synced_observers\t0
zk_learners\t2
zk_quorum_size\t3
zk_avg_follower_sync_time\t0.0
";
    const FOLLOWER: &str = "\
zk_version\t3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC
zk_server_state\tfollower
zk_peer_state\tfollowing - broadcast
zk_quorum_size\t3
zk_avg_follower_sync_time\t562.0
";
    const NOT_SERVING_ANSWER: &str =
        "This ZooKeeper instance is not currently serving requests\n";
    const FORBIDDEN: &str = "mntr is not executed because it is not in the whitelist.\n";

    fn serving(answer: Result<Answer, ZookeeperError>) -> Status {
        match answer {
            Ok(Answer::Serving(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_leader_tells_who_is_synced() {
        let leader = serving(parse(LEADER));
        assert_eq!((leader.mode, leader.synced_followers), (Mode::Leader, Some(2)));
        assert_eq!(leader.version, "3.8.0");
        let follower = serving(parse(FOLLOWER));
        assert_eq!((follower.mode, follower.synced_followers), (Mode::Follower, None));
        assert_eq!(follower.version, "3.8.0");
    }

    #[test]
    fn a_member_without_a_quorum_is_not_serving() {
        assert!(matches!(parse(NOT_SERVING_ANSWER), Ok(Answer::NotServing)));
    }

    #[test]
    fn another_program_is_not_taken_for_zookeeper() {
        let tyrant = LEADER.replace("\tleader\n", "\ttyrant\n");
        let no_tabs = LEADER.replace('\t', ": ");
        for other in ["", "HTTP/1.1 400 Bad Request\r\n", "imok", &tyrant, &no_tabs] {
            assert!(parse(other).is_err(), "{other}");
        }
    }

    #[tokio::test]
    async fn a_member_is_asked_four_letters_and_read_to_the_end() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let member = async {
            let mut asked = [0; 4];
            theirs.read_exact(&mut asked).await.unwrap();
            theirs.write_all(LEADER.as_bytes()).await.unwrap();
            drop(theirs);
            asked
        };
        let (answer, asked) = tokio::join!(mntr(ours, Duration::from_secs(5)), member);
        assert_eq!(&asked, b"mntr");
        assert_eq!(serving(answer).mode, Mode::Leader);
    }

    #[tokio::test]
    async fn a_forbidden_word_and_a_silent_member_are_told_apart() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(FORBIDDEN.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let forbidden = mntr(ours, Duration::from_secs(5)).await;
        assert!(matches!(forbidden, Err(ZookeeperError::NotAllowed)), "{forbidden:?}");

        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.shutdown().await.unwrap();
        let nothing = mntr(ours, Duration::from_secs(5)).await.unwrap_err().to_string();
        assert!(
            nothing.contains("`mntr` and closed the connection without an answer"),
            "{nothing}"
        );

        let (ours, _theirs) = tokio::io::duplex(1024);
        let silent = mntr(ours, Duration::from_millis(20)).await;
        assert!(matches!(silent, Err(ZookeeperError::TimedOut { .. })), "{silent:?}");
    }
}
