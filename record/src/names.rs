//! Stable words for errors and broken rules.

use aqueduct_core::error::{DatagramError, RequestError, ResetError, SendError};
use aqueduct_core::fault::Violation;
use aqueduct_core::webtransport::{
    AcceptError, OpenSessionError, OpenStreamError, RejectError, SessionError,
};

use crate::value::{Cx, OTHER, Put, named, put};
use crate::words::Line;

named! {
    OpenStreamError {
        "blocked" Blocked  "stream-limit" StreamLimit  "session-pending" SessionPending
        "session-draining" SessionDraining  "session-gone" SessionGone  "not-claimed" NotClaimed  "closed" Closed
    }
    SessionError {
        "gone" Gone  "wrong-state" WrongState  "reason-too-long" ReasonTooLong
    }
    DatagramError {
        "gone" Gone  "pending" Pending  "too-large" TooLarge
        "too-large-for-path" TooLargeForPath  "disabled" Disabled  "blocked" Blocked
    }
    ResetError {
        "gone" Gone  "code-out-of-range" CodeOutOfRange
    }
    Violation {
        "missing-settings" MissingSettings  "settings-invalid" SettingsInvalid  "settings-reduced" SettingsReduced
        "settings-table" SettingsTable
        "settings-malformed" SettingsMalformed  "settings-too-many" SettingsTooMany
        "datagram-without-transport" DatagramWithoutTransport  "stream-twice" StreamTwice  "too-few-streams" TooFewStreams
        "push-stream-from-client" PushStreamFromClient  "push-not-allowed" PushNotAllowed  "server-bidi" ServerBidi  "no-settings" NoSettings
        "critical-stream-closed" CriticalStreamClosed  "frame-unexpected" FrameUnexpected
        "frame-malformed" FrameMalformed  "frame-truncated" FrameTruncated  "frame-too-large" FrameTooLarge
        "signal-not-first" SignalNotFirst  "goaway-grew" GoawayGrew  "goaway-not-request" GoawayNotRequest
        "priority-not-request" PriorityNotRequest  "priority-push" PriorityPush  "priority-malformed" PriorityMalformed
        "max-push-id-shrank" MaxPushIdShrank  "session-id-invalid" SessionIdInvalid
        "datagram-malformed" DatagramMalformed  "qpack-decompression" QpackDecompression
        "qpack-encoder-stream" QpackEncoderStream  "qpack-decoder-stream" QpackDecoderStream  "nuisance" Nuisance
        "head-too-slow" HeadTooSlow  "section-too-slow" SectionTooSlow  "body-too-slow" BodyTooSlow
        "response-not-taken" ResponseNotTaken  "connect-unanswered" ConnectUnanswered  "request-unanswered" RequestUnanswered
        "message-malformed" MessageMalformed  "content-length" ContentLength  "request-incomplete" RequestIncomplete
        "response-incomplete" ResponseIncomplete  "field-section-too-large" FieldSectionTooLarge
        "requirements-not-met" RequirementsNotMet  "datagram-not-expected" DatagramNotExpected
        "capsule-malformed" CapsuleMalformed  "capsule-truncated" CapsuleTruncated  "capsule-too-large" CapsuleTooLarge
        "data-after-close" DataAfterClose  "close-reason-invalid" CloseReasonInvalid
        "capsule-prohibited" CapsuleProhibited  "flow-control" FlowControl
        "protocol-not-offered" ProtocolNotOffered
    }
}

/// The same for what is not read back, details left out.
macro_rules! told {
    ($($ty:ident { $($word:literal $variant:ident $(($detail:tt))?)* })*) => {$(
        impl Put for $ty {
            fn put(&self, line: &mut Line, _: Cx) {
                line.word(match self {
                    $($ty::$variant $(($detail))? => $word,)*
                    _ => OTHER,
                });
            }
        }
    )*};
}

told! {
    RequestError {
        "blocked" Blocked  "not-connected" NotConnected  "draining" Draining  "closed" Closed
        "wrong-side" WrongSide  "invalid-head" InvalidHead(_)  "head-too-large" HeadTooLarge
        "no-settings" SettingsNotReceived  "no-connect-protocol" ConnectProtocolNotEnabled
    }
    SendError {
        "gone" Gone  "wrong-state" WrongState  "invalid-head" InvalidHead(_)  "finished" Finished  "reset" Reset
        "head-too-large" HeadTooLarge  "content-length" ContentLength  "stopped" Stopped(_)
    }
    AcceptError {
        "gone" Gone  "wrong-state" WrongState  "invalid-status" InvalidStatus
        "protocol-not-offered" ProtocolNotOffered  "invalid-head" InvalidHead(_)
        "head-too-large" HeadTooLarge
    }
    RejectError {
        "gone" Gone  "wrong-state" WrongState  "invalid-status" InvalidStatus
        "invalid-head" InvalidHead(_)  "head-too-large" HeadTooLarge
    }
}

put! {
    put_open_session_error(OpenSessionError) as Put {
        "request" OpenSessionError::Request(error) => [error];
        "too-many-sessions" OpenSessionError::TooManySessions => [];
        "no-webtransport" OpenSessionError::WebTransportNotEnabled => [];  "off" OpenSessionError::WebTransportDisabled => [];  "no-dialect" OpenSessionError::NoCommonDialect => [];
        "no-datagrams" OpenSessionError::DatagramsNotEnabled => [];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_violation_has_a_word_of_its_own() {
        let words: BTreeSet<String> = (Violation::ALL.iter())
            .map(|why| {
                let mut line = Line::default();
                why.put(&mut line, Cx::PLAIN);
                line.0
            })
            .collect();
        assert_eq!(words.len(), Violation::ALL.len());
        assert!(!words.contains(OTHER));
    }
}
