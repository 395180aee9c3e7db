//! What the engine must do, as scripts; [`script`] has their language.

mod by_key;
mod credit;
mod delays;
mod fifo;
mod lanes;
mod life;
mod limits;
mod lives;
mod names;
mod queues;
mod receipts;
mod restarts;
mod retries;
mod script;
mod settings_in_use;
mod shadow;
mod topics;
mod transactions;
mod words;
