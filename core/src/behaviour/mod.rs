//! Behaviours: a protocol of your own on QUIC, written as callbacks.

mod action;
mod config;
mod connection;
mod context;
mod mode;
mod runner;
mod stream;

pub use action::{
    Action, ActionError, Actions, Failure, IntoIter, NewStream, StreamAction, StreamActionError,
};
pub use config::Config;
pub use connection::{Accept, Behaviour, ConnectionClosed, ConnectionResult, Opened, Verdict};
pub use context::{Context, StreamContext};
pub use mode::{At, Mode, ReceiveError, Want};
pub use runner::Runner;
pub use stream::{HandedOver, Owner, StreamBehaviour, StreamResult};
