//! The QPACK streams, and field sections that wait for them.

use std::time::{Duration, Instant};

use super::connection::H3;
use super::streams::Recv;
use crate::fault::{Fault, Violation};
use crate::id::{StreamId, StreamKey};
use crate::time::{Deadline, Why, after};
use crate::transport::Transport;
use crate::wire::qpack::{Decoded, QpackError};
use crate::wire::seen::Seen;

impl From<QpackError> for Violation {
    fn from(error: QpackError) -> Self {
        match error {
            QpackError::DecompressionFailed(_) => Self::QpackDecompression,
            QpackError::EncoderStream(_) => Self::QpackEncoderStream,
            QpackError::DecoderStream(_) => Self::QpackDecoderStream,
            QpackError::DecoderBacklog => Self::Nuisance,
        }
    }
}

impl From<QpackError> for Fault {
    fn from(error: QpackError) -> Self {
        Self::Connection(error.into())
    }
}

/// How long acknowledgments wait for something else to go with: less than QUIC's own may
/// (`max_ack_delay`, 25 ms), which go with them then.
const HELD: Duration = Duration::from_millis(10);

/// Bytes of acknowledgments that go by themselves, some dozens.
const FEW: usize = 64;

/// Bytes of a decoded section that are as much work as a field.
const DECODED: u64 = 64;

impl H3 {
    pub(super) fn on_encoder_bytes<T: Transport>(
        &mut self,
        t: &mut T,
        id: StreamId,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.decoder
            .handle_encoder_stream_seen(bytes, &mut |seen| t.seen(id, seen))?;
        let work = self.decoder.take_work();
        self.spend(work);
        self.charge(work)?;
        while let Some(id) = self.decoder.poll_unblocked() {
            let Some(key) = StreamId::from_wire(id).and_then(|id| self.table.find(id)) else {
                continue;
            };
            let section = self
                .table
                .exchange(key)
                .and_then(|exchange| exchange.blocked.take());
            if let Some(section) = section {
                let result = self.on_section(t, key, *section);
                self.settle_fault(t, result)?;
                let result = self.pump(t, key);
                self.settle_fault(t, result)?;
            }
        }
        self.acknowledge(t);
        Ok(())
    }

    pub(super) fn on_decoder_bytes<T: Transport>(
        &mut self,
        t: &mut T,
        id: StreamId,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.encoder
            .handle_decoder_stream_seen(bytes, &mut |seen| t.seen(id, seen))?;
        let work = self.encoder.take_work();
        self.spend(work);
        self.charge(work)
    }

    /// Decodes a section of a stream, or keeps it until it can be.
    pub(super) fn on_section<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        section: bytes::Bytes,
    ) -> Result<(), Fault> {
        let limit = self.config.limits.field_section;
        let decoded = self
            .decoder
            .decode_seen(key.id.wire(), &section, limit, &mut |seen| {
                t.seen(key.id, seen);
            })?;
        match decoded {
            Decoded::Blocked => {
                //= https://www.rfc-editor.org/rfc/rfc9204#section-2.1.2
                // Only this stream waits; nothing more of it is read meanwhile,
                // so flow control holds its peer back.
                let len = section.len() as u64;
                if let Some(exchange) = self.table.exchange(key) {
                    exchange.blocked = Some(Box::new(section));
                }
                self.await_more(key, Why::Section);
                self.count_section(t, key, len)
            }
            Decoded::TooLarge => {
                self.uncount_section(key);
                self.spend(u32::try_from(self.config.limits.fields).unwrap_or(u32::MAX));
                self.stats.sections_too_large += 1;
                self.acknowledge(t);
                self.on_section_too_large(t, key)
            }
            Decoded::Section(fields) => {
                t.seen(key.id, Seen::Decoded(fields.size()));
                self.section_came(key);
                self.uncount_section(key);
                let work = fields.len() as u64 + fields.size() / DECODED;
                self.spend(u32::try_from(work).unwrap_or(u32::MAX));
                self.acknowledge(t);
                self.on_fields(t, key, fields)
            }
        }
    }

    /// Sees to it that the peer's encoder is told what was decoded: with what is written
    /// next, or after a while. By itself each acknowledgment would be a packet.
    fn acknowledge<T: Transport>(&mut self, t: &mut T) {
        let owed = self.decoder.owed();
        if owed >= FEW {
            self.flush_local(t);
        } else if owed > 0 && self.acks_due.is_none() {
            self.acks_due = self.budget.now().map(|now| after(now, HELD));
        }
    }

    /// When acknowledgments go that nothing has gone with.
    pub(crate) fn acks_due(&self) -> Option<Deadline> {
        let at = self.acks_due?;
        Some(Deadline {
            at,
            why: Why::Acknowledgments,
        })
    }

    /// Acknowledgments have waited long enough.
    pub(crate) fn handle_acks<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.acks_due.is_some_and(|at| at <= now) {
            self.flush_local(t);
        }
    }

    /// Something is written: acknowledgments go with it.
    #[inline]
    pub(super) fn send_acks_along<T: Transport>(&mut self, t: &mut T) {
        if self.acks_due.is_some() {
            self.flush_local(t);
        }
    }

    /// Tells the peer's encoder that a stream's sections will not be decoded.
    pub(super) fn cancel_sections<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        let unfinished = self
            .table
            .get(key)
            .is_some_and(|slot| slot.exchange_ref().is_some() && slot.recv != Recv::Closed);
        if unfinished {
            self.cancel_reading(t, key)?;
        }
        Ok(())
    }

    /// As [`Self::cancel_sections`], of a stream that is known not to have been read to its
    /// end.
    pub(super) fn cancel_reading<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-2.2.2.2
        // The peer's encoder must not wait for a stream that is abandoned, and so is told
        // at once.
        self.decoder.cancel_stream(key.id.wire())?;
        self.flush_local(t);
        Ok(())
    }

    /// Hands what our critical streams owe to the transport.
    pub(crate) fn flush_local<T: Transport>(&mut self, t: &mut T) {
        self.control_out.flush(t);
        self.acks_due = None;
        if self.decoder.owed() > 0 {
            self.decoder_out.flush(t);
            // What the peer does not take stays in the decoder, which bounds it.
            if self.decoder_out.is_flushed() {
                self.decoder.take_output(self.decoder_out.buffer());
            }
        }
        let at_once = self.config.qpack_streams_at_once;
        if at_once || self.decoder_out.is_open() {
            self.decoder_out.flush(t);
        }
        if self.encoder.has_output() {
            self.encoder_out.flush(t);
            if self.encoder_out.is_flushed() {
                self.encoder.take_output(self.encoder_out.buffer());
            }
        }
        if at_once || self.encoder_out.is_open() {
            self.encoder_out.flush(t);
        }
    }
}
