//! The two faces of one Event: stored as core v1, served also as `events.k8s.io/v1`, which names its fields anew.

use serde_json::Value;

/// (core v1, `events.k8s.io/v1`). A core name with a dot is a nested field.
const FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// `events.k8s.io/v1` → core v1.
pub(super) fn to_core(object: &mut Value) {
    rename(object, "v1", FIELDS.iter().map(|(core, events)| (*events, *core)));
}

/// Core v1 → `events.k8s.io/v1`.
pub(super) fn to_events(object: &mut Value) {
    rename(object, "events.k8s.io/v1", FIELDS.iter().copied());
}

fn rename(object: &mut Value, api_version: &str, names: impl Iterator<Item = (&'static str, &'static str)>) {
    let Some(fields) = object.as_object_mut() else { return };
    fields.insert("apiVersion".to_owned(), Value::from(api_version));
    for (from, to) in names {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_of_a_recorder_reads_as_a_core_event_and_back() {
        let recorded = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "a", "namespace": "default"},
            "regarding": {"kind": "Job", "name": "j"}, "note": "started", "reason": "Started", "type": "Normal",
            "reportingController": "kakehi", "reportingInstance": "k-0", "action": "Start",
            "eventTime": "2024-01-01T00:00:00.000000Z",
            "series": {"count": 2, "lastObservedTime": "2024-01-01T00:00:01.000000Z"},
        });
        let mut core = recorded.clone();
        to_core(&mut core);
        assert_eq!(core["apiVersion"], "v1");
        assert_eq!(core["involvedObject"]["name"], "j");
        assert_eq!(core["message"], "started");
        assert_eq!(core["reportingComponent"], "kakehi");
        assert_eq!(core["series"]["count"], 2);
        assert!(core.get("note").is_none());
        to_events(&mut core);
        assert_eq!(core, recorded);
    }
}
