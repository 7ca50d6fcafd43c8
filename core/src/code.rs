//! Error codes of HTTP/3, QPACK, HTTP Datagrams and WebTransport, and the map
//! between 32-bit WebTransport application codes and HTTP/3 codes.
use std::fmt;

/// An application error code as QUIC carries it: in CONNECTION_CLOSE (0x1d),
/// RESET_STREAM and STOP_SENDING.
///
/// Any `u64` is representable so that a peer's code is never lost; QUIC itself
/// only carries values below 2^62.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u64);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Every code with a registered name, in table order.
            pub const NAMED: &'static [Self] = &[$(Self($value)),*];

            /// Registered name; `None` for a code this table does not know.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

//= https://www.rfc-editor.org/rfc/rfc9114#section-8.1
//= https://www.rfc-editor.org/rfc/rfc9204#section-6
//= https://www.rfc-editor.org/rfc/rfc9297#section-5.2
// draft-ietf-webtrans-http3-16 section 9.5 for the WT_ names.
codes! {
    /// HTTP Datagram or capsule error (RFC 9297).
    H3_DATAGRAM_ERROR = 0x33;
    /// No error; the connection or stream is closed on purpose.
    H3_NO_ERROR = 0x100;
    /// A rule was broken for which no better code exists.
    H3_GENERAL_PROTOCOL_ERROR = 0x101;
    /// Our own fault.
    H3_INTERNAL_ERROR = 0x102;
    /// A stream the receiver does not accept was opened.
    H3_STREAM_CREATION_ERROR = 0x103;
    /// A stream the connection cannot live without was closed.
    H3_CLOSED_CRITICAL_STREAM = 0x104;
    /// A frame that the state or the stream does not permit.
    H3_FRAME_UNEXPECTED = 0x105;
    /// A frame whose layout or size is wrong.
    H3_FRAME_ERROR = 0x106;
    /// The peer causes more work than is acceptable.
    H3_EXCESSIVE_LOAD = 0x107;
    /// A stream, push or session id used wrongly.
    H3_ID_ERROR = 0x108;
    /// An error in the SETTINGS payload.
    H3_SETTINGS_ERROR = 0x109;
    /// The control stream does not begin with SETTINGS.
    H3_MISSING_SETTINGS = 0x10a;
    /// The server did not process the request; it may be retried.
    H3_REQUEST_REJECTED = 0x10b;
    /// The request or its response is no longer wanted.
    H3_REQUEST_CANCELLED = 0x10c;
    /// The client's stream ended without a complete request.
    H3_REQUEST_INCOMPLETE = 0x10d;
    /// A malformed HTTP message.
    H3_MESSAGE_ERROR = 0x10e;
    /// The TCP connection behind a CONNECT broke.
    H3_CONNECT_ERROR = 0x10f;
    /// The request must be retried over HTTP/1.1.
    H3_VERSION_FALLBACK = 0x110;
    /// A field section cannot be decoded.
    QPACK_DECOMPRESSION_FAILED = 0x200;
    /// An error on the encoder stream.
    QPACK_ENCODER_STREAM_ERROR = 0x201;
    /// An error on the decoder stream.
    QPACK_DECODER_STREAM_ERROR = 0x202;
    /// A data stream for a session not yet known did not fit the buffer.
    WT_BUFFERED_STREAM_REJECTED = 0x3994_bd84;
    /// The session of this data stream has ended.
    WT_SESSION_GONE = 0x170d_7b68;
    /// Session-level flow control was violated.
    WT_FLOW_CONTROL_ERROR = 0x045d_4487;
    /// Application protocol negotiation failed.
    WT_ALPN_ERROR = 0x0817_b3dd;
    /// The peer lacks a setting or transport parameter WebTransport needs.
    WT_REQUIREMENTS_NOT_MET = 0x212c_0d48;
}

impl Code {
    /// Wraps a received or computed value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Whether this is a reserved (GREASE) code, `0x1f * N + 0x21`, which means
    /// the same as [`Code::H3_NO_ERROR`] (RFC 9114 section 8.1).
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.0 >= 0x21 && (self.0 - 0x21).is_multiple_of(0x1f)
    }
}

impl From<u64> for Code {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl From<Code> for u64 {
    fn from(code: Code) -> Self {
        code.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if let Some(name) = self.name() {
            write!(f, "{name} ({value:#x})")
        } else if let Some(app) = http_to_app(value) {
            write!(f, "WT_APPLICATION_ERROR {app} ({value:#x})")
        } else if self.is_reserved() {
            write!(f, "reserved ({value:#x})")
        } else {
            write!(f, "unknown ({value:#x})")
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// HTTP/3 code of WebTransport application code 0.
pub const WT_APPLICATION_ERROR_FIRST: u64 = 0x52e4_a40f_a8db;
/// HTTP/3 code of WebTransport application code `u32::MAX`.
pub const WT_APPLICATION_ERROR_LAST: u64 = 0x52e5_ac98_3162;

/// HTTP/3 code that carries WebTransport application code `app` in the reset of
/// a data stream. Codes reserved for GREASE are stepped over.
#[must_use]
pub const fn app_to_http(app: u32) -> u64 {
    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16#section-4.4
    // Every 31st number is a GREASE point, so 30 application codes fit between two.
    let app = app as u64;
    WT_APPLICATION_ERROR_FIRST + app + app / 0x1e
}

/// WebTransport application code carried by HTTP/3 code `http`; `None` outside
/// the range and for the GREASE points inside it.
#[must_use]
pub const fn http_to_app(http: u64) -> Option<u32> {
    if http < WT_APPLICATION_ERROR_FIRST
        || http > WT_APPLICATION_ERROR_LAST
        || Code(http).is_reserved()
    {
        return None;
    }
    let shifted = http - WT_APPLICATION_ERROR_FIRST;
    let app = shifted - shifted / 0x1f;
    // The end points above bound `app` by u32::MAX; the cast keeps every bit.
    Some(app as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Row B13: test-vectors 6.1.
    #[test]
    fn application_codes_map_as_published() {
        let vectors: [(u32, u64); 20] = [
            (0x0, 0x52e4_a40f_a8db),
            (0x1, 0x52e4_a40f_a8dc),
            (0x1c, 0x52e4_a40f_a8f7),
            (0x1d, 0x52e4_a40f_a8f8),
            (0x1e, 0x52e4_a40f_a8fa),
            (0x1f, 0x52e4_a40f_a8fb),
            (0x3b, 0x52e4_a40f_a917),
            (0x3c, 0x52e4_a40f_a919),
            (0x3d, 0x52e4_a40f_a91a),
            (0x59, 0x52e4_a40f_a936),
            (0x5a, 0x52e4_a40f_a938),
            (0xff, 0x52e4_a40f_a9e2),
            (0x100, 0x52e4_a40f_a9e3),
            (1000, 0x52e4_a40f_ace4),
            (0xffff, 0x52e4_a410_b162),
            (0x10000, 0x52e4_a410_b163),
            (0x7fff_ffff, 0x52e5_2853_ed1e),
            (0x8000_0000, 0x52e5_2853_ed1f),
            (0xffff_fffe, 0x52e5_ac98_3161),
            (0xffff_ffff, 0x52e5_ac98_3162),
        ];
        for (app, http) in vectors {
            assert_eq!(app_to_http(app), http, "to HTTP/3: {app:#x}");
            assert_eq!(http_to_app(http), Some(app), "from HTTP/3: {http:#x}");
        }
    }

    // Row B13: reserved points and protocol codes carry no application code.
    #[test]
    fn codes_without_an_application_code() {
        for low in [0xa8f9, 0xa918, 0xa937, 0xa956, 0xa975, 0xa994_u64] {
            assert_eq!(http_to_app(0x52e4_a40f_0000 | low), None);
        }
        for outside in [0x52e4_a40f_a8da, 0x52e5_ac98_3163, 0, u64::MAX] {
            assert_eq!(http_to_app(outside), None);
        }
        for code in Code::NAMED {
            assert_eq!(http_to_app(code.value()), None, "{code}");
        }
    }

    #[test]
    fn display_names_the_code_and_shows_the_number() {
        assert_eq!(Code::H3_NO_ERROR.to_string(), "H3_NO_ERROR (0x100)");
        assert_eq!(Code::new(0x40).to_string(), "reserved (0x40)");
        assert_eq!(Code::new(0x9999).to_string(), "unknown (0x9999)");
        assert_eq!(
            Code::new(app_to_http(17)).to_string(),
            "WT_APPLICATION_ERROR 17 (0x52e4a40fa8ec)"
        );
        assert_eq!(Code::new(0x3994_bd84), Code::WT_BUFFERED_STREAM_REJECTED);
    }

    #[test]
    fn no_named_code_is_reserved_and_none_is_listed_twice() {
        let mut seen: Vec<Code> = Code::NAMED.to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Code::NAMED.len());
        assert!(!seen.iter().any(|code| code.is_reserved()));
    }

    proptest! {
        // Row B13: the whole 32-bit range, and every HTTP/3 code in the range.
        #[test]
        fn application_codes_round_trip(app in any::<u32>()) {
            let http = app_to_http(app);
            prop_assert!(!Code::new(http).is_reserved());
            prop_assert_eq!(http_to_app(http), Some(app));
        }

        #[test]
        fn http_codes_in_range_round_trip(
            http in WT_APPLICATION_ERROR_FIRST..=WT_APPLICATION_ERROR_LAST,
        ) {
            match http_to_app(http) {
                Some(app) => prop_assert_eq!(app_to_http(app), http),
                None => prop_assert!(Code::new(http).is_reserved()),
            }
        }
    }
}
