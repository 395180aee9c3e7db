//! What keeps its order, also where messages leave it without an ack.

use super::*;

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
    // The first of them is over for no reason, and so is what came with it.
    let found: Vec<_> = back(both()).0.check().iter().map(|violation| violation.rule).collect();
    assert_eq!(found, [Rule::OneHolder, Rule::OneHolder]);
}

/// What goes back takes along what is behind it, once, and nothing before it or of another line.
#[test]
fn one_that_goes_back_takes_along_nothing_else() {
    let three =
        |told: Told, queue| (1..=3).fold(told, |told, id| told.sending(queue, id).confirmed(queue, id));
    let held = || (1..=3).fold(three(told(), LINES), |told, id| told.comes(1, LINES, id));
    let all = |told: Told, attempts: [u32; 3]| {
        (1..).zip(attempts).fold(told, |told, (id, attempt)| told.ack(LINES, id, attempt))
    };
    let again = |told: Told, call| told.comes_again(call, LINES, 2, 2).comes_again(call, LINES, 3, 2);
    all(again(held().nack(LINES, 2, 1), 1), [1, 2, 2]).holds();
    // The first is not given back by a nack of the second.
    let first = again(held().nack(LINES, 2, 1).comes_again(2, LINES, 1, 2), 2);
    all(first, [2, 2, 2]).breaks(Rule::OneHolder);
    // The third went back once, and is then held as any other.
    let twice = again(held().nack(LINES, 2, 1), 1).comes_again(1, LINES, 3, 3);
    all(twice, [1, 2, 3]).breaks(Rule::OneHolder);
    // Another key does not go along.
    let keyed = |id| Limits { key: Some(id % 2), ..Limits::default() };
    let keys = (1..=2).fold(told(), |told, id| told.limited(KEYS, id, keyed(id)).confirmed(KEYS, id));
    let keys = keys.comes(1, KEYS, 1).comes(1, KEYS, 2).nack(KEYS, 1, 1).comes_again(1, KEYS, 1, 2);
    let keys = keys.comes_again(2, KEYS, 2, 2);
    keys.ack(KEYS, 1, 2).ack(KEYS, 2, 2).breaks(Rule::OneHolder);
}

/// A lease of the first that runs out takes along those behind it, and only then.
#[test]
fn a_deadline_takes_along_those_behind_it() {
    let held = || at(at(filled(LINES, 2), 1, LINES, 1, 1, 0), 1, LINES, 2, 1, MINUTE / 2);
    let acked = |told: Told| told.ack(LINES, 1, 2).ack(LINES, 2, 2);
    acked(at(at(held(), 2, LINES, 1, 2, MINUTE), 2, LINES, 2, 2, MINUTE)).holds();
    let early = at(at(held(), 2, LINES, 1, 2, MINUTE - 1), 2, LINES, 2, 2, MINUTE - 1);
    let found: Vec<_> = acked(early).0.check().iter().map(|violation| violation.rule).collect();
    assert_eq!(found, [Rule::OneHolder, Rule::OneHolder]);
    // What was acked in time runs out no more.
    let settled = at(held().ack(LINES, 1, 1), 2, LINES, 2, 2, MINUTE);
    settled.ack(LINES, 2, 2).breaks(Rule::OneHolder);
}

/// Having held the one before once is not enough.
#[test]
fn what_comes_before_is_in_the_same_hands_at_that_moment() {
    let back = || at(filled(LINES, 2), 1, LINES, 1, 1, 0).nack(LINES, 1, 1);
    let acked = |told: Told, attempt| told.ack(LINES, 1, attempt).ack(LINES, 2, 1);
    // It went back, and another one has it.
    let other = at(back(), 2, LINES, 1, 2, 1000);
    acked(at(other, 1, LINES, 2, 1, 1001), 2).breaks(Rule::InOrder);
    // The same, recorded the other way round.
    let early = at(at(back(), 1, LINES, 2, 1, 1001), 2, LINES, 1, 2, 1000);
    acked(early, 2).breaks(Rule::InOrder);
    // It went back, and nobody has it.
    let nobody = at(back(), 1, LINES, 2, 1, CLOCK_SLACK + 1);
    acked(at(nobody, 1, LINES, 1, 2, 2000), 2).breaks(Rule::InOrder);
    // Its deadline had come.
    let late = at(at(filled(LINES, 2), 1, LINES, 1, 1, 0), 1, LINES, 2, 1, MINUTE + 1);
    acked(at(late, 1, LINES, 1, 2, MINUTE + 2), 2).breaks(Rule::InOrder);
    // It was granted while they were in the same hands, and seen late.
    let seen_late = at(at(back(), 2, LINES, 1, 2, 1000), 1, LINES, 2, 1, 0);
    let again = at(seen_late, 2, LINES, 2, 2, 1000);
    again.ack(LINES, 1, 2).ack(LINES, 2, 2).holds();
}

/// The first two of a FIFO queue that gives up after two attempts; calls 1 to 3 are open.
fn steps() -> Told {
    filled(STEPS, 2).event(opened(3, STEPS))
}

/// Both of its attempts by call 1, from 0 and 1000 on; the first was given back.
fn tried_twice() -> Told {
    at(at(steps(), 1, STEPS, 1, 1, 0).nack(STEPS, 1, 1), 1, STEPS, 1, 2, 1000)
}

fn buried(told: Told) -> Told {
    told.taken(9, MISSTEPS, 1)
}

#[test]
fn what_is_given_up_leaves_its_line_and_the_next_comes() {
    let second = |told: Told, granted| at(told, 2, STEPS, 2, 1, granted).ack(STEPS, 2, 1);
    buried(second(tried_twice().nack(STEPS, 1, 2), 2000)).holds();
    // Nobody may have seen the last attempt.
    buried(second(at(steps(), 1, STEPS, 1, 1, 0).nack(STEPS, 1, 1), 2000)).holds();
    // The end of its stream, or its deadline, may have ended it.
    buried(second(tried_twice().ended(1), 2000)).holds();
    buried(second(tried_twice(), 1000 + MINUTE)).holds();
    // It may have come back and died later; what nobody saw is no violation.
    buried(second(at(steps(), 1, STEPS, 1, 1, 0).ended(1), 2000)).holds();
}

#[test]
fn the_next_does_not_come_while_somebody_holds_what_will_be_given_up() {
    let second = |told: Told, granted| at(told, 2, STEPS, 2, 1, granted).ack(STEPS, 2, 1);
    buried(second(tried_twice(), 2000).nack(STEPS, 1, 2)).breaks(Rule::InOrder);
    buried(second(tried_twice(), 999 + MINUTE)).breaks(Rule::InOrder);
    // In the same hands it may.
    let nacking =
        Event::Settling { lease: Lease { queue: STEPS, sequence: 1, attempt: 2 }, verdict: Verdict::Nack };
    buried(at(tried_twice(), 1, STEPS, 2, 1, 2000).ack(STEPS, 2, 1).event(nacking)).holds();
    // Before the last attempt it was still there.
    let early = at(at(steps(), 1, STEPS, 1, 1, 0).nack(STEPS, 1, 1), 2, STEPS, 2, 1, 500);
    let early = at(early.ack(STEPS, 2, 1), 1, STEPS, 1, 2, 1000).nack(STEPS, 1, 2);
    buried(early).breaks(Rule::InOrder);
}

#[test]
fn what_left_its_line_is_among_the_dead_letters() {
    let second = |told: Told| at(told, 2, STEPS, 2, 1, 2000).ack(STEPS, 2, 1);
    second(tried_twice().nack(STEPS, 1, 2)).breaks_among(Rule::InOrder);
    // What is acked in the end was there all the time.
    let back = at(tried_twice().nack(STEPS, 1, 2), 2, STEPS, 2, 1, 2000).ack(STEPS, 2, 1);
    at(back, 3, STEPS, 1, 3, 3000).ack(STEPS, 1, 3).breaks(Rule::InOrder);
}

/// Those behind what was given up keep their order.
#[test]
fn survivors_keep_their_order() {
    let three = || {
        let told = (1..=3).fold(told(), |told, id| told.sending(STEPS, id).confirmed(STEPS, id));
        let told = told.event(opened(1, STEPS)).event(opened(2, STEPS));
        at(at(told, 1, STEPS, 1, 1, 0).nack(STEPS, 1, 1), 1, STEPS, 1, 2, 1000).nack(STEPS, 1, 2)
    };
    let taken = |told: Told, id, granted| at(told, 2, STEPS, id, 1, granted).ack(STEPS, id, 1);
    buried(taken(taken(three(), 2, 2000), 3, 3000)).holds();
    buried(taken(taken(three(), 3, 2000), 2, 3000)).breaks(Rule::InOrder);
}

#[test]
fn what_is_over_leaves_its_line_and_the_next_comes() {
    let mortal = |queue, expires| {
        let limits = Limits { key: Some(1), expires: Some(expires), ..Limits::default() };
        let told = told().limited(queue, 1, limits).confirmed(queue, 1);
        let told = told.limited(queue, 2, Limits { expires: None, ..limits }).confirmed(queue, 2);
        told.event(opened(1, queue)).event(opened(2, queue))
    };
    let second = |told: Told, queue, granted| at(told, 2, queue, 2, 1, granted).ack(queue, 2, 1);
    for queue in [LINES, KEYS] {
        let looked = |told: Told| told.event(Event::Drained { queue, at: 10 * MINUTE });
        looked(second(mortal(queue, 5000), queue, 5000)).holds();
        looked(second(mortal(queue, 5000), queue, 5000 - CLOCK_SLACK)).holds();
        looked(second(mortal(queue, 5000), queue, 4999 - CLOCK_SLACK)).breaks(Rule::InOrder);
        // While it is leased its time does not end.
        let held = || at(mortal(queue, 5000), 1, queue, 1, 1, 0);
        looked(second(held(), queue, 6000)).breaks(Rule::InOrder);
        looked(second(held().nack(queue, 1, 1), queue, 6000)).holds();
        looked(second(held(), queue, MINUTE)).holds();
        // It came again, so it was there.
        let again = at(second(held().nack(queue, 1, 1), queue, 6000), 1, queue, 1, 2, 7000);
        looked(again.ack(queue, 1, 2)).breaks(Rule::InOrder);
    }
}

/// Where there is a dead-letter queue, what is over is there and not gone.
#[test]
fn what_is_over_is_a_dead_letter() {
    let limits = Limits { expires: Some(5000), ..Limits::default() };
    let over = || told().limited(STEPS, 1, limits).confirmed(STEPS, 1);
    let looked = |told: Told| told.event(Event::Drained { queue: STEPS, at: 10 * MINUTE });
    looked(over()).breaks(Rule::NothingIsLost);
    buried(looked(over())).holds();
}

#[test]
fn what_is_given_up_had_no_attempts_left_or_no_time() {
    let limits = Limits { expires: Some(5000), ..Limits::default() };
    let died = |reason: &str, attempts, granted| {
        let told = told().limited(STEPS, 1, limits).confirmed(STEPS, 1).event(opened(1, MISSTEPS));
        let told = told.with(|delivered| {
            delivered.lease = Lease { queue: MISSTEPS, sequence: 1, attempt: 1 };
            delivered.letter = Some(Letter { reason: reason.to_owned(), attempts });
            delivered.until = granted + MINUTE;
        });
        told.ack(MISSTEPS, 1, 1)
    };
    died("max_attempts", 2, 0).holds();
    died("max_attempts", 1, 0).breaks(Rule::GivenUpForAReason);
    died("max_attempts", 3, 0).breaks(Rule::GivenUpForAReason);
    died("time_to_live", 1, 5000 - CLOCK_SLACK).holds();
    died("time_to_live", 1, 4999 - CLOCK_SLACK).breaks(Rule::GivenUpForAReason);
    died("what the consumer said", 1, 0).holds();
}
