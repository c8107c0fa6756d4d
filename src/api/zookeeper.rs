//! ZooKeeper: its four-letter words, with which a member reports its state, and
//! [sessions](session).
//!
//! The parsers are pure. A value that a member does not report is unknown: it never counts as
//! zero.

pub mod session;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::remote::Stream;

/// Answers are some kilobytes; if there is more, another program is listening there.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// A question to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourLetterWord {
    /// Its state and how far its data goes.
    Srvr,
    /// All its metrics; only a leader knows its followers.
    Mntr,
    /// Whether its process is alive. The answer is also yes without a quorum.
    Ruok,
}

/// What a member reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It serves clients.
    Serving(Status),
    /// It runs, but has no quorum.
    NotServing,
}

/// A member that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its version, such as `3.8.0`.
    pub version: String,
    /// Its part in the ensemble.
    pub mode: Mode,
    /// The last change that it knows; only `srvr` reports it.
    pub zxid: Option<Zxid>,
    /// Members that follow it, synced or not; only a leader's `mntr` reports it.
    pub followers: Option<u32>,
    /// Voting members that follow it and are up to date; only a leader's `mntr` reports it.
    pub synced_followers: Option<u32>,
    /// Voting members of the ensemble, whether present or not; only `mntr` reports it.
    pub voters: Option<u32>,
}

/// A member's role in the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Orders all changes.
    Leader,
    /// Votes and serves.
    Follower,
    /// Serves but does not vote.
    Observer,
    /// Runs alone, and needs no quorum.
    Standalone,
}

/// A change's number: later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Zxid(pub u64);

/// Why a member's answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ZookeeperError {
    /// The connection was lost.
    #[error("the connection was lost during ZooKeeper's answer to `{word}`")]
    Broken {
        /// The question.
        word: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("ZooKeeper did not answer `{word}` within {}s", deadline.as_secs())]
    TimedOut {
        /// The question.
        word: &'static str,
        /// The longest it was allowed to take.
        deadline: Duration,
    },
    /// It does not support this question.
    #[error(
        "ZooKeeper does not answer `{word}`: it is missing in `4lw.commands.whitelist`"
    )]
    NotAllowed {
        /// The question.
        word: &'static str,
    },
    /// It accepted the question and sent nothing, as members do while they start or stop.
    #[error(
        "the program there accepted `{word}` and closed the connection without an answer: \
         ZooKeeper is starting or stopping, or this is another program"
    )]
    Silent {
        /// The question.
        word: &'static str,
    },
    /// The program there is not a ZooKeeper that this program supports.
    #[error("the program that answers there is not ZooKeeper: it says `{begin}`")]
    Unknown {
        /// The beginning of its answer.
        begin: String,
    },
}

impl FourLetterWord {
    /// The four letters.
    pub fn letters(self) -> &'static str {
        match self {
            Self::Srvr => "srvr",
            Self::Mntr => "mntr",
            Self::Ruok => "ruok",
        }
    }
}

/// Asks a member, and returns its whole answer. The connection cannot be used afterwards.
///
/// # Errors
/// When the connection breaks, the deadline passes, or the member does not answer this word.
pub async fn ask(
    mut stream: impl Stream,
    word: FourLetterWord,
    deadline: Duration,
) -> Result<String, ZookeeperError> {
    let letters = word.letters();
    let mut answer = Vec::new();
    let talk = async {
        stream.write_all(letters.as_bytes()).await?;
        stream.flush().await?;
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await
    };
    match tokio::time::timeout(deadline, talk).await {
        Err(_) => return Err(ZookeeperError::TimedOut { word: letters, deadline }),
        Ok(Err(source)) => return Err(ZookeeperError::Broken { word: letters, source }),
        Ok(Ok(_)) => {}
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    match text {
        text if text.trim().is_empty() => Err(ZookeeperError::Silent { word: letters }),
        text if text.contains("not in the whitelist") => {
            Err(ZookeeperError::NotAllowed { word: letters })
        }
        text => Ok(text),
    }
}

/// Asks a member `srvr`.
///
/// # Errors
/// As [`ask`], and when the answer is not from ZooKeeper.
pub async fn srvr(
    stream: impl Stream,
    deadline: Duration,
) -> Result<Answer, ZookeeperError> {
    parse_srvr(&ask(stream, FourLetterWord::Srvr, deadline).await?)
}

/// Asks a member `mntr`.
///
/// # Errors
/// As [`ask`], and when the answer is not from ZooKeeper.
pub async fn mntr(
    stream: impl Stream,
    deadline: Duration,
) -> Result<Answer, ZookeeperError> {
    parse_mntr(&ask(stream, FourLetterWord::Mntr, deadline).await?)
}

/// Asks a member `ruok`: whether its process is alive.
///
/// # Errors
/// As [`ask`].
pub async fn ruok(
    stream: impl Stream,
    deadline: Duration,
) -> Result<bool, ZookeeperError> {
    Ok(ask(stream, FourLetterWord::Ruok, deadline).await?.trim() == "imok")
}

/// Reads the answer to `srvr`: lines of `Name: value`.
///
/// # Errors
/// When the answer is not from ZooKeeper.
pub fn parse_srvr(text: &str) -> Result<Answer, ZookeeperError> {
    let value = |name: &str| {
        let of =
            |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
        text.lines().find_map(of).map(|value| value.trim().to_owned())
    };
    let seen = Seen {
        version: value("Zookeeper version"),
        mode: value("Mode"),
        zxid: value("Zxid"),
        voters: None,
        followers: None,
        synced_followers: None,
    };
    seen.answer(text)
}

/// Reads the answer to `mntr`: lines of a name, a tab and a value.
///
/// # Errors
/// When the answer is not from ZooKeeper.
pub fn parse_mntr(text: &str) -> Result<Answer, ZookeeperError> {
    let value = |name: &str| {
        let of =
            |line: &str| line.strip_prefix(name)?.strip_prefix('\t').map(str::to_owned);
        text.lines().find_map(of).map(|value| value.trim().to_owned())
    };
    let seen = Seen {
        version: value("zk_version"),
        mode: value("zk_server_state"),
        zxid: None,
        voters: value("zk_quorum_size"),
        // Versions before 3.6 call learners followers.
        followers: value("zk_learners").or_else(|| value("zk_followers")),
        synced_followers: value("zk_synced_followers"),
    };
    seen.answer(text)
}

/// The values of an answer, as the member sent them.
struct Seen {
    version: Option<String>,
    mode: Option<String>,
    zxid: Option<String>,
    voters: Option<String>,
    followers: Option<String>,
    synced_followers: Option<String>,
}

impl Seen {
    fn answer(self, text: &str) -> Result<Answer, ZookeeperError> {
        if text.starts_with(NOT_SERVING) {
            return Ok(Answer::NotServing);
        }
        let status = self.status();
        status.map(Answer::Serving).ok_or_else(|| ZookeeperError::Unknown {
            begin: text.chars().take(80).filter(|c| !c.is_control()).collect(),
        })
    }

    fn status(self) -> Option<Status> {
        let mode = match self.mode?.as_str() {
            "leader" => Mode::Leader,
            "follower" => Mode::Follower,
            "observer" => Mode::Observer,
            "standalone" => Mode::Standalone,
            _ => return None,
        };
        Some(Status {
            version: plain_version(&self.version?),
            mode,
            zxid: self.zxid.and_then(|zxid| parse_zxid(&zxid)),
            followers: self.followers.and_then(|count| parse_count(&count)),
            synced_followers: self.synced_followers.and_then(|count| parse_count(&count)),
            voters: self.voters.and_then(|count| parse_count(&count)),
        })
    }
}

/// `3.8.0` of `3.8.0-5a02a05eddb59aee6ac762f7ea82e92a68eb9c0f, built on 2022-…`.
fn plain_version(text: &str) -> String {
    text.split(['-', ',']).next().unwrap_or(text).trim().to_owned()
}

fn parse_zxid(text: &str) -> Option<Zxid> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok().map(Zxid)
}

/// Some versions write counts as `2`, others as `2.0`.
fn parse_count(text: &str) -> Option<u32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // As Debian's ZooKeeper 3.8.0 answers, in an ensemble of three that has just begun.
    const SRVR_FOLLOWER: &str = "\
Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC
Latency min/avg/max: 0/0.0/0
Received: 1
Sent: 0
Connections: 1
Outstanding: 0
Zxid: 0x0
Mode: follower
Node count: 5
";
    const SRVR_LEADER: &str = "\
Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC
Latency min/avg/max: 0/0.0/0
Received: 2
Sent: 1
Connections: 1
Outstanding: 0
Zxid: 0x100000000
Mode: leader
Node count: 5
Proposal sizes last/min/max: -1/-1/-1
";
    // Of its many lines, those that are near the ones that count.
    const MNTR_LEADER: &str = "\
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
    const MNTR_FOLLOWER: &str = "\
zk_version\t3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC
zk_server_state\tfollower
zk_peer_state\tfollowing - broadcast
zk_quorum_size\t3
zk_avg_follower_sync_time\t562.0
";
    const NOT_SERVING_ANSWER: &str =
        "This ZooKeeper instance is not currently serving requests\n";
    const FORBIDDEN: &str = "ruok is not executed because it is not in the whitelist.\n";

    fn member(mode: Mode) -> Status {
        Status {
            version: "3.8.0".to_owned(),
            mode,
            zxid: None,
            followers: None,
            synced_followers: None,
            voters: None,
        }
    }

    fn serving(answer: Result<Answer, ZookeeperError>) -> Status {
        match answer {
            Ok(Answer::Serving(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn srvr_tells_version_part_and_last_change() {
        let follower = Status { zxid: Some(Zxid(0)), ..member(Mode::Follower) };
        assert_eq!(serving(parse_srvr(SRVR_FOLLOWER)), follower);
        let leader = Status { zxid: Some(Zxid(1 << 32)), ..member(Mode::Leader) };
        assert_eq!(serving(parse_srvr(SRVR_LEADER)), leader);
    }

    #[test]
    fn only_the_leaders_mntr_tells_who_follows_and_is_synced() {
        let leader = Status {
            followers: Some(2),
            synced_followers: Some(2),
            voters: Some(3),
            ..member(Mode::Leader)
        };
        assert_eq!(serving(parse_mntr(MNTR_LEADER)), leader);
        let follower = Status { voters: Some(3), ..member(Mode::Follower) };
        assert_eq!(serving(parse_mntr(MNTR_FOLLOWER)), follower);
    }

    #[test]
    fn a_member_without_a_quorum_is_not_serving() {
        for parse in [parse_srvr, parse_mntr] {
            assert_eq!(parse(NOT_SERVING_ANSWER).unwrap(), Answer::NotServing);
        }
    }

    #[test]
    fn another_program_is_not_taken_for_zookeeper() {
        for other in ["", "HTTP/1.1 400 Bad Request\r\n", "Mode: tyrant\n", "imok"] {
            assert!(parse_srvr(other).is_err(), "{other}");
            assert!(parse_mntr(other).is_err(), "{other}");
        }
        assert!(parse_mntr(SRVR_LEADER).is_err());
    }

    #[tokio::test]
    async fn a_member_is_asked_four_letters_and_read_to_the_end() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let member = async {
            let mut asked = [0; 4];
            theirs.read_exact(&mut asked).await.unwrap();
            theirs.write_all(SRVR_LEADER.as_bytes()).await.unwrap();
            drop(theirs);
            asked
        };
        let (answer, asked) = tokio::join!(srvr(ours, Duration::from_secs(5)), member);
        assert_eq!(&asked, b"srvr");
        assert_eq!(serving(answer).mode, Mode::Leader);
    }

    #[tokio::test]
    async fn a_forbidden_word_and_a_silent_member_are_told_apart() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(FORBIDDEN.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let forbidden = ruok(ours, Duration::from_secs(5)).await;
        assert!(matches!(forbidden, Err(ZookeeperError::NotAllowed { word: "ruok" })));

        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.shutdown().await.unwrap();
        let nothing = mntr(ours, Duration::from_secs(5)).await.unwrap_err().to_string();
        assert!(
            nothing.contains("`mntr` and closed the connection without an answer"),
            "{nothing}"
        );

        let (ours, _theirs) = tokio::io::duplex(1024);
        let silent = ruok(ours, Duration::from_millis(20)).await;
        assert!(matches!(silent, Err(ZookeeperError::TimedOut { .. })), "{silent:?}");
    }
}
