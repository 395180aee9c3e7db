//! The control plane.

use std::pin::Pin;

use futures_util::Stream;
use tonic::{Request, Response, Status};

use super::access::{Caller, Permission, SEE};
use super::proto::admin_service_server::AdminService;
use super::status::{self, Invalid};
use super::tokens::TokenGrant;
use super::{Services, check, proto, queue_settings, topics, wire};
use crate::broker::{BrokerError, MessageState, Window};
use crate::types::{QueueName, Sequence, Timestamp};

/// A stream of answers.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The most rows of a page, and how many there are by default.
pub(super) const PAGE_MAX: u32 = 1000;
pub(super) const PAGE: u32 = 100;
const PEEK_PAGE: u32 = 10;
/// How many queues one look at the broker lists.
const LIST_STEP: usize = 1000;
/// A page of messages takes no more beyond this size, so that it stays below the 4 MiB of stock clients.
pub(super) const PAGE_BYTES: usize = (4 << 20) - (64 << 10);

impl Services {
    async fn list(
        &self,
        caller: &Caller,
        request: proto::ListQueuesRequest,
    ) -> Result<proto::ListQueuesResponse, Status> {
        let count = check::bounded("page_size", request.page_size, PAGE, PAGE_MAX)?;
        if !request.page_token.is_empty() {
            check::queue_name("page_token", &request.page_token)?;
        }
        let count = usize::try_from(count).unwrap_or(1);
        // The token names a queue that was shown, never one that may not be seen. The page begins behind it.
        let mut from = if request.page_token.is_empty() { String::new() } else { request.page_token + "\0" };
        let mut queues: Vec<proto::Queue> = Vec::new();
        loop {
            let page = self.broker.list(Window { from, count: LIST_STEP }, request.prefix.clone()).await?;
            for view in page.items.iter().filter(|view| caller.sees(&view.record.name)) {
                if queues.len() == count {
                    let next_page_token = queues.last().map(|queue| queue.name.clone()).unwrap_or_default();
                    return Ok(proto::ListQueuesResponse { queues, next_page_token });
                }
                queues.push(wire::queue(view));
            }
            match page.next {
                Some(next) => from = next.to_string(),
                None => return Ok(proto::ListQueuesResponse { queues, next_page_token: String::new() }),
            }
        }
    }

    /// A queue with the time of its oldest message that was never delivered.
    async fn show(&self, name: QueueName) -> Result<proto::Queue, Status> {
        let view = self.broker.show(name.clone()).await?;
        let oldest = self.oldest(name).await?;
        let mut queue = wire::queue(&view);
        if let Some(stats) = &mut queue.stats {
            stats.oldest_published_at = oldest.map(wire::timestamp);
        }
        Ok(queue)
    }

    /// When the first message that was never leased was published; it may have to be read from disk.
    pub(super) async fn oldest(&self, name: QueueName) -> Result<Option<Timestamp>, BrokerError> {
        let oldest = self.broker.oldest(name).await?;
        Ok(oldest.map(|peeked| peeked.message.published_at))
    }

    async fn peek(
        &self,
        queue: QueueName,
        request: &proto::PeekMessagesRequest,
    ) -> Result<proto::PeekMessagesResponse, Status> {
        let state = match proto::MessageState::try_from(request.state) {
            Ok(proto::MessageState::Unspecified) => None,
            Ok(proto::MessageState::Ready) => Some(MessageState::Ready),
            Ok(proto::MessageState::Delayed) => Some(MessageState::Delayed),
            Ok(proto::MessageState::Leased) => Some(MessageState::Leased),
            Ok(proto::MessageState::Parked) => Some(MessageState::Parked),
            Ok(proto::MessageState::Dead) => Some(MessageState::Dead),
            Err(unknown) => return Err(Invalid::new("state", unknown.to_string()).into()),
        };
        let page = self
            .broker
            .peek(queue, window(&request.page_token, request.page_size, PEEK_PAGE)?, state, PAGE_BYTES)
            .await?;
        Ok(proto::PeekMessagesResponse {
            messages: page.items.into_iter().map(wire::peeked).collect(),
            next_page_token: token(page.next),
        })
    }

    async fn make_token(
        &self,
        request: proto::CreateTokenRequest,
    ) -> Result<proto::CreateTokenResponse, Status> {
        let proto::CreateTokenRequest { name, grants, time_to_live } = request;
        if name.is_empty() || name.len() > 128 {
            return Err(
                Invalid::new("name", format!("it is {} bytes; it must be 1 to 128", name.len())).into()
            );
        }
        if grants.is_empty() || grants.len() > 100 {
            return Err(
                Invalid::new("grants", format!("there are {}; 1 to 100 are allowed", grants.len())).into()
            );
        }
        let grants = grants.into_iter().enumerate().map(grant).collect::<Result<Vec<_>, _>>()?;
        let lasts = time_to_live.map(|lasts| check::duration("time_to_live", lasts)).transpose()?;
        let tokens = self.tokens.clone();
        let made = blocking(move || tokens.create(&name, &grants, lasts)).await??;
        Ok(proto::CreateTokenResponse { token: Some(wire::token(made.token)), secret: made.secret })
    }

    fn tokens(&self, request: &proto::ListTokensRequest) -> Result<proto::ListTokensResponse, Status> {
        let count = check::bounded("page_size", request.page_size, PAGE, PAGE_MAX)?;
        let mut rest = self.tokens.list().into_iter().filter(|token| token.id >= request.page_token);
        let count = usize::try_from(count).unwrap_or(1);
        let tokens = rest.by_ref().take(count).map(wire::token).collect();
        let next_page_token = rest.next().map(|token| token.id).unwrap_or_default();
        Ok(proto::ListTokensResponse { tokens, next_page_token })
    }
}

/// Where a page by sequence begins, and how long it is.
fn window(page_token: &str, page_size: u32, standard: u32) -> Result<Window<Sequence>, Invalid> {
    let count = check::bounded("page_size", page_size, standard, PAGE_MAX)?;
    let from = match page_token {
        "" => 0,
        token => token.parse().map_err(|_| {
            Invalid::new("page_token", "it must be the next_page_token of the page before, or empty")
        })?,
    };
    Ok(Window { from: Sequence(from), count: usize::try_from(count).unwrap_or(1) })
}

fn token(next: Option<Sequence>) -> String {
    next.map(|sequence| sequence.to_string()).unwrap_or_default()
}

fn grant((place, grant): (usize, proto::Grant)) -> Result<TokenGrant, Invalid> {
    let field = |name| format!("grants[{place}].{name}");
    let permission = match proto::Permission::try_from(grant.permission) {
        Ok(proto::Permission::Publish) => Permission::Publish,
        Ok(proto::Permission::Consume) => Permission::Consume,
        Ok(proto::Permission::Manage) => Permission::Manage,
        Ok(proto::Permission::Admin) => Permission::Admin,
        Ok(proto::Permission::Unspecified) | Err(_) => {
            return Err(Invalid::new(field("permission"), "it must be PUBLISH, CONSUME, MANAGE or ADMIN"));
        }
    };
    Ok(TokenGrant { permission, queues: grant.queues })
}

/// Does what touches a file away from the tasks that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| status::internal("the token table's task failed"))
}

#[tonic::async_trait]
impl AdminService for Services {
    async fn create_queue(
        &self,
        request: Request<proto::CreateQueueRequest>,
    ) -> Result<Response<proto::CreateQueueResponse>, Status> {
        let caller = Caller::of(&request)?;
        let proto::CreateQueueRequest { name, settings } = request.into_inner();
        let name = check::queue_name("name", &name)?;
        caller.may(&[Permission::Manage], &name)?;
        let settings = queue_settings::whole(&name, settings)?;
        caller.may_dead_letter_to(&settings)?;
        let view = self.broker.create(name, settings).await?;
        Ok(Response::new(proto::CreateQueueResponse { queue: Some(wire::queue(&view)) }))
    }

    async fn get_queue(
        &self,
        request: Request<proto::GetQueueRequest>,
    ) -> Result<Response<proto::GetQueueResponse>, Status> {
        let caller = Caller::of(&request)?;
        let name = check::queue_name("name", &request.into_inner().name)?;
        caller.may(&SEE, &name)?;
        Ok(Response::new(proto::GetQueueResponse { queue: Some(self.show(name).await?) }))
    }

    async fn list_queues(
        &self,
        request: Request<proto::ListQueuesRequest>,
    ) -> Result<Response<proto::ListQueuesResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.list(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn delete_queue(
        &self,
        request: Request<proto::DeleteQueueRequest>,
    ) -> Result<Response<proto::DeleteQueueResponse>, Status> {
        let caller = Caller::of(&request)?;
        let name = check::queue_name("name", &request.into_inner().name)?;
        caller.may(&[Permission::Manage], &name)?;
        self.broker.delete(name).await?;
        Ok(Response::new(proto::DeleteQueueResponse {}))
    }

    async fn purge_queue(
        &self,
        request: Request<proto::PurgeQueueRequest>,
    ) -> Result<Response<proto::PurgeQueueResponse>, Status> {
        let caller = Caller::of(&request)?;
        let name = check::queue_name("name", &request.into_inner().name)?;
        caller.may(&[Permission::Manage], &name)?;
        let purged = self.broker.purge(name).await?;
        Ok(Response::new(proto::PurgeQueueResponse { purged }))
    }

    async fn peek_messages(
        &self,
        request: Request<proto::PeekMessagesRequest>,
    ) -> Result<Response<proto::PeekMessagesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let queue = check::queue_name("queue", &request.queue)?;
        caller.may(&[Permission::Manage], &queue)?;
        self.peek(queue, &request).await.map(Response::new)
    }

    async fn list_leases(
        &self,
        request: Request<proto::ListLeasesRequest>,
    ) -> Result<Response<proto::ListLeasesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let queue = check::queue_name("queue", &request.queue)?;
        caller.may(&[Permission::Manage], &queue)?;
        let page = self.broker.leases(queue, window(&request.page_token, request.page_size, PAGE)?).await?;
        Ok(Response::new(proto::ListLeasesResponse {
            leases: page.items.into_iter().map(wire::lease).collect(),
            next_page_token: token(page.next),
        }))
    }

    async fn create_token(
        &self,
        request: Request<proto::CreateTokenRequest>,
    ) -> Result<Response<proto::CreateTokenResponse>, Status> {
        Caller::of(&request)?.administers()?;
        self.make_token(request.into_inner()).await.map(Response::new)
    }

    async fn list_tokens(
        &self,
        request: Request<proto::ListTokensRequest>,
    ) -> Result<Response<proto::ListTokensResponse>, Status> {
        Caller::of(&request)?.administers()?;
        self.tokens(request.get_ref()).map(Response::new)
    }

    async fn revoke_token(
        &self,
        request: Request<proto::RevokeTokenRequest>,
    ) -> Result<Response<proto::RevokeTokenResponse>, Status> {
        Caller::of(&request)?.administers()?;
        let (tokens, id) = (self.tokens.clone(), request.into_inner().id);
        blocking(move || tokens.revoke(&id)).await??;
        Ok(Response::new(proto::RevokeTokenResponse {}))
    }

    async fn update_queue(
        &self,
        request: Request<proto::UpdateQueueRequest>,
    ) -> Result<Response<proto::UpdateQueueResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.change_queue(&caller, request.into_inner()).await.map(Response::new)
    }

    type RedriveMessagesStream = Answers<proto::RedriveMessagesResponse>;

    async fn redrive_messages(
        &self,
        request: Request<proto::RedriveMessagesRequest>,
    ) -> Result<Response<Self::RedriveMessagesStream>, Status> {
        let caller = Caller::of(&request)?;
        self.redrive(caller, request.into_inner()).await.map(Response::new)
    }

    async fn create_topic(
        &self,
        request: Request<proto::CreateTopicRequest>,
    ) -> Result<Response<proto::CreateTopicResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.make_topic(&caller, &request.into_inner()).await.map(Response::new)
    }

    async fn list_topics(
        &self,
        request: Request<proto::ListTopicsRequest>,
    ) -> Result<Response<proto::ListTopicsResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.topics(&caller, request.into_inner()).await.map(Response::new)
    }

    async fn delete_topic(
        &self,
        request: Request<proto::DeleteTopicRequest>,
    ) -> Result<Response<proto::DeleteTopicResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.remove_topic(&caller, &request.into_inner()).await.map(Response::new)
    }

    async fn bind(
        &self,
        request: Request<proto::BindRequest>,
    ) -> Result<Response<proto::BindResponse>, Status> {
        let caller = Caller::of(&request)?;
        let proto::BindRequest { topic, binding } = request.into_inner();
        let (topic, binding) = topics::binding(&caller, &topic, binding)?;
        self.broker.bind(topic, binding).await?;
        Ok(Response::new(proto::BindResponse {}))
    }

    async fn unbind(
        &self,
        request: Request<proto::UnbindRequest>,
    ) -> Result<Response<proto::UnbindResponse>, Status> {
        let caller = Caller::of(&request)?;
        let proto::UnbindRequest { topic, binding } = request.into_inner();
        let (topic, binding) = topics::binding(&caller, &topic, binding)?;
        self.broker.unbind(topic, binding).await?;
        Ok(Response::new(proto::UnbindResponse {}))
    }

    type WatchStatsStream = Answers<proto::WatchStatsResponse>;

    async fn watch_stats(
        &self,
        request: Request<proto::WatchStatsRequest>,
    ) -> Result<Response<Self::WatchStatsStream>, Status> {
        let caller = Caller::of(&request)?;
        let reports = self.watch(caller, request.into_inner()).await?;
        Ok(Response::new(Box::pin(reports)))
    }

    type BackupStream = Answers<proto::BackupResponse>;

    async fn backup(
        &self,
        request: Request<proto::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        Caller::of(&request)?.administers()?;
        Ok(Response::new(Box::pin(self.back_up().await?)))
    }
}
