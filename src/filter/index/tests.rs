//! The index says what asking every filter would say.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::TriggerSpec;

fn filter(filters: Value) -> Filter {
    let spec = TriggerSpec { filters: serde_json::from_value(filters).unwrap(), ..TriggerSpec::default() };
    Filter::compile(&spec).unwrap()
}

fn event(kind: &str, source: &str) -> Event {
    Event::builder().required("1", source, kind).set("subject", "s1").build().unwrap()
}

fn matching(index: &Index<String>, event: &Event) -> Vec<String> {
    index.candidates(event).matching(event).iter().map(|value| value.as_ref().clone()).collect()
}

/// Filters over few values, so that they meet the events.
fn filters() -> impl Strategy<Value = Value> {
    let dialect = prop_oneof![Just("exact"), Just("prefix"), Just("suffix")];
    let attribute = prop_oneof![Just("type"), Just("source"), Just("subject"), Just("missing")];
    let value = prop_oneof![Just("t1"), Just("t2"), Just("s1"), Just("t"), Just("1")];
    let leaf = (dialect, attribute, value)
        .prop_map(|(dialect, attribute, value)| json!({dialect: {attribute: value}}));
    let tree = leaf.prop_recursive(3, 12, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            list.clone().prop_map(|list| json!({"all": list})),
            list.prop_map(|list| json!({"any": list})),
            inner.prop_map(|filter| json!({"not": filter})),
        ]
    });
    proptest::collection::vec(tree, 0..3).prop_map(Value::from)
}

fn events() -> impl Iterator<Item = Event> {
    let values = ["t1", "t2", "s1", "other"];
    values.into_iter().flat_map(move |kind| values.into_iter().map(move |source| event(kind, source)))
}

proptest! {
    #[test]
    fn the_index_finds_what_asking_everybody_finds(changes in proptest::collection::vec((0_u8..6, proptest::option::of(filters())), 1..24)) {
        let (mut index, mut all) = (Index::default(), BTreeMap::new());
        for (name, filters) in changes {
            let name = format!("t{name}");
            if let Some(filters) = filters {
                let filter = filter(filters);
                index.insert(&name, filter.clone(), name.clone());
                all.insert(name, filter);
            } else {
                index.remove(&name);
                all.remove(&name);
            }
            prop_assert_eq!(index.len(), all.len());
        }
        for event in events() {
            let expected: Vec<_> =
                all.iter().filter(|(_, filter)| filter.matches(&event)).map(|(name, _)| name.clone()).collect();
            prop_assert_eq!(matching(&index, &event), expected);
        }
        for name in all.keys() {
            index.remove(name);
        }
        prop_assert!(index.is_empty() && index.by_type.is_empty() && index.by_source.is_empty() && index.rest.is_empty());
    }
}

#[test]
fn an_event_is_shown_only_to_filters_that_it_may_pass() {
    let mut index = Index::default();
    for number in 0..1000 {
        let name = format!("t{number}");
        index.insert(&name, filter(json!([{"exact": {"type": name}}])), name.clone());
    }
    index.insert("all", filter(json!([])), "all".to_owned());
    index.insert("none", Filter::nothing(), "none".to_owned());
    let event = event("t7", "/s");
    let candidates = index.candidates(&event);
    assert_eq!(candidates.buckets.iter().map(|bucket| bucket.iter().count()).sum::<usize>(), 2);
    assert_eq!(matching(&index, &event), ["all", "t7"]);
}

#[test]
fn one_that_is_found_by_type_and_by_source_counts_once() {
    let mut index = Index::default();
    let either = json!([{"any": [{"exact": {"type": "t"}}, {"exact": {"source": "/s"}}]}]);
    index.insert("one", filter(either), "one".to_owned());
    assert_eq!(matching(&index, &event("t", "/s")), ["one"]);
    assert_eq!(matching(&index, &event("t", "/other")), ["one"]);
    assert_eq!(matching(&index, &event("other", "/s")), ["one"]);
    assert!(matching(&index, &event("other", "/other")).is_empty());
}

#[test]
fn candidates_stay_what_they_were() {
    let mut index = Index::default();
    index.insert("one", filter(json!([])), "one".to_owned());
    let event = event("t", "/s");
    let before = index.candidates(&event);
    index.remove("one");
    assert_eq!(before.matching(&event).len(), 1);
    assert!(index.candidates(&event).matching(&event).is_empty());
}
