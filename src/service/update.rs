//! Changes of a queue's settings, field by field.

use std::str::FromStr;

use tonic::Status;

use super::access::{Caller, Permission};
use super::status::Invalid;
use super::{Services, check, proto, queue_settings, wire};
use crate::broker::Patch;
use crate::types::{QueueName, QueueSettings, SettingsField};

/// A setting as a mask names it.
struct Path(SettingsField);

impl FromStr for Path {
    type Err = Invalid;

    fn from_str(path: &str) -> Result<Self, Invalid> {
        let field = SettingsField::ALL.into_iter().find(|field| field.name() == path);
        field.map(Path).ok_or_else(|| {
            let names = SettingsField::ALL.map(SettingsField::name).join(", ");
            Invalid::new(
                "update_mask",
                format!("{path:?} is no setting that can be changed; these are: {names}"),
            )
        })
    }
}

impl Services {
    pub(super) async fn change_queue(
        &self,
        caller: &Caller,
        request: proto::UpdateQueueRequest,
    ) -> Result<proto::UpdateQueueResponse, Status> {
        let name = check::queue_name("name", &request.name)?;
        caller.may(&[Permission::Manage], &name)?;
        let patch = patch(&name, &request.settings.unwrap_or_default(), request.update_mask)?;
        caller.may_dead_letter_to(&patch.settings)?;
        let view = self.broker.update(name, patch).await?;
        Ok(proto::UpdateQueueResponse { queue: Some(wire::queue(&view)) })
    }
}

impl Caller {
    /// Refuses a caller that may not publish to the dead-letter queue that it names.
    pub(super) fn may_dead_letter_to(&self, settings: &QueueSettings) -> Result<(), Status> {
        match &settings.dead_letter_queue {
            Some(dead) => self.may(&[Permission::Publish, Permission::Manage], dead),
            None => Ok(()),
        }
    }
}

/// What is to be changed. Only what the mask names is looked at.
fn patch(
    name: &QueueName,
    new: &proto::QueueSettings,
    mask: Option<prost_types::FieldMask>,
) -> Result<Patch, Invalid> {
    let paths = mask.unwrap_or_default().paths;
    if paths.is_empty() {
        let problem = "name the settings to change, such as \"paused\"";
        return Err(Invalid::new("update_mask", problem));
    }
    let fields = paths.iter().map(|path| path.parse().map(|Path(field)| field));
    let fields = fields.collect::<Result<Vec<SettingsField>, Invalid>>()?;
    let settings = queue_settings::each(name, &masked(new, &fields))?;
    Ok(Patch { fields, settings })
}

/// The new values of these fields, and nothing else.
fn masked(new: &proto::QueueSettings, fields: &[SettingsField]) -> proto::QueueSettings {
    let mut wire = proto::QueueSettings::default();
    for field in fields {
        match field {
            SettingsField::Ordering => wire.ordering = new.ordering,
            SettingsField::Delivery => wire.delivery = new.delivery,
            SettingsField::Durability => wire.durability = new.durability,
            SettingsField::LeaseDuration => wire.lease_duration = new.lease_duration,
            SettingsField::MaxAttempts => wire.max_attempts = new.max_attempts,
            SettingsField::RetryBackoff => wire.retry_backoff = new.retry_backoff,
            SettingsField::DeadLetterQueue => wire.dead_letter_queue.clone_from(&new.dead_letter_queue),
            SettingsField::TimeToLive => wire.time_to_live = new.time_to_live,
            SettingsField::MaxMessages => wire.max_messages = new.max_messages,
            SettingsField::MaxBytes => wire.max_bytes = new.max_bytes,
            SettingsField::Overflow => wire.overflow = new.overflow,
            SettingsField::DeduplicationWindow => wire.deduplication_window = new.deduplication_window,
            SettingsField::SingleActiveConsumer => {
                wire.single_active_consumer = new.single_active_consumer;
            }
            SettingsField::Paused => wire.paused = new.paused,
        }
    }
    wire
}
