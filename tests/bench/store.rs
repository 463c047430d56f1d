//! What durable writes cost, alone and in company, beside the same without a disk; and what reads cost.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use kakehi::local::store::{Expect, Options, Store};

/// Bytes of one object.
const VALUE: usize = 2048;
/// Writers that share a commit.
const COMPANY: u64 = 64;

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime starts");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let durable = Store::open(Options::file(directory.path().join("bench.redb"))).expect("the store opens");
    let memory = Store::open(Options::memory()).expect("the store opens");
    let value = Bytes::from(vec![b'x'; VALUE]);
    let next = AtomicU64::new(0);
    let key = || format!("bench/objects/default/{:012}", next.fetch_add(1, Ordering::Relaxed));

    for (name, store) in [("durable", &durable), ("memory", &memory)] {
        let mut group = criterion.benchmark_group(format!("store/{name}"));
        group.sample_size(20);
        for writers in [1, COMPANY] {
            group.throughput(Throughput::Elements(writers));
            group.bench_function(format!("{writers} creates at once"), |bencher| {
                bencher.to_async(&runtime).iter(|| async {
                    let creates = (0..writers).map(|_| {
                        let (key, value) = (key(), value.clone());
                        async move { store.put(&key, Expect::Absent, value).await }
                    });
                    for created in join_all(creates).await {
                        created.expect("the store takes it");
                    }
                });
            });
        }
        group.throughput(Throughput::Elements(1));
        group.bench_function("get", |bencher| {
            bencher.iter(|| store.get(black_box("bench/objects/default/000000000000")));
        });
        group.finish();
    }
}

criterion_group!(storing, benches);
criterion_main!(storing);
