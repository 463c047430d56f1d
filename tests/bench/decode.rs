//! What reading an event costs, by mode and size; beside `serde_json::Value`, which everybody has at hand.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, header};
use kakehi::event::http::decode;

/// A structured event whose data has about that many bytes.
fn structured(data: usize) -> Bytes {
    let lines: Vec<_> = (0..data / 64)
        .map(|line| serde_json::json!({"sku": format!("article-{line:06}"), "quantity": line % 7, "price": 12.5, "gift": false}))
        .collect();
    let event = serde_json::json!({
        "specversion": "1.0", "id": "7f1c0a52", "source": "/shop/orders", "type": "com.example.order.created",
        "subject": "orders/4711", "time": "2026-11-22T07:20:00.268779172Z", "datacontenttype": "application/json",
        "region": "eu-west", "attempt": 1, "data": {"order": 4711, "lines": lines},
    });
    Bytes::from(serde_json::to_vec(&event).expect("a JSON value is JSON"))
}

fn benches(criterion: &mut Criterion) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
    for (size, data) in [("0.8 KiB", 512), ("44 KiB", 36_000)] {
        let body = structured(data);
        let mut group = criterion.benchmark_group(format!("decode/{size}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("structured", |bencher| {
            bencher.iter(|| decode(black_box(&headers), black_box(&body)));
        });
        group.bench_function("serde_json::Value", |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&body)));
        });

        let mut binary = HeaderMap::new();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "7f1c0a52"),
            ("ce-source", "/shop/orders"),
            ("ce-type", "com.example.order.created"),
            ("ce-subject", "orders/4711"),
            ("ce-time", "2026-11-22T07:20:00.268779172Z"),
            ("ce-region", "eu%20west"),
            ("content-type", "application/json"),
        ] {
            binary.insert(name, HeaderValue::from_static(value));
        }
        group.bench_function("binary", |bencher| {
            bencher.iter(|| decode(black_box(&binary), black_box(&body)));
        });
        group.finish();
    }
}

criterion_group!(decoding, benches);
criterion_main!(decoding);
