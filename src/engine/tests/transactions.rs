//! Transactions: acks and publishes over several queues, all of it or nothing.

use super::script::check;
use crate::engine::{Effects, Engine, Outcome, Transacted};
use crate::types::{
    Command, Content, Copies, Publication, QueueId, QueueSettings, TRANSACTION_REMEMBERED,
    TRANSACTIONS_ENTRIES_MAX, TRANSACTIONS_MAX, Timestamp, Transact, TransactionId,
};

#[test]
fn what_is_consumed_goes_and_what_was_made_of_it_comes_in_one_step() {
    check(
        "queue in
         queue out
         topic t
         bind t out #
         bind t in done.#
         publish in a b
         lease in 2                 -> a#1 b#1
         transact - ack a#1 publish out c d send t done e -> c.out d.out e.in e.out
         ready out                  -> c.out d.out e.out
         ready in                   -> e.in
         depth in                   -> 1 ready 1 leased 2 bytes
         transact - ack b#1         -> none
         freed                      -> s:1
         transact - publish in f    -> f.in
         restart                    -> 0 released
         ready in                   -> e.in f.in",
    );
}

#[test]
fn one_stale_receipt_aborts_all() {
    check(
        "queue in
         queue out
         publish in a b c
         lease in 2 1s     -> a#1 b#1
         advance 1s
         lease in          -> a#2
         transact - ack b#1 ack a#1 publish out x -> stale a#1 superseded
         ready out         -> none
         ready in          -> b#1 c
         transact - ack c#1 publish out x         -> stale c#1 unknown
         transact - ack b#1 ack a#2 publish out y -> y.out
         transact - ack a#2 publish out z         -> stale a#2 gone
         ready out         -> y.out
         ready in          -> c",
    );
}

/// Who settled it may have published already: here, unlike for an ack by itself, gone is not good enough.
#[test]
fn a_message_that_is_gone_aborts() {
    check(
        "queue in
         queue out
         publish in a
         lease in   -> a#1
         ack a#1
         transact - ack a#1 publish out x -> stale a#1 gone
         ready out  -> none",
    );
}

#[test]
fn a_receipt_may_be_named_twice() {
    check(
        "queue q
         publish q a
         lease q   -> a#1
         transact - ack a#1 a#1 ack a#1 publish q b -> b.q
         depth q   -> 1 ready 0 leased 1 bytes",
    );
}

#[test]
fn a_full_queue_aborts_all_and_what_is_acked_makes_room() {
    check(
        "queue in max:2
         queue out max:1
         publish in a b
         publish out x
         lease in 2                     -> a#1 b#1
         transact - ack a#1 publish out c -> full
         depth in                       -> 0 ready 2 leased 2 bytes
         transact - ack a#1 publish in c  -> c.in
         transact - ack b#1 publish in d e -> full
         transact - ack b#1 publish in d  -> d.in
         depth in                       -> 2 ready 0 leased 2 bytes",
    );
}

#[test]
fn the_same_id_gives_the_first_outcome_again() {
    check(
        "queue in
         queue out
         publish in a
         lease in       -> a#1
         transact x ack a#1 publish out b c -> b.out c.out
         transact x ack a#1 publish out b c -> again b.out c.out
         restart        -> 0 released
         transact x ack a#1 publish out b c -> again b.out c.out
         transact x ack a#1 publish out d   -> other
         purge out      -> 2 gone
         wait 3599s
         transact x ack a#1 publish out b c -> again b.out c.out
         wait 1s
         transact x ack a#1 publish out b c -> stale a#1 gone
         transact x publish out d           -> d.out
         transact x publish out d           -> again d.out
         ready out      -> d.out",
    );
}

#[test]
fn what_was_refused_is_not_remembered() {
    check(
        "queue q max:1
         publish q a
         transact x publish q b -> full
         purge q                -> 1 gone
         transact x publish q b -> b.q
         transact x publish q b -> again b.q",
    );
}

#[test]
fn a_queue_that_is_gone_aborts() {
    check(
        "queue in
         queue out
         publish in a
         lease in  -> a#1
         delete out -> 0 gone
         transact x ack a#1 publish out b -> no-queue
         depth in  -> 0 ready 1 leased 1 bytes",
    );
}

struct Many {
    engine: Engine,
    now: u64,
}

impl Many {
    fn new() -> Self {
        let mut many = Self { engine: Engine::default(), now: 1 };
        many.apply(Command::CreateQueue { name: "q".parse().unwrap(), settings: QueueSettings::default() });
        many
    }

    fn apply(&mut self, command: Command) -> Outcome {
        self.engine.apply(Timestamp(self.now), command, &mut Effects::default())
    }

    fn transact(&mut self, namespace: &str, id: u64, copies: usize) -> Outcome {
        let id = TransactionId { namespace: namespace.to_owned(), id: id.to_string(), request: [0; 2] };
        let copies = vec![Copies { queue: QueueId(0), from: 0, count: 1 }; copies];
        let publication = Publication { messages: vec![Content("x".into())], facts: Vec::new(), copies };
        self.apply(Command::Transact(Transact { id: Some(id), acks: Vec::new(), publication }))
    }
}

fn before(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Transacted(Transacted::Before(_)))
}

/// The oldest goes first, and no other namespace pays for it.
#[test]
fn so_many_are_remembered_and_no_more() {
    let mut many = Many::new();
    many.transact("other", 0, 1);
    let most = TRANSACTIONS_MAX as u64;
    (0..=most).for_each(|id| assert!(!before(&many.transact("n", id, 1))));
    many.engine.verify();
    assert!(before(&many.transact("n", 1, 1)));
    assert!(before(&many.transact("other", 0, 1)));
    assert!(!before(&many.transact("n", 0, 1)), "the first of too many is forgotten");
    assert!(!before(&many.transact("n", 1, 1)), "and then the next");
}

#[test]
fn large_ones_count_for_more() {
    let mut many = Many::new();
    let each = 1_000;
    let most = (TRANSACTIONS_ENTRIES_MAX / each) as u64;
    (0..=most).for_each(|id| _ = many.transact("n", id, each));
    many.engine.verify();
    assert!(before(&many.transact("n", 1, each)));
    assert!(!before(&many.transact("n", 0, each)));
}

#[test]
fn those_whose_time_is_over_go_when_others_come() {
    let mut many = Many::new();
    (0..10).for_each(|id| _ = many.transact("n", id, 1));
    many.now += TRANSACTION_REMEMBERED.0;
    many.transact("n", 10, 1);
    let dirty = many.engine.take_dirty();
    assert_eq!(dirty.transactions.values().filter(|row| row.is_some()).count(), 1, "nothing else is kept");
    many.engine.verify();
}
