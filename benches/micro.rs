//! What the inside costs, piece by piece: engine and overlay in rounds, the codec of chunks by itself.
//!
//! `cargo bench --bench micro`. A whole message through a server is `bbq bench`; docs/PERFORMANCE.md puts both together.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something is not as it must be")]

#[path = "round/mod.rs"]
mod round;

use std::hint::black_box;

use bbq::store::inspect;
use bbq::types::{Content, Sequence, StoredMessage, Timestamp};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use round::Inside;

const BATCH: usize = 256;

fn body() -> Bytes {
    Bytes::from(vec![b'x'; 1024])
}

fn rounds(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("publish, lease, ack");
    for count in [1, BATCH] {
        group.throughput(Throughput::Elements(count as u64));
        let mut inside = Inside::new();
        group.bench_function(format!("{count} at once"), |bencher| {
            bencher.iter(|| inside.round(count, &body));
        });
    }
    // What a backlog of leases costs the next one: timers, holders and touched messages are trees.
    for held in [1_000, 100_000] {
        let mut inside = Inside::new();
        for _ in 0..held / BATCH {
            let first = inside.publish(BATCH, &body);
            inside.lease(first, BATCH);
        }
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("1, beside {held} leases"), |bencher| {
            bencher.iter(|| inside.round(1, &body));
        });
    }
    group.finish();
}

fn overlay(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("overlay");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("publish into an empty one", |bencher| {
        bencher.iter_batched_ref(Inside::new, |inside| inside.publish(BATCH, &body), BatchSize::PerIteration);
    });
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunk");
    let text =
        (0..100_u64).map(|n| format!(r#"{{"order":{n},"state":"new","amount":"{}"}}"#, n * 7919 % 1000));
    let noise = (0..100_u64).map(|n| {
        let words = (0..8).map(|m| xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_be_bytes(), m).to_be_bytes());
        words.flatten().map(char::from).collect::<String>()
    });
    for (name, bodies) in [("text", text.collect::<Vec<_>>()), ("noise", noise.collect())] {
        let messages: Vec<_> = (1..)
            .zip(bodies)
            .map(|(number, body)| StoredMessage {
                sequence: Sequence(number),
                published_at: Timestamp(1_700_000_000_000),
                content: Content(body.into()),
            })
            .collect();
        let value = inspect::pack(&messages);
        group.throughput(Throughput::Elements(messages.len() as u64));
        group.bench_function(format!("encode, {name}"), |bencher| {
            bencher.iter(|| inspect::pack(black_box(&messages)));
        });
        group.bench_function(format!("decode, {name}"), |bencher| {
            bencher.iter(|| inspect::unpack(black_box(&value), Sequence(1)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, rounds, overlay, codec);
criterion_main!(benches);
