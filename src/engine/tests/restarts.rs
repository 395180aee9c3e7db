//! A restart: the engine comes back from what was kept, and a new epoch begins.

use super::script::check;

#[test]
fn a_restart_ends_the_leases_of_streams_at_once() {
    check(
        "queue q
         publish q a b c
         lease q 2 by s -> a#1 b#1
         ack b#1
         restart        -> 1 released
         deadline       -> none
         ready q        -> a#1 c
         lease q 2      -> a#2 c#1
         ack a#1        -> superseded
         ack a#2",
    );
}

#[test]
fn a_receive_lease_outlives_a_restart_with_its_deadline() {
    check(
        "queue q
         publish q a
         receive q 30s  -> a#1
         advance 18s
         restart        -> 0 released
         deadline       -> 12s
         lease q        -> none
         advance 12s
         lease q        -> a#2",
    );
}

#[test]
fn a_receipt_of_an_earlier_epoch_settles_what_it_still_holds() {
    check(
        "queue q
         publish q a b c
         receive q 3    -> a#1 b#1 c#1
         restart        -> 0 released
         ack a#1
         extend 9s b#1
         deadline       -> 9s
         nack c#1
         ready q        -> c#1
         ack b#1@2      -> unknown",
    );
}

#[test]
fn a_late_ack_counts_across_a_restart() {
    check(
        "queue q
         publish q a
         lease q   -> a#1
         restart   -> 1 released
         nack a#1  -> expired
         ack a#1
         depth q   -> 0 ready 0 leased 0 bytes",
    );
}

#[test]
fn downtime_counts_for_the_deadline_of_a_receive() {
    check(
        "queue q
         publish q a b
         receive q 30s  -> a#1
         receive q 60s  -> b#1
         wait 40s
         restart        -> 0 released
         expire 9       -> 1 expired
         ready q        -> a#1
         deadline       -> 20s",
    );
}

#[test]
fn attempts_go_on_after_restarts() {
    check(
        "queue q
         publish q a
         lease q   -> a#1
         restart   -> 1 released
         lease q   -> a#2
         restart   -> 1 released
         restart   -> 0 released
         lease q   -> a#3
         ack a#1   -> superseded
         ack a#3@3 -> unknown
         ack a#3@4",
    );
}

/// Holders are numbered anew in each epoch: the first stream after a restart must not end an earlier Receive's lease.
#[test]
fn a_stream_that_ends_leaves_the_receive_of_an_earlier_epoch_alone() {
    check(
        "queue q
         publish q a b
         receive q by r  -> a#1
         restart         -> 0 released
         lease q by s    -> b#1
         release q s     -> 1 released
         deadline        -> 30s
         ready q         -> b#1
         ack a#1
         freed           -> none",
    );
}

/// Credit that an earlier epoch gave is not this epoch's to give back.
#[test]
fn a_lease_of_an_earlier_epoch_frees_no_credit_of_a_new_stream() {
    check(
        "queue q
         publish q a b c
         receive q by r  -> a#1
         restart         -> 0 released
         join q s 1 messages
         dispatch q      -> s:b#1
         ack a#1
         dispatch q      -> none
         ack b#1
         dispatch q      -> s:c#1",
    );
}

#[test]
fn a_restart_with_nothing_in_flight_changes_nothing() {
    check(
        "restart   -> 0 released
         queue q
         restart   -> 0 released
         publish q a b
         restart   -> 0 released
         ready q   -> a b
         lease q   -> a#1",
    );
}
