//! A short session with a member: which nodes there are, and who may do what with them.
//!
//! It goes over a stream of its caller's, so that no port of this computer leads to ZooKeeper;
//! and it asks one question at a time, so nothing has to be kept alive, watched or tried again.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::component::znode::{AccessList, Grant, Rights};
use crate::remote::Stream;
use crate::secret::Secret;

/// How long a member keeps a session of which it hears nothing; it outlives any question.
const SESSION: Duration = Duration::from_secs(20);
/// An access list has some hundred bytes; more is something else that answers there.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The numbers by which ZooKeeper's protocol knows what is asked.
const CREATE: i32 = 1;
const GET_ACL: i32 = 6;
const SET_ACL: i32 = 7;
const AUTH: i32 = 100;
const CLOSE: i32 = -11;
/// A proof of who asks has no number of its own.
const AUTH_XID: i32 = -4;

const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;

/// Why a session is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection broke off.
    #[error("ZooKeeper broke off the session")]
    Broken(#[source] std::io::Error),
    /// It took too long.
    #[error("ZooKeeper did not answer within {}s", deadline.as_secs())]
    TimedOut {
        /// The longest that an answer was allowed to take.
        deadline: Duration,
    },
    /// It does not do what it is asked.
    #[error("ZooKeeper refuses to {what}: {}", reason(*code))]
    Refused {
        /// What it was asked to do.
        what: String,
        /// Its reason, as a number.
        code: i32,
    },
    /// What answers there is no ZooKeeper that this program knows.
    #[error("what answers there does not speak as ZooKeeper does")]
    Nonsense,
}

/// What ZooKeeper's numbers mean, of those that can come.
fn reason(code: i32) -> String {
    match code {
        NO_NODE => "there is no such node".to_owned(),
        -102 => "the administrator's password is not the one that it knows".to_owned(),
        NODE_EXISTS => "there is such a node already".to_owned(),
        -114 => "it takes the access list for invalid".to_owned(),
        -115 => "it takes the password for wrong".to_owned(),
        code => format!("its error {code}"),
    }
}

/// A session with a member.
pub struct Session<S> {
    stream: S,
    deadline: Duration,
    n_asked: i32,
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("n_asked", &self.n_asked).finish_non_exhaustive()
    }
}

impl<S: Stream> Session<S> {
    /// Begins a session as a user. No answer may take longer than `deadline`.
    ///
    /// # Errors
    /// When the member does not take it: one without a quorum breaks it off.
    pub async fn open(
        stream: S,
        user: &str,
        password: &Secret,
        deadline: Duration,
    ) -> Result<Self, SessionError> {
        let mut session = Self { stream, deadline, n_asked: 0 };
        let timeout = i32::try_from(SESSION.as_millis()).unwrap_or(i32::MAX);
        let hello = Record::default().int(0).long(0).int(timeout).long(0);
        let answer = session.exchange(hello.bytes(&[0; 16]).flag(false)).await?;
        let mut answer = Answer(&answer);
        let (_version, granted) = (answer.int()?, answer.int()?);
        if granted <= 0 {
            return Err(SessionError::Nonsense);
        }
        let proof = format!("{user}:{}", password.expose());
        let asked = Record::default().int(AUTH_XID).int(AUTH).int(0);
        let asked = asked.text("digest").bytes(proof.as_bytes());
        session.ask(asked, AUTH_XID, || format!("let {user} in")).await?;
        Ok(session)
    }

    /// Who may do what with a node; none where there is no such node.
    ///
    /// # Errors
    /// When the member does not tell.
    pub async fn access(
        &mut self,
        path: &str,
    ) -> Result<Option<AccessList>, SessionError> {
        let what = || format!("say who may use {path}");
        match self.request(GET_ACL, |asked| asked.text(path), what).await {
            Err(SessionError::Refused { code: NO_NODE, .. }) => Ok(None),
            answer => Answer(&answer?).access().map(Some),
        }
    }

    /// Makes a node for those on the list, or has a node that is there follow it. Repeated, it
    /// changes nothing.
    ///
    /// # Errors
    /// When the member does not do it.
    pub async fn secure(
        &mut self,
        path: &str,
        access: &AccessList,
    ) -> Result<(), SessionError> {
        match self.access(path).await? {
            Some(found) if found == *access => return Ok(()),
            Some(_) => {}
            None => match self.create(path, access).await {
                Err(SessionError::Refused { code: NODE_EXISTS, .. }) => {}
                created => return created,
            },
        }
        let body = |asked: Record| asked.text(path).access(access).int(-1);
        let what = || format!("set who may use {path}");
        self.request(SET_ACL, body, what).await.map(drop)
    }

    async fn create(
        &mut self,
        path: &str,
        access: &AccessList,
    ) -> Result<(), SessionError> {
        let body = |asked: Record| asked.text(path).bytes(&[]).access(access).int(0);
        self.request(CREATE, body, || format!("make {path}")).await.map(drop)
    }

    /// Ends the session, so that the member need not keep it.
    ///
    /// # Errors
    /// When the member does not say that it did; it forgets the session by itself.
    pub async fn close(mut self) -> Result<(), SessionError> {
        let what = || "end the session".to_owned();
        self.request(CLOSE, |asked| asked, what).await.map(drop)
    }

    async fn request(
        &mut self,
        operation: i32,
        body: impl FnOnce(Record) -> Record,
        what: impl FnOnce() -> String,
    ) -> Result<Vec<u8>, SessionError> {
        self.n_asked += 1;
        let xid = self.n_asked;
        self.ask(body(Record::default().int(xid).int(operation)), xid, what).await
    }

    /// What an answer holds behind its head: the number of the question, of the last change, and
    /// of an error.
    async fn ask(
        &mut self,
        asked: Record,
        xid: i32,
        what: impl FnOnce() -> String,
    ) -> Result<Vec<u8>, SessionError> {
        let answer = self.exchange(asked).await?;
        let mut rest = Answer(&answer);
        let (answered, _zxid, code) = (rest.int()?, rest.long()?, rest.int()?);
        match code {
            _ if answered != xid => Err(SessionError::Nonsense),
            0 => Ok(rest.0.to_vec()),
            code => Err(SessionError::Refused { what: what(), code }),
        }
    }

    async fn exchange(&mut self, asked: Record) -> Result<Vec<u8>, SessionError> {
        let deadline = self.deadline;
        let talk = async {
            self.stream.write_all(&asked.framed()).await?;
            self.stream.flush().await?;
            let n_bytes = self.stream.read_u32().await? as usize;
            if n_bytes > MAX_ANSWER_BYTES {
                return Ok(None);
            }
            let mut answer = vec![0; n_bytes];
            self.stream.read_exact(&mut answer).await?;
            Ok(Some(answer))
        };
        match tokio::time::timeout(deadline, talk).await {
            Err(_) => Err(SessionError::TimedOut { deadline }),
            Ok(Err(source)) => Err(SessionError::Broken(source)),
            Ok(Ok(answer)) => answer.ok_or(SessionError::Nonsense),
        }
    }
}

/// A question in the making: values in the order in which they are written.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn flag(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut counted = self.int(length(bytes.len()));
        counted.0.extend(bytes);
        counted
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn access(self, access: &AccessList) -> Self {
        access.iter().fold(self.int(length(access.len())), |record, grant| {
            let rights = i32::from_be_bytes(grant.rights.0.to_be_bytes());
            record.int(rights).text(&grant.scheme).text(&grant.id)
        })
    }

    /// As it is sent: behind its own length.
    fn framed(self) -> Vec<u8> {
        Self::default().bytes(&self.0).0
    }
}

/// What this program asks is short.
fn length(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// What is left of an answer.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SessionError> {
        let (taken, rest) =
            self.0.split_first_chunk::<N>().ok_or(SessionError::Nonsense)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn int(&mut self) -> Result<i32, SessionError> {
        self.take().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, SessionError> {
        self.take().map(i64::from_be_bytes)
    }

    fn text(&mut self) -> Result<String, SessionError> {
        let length = usize::try_from(self.int()?).map_err(|_| SessionError::Nonsense)?;
        let (text, rest) =
            self.0.split_at_checked(length).ok_or(SessionError::Nonsense)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| SessionError::Nonsense)
    }

    fn access(&mut self) -> Result<AccessList, SessionError> {
        let n_grants = self.int()?;
        (0..n_grants)
            .map(|_| {
                let rights = Rights(u32::from_be_bytes(self.take()?));
                let (scheme, id) = (self.text()?, self.text()?);
                Ok(Grant { scheme, id, rights })
            })
            .collect()
    }
}
