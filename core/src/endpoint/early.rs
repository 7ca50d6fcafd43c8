//! Early data (0-RTT) of one connection: from when on there may be some.

use std::time::Instant;

use super::connection::State;
use super::parameters::PeerParameters;
use crate::error::{CloseReason, TransportFailure};
use crate::transport::TransportEvent;

impl State {
    /// Tells the layer above, once, that early data may be sent, or comes.
    pub(super) fn begin_early(&mut self, now: Instant) {
        if self.early || !self.quic.has_0rtt() || !self.quic.is_handshaking() {
            return;
        }
        let remembered = if self.quic.side().is_client() {
            // Without, nothing is known by which anything could be sent.
            let Some(settings) = self.tickets.take_used() else {
                return;
            };
            Some(Box::new(settings))
        } else {
            self.learn_parameters();
            None
        };
        self.early = true;
        self.measure_datagrams();
        self.tell_upper(now, TransportEvent::Early { remembered });
    }

    /// Forgets the tickets of a server on which a connection with early data has failed: it
    /// would fail with each of them, and a handshake without is sure to be one round trip
    /// more at the most.
    //= https://www.rfc-editor.org/rfc/rfc9001#section-4.6.2
    // A client that attempts 0-RTT has to be ready for it not to work.
    pub(super) fn judge_early(&mut self) {
        let failed = match self.upper.close_reason() {
            Some(CloseReason::PeerMisbehaved { .. }) => true,
            Some(CloseReason::Transport(failure)) => match failure {
                TransportFailure::Error { .. } | TransportFailure::ClosedByPeer { .. } => true,
                // Nothing was heard of the handshake: it may be that early data is what
                // does not arrive.
                TransportFailure::TimedOut => self.early_outcome.is_none(),
                _ => false,
            },
            _ => false,
        };
        if failed {
            self.tickets.forget();
        }
    }

    /// The peer's transport parameters are known.
    pub(super) fn learn_parameters(&mut self) {
        let mut peer = PeerParameters::of(&self.quic);
        if let Some(peer) = &mut peer {
            peer.reset_stream_at = self.resets.both_take();
        }
        self.facts.datagrams.peer = peer.as_ref().and_then(PeerParameters::max_datagram);
        self.facts.peer = peer;
        if let Some(peer) = peer {
            self.resets
                .allow(peer.initial_max_streams_bidi, peer.initial_max_streams_uni);
        }
    }

    /// Asks QUIC for the largest datagram that may be sent.
    pub(super) fn measure_datagrams(&mut self) {
        let room = self.resets.datagram_room();
        let most = self.quic.datagrams().max_size();
        self.facts.datagrams.path = most.map(|bytes| bytes.saturating_sub(room));
    }
}
