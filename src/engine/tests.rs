//! What the engine must do, as scripts; [`script`] has their language.

mod credit;
mod life;
mod queues;
mod receipts;
mod restarts;
pub(crate) mod script;
pub(crate) mod shadow;
