//! An image in the format of `docker load`, for a host that has no registry to pull from yet.

use std::collections::HashSet;
use std::io;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio_util::bytes::Bytes;
use tokio_util::io::{ReaderStream, StreamReader};

use super::{Blob, Bytestream, Image};

const CHUNK_BYTES: usize = 256 << 10;
const TAR_BLOCK: u64 = 512;

/// An image's archive, to be piped to `docker load`.
pub struct Load {
    /// The name of the image once it is loaded.
    pub tag: String,
    /// The number of bytes in `bytes`.
    pub size: u64,
    /// The archive. If a layer is damaged, reading fails before the archive is complete.
    pub bytes: Bytestream,
}

/// The name of a component's loaded image on a host.
pub fn tag(component: &str, image: &Image) -> String {
    format!("platform/{component}:{}", image.digest.short())
}

/// Packs an image. While the archive is read, layers are opened one after the other and checked;
/// none is held in memory.
pub fn pack(component: &str, image: &Image) -> Load {
    let tag = tag(component, image);
    let mut pieces = text_file("manifest.json", index(&tag, image).into_bytes());
    let mut packed = HashSet::new();
    for blob in std::iter::once(&image.config).chain(&image.layers) {
        if packed.insert(&blob.digest) {
            pieces.extend(blob_file(&file_of(blob, image), blob));
        }
    }
    // Two empty blocks end a tar.
    pieces.push(zeros(2 * TAR_BLOCK));
    let size = pieces.iter().map(Piece::size).sum();
    let chunks = stream::iter(pieces).then(Piece::open).try_flatten();
    Load { tag, size, bytes: Box::new(StreamReader::new(Box::pin(chunks))) }
}

enum Piece {
    Bytes(Bytes),
    Blob(Blob),
}

impl Piece {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.size,
        }
    }

    async fn open(self) -> io::Result<ReaderStream<Bytestream>> {
        let reader: Bytestream = match self {
            Self::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            Self::Blob(blob) => blob.open().await?,
        };
        Ok(ReaderStream::with_capacity(reader, CHUNK_BYTES))
    }
}

fn index(tag: &str, image: &Image) -> String {
    let layers: Vec<String> =
        image.layers.iter().map(|layer| file_of(layer, image)).collect();
    let config = file_of(&image.config, image);
    json!([{"Config": config, "RepoTags": [tag], "Layers": layers}]).to_string()
}

fn file_of(blob: &Blob, image: &Image) -> String {
    match blob.digest == image.config.digest {
        true => format!("{}.json", blob.digest.hex()),
        false => format!("{}.tar", blob.digest.hex()),
    }
}

fn text_file(name: &str, bytes: Vec<u8>) -> Vec<Piece> {
    let size = bytes.len() as u64;
    vec![header(name, size), Piece::Bytes(bytes.into()), padding(size)]
}

fn blob_file(name: &str, blob: &Blob) -> [Piece; 3] {
    [header(name, blob.size), Piece::Blob(blob.clone()), padding(blob.size)]
}

/// The header of a file. Names are digests, so they always fit; owner, mode and time are the same
/// for all.
fn header(name: &str, size: u64) -> Piece {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_path(name).expect("a digest and its suffix fit into a tar's name");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Piece::Bytes(Bytes::copy_from_slice(header.as_bytes()))
}

fn padding(size: u64) -> Piece {
    zeros(size.next_multiple_of(TAR_BLOCK) - size)
}

fn zeros(count: u64) -> Piece {
    Piece::Bytes(Bytes::from(vec![0; usize::try_from(count).unwrap_or_default()]))
}
