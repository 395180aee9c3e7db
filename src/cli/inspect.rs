//! `bbq peek` and `bbq leases`: a look inside that changes nothing.

use anyhow::Result;
use bbq_client::{Client, Error, Message, Page, PageRequest, proto};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Global;
use super::argument::whole;
use super::connection::with_client;
use super::output::Output;
use super::record::{self, object, wire_time};
use super::table::Column::{self, Number, Text};
use super::table::visible;

/// The most that the server gives at once.
const PAGE_MAX: u32 = 1000;
/// How much of a body people get to see.
const PREVIEW_CHARACTERS: usize = 60;

const PEEKED: [Column; 7] = [
    Number("SEQUENCE"),
    Text("STATE"),
    Number("ATTEMPTS"),
    Text("PUBLISHED"),
    Text("KEY"),
    Number("PRIORITY"),
    Text("BODY"),
];
const LEASES: [Column; 8] = [
    Number("SEQUENCE"),
    Number("ATTEMPT"),
    Text("CONSUMER"),
    Text("PEER"),
    Text("TRANSPORT"),
    Text("KIND"),
    Text("SINCE"),
    Text("EXPIRES"),
];

#[derive(Debug, Args)]
pub(super) struct Peek {
    /// The queue
    queue: String,
    /// Only messages in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// The most messages to show
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = whole::<u32>(1..=u32::MAX.into()),
        allow_negative_numbers = true)]
    count: u32,
    /// Go on where an earlier peek ended, as it said
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
}

#[derive(Debug, Args)]
pub(super) struct Leases {
    /// The queue
    queue: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Ready,
    Delayed,
    Leased,
    Parked,
    Dead,
}

impl Peek {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let state = match self.state {
            None => proto::MessageState::Unspecified,
            Some(State::Ready) => proto::MessageState::Ready,
            Some(State::Delayed) => proto::MessageState::Delayed,
            Some(State::Leased) => proto::MessageState::Leased,
            Some(State::Parked) => proto::MessageState::Parked,
            Some(State::Dead) => proto::MessageState::Dead,
        };
        with_client(global, async |client| {
            let page_of = async |page| client.peek(&self.queue, state, page).await;
            let Page { items, next_page_token } = collect(self.count, self.page_token, page_of).await?;
            let rows = items.iter().map(peeked).collect::<Vec<_>>();
            Output::new(global).rows(PEEKED, &rows, "no such messages")?;
            if !next_page_token.is_empty() {
                eprintln!(
                    "more may follow: --page-token {next_page_token} goes on, --count N shows more at once"
                );
            }
            Ok(())
        })
        .await
    }
}

impl Leases {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        with_client(global, async |client: Client| {
            let page_of = async |page| client.leases(&self.queue, page).await;
            let leases = collect(u32::MAX, String::new(), page_of).await?.items;
            let rows = leases.iter().map(lease).collect::<Vec<_>>();
            Output::new(global).rows(LEASES, &rows, "nobody holds a message")
        })
        .await
    }
}

/// At most `count` items, page by page, and where the next one begins if there may be one.
async fn collect<T>(
    count: u32,
    mut token: String,
    page_of: impl AsyncFn(PageRequest) -> Result<Page<T>, Error>,
) -> Result<Page<T>, Error> {
    let mut items = Vec::new();
    loop {
        let missing = count.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
        let page = page_of(PageRequest { size: missing.min(PAGE_MAX), token }).await?;
        items.extend(page.items);
        token = page.next_page_token;
        let is_enough = u32::try_from(items.len()).map_or(true, |collected| collected >= count);
        if token.is_empty() || is_enough {
            return Ok(Page { items, next_page_token: token });
        }
    }
}

fn peeked(peeked: &proto::PeekedMessage) -> ([String; 7], Value) {
    let message = Message::from(peeked.message.clone().unwrap_or_default());
    let published = wire_time(peeked.published_at);
    let state = record::state(peeked);
    let mut json = object([
        ("sequence", peeked.sequence.into()),
        ("state", state.clone().into()),
        ("attempts", peeked.attempts.into()),
        ("published_at", published.clone().into()),
    ]);
    json.append(&mut record::message(&message));
    let cells = [
        peeked.sequence.to_string(),
        state,
        peeked.attempts.to_string(),
        published.unwrap_or_default(),
        preview(message.ordering_key.as_bytes()),
        if message.priority == 0 { String::new() } else { message.priority.to_string() },
        preview(&message.body),
    ];
    (cells, json.into())
}

/// The beginning of a body, on one line.
fn preview(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return format!("({} bytes)", body.len()) };
    let shown = visible(text);
    if shown.chars().count() <= PREVIEW_CHARACTERS {
        return shown;
    }
    shown.chars().take(PREVIEW_CHARACTERS - 1).chain(['…']).collect()
}

fn lease(lease: &proto::Lease) -> ([String; 8], Value) {
    let kind = if lease.received { "receive" } else { "stream" };
    let since = wire_time(lease.leased_at);
    let expires = wire_time(lease.expires_at);
    let json = object([
        ("sequence", lease.sequence.into()),
        ("attempt", lease.attempt.into()),
        ("consumer_name", lease.consumer_name.clone().into()),
        ("peer", lease.peer.clone().into()),
        ("transport", lease.transport.clone().into()),
        ("kind", kind.into()),
        ("leased_at", since.clone().into()),
        ("expires_at", expires.clone().into()),
    ]);
    let cells = [
        lease.sequence.to_string(),
        lease.attempt.to_string(),
        lease.consumer_name.clone(),
        lease.peer.clone(),
        lease.transport.clone(),
        kind.to_owned(),
        since.unwrap_or_default(),
        expires.unwrap_or_default(),
    ];
    (cells, json.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_preview_is_one_short_line() {
        assert_eq!(preview(b"a\nb"), "a\\nb");
        assert_eq!(preview(&[0xff, 0xfe]), "(2 bytes)");
        let long = "ä".repeat(61);
        assert_eq!(preview(long.as_bytes()), format!("{}…", "ä".repeat(59)));
        let fits = "ä".repeat(60);
        assert_eq!(preview(fits.as_bytes()), fits);
    }

    #[test]
    fn a_peeked_message_reads_the_same_in_both_shapes() {
        let (cells, json) = peeked(&proto::PeekedMessage {
            sequence: 7,
            state: proto::MessageState::Leased.into(),
            attempts: 2,
            published_at: None,
            message: Some(Message::new("hello").ordering_key("k").priority(3).into()),
        });
        assert_eq!(cells, ["7", "leased", "2", "", "k", "3", "hello"]);
        let expected = json!({
            "sequence": 7, "state": "leased", "attempts": 2, "body": "hello", "ordering_key": "k", "priority": 3,
        });
        assert_eq!(json, expected);
    }

    #[tokio::test]
    async fn pages_are_joined_up_to_the_count() {
        let pages = async |page: PageRequest| {
            let first = page.token.parse::<u32>().unwrap_or(0);
            let items = (first..first + page.size.min(3)).collect::<Vec<_>>();
            let next = first + page.size.min(3);
            Ok(Page { next_page_token: if next < 20 { next.to_string() } else { String::new() }, items })
        };
        let seven = collect(7, String::new(), pages).await.unwrap();
        assert_eq!((seven.items, seven.next_page_token.as_str()), ((0..7).collect(), "7"));
        let rest = collect(u32::MAX, seven.next_page_token, pages).await.unwrap();
        assert_eq!((rest.items, rest.next_page_token.as_str()), ((7..22).collect(), ""));
    }
}
