//! Images for tests: archives of a few kilobytes, and functions that damage them.

use std::path::{Path, PathBuf};

use platform::digest::Digest;
use platform::images::{Image, archive};
use serde_json::json;
use tempfile::TempDir;

/// The platforms of test images: this computer's, because it loads some of them.
pub(crate) const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"aarch64" => "arm64",
    _ => "amd64",
};

/// A tar of files, each a name with its bytes.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layer with one file; a different `seed` gives a different layer.
pub(crate) fn layer(seed: u8, n_bytes: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..n_bytes).map(|i| (i % 251) as u8 ^ seed).collect();
    tar(&[(&format!("data-{seed}"), &bytes)])
}

/// A configuration with these layers, which are uncompressed.
pub(crate) fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {"Cmd": ["/data-1"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    config.to_string().into_bytes()
}

/// An archive as `docker save` writes it: the layers as given in `stored`.
pub(crate) fn saved(config: &[u8], stored: &[&[u8]]) -> Vec<u8> {
    let config_file = format!("{}.json", Digest::of(config).hex());
    let names: Vec<String> =
        (0..stored.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest = json!([{"Config": config_file, "RepoTags": ["x:1"], "Layers": names}])
        .to_string();
    let layers = names.iter().zip(stored).map(|(name, bytes)| (name.as_str(), *bytes));
    let others = [(config_file.as_str(), config), ("manifest.json", manifest.as_bytes())];
    tar(&layers.chain(others).collect::<Vec<_>>())
}

/// A folder with an archive and a cache.
pub(crate) struct Shelf {
    dir: TempDir,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    pub(crate) fn put(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("image.tar");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) async fn read(
        &self,
        bytes: &[u8],
    ) -> Result<Image, archive::ArchiveError> {
        archive::read(&self.put(bytes), &self.cache(), ARCHITECTURE).await
    }
}

/// Changes one byte in the middle of where `part` is in `whole`.
pub(crate) fn flip(whole: &mut [u8], part: &[u8]) {
    let at = whole.windows(part.len()).position(|window| window == part).unwrap();
    whole[at + part.len() / 2] ^= 0x40;
}
