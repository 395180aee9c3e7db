//! FIFO: one order for all.

use super::script::check;

#[test]
fn the_next_message_waits_for_the_one_before() {
    check(
        "queue q fifo
         publish q a b c
         lease q by s   -> a#1
         lease q by t   -> none
         ack a#1
         lease q by t   -> b#1
         lease q by s   -> none
         lease q by t   -> c#1
         ack c#1
         publish q d
         lease q by s   -> none
         ack b#1
         lease q by s   -> d#1",
    );
}

#[test]
fn a_grant_that_would_break_the_order_is_skipped() {
    check(
        "queue q fifo
         publish q a b c
         grant q b a c by s  -> a#1
         grant q b by t      -> none
         grant q c by s      -> none
         grant q b c by s    -> b#1 c#1",
    );
}

/// What was given out after a message that goes back goes back with it.
#[test]
fn a_nack_takes_back_all_that_came_after() {
    check(
        "queue q fifo tries:2
         publish q a b c d
         lease q 3        -> a#1 b#1 c#1
         ack a#1
         nack b#1
         freed            -> s:1 s:1
         ready q          -> b#1 c#2 d
         ack c#1          -> superseded
         nack c#1         -> superseded
         extend 5s c#1    -> superseded
         lease q 3 by t   -> b#2 c#3 d#1
         uncounted b      -> 0
         uncounted c      -> 2
         ack c#1          -> superseded
         ack b#2
         nack c#3
         lease q 2 by t   -> c#4 d#3",
    );
}

#[test]
fn all_that_one_nack_names_goes_back_by_its_own_will() {
    check(
        "queue q fifo
         publish q a b c
         lease q 3        -> a#1 b#1 c#1
         nack a#1 b#1
         ready q          -> a#1 b#1 c#2",
    );
}

#[test]
fn an_expired_lease_takes_back_all_that_came_after() {
    check(
        "queue q fifo
         publish q a b c
         lease q 30s      -> a#1
         lease q 2 60s    -> b#1 c#1
         advance 30s
         ready q          -> a#1 b#2 c#2
         deadline         -> none
         ack a#1
         ack b#1          -> superseded",
    );
}

/// Only the first of what a stream held was in its hands for sure.
#[test]
fn a_stream_that_ends_gives_back_in_order() {
    check(
        "queue q fifo tries:1
         publish q a b c
         lease q 3 by s   -> a#1 b#1 c#1
         ack a#1
         release q s      -> 2 released
         depth q          -> 1 ready 0 leased 1 bytes
         lease q by t     -> c#2",
    );
}

#[test]
fn a_message_that_waits_blocks_those_behind_it() {
    check(
        "queue q fifo
         publish q a b
         lease q              -> a#1
         nack after 5s a#1
         lease q              -> none
         grant q b            -> none
         advance 5s
         lease q 2            -> a#2 b#1",
    );
}

#[test]
fn a_dead_letter_blocks_nobody() {
    check(
        "queue q fifo dead:dead
         publish q a b c
         lease q 2 by s   -> a#1 b#1
         nack dead a#1
         depth q          -> 1 ready 1 leased 3 bytes 1 dead
         lease q by t     -> none
         ack b#1
         lease q by t     -> c#1",
    );
}

#[test]
fn order_outlasts_a_restart() {
    check(
        "queue q fifo
         publish q a b c
         lease q 2        -> a#1 b#1
         restart          -> 2 released
         ready q          -> a#1 b#2 c
         ack b#1          -> superseded
         receive q by r   -> a#2
         restart          -> 0 released
         lease q          -> none
         ack a#2
         lease q 2        -> b#3 c#1",
    );
}

#[test]
fn one_consumer_gets_a_run_and_the_others_wait() {
    check(
        "queue q fifo
         join q s 2 messages
         join q t 9 messages
         publish q a b c
         dispatch q    -> s:a#1 s:b#1
         dispatch q    -> none
         ack a#1
         dispatch q    -> s:c#1
         ack b#1 c#1
         publish q d
         dispatch q    -> t:d#1
         release q t   -> 1 released
         dispatch q    -> s:d#2",
    );
}

#[test]
fn handed_out_at_most_once_is_in_order_too() {
    check(
        "queue q fifo at-most-once
         publish q a b c
         grant q b by s   -> none
         lease q by s     -> a#1
         lease q 2 by t   -> b#1 c#1",
    );
}
