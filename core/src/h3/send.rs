//! What this side sends on a stream: heads, content in DATA frames, raw bytes,
//! the end.
//!
//! A DATA frame whose header has gone out is a promise of bytes. What the
//! transport does not take of them stays in the slot, at most one frame, and
//! goes first next time: the application may end the message at any point.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use smallvec::SmallVec;

use super::budget::NOTICE;
use super::connection::{ARENA, H3, LEAST_FRAME, TAILS};
use super::exchange::{Exchange, Length, Part};
use super::message::{self, Wrong};
use super::outgoing::{self, Outgoing};
use super::streams::{Kind, Send, SendEnd, Slot};
use super::{Fact, H3Event};
use crate::error::{InvalidHead, PeerCode, RequestError, ResetError, SendError, WriteError};
use crate::fault::Fault;
use crate::head::{End, RequestHead, ResponseHead};
use crate::id::{Dir, Side, StreamKey};
use crate::time::Why;
use crate::transport::{StreamGone, Transport};
use crate::wire::frame;
use crate::wire::seen::Seen;

/// The transport's number for a stream of which nobody has said how urgent it is.
const USUAL: i32 = 0;

/// Bytes of a response after which a stop of it is a change of mind.
const BEGUN: u64 = 16_000;

impl H3 {
    /// Whether a request could begin now, whatever its head.
    pub(crate) fn may_request(&self) -> Result<(), RequestError> {
        if self.side == Side::Server {
            return Err(RequestError::WrongSide);
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
        // After a GOAWAY in either direction no request is begun.
        if self.goaway_received.is_some() || self.goaway_sent.is_some() {
            return Err(RequestError::Draining);
        }
        Ok(())
    }

    /// Sends a request (client).
    pub(crate) fn request<T: Transport>(
        &mut self,
        t: &mut T,
        head: &RequestHead,
        end: End,
    ) -> Result<StreamKey, RequestError> {
        //= https://www.rfc-editor.org/rfc/rfc9220#section-3
        // `:protocol` goes to servers alone that have said they take it.
        if head.protocol.is_some() {
            let settings = self
                .settings_in_force()
                .ok_or(RequestError::SettingsNotReceived)?;
            if !settings.enable_connect_protocol() {
                return Err(RequestError::ConnectProtocolNotEnabled);
            }
        }
        self.request_implied(t, head, end)
    }

    /// The same where something older than the setting allows `:protocol`: WebTransport
    /// drafts that imply it.
    pub(crate) fn request_implied<T: Transport>(
        &mut self,
        t: &mut T,
        head: &RequestHead,
        end: End,
    ) -> Result<StreamKey, RequestError> {
        self.may_request()?;
        let invalid = |wrong: Wrong| RequestError::InvalidHead(wrong.into());
        let fields = outgoing::request(head).map_err(invalid)?;
        let length = message::content_length(&head.headers).map_err(invalid)?;
        if end == End::Fin && length.is_some_and(|length| length != 0) {
            return Err(RequestError::InvalidHead(InvalidHead {
                field: "content-length",
                why: "announces content, and the request ends here",
            }));
        }
        if self.exceeds_peer_limit(&fields) {
            return Err(RequestError::HeadTooLarge);
        }
        let id = t.open(Dir::Bi).ok_or(RequestError::Blocked)?;
        let mut exchange = Exchange::requested(head);
        exchange.send_length = Length::new(length);
        exchange.send = if exchange.is_connect() {
            Part::Tunnel
        } else {
            Part::Body
        };
        let slot = Slot::new(id, self.side, Kind::Exchange(Box::new(exchange)));
        let key = self.table.insert(slot);
        if head.method == http::Method::CONNECT {
            self.await_more(key, Why::Answer);
        }
        self.exchanges += 1;
        self.stats.requests += 1;
        self.stats.early_requests += u64::from(!self.established);
        self.send_section(t, key, &fields);
        if end == End::Fin && head.method != http::Method::CONNECT {
            self.end(t, key);
        }
        Ok(key)
    }

    /// Sends an interim or the final response (server).
    pub(crate) fn respond<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        head: &ResponseHead,
        end: End,
    ) -> Result<(), SendError> {
        let interim = head.status.is_informational();
        let invalid = |wrong: Wrong| SendError::InvalidHead(wrong.into());
        let fields = outgoing::response(head).map_err(invalid)?;
        let length = message::content_length(&head.headers).map_err(invalid)?;
        let too_large = self.exceeds_peer_limit(&fields);
        let slot = self.table.get_mut(key).ok_or(SendError::Gone)?;
        let over = slot.send_error();
        let exchange = slot.exchange().ok_or(SendError::Gone)?;
        if let Some(over) = over {
            return Err(over);
        }
        if exchange.send != Part::Head {
            return Err(SendError::WrongState);
        }
        if too_large {
            return Err(SendError::HeadTooLarge);
        }
        if !interim {
            let status = head.status.as_u16();
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
            // A response without content may still state a length.
            let no_content = exchange.is_head_request() || status == 304 || status == 204;
            if end == End::Fin && !no_content && length.is_some_and(|length| length != 0) {
                return Err(SendError::ContentLength);
            }
            exchange.send_length = Length::new(if no_content { Some(0) } else { length });
            exchange.send = if exchange.is_connect() && head.status.is_success() {
                exchange.send_length = Length::UNKNOWN;
                Part::Tunnel
            } else {
                Part::Body
            };
        }
        self.send_section(t, key, &fields);
        if end == End::Fin && !interim {
            self.end(t, key);
        }
        Ok(())
    }

    /// Sends trailers and the end.
    pub(crate) fn send_trailers<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        trailers: &HeaderMap,
    ) -> Result<(), SendError> {
        let fields =
            outgoing::trailers(trailers).map_err(|wrong| SendError::InvalidHead(wrong.into()))?;
        if self.exceeds_peer_limit(&fields) {
            return Err(SendError::HeadTooLarge);
        }
        self.check_end(key)?;
        // A data stream of a session is no message.
        let exchange = self.table.exchange(key);
        let exchange = exchange.ok_or(SendError::WrongState)?;
        if exchange.send != Part::Body {
            return Err(SendError::WrongState);
        }
        exchange.send = Part::Trailers;
        self.send_section(t, key, &fields);
        self.end(t, key);
        Ok(())
    }

    /// Ends the message or raw stream cleanly.
    pub(crate) fn finish<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), SendError> {
        self.check_end(key)?;
        self.end(t, key);
        Ok(())
    }

    /// Whether the message may end here.
    fn check_end(&mut self, key: StreamKey) -> Result<(), SendError> {
        let slot = self.table.get_mut(key).ok_or(SendError::Gone)?;
        if let Some(over) = slot.send_error() {
            return Err(over);
        }
        let Some(exchange) = slot.exchange() else {
            return Ok(());
        };
        if exchange.send == Part::Head {
            return Err(SendError::WrongState);
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.2
        // What we send is held to what we announced.
        if exchange
            .send_length
            .get()
            .is_some_and(|length| length != exchange.sent)
        {
            return Err(SendError::ContentLength);
        }
        Ok(())
    }

    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
    // A sender does not send what the receiver has said it will not take.
    fn exceeds_peer_limit(&self, fields: &Outgoing<'_>) -> bool {
        self.settings_in_force()
            .and_then(|settings| settings.max_field_section_size())
            .is_some_and(|limit| fields.size() > limit)
    }

    fn send_section<T: Transport>(&mut self, t: &mut T, key: StreamKey, fields: &Outgoing<'_>) {
        let mut section = std::mem::take(&mut self.section);
        self.encoder
            .encode(key.id.wire(), fields.iter(), &mut section);
        self.flush_local(t);
        let head = frame::headers_header(section.len());
        let len = head.len() + section.len();
        let frame = if len > ARENA / 4 {
            let mut frame = BytesMut::with_capacity(len);
            frame.put_slice(&head);
            frame.put_slice(&section);
            frame.freeze()
        } else {
            self.cut([&head, &section])
        };
        section.clear();
        // What a large one has grown to is not kept.
        if section.capacity() <= ARENA {
            self.section = section;
        }
        if let Some(slot) = self.table.get_mut(key) {
            slot.owed.push(frame);
        }
        t.seen(key.id, Seen::Encoded);
        self.flush_stream(t, key);
    }

    /// A frame header as `Bytes`, cut from a shared buffer.
    pub(crate) fn frame_head(&mut self, head: &[u8]) -> Bytes {
        self.cut([head])
    }

    /// Pieces in one, cut from a shared buffer: at most a quarter of it.
    fn cut<const N: usize>(&mut self, pieces: [&[u8]; N]) -> Bytes {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.arena.capacity() < len {
            // Many connections never have much to say.
            self.arena.reserve(self.arena_block.max(len));
            self.arena_block = (2 * self.arena_block).min(ARENA);
        }
        for piece in pieces {
            self.arena.put_slice(piece);
        }
        self.arena.split().freeze()
    }

    /// Marks the sending half as ended and tells the transport when it can be.
    pub(crate) fn end<T: Transport>(&mut self, t: &mut T, key: StreamKey) {
        if let Some(slot) = self.table.get_mut(key)
            && slot.send == Send::Open
        {
            slot.send = Send::Finishing;
            self.flush_stream(t, key);
        }
    }

    /// Hands owed bytes to the transport. True when none are left.
    pub(crate) fn flush_stream<T: Transport>(&mut self, t: &mut T, key: StreamKey) -> bool {
        self.send_acks_along(t);
        let flushed = self.hand_over(t, key);
        self.watch_sending(key);
        self.watch_answer(key);
        flushed
    }

    fn hand_over<T: Transport>(&mut self, t: &mut T, key: StreamKey) -> bool {
        let Some(slot) = self.table.get_mut(key) else {
            return false;
        };
        while !slot.owed.is_empty() {
            match t.write(key.id, &mut slot.owed) {
                Ok(taken) => {
                    slot.written += taken as u64;
                    self.sent += taken as u64;
                }
                // The stop arrives as an event, which decides what happens.
                Err(StreamGone::Stopped(_)) => return false,
                Err(StreamGone::Reset { .. } | StreamGone::Unknown) => {
                    slot.owed.clear();
                    slot.send = Send::Closed;
                    self.settle(key);
                    return false;
                }
            }
            slot.owed.retain(|chunk| !chunk.is_empty());
            if !slot.owed.is_empty() {
                return false;
            }
        }
        if let Send::Resetting(code) = slot.send {
            t.reset(key.id, code, slot.head());
            slot.send = Send::Closed;
            slot.send_end = Some(SendEnd::Reset);
            self.settle(key);
            return false;
        }
        if slot.send == Send::Finishing {
            t.finish(key.id);
            slot.send = Send::Finished;
        }
        true
    }

    /// Content of a message: whole or partial chunks, framed.
    pub(crate) fn write_content<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        chunks: &mut [Bytes],
    ) -> Result<usize, WriteError> {
        let mut taken = 0;
        loop {
            let offered: usize = chunks.iter().map(Bytes::len).sum();
            if !self.may_write(t, key, offered as u64)? || offered == 0 {
                self.note_blocked(key, offered);
                return Ok(taken);
            }
            // Each of them may be left with the tail of one.
            let share = (TAILS / self.exchanges.max(1)).max(LEAST_FRAME);
            let len = offered.min(self.config.limits.frame_payload.clamp(1, share));
            let head = self.frame_head(&frame::data_header(len));
            let Some(slot) = self.table.get_mut(key) else {
                return Err(WriteError::Gone);
            };
            slot.owed.push(head);
            take_front(chunks, len, &mut slot.owed);
            if let Some(exchange) = slot.exchange() {
                exchange.sent += len as u64;
            }
            taken += len;
            self.flush_stream(t, key);
        }
    }

    /// Content that cannot be refused: a small, bounded number of capsules. What
    /// the transport does not take stays with the stream.
    pub(crate) fn push_content<T: Transport>(&mut self, t: &mut T, key: StreamKey, content: Bytes) {
        let head = self.frame_head(&frame::data_header(content.len()));
        if let Some(slot) = self.table.get_mut(key)
            && slot.send == Send::Open
        {
            slot.owed.push(head);
            slot.owed.push(content);
            self.flush_stream(t, key);
        }
    }

    /// Whether content may be written now; false when the transport is full.
    fn may_write<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        offered: u64,
    ) -> Result<bool, WriteError> {
        let slot = self.table.get_mut(key).ok_or(WriteError::Gone)?;
        let over = slot.write_error();
        let exchange = slot.exchange().ok_or(WriteError::Gone)?;
        if let Some(over) = over {
            return Err(over);
        }
        if !matches!(exchange.send, Part::Body | Part::Tunnel) {
            return Err(WriteError::WrongState);
        }
        if exchange
            .send_length
            .get()
            .is_some_and(|length| length - exchange.sent < offered)
        {
            return Err(WriteError::ContentLength);
        }
        Ok(self.flush_stream(t, key))
    }

    fn note_blocked(&mut self, key: StreamKey, offered: usize) {
        if offered > 0
            && let Some(slot) = self.table.get_mut(key)
        {
            slot.wants_writable = true;
            self.watch_sending(key);
            self.watch_answer(key);
        }
    }

    /// Bytes of a claimed stream, at most `max` of them.
    pub(crate) fn write_raw<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        chunks: &mut [Bytes],
    ) -> Result<usize, WriteError> {
        let slot = self.table.get(key).ok_or(WriteError::Gone)?;
        if let Some(over) = slot.write_error() {
            return Err(over);
        }
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        // Streams of sessions keep no pace.
        let taken = if self.hand_over(t, key) {
            match t.write(key.id, chunks) {
                Ok(taken) => taken,
                Err(StreamGone::Stopped(code)) => {
                    return Err(WriteError::Stopped(PeerCode::http(code)));
                }
                Err(StreamGone::Reset { .. } | StreamGone::Unknown) => {
                    return Err(WriteError::Gone);
                }
            }
        } else {
            0
        };
        self.note_blocked(key, offered - taken);
        Ok(taken)
    }

    /// Abandons the sending half.
    pub(crate) fn reset<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        code: u64,
    ) -> Result<(), ResetError> {
        let slot = self.table.get_mut(key).ok_or(ResetError::Gone)?;
        match slot.send {
            Send::Resetting(_) | Send::Closed => return Err(ResetError::Gone),
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.5
            // A reset does not outrun the header that says whose stream it is.
            Send::Open | Send::Finishing if !slot.head().is_empty() && !slot.owed.is_empty() => {
                slot.send = Send::Resetting(code);
                return Ok(());
            }
            // The reset already went out, in answer to the stop.
            Send::Stopped(_) => {}
            Send::Open | Send::Finishing | Send::Finished => {
                t.reset(key.id, code, slot.head());
            }
        }
        slot.owed.clear();
        slot.send = Send::Closed;
        slot.send_end = Some(SendEnd::Reset);
        self.settle(key);
        Ok(())
    }

    /// The transport takes bytes of the stream again.
    pub(super) fn write_on<T: Transport>(&mut self, t: &mut T, key: StreamKey) {
        if !self.flush_stream(t, key) {
            return;
        }
        if let Some(slot) = self.table.get_mut(key)
            && std::mem::take(&mut slot.wants_writable)
            && slot.send == Send::Open
        {
            self.events.push_back(H3Event::On(key, Fact::Writable));
        }
    }

    /// The peer acknowledged the end.
    pub(super) fn on_delivered<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        let Some((slot, waits)) = self.table.with_waits(key) else {
            return Ok(());
        };
        if slot.send != Send::Finished {
            return Ok(());
        }
        slot.send = Send::Closed;
        slot.send_end = Some(SendEnd::Finished);
        waits.take(&mut slot.send_wait);
        let exchange = slot.exchange_ref();
        let exchange = exchange.map(|exchange| exchange.asked);
        self.events.push_back(H3Event::On(key, Fact::Delivered));
        match (exchange, self.side) {
            (None, _) => self.finished_stream(),
            (Some(_), Side::Client) => {}
            (Some(asked), Side::Server) => {
                // What was turned away without a question has brought nothing.
                if asked {
                    self.finished_request();
                }
                self.leave_unread(t, key)?;
            }
        }
        self.settle(key);
        Ok(())
    }

    /// The peer does not want what we send.
    pub(super) fn answer_stop<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        code: u64,
    ) -> Result<(), Fault> {
        let Some(slot) = self.table.get_mut(key) else {
            return Ok(());
        };
        if matches!(slot.send, Send::Closed | Send::Stopped(_)) {
            return Ok(());
        }
        //= https://www.rfc-editor.org/rfc/rfc9000#section-3.5
        // STOP_SENDING is answered with a reset that repeats its code.
        t.reset(key.id, code, slot.head());
        slot.owed.clear();
        let before = std::mem::replace(&mut slot.send, Send::Closed);
        slot.send_end = match before {
            Send::Finishing | Send::Finished => Some(SendEnd::Finished),
            Send::Resetting(_) => Some(SendEnd::Reset),
            _ => None,
        };
        if before == Send::Open {
            slot.send = Send::Stopped(code);
        }
        // Who has abandoned the stream need not know.
        if !matches!(before, Send::Resetting(_)) {
            self.events.push_back(H3Event::On(key, Fact::Stopped(code)));
        }
        let raw = matches!(slot.kind, Kind::Raw(_));
        let mut begun = slot.written >= BEGUN;
        if let Some(exchange) = slot.exchange() {
            exchange.cut = true;
            begun |= exchange.is_open_tunnel();
        }
        self.settle(key);
        self.watch_answer(key);
        self.leave_unread(t, key)?;
        match (raw, self.side) {
            // Whoever opens streams to a peer has to do with its not wanting some.
            (true, side) if key.id.initiator() == side => self.charge(NOTICE),
            (true, _) => self.nuisance(1),
            //= https://www.rfc-editor.org/rfc/rfc9114#section-10.5
            // A response that is not wanted any more costs as much as a request that
            // is taken back, but that people change their minds.
            (false, Side::Server) if begun => self.charge(NOTICE),
            (false, Side::Server) => self.nuisance(2),
            // A server may have all it needs of a request.
            (false, Side::Client) => Ok(()),
        }
    }

    /// Tells a stop that came before the stream was introduced.
    pub(super) fn tell_stopped(&mut self, key: StreamKey) {
        if let Some(slot) = self.table.get(key)
            && let Send::Stopped(code) = slot.send
        {
            self.events.push_back(H3Event::On(key, Fact::Stopped(code)));
        }
    }

    /// Opens a stream of a claimed type with its header.
    pub(crate) fn open_raw<T: Transport>(
        &mut self,
        t: &mut T,
        dir: Dir,
        header: &[u8],
        priority: i32,
    ) -> Option<StreamKey> {
        let id = t.open(dir)?;
        // Before the header is written: bytes that wait keep the number they came with.
        if priority != USUAL {
            t.set_priority(id, priority);
        }
        let mut slot = Slot::raw(id, self.side, header);
        let head = self.frame_head(header);
        slot.owed.push(head);
        let key = self.table.insert(slot);
        // Receivers learn of a stream from its header, so it goes out at once.
        self.flush_stream(t, key);
        Some(key)
    }
}

/// Moves the first `len` bytes of `chunks` to the end of `to`.
fn take_front(chunks: &mut [Bytes], mut len: usize, to: &mut SmallVec<[Bytes; 2]>) {
    for chunk in chunks {
        if len == 0 {
            return;
        }
        let part = chunk.split_to(chunk.len().min(len));
        len -= part.len();
        if !part.is_empty() {
            to.push(part);
        }
    }
}
