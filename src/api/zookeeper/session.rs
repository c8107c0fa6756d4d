//! A short session with a member: which nodes exist, and who may access them.
//!
//! It uses a stream from its caller, so that no port of this computer leads to ZooKeeper. It asks
//! one question at a time, so it needs no keepalives, watches or retries.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::component::znode::{AccessList, Grant, Rights};
use crate::remote::Stream;
use crate::secret::Secret;

/// How long a member keeps a silent session; longer than any question takes.
const SESSION: Duration = Duration::from_secs(20);
/// An access list has some hundred bytes; if there is more, another program answers there.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The numbers of requests in ZooKeeper's protocol.
const CREATE: i32 = 1;
const GET_ACL: i32 = 6;
const SET_ACL: i32 = 7;
const AUTH: i32 = 100;
const CLOSE: i32 = -11;
/// The number that ZooKeeper uses for authentication.
const AUTH_XID: i32 = -4;

const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The connection was lost.
    #[error("the connection was lost during the session with ZooKeeper")]
    Broken(#[source] std::io::Error),
    /// It took too long.
    #[error("ZooKeeper did not answer within {}s", deadline.as_secs())]
    TimedOut {
        /// The longest that an answer was allowed to take.
        deadline: Duration,
    },
    /// It refuses a request.
    #[error("ZooKeeper refuses to {what}: {}", reason(*code))]
    Refused {
        /// The request.
        what: String,
        /// Its reason, as a number.
        code: i32,
    },
    /// The program there is not a ZooKeeper that this program supports.
    #[error("the program that answers there is not ZooKeeper")]
    Nonsense,
}

/// The meaning of ZooKeeper's error numbers that can occur.
fn reason(code: i32) -> String {
    match code {
        NO_NODE => "the node does not exist".to_owned(),
        -102 => "it has a different administrator password".to_owned(),
        NODE_EXISTS => "the node already exists".to_owned(),
        -114 => "the access list is invalid".to_owned(),
        -115 => "the password is wrong".to_owned(),
        code => format!("error {code}"),
    }
}

/// A session with a member.
pub(crate) struct Session<S> {
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
    /// When the member refuses it: a member without a quorum closes the connection.
    pub(crate) async fn open(
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
        session.ask(asked, AUTH_XID, || format!("log in {user}")).await?;
        Ok(session)
    }

    /// Who may access a node; `None` if the node does not exist.
    ///
    /// # Errors
    /// When the member does not answer this.
    pub(crate) async fn access(
        &mut self,
        path: &str,
    ) -> Result<Option<AccessList>, SessionError> {
        let what = || format!("report who may access {path}");
        match self.request(GET_ACL, |asked| asked.text(path), what).await {
            Err(SessionError::Refused { code: NO_NODE, .. }) => Ok(None),
            answer => Answer(&answer?).access().map(Some),
        }
    }

    /// Creates a node with the given access list, or sets the list on an existing node. If
    /// repeated, it changes nothing.
    ///
    /// # Errors
    /// When the member refuses.
    pub(crate) async fn secure(
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
        let what = || format!("set who may access {path}");
        self.request(SET_ACL, body, what).await.map(drop)
    }

    async fn create(
        &mut self,
        path: &str,
        access: &AccessList,
    ) -> Result<(), SessionError> {
        let body = |asked: Record| asked.text(path).bytes(&[]).access(access).int(0);
        self.request(CREATE, body, || format!("create {path}")).await.map(drop)
    }

    /// Ends the session, so that the member need not keep it.
    ///
    /// # Errors
    /// When the member does not confirm it; the session then expires by itself.
    pub(crate) async fn close(mut self) -> Result<(), SessionError> {
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

    /// The content of an answer after its header: the number of the question, of the last change,
    /// and of an error.
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

/// A question under construction: values in the order in which they are written.
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

    /// The bytes to send: the length, then the content.
    fn framed(self) -> Vec<u8> {
        Self::default().bytes(&self.0).0
    }
}

/// The questions of this program are short.
fn length(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// The unread rest of an answer.
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
