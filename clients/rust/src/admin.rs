//! The control plane: queues, topics, tokens, and a look inside.
//!
//! It decides nothing but the shape of the calls. Every one of them is cancel safe in that a dropped call can be made
//! again, and safe to repeat unless it says otherwise.

use std::time::Duration;

use tonic::Streaming;

use crate::{Client, Error, message::wire_duration, proto, retry::Repeat};

/// A page of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// What to ask the next page with; empty on the last.
    pub next_page_token: String,
}

/// Which page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// The most items; 0 for the server's default.
    pub size: u32,
    /// `next_page_token` of the page before; empty for the first.
    pub token: String,
}

/// Answers as they come.
///
/// Dropping it cancels the call at once.
pub struct Responses<T> {
    stream: Streaming<T>,
}

/// The largest page that the server gives.
const PAGE_MAX: u32 = 1_000;

macro_rules! admin {
    ($client:expr, $repeat:expr, $method:ident, $request:expr) => {
        $client.admin_call(
            $repeat,
            $request,
            |mut calls, request| async move { calls.$method(request).await },
        )
    };
}

impl Client {
    /// Makes a queue. One that is there with the same settings is a success.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if it is there with other settings, and those of any call.
    pub async fn create_queue(
        &self,
        name: &str,
        settings: proto::QueueSettings,
    ) -> Result<proto::Queue, Error> {
        let request = proto::CreateQueueRequest { name: name.to_owned(), settings: Some(settings) };
        whole(admin!(self, Repeat::Anytime, create_queue, request).await?.queue)
    }

    /// A queue's settings and what is in it.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn get_queue(&self, name: &str) -> Result<proto::Queue, Error> {
        let request = proto::GetQueueRequest { name: name.to_owned() };
        whole(admin!(self, Repeat::Anytime, get_queue, request).await?.queue)
    }

    /// A page of the queues whose name begins with `prefix`, by name.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_queues(&self, prefix: &str, page: PageRequest) -> Result<Page<proto::Queue>, Error> {
        let request = proto::ListQueuesRequest {
            page_size: page.size,
            page_token: page.token,
            prefix: prefix.to_owned(),
        };
        let response = admin!(self, Repeat::Anytime, list_queues, request).await?;
        Ok(Page { items: response.queues, next_page_token: response.next_page_token })
    }

    /// All queues whose name begins with `prefix`, by name.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn all_queues(&self, prefix: &str) -> Result<Vec<proto::Queue>, Error> {
        all(|page| self.list_queues(prefix, page)).await
    }

    /// Changes the settings that `mask` names (`max_attempts`, for example) of a queue in use.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn update_queue(
        &self,
        name: &str,
        settings: proto::QueueSettings,
        mask: Vec<String>,
    ) -> Result<proto::Queue, Error> {
        let request = proto::UpdateQueueRequest {
            name: name.to_owned(),
            settings: Some(settings),
            update_mask: Some(prost_types::FieldMask { paths: mask }),
        };
        whole(admin!(self, Repeat::Anytime, update_queue, request).await?.queue)
    }

    /// Removes a queue and all that is in it. Repeated after an answer was lost, it ends with [`Error::NotFound`].
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, [`Error::FailedPrecondition`] if another queue or a binding names it,
    /// and those of any call.
    pub async fn delete_queue(&self, name: &str) -> Result<(), Error> {
        let request = proto::DeleteQueueRequest { name: name.to_owned() };
        admin!(self, Repeat::Unprocessed, delete_queue, request).await.map(drop)
    }

    /// Removes all messages that nobody holds, and says how many.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn purge_queue(&self, name: &str) -> Result<u64, Error> {
        let request = proto::PurgeQueueRequest { name: name.to_owned() };
        Ok(admin!(self, Repeat::Unprocessed, purge_queue, request).await?.purged)
    }

    /// A page of messages, by sequence, in one state or, with [`proto::MessageState::Unspecified`], in any. Changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn peek(
        &self,
        queue: &str,
        state: proto::MessageState,
        page: PageRequest,
    ) -> Result<Page<proto::PeekedMessage>, Error> {
        let request = proto::PeekMessagesRequest {
            queue: queue.to_owned(),
            state: state.into(),
            page_size: page.size,
            page_token: page.token,
        };
        let response = admin!(self, Repeat::Anytime, peek_messages, request).await?;
        Ok(Page { items: response.messages, next_page_token: response.next_page_token })
    }

    /// A page of leases, by sequence: who holds what, since when, until when.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn leases(&self, queue: &str, page: PageRequest) -> Result<Page<proto::Lease>, Error> {
        let request = proto::ListLeasesRequest {
            queue: queue.to_owned(),
            page_size: page.size,
            page_token: page.token,
        };
        let response = admin!(self, Repeat::Anytime, list_leases, request).await?;
        Ok(Page { items: response.leases, next_page_token: response.next_page_token })
    }

    /// Moves dead-lettered messages back to where they came from; answers with progress. Not safe to repeat with
    /// `max_messages` set: it would move so many more.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn redrive(
        &self,
        request: proto::RedriveMessagesRequest,
    ) -> Result<Responses<proto::RedriveMessagesResponse>, Error> {
        let mut calls = self.admin_service();
        Ok(Responses { stream: self.open(calls.redrive_messages(request)).await? })
    }

    /// Makes a topic. One that is there already is a success.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn create_topic(&self, name: &str) -> Result<proto::Topic, Error> {
        let request = proto::CreateTopicRequest { name: name.to_owned() };
        whole(admin!(self, Repeat::Anytime, create_topic, request).await?.topic)
    }

    /// A page of topics with their bindings, by name.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_topics(&self, page: PageRequest) -> Result<Page<proto::Topic>, Error> {
        let request = proto::ListTopicsRequest { page_size: page.size, page_token: page.token };
        let response = admin!(self, Repeat::Anytime, list_topics, request).await?;
        Ok(Page { items: response.topics, next_page_token: response.next_page_token })
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn all_topics(&self) -> Result<Vec<proto::Topic>, Error> {
        all(|page| self.list_topics(page)).await
    }

    /// Removes a topic and its bindings.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a topic, and those of any call.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let request = proto::DeleteTopicRequest { name: name.to_owned() };
        admin!(self, Repeat::Unprocessed, delete_topic, request).await.map(drop)
    }

    /// Lets a queue take what a topic gets.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a topic or queue, and those of any call.
    pub async fn bind(&self, topic: &str, binding: proto::Binding) -> Result<(), Error> {
        let request = proto::BindRequest { topic: topic.to_owned(), binding: Some(binding) };
        admin!(self, Repeat::Anytime, bind, request).await.map(drop)
    }

    /// Takes a binding back, exactly as it was bound.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a binding, and those of any call.
    pub async fn unbind(&self, topic: &str, binding: proto::Binding) -> Result<(), Error> {
        let request = proto::UnbindRequest { topic: topic.to_owned(), binding: Some(binding) };
        admin!(self, Repeat::Unprocessed, unbind, request).await.map(drop)
    }

    /// Depths, rates, ages and consumers of one queue, of those with a prefix, or of all, at an interval of 100 ms to 1 h.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a queue, and those of any call.
    pub async fn watch_stats(
        &self,
        request: proto::WatchStatsRequest,
    ) -> Result<Responses<proto::WatchStatsResponse>, Error> {
        let mut calls = self.admin_service();
        Ok(Responses { stream: self.open(calls.watch_stats(request)).await? })
    }

    /// Makes a bearer token and returns it with its secret, which is shown this once. Not safe to repeat: it would make
    /// another.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn create_token(
        &self,
        name: &str,
        grants: Vec<proto::Grant>,
        time_to_live: Option<Duration>,
    ) -> Result<(proto::Token, String), Error> {
        let request = proto::CreateTokenRequest {
            name: name.to_owned(),
            grants,
            time_to_live: time_to_live.map(wire_duration),
        };
        let response = admin!(self, Repeat::Unprocessed, create_token, request).await?;
        Ok((whole(response.token)?, response.secret))
    }

    /// A page of tokens, without their secrets, by id.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_tokens(&self, page: PageRequest) -> Result<Page<proto::Token>, Error> {
        let request = proto::ListTokensRequest { page_size: page.size, page_token: page.token };
        let response = admin!(self, Repeat::Anytime, list_tokens, request).await?;
        Ok(Page { items: response.tokens, next_page_token: response.next_page_token })
    }

    /// All tokens, without their secrets, by id.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn all_tokens(&self) -> Result<Vec<proto::Token>, Error> {
        all(|page| self.list_tokens(page)).await
    }

    /// Ends a token at once. Repeated after an answer was lost, it ends with [`Error::NotFound`].
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a token, and those of any call.
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        let request = proto::RevokeTokenRequest { id: id.to_owned() };
        admin!(self, Repeat::Unprocessed, revoke_token, request).await.map(drop)
    }

    /// A consistent copy of everything, piece by piece.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn backup(&self) -> Result<Responses<proto::BackupResponse>, Error> {
        let mut calls = self.admin_service();
        Ok(Responses { stream: self.open(calls.backup(proto::BackupRequest {})).await? })
    }
}

impl<T> Responses<T> {
    /// The next answer; none at the end.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What ended the call early.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        Ok(self.stream.message().await?)
    }
}

impl<T> std::fmt::Debug for Responses<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responses").finish_non_exhaustive()
    }
}

/// All pages of a listing.
async fn all<T, F>(list: impl Fn(PageRequest) -> F) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<Page<T>, Error>>,
{
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let page = list(PageRequest { size: PAGE_MAX, token }).await?;
        items.extend(page.items);
        if page.next_page_token.is_empty() {
            return Ok(items);
        }
        token = page.next_page_token;
    }
}

fn whole<T>(part: Option<T>) -> Result<T, Error> {
    part.ok_or_else(|| Error::internal("the server's answer lacks what was asked for"))
}
