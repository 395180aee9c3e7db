//! `bbq peek` and `bbq leases`: a look inside that changes nothing.

use anyhow::Result;
use bbq_client::{Client, Error, Message, Page, PageRequest, proto};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Global;
use super::connection::with_client;
use super::output::Output;
use super::record::{self, object, wire_time};
use super::table::visible;

/// The most that the server gives at once.
const PAGE_MAX: u32 = 1000;
/// How much of a body people get to see.
const PREVIEW_CHARACTERS: usize = 60;

#[derive(Debug, Args)]
pub(super) struct Peek {
    /// The queue
    queue: String,
    /// Only messages in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// The most messages to show
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    count: u32,
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
            let messages =
                collect(self.count, async |page| client.peek(&self.queue, state, page).await).await?;
            let rows = messages.iter().map(peeked).collect::<Vec<_>>();
            let titles = ["SEQUENCE", "STATE", "ATTEMPTS", "PUBLISHED", "BODY"];
            Output::new(global).rows(titles, &rows, "no such messages")
        })
        .await
    }
}

impl Leases {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        with_client(global, async |client: Client| {
            let leases = collect(u32::MAX, async |page| client.leases(&self.queue, page).await).await?;
            let rows = leases.iter().map(lease).collect::<Vec<_>>();
            let titles = ["SEQUENCE", "ATTEMPT", "CONSUMER", "PEER", "TRANSPORT", "KIND", "SINCE", "EXPIRES"];
            Output::new(global).rows(titles, &rows, "nobody holds a message")
        })
        .await
    }
}

/// At most `count` items, page by page.
async fn collect<T>(
    count: u32,
    page_of: impl AsyncFn(PageRequest) -> Result<Page<T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let missing = count.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
        if missing == 0 {
            return Ok(items);
        }
        let page = page_of(PageRequest { size: missing.min(PAGE_MAX), token }).await?;
        items.extend(page.items);
        if page.next_page_token.is_empty() {
            return Ok(items);
        }
        token = page.next_page_token;
    }
}

fn peeked(peeked: &proto::PeekedMessage) -> ([String; 5], Value) {
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
            message: Some(Message::new("hello").into()),
        });
        assert_eq!(cells, ["7", "leased", "2", "", "hello"]);
        assert_eq!(json, json!({"sequence": 7, "state": "leased", "attempts": 2, "body": "hello"}));
    }

    #[tokio::test]
    async fn pages_are_joined_up_to_the_count() {
        let pages = async |page: PageRequest| {
            let first = page.token.parse::<u32>().unwrap_or(0);
            let items = (first..first + page.size.min(3)).collect::<Vec<_>>();
            Ok(Page { next_page_token: (first + 3).to_string(), items })
        };
        assert_eq!(collect(7, pages).await.unwrap(), (0..7).collect::<Vec<_>>());
        assert_eq!(collect(0, pages).await.unwrap(), Vec::<u32>::new());
    }
}
