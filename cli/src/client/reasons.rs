//! Errors of the library as failures of the program: exit codes, and words for people.

use aqueduct_tokio::Session;
use aqueduct_tokio::error::{
    DatagramError, OpenSessionError, OpenStreamError, ReadError, RequestError, WriteError,
};
use aqueduct_tokio::protocol::error::{CloseReason, RequestError as Refusal, TransportFailure};
use aqueduct_tokio::protocol::webtransport::{OpenSessionError as SessionRefusal, SessionClose};
use aqueduct_tokio::proxy::OpenTunnelError;

use crate::exit::{Again, Exit, Failure, is_certificate_alert};
use crate::tls::Objection;

/// `no_application_protocol` as a QUIC error code (RFC 7301 section 3.2, RFC 9001 section 4.8).
pub(super) const NO_ALPN: u64 = 0x178;

/// What servers close connections with that they do not want: CONNECTION_REFUSED, and
/// APPLICATION_ERROR in the place of HTTP/3's own code while the handshake is under way (RFC 9000
/// sections 20.1 and 10.2.3).
const TURNED_AWAY: [(u64, &str); 2] = [
    (
        0x2,
        "the server takes no connection at present: it is full, or shutting down",
    ),
    (
        0xc,
        "the server closes the connection as it begins: it is full, or shutting down",
    ),
];

/// The connection ended while something was being done.
pub fn closed(doing: String, reason: &CloseReason) -> Failure {
    let transport_code = match reason {
        CloseReason::Transport(
            TransportFailure::ClosedByPeer { code, .. } | TransportFailure::Error { code, .. },
        ) => Some(*code),
        _ => None,
    };
    if transport_code.is_some_and(is_certificate_alert) {
        let whose = match reason {
            CloseReason::Transport(TransportFailure::Error { .. }) => {
                "the server's certificate is not trusted"
            }
            _ => "the server refused our certificate, or the want of one",
        };
        return Failure::new(Exit::Certificate, format!("{doing}: {whose}"));
    }
    if let CloseReason::Transport(TransportFailure::ClosedByPeer { code, .. }) = reason
        && let Some((_, why)) = TURNED_AWAY
            .iter()
            .find(|(turned_away, _)| turned_away == code)
    {
        return Failure::because(Exit::Failure, format!("{doing}: {why}"), reason.clone());
    }
    if transport_code == Some(NO_ALPN) {
        let doing = format!("{doing}: the server does not speak HTTP/3 (ALPN h3)");
        return Failure::because(Exit::Failure, doing, reason.clone());
    }
    let again = if_passing(reason.is_retryable());
    Failure::because(Exit::Failure, doing, reason.clone()).or(again)
}

fn if_passing(passes: bool) -> Again {
    if passes { Again::Idempotent } else { Again::No }
}

fn if_unprocessed(unprocessed: bool) -> Again {
    if unprocessed { Again::Safe } else { Again::No }
}

/// The server's certificate is not trusted.
pub(super) fn untrusted(doing: String, objection: &Objection) -> Failure {
    let Objection { why, help } = objection;
    let what = format!("{doing}: the server's certificate is not trusted: {why} ({help})");
    Failure::new(Exit::Certificate, what)
}

/// A request could not be sent.
pub fn request_failed(doing: String, error: RequestError) -> Failure {
    match error {
        RequestError::Connection(reason) => closed(doing, &reason),
        // Nothing was sent.
        other => {
            let again = if_unprocessed(other.is_retryable());
            Failure::because(Exit::Failure, doing, other).or(again)
        }
    }
}

/// A stream could not be opened.
pub fn stream_failed(doing: String, error: OpenStreamError) -> Failure {
    match error {
        OpenStreamError::Connection(reason) => closed(doing, &reason),
        OpenStreamError::Session(close) => session_closed(doing, &close),
        other => Failure::because(Exit::Failure, doing, other),
    }
}

/// A message or stream could not be read to its end.
pub fn read_failed(doing: String, error: ReadError) -> Failure {
    match error {
        ReadError::Connection(reason) => closed(doing, &reason),
        ReadError::Session(close) => session_closed(doing, &close),
        other => {
            // What is left of the errors that pass are those of requests without effect.
            let again = if_unprocessed(other.is_retryable());
            Failure::because(Exit::Failure, doing, other).or(again)
        }
    }
}

/// A message or stream could not be written.
pub fn write_failed(doing: String, error: WriteError) -> Failure {
    match error {
        WriteError::Connection(reason) => closed(doing, &reason),
        WriteError::Session(close) => session_closed(doing, &close),
        other => {
            let again = if_unprocessed(other.is_retryable());
            Failure::because(Exit::Failure, doing, other).or(again)
        }
    }
}

/// A datagram of `len` bytes could not be sent on a session. Sizes are named where they are why.
pub fn datagram_failed(session: &Session, len: usize, error: DatagramError) -> Failure {
    unsendable(session.max_datagram_size(), len, error)
}

fn unsendable(most: Option<usize>, len: usize, error: DatagramError) -> Failure {
    let doing = "cannot send a datagram".to_owned();
    match error {
        DatagramError::Connection(reason) => closed(doing, &reason),
        DatagramError::Session(close) => session_closed(doing, &close),
        DatagramError::TooLarge | DatagramError::TooLargeForPath => {
            let most = most.map(|most| format!(" (at most {most} fit)"));
            let doing = format!("{doing} of {len} bytes{}", most.unwrap_or_default());
            Failure::because(Exit::Failure, doing, error)
        }
        other => Failure::because(Exit::Failure, doing, other),
    }
}

/// A session ended while something was being done in it.
pub fn session_closed(doing: String, close: &SessionClose) -> Failure {
    match close {
        SessionClose::Connection(reason) => closed(doing, reason),
        other => Failure::because(Exit::Failure, doing, other.clone()),
    }
}

/// A session could not be opened. Refusals have an exit code of their own.
pub fn session_failed(doing: String, error: OpenSessionError) -> Failure {
    match error {
        OpenSessionError::Connection(reason) => closed(doing, &reason),
        OpenSessionError::Session(close) => session_closed(doing, &close),
        OpenSessionError::Refused(SessionRefusal::Request(
            Refusal::InvalidHead(_) | Refusal::HeadTooLarge,
        )) => Failure::because(Exit::Failure, doing, error),
        refused => Failure::because(Exit::Refused, doing, refused),
    }
}

/// A proxy opened no tunnel. Refusals have an exit code of their own.
pub fn tunnel_failed(doing: String, error: OpenTunnelError) -> Failure {
    match error {
        OpenTunnelError::Request(error) => request_failed(doing, error),
        OpenTunnelError::NoAnswer(error) => {
            read_failed(format!("{doing}: no answer of the proxy's"), error)
        }
        OpenTunnelError::Refused(_) => Failure::because(Exit::Refused, doing, error),
        other => Failure::because(Exit::Failure, doing, other),
    }
}

#[cfg(test)]
mod tests {
    use aqueduct_tokio::error::InvalidHead;
    use aqueduct_tokio::protocol::id::Side;

    use super::*;

    fn tls(code: u64, reason: &str) -> CloseReason {
        CloseReason::Transport(TransportFailure::Error {
            code,
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn a_certificate_alert_has_its_own_exit_code_and_no_text_of_a_library() {
        let failure = closed("cannot connect".to_owned(), &tls(0x130, "UnknownIssuer"));
        assert_eq!(failure.exit(), Exit::Certificate);
        assert!(failure.to_string().ends_with("is not trusted"), "{failure}");
    }

    #[test]
    fn a_server_that_is_shutting_down_is_named_so() {
        for code in [0x2, 0xc] {
            let reason = CloseReason::Transport(TransportFailure::ClosedByPeer {
                code,
                reason: bytes::Bytes::new(),
            });
            let failure = closed("cannot connect".to_owned(), &reason);
            assert_eq!(failure.exit(), Exit::Failure);
            let text = failure.to_string();
            assert!(text.contains("shutting down"), "{text}");
        }
    }

    #[test]
    fn a_server_without_h3_is_named_so() {
        let failure = closed("cannot connect".to_owned(), &tls(NO_ALPN, "no protocol"));
        assert_eq!(failure.exit(), Exit::Failure);
        assert!(
            failure.to_string().contains("does not speak HTTP/3"),
            "{failure}"
        );
    }

    #[test]
    fn sizes_of_datagrams_are_named_where_they_matter() {
        let too_large = unsendable(Some(1200), 2000, DatagramError::TooLargeForPath);
        let too_large = too_large.to_string();
        assert!(
            too_large.contains("of 2000 bytes (at most 1200 fit)"),
            "{too_large}"
        );
        let close = SessionClose::Closed {
            by: Side::Server,
            code: 7,
            reason: String::new(),
        };
        let over = unsendable(Some(1200), 2000, DatagramError::Session(close)).to_string();
        assert_eq!(
            over,
            "cannot send a datagram: closed by the server with code 7"
        );
    }

    #[test]
    fn a_session_that_the_server_does_not_take_is_refused() {
        let refused = OpenSessionError::Refused(SessionRefusal::WebTransportNotEnabled);
        let failure = session_failed("cannot open a session".to_owned(), refused);
        assert_eq!(failure.exit(), Exit::Refused);
        let invalid = Refusal::InvalidHead(InvalidHead::new("te", "is not allowed"));
        let invalid = OpenSessionError::Refused(invalid.into());
        let failure = session_failed("cannot open a session".to_owned(), invalid);
        assert_eq!(failure.exit(), Exit::Failure);
    }
}
