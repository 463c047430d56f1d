//! Labels and annotations: those of people are shown; those of systems have fields of their own, or are nobody's business.

use std::collections::BTreeMap;

use super::Refusals;
use crate::api::GROUP;

/// Domains that Cloud Run keeps for itself, and ours. Below them nothing can be set and nothing is shown.
const RESERVED: [&str; 5] =
    ["run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev", GROUP];
/// What kubectl leaves behind: the whole object as text, as long as the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

type Map = BTreeMap<String, String>;

/// Whether a key is a person's.
fn is_open(key: &str) -> bool {
    let reserved =
        |domain: &str| RESERVED.iter().any(|one| domain == *one || domain.ends_with(&format!(".{one}")));
    key != LAST_APPLIED && !key.split_once('/').is_some_and(|(domain, _)| reserved(domain))
}

/// What is shown of a map.
pub(super) fn shown(map: Option<&Map>) -> Map {
    let open = map.into_iter().flatten().filter(|(key, _)| is_open(key));
    open.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A map that a client sent, with what it cannot see of the old one.
pub(super) fn read(field: &str, sent: Map, old: Option<&Map>, refusals: &mut Refusals) -> Map {
    for key in sent.keys().filter(|key| !is_open(key)) {
        refusals.add(
            format!("{field}[{key:?}]"),
            "this domain is reserved; the fields of the message say what it said",
        );
    }
    let kept = old.into_iter().flatten().filter(|(key, _)| !is_open(key));
    let mut all: Map = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    all.extend(sent);
    all
}

/// A map that is unset when empty.
pub(super) fn some(map: Map) -> Option<Map> {
    Some(map).filter(|map| !map.is_empty())
}
