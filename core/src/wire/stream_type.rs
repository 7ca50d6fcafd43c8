//! The first integers of a stream: what it is for.
use std::fmt;

use super::{
    grease,
    varint::{Head, VarInt},
};
use crate::id::StreamId;

/// First integer of a bidirectional stream that belongs to a WebTransport
/// session. A session id follows.
pub const WT_BIDI_SIGNAL: u64 = 0x41;

/// Use of a unidirectional stream, from its first integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UniType {
    /// SETTINGS and other connection-wide frames.
    Control,
    /// A pushed response. A push id follows.
    Push,
    /// Instructions to the receiver's QPACK decoder.
    QpackEncoder,
    /// Feedback to the receiver's QPACK encoder.
    QpackDecoder,
    /// A data stream of a WebTransport session. A session id follows.
    WebTransport,
    /// Reserved for GREASE.
    Reserved(u64),
    /// Not known.
    Unknown(u64),
}

macro_rules! uni_types {
    ($($name:ident = $value:literal, $text:literal, critical $critical:literal, id $id:literal;)*) => {
        impl UniType {
            /// Meaning of the first integer. Every value has one.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                match value {
                    $($value => Self::$name,)*
                    _ if grease::is_reserved(value) => Self::Reserved(value),
                    _ => Self::Unknown(value),
                }
            }

            /// The first integer.
            #[must_use]
            pub const fn value(self) -> u64 {
                match self {
                    $(Self::$name => $value,)*
                    Self::Reserved(value) | Self::Unknown(value) => value,
                }
            }

            /// Short name for logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Reserved(_) => "reserved",
                    Self::Unknown(_) => "unknown",
                }
            }

            /// Whether there is one per side, and its end is the end of the
            /// connection (H3_CLOSED_CRITICAL_STREAM).
            #[must_use]
            pub const fn is_critical(self) -> bool {
                match self {
                    $(Self::$name => $critical,)*
                    _ => false,
                }
            }

            /// Whether an id follows the type.
            #[must_use]
            pub const fn has_id(self) -> bool {
                match self {
                    $(Self::$name => $id,)*
                    _ => false,
                }
            }
        }
    };
}

//= https://www.rfc-editor.org/rfc/rfc9114#section-6.2
//= https://www.rfc-editor.org/rfc/rfc9204#section-4.2
// 0x54: draft-ietf-webtrans-http3-16 section 4.2.
uni_types! {
    Control = 0x00, "control", critical true, id false;
    Push = 0x01, "push", critical false, id true;
    QpackEncoder = 0x02, "QPACK encoder", critical true, id false;
    QpackDecoder = 0x03, "QPACK decoder", critical true, id false;
    WebTransport = 0x54, "WebTransport", critical false, id true;
}

impl fmt::Display for UniType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(value) | Self::Unknown(value) => {
                write!(f, "{} stream {value:#x}", self.name())
            }
            _ => write!(f, "{} stream", self.name()),
        }
    }
}

/// What a unidirectional stream without an id begins with.
#[must_use]
pub fn uni_head(ty: VarInt) -> Head {
    Head::one(ty)
}

/// What a unidirectional stream of `session` begins with.
#[must_use]
pub fn wt_uni_head(session: StreamId) -> Head {
    Head::two(VarInt::from_u32(0x54), session.into())
}

/// What a bidirectional stream of `session` begins with, from its opener only.
#[must_use]
pub fn wt_bidi_head(session: StreamId) -> Head {
    Head::two(VarInt::from_u32(0x41), session.into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::Side;
    use crate::wire::{
        cursor::HeadReader,
        frame::{self, StreamKind},
        frame_reader::{FrameEvent, FrameReader, FrameRules},
        settings::{SettingId, Settings},
        testing::hex,
        varint::MAX,
    };

    // Row B7, test-vectors 6.2: stream heads.
    #[test]
    fn session_stream_heads_encode_and_read_as_published() {
        let session = |id| StreamId::from_wire(id).unwrap();
        assert_eq!(wt_bidi_head(session(4)).as_slice(), hex("4041 04"));
        assert_eq!(wt_uni_head(session(256)).as_slice(), hex("4054 4100"));

        let mut uni = Bytes::from(hex("4054 4100 6869"));
        let head = HeadReader::new().read(&mut uni, |ty| UniType::new(ty).has_id());
        assert_eq!(head, Some((0x54, Some(256))));
        assert_eq!(uni, b"hi"[..]);
    }

    // Row B9, test-vectors 6.2: 404101 names stream 1.
    #[test]
    fn only_client_bidirectional_streams_are_sessions() {
        let mut bidi = Bytes::from(hex("404101"));
        let head = HeadReader::new().read(&mut bidi, |ty| ty == WT_BIDI_SIGNAL);
        let id = head.and_then(|(_, id)| id).unwrap();
        assert_eq!(id, 1);
        let request = |id| StreamId::from_wire(id).filter(|id| id.is_request());
        for bad in [id, 2, 3, 5, MAX, MAX + 1, u64::MAX] {
            assert_eq!(request(bad), None, "{bad}");
        }
        assert_eq!(request(MAX - 3).map(StreamId::number), Some((1 << 60) - 1));
    }

    // Test-vectors 5: whole control streams, read from the stream type on.
    #[test]
    fn control_streams_read_as_published() {
        let rules = FrameRules {
            kind: StreamKind::Control,
            receiver: Side::Client,
            max_section: 0,
            max_control: 1000,
        };
        for (wire, count) in [
            ("00 04 00", 0),
            (
                "00042b015000071006800100000801330180ffd27701ab60374201c0000000c671706a0194e9cd2901ac7cf00001",
                10,
            ),
            ("00041708013301ac7cf000016b61801000006b6440646b654064", 6),
        ] {
            let mut input = Bytes::from(hex(wire));
            let head = HeadReader::new().read(&mut input, |ty| UniType::new(ty).has_id());
            assert_eq!(head.map(|(ty, _)| UniType::new(ty)), Some(UniType::Control));
            let mut reader = FrameReader::new();
            let event = reader.read(&mut input, &rules).unwrap();
            let Some(FrameEvent::Settings(payload)) = event else {
                panic!("{event:?}")
            };
            let settings = Settings::decode(&payload).unwrap();
            assert_eq!(settings.iter().len(), count);
            assert!(count == 0 || settings.get(SettingId::WT_ENABLED) == Some(1));
            assert!(input.is_empty());

            let mut again = uni_head(VarInt::from_u32(0)).to_vec();
            frame::put_settings(&mut again, &settings);
            assert_eq!(again, hex(wire));
        }
    }

    #[test]
    fn every_type_keeps_its_value() {
        for value in [0, 1, 2, 3, 4, 0x20, 0x21, 0x40, 0x41, 0x53, 0x54, 0x55, MAX] {
            assert_eq!(UniType::new(value).value(), value);
        }
        assert_eq!(UniType::new(0x40), UniType::Reserved(0x40));
        assert_eq!(UniType::new(0x41), UniType::Unknown(0x41));
        let critical: Vec<u64> = (0..0x100)
            .filter(|v| UniType::new(*v).is_critical())
            .collect();
        assert_eq!(critical, [0, 2, 3]);
    }
}
