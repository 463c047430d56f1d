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
    let Matches { passed, undecided } = index.candidates(event).matching(event);
    assert!(undecided.is_empty());
    passed.iter().map(|value| value.as_ref().clone()).collect()
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
    assert_eq!(before.matching(&event).passed.len(), 1);
    assert!(matching(&index, &event).is_empty());
}

/// A filter that asks for data with a list of numbers, and takes some steps for each of them.
fn dear(wanted: usize) -> Filter {
    filter(json!([{"cel": format!("event.data.exists(n, n * n == {})", wanted * wanted)}]))
}

/// An event with that many numbers.
fn numbers(count: usize) -> Event {
    let data = json!((0..count).collect::<Vec<_>>()).to_string();
    Event::builder().required("1", "/s", "t").data(data).build().unwrap()
}

/// The dear ones pass none of the numbers, and come before and after the others by name.
fn crowd(dear_ones: usize) -> Index<String> {
    let mut index = Index::default();
    let mut insert = |name: String, filter| index.insert(&name.clone(), filter, name);
    for number in 0..dear_ones {
        insert(format!("{}{number}", if number % 2 == 0 { "a" } else { "z" }), dear(1_000_000));
    }
    insert("cheap".to_owned(), filter(json!([{"cel": "event.data[3] == 3"}])));
    insert("exact".to_owned(), filter(json!([{"exact": {"type": "t"}}])));
    insert("sql".to_owned(), filter(json!([{"cesql": "type LIKE 't%' AND source != 'x'"}])));
    index
}

#[test]
fn a_filter_that_takes_long_is_decided_while_there_is_time_for_it() {
    // More than its share of a thousandth, and less than there is.
    let mut index = crowd(0);
    for number in 0..1000 {
        let name = format!("b{number}");
        index.insert(&name.clone(), filter(json!([{"cel": "event.data[0] == 1"}])), name);
    }
    index.insert("dear", dear(9_999), "dear".to_owned());
    assert_eq!(matching(&index, &numbers(10_000)), ["cheap", "dear", "exact", "sql"]);
}

#[test]
fn what_all_filters_take_for_an_event_is_bounded_and_nobody_pays_for_others() {
    let event = numbers(10_000);
    let (few, many) = (crowd(10), crowd(500));
    assert_eq!(matching(&few, &event), ["cheap", "exact", "sql"]);
    let found = many.candidates(&event).matching(&event);
    // Those that were cut off are known, the others have run as if they were alone.
    assert_eq!(found.passed.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["cheap", "exact", "sql"]);
    assert!((400..500).contains(&found.undecided.len()), "{}", found.undecided.len());
    assert!(found.undecided.is_sorted());
}

#[test]
fn what_does_not_depend_on_the_rest_is_decided_without_it() {
    let mut index = crowd(500);
    for (name, filters) in [
        ("any", json!([{"any": [{"cel": "event.data.all(n, n >= 0)"}, {"exact": {"type": "t"}}]}])),
        ("all", json!([{"all": [{"cel": "event.data.all(n, n >= 0)"}, {"exact": {"subject": "no"}}]}])),
        ("not", json!([{"not": {"cel": "event.data.exists(n, n < 0)"}}])),
    ] {
        index.insert(name, filter(filters), name.to_owned());
    }
    let event = numbers(10_000);
    let Matches { passed, undecided } = index.candidates(&event).matching(&event);
    assert!(passed.iter().any(|name| **name == "any"));
    let told = |name: &str| passed.iter().chain(&undecided).any(|found| **found == name);
    assert!(!told("all"));
    assert!(undecided.iter().any(|name| **name == "not"), "neither it nor its contrary lets the event pass");
}

#[test]
fn conditions_in_cesql_cost_what_they_read() {
    let text = "x".repeat(60_000);
    let event = Event::builder().required("1", "/s", "t").set("text", text.as_str()).build().unwrap();
    let long = vec!["text LIKE '%y%'"; 200].join(" OR ");
    let mut index = Index::default();
    (0..100).for_each(|n| index.insert(&format!("l{n:03}"), filter(json!([{"cesql": long}])), n));
    let Matches { passed, undecided } = index.candidates(&event).matching(&event);
    assert!(passed.is_empty() && (1..100).contains(&undecided.len()), "{}", undecided.len());
}
