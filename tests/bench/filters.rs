//! What one event costs against the filters of many Triggers, most of which do not match: asking each of them, and the
//! index that the sink uses. What it costs to change one of 100,000; to look into the data; to compute the parameters of a run.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kakehi::api::{Parameter, TriggerSpec};
use kakehi::cel::{Input, Program};
use kakehi::cesql::Expression;
use kakehi::event::Event;
use kakehi::filter::{Filter, Index};
use kakehi::params::{self, Parameters};

/// The filter of Trigger number `n`: one dialect after the other.
fn filter(n: usize) -> Filter {
    let kind = format!("com.example.kind{n}");
    let filters = match n % 5 {
        0 => serde_json::json!([{"exact": {"type": kind}}]),
        1 => serde_json::json!([{"prefix": {"type": kind}}, {"exact": {"region": "eu-west"}}]),
        2 => serde_json::json!([{"suffix": {"subject": format!("/{n}")}}]),
        3 => {
            serde_json::json!([{"any": [{"exact": {"type": kind}}, {"prefix": {"source": format!("/none/{n}")}}]}])
        }
        _ => serde_json::json!([{"not": {"prefix": {"type": "com.example"}}}]),
    };
    let spec = serde_json::json!({"filters": filters, "job": {"name": "job"}});
    let spec: TriggerSpec = serde_json::from_value(spec).expect("the filters are well formed");
    Filter::compile(&spec).expect("the filters compile")
}

fn event() -> Event {
    Event::builder()
        .required("1", "/shop/orders", "com.example.kind500")
        .set("subject", "orders/4711")
        .set("region", "eu-west")
        .build()
        .expect("the event is well formed")
}

/// Conditions in CESQL: two terms of which both, or neither, hold; patterns; functions; and reading one.
fn cesql(criterion: &mut Criterion) {
    let event = event();
    let mut group = criterion.benchmark_group("evaluate CESQL");
    let both = "type = 'com.example.kind500' AND region = 'eu-west'";
    for (name, text) in [
        ("two terms, true", both),
        ("two terms, false", "type = 'com.example.kind7' AND region = 'eu-west'"),
        ("two patterns", "type LIKE 'com.%500' AND subject LIKE 'orders/%'"),
        ("a missing attribute", "tenant = 'a' OR region = 'eu-west'"),
        ("a set", "region IN ('us-east', 'eu-north', 'eu-west')"),
        ("two functions", "LENGTH(subject) = 11 AND LOWER(LEFT(type, 3)) = 'com'"),
    ] {
        let condition = Expression::parse(text).expect("the condition is well formed");
        group.bench_function(name, |bencher| bencher.iter(|| condition.matches(black_box(&event))));
    }
    // The first of them, as somebody would write it who knows it beforehand.
    let by_hand = |event: &Event| {
        let is = |name: &str, wanted: &str| {
            event.attribute(name).is_some_and(|value| value.is(|text| text == wanted))
        };
        is("type", "com.example.kind500") && is("region", "eu-west")
    };
    group.bench_function("two terms, true, by hand", |bencher| bencher.iter(|| by_hand(black_box(&event))));
    group.bench_function("parse two terms", |bencher| bencher.iter(|| Expression::parse(black_box(both))));
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let event = event();
    let mut group = criterion.benchmark_group("match one event");
    for triggers in [10, 1000] {
        let filters: Vec<_> = (0..triggers).map(filter).collect();
        group.throughput(Throughput::Elements(triggers as u64));
        group.bench_function(BenchmarkId::new("each of them", triggers), |bencher| {
            bencher.iter(|| filters.iter().filter(|filter| filter.matches(black_box(&event))).count());
        });
        let index = index(triggers);
        group.bench_function(BenchmarkId::new("index", triggers), |bencher| {
            bencher.iter(|| index.candidates(black_box(&event)).matching(&event).passed.len());
        });
    }
    group.finish();
}

fn index(triggers: usize) -> Index<usize> {
    let mut index = Index::default();
    (0..triggers).for_each(|number| index.insert(&format!("trigger-{number}"), filter(number), number));
    index
}

/// A Trigger that is edited, while an event is being matched: the chunk that is read is copied.
fn changes(criterion: &mut Criterion) {
    const TRIGGERS: usize = 100_000;
    let event = Event::builder().required("1", "/shop/orders", "com.example.kind500").build();
    let event = event.expect("the event is well formed");
    let mut group = criterion.benchmark_group("change one trigger");
    for triggers in [1000, TRIGGERS] {
        let mut index = index(triggers);
        let mut number = 0;
        group.bench_function(BenchmarkId::new("of", triggers), |bencher| {
            bencher.iter(|| {
                number = (number + 7919) % triggers;
                let reader = index.candidates(black_box(&event));
                index.insert(&format!("trigger-{number}"), filter(number), number);
                reader
            });
        });
    }
    group.finish();
}

/// An order with so many items, and the usual attributes.
fn order(items: usize) -> Event {
    let items: Vec<_> =
        (0..items).map(|n| serde_json::json!({"sku": format!("sku-{n}"), "price": n, "count": 2})).collect();
    let data = serde_json::json!({"order": {"id": "o-4711", "total": 12.5, "items": items}});
    Event::builder()
        .required("1", "/shop/orders", "com.example.order")
        .set("subject", "orders/4711")
        .set("datacontenttype", "application/json")
        .data(data.to_string())
        .build()
        .expect("the event is well formed")
}

fn expressions(criterion: &mut Criterion) {
    let event = order(10);
    let mut group = criterion.benchmark_group("cel");
    for (name, source) in [
        ("attributes", "event.type == 'com.example.order' && event.source.startsWith('/shop')"),
        ("data", "event.data.order.total > 10"),
        ("items", "event.data.order.items.exists(i, i.price > 8)"),
    ] {
        group.bench_function(BenchmarkId::new("compile", name), |bencher| {
            bencher.iter(|| Program::compile(black_box(source)).expect("it compiles"));
        });
        let filters = serde_json::json!({"filters": [{"cel": source}], "job": {"name": "job"}});
        let spec: TriggerSpec = serde_json::from_value(filters).expect("the filters are well formed");
        let filter = Filter::compile(&spec).expect("the filters compile");
        assert!(filter.matches(&event), "{source}");
        group.bench_function(BenchmarkId::new("filter", name), |bencher| {
            bencher.iter(|| filter.matches(black_box(&event)));
        });
    }
    let parameter =
        |name: &str, value: &str| Parameter { name: name.into(), value: value.into(), default: None };
    let parameters = [
        parameter("ORDER", "event.data.order.id"),
        parameter("TOTAL", "event.data.order.total"),
        parameter("SKUS", "event.data.order.items.map(i, i.sku)"),
        parameter("SHOP", "event.source.split('/')[1]"),
    ];
    let parameters = Parameters::compile(&parameters).expect("the parameters compile");
    for items in [10, 500] {
        let event = order(items);
        group.throughput(Throughput::Bytes(event.data().map_or(0, bytes::Bytes::len) as u64));
        group.bench_function(BenchmarkId::new("four parameters, items", items), |bencher| {
            bencher.iter(|| params::evaluate(&parameters, None, &Input::new(black_box(&event))));
        });
    }
    group.finish();
}

criterion_group!(matching, benches, changes, cesql, expressions);
criterion_main!(matching);
