//! Settings that change while a queue is in use, and a pause.

use super::script::check;

#[test]
fn a_paused_queue_takes_messages_and_gives_none() {
    check(
        "queue q
         publish q a b
         lease q       -> a#1
         update q paused
         lease q       -> none
         grant q b     -> none
         publish q c
         nack a#1
         extend 5s a#1 -> expired
         depth q       -> 3 ready 0 leased 3 bytes
         update q resumed
         lease q 3     -> a#2 b#1 c#1
         update q paused
         ack a#2 b#1
         advance 30s
         ready q       -> c#1",
    );
}

#[test]
fn promises_about_messages_change_only_while_there_are_none() {
    check(
        "queue q
         publish q a
         update q fifo          -> not-empty
         update q at-most-once  -> not-empty
         update q tries:3 buffered 5s
         lease q                -> a#1
         deadline               -> 5s
         update q fifo          -> not-empty
         ack a#1
         update q fifo at-most-once
         queue q fifo at-most-once tries:3 buffered 5s  -> exists
         queue q                -> conflict",
    );
}

#[test]
fn other_settings_count_from_the_next_time_on() {
    check(
        "queue q tries:2
         publish q a
         lease q         -> a#1
         nack a#1
         lease q         -> a#2
         update q tries:3
         nack a#2
         lease q         -> a#3
         update q tries:1 backoff:1s:1000:1s
         nack a#3
         depth q         -> 0 ready 0 leased 0 bytes
         delete q        -> 0 gone
         update q paused -> no-queue",
    );
}

#[test]
fn a_single_active_consumer_gets_all_until_it_leaves() {
    check(
        "queue q single
         join q s 2 messages
         join q t 9 messages
         join q u 9 messages
         publish q a b c
         dispatch q    -> s:a#1 s:b#1
         dispatch q    -> none
         ack a#1
         dispatch q    -> s:c#1
         publish q d
         release q s   -> 2 released
         dispatch q    -> t:b#2 t:c#2 t:d#1
         release q u   -> 0 released
         release q t   -> 3 released
         dispatch q    -> none",
    );
}
