//! Manifests, indexes and configurations: reading and writing the JSON of images.
//!
//! Pure: bytes in, values out.

use serde::{Deserialize, Serialize};
use tokio_util::bytes::Bytes;

use crate::digest::Digest;

/// The media types that this program and every Docker from 20.10 on understand.
pub mod media_type {
    /// An OCI manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// Docker's manifest.
    pub const DOCKER_MANIFEST: &str =
        "application/vnd.docker.distribution.manifest.v2+json";
    /// An OCI index of manifests, one for each platform.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker's list of manifests.
    pub const DOCKER_LIST: &str =
        "application/vnd.docker.distribution.manifest.list.v2+json";
    /// An OCI image's configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A Docker image's configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A layer as a plain tar.
    pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer as a tar compressed by gzip.
    pub const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// Docker's name for a plain layer.
    pub const DOCKER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker's name for a compressed layer.
    pub const DOCKER_TAR_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

use media_type::{
    CONFIG, DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_TAR, DOCKER_TAR_GZIP,
    INDEX, MANIFEST, TAR, TAR_GZIP,
};

/// Why the JSON of an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It does not have the expected form.
    #[error("{what} does not have the form of the image format")]
    Malformed {
        /// The document.
        what: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A part has a type that Docker on the hosts could not use.
    #[error(
        "{what} has the type `{found}`, which hosts cannot use: save the image with \
         plain or gzip layers"
    )]
    MediaType {
        /// The part.
        what: String,
        /// Its type.
        found: String,
    },
    /// The index has no image for the hosts' processors.
    #[error("it has no image for linux/{wanted}, only for {}", found.join(", "))]
    NoPlatform {
        /// The architecture of the hosts.
        wanted: String,
        /// The platforms that it has.
        found: Vec<String>,
    },
    /// The image is for other machines.
    #[error("it is for {found}, but the hosts are linux/{wanted}")]
    OtherPlatform {
        /// The platform that it is for.
        found: String,
        /// The architecture of the hosts.
        wanted: String,
    },
    /// The configuration and the manifest do not belong together.
    #[error("its configuration lists {in_config} layers, but it has {in_image}")]
    LayerCount {
        /// The number of layers in the configuration.
        in_config: usize,
        /// The number of layers in the image.
        in_image: usize,
    },
}

/// What a document says about another part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    os: String,
    architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    media_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// A manifest, or a list of manifests.
pub(super) enum Document {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Config {
    os: String,
    architecture: String,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

impl Manifest {
    /// The bytes of a new manifest of these parts. The same parts give the same bytes.
    pub(super) fn write(config: Descriptor, layers: Vec<Descriptor>) -> Bytes {
        let media_type = Some(MANIFEST.to_owned());
        let manifest = Self { schema_version: 2, media_type, config, layers };
        let text = serde_json::to_vec(&manifest);
        Bytes::from(text.expect("texts and numbers are always JSON"))
    }

    /// The type under which the manifest is pushed.
    pub(super) fn media_type(&self) -> String {
        self.media_type.clone().unwrap_or_else(|| MANIFEST.to_owned())
    }

    /// Checks that Docker on the hosts can use all parts.
    pub(super) fn check_types(&self) -> Result<(), ManifestError> {
        let refuse = |what: String, found: &str| ManifestError::MediaType {
            what,
            found: found.to_owned(),
        };
        let config = self.config.media_type.as_str();
        if ![CONFIG, DOCKER_CONFIG].contains(&config) {
            return Err(refuse("its configuration".to_owned(), config));
        }
        for (n, layer) in self.layers.iter().enumerate() {
            let layer = layer.media_type.as_str();
            if ![TAR, TAR_GZIP, DOCKER_TAR, DOCKER_TAR_GZIP].contains(&layer) {
                return Err(refuse(format!("layer {}", n + 1), layer));
            }
        }
        Ok(())
    }
}

/// Reads a manifest or an index.
pub(super) fn read(bytes: &[u8]) -> Result<Document, ManifestError> {
    let malformed = |source| ManifestError::Malformed { what: "its manifest", source };
    let shape: Shape = serde_json::from_slice(bytes).map_err(malformed)?;
    match (shape.media_type.as_deref(), shape.manifests) {
        (None | Some(INDEX | DOCKER_LIST), Some(manifests)) => {
            Ok(Document::Index(manifests))
        }
        (None | Some(MANIFEST | DOCKER_MANIFEST), None) => {
            serde_json::from_slice(bytes).map(Document::Manifest).map_err(malformed)
        }
        (found, _) => Err(ManifestError::MediaType {
            what: "its manifest".to_owned(),
            found: found.unwrap_or_default().to_owned(),
        }),
    }
}

/// The entry of an index for `linux` on the given architecture. A single entry may have no
/// platform; its configuration is checked later.
pub(super) fn pick<'a>(
    entries: &'a [Descriptor],
    architecture: &str,
) -> Result<&'a Descriptor, ManifestError> {
    let fits = |entry: &&Descriptor| {
        entry.platform.as_ref().is_some_and(|platform| {
            platform.os == "linux" && platform.architecture == architecture
        })
    };
    if let [only] = entries
        && only.platform.is_none()
    {
        return Ok(only);
    }
    entries.iter().find(fits).ok_or_else(|| ManifestError::NoPlatform {
        wanted: architecture.to_owned(),
        found: entries.iter().map(platform_text).collect(),
    })
}

/// The digests of the uncompressed layers, from an image's configuration.
pub(super) fn diff_ids(
    config: &[u8],
    n_layers: usize,
    architecture: &str,
) -> Result<Vec<Digest>, ManifestError> {
    let config: Config = serde_json::from_slice(config).map_err(|source| {
        ManifestError::Malformed { what: "its configuration", source }
    })?;
    if config.os != "linux" || config.architecture != architecture {
        return Err(ManifestError::OtherPlatform {
            found: format!("{}/{}", config.os, config.architecture),
            wanted: architecture.to_owned(),
        });
    }
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != n_layers {
        let (in_config, in_image) = (diff_ids.len(), n_layers);
        return Err(ManifestError::LayerCount { in_config, in_image });
    }
    Ok(diff_ids)
}

fn platform_text(entry: &Descriptor) -> String {
    let text = |platform: &Platform| format!("{}/{}", platform.os, platform.architecture);
    entry.platform.as_ref().map_or_else(|| "an unnamed platform".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str, platform: Option<(&str, &str)>) -> Descriptor {
        let platform = platform.map(|(os, architecture)| Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        });
        let digest = Digest::of(format!("{media_type}{platform:?}").as_bytes());
        Descriptor { media_type: media_type.to_owned(), digest, size: 1, platform }
    }

    #[test]
    fn a_written_manifest_reads_back_and_is_the_same_each_time() {
        let write =
            || Manifest::write(descriptor(CONFIG, None), vec![descriptor(TAR, None)]);
        assert_eq!(write(), write());
        let Document::Manifest(manifest) = read(&write()).unwrap() else {
            panic!("an index")
        };
        assert_eq!(manifest.media_type(), MANIFEST);
        assert_eq!(manifest.layers, [descriptor(TAR, None)]);
        manifest.check_types().unwrap();
    }

    #[test]
    fn of_an_index_the_hosts_platform_is_taken_or_what_there_is_is_said() {
        let arm = descriptor(MANIFEST, Some(("linux", "arm64")));
        let intel = descriptor(MANIFEST, Some(("linux", "amd64")));
        let proof = descriptor(MANIFEST, Some(("unknown", "unknown")));
        let all = [proof, arm.clone(), intel.clone()];
        assert_eq!(pick(&all, "amd64").unwrap(), &intel);
        let none = pick(&all, "riscv64").unwrap_err();
        assert_eq!(
            none.to_string(),
            "it has no image for linux/riscv64, only for unknown/unknown, linux/arm64, \
             linux/amd64"
        );
        let silent = [descriptor(MANIFEST, None)];
        assert_eq!(pick(&silent, "amd64").unwrap(), &silent[0]);
        assert!(pick(std::slice::from_ref(&arm), "amd64").is_err());
    }

    #[test]
    fn types_that_hosts_cannot_use_are_refused() {
        let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
        let bytes =
            Manifest::write(descriptor(CONFIG, None), vec![descriptor(zstd, None)]);
        let Document::Manifest(manifest) = read(&bytes).unwrap() else {
            panic!("an index")
        };
        let refused = manifest.check_types().unwrap_err().to_string();
        assert!(refused.contains("layer 1") && refused.contains(zstd), "{refused}");

        let signed = br#"{"schemaVersion":1,"mediaType":"application/x-old"}"#;
        assert!(matches!(read(signed), Err(ManifestError::MediaType { .. })));
        assert!(matches!(read(b"{"), Err(ManifestError::Malformed { .. })));
    }

    #[test]
    fn a_configuration_for_other_machines_or_other_layers_is_refused() {
        let config = format!(
            r#"{{"os":"linux","architecture":"arm64","rootfs":{{"diff_ids":["{}"]}}}}"#,
            Digest::of(b"")
        );
        let ids = |n, arch| diff_ids(config.as_bytes(), n, arch);
        assert_eq!(ids(1, "arm64").unwrap(), [Digest::of(b"")]);
        assert!(matches!(ids(1, "amd64"), Err(ManifestError::OtherPlatform { .. })));
        assert!(matches!(ids(2, "arm64"), Err(ManifestError::LayerCount { .. })));
    }
}
