//! Images: archives of every kind, whole and damaged.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use platform::digest::Digest;
use platform::images::archive::{self, ArchiveError};
use platform::images::{Blob, Damaged, Image, ManifestError, load, media_type};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::fixture::{ARCHITECTURE, Shelf, config, flip, layer, saved, tar};

async fn content(blob: &Blob) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    blob.open().await?.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar that begins with a link.
fn tar_with_link((name, target): (&str, &str), files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut link = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Symlink);
    link.append_link(&mut header, name, target).unwrap();
    [link.get_ref().as_slice(), &tar(files)].concat()
}

/// Two layers, as `docker save` writes them.
struct Sample {
    layers: [Vec<u8>; 2],
    config: Vec<u8>,
    archive: Vec<u8>,
}

fn sample() -> Sample {
    let layers = [layer(1, 5000), layer(2, 700)];
    let config = config(&[&layers[0], &layers[1]]);
    let archive = saved(&config, &[&layers[0], &layers[1]]);
    Sample { layers, config, archive }
}

#[tokio::test]
async fn a_saved_image_is_known_by_its_configuration_and_its_plain_layers() {
    let (shelf, sample) = (Shelf::new(), sample());
    let image = shelf.read(&sample.archive).await.unwrap();
    assert_eq!(*image.id(), Digest::of(&sample.config));
    assert_eq!(image.digest, Digest::of(&image.manifest));
    assert_eq!(content(&image.config).await.unwrap(), sample.config);
    for (layer, bytes) in image.layers.iter().zip(&sample.layers) {
        assert_eq!(layer.digest, Digest::of(bytes));
        assert_eq!(layer.media_type, media_type::TAR);
        assert_eq!(&content(layer).await.unwrap(), bytes);
    }
    assert!(!shelf.cache().exists(), "nothing is copied of a plain archive");
}

#[tokio::test]
async fn a_compressed_archive_is_the_same_image_and_unpacked_once() {
    let (shelf, sample) = (Shelf::new(), sample());
    let plain = shelf.read(&sample.archive).await.unwrap();
    let image = shelf.read(&gzip(&sample.archive)).await.unwrap();
    assert_eq!(image.digest, plain.digest);
    assert_eq!(content(&image.layers[1]).await.unwrap(), sample.layers[1]);

    let copies = || -> Vec<_> {
        let entries = std::fs::read_dir(shelf.cache()).unwrap();
        let entries = entries.map(|entry| entry.unwrap());
        entries.map(|e| (e.path(), e.metadata().unwrap().modified().unwrap())).collect()
    };
    let first = copies();
    let path = shelf.path().join("image.tar");
    archive::read(&path, &shelf.cache(), ARCHITECTURE).await.unwrap();
    assert_eq!(copies(), first);

    let other = layer(9, 9);
    let changed = saved(&config(&[&other]), &[&other]);
    shelf.read(&gzip(&changed)).await.unwrap();
    assert_eq!(copies().len(), 1, "the copy of what the archive was before is gone");
    assert_ne!(copies(), first);
}

#[tokio::test]
async fn compressed_layers_are_sent_as_they_are() {
    let (shelf, plain) = (Shelf::new(), layer(1, 5000));
    let packed = gzip(&plain);
    let bytes = saved(&config(&[&plain]), &[&packed]);
    for _ in 0..2 {
        let image = shelf.read(&bytes).await.unwrap();
        assert_eq!(image.layers[0].digest, Digest::of(&packed));
        assert_eq!(image.layers[0].media_type, media_type::TAR_GZIP);
        assert_eq!(content(&image.layers[0]).await.unwrap(), packed);
    }
    let mut wrong = saved(&config(&[&layer(2, 5000)]), &[&packed]);
    let refused = shelf.read(&wrong).await;
    assert!(matches!(refused, Err(ArchiveError::Damaged(_))), "{refused:?}");
    wrong.truncate(200);
    assert!(shelf.read(&wrong).await.is_err());
}

#[tokio::test]
async fn a_layer_that_docker_saved_as_a_link_to_another_is_found() {
    let (shelf, bytes) = (Shelf::new(), layer(1, 100));
    let config = config(&[&bytes, &bytes]);
    let config_file = format!("{}.json", Digest::of(&config).hex());
    let layers = ["a/layer.tar", "b/layer.tar"];
    let manifest = json!([{"Config": config_file, "Layers": layers}]).to_string();
    let archive = tar_with_link(
        ("b/layer.tar", "../a/layer.tar"),
        &[
            ("a/layer.tar", &bytes),
            (&config_file, &config),
            ("manifest.json", manifest.as_bytes()),
        ],
    );
    let image = shelf.read(&archive).await.unwrap();
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.blobs().len(), 2, "the configuration and one layer to send");
    assert_eq!(content(&image.layers[1]).await.unwrap(), bytes);
}

/// An OCI layout with one image for each of these platforms; its layer has the given type.
fn layout(architectures: &[&str], layer_type: &str, layer: &[u8]) -> Vec<u8> {
    let (mut blobs, mut entries) = (Vec::new(), Vec::new());
    for architecture in architectures {
        let config = String::from_utf8(config(&[layer])).unwrap();
        let config = config.replace(ARCHITECTURE, architecture).into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "config": about(media_type::CONFIG, &config),
            "layers": [about(layer_type, layer)],
            "annotations": {"kept": "byte for byte"},
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = about(media_type::MANIFEST, &manifest);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entries.push(entry);
        blobs.extend([config, manifest]);
    }
    blobs.push(layer.to_vec());
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    let names: Vec<String> = blobs
        .iter()
        .map(|blob| format!("blobs/sha256/{}", Digest::of(blob).hex()))
        .collect();
    let mut files: Vec<(&str, &[u8])> =
        vec![("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)];
    files.extend(names.iter().zip(&blobs).map(|(name, blob)| (&**name, &**blob)));
    files.push(("index.json", index.as_bytes()));
    tar(&files)
}

fn about(kind: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()})
}

#[tokio::test]
async fn of_a_layout_the_manifest_for_the_hosts_is_kept_byte_for_byte() {
    let (shelf, bytes) = (Shelf::new(), layer(1, 100));
    let archive = layout(&["riscv64", ARCHITECTURE], media_type::TAR, &bytes);
    let image = shelf.read(&archive).await.unwrap();
    let manifest = String::from_utf8(image.manifest.to_vec()).unwrap();
    assert!(manifest.contains("byte for byte"), "{manifest}");
    assert_eq!(image.digest, Digest::of(&image.manifest));
    assert_eq!(content(&image.layers[0]).await.unwrap(), bytes);

    let elsewhere = shelf.read(&layout(&["riscv64"], media_type::TAR, &bytes)).await;
    let said = format!("{:?}", elsewhere.unwrap_err());
    assert!(said.contains("NoPlatform") && said.contains("riscv64"), "{said}");
}

#[tokio::test]
async fn types_that_hosts_cannot_use_are_refused() {
    let shelf = Shelf::new();
    let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
    let unusable = shelf.read(&layout(&[ARCHITECTURE], zstd, b"x")).await.unwrap_err();
    let ArchiveError::Manifest { source, .. } = unusable else { panic!("{unusable}") };
    assert!(matches!(source, ManifestError::MediaType { .. }), "{source}");

    let plain = layer(1, 10);
    let packed = saved(&config(&[&plain]), &[b"\x28\xb5\x2f\xfd and so on"]);
    let unusable = shelf.read(&packed).await.unwrap_err();
    assert!(matches!(unusable, ArchiveError::Manifest { .. }), "{unusable}");
}

#[tokio::test]
async fn a_changed_byte_in_a_layer_is_found_while_it_is_read() {
    let (shelf, mut sample) = (Shelf::new(), sample());
    flip(&mut sample.archive, &sample.layers[1]);
    let image = shelf.read(&sample.archive).await.unwrap();
    content(&image.layers[0]).await.unwrap();
    let error = content(&image.layers[1]).await.unwrap_err();
    let damaged = Damaged::behind(&error).unwrap();
    assert_eq!(damaged.expected, Digest::of(&sample.layers[1]));
    assert_ne!(damaged.expected, damaged.found);
    let said = damaged.to_string();
    let path = shelf.path().join("image.tar");
    assert!(said.contains(&format!("layer 2 of {}", path.display())), "{said}");
    assert!(said.contains(damaged.found.as_str()), "{said}");
}

#[tokio::test]
async fn a_changed_byte_in_the_configuration_is_found_at_once() {
    let (shelf, mut sample) = (Shelf::new(), sample());
    flip(&mut sample.archive, &sample.config);
    let Err(ArchiveError::Damaged(damaged)) = shelf.read(&sample.archive).await else {
        panic!("not found")
    };
    assert_eq!(damaged.expected, Digest::of(&sample.config));
    assert!(damaged.name.contains("configuration"), "{}", damaged.name);
}

#[tokio::test]
async fn a_changed_byte_in_a_layouts_manifest_is_found_at_once() {
    let (shelf, bytes) = (Shelf::new(), layer(1, 100));
    let mut archive = layout(&[ARCHITECTURE], media_type::TAR, &bytes);
    flip(&mut archive, b"byte for byte");
    let refused = shelf.read(&archive).await;
    assert!(matches!(refused, Err(ArchiveError::Damaged(_))), "{refused:?}");
}

#[tokio::test]
async fn an_archive_cut_anywhere_is_refused_or_still_the_same_image() {
    let (shelf, sample) = (Shelf::new(), sample());
    let whole = shelf.read(&sample.archive).await.unwrap().digest;
    let packed = gzip(&sample.archive);
    for cut in (0..sample.archive.len()).step_by(256) {
        let got = shelf.read(&sample.archive[..cut]).await;
        // A tar ends with a kilobyte of zeros, which may be missing.
        let fine = got.map_or(true, |image| image.digest == whole);
        assert!(fine, "cut to {cut} bytes");
    }
    for cut in [1, packed.len() / 2, packed.len() - 1] {
        let got = shelf.read(&packed[..cut]).await;
        assert!(got.is_err(), "compressed, cut to {cut} bytes");
    }
    let in_layer = shelf.read(&sample.archive[..2000]).await.unwrap_err();
    assert!(matches!(in_layer, ArchiveError::Broken { .. }), "{in_layer}");
}

#[tokio::test]
async fn what_is_no_archive_of_one_image_is_said() {
    let shelf = Shelf::new();
    let no_manifest = shelf.read(&tar(&[("etc/passwd", b"x")])).await;
    assert!(matches!(no_manifest, Err(ArchiveError::NoManifest { .. })));
    let nothing_in_it = shelf.read(&tar(&[("manifest.json", b"[]")])).await;
    assert!(matches!(nothing_in_it, Err(ArchiveError::NotOneImage { count: 0, .. })));
    let no_json = shelf.read(&tar(&[("manifest.json", b"{")])).await;
    assert!(matches!(no_json, Err(ArchiveError::Manifest { .. })));
    let named = br#"[{"Config":"c.json","Layers":[]}]"#;
    let missing = shelf.read(&tar(&[("manifest.json", named)])).await;
    assert!(matches!(missing, Err(ArchiveError::Missing { .. })));
    let no_tar = shelf.read(&vec![b'x'; 5000]).await;
    assert!(matches!(no_tar, Err(ArchiveError::Broken { .. })), "{no_tar:?}");
    let nothing = archive::read(Path::new("/nonexistent"), Path::new("/"), "amd64").await;
    assert!(matches!(nothing, Err(ArchiveError::Read { .. })));
}

async fn packed(image: &Image) -> std::io::Result<(Vec<u8>, load::Load)> {
    let mut load = load::pack("test-load", image);
    let mut bytes = Vec::new();
    load.bytes.read_to_end(&mut bytes).await?;
    Ok((bytes, load))
}

#[tokio::test]
async fn a_packed_image_is_an_archive_of_the_same_image() {
    let (shelf, sample) = (Shelf::new(), sample());
    let image = shelf.read(&sample.archive).await.unwrap();
    let (bytes, load) = packed(&image).await.unwrap();
    assert_eq!(bytes.len() as u64, load.size);
    assert_eq!(load.tag, format!("platform/test-load:{}", image.digest.short()));
    assert_eq!(shelf.read(&bytes).await.unwrap().digest, image.digest);
}

#[tokio::test]
async fn a_damaged_image_is_never_packed_to_its_end() {
    let (shelf, mut sample) = (Shelf::new(), sample());
    flip(&mut sample.archive, &sample.layers[0]);
    let image = shelf.read(&sample.archive).await.unwrap();
    let error = packed(&image).await.map(|_| ()).unwrap_err();
    assert!(Damaged::behind(&error).is_some(), "{error}");
}
