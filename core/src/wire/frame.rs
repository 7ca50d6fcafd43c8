//! HTTP/3 frame types, where each is legal, and encoding.
use std::fmt;

use bytes::{BufMut, Bytes};
use thiserror::Error;

use super::{
    settings::Settings,
    varint::{Head, VarInt},
};
use crate::id::Side;

/// A frame type. Any number is representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameType(pub u64);

/// The stream a frame is read from, as far as the frame rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// The peer's control stream.
    Control,
    /// A client-initiated bidirectional stream.
    Request,
    /// A push stream.
    Push,
}

/// Who may receive a frame type on one kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Nobody,
    Client,
    Server,
    Both,
}

impl To {
    const fn includes(self, side: Side) -> bool {
        match self {
            Self::Nobody => false,
            Self::Client => matches!(side, Side::Client),
            Self::Server => matches!(side, Side::Server),
            Self::Both => true,
        }
    }
}

/// What receiving a frame type means, before any of its payload is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Known and legal here.
    Expected,
    /// Known and not legal here, or forbidden everywhere: H3_FRAME_UNEXPECTED.
    Unexpected,
    /// The WebTransport signal value, which is no frame: H3_FRAME_ERROR.
    Signal,
    /// Unknown or reserved for GREASE: to be skipped.
    Unknown,
}

macro_rules! frame_types {
    ($($(#[$doc:meta])* $name:ident = $value:literal
        control $control:ident, request $request:ident, push $push:ident;)*) => {
        impl FrameType {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Registered name; `None` for unknown and reserved types.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            const fn to(self, kind: StreamKind) -> Option<To> {
                Some(match (self.0, kind) {
                    $(($value, StreamKind::Control) => To::$control,
                      ($value, StreamKind::Request) => To::$request,
                      ($value, StreamKind::Push) => To::$push,)*
                    _ => return None,
                })
            }
        }
    };
}

//= https://www.rfc-editor.org/rfc/rfc9114#section-7.2
// Which side may receive which frame on which stream. ORIGIN is RFC 9412,
// PRIORITY_UPDATE RFC 9218 section 7.2.
frame_types! {
    /// Content.
    DATA = 0x00 control Nobody, request Both, push Client;
    /// A field section.
    HEADERS = 0x01 control Nobody, request Both, push Client;
    /// HTTP/2 PRIORITY, forbidden.
    H2_PRIORITY = 0x02 control Nobody, request Nobody, push Nobody;
    /// Gives up a push.
    CANCEL_PUSH = 0x03 control Both, request Nobody, push Nobody;
    /// Connection parameters; first frame of a control stream.
    SETTINGS = 0x04 control Both, request Nobody, push Nobody;
    /// The request a push answers.
    PUSH_PROMISE = 0x05 control Nobody, request Client, push Nobody;
    /// HTTP/2 PING, forbidden.
    H2_PING = 0x06 control Nobody, request Nobody, push Nobody;
    /// No new requests or pushes from this id on.
    GOAWAY = 0x07 control Both, request Nobody, push Nobody;
    /// HTTP/2 WINDOW_UPDATE, forbidden.
    H2_WINDOW_UPDATE = 0x08 control Nobody, request Nobody, push Nobody;
    /// HTTP/2 CONTINUATION, forbidden.
    H2_CONTINUATION = 0x09 control Nobody, request Nobody, push Nobody;
    /// Origins the server answers for.
    ORIGIN = 0x0c control Client, request Nobody, push Nobody;
    /// How many pushes the client takes.
    MAX_PUSH_ID = 0x0d control Server, request Nobody, push Nobody;
    /// Not a frame: the first integer of a bidirectional WebTransport stream.
    WT_STREAM = 0x41 control Nobody, request Nobody, push Nobody;
    /// New priority of a request.
    PRIORITY_UPDATE_REQUEST = 0xf0700 control Server, request Nobody, push Nobody;
    /// New priority of a push.
    PRIORITY_UPDATE_PUSH = 0xf0701 control Server, request Nobody, push Nobody;
}

impl FrameType {
    /// Whether `receiver` may read a frame of this type on a stream of this
    /// kind. That SETTINGS comes first and once is not part of the answer.
    #[must_use]
    pub const fn verdict(self, kind: StreamKind, receiver: Side) -> Verdict {
        if self.0 == Self::WT_STREAM.0 {
            return Verdict::Signal;
        }
        match self.to(kind) {
            None => Verdict::Unknown,
            Some(to) if to.includes(receiver) => Verdict::Expected,
            Some(_) => Verdict::Unexpected,
        }
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "frame type {:#x}", self.0),
        }
    }
}

impl fmt::Debug for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Type and length of a frame whose payload is `len` bytes, on the stack. `ty`
/// is a frame type that exists or comes from [`super::grease`].
#[must_use]
pub fn header(ty: VarInt, len: usize) -> Head {
    Head::two(ty, VarInt::of_len(len))
}

/// What precedes `len` bytes of content.
#[must_use]
pub fn data_header(len: usize) -> Head {
    header(VarInt::from_u32(0x00), len)
}

/// What precedes an encoded field section of `len` bytes.
#[must_use]
pub fn headers_header(len: usize) -> Head {
    header(VarInt::from_u32(0x01), len)
}

/// Appends a SETTINGS frame.
pub fn put_settings(buf: &mut impl BufMut, settings: &Settings) {
    buf.put_slice(&header(VarInt::from_u32(0x04), settings.encoded_len()));
    settings.put(buf);
}

/// Appends GOAWAY: a stream id from a server, a push id from a client.
pub fn put_goaway(buf: &mut impl BufMut, id: VarInt) {
    put_id(buf, 0x07, id);
}

/// Appends CANCEL_PUSH.
pub fn put_cancel_push(buf: &mut impl BufMut, push_id: VarInt) {
    put_id(buf, 0x03, push_id);
}

/// Appends MAX_PUSH_ID.
pub fn put_max_push_id(buf: &mut impl BufMut, push_id: VarInt) {
    put_id(buf, 0x0d, push_id);
}

/// Appends a complete field value for the request stream or push `id` that
/// replaces its priority (RFC 9218 section 7.2).
pub fn put_priority_update(buf: &mut impl BufMut, push: bool, id: VarInt, value: &[u8]) {
    let ty = VarInt::from_u32(if push { 0xf0701 } else { 0xf0700 });
    buf.put_slice(&header(ty, id.len() + value.len()));
    id.put(buf);
    buf.put_slice(value);
}

/// An origin of 65,536 bytes or more does not fit its 16-bit length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("origin longer than 65,535 bytes")]
pub struct OriginTooLong;

/// Appends ORIGIN with the ASCII serialisations given (RFC 8336 section 2.1).
///
/// # Errors
/// [`OriginTooLong`], and nothing is written, if one exceeds 65,535 bytes.
pub fn put_origin(buf: &mut impl BufMut, origins: &[&str]) -> Result<(), OriginTooLong> {
    let mut total = 0;
    for origin in origins {
        u16::try_from(origin.len()).map_err(|_| OriginTooLong)?;
        total += 2 + origin.len();
    }
    buf.put_slice(&header(VarInt::from_u32(0x0c), total));
    for origin in origins {
        // Checked above to fit.
        buf.put_u16(origin.len() as u16);
        buf.put_slice(origin.as_bytes());
    }
    Ok(())
}

/// The entries of an ORIGIN payload, each a slice of it. Yields
/// `Some(Err(OriginOverrun))` once, at the end, if a length runs past the
/// payload; entries that are not origins are for the caller to skip.
#[derive(Clone, Debug)]
pub struct Origins(Bytes);

/// An entry of ORIGIN is longer than the frame: H3_FRAME_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginOverrun;

impl Origins {
    /// Over the payload of an ORIGIN frame.
    #[must_use]
    pub const fn new(payload: Bytes) -> Self {
        Self(payload)
    }
}

impl Iterator for Origins {
    type Item = Result<Bytes, OriginOverrun>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut rest = std::mem::take(&mut self.0);
        let Some(len) = rest
            .first_chunk()
            .map(|len| usize::from(u16::from_be_bytes(*len)))
        else {
            return Some(Err(OriginOverrun));
        };
        if rest.len() < 2 + len {
            return Some(Err(OriginOverrun));
        }
        self.0 = rest.split_off(2 + len);
        Some(Ok(rest.split_off(2)))
    }
}

fn put_id(buf: &mut impl BufMut, ty: u32, id: VarInt) {
    buf.put_slice(&header(VarInt::from_u32(ty), id.len()));
    id.put(buf);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{grease, testing::hex, varint::MAX};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    // Test-vectors 5.
    #[test]
    fn frames_encode_as_published() {
        let id = |value| VarInt::new(value).unwrap();
        assert_eq!(written(|b| put_goaway(b, id(0))), hex("070100"));
        assert_eq!(
            written(|b| put_goaway(b, id(MAX - 3))),
            hex("0708fffffffffffffffc")
        );
        assert_eq!(
            written(|b| put_goaway(b, id(MAX))),
            hex("0708ffffffffffffffff")
        );
        assert_eq!(
            written(|b| put_priority_update(b, false, id(0), b"u=0")),
            hex("800f0700 04 00 753d30")
        );
        assert_eq!(
            written(|b| put_origin(b, &["https://example.com"]).unwrap()),
            hex("0c15 0013 68747470733a2f2f6578616d706c652e636f6d")
        );
        assert_eq!(written(|b| put_settings(b, &Settings::new())), hex("0400"));
        assert_eq!(written(|b| put_max_push_id(b, id(63))), hex("0d013f"));
        assert_eq!(written(|b| put_cancel_push(b, id(64))), hex("03024040"));
        assert_eq!(data_header(10).as_slice(), hex("000a"));
        assert_eq!(headers_header(0x12).as_slice(), hex("0112"));
    }

    // RFC 9114 section 7.2: every known type on every stream, both receivers.
    #[test]
    fn each_frame_is_legal_where_the_rfc_says() {
        use Side::{Client, Server};
        use StreamKind::{Control, Push, Request};
        let legal: &[(FrameType, &[(StreamKind, Side)])] = &[
            (
                FrameType::DATA,
                &[(Request, Client), (Request, Server), (Push, Client)],
            ),
            (
                FrameType::HEADERS,
                &[(Request, Client), (Request, Server), (Push, Client)],
            ),
            (
                FrameType::CANCEL_PUSH,
                &[(Control, Client), (Control, Server)],
            ),
            (FrameType::SETTINGS, &[(Control, Client), (Control, Server)]),
            (FrameType::PUSH_PROMISE, &[(Request, Client)]),
            (FrameType::GOAWAY, &[(Control, Client), (Control, Server)]),
            (FrameType::ORIGIN, &[(Control, Client)]),
            (FrameType::MAX_PUSH_ID, &[(Control, Server)]),
            (FrameType::PRIORITY_UPDATE_REQUEST, &[(Control, Server)]),
            (FrameType::PRIORITY_UPDATE_PUSH, &[(Control, Server)]),
            (FrameType::H2_PRIORITY, &[]),
            (FrameType::H2_PING, &[]),
            (FrameType::H2_WINDOW_UPDATE, &[]),
            (FrameType::H2_CONTINUATION, &[]),
        ];
        for (ty, places) in legal {
            for place in [Control, Request, Push]
                .into_iter()
                .flat_map(|k| [(k, Client), (k, Server)])
            {
                let want = if places.contains(&place) {
                    Verdict::Expected
                } else {
                    Verdict::Unexpected
                };
                assert_eq!(ty.verdict(place.0, place.1), want, "{ty} at {place:?}");
            }
        }
        for unknown in [0x0a, 0x0b, 0x0e, 0x40, 0x42, grease::reserved(7).get(), MAX] {
            assert_eq!(
                FrameType(unknown).verdict(Request, Server),
                Verdict::Unknown
            );
        }
        assert_eq!(
            FrameType::WT_STREAM.verdict(Request, Server),
            Verdict::Signal
        );
    }

    #[test]
    fn origin_entries_come_back_and_an_overrun_ends_the_list() {
        let mut payload = hex("0003 613a62 0000 0005 61");
        let got: Vec<_> = Origins::new(Bytes::from(payload.clone())).collect();
        assert_eq!(
            got,
            [
                Ok(Bytes::from_static(b"a:b")),
                Ok(Bytes::new()),
                Err(OriginOverrun)
            ]
        );
        payload.truncate(payload.len() - 3);
        assert!(Origins::new(Bytes::from(payload)).all(|entry| entry.is_ok()));
        assert_eq!(
            Origins::new(Bytes::from_static(&[0])).next(),
            Some(Err(OriginOverrun))
        );
    }

    #[test]
    fn an_origin_that_cannot_be_encoded_is_refused() {
        let long = "a".repeat(65_536);
        let mut out = Vec::new();
        assert_eq!(
            put_origin(&mut out, &["https://a", &long]),
            Err(OriginTooLong)
        );
        assert!(out.is_empty());
    }
}
