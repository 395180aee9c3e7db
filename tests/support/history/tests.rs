//! Each rule, broken once.

#[path = "tests/lines.rs"]
mod lines;
#[path = "tests/purges.rs"]
mod purges;

use super::*;

const JOBS: Queue = "jobs";
const TICKS: Queue = "ticks";
const CLICKS: Queue = "clicks";
const LINES: Queue = "lines";
const KEYS: Queue = "keys";
const RETRIED: Queue = "retried";
const DEAD: Queue = "dead";
const REVIVED: Queue = "revived";
const CAPPED: Queue = "capped";
const BOUNDED: Queue = "bounded";
const SINGLE: Queue = "single";
const SLOWLY: Queue = "slowly";
const STEPS: Queue = "steps";
const MISSTEPS: Queue = "missteps";

/// How long all calls lease.
const MINUTE: u64 = 60_000;

/// A history, told in few words.
struct Told(Witness);

fn told() -> Told {
    let plain = Promise::PLAIN;
    Told(Witness::new([
        (JOBS, plain),
        (RETRIED, Promise { gives_up_after: Some(2), ..plain }),
        (TICKS, Promise { mode: Mode::AtMostOnce, ..plain }),
        (CLICKS, Promise { durability: Durability::Buffered, ..plain }),
        (LINES, Promise { order: Order::Fifo, ..plain }),
        (KEYS, Promise { order: Order::ByKey, ..plain }),
        (DEAD, Promise { dead_letters_of: Some(RETRIED), ..plain }),
        (REVIVED, Promise { redriven_from: Some(DEAD), ..plain }),
        (CAPPED, Promise { drops_beyond: Some(2), ..plain }),
        (BOUNDED, Promise { refuses_beyond: Some(2), ..plain }),
        (SINGLE, Promise { single: true, ..plain }),
        (SLOWLY, Promise { backoff: Some(200), ..plain }),
        (STEPS, Promise { order: Order::Fifo, gives_up_after: Some(2), ..plain }),
        (MISSTEPS, Promise { dead_letters_of: Some(STEPS), ..plain }),
    ]))
}

fn opened(call: u64, queue: Queue) -> Event {
    Event::Opened { call: Call(call), queue, kind: Kind::Stream, lease: MINUTE }
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
        self.event(Event::Opened { call: Call(call), queue: JOBS, kind, lease: MINUTE })
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
            letter: None,
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
        let open = Event::Opened { call: Call(call), queue, kind: Kind::Stream, lease: MINUTE };
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
            at: 0,
        })
    }

    fn nack(self, queue: Queue, id: u64, attempt: u32) -> Self {
        let (lease, verdict) = (Lease { queue, sequence: id, attempt }, Verdict::Nack);
        let settled = Event::Settled { lease, verdict, outcome: Outcome::Done, at: 0 };
        self.event(Event::Settling { lease, verdict }).event(settled)
    }

    fn settling(self, attempt: u32, verdict: Verdict) -> Self {
        self.event(Event::Settling { lease: lease(1, attempt), verdict })
    }

    fn settled(self, attempt: u32, verdict: Verdict, outcome: Outcome) -> Self {
        self.event(Event::Settled { lease: lease(1, attempt), verdict, outcome, at: 0 })
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
    // It can have been refused if its stream was over.
    acking().ended(1).settled(1, Verdict::Ack, Outcome::Refused).breaks(Rule::NothingIsLost);
    // Without an answer it may have settled it, or not.
    acking().holds();
    acking().ended(1).stream(2).delivered(2, 2).acked(2).holds();
}

#[test]
fn a_message_that_is_skipped_in_a_drain_is_lost() {
    let ticks = || (1..=4).fold(told(), |told, id| told.sending(TICKS, id).confirmed(TICKS, id)).stream(1);
    let taken = |told: Told| told.event(opened(1, TICKS));
    let draining = |told: Told, depth| told.event(Event::Draining { queue: TICKS, depth });
    let lost = |told: Told| draining(taken(told), 3);
    lost(ticks()).tick(2).tick(4).breaks(Rule::NothingIsSkipped);
    lost(ticks()).tick(2).tick(3).breaks(Rule::NothingIsSkipped);
    // What a consumer was lost with came before.
    lost(ticks()).tick(2).tick(3).tick(4).holds();
    draining(taken(ticks()).tick(2), 2).tick(3).tick(4).holds();
    // What the server says that it has comes, be it the first or all of it.
    draining(taken(ticks()), 4).tick(2).tick(3).tick(4).breaks(Rule::NothingIsSkipped);
    draining(taken(ticks()), 4).breaks(Rule::NothingIsSkipped);
    draining(taken(ticks()), 0).holds();
    // Where nobody ever asked, nobody can have been lost with the first.
    let found = draining(ticks(), 3).tick(2).tick(3).tick(4).0.check();
    assert_eq!(
        found.iter().map(|one| (one.rule, one.sequence)).collect::<Vec<_>>(),
        [(Rule::NothingIsSkipped, 1)]
    );
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
        (second.lease, second.call, second.until) = (lease(1, 2), Call(2), MINUTE + 1);
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
            (second.call, second.lease, second.until) = (Call(2), lease(1, 2), at + MINUTE);
        })
    };
    later(held(), MINUTE - 1).acked(2).breaks(Rule::OneHolder);
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
                (second.call, second.lease, second.until) = (Call(2), lease(1, 2), 3 * MINUTE);
            })
            .acked(2)
    };
    let extended = |until| extending(until).event(Event::Extended { lease: lease(1, 1), until });
    taken(extended(3 * MINUTE)).breaks(Rule::OneHolder);
    // It was counted from a moment of our clock.
    taken(extended(2 * MINUTE + CLOCK_SLACK + 1)).breaks(Rule::OneHolder);
    taken(extended(2 * MINUTE + CLOCK_SLACK)).holds();
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
    let fallen = second().nacked(2).stream(3).with(|first| (first.call, first.until) = (Call(3), 0));
    fallen.acked(2).breaks(Rule::AttemptsRise);
    second().with(|late| late.until = 0).acked(2).holds();
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

/// There is one journal: what was confirmed before something else was sent that is on disk is on disk, too.
#[test]
fn a_power_cut_takes_only_the_last_confirms_of_a_buffered_queue() {
    let clicked = |told: Told| told.sending(CLICKS, 1).confirmed(CLICKS, 1);
    let after = |told: Told| {
        told.event(Event::PowerCut).stream(7).with(|job| {
            (job.lease, job.call, job.id, job.content) = (lease(2, 1), Call(7), Some(Id(2)), 2);
        })
    };
    let acked = |told: Told| after(told).ack(JOBS, 2, 1);
    acked(clicked(told()).sending(JOBS, 2).confirmed(JOBS, 2)).breaks(Rule::NothingIsLost);
    // It was under way before, or had no answer.
    acked(clicked(told().sending(JOBS, 2)).confirmed(JOBS, 2)).holds();
    acked(clicked(told()).sending(JOBS, 2)).holds();
    // Being buffered itself, it says nothing.
    clicked(told()).sending(CLICKS, 2).confirmed(CLICKS, 2).event(Event::PowerCut).holds();
}

/// Calls of before the last attempt, and of after this one, took nothing in between.
#[test]
fn only_calls_in_between_explain_attempts_that_nobody_saw() {
    let before = || (1..=9).fold(told(), |told, call| told.stream(call).event(Event::Down)).sent();
    before().stream(10).delivered(10, 3).acked(3).holds();
    before().stream(10).delivered(10, 4).acked(4).breaks(Rule::AttemptsRise);
    let between = || told().sent().stream(1).delivered(1, 1).event(Event::Down).stream(2).stream(3);
    between()
        .with(|fifth| (fifth.call, fifth.lease, fifth.epoch) = (Call(3), lease(1, 8), 2))
        .acked(8)
        .holds();
    between()
        .with(|late| (late.call, late.lease, late.epoch) = (Call(3), lease(1, 9), 2))
        .acked(9)
        .breaks(Rule::AttemptsRise);
    // One that had its answer gets nothing more.
    let again = |attempt| {
        let answered = told().sent().stream(1).opened(2, Kind::Receive);
        let first = answered.event(Event::Answered { call: Call(2) }).stream(3).delivered(3, 1).nacked(1);
        first.delivered(3, attempt).acked(attempt)
    };
    again(6).holds();
    again(7).breaks(Rule::AttemptsRise);
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
    // One more than its bound may cost one message, and no second one.
    capped(3).confirmed(CAPPED, 2).breaks(Rule::NothingIsLost);
    capped(4).confirmed(CAPPED, 2).holds();
    // What is settled makes room, and what was certainly not sent takes none.
    let settled = |more| {
        let first = told().sending(CAPPED, 9).confirmed(CAPPED, 9).taken(1, CAPPED, 9);
        (1..=more).fold(first, |told, id| told.sending(CAPPED, id)).confirmed(CAPPED, 1)
    };
    settled(2).breaks(Rule::NothingIsLost);
    settled(3).holds();
    capped(3).event(Event::Unsent { id: Id(3) }).breaks(Rule::NothingIsLost);
}

#[test]
fn only_what_can_have_lapsed_may_be_gone() {
    let limits = |expires| Limits { expires: Some(expires), ..Limits::default() };
    let mortal = |expires| told().limited(JOBS, 1, limits(expires)).confirmed(JOBS, 1);
    let looked = |told: Told, at| {
        told.event(Event::Draining { queue: JOBS, depth: 0 }).event(Event::Drained { queue: JOBS, at })
    };
    let hour = 60 * MINUTE;
    looked(mortal(hour), hour).holds();
    looked(mortal(hour), MINUTE).breaks(Rule::NothingIsLost);
    // A later look at another queue says nothing of this one.
    let other = looked(mortal(hour), MINUTE).event(Event::Drained { queue: LINES, at: 2 * hour });
    other.breaks(Rule::NothingIsLost);
    looked(mortal(hour + CLOCK_SLACK), hour).holds();
    mortal(hour).breaks(Rule::NothingIsLost);
}

#[test]
fn what_belongs_together_happens_together() {
    let publishes = [JOBS, LINES].map(|queue| Publish { queue, id: Id(1) }).to_vec();
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
        let together =
            Event::Together { publishes: vec![Publish { queue: JOBS, id: Id(1) }], acks: vec![lease] };
        clicked.event(together).sending(JOBS, 1).event(Event::Settling { lease, verdict: Verdict::Ack })
    };
    let done = Event::Settled { lease, verdict: Verdict::Ack, outcome: Outcome::Done, at: 0 };
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

/// A message of a queue, by a call that is open, granted at a time.
fn at(told: Told, call: u64, queue: Queue, id: u64, attempt: u32, granted: u64) -> Told {
    told.with(|delivered| {
        delivered.call = Call(call);
        delivered.lease = Lease { queue, sequence: id, attempt };
        (delivered.id, delivered.content, delivered.until) = (Some(Id(id)), id, granted + MINUTE);
    })
}

fn filled(queue: Queue, count: u64) -> Told {
    let told = (1..=count).fold(told(), |told, id| told.sending(queue, id).confirmed(queue, id));
    told.event(opened(1, queue)).event(opened(2, queue))
}

#[test]
fn a_queue_that_is_paused_hands_out_nothing() {
    let paused = || filled(JOBS, 1).event(Event::Paused { queue: JOBS, at: 1000 });
    let granted = |told: Told, when| at(told, 1, JOBS, 1, 1, when).ack(JOBS, 1, 1);
    granted(paused(), 1000 + CLOCK_SLACK + 1).breaks(Rule::PausedIsPaused);
    granted(paused(), 1000).holds();
    let resuming = |when| paused().event(Event::Resuming { queue: JOBS, at: when });
    granted(resuming(2000), 2000).holds();
    granted(resuming(2000), 2000 - CLOCK_SLACK - 1).breaks(Rule::PausedIsPaused);
}

#[test]
fn the_highest_priority_comes_first_in_a_drain() {
    let ranked = |told: Told, id, priority| {
        told.limited(JOBS, id, Limits { priority, ..Limits::default() }).confirmed(JOBS, id)
    };
    let drained = |first, second| {
        let told = ranked(ranked(told(), 1, first), 2, second).event(opened(1, JOBS));
        let draining = told.event(Event::Draining { queue: JOBS, depth: 2 });
        at(at(draining, 1, JOBS, 1, 1, 0), 1, JOBS, 2, 1, 0).ack(JOBS, 1, 1).ack(JOBS, 2, 1)
    };
    drained(5, 5).holds();
    drained(5, 4).holds();
    drained(4, 5).breaks(Rule::HighestFirst);
}

#[test]
fn one_consumer_after_the_other_is_active() {
    let acked = |told: Told| told.ack(SINGLE, 1, 1).ack(SINGLE, 2, 1).ack(SINGLE, 3, 1);
    let three = |calls: [u64; 3]| {
        (1..).zip(calls).fold(filled(SINGLE, 3), |told, (id, call)| at(told, call, SINGLE, id, 1, 10 * id))
    };
    acked(three([1, 1, 2])).holds();
    acked(three([1, 2, 2])).holds();
    acked(three([1, 2, 1])).breaks(Rule::OneConsumer);
}

#[test]
fn what_was_given_back_comes_no_sooner_than_its_backoff() {
    let again = |when| {
        let back = at(filled(SLOWLY, 1), 1, SLOWLY, 1, 1, 0).nack(SLOWLY, 1, 1);
        at(back, 2, SLOWLY, 1, 2, when).ack(SLOWLY, 1, 2)
    };
    again(200).holds();
    again(199).breaks(Rule::NotTooSoon);
}

#[test]
fn a_delay_is_waited_for() {
    let late = |when| {
        let limits = Limits { due: Some(1000 + CLOCK_SLACK), ..Limits::default() };
        let told = told().limited(JOBS, 1, limits).event(opened(1, JOBS));
        at(told, 1, JOBS, 1, 1, when).ack(JOBS, 1, 1)
    };
    late(1000).holds();
    late(999).breaks(Rule::NotTooSoon);
}

#[test]
fn a_queue_has_no_more_than_its_bound() {
    let bounded = |depth| told().event(Event::Draining { queue: BOUNDED, depth });
    bounded(2).holds();
    bounded(3).breaks(Rule::Bounded);
}

/// Of what is certainly there, too: what is confirmed, and of which no ack was begun.
#[test]
fn a_queue_never_has_more_than_its_bound() {
    let two = || filled(BOUNDED, 2);
    let third = |told: Told| told.sending(BOUNDED, 3).confirmed(BOUNDED, 3);
    let taken = |told: Told| (1..=3).fold(told, |told, id| told.comes(1, BOUNDED, id).ack(BOUNDED, id, 1));
    taken(third(two())).breaks(Rule::Bounded);
    third(two().taken(1, BOUNDED, 1)).taken(1, BOUNDED, 2).taken(1, BOUNDED, 3).holds();
    // An ack without an answer may have made room.
    let lease = Lease { queue: BOUNDED, sequence: 1, attempt: 1 };
    let acking = Event::Settling { lease, verdict: Verdict::Ack };
    let room = || third(two().comes(1, BOUNDED, 1).event(acking.clone()));
    room().taken(1, BOUNDED, 2).taken(1, BOUNDED, 3).holds();
    // One that was refused did not.
    let refused = Event::Settled { lease, verdict: Verdict::Ack, outcome: Outcome::Refused, at: 2 * MINUTE };
    let back = room().event(refused).comes_again(2, BOUNDED, 1, 2).ack(BOUNDED, 1, 2);
    back.taken(1, BOUNDED, 2).taken(1, BOUNDED, 3).breaks_among(Rule::Bounded);
}

#[test]
fn nothing_comes_while_something_with_a_higher_priority_waits() {
    let ranked = |told: Told, id, priority| {
        told.limited(JOBS, id, Limits { priority, ..Limits::default() }).confirmed(JOBS, id)
    };
    let two = |first, second| ranked(ranked(told(), 1, first), 2, second);
    let open = |told: Told| told.event(opened(1, JOBS));
    let taken = |told: Told, first, second| {
        let told = at(at(told, 1, JOBS, 1, 1, first), 1, JOBS, 2, 1, second);
        told.ack(JOBS, 1, 1).ack(JOBS, 2, 1)
    };
    taken(open(two(4, 5)), 11, 10).holds();
    taken(open(two(5, 5)), 10, 11).holds();
    taken(open(two(4, 5)), 10, 10).holds();
    taken(open(two(4, 5)), 10, 11).breaks(Rule::HighestFirst);
    // It may have been confirmed after that.
    taken(ranked(open(ranked(told(), 1, 4)), 2, 5), 10, 11).holds();
    // What was given back may have waited.
    let back = at(open(two(4, 5)), 1, JOBS, 2, 1, 9).nack(JOBS, 2, 1);
    at(at(back, 1, JOBS, 1, 1, 10), 1, JOBS, 2, 2, 11).ack(JOBS, 1, 1).ack(JOBS, 2, 2).holds();
}

#[test]
fn a_killed_process_holds_nothing() {
    let first = first_of(3);
    let held = || told().sent().stream(first + 1).delivered(first + 1, 1).stream(2);
    held().event(Event::Killing { process: 3 }).delivered(2, 2).acked(2).holds();
    held().event(Event::Killing { process: 2 }).delivered(2, 2).acked(2).breaks(Rule::OneHolder);
}

#[test]
fn a_backup_has_what_was_confirmed_before_it_and_nothing_else() {
    let copying = |told: Told| told.event(Event::Copying { copy: 7 });
    let copied = |told: Told, found: &[(Queue, u64)]| {
        let told = told.event(Event::Copied { copy: 7 });
        let found =
            found.iter().map(|&(queue, id)| Found { queue, sequence: id, id: Some(Id(id)), content: id });
        let found: Vec<_> = found.collect();
        let broken = copy::compare(&told.0.promises, &told.0.events(), 7, &found);
        broken.into_iter().map(|violation| violation.rule).collect::<Vec<_>>()
    };
    let with = |change: fn(&mut Found)| {
        let mut found = Found { queue: JOBS, sequence: 1, id: Some(Id(1)), content: 1 };
        change(&mut found);
        let told = copying(told().sent()).event(Event::Copied { copy: 7 });
        copy::compare(&told.0.promises, &told.0.events(), 7, &[found]).len()
    };
    assert_eq!(copied(copying(told().sent()), &[(JOBS, 1)]), []);
    assert_eq!(copied(copying(told().sent()), &[]), [Rule::NothingIsLost]);
    // Not confirmed by then, or settled meanwhile, or without an answer: it may be there or not.
    assert_eq!(copied(copying(told().sending(JOBS, 1)).confirmed(JOBS, 1), &[]), []);
    let settled = || copying(told().sent().stream(1).delivered(1, 1)).acked(1);
    assert_eq!(copied(settled(), &[]), []);
    assert_eq!(copied(settled(), &[(JOBS, 1)]), []);
    let gone = || copying(told().sent().stream(1).delivered(1, 1).acked(1));
    assert_eq!(copied(gone(), &[]), []);
    assert_eq!(copied(gone(), &[(JOBS, 1)]), [Rule::AckedIsGone]);
    // Given up, it is among the dead letters, or was.
    let retried = || copying(told().sending(RETRIED, 1).confirmed(RETRIED, 1));
    assert_eq!(copied(retried(), &[]), [Rule::NothingIsLost]);
    assert_eq!(copied(retried(), &[(DEAD, 1)]), []);
    assert_eq!(copied(copying(told().sent()), &[(JOBS, 1), (JOBS, 2)]), [Rule::NothingIsInvented]);
    assert_eq!(copied(copying(told().sent()), &[(JOBS, 1), (JOBS, 1)]), [Rule::OneNameEach]);
    assert_eq!(with(|_| ()), 0);
    assert_eq!(with(|found| found.content = 2), 2);
}

/// Whatever is recorded reads the same again, and a line that was cut short spoils no other.
#[test]
fn a_file_of_events_reads_as_it_was_written() {
    let path = std::env::temp_dir().join(format!("bbq-history-{}", std::process::id()));
    let file = Witness::beside([(JOBS, Promise::PLAIN)], 3, &path);
    let limits = Limits { key: Some(7), expires: Some(u64::MAX), due: Some(5), priority: 9 };
    file.record(Event::Sending { queue: JOBS, id: Id(1), content: u64::MAX, limits });
    std::io::Write::write_all(&mut std::fs::File::options().append(true).open(&path).unwrap(), b"\n{\"Sen")
        .unwrap();
    let call = file.open(JOBS, Kind::Receive, 5);
    let publish = Publish { queue: JOBS, id: Id(1) };
    file.record_all([Event::Together { publishes: vec![publish], acks: vec![lease(1, 1)] }, Event::PowerCut]);
    let text: Vec<_> = file.events().iter().map(|event| format!("{event:?}")).collect();
    std::fs::remove_file(&path).unwrap();
    let expected = [
        Event::Sending { queue: JOBS, id: Id(1), content: u64::MAX, limits },
        Event::Opened { call, queue: JOBS, kind: Kind::Receive, lease: 5 },
        Event::Together { publishes: vec![publish], acks: vec![lease(1, 1)] },
        Event::PowerCut,
    ];
    assert_eq!(call, Call(first_of(3)));
    assert_eq!(text, expected.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>());
}

#[test]
fn what_was_moved_back_is_there_and_nowhere_else() {
    let dead = || told().sending(RETRIED, 1).confirmed(RETRIED, 1).comes(1, DEAD, 1);
    let left = || dead().event(Event::Ended { call: Call(1) });
    left().breaks(Rule::NothingIsLost);
    left().taken(2, REVIVED, 1).holds();
    left().comes(2, REVIVED, 1).breaks(Rule::NothingIsLost);
    left().taken(2, REVIVED, 1).comes_again(3, DEAD, 1, 2).ack(DEAD, 1, 2).breaks(Rule::DeadIsGone);
    left().taken(2, REVIVED, 1).comes_again(3, RETRIED, 1, 1).ack(RETRIED, 1, 1).breaks(Rule::DeadIsGone);
    // It was not sent to the queue that gave it up.
    told().sending(DEAD, 1).taken(2, REVIVED, 1).breaks(Rule::NothingIsInvented);
}
