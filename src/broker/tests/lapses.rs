//! Delays and times to live, over a real store: bodies in memory or on disk, with consumers or without.

use prost::Message as _;

use super::super::attributes;
use super::*;

/// A message as the wire has it, as far as the broker knows it.
#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    time_to_live: Option<prost_types::Duration>,
}

fn wire(body: &str, own_ms: Option<u64>) -> Content {
    let time_to_live = own_ms.map(|ms| {
        let (seconds, nanos) = (ms / 1000, ms % 1000 * 1_000_000);
        prost_types::Duration { seconds: seconds.try_into().unwrap(), nanos: nanos.try_into().unwrap() }
    });
    Content(Wire { body: body.as_bytes().to_vec(), time_to_live }.encode_to_vec().into())
}

fn body(content: &Content) -> String {
    String::from_utf8(Wire::decode(&content.0[..]).unwrap().body).unwrap()
}

/// A body, a delay and a time to live in milliseconds.
type Timed<'a> = (&'a str, u64, Option<u64>);

impl Rig {
    async fn publish_timed(&self, queue: &QueueName, messages: &[Timed<'_>]) {
        let facts = |&(_, delay, own): &Timed<'_>| Facts {
            delay: Duration(delay),
            expires: own.is_some(),
            ..Facts::default()
        };
        let facts = (0..).zip(messages.iter().map(facts)).filter(|(_, facts)| !facts.is_none()).collect();
        let contents = messages.iter().map(|&(body, _, own)| wire(body, own)).collect();
        self.handle.publish(queue.clone(), contents, facts).await.unwrap();
    }

    async fn until_messages(&self, queue: &QueueName, count: u64) {
        let look = async {
            while self.handle.show(queue.clone()).await.unwrap().depth.messages() != count {
                tokio::time::sleep(StdDuration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(StdDuration::from_secs(30), look).await;
        done.unwrap_or_else(|_| panic!("{queue} never came to {count} messages"));
    }

    /// The bodies of the next deliveries.
    async fn bodies(&self, queue: &QueueName, count: usize) -> Vec<String> {
        let mut stream = self.subscribe(queue, 1000).await;
        let mut got = Vec::new();
        while got.len() < count {
            let batch = tokio::time::timeout(StdDuration::from_secs(30), stream.next());
            let batch = batch.await.expect("a delivery within 30 s").expect("the stream stands").unwrap();
            got.extend(batch.iter().map(|delivery| body(&delivery.message.content)));
        }
        got
    }
}

fn lasting(ms: u64) -> QueueSettings {
    QueueSettings { time_to_live: Duration(ms), ..QueueSettings::default() }
}

/// After a restart they are read back from their own lane.
#[tokio::test]
async fn what_was_delayed_and_lies_on_disk_is_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings::default()).await;
    let messages: Vec<_> = (0..600).map(|n| n.to_string()).collect();
    let timed: Vec<_> = messages.iter().map(|body| (body.as_str(), 200, None)).collect();
    rig.publish_timed(&queue, &timed).await;
    rig.publish_timed(&queue, &[("now", 0, None)]).await;
    rig.stop().await;

    let small = Settings { read_ahead_bytes: 2000, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), small);
    let mut got = rig.bodies(&queue, 601).await;
    got.retain(|body| body != "now");
    assert_eq!(got, messages);
    rig.stop().await;
}

/// Nobody consumes, and nothing else happens: time alone makes them go.
#[tokio::test]
async fn messages_go_at_their_time_without_any_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(lasting(300)).await;
    rig.publish_timed(&queue, &[("a", 0, None), ("b", 0, Some(100)), ("c", 100, None)]).await;
    rig.until_messages(&queue, 0).await;
    assert!(rig.receive(&queue, 10).await.is_empty());
    rig.stop().await;
}

/// They are on disk and more than one read brings; a paused queue loses them too.
#[tokio::test]
async fn what_lies_on_disk_goes_too_and_leaves_what_has_time() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings { paused: true, ..QueueSettings::default() }).await;
    let short: Vec<_> = (0..1500).map(|_| ("short", 0, Some(1))).collect();
    rig.publish_timed(&queue, &[("long", 0, Some(3_600_000))]).await;
    rig.publish_timed(&queue, &short).await;
    rig.publish_timed(&queue, &[("plain", 0, None)]).await;
    rig.stop().await;

    let small = Settings { read_ahead_bytes: 3000, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), small);
    let patch = |paused, time_to_live| Patch {
        fields: vec![crate::types::SettingsField::Paused, crate::types::SettingsField::TimeToLive],
        settings: QueueSettings { paused, time_to_live, ..QueueSettings::default() },
    };
    assert_eq!(rig.handle.show(queue.clone()).await.unwrap().depth.messages(), 1502);
    rig.handle.update(queue.clone(), patch(false, Duration(0))).await.unwrap();
    assert_eq!(rig.bodies(&queue, 2).await, ["long", "plain"]);
    rig.until_messages(&queue, 2).await;
    rig.handle.update(queue.clone(), patch(true, Duration(1))).await.unwrap();
    rig.until_messages(&queue, 0).await;
    rig.stop().await;
}

/// One read tells that the front is over, the next ones bring the others.
#[tokio::test]
async fn a_backlog_on_disk_goes_by_itself_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let dead: QueueName = "dead".parse().unwrap();
    rig.handle.create(dead.clone(), QueueSettings::default()).await.unwrap();
    let settings =
        QueueSettings { dead_letter_queue: Some(dead.clone()), paused: true, ..lasting(3_600_000) };
    let queue = rig.create(settings).await;
    let messages: Vec<_> = (0..700).map(|_| ("m", 0, None)).collect();
    rig.publish_timed(&queue, &messages).await;
    rig.stop().await;

    let small = Settings { read_ahead_bytes: 2000, entry_bytes: 4000, ..Settings::default() };
    let rig = Rig::with(dir.path(), &StoreOptions::default(), small);
    let fields = vec![crate::types::SettingsField::TimeToLive];
    rig.handle.update(queue.clone(), Patch { fields, settings: lasting(1) }).await.unwrap();
    rig.until_messages(&queue, 0).await;
    rig.until_messages(&dead, 700).await;
    let letters = rig.receive(&dead, 1).await;
    let content = &letters[0].message.content;
    assert_eq!(attributes::value(content, "bbq-dead-letter-reason"), Some("time_to_live"));
    rig.stop().await;
}

/// Those between others that are over are stepped over, however often they alternate.
#[tokio::test]
async fn a_consumer_gets_what_has_time_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(QueueSettings { paused: true, ..QueueSettings::default() }).await;
    let names: Vec<_> = (0..2000).map(|n| n.to_string()).collect();
    let timed: Vec<_> = (0..2000).map(|n| (names[n].as_str(), 0, (n % 2 == 1).then_some(1))).collect();
    rig.publish_timed(&queue, &timed).await;
    tokio::time::sleep(StdDuration::from_millis(5)).await;
    let fields = vec![crate::types::SettingsField::Paused];
    let mut stream = rig.subscribe(&queue, 10_000).await;
    rig.handle.update(queue.clone(), Patch { fields, settings: QueueSettings::default() }).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 1000 {
        let batch = tokio::time::timeout(StdDuration::from_secs(30), stream.next());
        let batch = batch.await.expect("a delivery within 30 s").expect("the stream stands").unwrap();
        got.extend(batch.iter().map(|delivery| body(&delivery.message.content)));
    }
    let even: Vec<_> = names.iter().step_by(2).cloned().collect();
    assert_eq!(got, even);
    rig.until_messages(&queue, 1000).await;
    rig.stop().await;
}

/// A dead letter has no time of its own any more, and its new queue's begins anew.
#[tokio::test]
async fn what_is_moved_is_published_anew() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let dead: QueueName = "dead".parse().unwrap();
    rig.handle.create(dead.clone(), QueueSettings::default()).await.unwrap();
    let settings = QueueSettings { dead_letter_queue: Some(dead.clone()), ..QueueSettings::default() };
    let queue = rig.create(settings).await;
    rig.publish_timed(&queue, &[("a", 10, Some(20))]).await;
    rig.until_messages(&dead, 1).await;
    let letters = rig.receive(&dead, 1).await;
    let content = &letters[0].message.content;
    assert_eq!(Wire::decode(&content.0[..]).unwrap().time_to_live, None);
    assert_eq!(attributes::value(content, "bbq-dead-letter-attempts"), Some("0"));
    rig.stop().await;
}

#[tokio::test]
async fn a_delay_that_leaves_no_time_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let queue = rig.create(lasting(1000)).await;
    let publish = async |delay| {
        let facts = vec![(0, Facts { delay: Duration(delay), ..Facts::default() })];
        rig.handle.publish(queue.clone(), vec![wire("a", None)], facts).await.map(|_| ())
    };
    let refused =
        BrokerError::LateDelay { queue: queue.clone(), delay: Duration(1000), limit: Duration(1000) };
    assert_eq!(publish(1000).await, Err(refused));
    assert_eq!(publish(999).await, Ok(()));
    rig.stop().await;
}

/// Each that lapses is known one by one until it is moved, so a backlog does not all lapse at once if it can't be moved.
#[tokio::test]
async fn without_a_queue_to_go_to_no_more_lapse_than_may_wait() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let dead: QueueName = "dead".parse().unwrap();
    let queue = rig.create(QueueSettings { dead_letter_queue: Some(dead.clone()), ..lasting(1) }).await;
    for _ in 0..10 {
        rig.publish_timed(&queue, &vec![("a", 0, None); 1000]).await;
    }
    let waits = async {
        while rig.handle.show(queue.clone()).await.unwrap().depth.dead < 4096 {
            tokio::time::sleep(StdDuration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(StdDuration::from_secs(30), waits).await.expect("some have lapsed");
    // Whatever comes after that is answered after another look.
    rig.publish_timed(&queue, &[("b", 0, None)]).await;
    let depth = rig.handle.show(queue.clone()).await.unwrap().depth;
    assert_eq!((depth.dead, depth.ready), (4096, 5905));

    rig.handle.create(dead.clone(), QueueSettings::default()).await.unwrap();
    rig.until_messages(&queue, 0).await;
    assert_eq!(rig.handle.show(dead).await.unwrap().depth.ready, 10_001);
    rig.stop().await;
}
