//! What an application sends and receives through its tunnels.

use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use super::codec::{self, TcpPart};
use super::event::{TunnelIoError, TunnelKey, TunnelSendError};
use super::tunnel::{BUDGET, Flow, Life, Stop, Tcp, Tunnel};
use super::tunnels::Tunnels;
use super::{Payload, decode_datagram};
use crate::connection::Access;
use crate::datagram::ContextId;
use crate::error::DatagramError;
use crate::transport::{ReadState, Transport};

/// What a read of TCP gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TunnelRead {
    /// Bytes, never none.
    Bytes(Bytes),
    /// The peer's connection has ended. Told once; what is written still arrives.
    End,
    /// Nothing more has come; [`TunnelEvent::Readable`](super::TunnelEvent::Readable)
    /// follows.
    Blocked,
}

impl Tunnels {
    // ---- UDP -----------------------------------------------------------------------

    /// Sends one UDP payload: in a QUIC datagram, or in a capsule where there are none.
    ///
    /// # Errors
    /// [`TunnelSendError`]; it is lost, as it could be on any path.
    pub fn send<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        payload: &[u8],
    ) -> Result<(), TunnelSendError> {
        let sent = self.send_payload(access, key, payload);
        let Some(tunnel) = self.tunnel_mut(key) else {
            return sent;
        };
        let stats = &mut tunnel.stats;
        match sent {
            Ok(()) => {
                stats.sent += 1;
                stats.bytes_sent += payload.len() as u64;
                tunnel.active = now;
            }
            Err(TunnelSendError::TooLarge) => stats.drops.too_large += 1,
            Err(TunnelSendError::Blocked) => {
                stats.drops.blocked += 1;
                if let Flow::Udp(udp) = &mut tunnel.flow {
                    udp.wants_room = true;
                }
            }
            Err(TunnelSendError::Gone | TunnelSendError::Pending) => {}
        }
        sent
    }

    fn send_payload<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        key: TunnelKey,
        payload: &[u8],
    ) -> Result<(), TunnelSendError> {
        let tunnel = self.tunnel(key).ok_or(TunnelSendError::Gone)?;
        match (tunnel.life, &tunnel.flow) {
            (Life::Open, Flow::Udp(_)) => {}
            (Life::Pending, _) => return Err(TunnelSendError::Pending),
            //= https://www.rfc-editor.org/rfc/rfc9298#section-3.4
            // A client may send before the answer, at the risk that it is dropped.
            (Life::Asked, Flow::Udp(_)) => {}
            _ => return Err(TunnelSendError::Gone),
        }
        //= https://www.rfc-editor.org/rfc/rfc9298#section-5
        // Larger ones are not sent.
        if payload.len() > codec::MAX_UDP_PAYLOAD {
            return Err(TunnelSendError::TooLarge);
        }
        match access.send_datagram_in(key.0, ContextId::ZERO, payload) {
            //= https://www.rfc-editor.org/rfc/rfc9298#section-5
            // Where there are no datagrams they go in capsules; but never because one is
            // too large, so that path MTU discovery works through the tunnel.
            Err(DatagramError::Disabled) => self.send_capsule(access, key, payload),
            sent => Ok(sent?),
        }
    }

    fn send_capsule<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        key: TunnelKey,
        payload: &[u8],
    ) -> Result<(), TunnelSendError> {
        if !self.flush(access, key) {
            return Err(TunnelSendError::Blocked);
        }
        let capsule = codec::encode_capsule(payload).map_err(|_| TunnelSendError::TooLarge)?;
        if let Some(tunnel) = self.tunnel_mut(key)
            && let Flow::Udp(udp) = &mut tunnel.flow
        {
            udp.owed = capsule;
        }
        self.flush(access, key);
        Ok(())
    }

    /// Hands what is owed of a capsule, or FINAL_DATA, to the stream; whether nothing is
    /// owed any more.
    pub(super) fn flush<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        key: TunnelKey,
    ) -> bool {
        let Some(tunnel) = self.tunnel_mut(key) else {
            return false;
        };
        if !tunnel.owes() {
            return true;
        }
        let Ok(mut send) = access.send(key.0) else {
            return false;
        };
        // A stream that is over takes nothing, which another event tells.
        match &mut tunnel.flow {
            Flow::Udp(udp) => {
                let mut chunks = [std::mem::take(&mut udp.owed)];
                let _ = send.write(&mut chunks);
                [udp.owed] = chunks;
            }
            Flow::Tcp(tcp) => {
                let last = tcp.encoder.end().unwrap_or_default();
                let taken = send.write(&mut [last]).unwrap_or(0);
                let _ = tcp.encoder.took(taken);
            }
        }
        !tunnel.owes()
    }

    /// The oldest UDP payload that has come; `None` until
    /// [`TunnelEvent::Datagrams`](super::TunnelEvent::Datagrams). Also after the tunnel's
    /// end, until all that had come is taken.
    pub fn recv<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) -> Option<Bytes> {
        let tunnel = self.tunnel_mut(key)?;
        let Flow::Udp(udp) = &mut tunnel.flow else {
            return None;
        };
        if matches!(tunnel.life, Life::Pending | Life::Asked) {
            return None;
        }
        if let Some(payload) = udp.pop() {
            tunnel.took(payload.len(), now);
            return Some(payload);
        }
        if tunnel.life == Life::Over {
            self.remove(key);
            return None;
        }
        // Each turn takes one out of a ring, which is bounded.
        while let Some(datagram) = access.recv_datagram(key.0) {
            match decode_datagram(datagram) {
                Ok(Payload::Udp(payload)) => {
                    tunnel.took(payload.len(), now);
                    return Some(payload);
                }
                Ok(Payload::UnknownContext) => tunnel.stats.drops.unknown_context += 1,
                Ok(Payload::NoContext) => tunnel.stats.drops.no_context += 1,
                Err(fault) => {
                    self.stop(access, now, key, Stop::Fault(fault));
                    return None;
                }
            }
        }
        tunnel.count_overflowed(access);
        tunnel.told = false;
        // There is room for capsules that were held back.
        if tunnel.life == Life::Open && (tunnel.unread || !tunnel.input.is_empty()) {
            // Whoever asks need not be told.
            tunnel.told = true;
            self.on_readable(access, now, key);
            let tunnel = self.tunnel_mut(key)?;
            let Flow::Udp(udp) = &mut tunnel.flow else {
                return None;
            };
            let Some(payload) = udp.pop() else {
                tunnel.told = false;
                return None;
            };
            tunnel.took(payload.len(), now);
            return Some(payload);
        }
        None
    }

    /// Largest UDP payload that can be sent at present, in bytes.
    #[must_use]
    pub fn max_payload<T: Transport>(
        &self,
        access: &Access<'_, T>,
        key: TunnelKey,
    ) -> Option<usize> {
        let tunnel = self.tunnel(key)?;
        let Flow::Udp(_) = tunnel.flow else {
            return None;
        };
        match access.max_datagram_size(key.0) {
            Some(max) => max.checked_sub(ContextId::ZERO.len()),
            None if tunnel.life == Life::Open => Some(codec::MAX_UDP_PAYLOAD),
            None => None,
        }
    }

    // ---- TCP -----------------------------------------------------------------------

    /// Writes bytes of TCP: takes whole or partial chunks from the front of `chunks`, and
    /// tells how many bytes it took. Less than offered means blocked:
    /// [`TunnelEvent::Writable`](super::TunnelEvent::Writable) follows, and the rest is
    /// offered again, since the peer has been promised it.
    ///
    /// # Errors
    /// [`TunnelIoError`]; nothing was taken.
    pub fn write<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        chunks: &mut [Bytes],
    ) -> Result<usize, TunnelIoError> {
        let tunnel = self.tunnel_mut(key).ok_or(TunnelIoError::Gone)?;
        let tcp = tunnel.sending()?;
        let mut send = access.send(key.0).map_err(|_| TunnelIoError::Gone)?;
        let mut all = 0;
        // One capsule each turn: one that was begun is filled first.
        loop {
            let offered = chunks.iter().map(Bytes::len).sum();
            if offered == 0 {
                break;
            }
            let (header, mut left) = tcp.encoder.begin(offered);
            let mut out: SmallVec<[Bytes; 17]> = SmallVec::new();
            out.push(header);
            for chunk in chunks.iter() {
                let len = chunk.len().min(left);
                out.push(chunk.slice(..len));
                left -= len;
            }
            let wanted: usize = out.iter().map(Bytes::len).sum();
            let taken = match send.write(&mut out) {
                Ok(taken) => taken,
                Err(_) if all > 0 => break,
                Err(error) => return Err(error.into()),
            };
            let mut rest = tcp.encoder.took(taken);
            all += rest;
            for chunk in chunks.iter_mut() {
                let len = chunk.len().min(rest);
                let _ = chunk.split_to(len);
                rest -= len;
            }
            if taken < wanted {
                break;
            }
        }
        tunnel.stats.bytes_sent += all as u64;
        tunnel.active = now;
        Ok(all)
    }

    /// Ends this side's bytes: the peer's connection gets a FIN. What comes is still read.
    ///
    /// # Errors
    /// [`TunnelIoError`]; [`Promised`](TunnelIoError::Promised) when bytes that were
    /// offered were never taken, which aborts the tunnel.
    pub fn finish<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) -> Result<(), TunnelIoError> {
        let tunnel = self.tunnel_mut(key).ok_or(TunnelIoError::Gone)?;
        let tcp = tunnel.sending()?;
        if tcp.encoder.end().is_none() {
            self.abort(access, now, key);
            return Err(TunnelIoError::Promised);
        }
        tcp.ended = true;
        tunnel.active = now;
        self.arm(now, key);
        self.go_on_ending(access, now, key);
        Ok(())
    }

    /// Reads bytes of TCP, at most `max` of them. What nobody reads is held back by flow
    /// control. No copy.
    ///
    /// # Errors
    /// [`TunnelIoError`].
    pub fn read<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        max: usize,
    ) -> Result<TunnelRead, TunnelIoError> {
        loop {
            let tunnel = self.tunnel_mut(key).ok_or(TunnelIoError::Gone)?;
            let Flow::Tcp(tcp) = &mut tunnel.flow else {
                return Err(TunnelIoError::Gone);
            };
            match tunnel.life {
                Life::Pending | Life::Asked => return Err(TunnelIoError::Pending),
                Life::Open => {}
                Life::Closing | Life::Over => return Err(TunnelIoError::Gone),
            }
            if tcp.end_told {
                return Ok(TunnelRead::Blocked);
            }
            if !tcp.held.is_empty() {
                let len = tcp.held.len().min(max.max(1));
                let bytes = tcp.held.split_to(len);
                tunnel.took(len, now);
                return Ok(TunnelRead::Bytes(bytes));
            }
            let part = tcp.decoder.read(&mut tunnel.input);
            match part {
                Ok(Some(TcpPart::Bytes(bytes))) => {
                    tcp.held = bytes;
                    continue;
                }
                Ok(Some(TcpPart::End)) => return Ok(self.peer_ended(access, now, key)),
                Ok(None) => {}
                Err(fault) => {
                    self.stop(access, now, key, Stop::Fault(fault));
                    return Err(TunnelIoError::Reset);
                }
            }
            match tunnel.read_content(access) {
                Ok(ReadState::Finished) if tunnel.input.is_empty() => {
                    return self.content_ended(access, now, key);
                }
                // The last bytes come before that.
                Ok(ReadState::Finished) => {
                    if let Flow::Tcp(tcp) = &mut tunnel.flow {
                        tcp.content_over = true;
                    }
                }
                Ok(ReadState::Blocked) if tunnel.input.is_empty() => {
                    (tunnel.told, tunnel.unread) = (false, false);
                    return Ok(TunnelRead::Blocked);
                }
                Ok(_) => {}
                Err(Stop::Gone) if self.content_is_over(key) => {
                    return self.content_ended(access, now, key);
                }
                Err(why) => {
                    self.stop(access, now, key, why);
                    return Err(TunnelIoError::Reset);
                }
            }
        }
    }

    fn content_is_over(&self, key: TunnelKey) -> bool {
        let flow = self.tunnel(key).map(|tunnel| &tunnel.flow);
        matches!(flow, Some(Flow::Tcp(tcp)) if tcp.content_over)
    }

    /// The stream's content has ended.
    fn content_ended<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) -> Result<TunnelRead, TunnelIoError> {
        let Some(tunnel) = self.tunnel_mut(key) else {
            return Err(TunnelIoError::Gone);
        };
        let Flow::Tcp(tcp) = &mut tunnel.flow else {
            return Err(TunnelIoError::Gone);
        };
        tcp.content_over = true;
        match tcp.decoder.finish() {
            Ok(true) => Ok(self.peer_ended(access, now, key)),
            //= https://www.ietf.org/archive/id/draft-ietf-httpbis-connect-tcp-11.html#section-3.2
            // An end without FINAL_DATA is an abort.
            Ok(false) => {
                let code = crate::code::Code::H3_CONNECT_ERROR;
                self.stop(access, now, key, Stop::Reset(code));
                Err(TunnelIoError::Reset)
            }
            Err(fault) => {
                self.stop(access, now, key, Stop::Fault(fault));
                Err(TunnelIoError::Reset)
            }
        }
    }

    /// The peer's bytes have ended.
    fn peer_ended<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) -> TunnelRead {
        if let Some(tunnel) = self.tunnel_mut(key)
            && let Flow::Tcp(tcp) = &mut tunnel.flow
        {
            tcp.end_told = true;
            tunnel.active = now;
        }
        self.arm(now, key);
        self.go_on_ending(access, now, key);
        // What follows nobody reads; it may be wrong all the same.
        if self.tunnel(key).is_some_and(|t| t.life == Life::Open) {
            self.watch_end(access, now, key);
        }
        TunnelRead::End
    }

    /// Looks at what comes after the end of the peer's bytes: capsules that are unknown,
    /// and the end of the stream.
    pub(super) fn watch_end<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        for _ in 0..BUDGET {
            let Some(tunnel) = self.tunnel_mut(key) else {
                return;
            };
            let Flow::Tcp(tcp) = &mut tunnel.flow else {
                return;
            };
            // There are no bytes after the last ones: the decoder knows.
            if let Err(fault) = tcp.decoder.read(&mut tunnel.input) {
                return self.stop(access, now, key, Stop::Fault(fault));
            }
            if tcp.content_over {
                if let Err(fault) = tcp.decoder.finish() {
                    self.stop(access, now, key, Stop::Fault(fault));
                }
                return;
            }
            match tunnel.read_content(access) {
                Ok(ReadState::Blocked) if tunnel.input.is_empty() => return,
                Ok(ReadState::Finished) => {
                    if let Flow::Tcp(tcp) = &mut tunnel.flow {
                        tcp.content_over = true;
                    }
                }
                Ok(_) => {}
                Err(why) => return self.stop(access, now, key, why),
            }
        }
        self.go_on_later(key);
    }

    /// Ends the stream as far as the ends of the two directions go.
    pub(super) fn go_on_ending<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        let flushed = self.flush(access, key);
        let Some(tunnel) = self.tunnel_mut(key) else {
            return;
        };
        let Flow::Tcp(tcp) = &mut tunnel.flow else {
            return;
        };
        if !tcp.ended {
            return;
        }
        //= https://www.ietf.org/archive/id/draft-ietf-httpbis-connect-tcp-11.html#section-3.2
        // FINAL_DATA is the FIN; the stream ends once both directions have, so that an
        // abort can still be told.
        let classic = tunnel.dialect == super::Dialect::Classic;
        if flushed
            && !tcp.finished
            && (classic || tcp.end_told)
            && let Ok(mut send) = access.send(key.0)
        {
            tcp.finished = send.finish().is_ok();
        }
        if tcp.finished && tcp.end_told {
            self.end(access, now, key, super::TunnelClose::Finished, None);
        }
    }
}

impl Tunnel {
    /// The bytes of TCP, of which the application may send more.
    fn sending(&mut self) -> Result<&mut Tcp, TunnelIoError> {
        let Flow::Tcp(tcp) = &mut self.flow else {
            return Err(TunnelIoError::Gone);
        };
        match self.life {
            Life::Pending => Err(TunnelIoError::Pending),
            Life::Closing | Life::Over => Err(TunnelIoError::Gone),
            Life::Open | Life::Asked if tcp.ended => Err(TunnelIoError::Finished),
            //= https://www.ietf.org/archive/id/draft-ietf-httpbis-connect-tcp-11.html#section-3.3
            // A client may send before the answer.
            Life::Open | Life::Asked => Ok(tcp),
        }
    }

    /// The application has taken something.
    fn took(&mut self, bytes: usize, now: Instant) {
        self.stats.received += u64::from(matches!(self.flow, Flow::Udp(_)));
        self.stats.bytes_received += bytes as u64;
        self.active = now;
    }
}
