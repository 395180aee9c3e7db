//! 100,000 cancelled calls leave nothing behind.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "support/transport/mod.rs"]
mod support;

use bbq::transport::h3::H3Settings;
use support::client::Raw;
use support::frames;
use support::{Server, Setup, eventually, resident_kib, within};

const WARM_UP: usize = 10_000;
const TOTAL: usize = 100_000;
const CONNECTIONS: usize = 4;
const AT_ONCE: usize = 64;

/// Opens and cancels `calls` idle streams, some by STOP_SENDING, some by RESET_STREAM, some by both, and some before
/// their headers are whole.
async fn storm(connection: quinn::Connection, calls: usize) {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..calls {
        let permit = gate.clone().acquire_owned().await.unwrap();
        let connection = connection.clone();
        tasks.spawn(async move {
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            let call = frames::call("/t/Idle");
            if index % 4 == 3 {
                send.write_all(&call[..10]).await.unwrap();
                send.reset(0_u32.into()).unwrap();
                let _ = recv.read(&mut [0]).await;
                return drop(permit);
            }
            send.write_all(&call).await.unwrap();
            recv.read_exact(&mut [0]).await.unwrap();
            match index % 4 {
                0 => {
                    send.finish().unwrap();
                    recv.stop(0_u32.into()).unwrap();
                }
                1 => {
                    send.reset(0x10c_u32.into()).unwrap();
                }
                _ => {
                    recv.stop(0x10c_u32.into()).unwrap();
                    send.reset(0x10c_u32.into()).unwrap();
                }
            }
            drop(permit);
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

async fn storm_all(connections: &[Raw], calls: usize) {
    let each = calls / connections.len();
    let storms = connections.iter().map(|raw| tokio::spawn(storm(raw.connection.clone(), each)));
    for one in storms.collect::<Vec<_>>() {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_calls_leave_no_task_and_no_memory_behind() {
    // The storm is what the limit is there to end.
    let h3 = H3Settings { early_cancels_burst: u32::MAX, ..H3Settings::default() };
    let (server, mut events) = Server::with(Setup { h3, ..Setup::default() });
    let swallow = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Raw::connect(&server).await);
    }
    eventually("all are open", || server.counts.open_connections() == 4).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let tasks_before = metrics.num_alive_tasks();

    storm_all(&connections, WARM_UP).await;
    eventually("no stream is left", || server.counts.open_streams() == 0).await;
    let warm = resident_kib();

    storm_all(&connections, TOTAL - WARM_UP).await;
    eventually("no stream is left", || server.counts.open_streams() == 0).await;
    let opened = server.counts.streams_opened.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(opened, TOTAL / 4 * 3, "every whole call reached the service");
    eventually("no task is left", || metrics.num_alive_tasks() <= tasks_before).await;
    let hot = resident_kib();
    assert!(hot * 10 <= warm * 11, "{warm} KiB after {WARM_UP} calls, {hot} KiB after {TOTAL}");

    drop(connections);
    server.drain.begin();
    within("the end", server.served).await.unwrap();
    assert_eq!(server.drain.connections(), 0);
    swallow.abort();
}
