//! A reader that checks the digest of what it returns.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};

use super::Blob;
use crate::digest::Digest;

/// A part of an image that does not match its digest.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "{name} is damaged: it should have the digest {expected}, but has {found}; fetch or \
     build it again"
)]
pub struct Damaged {
    /// The part, and its archive or reference.
    pub name: String,
    /// The digest it should have.
    pub expected: Digest,
    /// The digest it has.
    pub found: Digest,
}

impl Damaged {
    /// Finds the damage that caused another error, such as a failed upload.
    pub fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        if let Some(found) = error.downcast_ref::<Self>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(inner) => Self::behind(inner),
            None => error.source().and_then(Self::behind),
        }
    }
}

/// Returns the bytes of a blob, but the last of them only once the digest is known to be right. So
/// a caller that got all bytes got the right ones.
pub(super) struct Verified<R> {
    inner: R,
    hasher: Option<Sha256>,
    left: u64,
    name: String,
    expected: Digest,
}

impl<R> Verified<R> {
    /// Checks `inner`, which must return the blob's bytes and no more.
    pub(super) fn new(inner: R, blob: &Blob) -> Self {
        Self {
            inner,
            hasher: Some(Sha256::new()),
            left: blob.size,
            name: blob.name.clone(),
            expected: blob.digest.clone(),
        }
    }

    /// Checks the digest. It is called once, when all bytes are hashed or the input has ended.
    fn verdict(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let found = Digest::finish(hasher);
        if found == self.expected {
            return Ok(());
        }
        let (name, expected) = (self.name.clone(), self.expected.clone());
        Err(io::Error::new(io::ErrorKind::InvalidData, Damaged { name, expected, found }))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Verified<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let got = &buf.filled()[before..];
        let n_got = got.len();
        if let Some(hasher) = &mut self.hasher {
            hasher.update(got);
        }
        self.left = self.left.saturating_sub(n_got as u64);
        let at_end = n_got == 0 && buf.remaining() > 0;
        if self.left > 0 && !at_end {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.verdict().inspect_err(|_| buf.set_filled(before)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio_util::bytes::Bytes;

    use super::*;
    use crate::images::Source;

    async fn read(bytes: &'static [u8], digest: Digest, size: u64) -> (Vec<u8>, bool) {
        let source = Source::Bytes(Bytes::from_static(bytes));
        let (name, media_type) = ("layer 1 of x.tar".to_owned(), String::new());
        let blob = Blob { digest, size, media_type, name, source };
        let mut got = Vec::new();
        let mut reader = blob.open().await.unwrap();
        let end = reader.read_to_end(&mut got).await;
        if let Err(error) = &end {
            assert!(Damaged::behind(error).is_some(), "{error}");
        }
        (got, end.is_ok())
    }

    #[tokio::test]
    async fn right_bytes_pass_also_when_there_are_none() {
        assert_eq!(read(b"abc", Digest::of(b"abc"), 3).await, (b"abc".to_vec(), true));
        assert_eq!(read(b"", Digest::of(b""), 0).await, (vec![], true));
    }

    #[tokio::test]
    async fn wrong_or_missing_bytes_end_in_an_error_before_the_last_of_them() {
        assert_eq!(read(b"abX", Digest::of(b"abc"), 3).await, (vec![], false));
        assert!(!read(b"ab", Digest::of(b"abc"), 3).await.1);
        assert!(!read(b"", Digest::of(b"abc"), 0).await.1);
    }
}
