//! What a queue may hold, and what it remembers.

use super::script::check;

#[test]
fn a_full_queue_refuses_all_of_a_publish() {
    check(
        "queue q max:3
         publish q a b
         publish q c d       -> full
         depth q             -> 2 ready 0 leased 2 bytes
         publish q e
         publish q f         -> full
         lease q             -> a#1
         publish q f         -> full
         ack a#1
         publish q f
         ready q             -> b e f",
    );
}

#[test]
fn a_queue_is_full_by_bytes_too() {
    check(
        "queue q bytes:10
         publish q a:4 b:6
         publish q c:1       -> full
         drop q a            -> 1 gone
         publish q c:5       -> full
         publish q c:4
         depth q             -> 2 ready 0 leased 10 bytes",
    );
}

#[test]
fn what_is_dropped_is_ready_and_never_leased() {
    check(
        "queue q max:4 drop-oldest
         publish q a b c d
         lease q 2           -> a#1 b#1
         nack b#1
         drop q a            -> 0 gone
         drop q d            -> 0 gone
         drop q b c          -> 2 gone
         ready q             -> d
         publish q e f
         depth q             -> 3 ready 1 leased 4 bytes
         restart             -> 1 released
         ready q             -> a#1 d e f",
    );
}

#[test]
fn the_same_id_is_stored_once_within_the_window() {
    check(
        "queue q dedup:10s
         publish q a=x b=y
         advance 4s
         publish q c=x d     -> c=a
         publish q e=z f=z   -> f=e
         lease q             -> a#1
         ack a#1
         publish q g=x       -> g=a
         restart             -> 0 released
         publish q h=y       -> h=b
         advance 6s
         publish q i=x j=z   -> j=e
         publish q k=x       -> k=i
         forget 9
         publish q l=z       -> l=e
         ready q             -> b d e i",
    );
}

/// A retry of what was stored must not fail because the queue has become full.
#[test]
fn a_duplicate_needs_no_room() {
    check(
        "queue q max:2 dedup:10s
         publish q a=x b
         publish q c=x       -> c=a
         publish q d=y       -> full
         publish q e=x f=y   -> full
         ack a#1             -> unknown
         drop q 1            -> 1 gone
         publish q g=x h=y   -> g=a",
    );
}

#[test]
fn a_queue_without_a_window_remembers_nothing() {
    check(
        "queue q
         publish q a=x b=x
         depth q             -> 2 ready 0 leased 2 bytes
         delete q            -> 2 gone
         queue q dedup:10s
         publish q c=x
         delete q            -> 1 gone
         queue q dedup:10s
         publish q d=x
         purge q             -> 1 gone
         publish q e=x       -> e=d",
    );
}
