//! Scenarios over real directories.

use std::path::Path;

use bytes::Bytes;

use crate::types::{Content, QueueSettings, Touch};

use super::*;

#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    let options = StoreOptions::default();
    let Opened { mut store, snapshot, replay, mut events } = open(&root, &options).unwrap();
    assert_eq!(snapshot, Snapshot::default());
    assert_eq!(replay.count(), 0);
    let mut entry = store.begin(Timestamp(5));
    entry.push(&crate::types::Command::StartEpoch);
    let id = store.append(entry);
    loop {
        let event = events.blocking_recv().unwrap();
        store.handle(&event);
        if matches!(event, StoreEvent::Durable { .. }) {
            break;
        }
    }
    assert_eq!(store.durable_index(), id.index);
    let queue = QueueId(1);
    store.apply([Change::Stored {
        queue,
        first: Sequence(1),
        published_at: Timestamp(5),
        messages: vec![Content(Bytes::from_static(b"x")); 3],
    }]);
    let record = QueueRecord {
        id: queue,
        name: "q".parse().unwrap(),
        settings: QueueSettings::default(),
        created_at: Timestamp(5),
        frontier: Sequence(1),
        next_sequence: Sequence(4),
        untouched_bytes: 3,
    };
    store.begin_checkpoint(id, EngineRecord::default(), vec![record.clone()]);
    while store.checkpoint_running() {
        let event = events.blocking_recv().unwrap();
        eprintln!("{event:?}");
        store.handle(&event);
    }
    assert_eq!(store.lookup(queue, Sequence(2)), Lookup::Cold);
    assert_eq!(store.reader().untouched(queue, Sequence(2), 10, 1000).unwrap().len(), 2);
    drop(store);
    let opened = open(&root, &options).unwrap();
    assert_eq!(opened.snapshot.queues, [record]);
    assert_eq!(opened.replay.count(), 0);
}
