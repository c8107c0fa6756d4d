//! The copier: which images its registry lacks, and why.

use serde::Deserialize;

use super::http::{Access, ApiError, Call, Http};
use crate::event::count;
use crate::host::HostName;

/// A copier looks every few seconds; one that has not for so many is stuck.
const LASTING: f64 = 60.0;
/// How many images are named that are still to be copied.
const NAMED: usize = 3;

/// What a copier tells about itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct CopierStatus {
    /// Why it copies nothing at all.
    fault: Option<String>,
    /// The other edge hosts.
    others: Vec<Other>,
    /// The images that the registry of its host lacks.
    lacking: Vec<Lacking>,
    counts: Counts,
    /// How long ago it last looked at all registries; `None` if it has not yet.
    looked_seconds_ago: Option<f64>,
}

/// Another edge host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Other {
    host: String,
    /// Why it is not known what its registry has.
    fault: Option<String>,
}

/// An image that a registry lacks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Lacking {
    image: String,
    /// Why it could not be copied, if that was tried.
    fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Counts {
    bytes: u64,
}

impl CopierStatus {
    /// What a copier tells about itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn ask(access: Access) -> Result<Self, ApiError> {
        Http::new(access).json(&Call::get("/status.json")).await
    }

    /// Why it does not copy; `None` if it does.
    pub(crate) fn fault(&self) -> Option<String> {
        let late = match self.looked_seconds_ago {
            None => Some("has not looked yet which images there are".to_owned()),
            Some(age) if age > LASTING => {
                Some("has not looked for over a minute which images there are".to_owned())
            }
            Some(_) => None,
        };
        let fault = self.fault.as_ref().map(|why| format!("copies nothing: {why}"));
        fault.or(late)
    }

    /// Why it does not know what the registry of a host has; `None` if it does.
    pub(crate) fn deaf_to(&self, host: &HostName) -> Option<String> {
        let mut others = self.others.iter();
        match others.find(|other| other.host == host.as_str()) {
            Some(Other { fault, .. }) => {
                fault.as_ref().map(|why| format!("knows nothing of {host}: {why}"))
            }
            None => Some(format!("was not told of {host}")),
        }
    }

    /// The images that are still to be copied for the first time, if there are any. Those that could
    /// not be copied are tried again and again, so nobody should wait for them.
    pub(crate) fn on_their_way(&self) -> Option<String> {
        let waiting = self.lacking.iter().filter(|image| image.fault.is_none());
        let names: Vec<&str> = waiting.map(|lacking| lacking.image.as_str()).collect();
        let n_more = names.len().saturating_sub(NAMED);
        let more = if n_more > 0 { format!(" and {n_more} more") } else { String::new() };
        let named = names[..names.len() - n_more].join(", ");
        let images = count(names.len(), "image");
        let so_far = self.counts.bytes >> 20;
        (!names.is_empty())
            .then(|| format!("{images} to copy ({so_far} MiB so far): {named}{more}"))
    }

    /// The images that could not be copied to its host, and why, as sentences.
    pub(crate) fn not_copied(&self, host: &HostName) -> impl Iterator<Item = String> {
        self.lacking.iter().filter_map(move |Lacking { image, fault }| {
            let why = fault.as_ref()?;
            Some(format!("the registry on {host} does not have {image}: {why}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> CopierStatus {
        let text = format!(
            r#"{{"fault": null, "others": [{{"host": "edge-2", "fault": "it is silent"}},
                {{"host": "edge-3", "fault": null}}],
                "lacking": [], "counts": {{"bytes": 5000000}}, "looked_seconds_ago": 1.5, {json}}}"#
        );
        // Of two members with one name, the later one counts.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn one_that_cannot_copy_or_is_stuck_is_at_fault() {
        let fault = |json| status(json).fault();
        assert_eq!(fault(r#""fault": null"#), None);
        assert_eq!(
            fault(r#""fault": "cannot read /x""#).as_deref(),
            Some("copies nothing: cannot read /x")
        );
        assert_eq!(
            fault(r#""looked_seconds_ago": 75.2"#).as_deref(),
            Some("has not looked for over a minute which images there are")
        );
        assert!(fault(r#""looked_seconds_ago": null"#).is_some());
    }

    #[test]
    fn one_that_does_not_know_another_host_says_why() {
        let deaf =
            |host: &str| status(r#""fault": null"#).deaf_to(&host.parse().unwrap());
        assert_eq!(
            deaf("edge-2").as_deref(),
            Some("knows nothing of edge-2: it is silent")
        );
        assert_eq!(deaf("edge-3"), None);
        assert_eq!(deaf("edge-4").as_deref(), Some("was not told of edge-4"));
    }

    #[test]
    fn images_are_waited_for_unless_they_could_not_be_copied() {
        let all = r#""lacking": [
            {"image": "a:1", "from": ["edge-2"], "fault": null},
            {"image": "b:1", "from": ["edge-2"], "fault": "it is damaged"}]"#;
        let status = status(all);
        assert_eq!(
            status.on_their_way().as_deref(),
            Some("1 image to copy (4 MiB so far): a:1")
        );
        let told: Vec<String> = status.not_copied(&"edge-1".parse().unwrap()).collect();
        assert_eq!(told, ["the registry on edge-1 does not have b:1: it is damaged"]);
    }

    #[test]
    fn of_many_images_some_are_named() {
        let all: Vec<String> =
            (0..5).map(|n| format!(r#"{{"image": "a:{n}", "fault": null}}"#)).collect();
        let status = status(&format!(r#""lacking": [{}]"#, all.join(",")));
        assert_eq!(
            status.on_their_way().as_deref(),
            Some("5 images to copy (4 MiB so far): a:0, a:1, a:2 and 2 more")
        );
    }
}
