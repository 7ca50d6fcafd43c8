//! One exchange as it comes from the peer: frames in, heads, trailers and the end out,
//! and content as far as it is wanted. Both roles, and CONNECT tunnels.
//!
//! The core reads ahead up to the first byte of content and no further: the
//! rest stays with the transport, whose flow control holds the peer back.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::budget::NOTICE;
use super::connection::{CHUNK, H3};
use super::exchange::{Length, Part};
use super::message::{self, Wrong};
use super::streams::{Kind, Recv};
use super::{Fact, H3Event};
use crate::code::Code;
use crate::fault::{Fault, Violation};
use crate::head::{End, RequestHead, ResponseHead};
use crate::id::{Side, StreamKey};
use crate::transport::{ReadState, StreamGone, Transport};
use crate::wire::fields::FieldSection;
use crate::wire::frame_reader::{FrameError, FrameEvent};
use crate::wire::priority::{Priority, Stated};
use crate::wire::seen::Seen;

impl From<FrameError> for Violation {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Unexpected(_) => Self::FrameUnexpected,
            FrameError::MissingSettings(_) => Self::MissingSettings,
            FrameError::TooLarge { .. } => Self::FrameTooLarge,
            FrameError::Malformed(_) => Self::FrameMalformed,
            FrameError::Signal => Self::SignalNotFirst,
            FrameError::Truncated => Self::FrameTruncated,
        }
    }
}

/// What an interim response of so many bytes counts as useless work. All that have
/// arrived are decoded at once and wait for the application, and references to one
/// long entry of the QPACK table are short: the limit holds for their size, too.
fn interim_cost(size: u64) -> u32 {
    u32::try_from(size / 4096).map_or(u32::MAX, |more| more.saturating_add(1))
}

impl H3 {
    /// Reads an exchange up to its next content, its end, or as far as it goes.
    pub(crate) fn pump<T: Transport>(&mut self, t: &mut T, key: StreamKey) -> Result<(), Fault> {
        let rules = self.rules();
        loop {
            let Some(slot) = self.table.get_mut(key) else {
                return Ok(());
            };
            let Kind::Exchange(exchange) = &mut slot.kind else {
                return Ok(());
            };
            if slot.recv != Recv::Open {
                return Ok(());
            }
            let blocked = exchange.blocked.is_some();
            let full = blocked && !slot.held.is_empty() || !exchange.content.is_empty();
            if full && !exchange.fin {
                // Nothing more is read ahead, but a reset is told at once.
                match t.read(key.id, 0, &mut []) {
                    Ok(read) => exchange.fin = read.state == ReadState::Finished,
                    Err(StreamGone::Reset { code, .. }) => return self.on_reset(t, key, code),
                    Err(_) => {}
                }
            }
            if blocked && (full || exchange.fin) {
                return Ok(());
            }
            if full {
                break;
            }
            // While a section waits for insertions, one chunk is read ahead: a reset
            // is told by reading alone, and cancels the section.
            if !slot.held.is_empty() {
                if !self.budget.spend(1) {
                    self.budget.defer(key, &mut slot.deferred);
                    return Ok(());
                }
                let event = exchange
                    .reader
                    .read_seen(&mut slot.held, &rules, &mut |seen| t.seen(key.id, seen));
                match event {
                    Ok(Some(event)) => self.on_frame(t, key, event)?,
                    Ok(None) => self.count_gathered(t, key)?,
                    Err(error) if error.is_large_section() => {
                        return self.on_headers_too_large(t, key);
                    }
                    Err(error) => return Err(Fault::Connection(error.into())),
                }
                continue;
            }
            if exchange.fin {
                self.on_end(key)?;
                break;
            }
            let mut out = [Bytes::new()];
            match t.read(key.id, CHUNK, &mut out) {
                Ok(read) => {
                    [slot.held] = out;
                    slot.read += read.bytes as u64;
                    self.received += read.bytes as u64;
                    exchange.fin = read.state == ReadState::Finished;
                    if read.bytes == 0 && !exchange.fin {
                        return Ok(());
                    }
                }
                Err(StreamGone::Reset { code, .. }) => return self.on_reset(t, key, code),
                Err(StreamGone::Stopped(_) | StreamGone::Unknown) => {
                    self.close_recv(key);
                    self.settle(key);
                    return Ok(());
                }
            }
        }
        self.content_came(key);
        self.tell_readable(key);
        Ok(())
    }

    fn on_frame<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        event: FrameEvent,
    ) -> Result<(), Fault> {
        let Some(exchange) = self.table.exchange(key) else {
            return Ok(());
        };
        match event {
            FrameEvent::DataStart { len } => {
                //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
                // DATA before the head or after the trailers.
                if !matches!(exchange.recv, Part::Body | Part::Tunnel) {
                    return Err(Fault::Connection(Violation::FrameUnexpected));
                }
                exchange.received = exchange.received.saturating_add(len);
                //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.2
                // More than content-length is found out before the bytes come.
                if exchange.recv == Part::Body && exchange.length_exceeded() {
                    return Err(Fault::Stream(key, Violation::ContentLength));
                }
                if len == 0 { self.nuisance(1) } else { Ok(()) }
            }
            FrameEvent::Data(content) => {
                exchange.content = content;
                Ok(())
            }
            FrameEvent::Headers(section) => {
                //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
                // Nothing but DATA in a tunnel; nothing at all after trailers.
                if matches!(exchange.recv, Part::Trailers | Part::Tunnel) {
                    t.seen(key.id, Seen::Payload(section.len()));
                    return Err(Fault::Connection(Violation::FrameUnexpected));
                }
                self.on_section(t, key, section)
            }
            FrameEvent::UnknownStart { .. } => {
                self.stats.unknown_frames += 1;
                self.nuisance(1)
            }
            FrameEvent::PushPromise { .. } if exchange.recv == Part::Tunnel => {
                Err(Fault::Connection(Violation::FrameUnexpected))
            }
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.5
            // No push id was ever allowed.
            FrameEvent::PushPromise { .. } => Err(Fault::Connection(Violation::PushNotAllowed)),
            // The reader lets no control frame through on a request stream.
            FrameEvent::Settings(_)
            | FrameEvent::Goaway(_)
            | FrameEvent::CancelPush(_)
            | FrameEvent::MaxPushId(_)
            | FrameEvent::PriorityUpdate { .. }
            | FrameEvent::Origin(_) => Err(Fault::Connection(Violation::FrameUnexpected)),
        }
    }

    pub(super) fn on_fields<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        fields: FieldSection,
    ) -> Result<(), Fault> {
        let Some(exchange) = self.table.exchange_ref(key) else {
            return Ok(());
        };
        let malformed = |wrong: Wrong| {
            tracing::debug!(stream = %key.id, field = wrong.field, "{}", wrong.what);
            Fault::Stream(key, wrong.why)
        };
        match (exchange.recv, self.side) {
            (Part::Head, Side::Server) => {
                if !self.take_head(key, fields.size()) {
                    return self.no_room_for_head(t, key);
                }
                let extended = self.config.connect_protocol;
                let mut head = message::request(&fields, extended).map_err(malformed)?;
                head.fields = self.lines_kept(fields);
                self.on_request(t, key, head)
            }
            (Part::Head, Side::Client) => {
                let size = fields.size();
                let mut head = message::response(&fields).map_err(malformed)?;
                head.fields = self.lines_kept(fields);
                self.on_response(key, head, size)
            }
            _ => {
                let mut trailers = message::trailers(&fields).map_err(malformed)?;
                trailers.fields = self.lines_kept(fields);
                if let Some(exchange) = self.table.exchange(key) {
                    exchange.recv = Part::Trailers;
                }
                self.stats.trailers += 1;
                self.events
                    .push_back(H3Event::On(key, Fact::Trailers(Box::new(trailers))));
                Ok(())
            }
        }
    }

    /// The lines that stay with a head: those that somebody looks at.
    fn lines_kept(&mut self, fields: FieldSection) -> FieldSection {
        if self.keep_lines {
            return fields;
        }
        self.decoder.give_back(fields);
        FieldSection::new()
    }

    fn on_request<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        head: RequestHead,
    ) -> Result<(), Fault> {
        let length =
            message::content_length(&head.headers).map_err(|w| Fault::Stream(key, w.why))?;
        let announced = self.take_early_priority(key.id);
        let stated = head.headers.get("priority").map(|value| {
            //= https://www.rfc-editor.org/rfc/rfc9218#section-5
            // A field that does not parse says nothing.
            Priority::default().merged(Stated::parse(value.as_bytes()).unwrap_or_default())
        });
        let Some(exchange) = self.table.exchange(key) else {
            return Ok(());
        };
        exchange.told = true;
        exchange.connect = head.method == Method::CONNECT;
        exchange.head_request = head.method == Method::HEAD;
        exchange.recv = if exchange.connect {
            Part::Tunnel
        } else {
            Part::Body
        };
        exchange.recv_length = Length::new(length);
        //= https://www.rfc-editor.org/rfc/rfc9218#section-7
        // The latest PRIORITY_UPDATE overrides the field.
        // Where nothing was asked for, it is the usual urgency, shared, so that a long
        // download starves neither its neighbours nor a session.
        if let Some(priority) = exchange.priority.or(announced).or(stated) {
            self.reprioritize(t, key, priority);
        }
        self.stats.requests += 1;
        self.await_no_more(key);
        self.events
            .push_back(H3Event::On(key, Fact::Request(Box::new(head))));
        self.tell_stopped(key);
        Ok(())
    }

    fn on_response(&mut self, key: StreamKey, head: ResponseHead, size: u64) -> Result<(), Fault> {
        let length =
            message::content_length(&head.headers).map_err(|w| Fault::Stream(key, w.why))?;
        let Some(exchange) = self.table.exchange(key) else {
            return Ok(());
        };
        if head.status.is_informational() {
            if !exchange.connect {
                // The wait for the final one begins anew.
                self.await_no_more(key);
                self.watch_answer(key);
            }
            let cost = interim_cost(size);
            self.events
                .push_back(H3Event::On(key, Fact::Interim(Box::new(head))));
            return self.nuisance(cost);
        }
        if exchange.connect && head.status.is_success() {
            exchange.recv = Part::Tunnel;
        } else {
            exchange.recv = Part::Body;
            exchange.recv_length = Length::new(length);
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.2
            // These may state the length of content that is not sent.
            exchange.no_content = exchange.head_request
                || head.status == StatusCode::NOT_MODIFIED
                || head.status == StatusCode::NO_CONTENT;
        }
        self.await_no_more(key);
        self.events
            .push_back(H3Event::On(key, Fact::Response(Box::new(head))));
        Ok(())
    }

    /// HEADERS announces a section larger than may come. Nothing of it is read.
    fn on_headers_too_large<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        let part = self.table.exchange_ref(key).map(|exchange| exchange.recv);
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
        // Where none is allowed its size makes no difference.
        if matches!(part, Some(Part::Trailers | Part::Tunnel)) {
            return Err(Fault::Connection(Violation::FrameUnexpected));
        }
        self.stats.sections_too_large += 1;
        let result = self.on_section_too_large(t, key);
        self.flush_local(t);
        result
    }

    /// A section was larger than we announced.
    pub(super) fn on_section_too_large<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        let is_request_head = self.side == Side::Server
            && self
                .table
                .exchange_ref(key)
                .is_some_and(|exchange| exchange.recv == Part::Head);
        if !is_request_head {
            return Err(Fault::Stream(key, Violation::FieldSectionTooLarge));
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
        // A server may answer 431; the application is not troubled.
        if let Some(exchange) = self.table.exchange(key) {
            exchange.recv = Part::Body;
        }
        let head = ResponseHead::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        self.respond(t, key, &head, End::Fin).ok();
        t.stop(key.id, Code::H3_NO_ERROR.value());
        self.cancel_sections(t, key)?;
        self.close_recv(key);
        self.settle(key);
        self.nuisance(1)
    }

    /// The peer's end, after everything before it was taken.
    fn on_end(&mut self, key: StreamKey) -> Result<(), Fault> {
        let Some(slot) = self.table.get_mut(key) else {
            return Ok(());
        };
        let Kind::Exchange(exchange) = &mut slot.kind else {
            return Ok(());
        };
        exchange
            .reader
            .finish()
            .map_err(|error| Fault::Connection(error.into()))?;
        if exchange.recv == Part::Head {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
            // A message without its head.
            return Err(Fault::Stream(
                key,
                match self.side {
                    Side::Server => Violation::RequestIncomplete,
                    Side::Client => Violation::ResponseIncomplete,
                },
            ));
        }
        if exchange.length_missed() {
            return Err(Fault::Stream(key, Violation::ContentLength));
        }
        slot.recv = Recv::Finished;
        self.await_no_more(key);
        if self.side == Side::Client {
            self.finished_request();
        }
        Ok(())
    }

    fn on_reset<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        code: u64,
    ) -> Result<(), Fault> {
        self.cancel_sections(t, key)?;
        let Some(slot) = self.table.get_mut(key) else {
            return Ok(());
        };
        slot.held = Bytes::new();
        let Kind::Exchange(exchange) = &mut slot.kind else {
            return Ok(());
        };
        exchange.content = Bytes::new();
        exchange.blocked = None;
        exchange.cut = true;
        let opened = exchange.is_open_tunnel();
        if exchange.told {
            slot.recv = Recv::Reset(code, None);
            self.events.push_back(H3Event::On(key, Fact::Reset(code)));
            self.tell_readable(key);
        } else {
            // Nobody will ever answer it.
            slot.recv = Recv::Closed;
            self.abandon(t, key, Code::H3_REQUEST_CANCELLED);
        }
        self.flush_local(t);
        //= https://www.rfc-editor.org/rfc/rfc9114#section-10.5
        // Requests that are reset at once cost more than they bring. A server resets
        // what this side has asked for.
        match self.side {
            // What goes through a tunnel may well end so: a connection that was reset.
            Side::Server if opened => self.charge(NOTICE),
            Side::Server => self.nuisance(2),
            Side::Client => Ok(()),
        }
    }
}
