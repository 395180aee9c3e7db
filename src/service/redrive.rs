//! Redrive: dead letters go back to where they came from, a bounded step at a time, each step in one entry.
//!
//! It goes through the dead-letter queue once, from its first message to what was its last when the call began, and takes what is
//! ready. What was published there directly, or came from a queue that is gone, stays.
//!
//! What stays is only looked at, however much it is, until one behind it goes: then it is stepped over, page by page from where it begins.
//! Between any two steps other calls have their turn.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::try_unfold;
use tonic::{Code, Status};

use super::access::{Caller, Permission};
use super::admin::Answers;
use super::status::Invalid;
use super::{Services, check, proto};
use crate::broker::{
    BrokerError, MessageState, Moved, Page, Peeked, Relocation, Window, ordering_key, revived,
};
use crate::types::{QueueName, Sequence};

/// The most messages and bytes of a step.
const STEP: usize = 256;
const STEP_BYTES: usize = 1 << 20;
/// The most messages that may stay while others behind them go: each is known one by one from then on, which takes as much memory as
/// a delayed message does, about 330 bytes. There may be as many of those.
const STAYING_MAX: usize = 1_000_000;
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
    /// How many stayed and were stepped over.
    stayed: usize,
    /// What stays and has to be stepped over by whoever takes what is behind it: where it begins, and how many there are before `from`.
    passed: Option<(Sequence, usize)>,
    /// Whether that is under way.
    stepping_over: bool,
    /// Why it ends once its progress was told.
    failed: Option<Status>,
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
            stayed: 0,
            passed: None,
            stepping_over: false,
            failed: None,
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
    /// Looks at one page, and moves what it holds. Nothing comes after the last.
    async fn step(mut self) -> Result<(proto::RedriveMessagesResponse, Option<Self>), Status> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let next = match self.passed {
            Some((begin, _)) if self.stepping_over => self.step_over(begin).await?,
            Some(_) | None => self.look().await?,
        };
        let view = self.services.broker.show(self.queue.clone()).await?;
        let next = next.filter(|&next| self.failed.is_some() || next < self.until && self.left > 0);
        let remaining = if next.is_some() { view.depth.ready.min(self.left) } else { 0 };
        let progress = proto::RedriveMessagesResponse { moved: self.moved, remaining };
        Ok((progress, next.map(|from| Self { from, ..self })))
    }

    /// Moves what goes of the next page, unless something before it has to be stepped over first. Says where to go on.
    async fn look(&mut self) -> Result<Option<Sequence>, Status> {
        let page = self.page(self.from).await?;
        let mut relocations = Vec::new();
        let mut going = 0;
        for peeked in page.items {
            if going == self.left || peeked.message.sequence >= self.until {
                break;
            }
            let relocation = self.relocation(peeked).await?;
            going += u64::from(relocation.to.is_some());
            relocations.push(relocation);
        }
        let Some(last) = relocations.iter().rposition(|relocation| relocation.to.is_some()) else {
            self.pass(&relocations);
            return Ok(page.next);
        };
        let behind = relocations.split_off(last + 1);
        let staying = relocations.len() - usize::try_from(going).unwrap_or(0);
        let passed = self.passed.map_or(0, |(_, count)| count);
        if self.stayed + passed + staying > STAYING_MAX {
            let problem = format!(
                "more than {STAYING_MAX} messages of {} that stay lie before those that go; move others first",
                self.queue
            );
            return Err(Invalid::over_limit("source_queue", problem).into());
        }
        if passed > 0 {
            self.stepping_over = true;
            return Ok(Some(self.from));
        }
        self.stayed += staying;
        let Moved { messages: moved, full } = self.relocate(relocations).await?;
        self.moved += moved;
        self.left = self.left.saturating_sub(moved);
        if let Some(full) = full {
            self.failed = Some(full.into());
            return Ok(Some(self.from));
        }
        self.pass(&behind);
        Ok(page.next)
    }

    /// Takes note of what stays, at the end of a page.
    fn pass(&mut self, staying: &[Relocation]) {
        if let Some(first) = staying.first() {
            let (begin, count) = self.passed.unwrap_or((first.sequence, 0));
            self.passed = Some((begin, count + staying.len()));
        }
    }

    /// Steps over one page of what was passed, which ends where the next look begins.
    async fn step_over(&mut self, begin: Sequence) -> Result<Option<Sequence>, Status> {
        let page = self.page(begin).await?;
        let passed = page.items.iter().filter(|peeked| peeked.message.sequence < self.from);
        let staying: Vec<_> = passed.map(staying).collect();
        self.stayed += staying.len();
        if !staying.is_empty() {
            self.relocate(staying).await?;
        }
        let next = page.next.filter(|&next| next < self.from);
        self.passed = next.map(|next| (next, 0));
        self.stepping_over = next.is_some();
        Ok(Some(self.from))
    }

    async fn page(&self, from: Sequence) -> Result<Page<Peeked, Sequence>, Status> {
        let window = Window { from, count: STEP };
        let state = Some(MessageState::Ready);
        Ok(self.services.broker.peek(self.queue.clone(), window, state, STEP_BYTES).await?)
    }

    /// Waits while the store is behind, as a publisher would.
    async fn relocate(&self, relocations: Vec<Relocation>) -> Result<Moved, Status> {
        loop {
            match self.services.broker.relocate(self.queue.clone(), relocations.clone()).await {
                Err(BrokerError::Behind) => tokio::time::sleep(PAUSE).await,
                done => return done.map_err(Status::from),
            }
        }
    }

    /// Where a message goes, if it does not stay.
    async fn relocation(&mut self, peeked: Peeked) -> Result<Relocation, Status> {
        let stays = staying(&peeked);
        let message = peeked.message;
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
        Ok(Relocation { to: Some((target, content)), ..stays })
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

/// A message that stays where it is.
fn staying(peeked: &Peeked) -> Relocation {
    let Peeked { priority, message, .. } = peeked;
    Relocation {
        sequence: message.sequence,
        size: message.content.size(),
        priority: *priority,
        key: ordering_key(&message.content),
        to: None,
    }
}
