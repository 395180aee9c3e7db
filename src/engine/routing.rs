//! Routing: which bindings of a topic match a routing key and attributes.
//!
//! Patterns share a trie, a node a word. A key walks it a word at a time, holding the set of nodes that the words so far
//! lead to: a node a word that is there, that stands for one, or that stands for any number and so stays. A binding that
//! wants attributes lies in its node under the first of them. So bindings that do not match cost nothing, but for those that
//! begin as the key does.
//!
//! Always true: no node but the root is without bindings and without nodes below it.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Attributes, PatternWord, RoutingKey, RoutingPattern};

const ROOT: usize = 0;

/// The bindings of one topic, by what they match.
#[derive(Debug)]
pub(super) struct Routing {
    nodes: Vec<Node>,
    /// Places in `nodes` that are free.
    free: Vec<usize>,
}

/// What the words from the root to here lead to.
#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<String, usize>,
    one: Option<usize>,
    any: Option<usize>,
    /// It stands for any number of words, so the next may be one of them.
    stays: bool,
    /// Bindings whose pattern ends here, by their numbers: those that want no attributes,
    plain: BTreeSet<u64>,
    /// and the others, by the first that they want: key, value.
    wanting: BTreeMap<String, BTreeMap<String, BTreeSet<u64>>>,
}

/// The nodes that a whole key leads to.
pub(super) struct Reached<'a> {
    nodes: Vec<&'a Node>,
    #[cfg_attr(not(test), expect(dead_code, reason = "a test counts steps instead of time"))]
    looked_at: usize,
}

impl Default for Routing {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }
}

impl Node {
    fn child(&self, word: PatternWord<'_>) -> Option<usize> {
        match word {
            PatternWord::Literal(word) => self.literals.get(word).copied(),
            PatternWord::One => self.one,
            PatternWord::Any => self.any,
        }
    }

    fn set_child(&mut self, word: PatternWord<'_>, child: Option<usize>) {
        match word {
            PatternWord::Literal(word) => match child {
                Some(child) => _ = self.literals.insert(word.to_owned(), child),
                None => _ = self.literals.remove(word),
            },
            PatternWord::One => self.one = child,
            PatternWord::Any => self.any = child,
        }
    }

    fn is_empty(&self) -> bool {
        let leaf = self.literals.is_empty() && self.one.is_none() && self.any.is_none();
        leaf && self.plain.is_empty() && self.wanting.is_empty()
    }

    fn add(&mut self, attributes: &Attributes, number: u64) {
        match attributes.first_key_value() {
            None => self.plain.insert(number),
            Some((key, value)) => {
                let values = self.wanting.entry(key.clone()).or_default();
                values.entry(value.clone()).or_default().insert(number)
            }
        };
    }

    fn remove(&mut self, attributes: &Attributes, number: u64) {
        let Some((key, value)) = attributes.first_key_value() else {
            self.plain.remove(&number);
            return;
        };
        let Some(values) = self.wanting.get_mut(key) else { return };
        if let Some(numbers) = values.get_mut(value) {
            numbers.remove(&number);
            if numbers.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.wanting.remove(key);
        }
    }

    /// Those that want nothing, or of which the first attribute that they want is there.
    fn candidates(&self, attributes: &Attributes) -> impl Iterator<Item = u64> {
        let wanting = attributes.iter().filter(|_| !self.wanting.is_empty());
        let wanting = wanting.filter_map(|(key, value)| self.wanting.get(key)?.get(value));
        self.plain.iter().chain(wanting.flatten()).copied()
    }
}

impl Routing {
    /// Adds a binding under its number.
    pub(super) fn insert(&mut self, pattern: &RoutingPattern, attributes: &Attributes, number: u64) {
        let mut at = ROOT;
        for word in pattern.words() {
            at = match self.nodes[at].child(word) {
                Some(child) => child,
                None => {
                    let child = self.free.pop().unwrap_or_else(|| {
                        self.nodes.push(Node::default());
                        self.nodes.len() - 1
                    });
                    self.nodes[child].stays = word == PatternWord::Any;
                    self.nodes[at].set_child(word, Some(child));
                    child
                }
            };
        }
        self.nodes[at].add(attributes, number);
    }

    /// Takes a binding out.
    pub(super) fn remove(&mut self, pattern: &RoutingPattern, attributes: &Attributes, number: u64) {
        let mut path = Vec::new();
        let mut at = ROOT;
        for word in pattern.words() {
            let Some(child) = self.nodes[at].child(word) else { return };
            path.push((at, word));
            at = child;
        }
        self.nodes[at].remove(attributes, number);
        while let Some((parent, word)) = path.pop()
            && self.nodes[at].is_empty()
        {
            self.nodes[parent].set_child(word, None);
            self.free.push(at);
            at = parent;
        }
    }

    /// The bindings with just this pattern that may want just these attributes.
    pub(super) fn with_pattern(
        &self,
        pattern: &RoutingPattern,
        attributes: &Attributes,
    ) -> impl Iterator<Item = u64> {
        let end = pattern.words().try_fold(ROOT, |at, word| self.nodes[at].child(word));
        end.into_iter().flat_map(|end| self.nodes[end].candidates(attributes))
    }

    /// Where a key leads to.
    pub(super) fn reach(&self, key: &RoutingKey) -> Reached<'_> {
        let mut looked_at = 0;
        let mut here = BTreeSet::new();
        self.enter(ROOT, &mut here);
        for word in key.words() {
            looked_at += here.len();
            let mut next = BTreeSet::new();
            for &at in &here {
                let Node { literals, one, stays, .. } = &self.nodes[at];
                let children = [literals.get(word).copied(), *one, stays.then_some(at)];
                children.into_iter().flatten().for_each(|child| self.enter(child, &mut next));
            }
            here = next;
        }
        looked_at += here.len();
        Reached { nodes: here.into_iter().map(|at| &self.nodes[at]).collect(), looked_at }
    }

    /// Comes to a node, and to the one below it that stands for any number of words, as that may be none.
    fn enter(&self, at: usize, nodes: &mut BTreeSet<usize>) {
        nodes.insert(at);
        let mut at = at;
        while let Some(any) = self.nodes[at].any {
            nodes.insert(any);
            at = any;
        }
    }

    /// Checks that it holds just these bindings.
    pub(super) fn verify<'a>(
        &self,
        bindings: impl Iterator<Item = (u64, &'a RoutingPattern, &'a Attributes)>,
    ) {
        let mut count = 0;
        for (number, pattern, attributes) in bindings {
            assert!(
                self.with_pattern(pattern, attributes).any(|found| found == number),
                "binding {number} is found by its pattern"
            );
            count += 1;
        }
        let wanting =
            |node: &Node| node.wanting.values().flat_map(BTreeMap::values).map(BTreeSet::len).sum::<usize>();
        let held = |node: &Node| node.plain.len() + wanting(node);
        assert_eq!(
            self.nodes.iter().map(held).sum::<usize>(),
            count,
            "a binding that is held is one of the topic"
        );
        let empty = self.nodes.iter().skip(1).filter(|node| node.is_empty()).count();
        assert_eq!(empty, self.free.len(), "a node leads to a binding, or is free");
    }
}

impl Reached<'_> {
    /// Whether attributes matter here.
    pub(super) fn wants_attributes(&self) -> bool {
        self.nodes.iter().any(|node| !node.wanting.is_empty())
    }

    /// The numbers of the bindings that may match, each once: what else they want is left to the caller.
    pub(super) fn candidates(&self, attributes: &Attributes) -> impl Iterator<Item = u64> {
        self.nodes.iter().flat_map(|node| node.candidates(attributes))
    }

    /// How many nodes were looked at on the way.
    #[cfg(test)]
    pub(super) fn looked_at(&self) -> usize {
        self.looked_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routing(patterns: &[&str]) -> Routing {
        let mut routing = Routing::default();
        for (number, pattern) in (0..).zip(patterns) {
            routing.insert(&pattern.parse().expect(pattern), &Attributes::new(), number);
        }
        routing
    }

    /// Whether a pattern matches a key, from the definition.
    fn matches(pattern: &[PatternWord<'_>], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], key) => key.is_empty(),
            ([PatternWord::Any, rest @ ..], key) => (0..=key.len()).any(|at| matches(rest, &key[at..])),
            ([PatternWord::One, rest @ ..], [_, key @ ..]) => matches(rest, key),
            ([PatternWord::Literal(word), rest @ ..], [first, key @ ..]) => {
                word == first && matches(rest, key)
            }
            ([_, ..], []) => false,
        }
    }

    /// All patterns of up to four words, each against all keys of up to five.
    #[test]
    fn every_pattern_matches_what_its_definition_says() {
        let texts = |words: &[&str], most: usize| {
            let mut texts = vec![String::new()];
            let mut last = vec![String::new()];
            for _ in 0..most {
                let join = |text: &String, word: &&str| match text.as_str() {
                    "" => (*word).to_owned(),
                    text => format!("{text}.{word}"),
                };
                last = last.iter().flat_map(|text| words.iter().map(move |word| join(text, word))).collect();
                texts.extend(last.iter().cloned());
            }
            texts
        };
        let patterns = texts(&["a", "b", "*", "#"], 4);
        let mut routing = routing(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
        for key in texts(&["a", "b"], 5) {
            let parsed: RoutingKey = key.parse().expect("a key");
            let found: Vec<_> = routing.reach(&parsed).candidates(&Attributes::new()).collect();
            let found_once: BTreeSet<_> = found.iter().copied().collect();
            assert_eq!(found.len(), found_once.len(), "{key} finds a binding twice");
            let words: Vec<_> = parsed.words().collect();
            let expected = (0..).zip(&patterns).filter(|(_, pattern)| {
                let pattern: RoutingPattern = pattern.parse().expect("a pattern");
                matches(&pattern.words().collect::<Vec<_>>(), &words)
            });
            assert_eq!(found_once, expected.map(|(number, _)| number).collect(), "{key}");
        }
        for (number, pattern) in (0..).zip(&patterns) {
            routing.remove(&pattern.parse().expect("a pattern"), &Attributes::new(), number);
        }
        routing.verify(std::iter::empty());
        assert_eq!(routing.free.len() + 1, routing.nodes.len(), "nothing is left behind");
    }

    /// Ten thousand bindings that do not match are not looked at.
    #[test]
    fn what_does_not_match_costs_nothing() {
        let mut routing = Routing::default();
        for number in 0..10_000 {
            let pattern = format!("orders.shop{number}.*").parse().expect("a pattern");
            routing.insert(&pattern, &Attributes::new(), number);
            let wanted = [("shop".to_owned(), number.to_string())].into();
            routing.insert(&"".parse().expect("a pattern"), &wanted, 10_000 + number);
        }
        let key = "orders.shop77.created".parse().expect("a key");
        let reached = routing.reach(&key);
        assert!(reached.looked_at() < 20, "{} nodes were looked at", reached.looked_at());
        let attributes = [("shop".to_owned(), "5".to_owned()), ("x".to_owned(), "y".to_owned())].into();
        assert_eq!(reached.candidates(&attributes).collect::<BTreeSet<_>>(), [77, 10_005].into());
    }

    /// Many wildcards and a long key: work grows with their product, not as a power.
    #[test]
    fn no_pattern_makes_matching_explode() {
        let hostile = routing(&[&["#.a"; 60].join("."), &["#.*"; 60].join(".")]);
        let key = ["a"; 128].join(".").parse().expect("a key");
        let steps = hostile.reach(&key).looked_at();
        assert!(steps < 128 * 260, "{steps} nodes were looked at");
    }
}
