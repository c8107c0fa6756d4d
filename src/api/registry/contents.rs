//! What a registry has: its repositories, their tags, and what their images are made of.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderMap, LINK};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Registry, RegistryError};
use crate::images::media_type;

/// The most bytes of one answer.
const LIMIT: u64 = 8 << 20;
/// What a reference may lead to.
const MANIFESTS: [&str; 4] = [
    media_type::MANIFEST,
    media_type::DOCKER_MANIFEST,
    media_type::INDEX,
    media_type::DOCKER_LIST,
];

/// What a registry tells about an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Described {
    /// The digest of what its name leads to.
    pub digest: String,
    /// The kinds of machines that it is for.
    pub variants: Vec<Variant>,
    /// When it was built, as its maker wrote it.
    pub created: Option<String>,
    /// Its layers, the lowest first. Of several variants, this is the one for this kind of machine.
    pub layers: Vec<Part>,
    /// What its containers run, unless they are told otherwise.
    pub runs: Runs,
    /// What its maker noted.
    pub labels: BTreeMap<String, String>,
}

/// An image for one kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variant {
    /// The kind, such as `linux/amd64`.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: String,
}

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its digest.
    pub digest: String,
    /// Its bytes, as the registry keeps them.
    pub size: u64,
}

/// What the containers of an image run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase"), default)]
pub struct Runs {
    /// The user.
    pub user: Option<String>,
    /// The program, with its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// More arguments, or the command.
    pub cmd: Option<Vec<String>>,
    /// The folder.
    pub working_dir: Option<String>,
}

#[derive(Deserialize)]
struct Names {
    repositories: Option<Vec<String>>,
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Manifest {
    manifests: Option<Vec<Entry>>,
    config: Option<Part>,
    #[serde(default)]
    layers: Vec<Part>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct Config {
    created: Option<String>,
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    config: Option<Settings>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(flatten)]
    runs: Runs,
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Registry {
    /// The names of all repositories, also of those without an image.
    ///
    /// # Errors
    /// When the registry cannot be asked, or refuses the password.
    pub async fn repositories(&self) -> Result<Vec<String>, RegistryError> {
        self.names("/v2/_catalog", "asking which images it has").await
    }

    /// The tags of a repository; none if there is no such repository.
    ///
    /// # Errors
    /// As [`repositories`](Self::repositories).
    pub async fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError> {
        let what = format!("asking for the tags of {repository}");
        self.names(&format!("/v2/{repository}/tags/list"), &what).await
    }

    /// What an image is; `None` if there is none of that name.
    ///
    /// # Errors
    /// As [`repositories`](Self::repositories).
    pub async fn describe(
        &self,
        repository: &str,
        reference: &str,
        architecture: &str,
    ) -> Result<Option<Described>, RegistryError> {
        let what = format!("asking what {repository}:{reference} is");
        let Some((headers, found)) =
            self.manifest_of(repository, reference, &what).await?
        else {
            return Ok(None);
        };
        let digest = headers.get("docker-content-digest");
        let digest = digest.and_then(|digest| digest.to_str().ok()).unwrap_or_default();
        let mut described = Described { digest: digest.to_owned(), ..Default::default() };
        let Some(entries) = &found.manifests else {
            self.add_parts(&mut described, repository, found, &what).await?;
            return Ok(Some(described));
        };
        described.variants = entries.iter().map(Entry::variant).collect();
        let fits = |entry: &&Entry| {
            entry.platform.as_ref().is_some_and(|it| it.architecture == architecture)
        };
        if let Some(entry) = entries.iter().find(fits).or_else(|| entries.first())
            && let Some((_, found)) =
                self.manifest_of(repository, &entry.digest, &what).await?
        {
            self.add_parts(&mut described, repository, found, &what).await?;
        }
        Ok(Some(described))
    }

    /// Adds what a manifest and its configuration say.
    async fn add_parts(
        &self,
        described: &mut Described,
        repository: &str,
        manifest: Manifest,
        what: &str,
    ) -> Result<(), RegistryError> {
        described.layers = manifest.layers;
        let Some(Part { digest, .. }) = manifest.config else { return Ok(()) };
        let path = format!("/v2/{repository}/blobs/{digest}");
        // What is no image, such as a chart, has a configuration of its own form.
        let Some((_, config)) = self.json::<serde_json::Value>(&path, &[], what).await?
        else {
            return Ok(());
        };
        let Ok(config) = serde_json::from_value::<Config>(config) else { return Ok(()) };
        if described.variants.is_empty() {
            let digest = described.digest.clone();
            described.variants =
                vec![Variant { platform: config.platform.name(), digest }];
        }
        described.created = config.created;
        if let Some(settings) = config.config {
            described.runs = settings.runs;
            described.labels = settings.labels.unwrap_or_default();
        }
        Ok(())
    }

    async fn manifest_of(
        &self,
        repository: &str,
        reference: &str,
        what: &str,
    ) -> Result<Option<(HeaderMap, Manifest)>, RegistryError> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.json(&path, &MANIFESTS, what).await
    }

    /// All pages of a list.
    async fn names(&self, first: &str, what: &str) -> Result<Vec<String>, RegistryError> {
        let mut names = Vec::new();
        let mut path = Some(first.to_owned());
        while let Some(here) = path.take() {
            let page = self.json::<Names>(&here, &[], what).await?;
            let Some((headers, page)) = page else { break };
            let more = page.repositories.or(page.tags).unwrap_or_default();
            path = next(&headers).filter(|_| !more.is_empty());
            names.extend(more);
        }
        Ok(names)
    }

    /// A document, with the headers of the answer; `None` if there is none.
    async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        accept: &[&str],
        what: &str,
    ) -> Result<Option<(HeaderMap, T)>, RegistryError> {
        let url = format!("https://{}{path}", self.address);
        let ask = || {
            let request = self.login(self.http.get(&url));
            accept
                .iter()
                .fold(request, |request, kind| request.header(ACCEPT, *kind))
                .send()
        };
        let mut answer = self.repeat(what.to_owned(), ask).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.expect_ok(what.to_owned(), answer.status())?;
        let (name, what) = (self.name.clone(), what.to_owned());
        let mut bytes = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(source) => {
                    return Err(RegistryError::Unreachable { name, what, source });
                }
            }
            if bytes.len() as u64 > LIMIT {
                return Err(RegistryError::TooLong { name, what, limit: LIMIT });
            }
        }
        let read = serde_json::from_slice(&bytes);
        let read =
            read.map_err(|source| RegistryError::Unreadable { name, what, source })?;
        Ok(Some((answer.headers().clone(), read)))
    }
}

impl Described {
    /// The bytes of all layers.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

impl Entry {
    fn variant(&self) -> Variant {
        let platform = self.platform.as_ref().map(Platform::name);
        let platform = platform.unwrap_or_else(|| "unknown".to_owned());
        Variant { platform, digest: self.digest.clone() }
    }
}

impl Platform {
    fn name(&self) -> String {
        let Self { os, architecture, variant } = self;
        match variant {
            Some(variant) => format!("{os}/{architecture}/{variant}"),
            None => format!("{os}/{architecture}"),
        }
    }
}

/// Where the next page of a list is: `</v2/_catalog?last=x&n=100>; rel="next"`.
fn next(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let path = link.strip_prefix('<')?.split_once('>')?.0;
    path.starts_with("/v2/").then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_next_page_is_one_of_the_same_registry() {
        for (link, expected) in [
            (r#"</v2/_catalog?last=b&n=2>; rel="next""#, Some("/v2/_catalog?last=b&n=2")),
            (r#"<https://elsewhere.example/v2/>; rel="next""#, None),
            ("nonsense", None),
        ] {
            let headers = [(LINK, HeaderValue::from_static(link))].into_iter().collect();
            assert_eq!(next(&headers).as_deref(), expected);
        }
    }
}
