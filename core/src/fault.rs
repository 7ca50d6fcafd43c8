//! What a peer can do wrong, each with its scope and its wire code.
//!
//! A `Fault` is a broken rule and its scope. `?` carries it up to `H3::fail`, the single
//! place where a fault closes, or resets and stops, and is told to the layer above; its
//! variant is its scope, so a scope cannot be forgotten. What breaks no rule is no
//! fault: refusals, cancellations and the application's own mistakes.
//!
//! The codes of rules stand in the table here: errors of the codecs become violations.
//! Codes of refusals and of ends stand where these are made.

use std::fmt;

use crate::code::Code;
use crate::id::StreamKey;

/// How far the damage goes.
#[must_use]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// The whole connection closes.
    Connection(Violation),
    /// One stream is reset and stopped; nothing else notices.
    Stream(StreamKey, Violation),
}

macro_rules! violations {
    ($($name:ident = $code:ident, $section:literal, $text:literal;)*) => {
        /// A rule the peer broke. Tests match on the variant, logs print the text
        /// and its source, the wire carries code and text.
        #[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
        #[non_exhaustive]
        pub enum Violation {
            $(#[doc = concat!($text, " (", $section, ").")] $name,)*
        }

        impl Violation {
            /// The code the wire carries for it.
            #[must_use]
            pub const fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// The rule in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Where the rule stands.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            /// Every variant, for tests that walk the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

violations! {
    // Connection scope: control streams and frames.
    MissingSettings = H3_MISSING_SETTINGS, "RFC 9114 §6.2.1", "the control stream does not begin with SETTINGS";
    SettingsInvalid = H3_SETTINGS_ERROR, "RFC 9114 §7.2.4", "a setting is duplicated, reserved or has a value out of range";
    SettingsReduced = H3_SETTINGS_ERROR, "RFC 9114 §7.2.4.2", "settings that take back what early data was sent by";
    SettingsTable = QPACK_DECODER_STREAM_ERROR, "RFC 9204 §3.2.3", "another table capacity than early data was sent by";
    SettingsMalformed = H3_FRAME_ERROR, "RFC 9114 §7.1", "SETTINGS ends inside a pair";
    SettingsTooMany = H3_EXCESSIVE_LOAD, "RFC 9114 §10.5", "more settings than we accept";
    DatagramWithoutTransport = H3_SETTINGS_ERROR, "RFC 9297 §2.1.1", "H3_DATAGRAM is 1 without the transport parameter";
    StreamTwice = H3_STREAM_CREATION_ERROR, "RFC 9114 §6.2.1", "a second control or QPACK stream";
    PushStreamFromClient = H3_STREAM_CREATION_ERROR, "RFC 9114 §6.2.2", "a push stream opened by a client";
    PushNotAllowed = H3_ID_ERROR, "RFC 9114 §4.6", "a push id that was never allowed";
    ServerBidi = H3_STREAM_CREATION_ERROR, "RFC 9114 §6.1", "a bidirectional stream from the server without an extension that allows it";
    NoSettings = H3_MISSING_SETTINGS, "RFC 9114 §6.2.1", "no SETTINGS came in time";
    TooFewStreams = H3_GENERAL_PROTOCOL_ERROR, "RFC 9114 §6.2", "fewer than three unidirectional streams are allowed";
    CriticalStreamClosed = H3_CLOSED_CRITICAL_STREAM, "RFC 9114 §6.2.1", "a control or QPACK stream was closed";
    FrameUnexpected = H3_FRAME_UNEXPECTED, "RFC 9114 §7.2", "a frame on a stream or at a time where it is not allowed";
    FrameMalformed = H3_FRAME_ERROR, "RFC 9114 §7.1", "a frame whose payload does not fit its length";
    FrameTruncated = H3_FRAME_ERROR, "RFC 9114 §7.1", "the stream ended inside a frame";
    FrameTooLarge = H3_EXCESSIVE_LOAD, "RFC 9114 §10.5", "a frame larger than we accept";
    SignalNotFirst = H3_FRAME_ERROR, "draft-ietf-webtrans-http3-16 §4.3", "WT_STREAM inside a stream";
    GoawayGrew = H3_ID_ERROR, "RFC 9114 §5.2", "a GOAWAY with a larger id than before";
    GoawayNotRequest = H3_ID_ERROR, "RFC 9114 §5.2", "a GOAWAY whose id is not a request stream";
    PriorityNotRequest = H3_ID_ERROR, "RFC 9218 §7.2", "a PRIORITY_UPDATE for what is not a request stream";
    PriorityPush = H3_ID_ERROR, "RFC 9218 §7.2", "a PRIORITY_UPDATE for a push that was never promised";
    PriorityMalformed = H3_GENERAL_PROTOCOL_ERROR, "RFC 9218 §7.2", "a PRIORITY_UPDATE whose value does not parse";
    MaxPushIdShrank = H3_ID_ERROR, "RFC 9114 §7.2.7", "a MAX_PUSH_ID smaller than before";
    SessionIdInvalid = H3_ID_ERROR, "draft-ietf-webtrans-http3-16 §4", "a session id that is not a request stream";
    DatagramMalformed = H3_DATAGRAM_ERROR, "RFC 9297 §2.1", "a datagram without a valid quarter stream id";
    QpackDecompression = QPACK_DECOMPRESSION_FAILED, "RFC 9204 §6", "a field section that does not decode";
    QpackEncoderStream = QPACK_ENCODER_STREAM_ERROR, "RFC 9204 §6", "an invalid encoder instruction";
    QpackDecoderStream = QPACK_DECODER_STREAM_ERROR, "RFC 9204 §6", "an invalid decoder instruction";
    Nuisance = H3_EXCESSIVE_LOAD, "RFC 9114 §10.5", "more useless frames, streams or resets than we tolerate";
    // Stream scope: what did not come, or was not taken, in time.
    HeadTooSlow = H3_REQUEST_REJECTED, "RFC 9114 §10.5", "the beginning of a stream did not come in time";
    SectionTooSlow = H3_REQUEST_CANCELLED, "RFC 9204 §7.2", "a field section waited too long for insertions";
    BodyTooSlow = H3_REQUEST_CANCELLED, "RFC 9114 §10.5", "a request's content comes too slowly";
    ResponseNotTaken = H3_REQUEST_CANCELLED, "RFC 9114 §10.5", "a response is taken too slowly";
    RequestUnanswered = H3_REQUEST_CANCELLED, "RFC 9114 §4.1", "no response came in time";
    ConnectUnanswered = H3_REQUEST_CANCELLED, "RFC 9114 §4.4", "CONNECT was not answered in time";
    // Stream scope: messages.
    MessageMalformed = H3_MESSAGE_ERROR, "RFC 9114 §4.1.2", "a malformed message";
    ContentLength = H3_MESSAGE_ERROR, "RFC 9114 §4.1.2", "content-length does not match the content";
    RequestIncomplete = H3_REQUEST_INCOMPLETE, "RFC 9114 §4.1", "the request stream ended before the request";
    ResponseIncomplete = H3_MESSAGE_ERROR, "RFC 9114 §4.1", "the stream ended before a final response";
    FieldSectionTooLarge = H3_EXCESSIVE_LOAD, "RFC 9114 §4.2.2", "a field section larger than we accept";
    RequirementsNotMet = H3_MESSAGE_ERROR, "draft-ietf-webtrans-http3-16 §3.1", "a session on a connection that lacks a requirement";
    ProtocolNotOffered = WT_ALPN_ERROR, "draft-ietf-webtrans-http3-16 §3.3", "an answer that selects no application protocol that was offered";
    DatagramNotExpected = H3_DATAGRAM_ERROR, "RFC 9297 §2", "a datagram for a request that has no use for it";
    CapsuleMalformed = H3_MESSAGE_ERROR, "RFC 9297 §3.3", "a malformed capsule";
    CapsuleTooLarge = H3_EXCESSIVE_LOAD, "RFC 9114 §10.5", "a capsule larger than we accept";
    CapsuleTruncated = H3_MESSAGE_ERROR, "RFC 9297 §3.3", "the stream ended inside a capsule";
    DataAfterClose = H3_MESSAGE_ERROR, "draft-ietf-webtrans-http3-16 §6", "data after WT_CLOSE_SESSION";
    CloseReasonInvalid = H3_MESSAGE_ERROR, "draft-ietf-webtrans-http3-16 §6", "a close reason that is too long or not UTF-8";
    CapsuleProhibited = WT_FLOW_CONTROL_ERROR, "draft-ietf-webtrans-http3-16 §5.4", "a capsule of the HTTP/2 binding";
    FlowControl = WT_FLOW_CONTROL_ERROR, "draft-ietf-webtrans-http3-16 §5.6", "a session limit was exceeded or lowered";
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.section())
    }
}
