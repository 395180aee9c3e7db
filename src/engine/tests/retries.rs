//! Retries: delays, backoff, and what happens when the attempts are used up.

use super::script::check;

#[test]
fn a_nacked_message_waits_as_long_as_its_consumer_says() {
    check(
        "queue q
         publish q a b
         lease q 2           -> a#1 b#1
         nack after 5s a#1
         depth q             -> 0 ready 1 leased 2 bytes 1 delayed
         deadline            -> 5s
         lease q             -> none
         advance 4999ms
         lease q             -> none
         advance 1ms
         depth q             -> 1 ready 1 leased 2 bytes
         lease q             -> a#2
         nack after 0s a#2
         lease q             -> a#3",
    );
}

#[test]
fn backoff_grows_with_the_attempts_that_count() {
    check(
        "queue q backoff:1s:2000:3s
         publish q a
         lease q                -> a#1
         nack a#1
         deadline               -> 1s
         advance 1s
         lease q                -> a#2
         release q s uncounted  -> 1 released
         lease q                -> a#3
         nack a#3
         deadline               -> 2s
         advance 2s
         lease q 1s             -> a#4
         wait 1s
         expire 1               -> 1 expired
         deadline               -> 3s
         wait 3s
         expire 1               -> 1 expired
         ready q                -> a#4",
    );
}

/// Somebody else may be waiting for what a stream gave back.
#[test]
fn a_stream_that_ends_gives_back_without_a_delay() {
    check(
        "queue q backoff:10s:1000:10s
         publish q a
         lease q by s  -> a#1
         release q s   -> 1 released
         lease q by t  -> a#2",
    );
}

#[test]
fn an_ack_counts_while_the_message_waits() {
    check(
        "queue q
         publish q a b
         lease q 2             -> a#1 b#1
         nack after 5s a#1 b#1
         nack a#1              -> expired
         extend 5s a#1         -> expired
         ack a#1
         deadline              -> 5s
         purge q               -> 1 gone
         deadline              -> none",
    );
}

#[test]
fn delays_go_on_over_a_restart() {
    check(
        "queue q
         publish q a
         lease q            -> a#1
         nack after 5s a#1
         wait 2s
         restart            -> 0 released
         deadline           -> 3s
         advance 3s
         lease q            -> a#2",
    );
}

#[test]
fn a_message_whose_attempts_are_used_up_is_dropped() {
    check(
        "queue q tries:2
         publish q a b c
         lease q 3              -> a#1 b#1 c#1
         nack a#1 b#1 c#1
         lease q 3              -> a#2 b#2 c#2
         nack a#2
         release q s            -> 2 released
         depth q                -> 0 ready 0 leased 0 bytes
         ack a#2                -> ok
         nack b#2               -> gone",
    );
}

#[test]
fn attempts_that_the_server_ended_use_nothing_up() {
    check(
        "queue q tries:1
         publish q a
         lease q                -> a#1
         release q s uncounted  -> 1 released
         lease q                -> a#2
         restart                -> 1 released
         lease q                -> a#3
         wait 30s
         expire 1               -> 1 expired
         depth q                -> 0 ready 0 leased 0 bytes",
    );
}

#[test]
fn what_is_given_up_goes_to_the_dead_letter_queue() {
    check(
        "queue dead
         queue q tries:1 dead:dead
         publish q a b c
         lease q 3           -> a#1 b#1 c#1
         nack a#1
         nack dead b#1
         depth q             -> 0 ready 1 leased 3 bytes 2 dead
         why a               -> max_attempts
         why b               -> nack
         why c               -> none
         lease q             -> none
         ack a#1             -> ok
         nack a#1            -> gone
         restart             -> 1 released
         depth q             -> 1 ready 0 leased 3 bytes 2 dead
         bury q              -> a' b'
         bury q              -> none
         depth q             -> 1 ready 0 leased 1 bytes
         lease dead 2        -> a'#1 b'#1
         nack a#1            -> gone
         nack dead a'#1
         depth dead          -> 0 ready 1 leased 1 bytes",
    );
}

/// Nothing is lost while its dead-letter queue is not there.
#[test]
fn the_dead_wait_for_their_queue() {
    check(
        "queue q dead:dead
         publish q a
         lease q      -> a#1
         nack dead a#1
         bury q       -> no-target
         advance 100s
         depth q      -> 0 ready 0 leased 1 bytes 1 dead
         queue dead
         bury q       -> a'
         delete dead  -> named
         update q dead:
         delete dead  -> 1 gone",
    );
}

#[test]
fn dead_letter_queues_form_no_circle() {
    check(
        "queue a dead:a        -> cycle
         queue a dead:b
         queue b dead:c
         queue c dead:a        -> cycle
         queue c
         update c dead:b       -> cycle
         update c dead:c       -> cycle
         delete a              -> 0 gone
         update c dead:a
         queue a dead:b        -> cycle",
    );
}

#[test]
fn dead_letters_go_back_to_where_they_came_from() {
    check(
        "queue dead
         queue p dead:dead
         queue q dead:dead
         publish p a
         publish q b c
         publish dead own
         lease p          -> a#1
         lease q 2        -> b#1 c#1
         nack dead a#1
         nack dead b#1 c#1
         bury p           -> a'
         bury q           -> b' c'
         lease dead by s  -> own#1
         redrive dead 1 of q  -> b''
         release dead s   -> 1 released
         ready dead       -> own#1 a'#0 c'
         ready q          -> b''
         redrive dead 9   -> a'' c''
         ready dead       -> own#1
         ready p          -> a''
         ready q          -> b'' c''
         lease dead       -> own#2",
    );
}
