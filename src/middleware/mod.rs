//! What every call passes through before it reaches a service: tower layers, one a file.
//!
//! A layer knows nothing of queues, of RPCs, or of the transport below it. It refuses by answering: every refusal is
//! made in [`refusal`], so nothing outside has to map an error. What a layer holds for a call (a permit, a gauge, a
//! timer) travels in the response's body, so that a stream counts until it ends.
//!
//! Meant to be stacked, outermost first: [`peer`] (names the caller), [`metrics`] (counts refusals too), [`deadline`],
//! [`shed`], [`auth`].

pub mod auth;
pub mod deadline;
pub mod held;
pub mod identity;
pub mod metrics;
pub mod peer;
pub mod refusal;
pub mod shed;
pub mod tokens;

#[cfg(test)]
mod testing;
