//! What a purge takes, and what it leaves.

use super::*;

fn purging(told: Told) -> Told {
    told.event(Event::Purging { queue: JOBS })
}

/// Known to be done at a time of our clock.
fn purged(told: Told, at: u64) -> Told {
    told.event(Event::Purged { queue: JOBS, at })
}

#[test]
fn a_purge_takes_what_was_there_and_nothing_else() {
    let purging = || told().sent().event(Event::Purging { queue: JOBS });
    let purged = Event::Purged { queue: JOBS, at: 0 };
    purging().event(purged.clone()).holds();
    purging().event(purged).sending(JOBS, 2).confirmed(JOBS, 2).breaks(Rule::NothingIsLost);
    // Without an answer it may have been as late as the server.
    purging().sending(JOBS, 2).confirmed(JOBS, 2).holds();
    purging().event(Event::Down).sending(JOBS, 2).confirmed(JOBS, 2).breaks(Rule::NothingIsLost);
    let other = told().sending(LINES, 1).confirmed(LINES, 1).event(Event::Purging { queue: JOBS });
    other.breaks(Rule::NothingIsLost);
}

/// Call 1 holds the only message from 0 on, by the server's clock.
fn held() -> Told {
    at(filled(JOBS, 1), 1, JOBS, 1, 1, 0)
}

#[test]
fn a_purge_leaves_what_somebody_holds() {
    purged(purging(held()), 1000).breaks(Rule::NothingIsLost);
    purged(purging(held()), 1000).nack(JOBS, 1, 1).breaks(Rule::NothingIsLost);
    let back = purged(purging(held()), 1000).nack(JOBS, 1, 1);
    at(back, 2, JOBS, 1, 2, 2000).ack(JOBS, 1, 2).holds();
    purged(purging(held()), 1000).ack(JOBS, 1, 1).holds();
    // A purge without an answer may have been whenever nobody held it.
    purging(held()).event(Event::Down).holds();
}

#[test]
fn a_purge_may_take_what_somebody_perhaps_does_not_hold_any_more() {
    // It was given back before the purge, or perhaps meanwhile.
    purged(purging(held().nack(JOBS, 1, 1)), 1000).holds();
    purged(purging(held()).nack(JOBS, 1, 1), 1000).holds();
    let nacking = Event::Settling { lease: lease(1, 1), verdict: Verdict::Nack };
    purged(purging(held().event(nacking)), 1000).holds();
    // The same if its stream or its time ended.
    purged(purging(held().ended(1)), 1000).holds();
    purged(purging(held()), MINUTE - CLOCK_SLACK).holds();
    purged(purging(held()), MINUTE - CLOCK_SLACK - 1).breaks(Rule::NothingIsLost);
    // A delivery that was recorded only after the purge had begun may have been of after it: but then it was not taken.
    let late = purged(at(purging(filled(JOBS, 1)), 1, JOBS, 1, 1, 0), 1000);
    late.holds();
    // The next purge takes what was back by then.
    purged(purging(purged(purging(held()), 1000).nack(JOBS, 1, 1)), 2000).holds();
}

#[test]
fn what_was_purged_does_not_come_back() {
    let after = |told: Told, call, attempt, granted| {
        let told = told.event(opened(3, JOBS));
        at(told, call, JOBS, 1, attempt, granted).ack(JOBS, 1, attempt)
    };
    let waiting = || purged(purging(filled(JOBS, 1)), 1000);
    // By a call of before the purge it may have been granted before.
    after(waiting(), 1, 1, 1000 + CLOCK_SLACK).holds();
    after(waiting(), 1, 1, 1000 + CLOCK_SLACK + 1).breaks(Rule::PurgedIsGone);
    after(waiting(), 3, 1, 0).breaks(Rule::PurgedIsGone);
    // Not even after a restart.
    after(waiting().event(Event::Down), 3, 1, 0).breaks(Rule::PurgedIsGone);
    // Somebody may have held it whom nobody saw.
    after(waiting(), 3, 2, 0).holds();
    // It was given back, and then the purge took it.
    let back = || purged(purging(held().nack(JOBS, 1, 1)), 1000);
    after(back(), 3, 2, 2000).breaks(Rule::PurgedIsGone);
    // It may have been purged before it was given back.
    after(purged(purging(held()).nack(JOBS, 1, 1), 1000), 3, 2, 2000).holds();
    // It was confirmed after the purge had begun, or the purge had no answer.
    let late = purging(told().sending(JOBS, 1).event(opened(1, JOBS))).confirmed(JOBS, 1);
    after(purged(late, 1000), 3, 1, 0).holds();
    after(purging(filled(JOBS, 1)).event(Event::Down), 3, 1, 0).holds();
}

#[test]
fn whoever_holds_a_message_can_settle_it() {
    let refused = |told: Told, verdict, when| {
        let settling = Event::Settling { lease: lease(1, 1), verdict };
        let settled = Event::Settled { lease: lease(1, 1), verdict, outcome: Outcome::Refused, at: when };
        told.event(settling).event(settled)
    };
    let rest = |told: Told| at(told.ended(1), 2, JOBS, 1, 2, 2000).ack(JOBS, 1, 2);
    for verdict in [Verdict::Ack, Verdict::Nack] {
        rest(refused(held(), verdict, 1000)).breaks(Rule::HoldersSettle);
        rest(refused(held(), verdict, MINUTE)).holds();
        rest(refused(held().ended(1), verdict, 1000)).holds();
        let purged = refused(purged(purging(held()), 500), verdict, 1000);
        rest(purged).breaks(Rule::HoldersSettle);
    }
    // An ack without an answer may have settled it; a nack may have given it back.
    let acking = Event::Settling { lease: lease(1, 1), verdict: Verdict::Ack };
    refused(held().event(acking), Verdict::Nack, 1000).holds();
    rest(refused(held().nack(JOBS, 1, 1), Verdict::Ack, 1000)).holds();
    // A transaction is refused as a whole.
    let together = Event::Together { publishes: Vec::new(), acks: vec![lease(1, 1)] };
    rest(refused(held().event(together), Verdict::Ack, 1000)).holds();
}
