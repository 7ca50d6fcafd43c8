//! The WebTransport resources of the demonstration.

use http::StatusCode;

use super::number;
use crate::percent::query_value;

/// The longest close reason that fits a WT_CLOSE_SESSION capsule, in bytes of UTF-8.
pub const MAX_REASON: usize = 1024;

/// What a demonstration session does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WtAction {
    /// Send back what comes: bidirectional streams on themselves, a unidirectional stream on a new
    /// one, datagrams one for one.
    Echo,
    /// Open one bidirectional and one unidirectional stream, and send one datagram.
    Push,
    /// Accept, then close the session.
    Close {
        /// The application's close code.
        code: u32,
        /// The reason, of at most [`MAX_REASON`] bytes.
        reason: String,
    },
    /// Accept, then ask the client to drain the session.
    Drain,
    /// Accept, then start a graceful shutdown of the connection.
    Goaway,
    /// Reset and stop each bidirectional stream of the client with this application code.
    Reset(u32),
    /// Refuse the session with this status.
    Reject(StatusCode),
}

/// Finds the action for a session request; an unknown path is a rejection with 404, a wrong
/// parameter one with 400.
pub fn route(path: &str, query: Option<&str>) -> WtAction {
    action(path, query).unwrap_or_else(WtAction::Reject)
}

fn action(path: &str, query: Option<&str>) -> Result<WtAction, StatusCode> {
    Ok(match path {
        "/echo" => WtAction::Echo,
        "/push" => WtAction::Push,
        "/drain" => WtAction::Drain,
        "/goaway" => WtAction::Goaway,
        "/reset" => WtAction::Reset(code(query)?),
        "/close" => {
            let reason = query_value(query, "reason").unwrap_or_default();
            if reason.len() > MAX_REASON {
                return Err(StatusCode::BAD_REQUEST);
            }
            WtAction::Close {
                code: code(query)?,
                reason,
            }
        }
        "/reject" => {
            let status = number(query, "status", 599).unwrap_or(Ok(403));
            let status = status.ok().and_then(|n| u16::try_from(n).ok());
            match status.and_then(|n| StatusCode::from_u16(n).ok()) {
                Some(status) if status.as_u16() >= 300 => WtAction::Reject(status),
                _ => return Err(StatusCode::BAD_REQUEST),
            }
        }
        _ => return Err(StatusCode::NOT_FOUND),
    })
}

fn code(query: Option<&str>) -> Result<u32, StatusCode> {
    number(query, "code", u64::from(u32::MAX))
        .unwrap_or(Ok(0))
        .ok()
        .and_then(|value| u32::try_from(value).ok())
        .ok_or(StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(target: &str) -> WtAction {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(p, q)| (p, Some(q)));
        route(path, query)
    }

    #[test]
    fn every_session_path_has_its_action() {
        for (target, expected) in [
            ("/echo", WtAction::Echo),
            ("/push", WtAction::Push),
            ("/drain", WtAction::Drain),
            ("/goaway", WtAction::Goaway),
            ("/reset", WtAction::Reset(0)),
            ("/reset?code=4294967295", WtAction::Reset(u32::MAX)),
            (
                "/close",
                WtAction::Close {
                    code: 0,
                    reason: String::new(),
                },
            ),
            (
                "/close?code=7&reason=so%20long",
                WtAction::Close {
                    code: 7,
                    reason: "so long".into(),
                },
            ),
            ("/reject", WtAction::Reject(StatusCode::FORBIDDEN)),
            (
                "/reject?status=429",
                WtAction::Reject(StatusCode::TOO_MANY_REQUESTS),
            ),
            ("/nowhere", WtAction::Reject(StatusCode::NOT_FOUND)),
        ] {
            assert_eq!(connect(target), expected, "{target}");
        }
    }

    #[test]
    fn wrong_parameters_reject_the_session() {
        let long = format!("/close?reason={}", "x".repeat(MAX_REASON + 1));
        for target in [
            "/reset?code=4294967296",
            "/close?code=-1",
            "/reject?status=200",
            "/reject?status=600",
            long.as_str(),
        ] {
            assert_eq!(
                connect(target),
                WtAction::Reject(StatusCode::BAD_REQUEST),
                "{target}"
            );
        }
    }
}
