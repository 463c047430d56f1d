//! Labels and annotations of the v1 API: which are made here, which are kept, and selectors over them.

use std::collections::BTreeMap;

use super::shape::Map;
use crate::api::GROUP;
use crate::cloudrun::convert::{CREATOR, LAST_MODIFIER};
use crate::cloudrun::fault::Fault;

/// The region.
pub(super) const LOCATION: &str = "cloud.googleapis.com/location";
/// When the object was last written: RFC 3339, which no stored label could hold.
pub(super) const LAST_UPDATED: &str = "run.googleapis.com/lastUpdatedTime";
/// The Job of an Execution or a task.
pub(super) const JOB: &str = "run.googleapis.com/job";
/// The Execution of a task.
pub(super) const EXECUTION: &str = "run.googleapis.com/execution";
/// Where a task stands.
pub(super) const RUNNING_STATE: &str = "run.googleapis.com/runningState";
/// `Active` while an Execution has not ended.
pub(super) const SERVING_STATE: &str = "run.googleapis.com/servingState";

/// Domains whose labels are made here.
const SYSTEM: [&str; 3] = ["run.googleapis.com", "cloud.googleapis.com", GROUP];
/// What kubectl leaves behind: the whole object as text, as long as the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn is_below(key: &str, domains: &[&str]) -> bool {
    let Some((domain, _)) = key.split_once('/') else { return false };
    domains.iter().any(|one| domain == *one || domain.ends_with(&format!(".{one}")))
}

fn is_system_label(key: &str) -> bool {
    is_below(key, &SYSTEM)
}

/// Annotations under Google's names are what clients say of themselves; they are kept and shown.
fn is_hidden_annotation(key: &str) -> bool {
    key == LAST_APPLIED || is_below(key, &[GROUP])
}

/// Those that are not the client's to write: they are kept as they are.
fn is_kept_annotation(key: &str) -> bool {
    is_hidden_annotation(key) || [CREATOR, LAST_MODIFIER].contains(&key)
}

/// The labels of people.
pub(super) fn shown(labels: Option<&Map>) -> Map {
    without(labels, is_system_label)
}

/// The annotations of people and clients.
pub(super) fn shown_annotations(annotations: Option<&Map>) -> Map {
    without(annotations, is_hidden_annotation)
}

fn without(map: Option<&Map>, drops: impl Fn(&str) -> bool) -> Map {
    let kept = map.into_iter().flatten().filter(|(key, _)| !drops(key));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The labels that a client sent: what is made here is dropped, what it cannot see of the old ones stays.
pub(super) fn read(sent: Map, old: Option<&Map>) -> Option<Map> {
    on_top(sent, old, is_system_label)
}

/// The same of annotations.
pub(super) fn read_annotations(sent: Map, old: Option<&Map>) -> Option<Map> {
    on_top(sent, old, is_kept_annotation)
}

fn on_top(sent: Map, old: Option<&Map>, hides: impl Fn(&str) -> bool) -> Option<Map> {
    let mut all = without(old, |key| !hides(key));
    all.extend(sent.into_iter().filter(|(key, _)| !hides(key)));
    Some(all).filter(|all| !all.is_empty())
}

/// Requirements that labels must all meet, as Kubernetes writes them: `a = b, c in (d, e), !f`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    /// Met without the label, too.
    NotIn(Vec<String>),
}

impl Selector {
    /// Reads a selector; blanks may stand around everything.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = || Fault::invalid_field("labelSelector", format!("{text:?} is no label selector"));
        let parts = split(text).into_iter().map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| requirement(part).ok_or_else(wrong)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether labels meet it.
    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|Requirement { key, test }| {
            let value = labels.get(key);
            match test {
                Test::Exists => value.is_some(),
                Test::Missing => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.contains(value)),
                Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            }
        })
    }

    /// The only value that the label of that name may have, if there is just one.
    pub(super) fn only(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|Requirement { key, test }| match test {
            Test::In(values) if key == name => match values.as_slice() {
                [value] => Some(value.as_str()),
                _ => None,
            },
            _ => None,
        })
    }
}

/// At the commas that stand in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    let of = |key: &str, test: Test| {
        let key = key.trim();
        is_key(key).then(|| Requirement { key: key.to_owned(), test })
    };
    if let Some(key) = text.strip_prefix('!') {
        return of(key, Test::Missing);
    }
    if let Some((key, value)) = text.split_once("!=") {
        return of(key, Test::NotIn(vec![one(value)?]));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return of(key, Test::In(vec![one(value)?]));
    }
    if let Some((head, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let values = values.split(',').map(one).collect::<Option<Vec<_>>>()?;
        let (key, word) = head.trim().split_once(char::is_whitespace)?;
        return match word.trim() {
            "in" => of(key, Test::In(values)),
            "notin" => of(key, Test::NotIn(values)),
            _ => None,
        };
    }
    of(text, Test::Exists)
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

/// A value: it may be empty, but it is one word.
fn one(text: &str) -> Option<String> {
    let text = text.trim();
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn selectors_of_gcloud_are_understood() {
        let task = labels(&[(EXECUTION, "a-1"), (RUNNING_STATE, "Failed")]);
        for (text, met) in [
            ("", true),
            ("run.googleapis.com/execution = a-1", true),
            ("run.googleapis.com/execution=a-2", false),
            (
                "run.googleapis.com/execution = a-1,run.googleapis.com/runningState in (Succeeded,Failed)",
                true,
            ),
            ("run.googleapis.com/runningState in (Succeeded, Running)", false),
            ("run.googleapis.com/runningState notin (Succeeded)", true),
            ("run.googleapis.com/runningState != Failed", false),
            ("absent != x", true),
            ("!absent, run.googleapis.com/execution", true),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&task), met, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["a = b c", "a in b", "a of (b)", "=", "a b", "a=(b)", "in (a)"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_client_cannot_see_is_kept_and_what_is_made_here_is_not_stored() {
        let old = labels(&[("run.kakehi.dev/x", "1"), ("team", "a")]);
        let sent = labels(&[(LOCATION, "here"), (LAST_UPDATED, "2026-01-01T00:00:00Z"), ("team", "b")]);
        assert_eq!(read(sent, Some(&old)), Some(labels(&[("run.kakehi.dev/x", "1"), ("team", "b")])));
        assert_eq!(shown(Some(&old)), labels(&[("team", "a")]));
        let client = labels(&[("run.googleapis.com/client-name", "gcloud")]);
        assert_eq!(read_annotations(client.clone(), None), Some(client.clone()));
        assert_eq!(shown_annotations(Some(&client)), client);
    }
}
