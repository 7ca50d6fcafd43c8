//! The tokio API over real sockets on loopback, both ends in one process.

mod agreed;
mod alternatives;
#[cfg(feature = "proxy")]
mod carrier;
mod chat;
mod client;
#[cfg(feature = "proxy")]
mod client_proxy;
mod early_data;
mod endings;
#[cfg(feature = "web-transport-trait")]
mod generic;
#[cfg(all(feature = "quic-lb", target_os = "linux"))]
mod group;
mod harness;
mod hooks;
mod listener;
#[cfg(all(feature = "proxy", target_os = "linux"))]
mod own;
mod page;
#[cfg(any(feature = "web-transport-trait", feature = "web-transport-trait-0-4"))]
mod polled;
#[cfg(feature = "proxy")]
mod proxy;
mod reconnect;
mod renewed;
mod requests;
#[path = "../../examples/chat/room.rs"]
mod room;
mod streams;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "tower")]
mod tower_sessions;

/// What the example's modules fail with.
type Anything = Box<dyn std::error::Error + Send + Sync>;
