//! Which failures pass: whether it is worth to try the same again elsewhere.
//!
//! *Retryable* means that the cause may be gone on another connection or after a
//! while, with nothing changed on this side. It does not mean that the first try had
//! no effect: that is certain only where the server says so
//! ([`PeerCode::is_unprocessed`], [`crate::webtransport::SessionClose::is_unprocessed`]), so that anything
//! else is to be sent again only when doing it twice does no harm (RFC 9110 §9.2.2).
//! Wait between tries, longer each time: a server that restarts is asked by all of
//! its clients at once.
//!
//! [`Class`] says the same and, of what does not pass, who would have to change.

use super::{CloseReason, PeerCode, RequestError, TransportFailure};
use crate::code::Code;
use crate::fault::Violation;

/// Who or what would have to change for the same to succeed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Nobody: it may succeed later or on another connection. What `is_retryable` says.
    Transient,
    /// The caller: what was asked for cannot be done as it was asked.
    Invalid,
    /// The other side, or the configuration of either.
    Unrecoverable,
}

impl Class {
    const fn passing(passes: bool) -> Self {
        if passes {
            Self::Transient
        } else {
            Self::Unrecoverable
        }
    }
}

/// QUIC transport error codes (RFC 9000 §20.1) that say nothing against a new
/// connection: NO_ERROR, INTERNAL_ERROR, CONNECTION_REFUSED.
const PASSING: [u64; 3] = [0x0, 0x1, 0x2];

impl Code {
    /// Whether whoever closes or resets with this code may behave otherwise when
    /// asked again.
    ///
    /// | code | |
    /// |---|---|
    /// | H3_NO_ERROR | yes: a graceful end |
    /// | H3_INTERNAL_ERROR | yes: the peer's own fault |
    /// | H3_REQUEST_REJECTED | yes: nothing was done |
    /// | all others | no: a rule was broken, or the application decided |
    #[must_use]
    pub fn is_retryable(self) -> bool {
        [
            Self::H3_NO_ERROR,
            Self::H3_INTERNAL_ERROR,
            Self::H3_REQUEST_REJECTED,
        ]
        .contains(&self)
    }
}

impl PeerCode {
    /// Whether the peer promises that it did nothing: the same request may be sent
    /// again whatever its method.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
        // Rejected requests count as never sent.
        self.app.is_none() && self.wire == Code::H3_REQUEST_REJECTED
    }
}

impl RequestError {
    /// Whether the same can succeed later or elsewhere.
    ///
    /// | case | |
    /// |---|---|
    /// | `Blocked`, `NotConnected`, `SettingsNotReceived` | yes, here: an event follows |
    /// | `Draining` | yes, on another connection |
    /// | `Closed` | no: ask the reason that came with the end |
    /// | `WrongSide`, `InvalidHead`, `HeadTooLarge` | no |
    /// | `ConnectProtocolNotEnabled` | no: the peer would have to change |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Blocked | Self::NotConnected | Self::SettingsNotReceived | Self::Draining => true,
            Self::Closed
            | Self::WrongSide
            | Self::InvalidHead(_)
            | Self::HeadTooLarge
            | Self::ConnectProtocolNotEnabled => false,
        }
    }

    /// [`Class::Invalid`] are `WrongSide`, `InvalidHead` and `HeadTooLarge`.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::WrongSide | Self::InvalidHead(_) | Self::HeadTooLarge => Class::Invalid,
            _ => Class::passing(self.is_retryable()),
        }
    }
}

impl TransportFailure {
    /// Whether another connection may fare better.
    ///
    /// | case | |
    /// |---|---|
    /// | `TimedOut`, in the handshake or later | yes |
    /// | `SendFailed` | yes, unless [`OsError::is_lasting`](super::OsError::is_lasting) |
    /// | `Reset`, `CidsExhausted` | yes |
    /// | `ClosedByPeer` with NO_ERROR, INTERNAL_ERROR or CONNECTION_REFUSED | yes |
    /// | `ClosedByPeer` with another code, TLS alerts among them | no |
    /// | `Error`: found on this side, certificates that are not trusted among them | no |
    /// | `VersionMismatch` | no |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TimedOut | Self::Reset | Self::CidsExhausted => true,
            Self::SendFailed(error) => !error.is_lasting(),
            Self::ClosedByPeer { code, .. } => PASSING.contains(code),
            Self::Error { .. } | Self::VersionMismatch => false,
        }
    }

    /// Never [`Class::Invalid`]: no request has part in it.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::passing(self.is_retryable())
    }
}

impl CloseReason {
    /// Whether another connection may fare better.
    ///
    /// | case | |
    /// |---|---|
    /// | `Remote` | as [`Code::is_retryable`]: the end of a server's graceful shutdown is |
    /// | `Transport` | as [`TransportFailure::is_retryable`] |
    /// | `PeerDrained` | yes |
    /// | `Local`, `Drained` | no: this side wanted it |
    /// | `PeerMisbehaved` | no; but yes where early data was sent by settings that do not hold, since the next connection sends none |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::PeerMisbehaved {
                why: Violation::SettingsReduced | Violation::SettingsTable,
                ..
            } => true,
            Self::Remote { code, .. } => code.is_retryable(),
            Self::Transport(failure) => failure.is_retryable(),
            Self::PeerDrained => true,
            Self::Local { .. } | Self::Drained | Self::PeerMisbehaved { .. } => false,
        }
    }

    /// Never [`Class::Invalid`]: no request has part in it.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::passing(self.is_retryable())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::Side;
    use crate::webtransport::dialect::{NegotiationFailure, Requirement};
    use crate::webtransport::{OpenSessionError, SessionClose};

    fn remote(code: Code) -> CloseReason {
        CloseReason::Remote {
            code,
            reason: Bytes::new(),
        }
    }

    fn transport(code: u64) -> CloseReason {
        CloseReason::Transport(TransportFailure::ClosedByPeer {
            code,
            reason: Bytes::new(),
        })
    }

    #[test]
    fn what_passes_and_what_does_not() {
        let misbehaved = CloseReason::PeerMisbehaved {
            code: Code::H3_FRAME_ERROR,
            why: Violation::FrameMalformed,
        };
        let forgetful = CloseReason::PeerMisbehaved {
            code: Code::H3_SETTINGS_ERROR,
            why: Violation::SettingsReduced,
        };
        let untrusted = TransportFailure::Error {
            code: 0x12a,
            reason: String::new(),
        };
        for (reason, retryable) in [
            (remote(Code::H3_NO_ERROR), true),
            (remote(Code::H3_INTERNAL_ERROR), true),
            (remote(Code::H3_EXCESSIVE_LOAD), false),
            (remote(Code::new(7)), false),
            (CloseReason::Transport(TransportFailure::TimedOut), true),
            (CloseReason::Transport(TransportFailure::Reset), true),
            // CONNECTION_REFUSED, PROTOCOL_VIOLATION, bad_certificate.
            (transport(0x2), true),
            (transport(0xa), false),
            (transport(0x12a), false),
            (CloseReason::Transport(untrusted), false),
            (CloseReason::Drained, false),
            (CloseReason::PeerDrained, true),
            (misbehaved, false),
            (forgetful, true),
        ] {
            assert_eq!(reason.is_retryable(), retryable, "{reason}");
            let session = SessionClose::Connection(reason);
            assert_eq!(session.is_retryable(), retryable, "{session}");
            assert!(!session.is_unprocessed(), "{session}");
        }
    }

    #[test]
    fn a_session_that_was_never_begun_can_be_asked_for_again() {
        let closed = SessionClose::Closed {
            by: Side::Server,
            code: 0,
            reason: String::new(),
        };
        for (close, retryable, unprocessed) in [
            (SessionClose::Unprocessed, true, true),
            (SessionClose::Reset(Code::H3_REQUEST_REJECTED), true, true),
            (
                SessionClose::Reset(Code::H3_REQUEST_CANCELLED),
                false,
                false,
            ),
            (SessionClose::Reset(Code::H3_INTERNAL_ERROR), true, false),
            (closed, false, false),
        ] {
            assert_eq!(close.is_retryable(), retryable, "{close}");
            assert_eq!(close.is_unprocessed(), unprocessed, "{close}");
        }
        // An application's code is not HTTP's, however it looks.
        let app = PeerCode {
            wire: Code::H3_REQUEST_REJECTED,
            app: Some(1),
        };
        assert!(!app.is_unprocessed());
        assert!(PeerCode::http(0x10b).is_unprocessed());
    }

    #[test]
    fn a_class_is_transient_where_another_try_may_succeed() {
        let invalid = super::super::InvalidHead::new("te", "says something else than trailers");
        for (error, class) in [
            (RequestError::Draining, Class::Transient),
            (RequestError::InvalidHead(invalid), Class::Invalid),
            (RequestError::HeadTooLarge, Class::Invalid),
            (RequestError::WrongSide, Class::Invalid),
            (
                RequestError::ConnectProtocolNotEnabled,
                Class::Unrecoverable,
            ),
            (RequestError::Closed, Class::Unrecoverable),
        ] {
            assert_eq!(error.class(), class, "{error}");
            assert_eq!(error.is_retryable(), class == Class::Transient, "{error}");
        }
        assert_eq!(remote(Code::H3_NO_ERROR).class(), Class::Transient);
        assert_eq!(CloseReason::Drained.class(), Class::Unrecoverable);
        assert_eq!(TransportFailure::TimedOut.class(), Class::Transient);
        assert_eq!(
            TransportFailure::VersionMismatch.class(),
            Class::Unrecoverable
        );
    }

    #[test]
    fn requirements_that_are_not_met_stay_so() {
        let failure = |missing: &[Requirement]| NegotiationFailure {
            missing: missing.iter().map(|m| (Side::Server, *m)).collect(),
        };
        assert!(failure(&[Requirement::Settings]).is_retryable());
        assert!(!failure(&[Requirement::Settings, Requirement::Dialect]).is_retryable());
        assert!(RequestError::Draining.is_retryable());
        assert!(!OpenSessionError::WebTransportNotEnabled.is_retryable());
        assert!(!OpenSessionError::WebTransportDisabled.is_retryable());
        assert!(!OpenSessionError::NoCommonDialect.is_retryable());
    }
}
