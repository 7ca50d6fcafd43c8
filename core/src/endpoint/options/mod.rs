//! Options of raw QUIC by name, as people and programs write them: with units, ranges, and an
//! error for each that is not taken. None is passed over.
//!
//! The names are those of other stacks, msquic's and quicer's, so that who knows these finds
//! what becomes of each: a field of ours, a call, a thing that is always so, or a refusal with
//! its reason.
//!
//! ```
//! use aqueduct_core::endpoint::options::{OptionError, Options};
//!
//! # fn main() -> Result<(), OptionError> {
//! let mut options = Options::server();
//! options.set("alpn", "chat")?;
//! options.set("idle_timeout_ms", "45s")?;
//! options.set("peer_bidi_stream_count", 16_u64)?;
//! assert_eq!(options.transport.max_streams_bidi, 16);
//! let refused = options.set("disable_1rtt_encryption", true);
//! assert!(matches!(refused, Err(OptionError::NotSupported { .. })));
//! # Ok(())
//! # }
//! ```
//!
#![doc = include_str!("table.md")]

mod error;
mod sections;
mod table;
mod value;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::NoServerSessionStorage;

use super::config::EndpointConfig;
use super::settings::TransportSettings;
use super::target::Target;
use crate::id::Dir;
use crate::quic;

pub use error::OptionError;
pub use table::{Entry, Section, entries, sections};
pub use value::Value;

/// What the options have come to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// What QUIC is told.
    pub transport: TransportSettings,
    /// How the connection behaves.
    pub quic: quic::Config,
    /// The names in TLS.
    pub alpn: Vec<Vec<u8>>,
    /// What a server's tickets are good for; `None` leaves it to its TLS configuration.
    pub resumption: Option<Resumption>,
    /// Whether clients may go on from another address (server).
    pub migration: bool,
    /// Whether a client sends early data (0-RTT), with a ticket.
    pub early_data: bool,
    /// Which way streams go that this side begins.
    pub dir: Dir,
    /// How they are begun.
    pub start: quic::Start,
}

/// What a server's session tickets are good for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Resumption {
    /// There are none.
    Off,
    /// A shorter handshake.
    Resume,
    /// That, and early data (0-RTT), which may be a replay.
    Early,
}

impl Options {
    /// The defaults of a client.
    #[must_use]
    pub fn client() -> Self {
        Self::of(TransportSettings::client())
    }

    /// The defaults of a server.
    #[must_use]
    pub fn server() -> Self {
        Self::of(TransportSettings::default())
    }

    fn of(transport: TransportSettings) -> Self {
        Self {
            transport,
            quic: quic::Config::new(),
            alpn: Vec::new(),
            resumption: None,
            migration: true,
            early_data: false,
            dir: Dir::Bi,
            start: quic::Start::new(),
        }
    }

    /// Sets one. Text is read as what the option takes: `yes` and `no`, numbers, times with a
    /// unit (`250ms`, `30s`) or in the option's own, bytes with one (`64KiB`) or without.
    /// O(options).
    ///
    /// # Errors
    /// [`OptionError`] names the option; nothing was changed.
    pub fn set<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) -> Result<(), OptionError> {
        let entry = entries().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| OptionError::Unknown(name.into()))?;
        entry.set(self, value.into())
    }

    /// A server's configuration with these options, for raw QUIC and nothing else.
    ///
    /// # Errors
    /// [`OptionError::Missing`] of `alpn`; [`OptionError::Config`].
    pub fn endpoint(
        &self,
        mut tls: Arc<rustls::ServerConfig>,
    ) -> Result<EndpointConfig, OptionError> {
        if self.resumption == Some(Resumption::Off) {
            let tls = Arc::make_mut(&mut tls);
            tls.session_storage = Arc::new(NoServerSessionStorage {});
            tls.send_tls13_tickets = 0;
        }
        let config = EndpointConfig::quic_server(tls, self.names()?, self.quic.clone())?;
        let config = config.transport(self.transport.clone())?;
        let early = self.resumption == Some(Resumption::Early);
        Ok(config.migration(self.migration).early_data(early)?)
    }

    /// Where a client connects to, with these options.
    ///
    /// # Errors
    /// [`OptionError::Missing`] of `alpn`; [`OptionError::Config`].
    pub fn target(
        &self,
        addr: SocketAddr,
        server_name: &str,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Target, OptionError> {
        self.transport.check()?;
        let target = Target::new(addr, server_name, tls);
        let target = target.quic(self.names()?, self.quic.clone())?;
        let target = target.early_data(self.early_data);
        Ok(target.transport(self.transport.clone()))
    }

    fn names(&self) -> Result<Vec<Vec<u8>>, OptionError> {
        if self.alpn.is_empty() {
            return Err(OptionError::Missing("alpn"));
        }
        Ok(self.alpn.clone())
    }
}
