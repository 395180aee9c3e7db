//! Priorities: a lane for each, the most urgent first.

use super::script::check;

#[test]
fn what_is_more_urgent_goes_first() {
    check(
        "queue q
         publish q a b!5 c!9 d!5 e
         ready q         -> c b d a e
         lease q 2       -> c#1 b#1
         publish q f!9
         depth q         -> 4 ready 2 leased 6 bytes
         lease q 9       -> f#1 d#1 a#1 e#1",
    );
}

#[test]
fn what_comes_back_goes_before_others_of_its_priority_only() {
    check(
        "queue q
         publish q a!3 b!3 c d!7
         lease q 4       -> d#1 a#1 b#1 c#1
         publish q e!3 f g!7
         nack c#1 b#1 a#1
         ready q         -> g a#1 b#1 e c#1 f
         restart         -> 1 released
         ready q         -> d#1 g a#1 b#1 e c#1 f
         lease q 3       -> d#2 g#1 a#2",
    );
}

#[test]
fn a_lane_that_was_empty_begins_anew() {
    check(
        "queue q
         publish q a!9
         lease q         -> a#1
         ack a#1
         publish q b c d!9 e
         lease q         -> d#1
         grant q e       -> none
         grant q b c     -> b#1 c#1
         publish q f!9 g
         ready q         -> f e g
         ack d#1 b#1 c#1",
    );
}

#[test]
fn a_purge_takes_all_lanes_and_keeps_what_is_leased() {
    check(
        "queue q
         publish q a b!1 c!2 d!1
         lease q         -> c#1
         purge q         -> 3 gone
         depth q         -> 0 ready 1 leased 1 bytes
         publish q e!1 f
         ready q         -> e f
         nack c#1
         ready q         -> c#1 e f",
    );
}

/// A receipt that never was is told from one of what is gone only where nothing was leased yet.
#[test]
fn what_was_passed_counts_as_gone() {
    check(
        "queue q
         publish q a b c!9 d
         lease q         -> c#1
         ack c#1
         nack a#1        -> gone
         ack a#1
         nack d#1        -> unknown
         ready q         -> a b d",
    );
}

#[test]
fn urgent_messages_of_an_at_most_once_queue_go_first_and_are_gone() {
    check(
        "queue q at-most-once
         publish q a b!4 c!4
         lease q 2       -> b#1 c#1
         depth q         -> 1 ready 0 leased 1 bytes
         restart         -> 0 released
         lease q         -> a#1",
    );
}

#[test]
fn the_oldest_to_go_is_any_that_is_named() {
    check(
        "queue q max:3 drop-oldest
         publish q a!9 b c!9
         publish q d     -> full
         drop q b        -> 1 gone
         publish q d
         drop q a        -> 1 gone
         ready q         -> c d",
    );
}
