use super::*;
use crate::types::{
    Consumer, Copies, Durability, Holder, OrderingKey, Pick, Publication, QueueSettings, TopicCommand,
    Transact, TransactionId,
};

fn pick(sequence: u64, offer: Option<u32>, priority: Priority, key: Option<OrderingKey>) -> Pick {
    Pick { sequence: Sequence(sequence), size: 2, offer, priority, key }
}

fn moved(sequence: u64, priority: Priority, key: Option<OrderingKey>, to: Option<Arrival>) -> Moved {
    let size = u32::try_from(sequence).unwrap() + 1;
    Moved { sequence: Sequence(sequence), size, priority, key, to }
}

fn claim(sequence: u64) -> Claim {
    Claim { sequence: Sequence(sequence), attempt: Attempt(2), epoch: Epoch(3) }
}

/// One of each.
fn commands() -> Vec<Command> {
    let queue = QueueId(7);
    let settings = QueueSettings {
        durability: Durability::Buffered,
        lease_duration: Duration(300),
        ..QueueSettings::default()
    };
    let arrival = Arrival { queue: QueueId(8), content: Content(Bytes::from_static(b"yo")) };
    let consumer = Consumer { name: "n".into(), peer: "p".into(), transport: "h3".into() };
    vec![
        Command::StartEpoch,
        Command::CreateQueue { name: "a/b".parse().unwrap(), settings: settings.clone() },
        Command::DeleteQueue { queue },
        Command::PurgeQueue { queue },
        Command::Publish {
            queue,
            messages: vec![Content(Bytes::from_static(b"hi")), Content(Bytes::new())],
            facts: Vec::new(),
        },
        Command::Grant {
            queue,
            offers: vec![Offer {
                holder: Holder::Receive(HolderId(9)),
                duration: Duration(1000),
                consumer: Arc::new(consumer),
            }],
            picks: vec![pick(300, Some(0), Priority::default(), None)],
        },
        Command::Ack { queue, claims: vec![claim(1), claim(2)] },
        Command::Nack {
            queue,
            claims: vec![claim(u64::MAX)],
            retry: Retry::After(Duration(300)),
            reason: "no".into(),
        },
        Command::Extend { queue, claims: vec![claim(4)], duration: Duration(5) },
        Command::Release { queue, holder: HolderId(6), counted: true },
        Command::Expire { limit: 100 },
        Command::Publish {
            queue,
            messages: vec![Content(Bytes::new()), Content(Bytes::from_static(b"x"))],
            facts: vec![(
                1,
                Facts {
                    deduplication: Some(DeduplicationId([1, 2])),
                    priority: Priority::MAX,
                    delay: Duration(300),
                    expires: true,
                },
            )],
        },
        Command::Drop {
            queue,
            picks: vec![Dropped { sequence: Sequence(300), size: 2, priority: Priority::MAX }],
        },
        Command::Lapse {
            queue,
            picks: vec![Dropped { sequence: Sequence(300), size: 2, priority: Priority::MAX }],
        },
        Command::Forget { limit: 101 },
        Command::Grant { queue, offers: Vec::new(), picks: vec![pick(3, Some(1), Priority::MAX, None)] },
        Command::Grant {
            queue,
            offers: Vec::new(),
            picks: vec![
                pick(3, Some(1), Priority::default(), Some(OrderingKey([4, 5]))),
                pick(4, None, Priority::default(), Some(OrderingKey([6, 7]))),
                pick(5, Some(0), Priority::MAX, None),
            ],
        },
        Command::UpdateQueue { queue, settings },
        Command::Move {
            queue,
            which: Moving::Ready,
            messages: vec![
                moved(1, Priority::MAX, None, None),
                moved(2, Priority::default(), None, Some(arrival.clone())),
            ],
        },
        Command::Move {
            queue,
            which: Moving::Ready,
            messages: vec![
                moved(1, Priority::default(), Some(OrderingKey([1, 2])), None),
                moved(2, Priority::default(), None, Some(arrival)),
            ],
        },
        Command::Topic(TopicCommand::Create("a/t".parse().unwrap())),
        Command::Topic(TopicCommand::Delete("t".parse().unwrap())),
        Command::Topic(TopicCommand::Bind("t".parse().unwrap(), binding())),
        Command::Topic(TopicCommand::Unbind("t".parse().unwrap(), binding())),
        Command::PublishAll(Publication {
            messages: vec![Content(Bytes::from_static(b"hi")), Content(Bytes::new())],
            facts: vec![(1, Facts { deduplication: Some(DeduplicationId([1, 2])), ..Facts::default() })],
            copies: vec![
                Copies { queue, from: 0, count: 2 },
                Copies { queue: QueueId(8), from: 1, count: 1 },
            ],
        }),
        Command::Transact(Transact::default()),
        Command::Transact(Transact {
            id: Some(TransactionId { namespace: "n".into(), id: "x".into(), request: [1, 2] }),
            acks: vec![(queue, vec![claim(1)])],
            publication: Publication {
                messages: vec![Content(Bytes::from_static(b"hi"))],
                facts: Vec::new(),
                copies: vec![Copies { queue, from: 0, count: 1 }],
            },
        }),
    ]
}

fn binding() -> crate::types::Binding {
    crate::types::Binding {
        queue: QueueId(7),
        pattern: "a.#".parse().unwrap(),
        attributes: [("k".to_owned(), "v".to_owned())].into(),
    }
}

fn encode(now: u64, commands: &[Command]) -> Bytes {
    let mut entry = EntryBuilder::new(Timestamp(now));
    commands.iter().for_each(|command| entry.push(command));
    Bytes::from(entry.into_record()).slice(RECORD_HEADER_BYTES..)
}

#[test]
fn every_command_has_known_bytes_and_reads_back() {
    let bytes = encode(0x0102, &commands());
    let golden: [&[u8]; 29] = [
        &[2, 0, 0, 0, 0, 0, 0, 1, 2],
        &[1],
        &[2, 3, b'a', b'/', b'b', 5, 3, 1, 4, 0xac, 2],
        &[3, 7],
        &[4, 7],
        &[5, 7, 2, 2, b'h', b'i', 0],
        &[6, 7, 1, 2, 9, 0xe8, 7, 1, b'n', 1, b'p', 2, b'h', b'3', 1, 0xac, 2, 2, 0],
        &[7, 7, 2, 1, 2, 3, 2, 2, 3],
        &[8, 7, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 1, 0xac, 2, 2, b'n', b'o'],
        &[9, 7, 1, 4, 2, 3, 5],
        &[10, 7, 6, 1],
        &[11, 100],
        &[20, 7, 2, 0, 1, b'x', 1, 1, 15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 0xac, 2],
        &[21, 7, 1, 0xac, 2, 2, 9],
        &[24, 7, 1, 0xac, 2, 2, 9],
        &[22, 101],
        &[23, 7, 0, 1, 3, 2, 1, 9],
        &[
            26, 7, 0, 3, 3, 2, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 4, 2, 0, 0, 1, 0, 0,
            0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 5, 2, 1, 9, 0,
        ],
        &[12, 7, 5, 3, 1, 4, 0xac, 2],
        &[13, 7, 1, 2, 1, 2, 9, 0, 2, 3, 0, 1, 8, 2, b'y', b'o'],
        &[
            25, 7, 1, 2, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 3, 0, 0, 1, 8, 2,
            b'y', b'o',
        ],
        &[40, 3, b'a', b'/', b't'],
        &[41, 1, b't'],
        &[42, 1, b't', 7, 3, b'a', b'.', b'#', 1, 1, b'k', 1, b'v'],
        &[43, 1, b't', 7, 3, b'a', b'.', b'#', 1, 1, b'k', 1, b'v'],
        &[
            44, 2, 2, b'h', b'i', 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 7, 0, 2, 8,
            1, 1,
        ],
        &[45, 0, 0, 0, 0, 0],
        &[45, 1, 1, b'n', 1, b'x', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2],
        &[1, 7, 1, 1, 2, 3, 1, 2, b'h', b'i', 0, 1, 7, 0, 1],
    ];
    assert_eq!(bytes, golden.concat());
    assert_eq!(decode(&bytes), Ok((Timestamp(0x0102), commands())));
}

#[test]
fn an_entry_knows_its_length_and_whether_it_is_empty() {
    let mut entry = EntryBuilder::new(Timestamp(1));
    assert!(entry.is_empty());
    entry.push(&Command::StartEpoch);
    assert!(!entry.is_empty());
    assert_eq!(entry.len_bytes(), entry.into_record().len());
}

#[test]
fn contents_are_slices_of_the_entry() {
    let bytes = encode(1, &commands()[4..5]);
    let (_, decoded) = decode(&bytes).unwrap();
    let Command::Publish { messages, .. } = &decoded[0] else { panic!("{decoded:?}") };
    assert!(bytes.as_ptr_range().contains(&messages[0].0.as_ptr()));
}

/// Whatever the bytes are, the answer is a value or an error.
#[test]
fn no_input_makes_decoding_panic() {
    let whole = encode(1, &commands());
    for cut in 0..whole.len() {
        _ = decode(&whole.slice(..cut));
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.to_vec();
            bytes[at] = value;
            _ = decode(&bytes.into());
        }
    }
    for seed in 0..20_000_u64 {
        let random = |n: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_be_bytes(), seed).to_be_bytes();
        let bytes: Vec<u8> = (0..8).flat_map(random).collect();
        let entry = [&[2, 0, 0, 0, 0, 0, 0, 0, 0, bytes[0] % 32][..], &bytes[1..]].concat();
        _ = decode(&entry.into());
    }
}
