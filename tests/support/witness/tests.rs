//! Each rule, broken once.

use super::*;

const JOBS: Queue = "jobs";
const TICKS: Queue = "ticks";

const MINUTE: u64 = 60_000;

/// A history, told in few words.
struct Told(Witness);

fn told() -> Told {
    Told(Witness::new([(JOBS, Mode::AtLeastOnce), (TICKS, Mode::AtMostOnce)]))
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
        self.event(Event::Sending { queue, id: Id(id), content: id })
    }

    fn confirmed(self, queue: Queue, id: u64) -> Self {
        self.event(Event::Confirmed { queue, id: Id(id), sequence: id })
    }

    /// Message 1 of `jobs`, sent and confirmed.
    fn sent(self) -> Self {
        self.sending(JOBS, 1).confirmed(JOBS, 1)
    }

    fn opened(self, call: u64, kind: Kind) -> Self {
        self.event(Event::Opened { call: Call(call), kind })
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
