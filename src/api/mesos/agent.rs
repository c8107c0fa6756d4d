//! One agent: where its tasks run, and what they write.
//!
//! An agent gives a file in pieces of at most 16 pages. Asked for what is behind the end, it
//! answers with the size of the file. It sends the bytes of a file as a JSON string as they are,
//! so a string may be no UTF-8: a piece may also end inside a character.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::super::http::{Access, ApiError, Call, Http, Reason, encode};

/// What is asked for at once.
const PIECE: u64 = 64 << 10;
/// A reader that is further behind the end of a file than this leaves a part out.
const FURTHEST_BEHIND: u64 = 128 << 20;
/// Where it goes on: so far before the end.
const GOES_ON: u64 = 1 << 20;

/// A Mesos agent.
#[derive(Clone)]
pub(crate) struct Agent {
    access: Access,
}

/// Where a task runs, or ran.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct TaskRun {
    /// The id of its container; Docker's own name of it is `mesos-` and this.
    pub(crate) container: String,
    /// The folder of its files on the agent's host.
    pub(crate) directory: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    frameworks: Vec<Framework>,
    completed_frameworks: Vec<Framework>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Framework {
    executors: Vec<Executor>,
    completed_executors: Vec<Executor>,
}

/// What runs tasks. For one that Mesos itself brings, its id is that of its only task.
#[derive(Deserialize)]
struct Executor {
    id: String,
    #[serde(flatten)]
    run: TaskRun,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    container_id: String,
    status: ContainerStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    /// Mesos names none for a container of Docker.
    executor_pid: Option<u32>,
}

#[derive(Deserialize)]
struct Answer {
    offset: u64,
    #[serde(deserialize_with = "bytes")]
    data: Vec<u8>,
}

impl Agent {
    /// Creates a client for an agent; sends nothing yet.
    pub(crate) fn new(access: Access) -> Self {
        Self { access }
    }

    /// Where a task runs, or ran; `None` if the agent does not know it yet, or not any more.
    ///
    /// # Errors
    /// When the agent does not answer, or refuses the password.
    pub(crate) async fn run_of(&self, task: &str) -> Result<Option<TaskRun>, ApiError> {
        let state: State = self.http().json(&Call::get("/state")).await?;
        let all = state.frameworks.into_iter().chain(state.completed_frameworks);
        let mut executors =
            all.flat_map(|it| it.executors.into_iter().chain(it.completed_executors));
        Ok(executors.find(|executor| executor.id == task).map(|executor| executor.run))
    }

    /// The process that runs a task, on the agent's host; `None` if Docker runs it.
    ///
    /// # Errors
    /// As [`run_of`](Self::run_of).
    pub(crate) async fn process_of(
        &self,
        run: &TaskRun,
    ) -> Result<Option<u32>, ApiError> {
        let all: Vec<Container> = self.http().json(&Call::get("/containers")).await?;
        let found = all.into_iter().find(|it| it.container_id == run.container);
        Ok(found.and_then(|container| container.status.executor_pid))
    }

    /// A piece of a file, and where it begins; without a place, the size of the file and no bytes.
    /// `None` if there is no such file.
    async fn read(
        &self,
        path: &str,
        place: Option<(u64, u64)>,
    ) -> Result<Option<Answer>, ApiError> {
        let place = match place {
            Some((offset, length)) => format!("offset={offset}&length={length}"),
            None => "offset=-1".to_owned(),
        };
        let path = encode(path, "/");
        let call = Call::get(format!("/files/read?path={path}&{place}"));
        match self.http().json(&call.named("GET /files/read")).await {
            Ok(answer) => Ok(Some(answer)),
            Err(ApiError { reason: Reason::NotFound(_), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn http(&self) -> Http {
        Http::new(self.access.clone())
    }
}

/// The bytes of a JSON string, also where they are no UTF-8.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
    from.deserialize_bytes(Bytes)
}

/// Where the reading of a file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At its start.
    Start,
    /// So many lines before its end.
    Last(usize),
}

/// What a reader finds next in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing new.
    Nothing,
    /// No such file: not yet, or not any more.
    NoFile,
    /// The file is shorter than what was read of it: reading goes on at its start.
    Shorter,
    /// The file grows faster than it can be read: so many bytes are left out.
    LeftOut(u64),
}

/// A file of a task, read in order while the task writes it. It is never more than one piece in
/// memory.
pub(crate) struct Reader {
    agent: Agent,
    path: String,
    begin: Begin,
    /// Up to where it is read; `None` before there is a file.
    offset: Option<u64>,
    /// The size of the file when it was asked for last.
    size: u64,
}

impl Reader {
    /// Reads a file in the folder of a task.
    pub(crate) fn new(agent: Agent, run: &TaskRun, file: &str, begin: Begin) -> Self {
        let path = format!("{}/{file}", run.directory);
        Self { agent, path, begin, offset: None, size: 0 }
    }

    /// What comes next. After an error, the same can be asked again.
    ///
    /// # Errors
    /// When the agent does not answer, or refuses.
    pub(crate) async fn next(&mut self) -> Result<Found, ApiError> {
        if self.offset.is_none_or(|offset| offset >= self.size) {
            let Some(Answer { offset: size, .. }) =
                self.agent.read(&self.path, None).await?
            else {
                return Ok(Found::NoFile);
            };
            let offset = match self.offset {
                Some(offset) => offset,
                None => self.first(size).await?,
            };
            (self.offset, self.size) = (Some(offset), size);
            if size < offset {
                self.offset = Some(0);
                return Ok(Found::Shorter);
            }
            if size - offset > FURTHEST_BEHIND {
                let goes_on = size - GOES_ON;
                self.offset = Some(goes_on);
                return Ok(Found::LeftOut(goes_on - offset));
            }
        }
        let offset = self.offset.unwrap_or_default();
        if offset >= self.size {
            return Ok(Found::Nothing);
        }
        let piece = self.agent.read(&self.path, Some((offset, PIECE))).await?;
        match piece {
            Some(Answer { data, .. }) if !data.is_empty() => {
                self.offset = Some(offset + data.len() as u64);
                Ok(Found::Bytes(data))
            }
            // It was cut meanwhile: its size is asked for again.
            _ => {
                self.size = 0;
                Ok(Found::Nothing)
            }
        }
    }

    /// Whether it has read up to where the file ended when its size was asked for last.
    pub(crate) fn is_at_end(&self) -> bool {
        self.offset.is_some_and(|offset| offset >= self.size)
    }

    /// Where the lines begin that are wanted of a file of this size.
    async fn first(&self, size: u64) -> Result<u64, ApiError> {
        let Begin::Last(lines) = self.begin else { return Ok(0) };
        let (mut search, mut end) = (LastLines::new(lines), size);
        while end > 0 {
            let from = end.saturating_sub(PIECE);
            let piece = self.agent.read(&self.path, Some((from, end - from))).await?;
            let data = piece.map(|piece| piece.data).unwrap_or_default();
            if let Some(place) = search.in_piece_before(&data) {
                return Ok(from + place as u64);
            }
            end = from;
        }
        Ok(0)
    }
}

/// Looks backwards for the place where the last lines of a file begin.
struct LastLines {
    /// Ends of lines that may still be passed.
    left: usize,
    /// Whether the very last byte was seen: if it ends a line, no line begins behind it.
    has_seen_last: bool,
}

impl LastLines {
    fn new(lines: usize) -> Self {
        Self { left: lines, has_seen_last: false }
    }

    /// The place in this piece, which comes before all those that were looked at.
    fn in_piece_before(&mut self, piece: &[u8]) -> Option<usize> {
        for (place, byte) in piece.iter().enumerate().rev() {
            let ends_a_line =
                std::mem::replace(&mut self.has_seen_last, true) && *byte == b'\n';
            self.left -= usize::from(ends_a_line && self.left > 0);
            if self.left == 0 {
                return Some(place + 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a text that comes in pieces of this size.
    fn last(text: &str, lines: usize, size: usize) -> &str {
        let mut search = LastLines::new(lines);
        let mut end = text.len();
        while end > 0 {
            let from = end.saturating_sub(size);
            let piece = &text.as_bytes()[from..end];
            if let Some(place) = search.in_piece_before(piece) {
                return &text[from + place..];
            }
            end = from;
        }
        text
    }

    #[test]
    fn the_last_lines_begin_at_the_same_place_whatever_the_pieces() {
        for size in 1..8 {
            assert_eq!(last("a\nbb\nccc\n", 2, size), "bb\nccc\n", "{size}");
            assert_eq!(last("a\nbb\nccc", 2, size), "bb\nccc", "{size}");
            assert_eq!(last("a\n\n\n", 2, size), "\n\n", "{size}");
            assert_eq!(last("a\nb\n", 9, size), "a\nb\n", "{size}");
            assert_eq!(last("a\nb\n", 0, size), "", "{size}");
            assert_eq!(last("a\nb", 0, size), "", "{size}");
            assert_eq!(last("", 3, size), "");
        }
    }

    #[test]
    fn bytes_that_are_no_characters_are_read_as_they_are() {
        let answer = b"{\"data\": \"a\\n\\u0000\xff\xc3\", \"offset\": 7}";
        let answer: Answer = serde_json::from_slice(answer).unwrap();
        assert_eq!((answer.offset, answer.data), (7, b"a\n\0\xff\xc3".to_vec()));
    }
}
