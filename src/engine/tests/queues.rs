//! Queues come, are emptied and go.

use std::str::FromStr;

use super::script::check;
use crate::engine::{Effects, Engine};
use crate::types::{Command, QueueName, QueueSettings, Timestamp};

#[test]
fn a_queue_is_made_once() {
    check(
        "queue q
         queue q          -> exists
         queue q 5s       -> conflict
         queue q buffered -> conflict
         queue team/q 5s
         queue team/q 5s  -> exists",
    );
}

#[test]
fn purge_keeps_what_is_leased() {
    check(
        "queue q
         publish q a:1 b:2 c:4 d:8 e:16
         lease q 3     -> a#1 b#1 c#1
         nack b#1
         purge q       -> 3 gone
         depth q       -> 0 ready 2 leased 5 bytes
         ready q       -> none
         ack b#1
         nack b#1      -> gone
         nack a#1
         ready q       -> a#1
         ack c#1
         publish q f
         lease q 9     -> a#2 f#1",
    );
}

#[test]
fn what_is_released_after_a_purge_is_ready() {
    check(
        "queue q
         publish q a b c
         lease q 2 by s  -> a#1 b#1
         purge q         -> 1 gone
         release q s     -> 2 released
         ready q         -> a#1 b#1
         purge q         -> 2 gone
         purge q         -> 0 gone
         restart         -> 0 released
         depth q         -> 0 ready 0 leased 0 bytes",
    );
}

#[test]
fn a_purged_message_is_gone_and_its_number_is_not_given_again() {
    check(
        "queue q
         publish q a b
         purge q    -> 2 gone
         ack a#1
         nack b#1   -> gone
         publish q c
         ack q/3#1  -> unknown
         lease q    -> c#1
         ack q/3#1",
    );
}

#[test]
fn a_deleted_queue_leaves_nothing_behind() {
    check(
        "queue q
         queue p
         publish q a b c d
         publish p e
         lease q by s    -> a#1
         receive q by r  -> b#1
         lease p by s    -> e#1
         nack a#1
         delete q        -> 4 gone
         deadline        -> 30s
         release q s     -> 0 released
         release p s     -> 1 released
         deadline        -> none
         advance 100s
         delete q        -> no-queue
         purge q         -> no-queue
         publish q x     -> no-queue
         lease q         -> no-queue
         depth q         -> no-queue
         restart         -> 0 released
         depth p         -> 1 ready 0 leased 1 bytes",
    );
}

#[test]
fn a_queue_of_the_same_name_is_another_queue() {
    check(
        "queue q
         publish q a b
         lease q     -> a#1
         delete q    -> 2 gone
         queue q 5s
         depth q     -> 0 ready 0 leased 0 bytes
         ack a#1     -> no-queue
         ack q/1#1   -> unknown
         publish q c
         lease q     -> c#1
         deadline    -> 5s
         ack a#1     -> no-queue
         ack c#1",
    );
}

#[test]
fn an_id_is_not_given_again_after_a_restart() {
    check(
        "queue q
         publish q a
         lease q     -> a#1
         delete q    -> 1 gone
         restart     -> 0 released
         queue q
         publish q b
         lease q     -> b#1
         ack a#1     -> no-queue
         depth q     -> 0 ready 1 leased 1 bytes",
    );
}

#[test]
fn queues_share_nothing_but_time() {
    check(
        "queue q
         queue p at-most-once
         publish q a b
         publish p c d
         lease q    -> a#1
         lease p    -> c#1
         purge p    -> 1 gone
         delete p   -> 0 gone
         ready q    -> b
         ack a#1
         depth q    -> 1 ready 0 leased 1 bytes",
    );
}

#[test]
fn queues_are_listed_by_name_from_any_name_on() {
    let mut engine = Engine::default();
    for name in ["b", "team/a", "a", "c"] {
        let name = QueueName::from_str(name).unwrap();
        let command = Command::CreateQueue { name, settings: QueueSettings::default() };
        engine.apply(Timestamp(1), command, &mut Effects::default());
    }
    let from =
        |first| engine.queues_from(first).map(|queue| queue.record().name.as_str()).collect::<Vec<_>>();
    assert_eq!(from(""), ["a", "b", "c", "team/a"]);
    assert_eq!(from("b"), ["b", "c", "team/a"]);
    assert_eq!(from("bb"), ["c", "team/a"]);
    assert_eq!(from("z"), [""; 0]);
}

#[test]
#[should_panic(expected = "time went back")]
fn time_does_not_go_back() {
    let mut engine = Engine::default();
    engine.apply(Timestamp(2), Command::StartEpoch, &mut Effects::default());
    engine.apply(Timestamp(2), Command::StartEpoch, &mut Effects::default());
    engine.apply(Timestamp(1), Command::StartEpoch, &mut Effects::default());
}
