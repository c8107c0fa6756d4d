//! The parts of an image: what its manifest names.

use serde::Deserialize;

use crate::names::Digest;

/// The types of manifests that are copied.
pub const TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// What has to be in a registry before a manifest.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts {
    /// The images of an index, one for each kind of machine.
    pub manifests: Vec<Part>,
    /// The configuration and the layers of an image.
    pub blobs: Vec<Part>,
}

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Part {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A manifest that cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum NotCopied {
    /// It is of an older kind, or of none that is known.
    #[error("its type `{0}` is not one that can be copied")]
    Type(String),
    /// It is not what its type says.
    #[error("its manifest cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

impl Parts {
    /// The parts that a manifest of this type names.
    ///
    /// # Errors
    ///
    /// If the type is not known, or the manifest is not of that type.
    pub fn of(kind: &str, manifest: &[u8]) -> Result<Self, NotCopied> {
        if !TYPES.contains(&kind) {
            return Err(NotCopied::Type(kind.to_owned()));
        }
        let named: Named = serde_json::from_slice(manifest)?;
        let mut blobs: Vec<Part> = named.config.into_iter().chain(named.layers).collect();
        blobs.sort_unstable();
        blobs.dedup();
        Ok(Self { manifests: named.manifests, blobs })
    }
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    manifests: Vec<Part>,
    config: Option<Part>,
    #[serde(default)]
    layers: Vec<Part>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(content: &str) -> String {
        format!(
            r#"{{"digest": "{}", "size": 5, "other": 1}}"#,
            Digest::of(content.as_bytes())
        )
    }

    #[test]
    fn an_image_has_its_configuration_and_each_layer_once() {
        let (config, layer) = (part("config"), part("layer"));
        let text = format!(r#"{{"config": {config}, "layers": [{layer}, {layer}]}}"#);
        let parts = Parts::of(TYPES[1], text.as_bytes()).unwrap();
        assert_eq!((parts.blobs.len(), parts.manifests.len()), (2, 0));
        let text = format!(r#"{{"manifests": [{}, {}]}}"#, part("a"), part("b"));
        let parts = Parts::of(TYPES[2], text.as_bytes()).unwrap();
        assert_eq!((parts.blobs.len(), parts.manifests.len()), (0, 2));
    }

    #[test]
    fn what_is_not_understood_is_not_copied() {
        let refusal =
            |kind, text: &str| Parts::of(kind, text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            refusal("application/json", "{}"),
            "its type `application/json` is not one that can be copied"
        );
        assert_eq!(refusal(TYPES[3], "{"), "its manifest cannot be read");
        let odd = r#"{"layers": [{"digest": "sha512:00", "size": 1}]}"#;
        assert_eq!(refusal(TYPES[3], odd), "its manifest cannot be read");
    }
}
