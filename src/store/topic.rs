//! Rows of the trees `topics` and `bindings`.
//!
//! | tree       | key                                       | value                                                     |
//! |------------|-------------------------------------------|-----------------------------------------------------------|
//! | `topics`   | its name                                  | version: u8 = 1, created at: u64                          |
//! | `bindings` | topic's name, 0: u8, number: u64          | version: u8 = 1, then a binding as it stands in an entry  |
//!
//! A binding in an entry is: queue as varint, pattern as text, how many attributes as varint, then key and value of each as
//! texts, in the order of the keys. No name holds a 0, so a topic's bindings lie together, in the order of their numbers.

use crate::types::{
    Attributes, Binding, BindingKey, QueueId, RoutingPattern, Timestamp, TopicCommand, TopicName,
};

use super::codec::{Input, Malformed, length, put_bytes, put_varint};

const VERSION: u8 = 1;

pub(super) fn topic_key(name: &TopicName) -> Vec<u8> {
    name.as_str().as_bytes().to_vec()
}

pub(super) fn encode_topic(created_at: Timestamp) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&created_at.0.to_be_bytes());
    out
}

pub(super) fn decode_topic(key: &[u8], value: &[u8]) -> Result<(TopicName, Timestamp), Malformed> {
    let mut input = Input::new(value);
    input.version(VERSION)?;
    let created_at = Timestamp(input.u64()?);
    input.finish()?;
    Ok((name(key)?, created_at))
}

pub(super) fn binding_key((topic, number): &BindingKey) -> Vec<u8> {
    let mut key = topic_key(topic);
    key.push(0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn encode_binding(binding: &Binding) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_binding(&mut out, binding);
    out
}

pub(super) fn decode_binding(key: &[u8], value: &[u8]) -> Result<(BindingKey, Binding), Malformed> {
    let end = key.iter().position(|&byte| byte == 0).ok_or(Malformed("a binding's key is none"))?;
    let mut number = Input::new(&key[end + 1..]);
    let key = (name(&key[..end])?, number.u64()?);
    number.finish()?;
    let mut input = Input::new(value);
    input.version(VERSION)?;
    let binding = binding(&mut input)?;
    input.finish()?;
    Ok((key, binding))
}

/// Appends a binding as it stands in an entry.
pub(super) fn put_binding(out: &mut Vec<u8>, binding: &Binding) {
    let Binding { queue, pattern, attributes } = binding;
    put_varint(out, u64::from(queue.0));
    put_bytes(out, pattern.as_str().as_bytes());
    put_varint(out, length(attributes.len()));
    for text in attributes.iter().flat_map(|(key, value)| [key, value]) {
        put_bytes(out, text.as_bytes());
    }
}

/// Reads what `put_binding` wrote.
pub(super) fn binding(input: &mut Input<'_>) -> Result<Binding, Malformed> {
    let queue = QueueId(input.varint_u32()?);
    let pattern: RoutingPattern =
        input.text()?.parse().map_err(|_| Malformed("a routing pattern is not one"))?;
    let mut attributes = Attributes::new();
    for _ in 0..input.count(2)? {
        let key = input.text()?.to_owned();
        attributes.insert(key, input.text()?.to_owned());
    }
    Ok(Binding { queue, pattern, attributes })
}

/// Appends a command about a topic: its tag, the topic's name, and the binding if it is about one.
pub(super) fn put_command(out: &mut Vec<u8>, command: &TopicCommand) {
    let (tag, topic, binding) = match command {
        TopicCommand::Create(topic) => (40, topic, None),
        TopicCommand::Delete(topic) => (41, topic, None),
        TopicCommand::Bind(topic, binding) => (42, topic, Some(binding)),
        TopicCommand::Unbind(topic, binding) => (43, topic, Some(binding)),
    };
    out.push(tag);
    put_bytes(out, topic.as_str().as_bytes());
    if let Some(binding) = binding {
        put_binding(out, binding);
    }
}

/// Reads what follows the tag.
pub(super) fn command(tag: u8, input: &mut Input<'_>) -> Result<TopicCommand, Malformed> {
    let topic = input.text()?.parse().map_err(|_| Malformed("a topic's name is not one"))?;
    Ok(match tag {
        40 => TopicCommand::Create(topic),
        41 => TopicCommand::Delete(topic),
        42 => TopicCommand::Bind(topic, binding(input)?),
        43 => TopicCommand::Unbind(topic, binding(input)?),
        _ => return Err(Malformed("a command is not one about topics")),
    })
}

fn name(key: &[u8]) -> Result<TopicName, Malformed> {
    let text = std::str::from_utf8(key).map_err(|_| Malformed("a topic's name is not UTF-8"))?;
    text.parse().map_err(|_| Malformed("a topic's name is not one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_row_has_known_bytes_and_reads_back() {
        let name: TopicName = "a/t".parse().unwrap();
        let (key, value) = (topic_key(&name), encode_topic(Timestamp(0x0102)));
        assert_eq!((key.as_slice(), value.as_slice()), (&b"a/t"[..], &[1, 0, 0, 0, 0, 0, 0, 1, 2][..]));
        assert_eq!(decode_topic(&key, &value), Ok((name, Timestamp(0x0102))));
        (0..value.len()).for_each(|cut| assert!(decode_topic(&key, &value[..cut]).is_err()));
    }

    #[test]
    fn a_binding_row_has_known_bytes_and_reads_back() {
        let key: BindingKey = ("t".parse().unwrap(), 258);
        let attributes = [("k".to_owned(), "v".to_owned()), ("a".to_owned(), String::new())].into();
        let binding = Binding { queue: QueueId(300), pattern: "a.*".parse().unwrap(), attributes };
        let (row, value) = (binding_key(&key), encode_binding(&binding));
        assert_eq!(row, [b't', 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        let golden = [1, 0xac, 2, 3, b'a', b'.', b'*', 2, 1, b'a', 0, 1, b'k', 1, b'v'];
        assert_eq!(value, golden);
        assert_eq!(decode_binding(&row, &value), Ok((key, binding)));
        (0..value.len()).for_each(|cut| assert!(decode_binding(&row, &value[..cut]).is_err()));
        (0..row.len()).for_each(|cut| assert!(decode_binding(&row[..cut], &value).is_err()));
    }

    #[test]
    fn bindings_of_a_topic_lie_together_and_in_order() {
        let key = |topic: &str, number| binding_key(&(topic.parse().unwrap(), number));
        let ordered = [key("a", 0), key("a", 255), key("a", 256), key("a-b", 0), key("a.b", 0), key("b", 0)];
        assert!(ordered.is_sorted());
    }
}
