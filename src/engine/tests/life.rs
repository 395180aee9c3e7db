//! The life of a message: every arrow of the picture in the design.

use super::script::check;

#[test]
fn a_message_is_published_leased_and_acked() {
    check(
        "queue q
         depth q       -> 0 ready 0 leased 0 bytes
         lease q       -> none
         publish q a:10
         depth q       -> 1 ready 0 leased 10 bytes
         lease q       -> a#1
         depth q       -> 0 ready 1 leased 10 bytes
         lease q       -> none
         ack a#1
         depth q       -> 0 ready 0 leased 0 bytes
         deadline      -> none
         advance 100s
         lease q       -> none",
    );
}

#[test]
fn messages_come_in_the_order_of_publishing() {
    check(
        "queue q
         publish q a b
         publish q c
         ready q       -> a b c
         lease q 2     -> a#1 b#1
         lease q 9     -> c#1",
    );
}

/// A dead consumer holds its message only until the deadline.
#[test]
fn an_expired_lease_is_redelivered() {
    check(
        "queue q
         publish q a
         lease q 30s   -> a#1
         deadline      -> 30s
         advance 29s
         lease q       -> none
         advance 999ms
         lease q       -> none
         advance 1ms
         deadline      -> none
         lease q       -> a#2
         ack a#1       -> superseded
         ack a#2",
    );
}

#[test]
fn a_lease_lasts_as_the_queue_says_unless_the_consumer_says_otherwise() {
    check(
        "queue q 5s
         publish q a b
         lease q       -> a#1
         deadline      -> 5s
         lease q 2s    -> b#1
         deadline      -> 2s
         advance 2s
         deadline      -> 3s
         ready q       -> b#1",
    );
}

#[test]
fn a_nacked_message_is_ready_at_once_in_its_old_place() {
    check(
        "queue q
         publish q a b c
         lease q       -> a#1
         nack a#1
         deadline      -> none
         depth q       -> 3 ready 0 leased 3 bytes
         ready q       -> a#1 b c
         lease q 2     -> a#2 b#1
         nack b#1
         nack a#2
         lease q 3     -> a#3 b#2 c#1",
    );
}

#[test]
fn a_stream_that_ends_gives_back_all_that_it_holds_in_the_old_order() {
    check(
        "queue q
         publish q a b c d e f
         lease q by s     -> a#1
         lease q by t     -> b#1
         lease q 3 by s   -> c#1 d#1 e#1
         ack d#1
         release q s      -> 3 released
         ready q          -> a#1 c#1 e#1 f
         lease q 9 by u   -> a#2 c#2 e#2 f#1
         depth q          -> 0 ready 5 leased 5 bytes
         release q s      -> 0 released
         ack b#1",
    );
}

#[test]
fn a_release_takes_from_that_queue_and_that_holder_only() {
    check(
        "queue q
         queue p
         publish q a
         publish p b
         lease q by s   -> a#1
         lease p by s   -> b#1
         release q s    -> 1 released
         ready q        -> a#1
         ready p        -> none
         release p t    -> 0 released
         release p s    -> 1 released",
    );
}

#[test]
fn a_receive_that_never_arrived_gives_its_grant_back() {
    check(
        "queue q
         publish q a
         receive q by r         -> a#1
         release q r uncounted  -> 1 released
         receive q              -> a#2",
    );
}

#[test]
fn leases_end_earliest_first_and_no_more_than_asked() {
    check(
        "queue q
         publish q a b c d
         lease q 3s  -> a#1
         lease q 1s  -> b#1
         lease q 2s  -> c#1
         lease q 9s  -> d#1
         wait 5s
         expire 2    -> 2 expired
         ready q     -> b#1 c#1
         expire 0    -> 0 expired
         expire 9    -> 1 expired
         expire 9    -> 0 expired
         ready q     -> a#1 b#1 c#1
         deadline    -> 4s",
    );
}

#[test]
fn an_extension_moves_the_deadline_both_ways() {
    check(
        "queue q
         publish q a b
         lease q 30s       -> a#1
         advance 10s
         extend 30s a#1
         deadline          -> 30s
         advance 29s
         ready q           -> b
         extend 2s a#1
         deadline          -> 2s
         advance 2s
         ready q           -> a#1 b
         lease q 2         -> a#2 b#1
         extend 10s a#2 b#1
         deadline          -> 10s",
    );
}

#[test]
fn attempts_rise_by_one_however_they_end() {
    check(
        "queue q
         publish q a
         lease q 1s            -> a#1
         advance 1s
         lease q               -> a#2
         nack a#2
         lease q               -> a#3
         release q s           -> 1 released
         lease q               -> a#4
         release q s uncounted -> 1 released
         receive q             -> a#5",
    );
}

/// What the server itself ended is not held against a message.
#[test]
fn only_what_the_server_ended_is_uncounted() {
    check(
        "queue q
         publish q a
         uncounted a           -> none
         lease q 1s            -> a#1
         advance 1s
         lease q               -> a#2
         nack a#2
         lease q               -> a#3
         release q s           -> 1 released
         uncounted a           -> 0
         lease q               -> a#4
         release q s uncounted -> 1 released
         uncounted a           -> 1
         lease q               -> a#5
         uncounted a           -> 1
         restart               -> 1 released
         uncounted a           -> 2
         receive q             -> a#6
         restart               -> 0 released
         uncounted a           -> 2",
    );
}

#[test]
fn at_most_once_is_gone_when_it_is_leased() {
    check(
        "queue q at-most-once
         publish q a:3 b:4
         lease q        -> a#1
         depth q        -> 1 ready 0 leased 4 bytes
         deadline       -> none
         ack a#1
         nack a#1       -> gone
         release q s    -> 0 released
         restart        -> 0 released
         lease q 9      -> b#1
         lease q        -> none
         depth q        -> 0 ready 0 leased 0 bytes",
    );
}

/// Grants are proposals: what no longer holds is skipped, and the rest goes on.
#[test]
fn a_grant_skips_what_is_not_to_be_had() {
    check(
        "queue q
         publish q a b c d
         grant q b          -> none
         grant q a a        -> a#1
         grant q a b        -> b#1
         grant q d c q/0 q/9 -> c#1
         nack a#1
         grant q a d a      -> a#2 d#1
         ack a#2
         grant q a          -> none
         depth q            -> 0 ready 3 leased 3 bytes",
    );
}

#[test]
fn an_at_most_once_grant_names_a_message_twice_and_gives_it_once() {
    check(
        "queue q at-most-once
         publish q a b
         grant q a a b a -> a#1 b#1",
    );
}
