//! One tunnel: where it is in its life, and what is on its way through it.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::codec::{self, Payload, TcpDecoder, TcpEncoder, TunnelFault, UdpDecoder, UdpPart};
use super::dialect::Dialect;
use super::event::{TunnelKey, TunnelStats};
use super::{Target, TunnelKind};
use crate::connection::Access;
use crate::error::ReadError;
use crate::transport::{ReadState, Transport};

/// Bytes of content that are read at a time.
pub(super) const CHUNK: usize = 64 * 1024;

/// Where a tunnel is in its life.
///
/// ```text
///  server: Pending ──▶ Open ──▶ Closing ──▶ gone, or Over until what it has received is taken
///  client: Asked ────▶ Open ──▶ Closing ──▶ the same
/// ```
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Life {
    /// The application has been asked.
    Pending,
    /// The peer has been asked.
    Asked,
    /// Payloads flow.
    Open,
    /// Ended and told; the stream is seen off.
    Closing,
    /// The stream is over; something that came before waits to be taken.
    Over,
}

impl Life {
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Closing | Self::Over)
    }
}

/// One tunnel.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) key: TunnelKey,
    pub(super) dialect: Dialect,
    pub(super) target: Target,
    pub(super) life: Life,
    pub(super) stats: TunnelStats,
    /// When it was asked for.
    pub(super) begun: Instant,
    /// When something last went through it.
    pub(super) active: Instant,
    /// Content that was read from the stream and not interpreted.
    pub(super) input: Bytes,
    /// The stream may have content that was not asked for.
    pub(super) unread: bool,
    /// Something is to be read, and the application knows.
    pub(super) told: bool,
    /// It waits for another turn.
    pub(super) busy: bool,
    /// The peer takes no more of what this side sends.
    pub(super) stopped: bool,
    /// All that the peer sends has been read, or will not be (when it is over).
    pub(super) seen_off: bool,
    /// Datagrams that the connection dropped because nobody took them, as far as counted.
    pub(super) overflowed: u64,
    pub(super) flow: Flow,
}

/// What is on its way.
#[derive(Debug)]
pub(super) enum Flow {
    Udp(Udp),
    Tcp(Tcp),
}

/// UDP payloads.
#[derive(Debug, Default)]
pub(super) struct Udp {
    decoder: UdpDecoder,
    /// Payloads that came before the tunnel was open, in capsules, or before its end.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) bytes: usize,
    /// What of a capsule the stream has not taken.
    pub(super) owed: Bytes,
    pub(super) wants_room: bool,
}

/// Bytes of TCP.
#[derive(Debug)]
pub(super) struct Tcp {
    pub(super) decoder: TcpDecoder,
    pub(super) encoder: TcpEncoder,
    /// Bytes that were read and not taken.
    pub(super) held: Bytes,
    /// This side has ended its bytes.
    pub(super) ended: bool,
    /// The stream's sending half has ended.
    pub(super) finished: bool,
    /// The peer's bytes have ended, and that was told.
    pub(super) end_told: bool,
    /// The stream's content has ended.
    pub(super) content_over: bool,
}

/// How much may wait in a tunnel.
#[derive(Copy, Clone, Debug)]
pub(super) struct Room {
    pub(super) payloads: usize,
    pub(super) bytes: usize,
}

/// What reading a stream's content came to.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Content {
    /// All that has come was read.
    Blocked,
    /// There is no room for more.
    Full,
    /// It has ended.
    Finished,
    /// Some is left for the next turn.
    More,
}

/// Capsules, or chunks of content, that are read in one turn.
pub(super) const BUDGET: usize = 64;

impl Udp {
    /// Keeps a payload; false when there is no room.
    pub(super) fn keep(&mut self, payload: Bytes, room: Room) -> bool {
        if self.queue.len() >= room.payloads || self.bytes + payload.len() > room.bytes {
            return false;
        }
        self.bytes += payload.len();
        self.queue.push_back(payload);
        true
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let payload = self.queue.pop_front()?;
        self.bytes -= payload.len();
        Some(payload)
    }

    fn is_full(&self, room: Room) -> bool {
        self.queue.len() >= room.payloads || self.bytes + codec::MAX_UDP_PAYLOAD > room.bytes
    }
}

impl Tunnel {
    pub(super) fn new(
        key: TunnelKey,
        dialect: Dialect,
        target: Target,
        life: Life,
        now: Instant,
    ) -> Self {
        let flow = match dialect.kind() {
            TunnelKind::Udp => Flow::Udp(Udp::default()),
            TunnelKind::Tcp => Flow::Tcp(Tcp {
                decoder: TcpDecoder::new(dialect),
                encoder: TcpEncoder::new(dialect),
                held: Bytes::new(),
                ended: false,
                finished: false,
                end_told: false,
                content_over: false,
            }),
        };
        Self {
            key,
            dialect,
            target,
            life,
            stats: TunnelStats::default(),
            begun: now,
            active: now,
            input: Bytes::new(),
            unread: false,
            told: false,
            busy: false,
            stopped: false,
            seen_off: false,
            overflowed: 0,
            flow,
        }
    }

    /// Whether one of the two directions has ended.
    pub(super) fn is_half_closed(&self) -> bool {
        match &self.flow {
            Flow::Udp(_) => self.stopped,
            Flow::Tcp(tcp) => tcp.ended || tcp.end_told,
        }
    }

    /// Nobody wants what has come.
    pub(super) fn forget_received(&mut self) {
        if let Flow::Udp(udp) = &mut self.flow {
            udp.queue.clear();
            udp.bytes = 0;
        }
    }

    /// Nothing more goes out.
    pub(super) fn forget_owed(&mut self) {
        match &mut self.flow {
            Flow::Udp(udp) => udp.owed = Bytes::new(),
            Flow::Tcp(tcp) => tcp.finished = true,
        }
    }

    /// Both.
    pub(super) fn forget(&mut self) {
        self.forget_received();
        self.forget_owed();
    }

    /// Counts what the connection has dropped because nobody took it.
    pub(super) fn count_overflowed<T: Transport>(&mut self, access: &Access<'_, T>) {
        let all = access.datagrams_overflowed(self.key.0);
        self.stats.drops.overflowed += all.saturating_sub(self.overflowed);
        self.overflowed = self.overflowed.max(all);
    }

    /// Whether the stream has to take more before it can end in order.
    pub(super) fn owes(&self) -> bool {
        match &self.flow {
            Flow::Udp(udp) => !udp.owed.is_empty(),
            Flow::Tcp(tcp) => tcp.ended && !tcp.finished && tcp.encoder.owes(),
        }
    }

    /// Puts one HTTP datagram where it belongs; true if the application may be told.
    pub(super) fn take_in(&mut self, payload: Payload, room: Room) -> bool {
        let Flow::Udp(udp) = &mut self.flow else {
            return false;
        };
        match payload {
            Payload::UnknownContext => self.stats.drops.unknown_context += 1,
            Payload::NoContext => self.stats.drops.no_context += 1,
            Payload::Udp(payload) => {
                if udp.keep(payload, room) {
                    return true;
                }
                let drops = &mut self.stats.drops;
                *(match self.life {
                    Life::Pending | Life::Asked => &mut drops.early,
                    _ => &mut drops.overflowed,
                }) += 1;
            }
        }
        false
    }

    /// Reads the capsules of a UDP tunnel's stream as far as there is room for what is in
    /// them: what is not read is held back by flow control.
    pub(super) fn pump<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        room: Room,
    ) -> Result<Content, Stop> {
        for _ in 0..BUDGET {
            if let Flow::Udp(udp) = &mut self.flow {
                if udp.is_full(room) {
                    return Ok(Content::Full);
                }
                match udp.decoder.read(&mut self.input)? {
                    Some(UdpPart::Payload(payload)) => {
                        self.take_in(payload, room);
                        continue;
                    }
                    Some(UdpPart::Unknown(_)) => continue,
                    None => {}
                }
            }
            match self.read_content(access)? {
                ReadState::Open => {}
                ReadState::Blocked if self.input.is_empty() => return Ok(Content::Blocked),
                ReadState::Blocked => {}
                ReadState::Finished if self.input.is_empty() => {
                    if let Flow::Udp(udp) = &self.flow {
                        udp.decoder.finish()?;
                    }
                    return Ok(Content::Finished);
                }
                // The end is told again with the next read.
                ReadState::Finished => {
                    if let Flow::Udp(udp) = &mut self.flow {
                        return Self::pump_last(udp, &mut self.stats, &mut self.input, room);
                    }
                }
            }
        }
        Ok(Content::More)
    }

    /// The last bytes of the content, behind which there is nothing: what there is no
    /// room for is dropped, as it would be on any path.
    fn pump_last(
        udp: &mut Udp,
        stats: &mut TunnelStats,
        input: &mut Bytes,
        room: Room,
    ) -> Result<Content, Stop> {
        while let Some(part) = udp.decoder.read(input)? {
            match part {
                UdpPart::Payload(Payload::Udp(payload)) => {
                    stats.drops.overflowed += u64::from(!udp.keep(payload, room));
                }
                UdpPart::Payload(_) => stats.drops.unknown_context += 1,
                UdpPart::Unknown(_) => {}
            }
        }
        udp.decoder.finish()?;
        Ok(Content::Finished)
    }

    /// Reads a chunk of content into [`Self::input`], which is empty.
    pub(super) fn read_content<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
    ) -> Result<ReadState, Stop> {
        let Ok(mut recv) = access.recv(self.key.0) else {
            return Err(Stop::Gone);
        };
        let mut out = [Bytes::new()];
        match recv.read(CHUNK, &mut out) {
            Ok(read) => {
                let [chunk] = out;
                self.input = chunk;
                Ok(read.state)
            }
            Err(ReadError::Reset(code)) => Err(Stop::Reset(code.wire)),
            Err(ReadError::Malformed(why)) => Err(Stop::Malformed(why)),
            Err(_) => Err(Stop::Gone),
        }
    }
}

/// Why a tunnel cannot go on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    Reset(crate::code::Code),
    Malformed(crate::fault::Violation),
    Fault(TunnelFault),
    Gone,
}

impl From<TunnelFault> for Stop {
    fn from(fault: TunnelFault) -> Self {
        Self::Fault(fault)
    }
}
