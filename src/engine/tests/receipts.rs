//! Receipts are fencing tokens: which of them settles, and what the others are told.

use super::script::check;

#[test]
fn a_late_ack_counts_as_long_as_nobody_else_got_the_message() {
    check(
        "queue q
         publish q a b
         lease q 2 1s  -> a#1 b#1
         advance 5s
         ready q       -> a#1 b#1
         ack a#1
         ready q       -> b#1
         lease q       -> b#2
         ack b#1       -> superseded
         depth q       -> 0 ready 1 leased 1 bytes",
    );
}

#[test]
fn an_ack_counts_after_a_nack_or_a_release_too() {
    check(
        "queue q
         publish q a b
         lease q 2     -> a#1 b#1
         nack a#1
         ack a#1
         release q s   -> 1 released
         ack b#1
         depth q       -> 0 ready 0 leased 0 bytes",
    );
}

#[test]
fn a_late_nack_or_extension_is_told_expired() {
    check(
        "queue q
         publish q a
         lease q 1s    -> a#1
         advance 1s
         nack a#1      -> expired
         extend 9s a#1 -> expired
         deadline      -> none
         ready q       -> a#1",
    );
}

/// What a consumer is told depends on the time alone, not on whether the expiry came into an earlier entry.
#[test]
fn a_lease_is_over_at_its_deadline_even_before_it_was_ended() {
    check(
        "queue q
         publish q a b
         lease q 2 1s  -> a#1 b#1
         wait 1s
         nack a#1      -> expired
         extend 9s a#1 -> expired
         ack a#1
         expire 9      -> 1 expired
         ready q       -> b#1",
    );
}

#[test]
fn one_millisecond_before_the_deadline_the_lease_stands() {
    check(
        "queue q
         publish q a b
         lease q 2 1s  -> a#1 b#1
         wait 999ms
         nack a#1
         extend 1s b#1
         deadline      -> 1s",
    );
}

#[test]
fn an_old_receipt_is_superseded_whatever_is_asked() {
    check(
        "queue q
         publish q a
         lease q       -> a#1
         nack a#1
         lease q       -> a#2
         ack a#1       -> superseded
         nack a#1      -> superseded
         extend 9s a#1 -> superseded
         nack a#2
         ack a#1       -> superseded
         ack a#2",
    );
}

#[test]
fn what_is_gone_acks_again_and_does_nothing_else() {
    check(
        "queue q
         publish q a
         lease q       -> a#1
         ack a#1
         ack a#1
         nack a#1      -> gone
         extend 9s a#1 -> gone
         freed         -> none
         depth q       -> 0 ready 0 leased 0 bytes",
    );
}

#[test]
fn one_command_may_name_a_message_twice() {
    check(
        "queue q
         publish q a b
         lease q 2     -> a#1 b#1
         ack a#1 a#1
         freed         -> s:1
         nack b#1 b#1  -> ok expired
         freed         -> s:1
         ready q       -> b#1",
    );
}

#[test]
fn each_receipt_of_a_command_stands_by_itself() {
    check(
        "queue q
         publish q a b c d
         lease q 3     -> a#1 b#1 c#1
         ack a#1
         nack b#1
         lease q       -> b#2
         nack a#1 b#1 c#1 d#1 b#2 -> gone superseded ok unknown ok
         ready q       -> b#2 c#1 d",
    );
}

#[test]
fn a_receipt_that_was_never_given_is_unknown() {
    check(
        "queue q
         publish q a b
         ack a#1             -> unknown
         lease q             -> a#1
         ack a#2             -> unknown
         nack a#2            -> unknown
         extend 9s a#2       -> unknown
         ack a#1@0           -> unknown
         ack a#1@2           -> unknown
         ack a#0             -> unknown
         ack b#1             -> unknown
         ack q/3#1           -> unknown
         ack q/0#1           -> unknown
         ack q/0#0           -> unknown
         nack a#1
         nack a#2            -> unknown
         depth q             -> 2 ready 0 leased 2 bytes",
    );
}

#[test]
fn a_receipt_from_an_epoch_to_come_is_unknown_even_if_the_message_is_gone() {
    check(
        "queue q
         publish q a b
         lease q    -> a#1
         ack a#1
         ack a#1@2  -> unknown
         ack a#0    -> unknown
         lease q    -> b#1
         nack b#1
         lease q    -> b#2
         ack b#1@2  -> unknown
         ack b#1@1  -> superseded",
    );
}

#[test]
fn a_receipt_of_a_queue_that_is_not_there_settles_nothing() {
    check(
        "queue q
         publish q a
         lease q       -> a#1
         delete q      -> 1 gone
         ack a#1       -> no-queue
         nack a#1      -> no-queue
         extend 9s a#1 -> no-queue",
    );
}
