//! What a callback can see.

use std::time::Instant;

use super::mode::Mode;
use crate::id::{Side, StreamKey};
use crate::quic::About;

/// What a callback of a connection can see.
#[derive(Copy, Clone, Debug)]
pub struct Context<'a> {
    pub(super) facts: &'a Facts,
    pub(super) now: Instant,
    pub(super) streams: usize,
}

/// What is kept of a connection between the times at which it can be looked at.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) side: Side,
    pub(super) about: Option<Box<About>>,
    pub(super) established: bool,
    /// The handshake was complete at some time, the certificates confirmed.
    pub(super) established_once: bool,
    pub(super) max_datagram: Option<usize>,
}

impl<'a> Context<'a> {
    /// What is known of the connection: addresses, names. `None` where the transport does
    /// not say, and at a client before the handshake is complete.
    #[must_use]
    pub fn about(&self) -> Option<&'a About> {
        self.facts.about.as_deref()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.facts.side
    }

    /// Whether the handshake is complete. What a server hears before is early data.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.facts.established
    }

    /// Streams whose end has not been told.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.streams
    }

    /// The largest datagram that can be sent at present, in bytes; `None` when none can.
    #[must_use]
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.facts.max_datagram
    }
}

/// What a callback of a stream can see.
#[derive(Copy, Clone, Debug)]
pub struct StreamContext<'a> {
    pub(super) connection: Context<'a>,
    pub(super) key: StreamKey,
    pub(super) mode: Mode,
    pub(super) offset: u64,
}

impl<'a> StreamContext<'a> {
    /// What can be seen of its connection.
    #[must_use]
    pub fn connection(&self) -> Context<'a> {
        self.connection
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.connection.now
    }

    /// The stream.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.key
    }

    /// How it receives from here on, if the callback does not change it.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where the next byte stands that its owner is given: so many it was given.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}
