//! Redrive: dead letters go back to where they came from, a bounded step at a time, each step in one entry.
//!
//! It goes through the dead-letter queue once, from its first message to what was its last when the call began, and takes what is
//! ready. What was published there directly, or came from a queue that is gone, stays.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::try_unfold;
use tonic::{Code, Status};

use super::access::{Caller, Permission};
use super::admin::Answers;
use super::status::Invalid;
use super::{Services, check, proto};
use crate::broker::{BrokerError, MessageState, Peeked, Relocation, Window, ordering_key, revived};
use crate::types::{QueueName, Sequence};

/// The most messages and bytes of a step.
const STEP: usize = 256;
const STEP_BYTES: usize = 1 << 20;
/// The most messages that may stay while others behind them go: each is known one by one from then on.
const STAYING_MAX: usize = 100_000;
/// How long to wait for a store that is behind.
const PAUSE: Duration = Duration::from_millis(100);

/// A redrive under way.
struct Run {
    services: Services,
    caller: Caller,
    queue: QueueName,
    /// Only what came from here.
    source: Option<QueueName>,
    /// All of it goes here.
    target: Option<QueueName>,
    /// Queues that messages came from, and whether they are there.
    known: HashMap<QueueName, bool>,
    from: Sequence,
    until: Sequence,
    moved: u64,
    left: u64,
    /// What stays and has to be stepped over by whoever takes what is behind it.
    staying: Vec<Relocation>,
    stayed: usize,
}

impl Services {
    pub(super) async fn redrive(
        &self,
        caller: Caller,
        request: proto::RedriveMessagesRequest,
    ) -> Result<Answers<proto::RedriveMessagesResponse>, Status> {
        let queue = check::queue_name("queue", &request.queue)?;
        caller.may(&[Permission::Manage], &queue)?;
        let named = |field, name: &str| match name {
            "" => Ok(None),
            name => check::queue_name(field, name).map(Some),
        };
        let source = named("source_queue", &request.source_queue)?;
        let target = named("target_queue", &request.target_queue)?;
        if let Some(target) = &target {
            if *target == queue || target.namespace() != queue.namespace() {
                let problem = format!("{target} must be another queue in the namespace of {queue}");
                return Err(Invalid::new("target_queue", problem).into());
            }
            caller.may(&[Permission::Publish, Permission::Manage], target)?;
            self.broker.show(target.clone()).await?;
        }
        let view = self.broker.show(queue.clone()).await?;
        let left = if request.max_messages == 0 { u64::MAX } else { request.max_messages };
        let run = Run {
            services: self.clone(),
            caller,
            queue,
            source,
            target,
            known: HashMap::new(),
            from: Sequence(0),
            until: view.record.next_sequence,
            moved: 0,
            left,
            staying: Vec::new(),
            stayed: 0,
        };
        Ok(Box::pin(try_unfold(Some(run), |run| async {
            match run {
                Some(run) => run.step().await.map(Some),
                None => Ok(None),
            }
        })))
    }
}

impl Run {
    /// Moves what one page holds. Nothing comes after the last.
    async fn step(mut self) -> Result<(proto::RedriveMessagesResponse, Option<Self>), Status> {
        let broker = self.services.broker.clone();
        let window = Window { from: self.from, count: STEP };
        let page = broker.peek(self.queue.clone(), window, Some(MessageState::Ready), STEP_BYTES).await?;
        let mut relocations = std::mem::take(&mut self.staying);
        let mut going = 0;
        for peeked in page.items {
            if going == self.left || peeked.message.sequence >= self.until {
                break;
            }
            let relocation = self.relocation(peeked).await?;
            going += u64::from(relocation.to.is_some());
            relocations.push(relocation);
        }
        let last = relocations.iter().rposition(|relocation| relocation.to.is_some());
        self.staying = relocations.split_off(last.map_or(0, |last| last + 1));
        if last.is_some() {
            self.stayed += relocations.len() - usize::try_from(going).unwrap_or(0);
        }
        if self.stayed + self.staying.len() > STAYING_MAX {
            let problem = format!(
                "more than {STAYING_MAX} messages of {} that stay lie before those that go; move others first",
                self.queue
            );
            return Err(Invalid::over_limit("source_queue", problem).into());
        }
        if going > 0 {
            let moved = self.relocate(relocations).await?;
            self.moved += moved;
            self.left = self.left.saturating_sub(moved);
        }
        let view = broker.show(self.queue.clone()).await?;
        let next = page.next.filter(|&next| next < self.until && self.left > 0);
        let remaining = if next.is_some() { view.depth.ready.min(self.left) } else { 0 };
        let progress = proto::RedriveMessagesResponse { moved: self.moved, remaining };
        Ok((progress, next.map(|from| Self { from, ..self })))
    }

    /// Waits while the store is behind, as a publisher would.
    async fn relocate(&self, relocations: Vec<Relocation>) -> Result<u64, Status> {
        loop {
            match self.services.broker.relocate(self.queue.clone(), relocations.clone()).await {
                Err(BrokerError::Behind) => tokio::time::sleep(PAUSE).await,
                done => return done.map_err(Status::from),
            }
        }
    }

    /// Where a message goes, if it does not stay.
    async fn relocation(&mut self, peeked: Peeked) -> Result<Relocation, Status> {
        let message = peeked.message;
        let (sequence, size, priority) = (message.sequence, message.content.size(), peeked.priority);
        let key = ordering_key(&message.content);
        let stays = Relocation { sequence, size, priority, key, to: None };
        let letter = revived(&message.content);
        let came_from = letter.as_ref().map(|(source, _)| source.clone());
        if self.source.is_some() && self.source != came_from {
            return Ok(stays);
        }
        let target = self.target.clone().or(came_from);
        let Some(target) = target.filter(|target| *target != self.queue) else { return Ok(stays) };
        if self.target.is_none() && !self.is_there(&target).await? {
            return Ok(stays);
        }
        let content = letter.map_or(message.content, |(_, content)| content);
        Ok(Relocation { sequence, size, priority, key, to: Some((target, content)) })
    }

    async fn is_there(&mut self, name: &QueueName) -> Result<bool, Status> {
        if let Some(&there) = self.known.get(name) {
            return Ok(there);
        }
        self.caller.may(&[Permission::Publish, Permission::Manage], name)?;
        let there = match self.services.broker.show(name.clone()).await.map_err(Status::from) {
            Ok(_) => true,
            Err(error) if error.code() == Code::NotFound => false,
            Err(error) => return Err(error),
        };
        self.known.insert(name.clone(), there);
        Ok(there)
    }
}
