//! What goes through a tunnel: payloads of UDP behind context ids, in datagrams and in
//! capsules, and bytes of TCP in capsules. Bytes in, bytes out; no connection is needed.

use bytes::{BufMut, Bytes, BytesMut};

use super::dialect::Dialect;
use crate::capsule::{CapsuleError, CapsuleType, Part, Reader, encode_header};
use crate::code::Code;
use crate::datagram::ContextId;

//= https://www.rfc-editor.org/rfc/rfc9298#section-5
// The largest payload of a UDP packet, which context 0 carries.
/// Bytes of the largest UDP payload.
pub const MAX_UDP_PAYLOAD: usize = 65_527;

/// Bytes of the longest context id.
const MAX_CONTEXT: usize = 8;

/// What the peer broke in a tunnel.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelFault {
    /// A payload of more than [`MAX_UDP_PAYLOAD`] bytes in context 0.
    #[error("a UDP payload of more than 65527 bytes")]
    PayloadTooLarge,
    /// A capsule is malformed, too large, or cut short by the end of the stream.
    #[error("{0}")]
    Capsule(#[from] CapsuleError),
    /// A DATAGRAM capsule without a whole context id.
    #[error("a DATAGRAM capsule without a context id")]
    NoContext,
    /// Bytes of TCP came after the last ones.
    #[error("data after the final data")]
    DataAfterEnd,
}

impl TunnelFault {
    /// The code that it resets a stream with.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::PayloadTooLarge => Code::H3_DATAGRAM_ERROR,
            //= https://www.rfc-editor.org/rfc/rfc9297#section-3.3
            // Capsules that break a rule make a malformed message.
            Self::Capsule(_) | Self::NoContext | Self::DataAfterEnd => Code::H3_MESSAGE_ERROR,
        }
    }
}

/// What is in an HTTP datagram of a tunnel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Payload {
    /// A UDP payload, empty perhaps.
    Udp(Bytes),
    /// Something of a context that nobody here has registered, which is dropped.
    UnknownContext,
    /// No whole context id, which is dropped.
    NoContext,
}

/// Reads the payload of an HTTP datagram that came in a QUIC datagram. No copy.
///
/// # Errors
/// [`TunnelFault::PayloadTooLarge`], which ends the tunnel.
pub fn decode_datagram(payload: Bytes) -> Result<Payload, TunnelFault> {
    let Ok((context, payload)) = ContextId::split(payload) else {
        return Ok(Payload::NoContext);
    };
    //= https://www.rfc-editor.org/rfc/rfc9298#section-4
    // A datagram of an unknown context is dropped: nobody registers any here.
    if context != ContextId::ZERO {
        return Ok(Payload::UnknownContext);
    }
    //= https://www.rfc-editor.org/rfc/rfc9298#section-5
    // The stream is aborted by whoever receives a larger one.
    if payload.len() > MAX_UDP_PAYLOAD {
        return Err(TunnelFault::PayloadTooLarge);
    }
    Ok(Payload::Udp(payload))
}

/// A UDP payload as DATAGRAM capsule, for a connection without QUIC datagrams. One copy.
///
/// # Errors
/// [`TunnelFault::PayloadTooLarge`]; nothing is to be sent.
pub fn encode_capsule(payload: &[u8]) -> Result<Bytes, TunnelFault> {
    if payload.len() > MAX_UDP_PAYLOAD {
        return Err(TunnelFault::PayloadTooLarge);
    }
    let context = ContextId::ZERO.encode();
    let len = (context.len() + payload.len()) as u64;
    let mut capsule = BytesMut::with_capacity(payload.len() + 2 * MAX_CONTEXT);
    // The type and the length are in range.
    if let Ok(header) = encode_header(CapsuleType::DATAGRAM, len) {
        capsule.put_slice(&header);
    }
    capsule.put_slice(&context);
    capsule.put_slice(payload);
    Ok(capsule.freeze())
}

/// What the content of a UDP tunnel's stream gives next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UdpPart {
    /// The payload of a DATAGRAM capsule.
    Payload(Payload),
    /// A capsule of another type, which was passed over.
    Unknown(CapsuleType),
}

/// Reads the capsules of a UDP tunnel's stream. Holds one payload at most.
#[derive(Debug, Default)]
pub struct UdpDecoder {
    reader: Reader,
    /// The value of a DATAGRAM capsule that has begun.
    value: Option<BytesMut>,
    len: usize,
}

impl UdpDecoder {
    /// Takes bytes from the front of `input` up to the end of the next part; `None` when
    /// they are used up.
    ///
    /// # Errors
    /// [`TunnelFault`]; the tunnel is to be aborted.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<UdpPart>, TunnelFault> {
        while let Some(part) = self.reader.read(input)? {
            match part {
                Part::Start { ty, .. } if ty != CapsuleType::DATAGRAM => {
                    //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
                    // Unknown types are passed over, and not held.
                    self.reader.skip();
                    return Ok(Some(UdpPart::Unknown(ty)));
                }
                Part::Start { len, .. } => {
                    //= https://www.rfc-editor.org/rfc/rfc9298#section-5
                    // Told before any of it is held. An unknown context does not have
                    // larger ones either, as far as can be told from here.
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    if len > MAX_CONTEXT + MAX_UDP_PAYLOAD {
                        return Err(TunnelFault::PayloadTooLarge);
                    }
                    self.value = Some(BytesMut::new());
                    self.len = len;
                }
                Part::Piece(piece) => {
                    if let Some(value) = &mut self.value {
                        if piece.len() == self.len && value.is_empty() {
                            // All of it in one piece, as is the rule.
                            *value = BytesMut::from(&piece[..]);
                        } else {
                            value.extend_from_slice(&piece);
                        }
                    }
                }
                Part::End => {
                    if let Some(value) = self.value.take() {
                        return match decode_datagram(value.freeze())? {
                            Payload::NoContext => Err(TunnelFault::NoContext),
                            payload => Ok(Some(UdpPart::Payload(payload))),
                        };
                    }
                }
            }
        }
        Ok(None)
    }

    /// The peer ended the stream.
    ///
    /// # Errors
    /// [`TunnelFault::Capsule`] inside a capsule.
    pub fn finish(&self) -> Result<(), TunnelFault> {
        Ok(self.reader.finish()?)
    }
}

/// What the content of a TCP tunnel's stream gives next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TcpPart {
    /// Bytes of the connection, never empty.
    Bytes(Bytes),
    /// There are no more: the peer's FIN.
    End,
}

/// Reads the bytes of a TCP tunnel's stream. Holds none of them.
#[derive(Debug)]
pub struct TcpDecoder {
    /// `None` for classic CONNECT, whose content is the bytes themselves.
    capsules: Option<(Reader, Dialect)>,
    at: Value,
    ended: bool,
}

/// What a piece of a value is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Value {
    Other,
    Data,
    FinalData,
}

impl TcpDecoder {
    /// For a tunnel of this dialect.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            capsules: (dialect != Dialect::Classic).then(|| (Reader::new(), dialect)),
            at: Value::Other,
            ended: false,
        }
    }

    /// Takes bytes from the front of `input` up to the end of the next part; `None` when
    /// they are used up. No copy.
    ///
    /// # Errors
    /// [`TunnelFault`]; the tunnel is to be aborted.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<TcpPart>, TunnelFault> {
        let Some((reader, dialect)) = &mut self.capsules else {
            let bytes = std::mem::take(input);
            return Ok((!bytes.is_empty()).then_some(TcpPart::Bytes(bytes)));
        };
        while let Some(part) = reader.read(input)? {
            match part {
                Part::Start { ty, .. } => {
                    self.at = match dialect.types() {
                        Some([data, _]) if ty == data => Value::Data,
                        Some([_, last]) if ty == last => Value::FinalData,
                        _ => Value::Other,
                    };
                    if self.at == Value::Other {
                        reader.skip();
                    } else if self.ended {
                        //= https://www.ietf.org/archive/id/draft-ietf-httpbis-connect-tcp-11.html#section-3.2
                        // Nothing follows FINAL_DATA.
                        return Err(TunnelFault::DataAfterEnd);
                    }
                }
                Part::Piece(piece) => return Ok(Some(TcpPart::Bytes(piece))),
                Part::End if self.at == Value::FinalData => {
                    self.ended = true;
                    return Ok(Some(TcpPart::End));
                }
                Part::End => {}
            }
        }
        Ok(None)
    }

    /// The stream has ended cleanly; whether that is the end of the connection's bytes, or
    /// cuts them short.
    ///
    /// # Errors
    /// [`TunnelFault::Capsule`] inside a capsule.
    pub fn finish(&mut self) -> Result<bool, TunnelFault> {
        match &self.capsules {
            None => self.ended = true,
            Some((reader, _)) => reader.finish()?,
        }
        Ok(self.ended)
    }

    /// Whether the end of the connection's bytes has come.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

/// Frames the bytes of a TCP connection for its tunnel's stream.
#[derive(Debug)]
pub struct TcpEncoder {
    types: Option<[CapsuleType; 2]>,
    /// What of headers the stream has not taken.
    header: Bytes,
    /// Bytes of the capsule that has begun that have not been handed over.
    left: u64,
    ended: bool,
}

impl TcpEncoder {
    /// For a tunnel of this dialect.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            types: dialect.types(),
            header: Bytes::new(),
            left: 0,
            ended: false,
        }
    }

    /// What goes out before the next of `offered` bytes, and how many of these: at least
    /// one, if any are offered. What the stream takes of both is told by [`Self::took`].
    /// Bytes that are offered are promised: a capsule that has begun has to be filled.
    #[must_use]
    pub fn begin(&mut self, offered: usize) -> (Bytes, usize) {
        let Some([data, _]) = self.types else {
            return (Bytes::new(), offered);
        };
        if self.left == 0 && offered > 0 && self.header.is_empty() {
            self.left = offered as u64;
            if let Ok(header) = encode_header(data, self.left) {
                self.header = Bytes::copy_from_slice(&header);
            }
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (self.header.clone(), offered.min(left))
    }

    /// The stream has taken so many bytes of what [`Self::begin`] gave; how many of them
    /// are of what was offered.
    #[must_use]
    pub fn took(&mut self, mut bytes: usize) -> usize {
        let of_header = bytes.min(self.header.len());
        let _ = self.header.split_to(of_header);
        bytes -= of_header;
        if self.types.is_some() {
            self.left = self.left.saturating_sub(bytes as u64);
        }
        bytes
    }

    /// There are no more bytes: what goes out for it. Empty for classic CONNECT, whose
    /// stream ends instead. `None` inside a capsule, which has been promised more.
    #[must_use]
    pub fn end(&mut self) -> Option<Bytes> {
        let Some([_, last]) = self.types else {
            self.ended = true;
            return Some(Bytes::new());
        };
        if self.left > 0 {
            return None;
        }
        if !std::mem::replace(&mut self.ended, true)
            && let Ok(header) = encode_header(last, 0)
        {
            self.header = Bytes::copy_from_slice(&header);
        }
        Some(self.header.clone())
    }

    /// Bytes that are still to be handed over of the capsule that has begun.
    #[must_use]
    pub fn promised(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    /// Whether bytes of a header wait to be taken.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.header.is_empty()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
