//! Stable words for what the core calls by Rust names: a recording is read by later
//! versions, in which a variant may have another name.

use aqueduct_core::connection::CommandError;
use aqueduct_core::error::{
    DatagramError, ReadError, RequestError, ResetError, SendError, WriteError,
};
use aqueduct_core::fault::Violation;
use aqueduct_core::id::Dir;
use aqueduct_core::webtransport::{
    AcceptError, OpenSessionError, OpenStreamError, RejectError, SessionError,
};

use crate::words::Line;

/// A variant without a word, which is newer than this table.
pub(crate) const OTHER: &str = "other";

macro_rules! names {
    ($($(#[$doc:meta])* $function:ident($ty:ident) {
        $($variant:ident $(($inner:tt))? $word:literal)*
    })*) => {$(
        $(#[$doc])*
        pub(crate) fn $function(value: $ty) -> &'static str {
            match value {
                $($ty::$variant $(($inner))? => $word,)*
                _ => OTHER,
            }
        }
    )*};
}

names! {
    request(RequestError) {
        Blocked "blocked"
        NotConnected "not-connected"
        Draining "draining"
        Closed "closed"
        WrongSide "wrong-side"
        InvalidHead(_) "invalid-head"
        HeadTooLarge "head-too-large"
        SettingsNotReceived "no-settings"
        ConnectProtocolNotEnabled "no-connect-protocol"
    }
    open_stream(OpenStreamError) {
        Blocked "blocked"
        StreamLimit "stream-limit"
        SessionPending "session-pending"
        SessionDraining "session-draining"
        SessionGone "session-gone"
        Closed "closed"
    }
    send(SendError) {
        Gone "gone"
        WrongState "wrong-state"
        InvalidHead(_) "invalid-head"
        HeadTooLarge "head-too-large"
        ContentLength "content-length"
    }
    accept(AcceptError) {
        Gone "gone"
        WrongState "wrong-state"
        InvalidStatus "invalid-status"
        ProtocolNotOffered "protocol-not-offered"
        InvalidHead(_) "invalid-head"
        HeadTooLarge "head-too-large"
    }
    reject(RejectError) {
        Gone "gone"
        WrongState "wrong-state"
        InvalidStatus "invalid-status"
        InvalidHead(_) "invalid-head"
        HeadTooLarge "head-too-large"
    }
    session(SessionError) {
        Gone "gone"
        WrongState "wrong-state"
        ReasonTooLong "reason-too-long"
    }
    datagram(DatagramError) {
        Gone "gone"
        Pending "pending"
        TooLarge "too-large"
        TooLargeForPath "too-large-for-path"
        Disabled "disabled"
        Blocked "blocked"
    }
    reset(ResetError) {
        Gone "gone"
        CodeOutOfRange "code-out-of-range"
    }
    violation(Violation) {
        MissingSettings "missing-settings"
        SettingsInvalid "settings-invalid"
        SettingsReduced "settings-reduced"
        SettingsMalformed "settings-malformed"
        SettingsTooMany "settings-too-many"
        DatagramWithoutTransport "datagram-without-transport"
        StreamTwice "stream-twice"
        PushStreamFromClient "push-stream-from-client"
        PushNotAllowed "push-not-allowed"
        ServerBidi "server-bidi"
        CriticalStreamClosed "critical-stream-closed"
        FrameUnexpected "frame-unexpected"
        FrameMalformed "frame-malformed"
        FrameTruncated "frame-truncated"
        FrameTooLarge "frame-too-large"
        SignalNotFirst "signal-not-first"
        GoawayGrew "goaway-grew"
        GoawayNotRequest "goaway-not-request"
        PriorityNotRequest "priority-not-request"
        PriorityPush "priority-push"
        PriorityMalformed "priority-malformed"
        MaxPushIdShrank "max-push-id-shrank"
        SessionIdInvalid "session-id-invalid"
        DatagramMalformed "datagram-malformed"
        QpackDecompression "qpack-decompression"
        QpackEncoderStream "qpack-encoder-stream"
        QpackDecoderStream "qpack-decoder-stream"
        Nuisance "nuisance"
        MessageMalformed "message-malformed"
        ContentLength "content-length"
        RequestIncomplete "request-incomplete"
        ResponseIncomplete "response-incomplete"
        FieldSectionTooLarge "field-section-too-large"
        RequirementsNotMet "requirements-not-met"
        DatagramNotExpected "datagram-not-expected"
        CapsuleMalformed "capsule-malformed"
        CapsuleTooLarge "capsule-too-large"
        CapsuleTruncated "capsule-truncated"
        DataAfterClose "data-after-close"
        CloseReasonInvalid "close-reason-invalid"
        CapsuleProhibited "capsule-prohibited"
        FlowControl "flow-control"
    }
}

/// Which way a stream goes.
pub(crate) fn dir(dir: Dir) -> &'static str {
    match dir {
        Dir::Bi => "bi",
        Dir::Uni => "uni",
    }
}

/// Why a command had no effect.
pub(crate) fn command(error: CommandError) -> &'static str {
    match error {
        CommandError::NoConnection => "no-connection",
        CommandError::Request(error) => request(error),
        CommandError::OpenSession(error) => open_session(error),
        CommandError::OpenStream(error) => open_stream(error),
        CommandError::Accept(error) => accept(error),
        CommandError::Reject(error) => reject(error),
        CommandError::Send(error) => send(error),
        CommandError::Session(error) => session(error),
        CommandError::Reset(error) => reset(error),
        CommandError::Gone => "gone",
        _ => OTHER,
    }
}

fn open_session(error: OpenSessionError) -> &'static str {
    match error {
        OpenSessionError::Request(error) => request(error),
        OpenSessionError::TooManySessions => "too-many-sessions",
        OpenSessionError::WebTransportNotEnabled => "no-webtransport",
        OpenSessionError::DatagramsNotEnabled => "no-datagrams",
        _ => OTHER,
    }
}

/// Why nothing was written.
pub(crate) fn put_write(line: &mut Line, error: WriteError) {
    match error {
        WriteError::Stopped(code) => line.word("stopped").show(code.wire.value()),
        WriteError::WrongState => line.word("wrong-state"),
        WriteError::ContentLength => line.word("content-length"),
        WriteError::Gone => line.word("gone"),
        _ => line.word(OTHER),
    };
}

/// Why nothing was read.
pub(crate) fn put_read(line: &mut Line, error: ReadError) {
    match error {
        ReadError::Reset(code) => line.word("reset").show(code.wire.value()),
        ReadError::Malformed(why) => line.word("malformed").word(violation(why)),
        ReadError::Gone => line.word("gone"),
        _ => line.word(OTHER),
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_violation_has_a_word_of_its_own() {
        let words: BTreeSet<_> = Violation::ALL.iter().map(|why| violation(*why)).collect();
        assert_eq!(words.len(), Violation::ALL.len());
        assert!(!words.contains(OTHER));
    }
}
