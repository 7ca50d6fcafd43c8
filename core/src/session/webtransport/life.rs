//! The life of a WebTransport session: capsules, draining, the end.

use bytes::{Bytes, BytesMut};

use super::SessionMut;
use super::carrier::Carrier;
use crate::code::Code;
use crate::event::StreamEvent;
use crate::fault::{Fault, Violation};
use crate::h3::PARTS;
use crate::session::floor::registry::Life;
use crate::webtransport::{SessionClose, SessionError, SessionEvent};
use crate::wire::capsule::{self, Capsule};
use crate::wire::capsule_reader::{CapsuleEvent, CapsuleRules};
use crate::wire::seen::Seen;

impl<C: Carrier> SessionMut<'_, C> {
    /// Takes in capsules, in pieces of any size.
    pub(crate) fn on_capsule_bytes(&mut self, mut content: Bytes) -> Result<(), Fault> {
        let rules = CapsuleRules {
            max_datagram: self.terms.max_datagram,
            webtransport: true,
            claimed: &[],
        };
        while !content.is_empty() {
            match *self.life {
                Life::Over { by_peer: true } => {
                    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
                    // Nothing may follow the capsule that ends the session.
                    return Err(Fault::Stream(self.key.stream(), Violation::DataAfterClose));
                }
                // What crossed our own close is of no interest.
                Life::Over { by_peer: false } => break,
                _ => {}
            }
            if !self.carrier.spend(1) {
                self.carrier.put_back(content);
                return Ok(());
            }
            let carrier = &mut self.carrier;
            let read = (self.capsules).read(&mut content, &rules, &mut |seen| carrier.seen(seen));
            match read.map_err(|why| Fault::Stream(self.key.stream(), why))? {
                None => return Ok(()),
                Some(CapsuleEvent::Capsule(capsule)) => self.on_capsule(capsule)?,
                Some(CapsuleEvent::Skipped { .. }) => {
                    self.carrier.stats().unknown_capsules += 1;
                    self.carrier.charge(PARTS)?;
                }
                Some(CapsuleEvent::DatagramDropped { .. }) => {
                    self.carrier.stats().datagrams_overflowed += 1;
                    self.carrier.charge(PARTS)?;
                }
            }
        }
        self.carrier.seen(Seen::Payload(content.len()));
        Ok(())
    }

    fn on_capsule(&mut self, capsule: Capsule) -> Result<(), Fault> {
        match capsule {
            Capsule::CloseSession { code, reason } => {
                // The reader has checked that it is UTF-8.
                let reason = String::from_utf8_lossy(&reason).into_owned();
                let by = self.terms.side.peer();
                self.end(SessionClose::Closed { by, code, reason });
                //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
                // The recipient ends its half as well.
                self.carrier.end_control();
                Ok(())
            }
            Capsule::DrainSession => {
                self.tell_draining();
                self.carrier.charge(PARTS)
            }
            Capsule::Datagram(payload) => self.deliver(payload),
            Capsule::MaxData(limit) => self.on_max_data(limit),
            Capsule::MaxStreams(dir, limit) => self.on_max_streams(dir, limit),
            Capsule::DataBlocked(limit) => self.on_data_blocked(limit),
            Capsule::StreamsBlocked(dir, limit) => self.on_streams_blocked(dir, limit),
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.4
            // These belong to the HTTP/2 binding.
            Capsule::MaxStreamData { .. } | Capsule::StreamDataBlocked { .. } => Err(
                Fault::Stream(self.key.stream(), Violation::CapsuleProhibited),
            ),
            Capsule::Other(..) => Ok(()),
        }
    }

    /// The peer ended its capsules.
    pub(crate) fn on_control_end(&mut self) -> Result<(), Fault> {
        if self.life.is_open() {
            let whole = self.capsules.finish();
            whole.map_err(|why| Fault::Stream(self.key.stream(), why))?;
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
            // An end without a capsule is code 0 without a reason.
            self.end(SessionClose::Closed {
                by: self.terms.side.peer(),
                code: 0,
                reason: String::new(),
            });
        }
        self.carrier.end_control();
        Ok(())
    }

    /// Puts a received datagram into the ring, if the session takes any.
    fn deliver(&mut self, payload: Bytes) -> Result<(), Fault> {
        self.carrier.datagram(payload.len())?;
        let Some(ring) = self.ring else {
            return Ok(());
        };
        let (all, limits) = self.carrier.ring_bytes();
        let pushed = ring.push(payload, all, limits);
        let stats = self.carrier.stats();
        stats.datagrams_overflowed += pushed.dropped;
        stats.datagrams_received += 1;
        if pushed.tell {
            self.tell(SessionEvent::Datagrams);
        }
        Ok(())
    }

    /// Ends the session: its streams are reset and stopped, and it is told once. No
    /// effect on one that has ended.
    pub(crate) fn end(&mut self, why: SessionClose) {
        if self.life.is_over() {
            return;
        }
        // One that the application was never asked about ends without a word.
        let told = *self.life != Life::Waiting;
        let by_peer = !matches!(
            &why,
            SessionClose::Closed { by, .. } if *by == self.terms.side
        );
        *self.life = Life::Over { by_peer };
        if let Some(ring) = self.ring.take() {
            *self.carrier.ring_bytes().0 -= ring.held();
        }
        while let Some(member) = self.streams.pop(&mut self.session.list) {
            if self.carrier.abandon(member.stream) {
                self.tell_stream(member.stream, StreamEvent::SessionGone);
            }
        }
        if told {
            self.tell(SessionEvent::Closed(Box::new(why)));
        }
    }

    fn require_open(&self) -> Result<(), SessionError> {
        self.require(Life::Open).map_err(|over| match over {
            true => SessionError::Gone,
            false => SessionError::WrongState,
        })
    }

    /// Closes a session from this side, or takes the wish for one back.
    pub(crate) fn close(&mut self, code: u32, reason: &str) -> Result<(), SessionError> {
        let why = SessionClose::Closed {
            by: self.terms.side,
            code,
            reason: reason.to_owned(),
        };
        if *self.life == Life::Asked {
            // The server has not agreed yet: the request is withdrawn.
            self.end(why);
            self.carrier.abort_control(Code::H3_REQUEST_CANCELLED);
            return Ok(());
        }
        self.require_open()?;
        if reason.len() > capsule::MAX_REASON {
            return Err(SessionError::ReasonTooLong);
        }
        let mut value = BytesMut::new();
        capsule::put_close_session(&mut value, code, reason)
            .map_err(|_| SessionError::ReasonTooLong)?;
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
        // The capsule, then the end of the stream at once. Neither waits for the
        // application or for credit: the bytes stay with the stream.
        self.carrier.control(value.freeze());
        self.end(why);
        self.carrier.end_control();
        Ok(())
    }

    /// Asks the peer to wind the session down.
    pub(crate) fn drain(&mut self) -> Result<(), SessionError> {
        self.require_open()?;
        if std::mem::replace(&mut self.session.drain_sent, true) {
            return Ok(());
        }
        let mut value = BytesMut::new();
        capsule::put_drain_session(&mut value);
        self.carrier.control(value.freeze());
        Ok(())
    }

    /// The peer winds down an open session, or the whole connection.
    pub(crate) fn tell_draining(&mut self) {
        if self.life.is_open() && !std::mem::replace(&mut self.session.drain_told, true) {
            self.tell(SessionEvent::Draining);
        }
    }

    /// What a session that is refused or has ended says to what waits for it.
    pub(crate) fn refusal(was: Life, is: Life) -> Option<Code> {
        match (was, is) {
            (Life::Over { .. }, _) => None,
            // The application, or this layer, has turned it down.
            (Life::Waiting | Life::Requested, Life::Over { by_peer: false }) => {
                Some(Code::WT_BUFFERED_STREAM_REJECTED)
            }
            (_, Life::Over { .. }) => Some(Code::WT_SESSION_GONE),
            _ => None,
        }
    }
}
