//! Times to live: of a queue's messages all, and of a message its own.

use super::script::check;

#[test]
fn a_message_whose_time_is_over_goes_and_is_not_delivered() {
    check(
        "queue q ttl:10s
         publish q a b
         wait 4s
         publish q c
         lapse q         -> none
         lease q         -> a#1
         wait 6s
         lease q         -> none
         lapse q         -> b
         depth q         -> 1 ready 1 leased 2 bytes
         lease q         -> c#1
         restart         -> 2 released
         lapse q         -> a
         wait 4s
         lapse q         -> c
         depth q         -> 0 ready 0 leased 0 bytes",
    );
}

/// What a consumer holds is its own until the lease ends.
#[test]
fn a_message_does_not_lapse_while_it_is_leased() {
    check(
        "queue q 30s ttl:5s
         publish q a b
         lease q 2       -> a#1 b#1
         advance 20s
         lapse q         -> none
         ack a#1
         nack b#1
         lease q         -> none
         lapse q         -> b
         ack b#1
         nack b#1        -> gone",
    );
}

#[test]
fn the_shorter_time_counts() {
    check(
        "queue q ttl:10s
         publish q a^3s b^30s c
         wait 3s
         lapse q         -> a
         wait 7s
         lapse q         -> b c",
    );
}

/// A message with less time than those before it leaves when it comes to the front; until then nobody gets it either.
#[test]
fn what_is_over_behind_others_waits_for_its_turn_to_go() {
    check(
        "queue q
         publish q a b^1s c
         wait 1s
         lapse q         -> none
         lease q 3       -> a#1
         lapse q         -> b
         lease q 3       -> c#1
         depth q         -> 0 ready 2 leased 2 bytes",
    );
}

#[test]
fn each_priority_has_a_front_and_so_has_what_came_back() {
    check(
        "queue q
         publish q a!5^1s b!5 c^2s d
         lease q 2       -> a#1 b#1
         nack a#1 b#1
         publish q e!5^2s
         wait 1s
         lapse q         -> a
         wait 1s
         lapse q         -> e c
         ready q         -> b#1 d",
    );
}

#[test]
fn what_lapses_is_dead_lettered_and_arrives_with_new_time() {
    check(
        "queue d ttl:8s
         queue q ttl:5s dead:d
         publish q a!3 b^2s
         lease q         -> a#1
         wait 2s
         nack a#1
         lapse q         -> b
         why b           -> time_to_live
         ack b#1         -> ok
         bury q          -> b'
         wait 3s
         lapse q         -> a
         restart         -> 0 released
         why a           -> time_to_live
         bury q          -> a'
         lapse d         -> none
         wait 5s
         lapse d         -> b'
         wait 3s
         lapse d         -> a'",
    );
}

/// The order stays: the next one follows.
#[test]
fn in_a_fifo_queue_what_lapses_makes_way() {
    check(
        "queue q fifo
         publish q a b^1s c
         lease q         -> a#1
         wait 1s
         lease q         -> none
         lapse q         -> b
         lease q by t    -> none
         lease q         -> c#1
         nack a#1
         ready q         -> a#1 c#2
         publish q d^1s
         wait 1s
         lease q 3       -> a#2 c#3
         lapse q         -> d",
    );
}

#[test]
fn time_counts_while_a_message_is_delayed_and_a_queue_is_paused() {
    check(
        "queue q ttl:5s paused
         publish q a b~4s
         wait 4s
         expire 1        -> 1 expired
         ready q         -> b#0 a
         lapse q         -> none
         wait 1s
         lapse q         -> b a
         publish q c~1s
         update q ttl:1s
         advance 1s
         lapse q         -> c",
    );
}

#[test]
fn a_queue_gets_another_time_to_live_while_it_is_in_use() {
    check(
        "queue q
         publish q a
         wait 60s
         lapse q         -> none
         update q ttl:61s
         lapse q         -> none
         update q ttl:60s
         lapse q         -> a
         publish q b
         update q ttl:0s
         wait 60s
         lease q         -> b#1",
    );
}

#[test]
fn an_at_most_once_message_lapses_too() {
    check(
        "queue d
         queue q at-most-once dead:d ttl:1s
         publish q a b~500ms
         advance 1s
         lease q 2       -> none
         lapse q         -> b a
         restart         -> 0 released
         bury q          -> a' b'
         publish q c
         lease q         -> c#1",
    );
}

/// Lapsed messages make room, and what is remembered of them stays.
#[test]
fn what_lapses_makes_room_and_its_id_stays() {
    check(
        "queue q max:1 dedup:10s ttl:1s
         publish q a=x
         publish q b     -> full
         wait 1s
         lapse q         -> a
         publish q b=x   -> b=a
         publish q c",
    );
}

#[test]
fn a_duplicate_gives_no_time_to_live() {
    check(
        "queue q dedup:10s
         publish q a=x b
         publish q c^1s=x  -> c=a
         wait 1s
         lapse q           -> none
         ready q           -> a b",
    );
}
