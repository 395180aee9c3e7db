//! Topics: what is published to them lands in every queue that a binding chooses, once.

use super::script::check;
use crate::engine::{Effects, Engine, Outcome, TopicOutcome, Unpublished};
use crate::types::{
    Attributes, BINDINGS_MAX, Binding, Command, Content, Copies, Publication, QueueId, QueueSettings,
    Timestamp, TopicCommand,
};

#[test]
fn a_topic_is_made_once_and_goes_with_its_bindings() {
    check(
        "queue q
         topic t
         topic t           -> exists
         bind t q a
         bind t q a        -> exists
         send t a x        -> x.q
         drop t
         send t a x        -> no-topic
         bind t q a        -> no-topic
         unbind t q a      -> no-topic
         drop t            -> no-topic
         topic t
         send t a y        -> none
         delete q          -> 1 gone",
    );
}

#[test]
fn a_star_is_one_word_and_a_hash_any_number() {
    check(
        "queue one
         queue any
         queue all
         topic t
         bind t one orders.*.created
         bind t any orders.#
         bind t all -
         send t orders.eu.created a -> a.one a.any a.all
         send t orders.created b    -> b.any b.all
         send t orders c            -> c.any c.all
         send t orders.a.b.created d -> d.any d.all
         send t other e             -> e.all
         send t - f                 -> f.all
         ready any                  -> a.any b.any c.any d.any",
    );
}

#[test]
fn a_queue_that_is_bound_twice_gets_a_message_once() {
    check(
        "queue q
         topic t
         bind t q a.*
         bind t q *.b
         bind t q # +k=v
         send t a.b +k=v x -> x.q
         unbind t q a.*
         unbind t q *.b
         send t a.b +k=v y -> y.q
         send t a.b z     -> none
         ready q          -> x.q y.q",
    );
}

#[test]
fn pattern_and_attributes_must_both_match() {
    check(
        "queue q
         topic t
         bind t q a.# +color=red +size=large
         send t a.b +color=red +size=large +n=1 x -> x.q
         send t a.b +color=red y                -> none
         send t a.b +color=red +size=small y     -> none
         send t b +color=red +size=large y       -> none
         unbind t q a.# +color=red              -> no-binding
         unbind t q a.# +size=large +color=red
         unbind t q a.# +size=large +color=red   -> no-binding",
    );
}

#[test]
fn a_topic_serves_its_own_namespace() {
    check(
        "queue q
         queue team/q
         topic team/t
         bind team/t q -      -> no-queue
         bind team/t team/q -
         send team/t a x      -> x.team/q",
    );
}

#[test]
fn a_queue_stays_while_a_binding_names_it() {
    check(
        "queue q
         topic t
         topic u
         bind t q a
         bind u q a
         delete q   -> bound to t
         unbind t q a
         delete q   -> bound to u
         restart    -> 0 released
         delete q   -> bound to u
         drop u
         delete q   -> 0 gone
         bind t q a -> no-queue",
    );
}

#[test]
fn topics_and_bindings_come_back() {
    check(
        "queue q
         queue r
         topic t
         bind t q a
         bind t r b +k=v
         bind t r c
         unbind t q a
         restart       -> 0 released
         send t a x    -> none
         send t b +k=v y z:100 -> y.r z.r
         bind t r c    -> exists
         bind t q a
         send t a x    -> x.q
         topic t       -> exists",
    );
}

/// A queue made after one of the same name was deleted is another queue.
#[test]
fn a_binding_is_of_one_queue_and_not_of_its_name() {
    check(
        "queue q
         topic t
         bind t q a
         unbind t q a
         delete q   -> 0 gone
         queue q
         send t a x -> none",
    );
}

#[test]
fn one_full_queue_refuses_it_for_all() {
    check(
        "queue small max:2
         queue large
         topic t
         bind t small a.#
         bind t large #
         send t a x y     -> x.small y.small x.large y.large
         send t a z       -> full
         ready large      -> x.large y.large
         send t b z       -> z.large
         lease small      -> x.small#1
         send t a v       -> full
         ack x.small#1
         send t a w       -> w.small w.large",
    );
}

/// What a queue remembers is its own, so a duplicate in one is new in another.
#[test]
fn each_queue_remembers_ids_by_itself() {
    check(
        "queue q dedup:10s max:2
         queue r
         topic t
         bind t q #
         bind t r # +k=v
         send t a x=1          -> x.q
         send t a +k=v y=1 z=1 -> y.q=x.q z.q=x.q y.r z.r
         send t a +k=v v=2     -> v.q v.r
         send t a w=2          -> w.q=v.q
         send t a u=3          -> full
         restart               -> 0 released
         send t a s=1          -> s.q=x.q
         depth q               -> 2 ready 0 leased 2 bytes",
    );
}

struct Made {
    engine: Engine,
    effects: Effects,
}

impl Made {
    fn new(queues: &[&str]) -> Self {
        let mut made = Self { engine: Engine::default(), effects: Effects::default() };
        for name in queues {
            made.apply(Command::CreateQueue {
                name: name.parse().unwrap(),
                settings: QueueSettings::default(),
            });
        }
        made.apply(Command::Topic(TopicCommand::Create("t".parse().unwrap())));
        made
    }

    fn apply(&mut self, command: Command) -> Outcome {
        self.engine.apply(Timestamp(1), command, &mut self.effects)
    }
}

/// A queue that is gone when the command comes: nobody gets anything.
#[test]
fn a_publication_lands_everywhere_or_nowhere() {
    let mut made = Made::new(&["q"]);
    let messages = vec![Content("x".into()), Content("y".into())];
    let copies = |queue, from, count| Copies { queue: QueueId(queue), from, count };
    for bad in [copies(9, 0, 1), copies(0, 1, 2), copies(0, 2, 0), copies(0, u32::MAX, u32::MAX)] {
        let publication =
            Publication { messages: messages.clone(), facts: Vec::new(), copies: vec![copies(0, 0, 2), bad] };
        assert_eq!(
            made.apply(Command::PublishAll(publication)),
            Outcome::Unpublished(Unpublished::NoQueue),
            "{bad:?}"
        );
    }
    assert_eq!(made.engine.queue(QueueId(0)).unwrap().depth().ready, 0);
    assert!(made.effects.changes.is_empty());
}

#[test]
fn a_topic_has_so_many_bindings_and_no_more() {
    let mut made = Made::new(&["q"]);
    let bind = |number: usize| {
        let attributes = Attributes::from([("n".to_owned(), number.to_string())]);
        let binding = Binding { queue: QueueId(0), pattern: "#".parse().unwrap(), attributes };
        Command::Topic(TopicCommand::Bind("t".parse().unwrap(), binding))
    };
    for number in 0..BINDINGS_MAX {
        assert_eq!(made.apply(bind(number)), Outcome::Topic(TopicOutcome::Done));
    }
    assert_eq!(made.apply(bind(BINDINGS_MAX)), Outcome::Topic(TopicOutcome::Full));
    assert_eq!(made.apply(bind(7)), Outcome::Topic(TopicOutcome::Already));
    made.engine.verify();
}

/// Messages of one call that go the same way are one run, however many there are.
#[test]
fn messages_that_go_together_are_one_run() {
    let mut made = Made::new(&["q", "r"]);
    let topic = "t".parse().unwrap();
    let bind = |queue, key: &str| {
        let attributes = Attributes::from([("k".to_owned(), key.to_owned())]);
        let binding = Binding { queue: QueueId(queue), pattern: "".parse().unwrap(), attributes };
        Command::Topic(TopicCommand::Bind("t".parse().unwrap(), binding))
    };
    for command in [bind(0, "a"), bind(1, "a"), bind(1, "b")] {
        made.apply(command);
    }
    let messages: Vec<_> =
        ["a", "a", "b", "c", "a"].map(|key| Attributes::from([("k".to_owned(), key.to_owned())])).into();
    let key = "x".parse().unwrap();
    let copies = |queue, from, count| Copies { queue: QueueId(queue), from, count };
    let expected = vec![copies(0, 0, 2), copies(0, 4, 1), copies(1, 0, 3), copies(1, 4, 1)];
    assert_eq!(made.engine.route(&topic, &key, &messages, 7), Ok(expected));
    assert!(made.engine.route(&topic, &key, &messages, 6).is_err());
}
