//! What an event costs that does not match.

use allocation_counter::measure;
use kakehi::api::TriggerSpec;
use kakehi::event::Event;
use kakehi::filter::{Filter, Index};
use serde_json::{Value, json};

/// Filters in every dialect that do not match the event, although nobody can tell before asking them.
fn misses() -> Vec<Value> {
    vec![
        json!([{"prefix": {"type": "com.example.other"}}]),
        json!([{"suffix": {"subject": "/none"}}]),
        json!([{"exact": {"subject": "none", "attempt": "3"}}]),
        json!([{"not": {"prefix": {"source": "/shop"}}}]),
        json!([{"any": [{"prefix": {"type": "x"}}, {"suffix": {"missing": "x"}}, {"exact": {"attempt": "7"}}]}]),
        json!([{"prefix": {"type": "com"}}, {"all": [{"suffix": {"type": "order"}}, {"prefix": {"region": "us"}}]}]),
        json!([{"cesql": "region = 'us-east' OR attempt > 5"}]),
        json!([{"cesql": "type LIKE '%.invoice' AND EXISTS region"}]),
        json!([{"cesql": "region IN ('us-east', 'us-west') OR missing = 'a'"}]),
        json!([{"cesql": "LENGTH(subject) > 100 OR LEFT(region, 2) = 'us'"}]),
        json!([{"cel": "event.type == 'com.example.invoice' || event.source.startsWith('/bank')"}]),
        json!([{"cel": "event.data.total > 100 && has(event.data.customer)"}]),
        json!([{"cel": "event.data.items.exists(i, i.sku == 'none' || i.count > 50)"}]),
        json!([{"cel": "event.data.order.id == 'missing'"}]),
        json!([{"cel": "event.subject.matches('^invoices/[0-9]+$')"}]),
    ]
}

/// Allocations while an event looks for its Triggers among so many that it does not match.
fn allocations(triggers: usize) -> u64 {
    let misses = misses();
    let mut index = Index::default();
    for number in 0..triggers {
        let filters = serde_json::from_value(misses[number % misses.len()].clone()).unwrap();
        let filter = Filter::compile(&TriggerSpec { filters, ..TriggerSpec::default() }).unwrap();
        index.insert(&format!("trigger-{number}"), filter, number);
    }
    let data = json!({"total": 12.5, "items": [{"sku": "a", "count": 1}, {"sku": "b", "count": 2}]});
    let event = Event::builder()
        .required("1", "/shop/orders", "com.example.order")
        .set("subject", "orders/4711")
        .set("region", "eu-west")
        .set("attempt", 1)
        .set("datacontenttype", "application/json")
        .data(data.to_string())
        .build()
        .unwrap();
    let matching = || {
        let found = index.candidates(&event).matching(&event);
        assert!(found.passed.is_empty() && found.undecided.is_empty(), "{found:?}");
    };
    // Regular expressions keep what they work with from the first time on.
    matching();
    measure(matching).count_total
}

#[test]
fn a_trigger_that_does_not_match_allocates_nothing() {
    let (few, many) = (allocations(15), allocations(1500));
    assert_eq!(few, many);
    // The snapshot, and the data that some of them look into.
    assert!((1..40).contains(&few), "{few}");
}
