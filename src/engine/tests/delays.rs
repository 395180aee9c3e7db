//! Messages that wait before they can be delivered.

use super::script::check;

#[test]
fn a_delayed_message_is_ready_at_its_time_and_goes_before_what_was_never_leased() {
    check(
        "queue q
         publish q a~10s b c~5s
         depth q         -> 1 ready 0 leased 3 bytes 2 delayed
         deadline        -> 5s
         lease q 9       -> b#1
         advance 4999ms
         lease q         -> none
         advance 1ms
         publish q d
         ready q         -> c#0 d
         advance 5s
         ready q         -> a#0 c#0 d
         lease q 9       -> a#1 c#1 d#1
         ack a#1 b#1 c#1 d#1
         depth q         -> 0 ready 0 leased 0 bytes",
    );
}

#[test]
fn a_delayed_message_keeps_its_priority() {
    check(
        "queue q
         publish q a!3~1s b!3 c!5 d~1s e
         ready q         -> c b e
         advance 1s
         ready q         -> c a#0 b d#0 e
         lease q 2       -> c#1 a#1
         restart         -> 2 released
         ready q         -> c#1 a#1 b d#0 e",
    );
}

/// Time goes on while the server is down.
#[test]
fn a_delay_outlives_a_restart() {
    check(
        "queue q
         publish q a~10s b~1s
         restart         -> 0 released
         deadline        -> 1s
         advance 5s
         ready q         -> b#0
         restart         -> 0 released
         ready q         -> b#0
         wait 5s
         expire 1        -> 1 expired
         lease q 2       -> a#1 b#1",
    );
}

#[test]
fn a_delayed_message_has_no_receipt_before_its_first_lease_and_is_gone_after_its_ack() {
    check(
        "queue q
         publish q a b~1s
         ack b#1         -> unknown
         nack b#0@0      -> unknown
         advance 1s
         ack b#1         -> unknown
         lease q         -> b#1
         ack b#1
         nack b#1        -> gone
         ack b#1
         lease q         -> a#1
         ack a#1",
    );
}

/// What is leased again after its delay is retried as any other message.
#[test]
fn a_message_that_was_delayed_is_retried_and_dead_lettered_as_any_other() {
    check(
        "queue d
         queue q tries:2 dead:d backoff:2s:1000:2s
         publish q a!4~1s b
         advance 1s
         lease q         -> a#1
         nack a#1
         deadline        -> 2s
         advance 2s
         lease q         -> a#2
         nack a#2
         why a           -> max_attempts
         restart         -> 0 released
         bury q          -> a'
         publish d c!5 e!3
         ready d         -> c a' e",
    );
}

#[test]
fn purge_and_delete_take_what_waits() {
    check(
        "queue q
         publish q a~1s b c~2s
         advance 1s
         purge q         -> 3 gone
         deadline        -> none
         publish q d~1s e
         lease q         -> e#1
         delete q        -> 2 gone
         deadline        -> none",
    );
}

#[test]
fn what_was_delayed_can_be_dropped_once_it_is_ready() {
    check(
        "queue q
         publish q a~1s b c
         drop q a        -> 0 gone
         advance 1s
         drop q a b      -> 2 gone
         ready q         -> c
         restart         -> 0 released
         ready q         -> c",
    );
}

#[test]
fn a_delayed_message_counts_towards_the_limits() {
    check(
        "queue q max:2
         publish q a~1s b~2s
         publish q c     -> full
         advance 1s
         lease q         -> a#1
         publish q c     -> full
         ack a#1
         publish q c
         ready q         -> c",
    );
}

#[test]
fn a_duplicate_of_what_waits_waits_no_longer() {
    check(
        "queue q dedup:10s
         publish q a~5s=x
         publish q b=x c~1s=y d~9s=y  -> b=a d=c
         depth q         -> 0 ready 0 leased 2 bytes 2 delayed
         advance 1s
         ready q         -> c#0",
    );
}

#[test]
fn an_at_most_once_message_is_gone_when_it_is_handed_out_after_its_delay() {
    check(
        "queue q at-most-once
         publish q a~1s b
         lease q 2       -> b#1
         advance 1s
         lease q 2       -> a#1
         restart         -> 0 released
         depth q         -> 0 ready 0 leased 0 bytes",
    );
}

#[test]
fn what_is_sent_and_transacted_waits_too() {
    check(
        "queue p
         queue q
         topic t
         bind t p -
         bind t q -
         send t a m~2s n          -> m.p n.p m.q n.q
         transact - publish p x~1s y  -> x.p y.p
         ready p                  -> n.p y.p
         advance 1s
         ready p                  -> x.p#0 n.p y.p
         advance 1s
         ready p                  -> m.p#0 x.p#0 n.p y.p
         ready q                  -> m.q#0 n.q",
    );
}

/// Where there is an order, a delay would hold up what is behind it. The broker refuses it; the engine lets it count for
/// nothing.
#[test]
fn a_delay_counts_for_nothing_where_there_is_an_order() {
    check(
        "queue q fifo
         publish q a~5s b
         ready q         -> a b
         lease q 2       -> a#1 b#1",
    );
}

/// One that waits does not stand between others of its lane.
#[test]
fn a_lane_goes_on_past_what_waits() {
    check(
        "queue q
         publish q a b~5s c
         grant q c       -> none
         grant q b       -> none
         grant q a c     -> a#1 c#1
         publish q d
         advance 5s
         grant q d b     -> d#1 b#1",
    );
}
