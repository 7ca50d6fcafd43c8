//! Sans-IO HTTP/3 and WebTransport.
#![forbid(unsafe_code)]

pub mod access;
pub mod code;
pub mod command;
pub mod config;
pub mod connection;
#[cfg(feature = "driver")]
pub mod driver;
#[cfg(feature = "quinn")]
pub mod endpoint;
pub mod error;
pub mod event;
pub mod fault;
mod h3;
pub mod head;
pub mod id;
mod session;
pub mod stats;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod transport;
pub mod wire;
