//! What the engine must do, as scripts; [`script`] has their language.

mod credit;
mod lanes;
mod life;
mod limits;
mod names;
mod queues;
mod receipts;
mod restarts;
mod script;
mod shadow;
mod topics;
mod words;
