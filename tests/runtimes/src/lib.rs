//! One script for every runtime adapter: what happens is noted by both ends in
//! the words of [`trace`], whether futures ([`handles`]) or events ([`events`])
//! tell it, so the traces of any two adapters can be compared, and any adapter
//! can talk to any other. What the endpoints were fed meanwhile can be recorded
//! and gone through again offline ([`recording`]).

pub mod events;
pub mod handles;
pub mod pipe;
pub mod raw;
pub mod recording;
pub mod runtime;
pub mod script;
pub mod trace;
pub mod tunnel;
