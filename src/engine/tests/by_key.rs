//! BY_KEY: one order for each ordering key.

use super::script::check;

#[test]
fn a_key_waits_and_the_others_do_not() {
    check(
        "queue q by-key
         publish q a1@a a2@a b1@b x
         lease q by s      -> a1#1
         lease q 2 by t    -> b1#1 x#1
         depth q           -> 0 ready 3 leased 7 bytes 1 parked
         lease q by t      -> none
         ack a1#1
         ready q           -> a2
         lease q by t      -> a2#1",
    );
}

/// In one batch, or one after the other, as long as all before it are in the same hands.
#[test]
fn the_holder_of_a_key_may_have_more_of_it() {
    check(
        "queue q by-key
         publish q a1@a a2@a a3@a
         lease q 2 by s    -> a1#1 a2#1
         lease q by t      -> none
         depth q           -> 0 ready 2 leased 6 bytes 1 parked
         ack a1#1 a2#1
         publish q a4@a
         lease q 5 by t    -> a3#1 a4#1",
    );
}

#[test]
fn a_grant_that_would_break_the_order_is_skipped() {
    check(
        "queue q by-key
         publish q a1@a a2@a b1@b
         lease q by s          -> a1#1
         grant q a2 by t       -> none
         lease q by t          -> b1#1
         depth q               -> 0 ready 2 leased 6 bytes 1 parked
         grant q a2 by t       -> none
         grant q a2 by s       -> a2#1",
    );
}

#[test]
fn a_nack_takes_back_what_was_leased_after_it_of_its_key() {
    check(
        "queue q by-key
         publish q a1@a a2@a b1@b a3@a
         lease q 4 by s    -> a1#1 a2#1 b1#1 a3#1
         nack a1#1
         freed             -> s:2 s:2 s:2
         depth q           -> 1 ready 1 leased 8 bytes 2 parked
         ack a2#1          -> superseded
         ack b1#1
         uncounted a2      -> 2
         lease q by t      -> a1#2
         lease q by s      -> none
         ack a1#2
         lease q 2 by s    -> a2#3
         lease q 2 by s    -> none
         lease q by t      -> none",
    );
}

#[test]
fn a_nacked_key_waits_for_its_delay_alone() {
    check(
        "queue q by-key
         publish q a1@a a2@a b1@b b2@b
         lease q by s          -> a1#1
         nack after 5s a1#1
         lease q 9 by s        -> b1#1 b2#1
         depth q               -> 0 ready 2 leased 8 bytes 1 delayed 1 parked
         advance 5s
         ready q               -> a1#1
         lease q 9 by t        -> a1#2 a2#1
         nack a2#1
         ack a1#2
         lease q 9 by s        -> a2#2",
    );
}

#[test]
fn an_expired_lease_and_a_lost_stream_keep_the_order_of_their_keys() {
    check(
        "queue q by-key tries:1
         publish q a1@a a2@a b1@b b2@b
         lease q 4 by s        -> a1#1 a2#1 b1#1 b2#1
         release q s           -> 4 released
         depth q               -> 2 ready 0 leased 4 bytes
         ready q               -> a2#1 b2#1
         lease q 30s by t      -> a2#2
         advance 30s
         ready q               -> b2#1",
    );
}

/// A poisoned message stops its key only until its attempts are used up.
#[test]
fn the_last_attempt_lets_the_key_go_on() {
    check(
        "queue q by-key tries:2 dead:d
         publish q a1@a a2@a
         lease q by s      -> a1#1
         nack a1#1
         lease q by s      -> a1#2
         nack a1#2
         why a1            -> max_attempts
         lease q by t      -> a2#1
         queue d by-key
         bury q            -> a1'
         lease d by s      -> a1'#1",
    );
}

#[test]
fn parked_messages_outlast_a_restart_and_a_purge_takes_them() {
    check(
        "queue q by-key
         publish q a1@a a2@a a3@a b1@b
         receive q by r        -> a1#1
         lease q by s          -> b1#1
         restart               -> 1 released
         depth q               -> 1 ready 1 leased 8 bytes 2 parked
         lease q 9 by s        -> b1#2
         ack a1#1
         lease q 1 by s        -> a2#1
         purge q               -> 1 gone
         depth q               -> 0 ready 2 leased 4 bytes
         publish q a4@a
         ack a2#1
         lease q by t          -> a4#1",
    );
}

#[test]
fn the_oldest_that_may_go_are_dropped_and_the_key_goes_on() {
    check(
        "queue q by-key
         publish q a1@a a2@a a3@a b1@b
         lease q by s      -> a1#1
         lease q by t      -> b1#1
         ack a1#1
         drop q 1          -> 1 gone
         ready q           -> a3
         lease q by t      -> a3#1",
    );
}

#[test]
fn at_most_once_needs_no_parking() {
    check(
        "queue q by-key at-most-once
         publish q a1@a a2@a b1@b
         lease q by s      -> a1#1
         lease q 2 by t    -> a2#1 b1#1",
    );
}

/// What was stepped over on the way to others stays the first of its key.
#[test]
fn what_a_redrive_steps_over_keeps_its_place() {
    check(
        "queue d by-key
         queue q dead:d
         publish d k1@k k2@k
         publish q a@k
         lease q           -> a#1
         nack dead a#1
         bury q            -> a'
         redrive d 1       -> a''
         lease d 9 by s    -> k1#1
         lease d 9 by s    -> none
         ack k1#1
         lease d 9 by t    -> k2#1",
    );
}
