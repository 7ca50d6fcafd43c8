//! The life of a WebTransport session: capsules, draining, the end.

use bytes::{Bytes, BytesMut};

use super::registry::State;
use super::{Cx, Sessions};
use crate::code::Code;
use crate::error::{SessionClose, SessionError};
use crate::event::{Event, SessionEvent, StreamEvent};
use crate::fault::{Fault, Violation};
use crate::id::{SessionKey, Side};
use crate::transport::{ReadState, Transport};
use crate::wire::capsule::{self, Capsule, CapsuleError};
use crate::wire::capsule_reader::{CapsuleEvent, CapsuleRules};

impl From<CapsuleError> for Violation {
    fn from(error: CapsuleError) -> Self {
        match error {
            CapsuleError::ReasonTooLong | CapsuleError::ReasonNotUtf8 => Self::CloseReasonInvalid,
            CapsuleError::Truncated => Self::CapsuleTruncated,
            CapsuleError::Malformed(_) | CapsuleError::TooLarge(_) => Self::CapsuleMalformed,
        }
    }
}

impl Sessions {
    /// Reads the capsules on a CONNECT stream as far as they have come.
    pub(super) fn on_connect_readable<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
    ) -> Result<(), Fault> {
        loop {
            let Some(session) = self.registry.get(cx.h3, key) else {
                return Ok(());
            };
            match session.state {
                State::Open | State::Over { .. } => {}
                //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
                // Nothing is a capsule before the 2xx; it stays where it is.
                State::Waiting(_) | State::Requested | State::Asked => return Ok(()),
            }
            let mut out = [Bytes::new()];
            // A reset comes as an event of its own.
            let Ok(read) = cx
                .h3
                .read_content(cx.t, key.stream(), usize::MAX, &mut out)?
            else {
                return Ok(());
            };
            let [mut content] = out;
            self.on_capsule_bytes(cx, key, &mut content)?;
            match read.state {
                ReadState::Open => {}
                ReadState::Blocked => return Ok(()),
                ReadState::Finished => return self.on_connect_end(cx, key),
            }
        }
    }

    fn on_capsule_bytes<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        content: &mut Bytes,
    ) -> Result<(), Fault> {
        let max_datagram = cx.h3.config.limits.datagram_capsule;
        let rules = CapsuleRules {
            max_datagram,
            webtransport: true,
            claimed: &[],
        };
        while !content.is_empty() {
            let Some(session) = self.registry.get_mut(cx.h3, key) else {
                return Ok(());
            };
            match session.state {
                State::Over { by_peer: true } => {
                    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
                    // Nothing may follow the capsule that ends the session.
                    return Err(Fault::Stream(key.stream(), Violation::DataAfterClose));
                }
                // What crossed our own close is of no interest.
                State::Over { by_peer: false } => return Ok(()),
                _ => {}
            }
            let event = session
                .capsules
                .read(content, &rules)
                .map_err(|error| Fault::Stream(key.stream(), error.into()))?;
            match event {
                None => return Ok(()),
                Some(CapsuleEvent::Capsule(capsule)) => self.on_capsule(cx, key, capsule)?,
                Some(CapsuleEvent::Skipped { .. }) => {
                    cx.h3.stats.unknown_capsules += 1;
                    cx.h3.nuisance(1)?;
                }
                Some(CapsuleEvent::DatagramDropped { .. }) => {
                    cx.h3.stats.datagrams_overflowed += 1;
                    cx.h3.nuisance(1)?;
                }
            }
        }
        Ok(())
    }

    fn on_capsule<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        capsule: Capsule,
    ) -> Result<(), Fault> {
        match capsule {
            Capsule::CloseSession { code, reason } => {
                // The reader has checked that it is UTF-8.
                let reason = String::from_utf8_lossy(&reason).into_owned();
                let by = cx.h3.side.peer();
                self.end(cx, key, SessionClose::Closed { by, code, reason });
                //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
                // The recipient ends its half as well.
                cx.h3.end(cx.t, key.stream());
                Ok(())
            }
            Capsule::DrainSession => {
                self.tell_draining(cx, key);
                cx.h3.nuisance(1)
            }
            Capsule::Datagram(payload) => {
                self.deliver(cx, key.stream(), payload);
                Ok(())
            }
            Capsule::MaxData(limit) => self.on_max_data(cx, key, limit),
            Capsule::MaxStreams(dir, limit) => self.on_max_streams(cx, key, dir, limit),
            Capsule::DataBlocked(limit) => self.on_data_blocked(cx, key, limit),
            Capsule::StreamsBlocked(dir, limit) => self.on_streams_blocked(cx, key, dir, limit),
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.4
            // These belong to the HTTP/2 binding.
            Capsule::MaxStreamData { .. } | Capsule::StreamDataBlocked { .. } => {
                Err(Fault::Stream(key.stream(), Violation::CapsuleProhibited))
            }
            Capsule::Other(..) => Ok(()),
        }
    }

    /// The peer ended the CONNECT stream.
    fn on_connect_end<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
    ) -> Result<(), Fault> {
        let Some(session) = self.registry.get(cx.h3, key) else {
            return Ok(());
        };
        if session.is_open() {
            session
                .capsules
                .finish()
                .map_err(|e| Fault::Stream(key.stream(), e.into()))?;
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
            // An end without a capsule is code 0 without a reason.
            let by = cx.h3.side.peer();
            self.end(
                cx,
                key,
                SessionClose::Closed {
                    by,
                    code: 0,
                    reason: String::new(),
                },
            );
        }
        cx.h3.end(cx.t, key.stream());
        Ok(())
    }

    /// Ends a session: its streams are reset and stopped, what waits for it is
    /// refused, and it is told once. No effect on one that has ended.
    pub(crate) fn end<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        why: SessionClose,
    ) {
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return;
        };
        if session.is_over() {
            return;
        }
        // One that the application was never asked about ends without a word.
        let told = !matches!(session.state, State::Waiting(_));
        let by_peer = !matches!(
            &why,
            SessionClose::Closed { by, .. } if *by == cx.h3.side
        );
        session.state = State::Over { by_peer };
        while let Some(stream) = self.registry.pop(cx.h3, key) {
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
            // Every data stream is reset and stopped with WT_SESSION_GONE.
            let told = cx.h3.table.get(stream).is_some_and(|slot| !slot.is_over());
            cx.h3.abandon(cx.t, stream, Code::WT_SESSION_GONE);
            if told {
                cx.out
                    .push_back(Event::Stream(stream, StreamEvent::SessionGone));
            }
        }
        self.refuse_pending(cx, key.id(), Code::WT_SESSION_GONE);
        self.rings.remove(cx.h3, key.stream());
        if told {
            cx.tell(key, SessionEvent::Closed(Box::new(why)));
        }
    }

    /// Ends every session with the connection.
    pub(crate) fn end_all<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        why: &crate::error::CloseReason,
    ) {
        for key in self.registry.keys() {
            self.end(cx, key, SessionClose::Connection(why.clone()));
        }
    }

    /// Closes a session from this side.
    pub(crate) fn close<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        code: u32,
        reason: &str,
    ) -> Result<(), SessionError> {
        let session = self.registry.get(cx.h3, key).ok_or(SessionError::Gone)?;
        let by = cx.h3.side;
        let why = SessionClose::Closed {
            by,
            code,
            reason: reason.to_owned(),
        };
        match session.state {
            State::Over { .. } => return Err(SessionError::Gone),
            State::Open => {}
            State::Asked => {
                // The server has not agreed yet: the request is withdrawn.
                self.end(cx, key, why);
                cx.h3
                    .abandon(cx.t, key.stream(), Code::H3_REQUEST_CANCELLED);
                return Ok(());
            }
            State::Waiting(_) | State::Requested => return Err(SessionError::WrongState),
        }
        if reason.len() > capsule::MAX_REASON {
            return Err(SessionError::ReasonTooLong);
        }
        let mut value = BytesMut::new();
        capsule::put_close_session(&mut value, code, reason)
            .map_err(|_| SessionError::ReasonTooLong)?;
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
        // The capsule, then the end of the stream at once. Neither waits for the
        // application or for credit: the bytes stay with the stream.
        self.send_capsule(cx, key, value.freeze());
        self.end(cx, key, why);
        cx.h3.end(cx.t, key.stream());
        Ok(())
    }

    /// Asks the peer to wind a session down.
    pub(crate) fn drain<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
    ) -> Result<(), SessionError> {
        let open = |state: &State| matches!(state, State::Open);
        let session = self.registry.in_state(cx.h3, key, open)?;
        if std::mem::replace(&mut session.drain_sent, true) {
            return Ok(());
        }
        session.stats.draining = true;
        let mut value = BytesMut::new();
        capsule::put_drain_session(&mut value);
        self.send_capsule(cx, key, value.freeze());
        Ok(())
    }

    /// Asks the peer to wind every open session down.
    pub(crate) fn drain_all<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        for key in self.registry.keys() {
            // One that is not open yet is not drained; it is told by GOAWAY.
            self.drain(cx, key).ok();
        }
    }

    /// GOAWAY: on the client, all sessions drain.
    pub(super) fn on_peer_drains<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        if cx.h3.side == Side::Client {
            for key in self.registry.keys() {
                if self
                    .registry
                    .get(cx.h3, key)
                    .is_some_and(|session| session.is_open())
                {
                    self.tell_draining(cx, key);
                }
            }
        }
    }

    pub(super) fn tell_draining<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) {
        if let Some(session) = self.registry.get_mut(cx.h3, key)
            && !std::mem::replace(&mut session.drain_told, true)
        {
            session.stats.draining = true;
            cx.tell(key, SessionEvent::Draining);
        }
    }

    /// Sends a capsule in a DATA frame of its own, which one client insists on.
    pub(super) fn send_capsule<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        capsule: Bytes,
    ) {
        cx.h3.push_content(cx.t, key.stream(), capsule);
    }
}
