//! Limits how much data is queued on a connection.
//!
//! The SSH library copies everything that is queued into one buffer before it writes, without a
//! limit, and keeps that buffer for the life of the connection: a file of 1 MB for 500 hosts at
//! once took 600 MB. So code that sends much queues one piece, waits until the connection has
//! sent it, and then queues the next.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;

/// The most to queue at a time: sshd's largest packet; larger pieces would only be split.
pub(super) const PIECE: usize = 32 * 1024;

/// Reports how many bytes a connection has sent.
#[derive(Debug, Clone)]
pub(super) struct Pace(watch::Receiver<u64>);

impl Pace {
    /// How many bytes the connection had sent when its queue was last empty.
    pub(super) fn sent(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until the given number of bytes more than before was sent. If the connection has
    /// ended, this returns at once: the sender gets the error elsewhere.
    ///
    /// The sent bytes are never fewer than the queued bytes, because nothing is compressed.
    pub(super) async fn beyond(&mut self, before: u64, n_bytes: usize) {
        let enough = before.saturating_add(u64::try_from(n_bytes).unwrap_or(u64::MAX));
        // The only error is that the connection has ended.
        let _ = self.0.wait_for(|&sent| sent >= enough).await;
    }
}

/// A stream that reports how much was written to it.
pub(super) struct Paced<S> {
    stream: S,
    written: u64,
    flushed: watch::Sender<u64>,
}

impl<S> Paced<S> {
    /// Counts what is written to a stream, and reports the count whenever everything was flushed.
    pub(super) fn new(stream: S) -> (Self, Pace) {
        let (flushed, pace) = watch::channel(0);
        (Self { stream, written: 0, flushed }, Pace(pace))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n_written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.written += u64::try_from(n_written).unwrap_or(u64::MAX);
        Poll::Ready(Ok(n_written))
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.flushed.send_replace(self.written);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A stream over a connection that never has more than a few pieces queued: what is written to it
/// passes through a small pipe, and from there at the connection's pace.
pub(super) fn at_pace<S>(
    stream: S,
    mut pace: Pace,
) -> impl AsyncRead + AsyncWrite + Unpin + Send + 'static
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (reader, mut writer) = tokio::io::split(stream);
    // A pipe of one direction does not end when it is dropped; a pipe of two directions does.
    let (pipe, mut taken) = tokio::io::duplex(PIECE);
    tokio::spawn(async move {
        let mut piece = Vec::with_capacity(PIECE);
        while matches!(taken.read_buf(&mut piece).await, Ok(1..)) {
            let before = pace.sent();
            if writer.write_all(&piece).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            pace.beyond(before, piece.len()).await;
            piece.clear();
        }
        // The other side may have closed it already.
        let _ = writer.shutdown().await;
    });
    tokio::io::join(reader, pipe)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Whether a future completes without any other event.
    async fn ends(future: impl Future<Output = ()>) -> bool {
        timeout(Duration::from_millis(1), future).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_is_sent_when_it_was_written_and_flushed() {
        let (here, mut there) = tokio::io::duplex(8);
        let (mut stream, mut pace) = Paced::new(here);
        assert!(ends(pace.beyond(0, 0)).await);
        stream.write_all(b"12345678").await.unwrap();
        assert!(!ends(pace.beyond(0, 8)).await);
        stream.flush().await.unwrap();
        assert!(ends(pace.beyond(0, 8)).await);
        assert!(!ends(pace.beyond(pace.sent(), 1)).await);
        there.read_exact(&mut [0; 8]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_ended_keeps_nobody_waiting() {
        let (stream, mut pace) = Paced::new(tokio::io::duplex(8).0);
        assert!(!ends(pace.beyond(0, 1)).await);
        drop(stream);
        assert!(ends(pace.beyond(0, 1)).await);
    }

    #[tokio::test]
    async fn a_stream_at_a_pace_carries_all_both_ways_and_its_end() {
        let (wire, far) = tokio::io::duplex(1 << 20);
        let (wire, pace) = Paced::new(wire);
        let mut near = at_pace(wire, pace);
        let (mut far_reader, mut far_writer) = tokio::io::split(far);
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let echo = async {
            tokio::io::copy(&mut far_reader, &mut far_writer).await.unwrap();
            far_writer.shutdown().await.unwrap();
        };
        let talk = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            let mut got = Vec::new();
            near.read_to_end(&mut got).await.unwrap();
            got
        };
        let (got, ()) = tokio::join!(talk, echo);
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    }
}
