//! Credit: who gets the next message, and how much one consumer holds.

use super::script::check;

#[test]
fn messages_go_round_robin() {
    check(
        "queue q
         join q s
         join q t
         join q u
         publish q a b c d
         dispatch q  -> s:a#1 t:b#1 u:c#1 s:d#1
         publish q e
         dispatch q  -> t:e#1
         dispatch q  -> none",
    );
}

#[test]
fn nobody_holds_more_messages_than_asked_for() {
    check(
        "queue q
         join q s 2 messages
         publish q a b c d e
         dispatch q     -> s:a#1 s:b#1
         dispatch q     -> none
         ack b#1
         dispatch q     -> s:c#1
         nack a#1
         dispatch q     -> s:a#2
         extend 9s a#2
         dispatch q     -> none
         advance 9s
         dispatch q     -> s:a#3",
    );
}

#[test]
fn nobody_holds_more_bytes_than_asked_for() {
    check(
        "queue q
         join q s 10 bytes
         publish q a:6 b:4 c:1
         dispatch q -> s:a#1 s:b#1
         ack b#1
         dispatch q -> s:c#1",
    );
}

#[test]
fn one_message_always_fits() {
    check(
        "queue q
         join q s 10 bytes
         publish q a:50 b:50
         dispatch q -> s:a#1
         ack a#1
         dispatch q -> s:b#1",
    );
}

#[test]
fn a_slow_consumer_blocks_nobody() {
    check(
        "queue q
         join q slow 1 messages
         join q fast 3 messages
         publish q a b c d e
         dispatch q -> slow:a#1 fast:b#1 fast:c#1 fast:d#1
         ack b#1
         dispatch q -> fast:e#1",
    );
}

#[test]
fn what_a_dead_consumer_held_goes_to_the_others_first() {
    check(
        "queue q
         join q s
         join q t
         publish q a b c d
         dispatch q  -> s:a#1 t:b#1 s:c#1 t:d#1
         publish q e
         release q s -> 2 released
         dispatch q  -> t:a#2 t:c#2 t:e#1",
    );
}

#[test]
fn a_late_ack_frees_credit_once() {
    check(
        "queue q
         join q s 1 messages
         publish q a b
         dispatch q  -> s:a#1
         advance 30s
         freed       -> s:1
         ack a#1
         freed       -> none
         dispatch q  -> s:b#1
         dispatch q  -> none",
    );
}

#[test]
fn at_most_once_credit_returns_when_the_bytes_were_taken() {
    check(
        "queue q at-most-once
         join q s 2 messages
         publish q a b c d
         dispatch q -> s:a#1 s:b#1
         freed      -> none
         dispatch q -> none
         took q s a
         dispatch q -> s:c#1
         dispatch q -> none",
    );
}

#[test]
fn what_a_deleted_queue_held_is_nobodys_credit() {
    check(
        "queue q
         join q s 1 messages
         publish q a b
         dispatch q -> s:a#1
         delete q   -> 2 gone
         freed      -> none
         dispatch q -> none",
    );
}

mod of_scripts {
    use super::super::script::check;

    #[test]
    #[should_panic(expected = "`lease q -> b#1` gave a#1")]
    fn a_script_that_is_wrong_fails() {
        check(
            "queue q
             publish q a
             lease q -> b#1",
        );
    }

    #[test]
    #[should_panic(expected = "`ack a#1` gave superseded")]
    fn a_failure_must_be_mentioned() {
        check(
            "queue q
             publish q a
             lease q -> a#1
             nack a#1
             lease q -> a#2
             ack a#1",
        );
    }
}
