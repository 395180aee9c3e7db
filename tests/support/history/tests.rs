//! Each rule, broken once.

use super::check::CLOCK_SLACK;
use super::*;

const JOBS: Queue = "jobs";
const TICKS: Queue = "ticks";
const CLICKS: Queue = "clicks";
const LINES: Queue = "lines";
const KEYS: Queue = "keys";
const RETRIED: Queue = "retried";
const DEAD: Queue = "dead";
const CAPPED: Queue = "capped";

const MINUTE: u64 = 60_000;

/// A history, told in few words.
struct Told(Witness);

fn told() -> Told {
    let plain = Promise::PLAIN;
    Told(Witness::new([
        (JOBS, plain),
        (RETRIED, plain),
        (TICKS, Promise { mode: Mode::AtMostOnce, ..plain }),
        (CLICKS, Promise { durability: Durability::Buffered, ..plain }),
        (LINES, Promise { order: Order::Fifo, ..plain }),
        (KEYS, Promise { order: Order::ByKey, ..plain }),
        (DEAD, Promise { dead_letters_of: Some(RETRIED), ..plain }),
        (CAPPED, Promise { drops_beyond: Some(2), ..plain }),
    ]))
}

fn lease(sequence: u64, attempt: u32) -> Lease {
    Lease { queue: JOBS, sequence, attempt }
}

impl Told {
    fn event(self, event: Event) -> Self {
        self.0.record(event);
        self
    }

    /// A message whose content is its id.
    fn sending(self, queue: Queue, id: u64) -> Self {
        self.limited(queue, id, Limits::default())
    }

    fn limited(self, queue: Queue, id: u64, limits: Limits) -> Self {
        self.event(Event::Sending { queue, id: Id(id), content: id, limits })
    }

    fn confirmed(self, queue: Queue, id: u64) -> Self {
        self.event(Event::Confirmed { queue, id: Id(id), sequence: id })
    }

    /// Message 1 of `jobs`, sent and confirmed.
    fn sent(self) -> Self {
        self.sending(JOBS, 1).confirmed(JOBS, 1)
    }

    fn opened(self, call: u64, kind: Kind) -> Self {
        self.event(Event::Opened { call: Call(call), queue: JOBS, kind })
    }

    fn stream(self, call: u64) -> Self {
        self.opened(call, Kind::Stream)
    }

    fn ended(self, call: u64) -> Self {
        self.event(Event::Ended { call: Call(call) })
    }

    fn with(self, change: impl FnOnce(&mut Delivered)) -> Self {
        let mut delivered = Delivered {
            lease: lease(1, 1),
            epoch: 1,
            call: Call(1),
            id: Some(Id(1)),
            content: 1,
            until: MINUTE,
            at: 0,
        };
        change(&mut delivered);
        self.event(Event::Delivered(delivered))
    }

    /// Message 1 of `jobs` by a call, as an attempt.
    fn delivered(self, call: u64, attempt: u32) -> Self {
        self.with(|delivered| {
            delivered.call = Call(call);
            delivered.lease = lease(1, attempt);
        })
    }

    /// A message of `ticks`.
    fn tick(self, id: u64) -> Self {
        self.with(|delivered| {
            delivered.lease = Lease { queue: TICKS, sequence: id, attempt: 1 };
            delivered.id = Some(Id(id));
            delivered.content = id;
            (delivered.epoch, delivered.until) = (0, 0);
        })
    }

    /// A message of a queue, by a call, and then its ack.
    fn taken(self, call: u64, queue: Queue, id: u64) -> Self {
        self.comes(call, queue, id).ack(queue, id, 1)
    }

    fn comes(self, call: u64, queue: Queue, id: u64) -> Self {
        self.comes_again(call, queue, id, 1)
    }

    fn comes_again(self, call: u64, queue: Queue, id: u64, attempt: u32) -> Self {
        let open = Event::Opened { call: Call(call), queue, kind: Kind::Stream };
        let told =
            if self.0.count(|event| matches!(event, Event::Opened { call: known, .. } if known.0 == call))
                == 0
            {
                self.event(open)
            } else {
                self
            };
        told.with(|delivered| {
            delivered.call = Call(call);
            delivered.lease = Lease { queue, sequence: id, attempt };
            (delivered.id, delivered.content) = (Some(Id(id)), id);
        })
    }

    fn ack(self, queue: Queue, id: u64, attempt: u32) -> Self {
        let lease = Lease { queue, sequence: id, attempt };
        self.event(Event::Settling { lease, verdict: Verdict::Ack }).event(Event::Settled {
            lease,
            verdict: Verdict::Ack,
            outcome: Outcome::Done,
        })
    }

    fn settling(self, attempt: u32, verdict: Verdict) -> Self {
        self.event(Event::Settling { lease: lease(1, attempt), verdict })
    }

    fn settled(self, attempt: u32, verdict: Verdict, outcome: Outcome) -> Self {
        self.event(Event::Settled { lease: lease(1, attempt), verdict, outcome })
    }

    fn acked(self, attempt: u32) -> Self {
        self.settling(attempt, Verdict::Ack).settled(attempt, Verdict::Ack, Outcome::Done)
    }

    fn nacked(self, attempt: u32) -> Self {
        self.settling(attempt, Verdict::Nack).settled(attempt, Verdict::Nack, Outcome::Done)
    }

    #[track_caller]
    fn holds(&self) {
        assert_eq!(self.0.check(), []);
    }

    /// Breaks this one, and others with it.
    #[track_caller]
    fn breaks_among(&self, rule: Rule) {
        let found = self.0.check();
        assert!(found.iter().any(|violation| violation.rule == rule), "{found:?}");
    }

    #[track_caller]
    fn breaks(&self, rule: Rule) {
        let found: Vec<_> = self.0.check().iter().map(|violation| violation.rule).collect();
        assert_eq!(found, [rule]);
    }
}

#[test]
fn a_message_that_is_sent_delivered_and_acked_is_fine() {
    told().sent().stream(1).delivered(1, 1).acked(1).holds();
    told().sent().stream(1).delivered(1, 1).nacked(1).delivered(1, 2).acked(2).holds();
    told().sending(TICKS, 1).stream(1).tick(1).holds();
}

#[test]
fn a_confirmed_message_that_never_comes_is_lost() {
    told().sent().breaks(Rule::NothingIsLost);
    told().sending(JOBS, 1).holds();
}

#[test]
fn a_delivered_message_that_never_comes_back_is_lost() {
    let given_back = || told().sending(JOBS, 1).stream(1).delivered(1, 1).nacked(1);
    given_back().breaks(Rule::NothingIsLost);
    given_back().delivered(1, 2).acked(2).holds();
}

#[test]
fn an_ack_that_was_refused_settles_nothing() {
    let acking = || told().sent().stream(1).delivered(1, 1).settling(1, Verdict::Ack);
    acking().settled(1, Verdict::Ack, Outcome::Refused).breaks(Rule::NothingIsLost);
    // Without an answer it may have settled it, or not.
    acking().holds();
    acking().ended(1).stream(2).delivered(2, 2).acked(2).holds();
}

#[test]
fn a_message_that_is_skipped_in_a_drain_is_lost() {
    let ticks = || (1..=4).fold(told(), |told, id| told.sending(TICKS, id).confirmed(TICKS, id)).stream(1);
    let draining = |told: Told| told.event(Event::Draining { queue: TICKS });
    draining(ticks()).tick(2).tick(4).breaks(Rule::NothingIsSkipped);
    draining(ticks()).tick(2).tick(3).breaks(Rule::NothingIsSkipped);
    // What a consumer was lost with came before.
    draining(ticks()).tick(2).tick(3).tick(4).holds();
    draining(ticks().tick(2)).tick(3).tick(4).holds();
}

#[test]
fn a_message_that_nobody_sent_is_invented() {
    told().stream(1).delivered(1, 1).breaks(Rule::NothingIsInvented);
    told()
        .sent()
        .stream(1)
        .delivered(1, 1)
        .acked(1)
        .with(|garbled| garbled.id = None)
        .breaks(Rule::NothingIsInvented);
}

#[test]
fn another_body_is_an_alteration() {
    let altered = told().sent().stream(1).with(|delivered| delivered.content = 2);
    altered.acked(1).breaks(Rule::NothingIsAltered);
    let attributes = |value: &str| HashMap::from([("kind".to_owned(), value.to_owned())]);
    assert_eq!(content(b"a", &attributes("b")), content(b"a", &attributes("b")));
    assert_ne!(content(b"a", &attributes("b")), content(b"a", &attributes("c")));
    assert_ne!(content(b"a", &attributes("b")), content(b"b", &attributes("b")));
}

#[test]
fn a_refused_publish_stores_nothing() {
    let refused = told().sending(JOBS, 1).event(Event::Unsent { id: Id(1) });
    refused.stream(1).delivered(1, 1).acked(1).breaks(Rule::RefusedIsRefused);
}

#[test]
fn a_publish_stores_a_message_once() {
    let twice = told().sent().stream(1).delivered(1, 1).acked(1).with(|again| again.lease = lease(2, 1));
    let ack = Event::Settling { lease: lease(2, 1), verdict: Verdict::Ack };
    twice.event(ack).breaks(Rule::StoredOnce);
}

#[test]
fn a_sequence_is_not_given_again() {
    let again = told().sent().sending(JOBS, 2);
    let again = again.event(Event::Confirmed { queue: JOBS, id: Id(2), sequence: 1 });
    again.stream(1).delivered(1, 1).acked(1).breaks(Rule::OneNameEach);
}

#[test]
fn an_acked_message_does_not_come_back() {
    let acked = || told().sent().stream(1).stream(2).delivered(1, 1).acked(1).ended(1);
    acked().delivered(2, 2).breaks(Rule::AckedIsGone);
}

#[test]
fn an_attempt_from_before_the_ack_may_be_seen_late() {
    let late = told().sent().stream(1).stream(2).with(|second| {
        (second.lease, second.call, second.until) = (lease(1, 2), Call(2), MINUTE);
    });
    late.acked(2).with(|first| (first.until, first.at) = (1, MINUTE)).holds();
}

#[test]
fn an_at_most_once_queue_delivers_once() {
    told().sending(TICKS, 1).stream(1).tick(1).tick(1).breaks(Rule::DeliveredOnce);
}

#[test]
fn a_message_has_one_holder() {
    let held = || told().sent().stream(1).delivered(1, 1).stream(2);
    held().delivered(2, 2).acked(2).breaks(Rule::OneHolder);
    held().ended(1).delivered(2, 2).acked(2).holds();
    held().settling(1, Verdict::Nack).delivered(2, 2).acked(2).holds();
    let later = |told: Told, at| {
        told.with(|second| {
            (second.call, second.lease, second.at, second.until) = (Call(2), lease(1, 2), at, MINUTE);
        })
    };
    later(held(), MINUTE - CLOCK_SLACK - 1).acked(2).breaks(Rule::OneHolder);
    later(held(), MINUTE).acked(2).holds();
}

#[test]
fn a_restart_ends_the_leases_of_streams_and_no_others() {
    let after = |kind| {
        let held = told().sent().opened(1, kind).delivered(1, 1).stream(2);
        held.with(|second| (second.call, second.lease, second.epoch) = (Call(2), lease(1, 2), 2)).acked(2)
    };
    after(Kind::Stream).holds();
    after(Kind::Receive).breaks(Rule::OneHolder);
}

#[test]
fn an_extension_that_was_told_holds_the_message() {
    let extending =
        |until| told().sent().stream(1).delivered(1, 1).event(Event::Extending { lease: lease(1, 1), until });
    let taken = |told: Told| {
        told.stream(2)
            .with(|second| {
                (second.call, second.lease, second.at, second.until) =
                    (Call(2), lease(1, 2), 2 * MINUTE, 3 * MINUTE);
            })
            .acked(2)
    };
    let extended = |until| extending(until).event(Event::Extended { lease: lease(1, 1), until });
    taken(extended(3 * MINUTE)).breaks(Rule::OneHolder);
    taken(extended(2 * MINUTE)).holds();
    // Without an answer the old deadline may have stood.
    taken(extending(3 * MINUTE)).holds();
}

#[test]
fn attempts_never_repeat() {
    let twice = told().sent().stream(1).stream(2).delivered(1, 1).ended(1).delivered(2, 1);
    twice.acked(1).breaks(Rule::AttemptsDiffer);
}

#[test]
fn attempts_rise() {
    let second = || told().sent().stream(1).stream(2).delivered(2, 2);
    let fallen = second().nacked(2).stream(3).with(|first| (first.call, first.until) = (Call(3), 1));
    fallen.acked(2).breaks(Rule::AttemptsRise);
    second().with(|late| late.until = 1).acked(2).holds();
    second().delivered(1, 1).acked(2).breaks(Rule::OneHolder);
}

#[test]
fn a_superseded_receipt_settles_nothing() {
    let superseded = || told().sent().stream(1).delivered(1, 1).ended(1).stream(2).delivered(2, 2);
    superseded().acked(1).breaks(Rule::StaleIsStale);
    superseded().nacked(1).acked(2).breaks(Rule::StaleIsStale);
    // Acking what is gone counts as acked.
    superseded().acked(2).acked(1).holds();
}

#[test]
fn a_power_cut_takes_what_a_buffered_queue_had_not_handed_out_and_nothing_else() {
    told().sent().event(Event::PowerCut).breaks(Rule::NothingIsLost);
    let clicked = || told().sending(CLICKS, 1).confirmed(CLICKS, 1);
    clicked().breaks(Rule::NothingIsLost);
    clicked().event(Event::PowerCut).holds();
    let again = |told: Told| {
        let again = Event::Confirmed { queue: CLICKS, id: Id(2), sequence: 1 };
        told.sending(CLICKS, 2).event(again).event(Event::PowerCut)
    };
    again(clicked().event(Event::PowerCut)).holds();
    again(clicked()).breaks(Rule::OneNameEach);
    let lease = Lease { queue: CLICKS, sequence: 1, attempt: 1 };
    let taken = clicked().stream(1).with(|delivered| delivered.lease = lease);
    taken.event(Event::PowerCut).breaks(Rule::NothingIsLost);
}

#[test]
fn the_first_of_a_line_comes_first() {
    let line = || told().sending(LINES, 1).confirmed(LINES, 1).sending(LINES, 2).confirmed(LINES, 2);
    line().taken(1, LINES, 1).taken(1, LINES, 2).holds();
    line().comes(1, LINES, 1).comes(1, LINES, 2).ack(LINES, 1, 1).ack(LINES, 2, 1).holds();
    line().taken(1, LINES, 2).taken(1, LINES, 1).breaks(Rule::InOrder);
    line().comes(1, LINES, 1).comes(2, LINES, 2).ack(LINES, 1, 1).ack(LINES, 2, 1).breaks(Rule::InOrder);
    // An ack without an answer may have made room for the next.
    let acking =
        Event::Settling { lease: Lease { queue: LINES, sequence: 1, attempt: 1 }, verdict: Verdict::Ack };
    line().comes(1, LINES, 1).event(acking).taken(2, LINES, 2).holds();
}

#[test]
fn the_first_of_a_key_comes_first() {
    let limits = |key| Limits { key: Some(key), ..Limits::default() };
    let keyed = |key| {
        let first = told().limited(KEYS, 1, limits(1)).confirmed(KEYS, 1);
        first.limited(KEYS, 2, limits(key)).confirmed(KEYS, 2)
    };
    keyed(2).taken(1, KEYS, 2).taken(1, KEYS, 1).holds();
    keyed(1).taken(1, KEYS, 1).taken(1, KEYS, 2).holds();
    keyed(1).taken(1, KEYS, 2).taken(1, KEYS, 1).breaks(Rule::InOrder);
}

#[test]
fn one_that_goes_back_takes_along_those_behind_it_in_the_same_hands() {
    let both = || {
        let line = told().sending(LINES, 1).confirmed(LINES, 1).sending(LINES, 2).confirmed(LINES, 2);
        line.comes(1, LINES, 1).comes(1, LINES, 2)
    };
    let back = |told: Told| {
        told.comes_again(2, LINES, 1, 2).comes_again(2, LINES, 2, 2).ack(LINES, 1, 2).ack(LINES, 2, 2)
    };
    let nack =
        Event::Settling { lease: Lease { queue: LINES, sequence: 1, attempt: 1 }, verdict: Verdict::Nack };
    back(both().event(nack)).holds();
    let found: Vec<_> = back(both()).0.check().iter().map(|violation| violation.rule).collect();
    assert_eq!(found, [Rule::OneHolder, Rule::OneHolder]);
}

#[test]
fn an_attempt_that_nobody_can_have_had_was_not_made() {
    told().sent().stream(1).delivered(1, 3).acked(3).holds();
    told().sent().stream(1).delivered(1, 4).acked(4).breaks(Rule::AttemptsRise);
}

#[test]
fn what_was_given_up_is_in_the_dead_letter_queue_and_nowhere_else() {
    let given_up = || told().sending(RETRIED, 1).confirmed(RETRIED, 1).comes(1, RETRIED, 1);
    given_up().breaks(Rule::NothingIsLost);
    given_up().taken(2, DEAD, 1).holds();
    given_up().comes(2, DEAD, 1).breaks(Rule::NothingIsLost);
    let ended = || given_up().event(Event::Ended { call: Call(1) });
    ended().taken(2, DEAD, 1).comes_again(3, RETRIED, 1, 2).ack(RETRIED, 1, 2).breaks(Rule::DeadIsGone);
    told().sent().stream(1).delivered(1, 1).acked(1).taken(2, DEAD, 7).breaks(Rule::NothingIsInvented);
    // Acking what was given up counts, by whatever receipt.
    let again = ended().comes_again(2, RETRIED, 1, 2);
    again.taken(3, DEAD, 1).ack(RETRIED, 1, 1).holds();
}

#[test]
fn only_a_full_queue_drops_and_only_what_has_a_time_expires() {
    let capped = |count| (1..=count).fold(told(), |told, id| told.sending(CAPPED, id)).confirmed(CAPPED, 1);
    capped(2).breaks(Rule::NothingIsLost);
    capped(3).holds();
    let limits = Limits { expires: Some(5), ..Limits::default() };
    told().limited(JOBS, 1, limits).confirmed(JOBS, 1).holds();
}

#[test]
fn what_belongs_together_happens_together() {
    let publishes = vec![(JOBS, Id(1)), (LINES, Id(1))];
    let topic = || {
        let together = Event::Together { publishes: publishes.clone(), acks: Vec::new() };
        told().event(together).sending(JOBS, 1).sending(LINES, 1)
    };
    topic().holds();
    topic().taken(1, JOBS, 1).taken(2, LINES, 1).holds();
    topic().taken(1, JOBS, 1).breaks(Rule::BothOrNeither);

    let lease = Lease { queue: CLICKS, sequence: 9, attempt: 1 };
    let transaction = || {
        let clicked = told().sending(CLICKS, 9).confirmed(CLICKS, 9).comes(1, CLICKS, 9);
        let together = Event::Together { publishes: vec![(JOBS, Id(1))], acks: vec![lease] };
        clicked.event(together).sending(JOBS, 1).event(Event::Settling { lease, verdict: Verdict::Ack })
    };
    let done = Event::Settled { lease, verdict: Verdict::Ack, outcome: Outcome::Done };
    transaction().taken(2, JOBS, 1).holds();
    let back = transaction().event(done).event(Event::Ended { call: Call(1) });
    back.comes_again(3, CLICKS, 9, 2).ack(CLICKS, 9, 2).breaks_among(Rule::BothOrNeither);
    // Nothing was published, so nothing was acked, and the message has to come back.
    transaction().breaks(Rule::NothingIsLost);
    transaction()
        .event(Event::Ended { call: Call(1) })
        .comes_again(3, CLICKS, 9, 2)
        .ack(CLICKS, 9, 2)
        .holds();
    let back = transaction().event(Event::Ended { call: Call(1) }).taken(2, JOBS, 1);
    back.comes_again(3, CLICKS, 9, 2).ack(CLICKS, 9, 2).breaks(Rule::BothOrNeither);
}

#[test]
fn a_message_of_another_queue_is_invented() {
    told().sending(LINES, 1).stream(1).delivered(1, 1).acked(1).breaks(Rule::NothingIsInvented);
}
