//! What clients do to sessions and their streams, as JSON lines for programs.

use aqueduct_tokio::Session;
use aqueduct_tokio::protocol::error::PeerCode;
use aqueduct_tokio::protocol::id::Side;
use aqueduct_tokio::protocol::webtransport::SessionClose;
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::answer::Unanswered;
use crate::output::Output;

/// Prints events with `--json`, and logs them otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Events {
    output: Output,
}

impl Events {
    pub(super) fn new(output: Output) -> Self {
        Self { output }
    }

    /// A session was accepted.
    pub(super) fn session_opened(self, session: &Session) {
        let agreed = session.connection().negotiated().ok();
        let (path, protocol) = (session.uri().path(), session.protocol());
        tracing::info!(path, ?agreed, protocol, "a session is open");
        let fields = json!({
            "path": path,
            "dialect": agreed.map(|it| it.dialect.to_string()),
            "flow_control": agreed.map(|it| it.flow_control),
            "protocol": protocol,
        });
        self.print("session_opened", fields);
    }

    /// A request for a session was answered with this status.
    pub(super) fn session_rejected(self, uri: &Uri, origin: Option<&str>, status: StatusCode) {
        let path = uri.path();
        tracing::info!(path, origin, %status, "a session was rejected");
        let fields = json!({ "path": path, "origin": origin, "status": status.as_u16() });
        self.print("session_rejected", fields);
    }

    /// A session has ended: each that was [opened](Self::session_opened) has one such line.
    pub(super) fn session_over(self, close: &SessionClose) {
        tracing::info!(%close, "a session is over");
        if let SessionClose::Closed {
            by: Side::Client,
            code,
            reason,
        } = close
        {
            self.print("session_closed", json!({ "code": code, "reason": reason }));
        } else {
            self.print("session_ended", json!({ "why": close.to_string() }));
        }
    }

    /// What a session that was opened was for could not be done, and it ends by that.
    pub(super) fn session_failed(self, why: &Unanswered) {
        self.print("session_ended", json!({ "why": why.to_string() }));
    }

    /// The client reset a session's stream.
    pub(super) fn stream_reset(self, code: PeerCode) {
        tracing::info!(%code, "the client reset a stream");
        self.print(
            "stream_reset",
            json!({ "code": code.app, "wire_code": code.wire.value() }),
        );
    }

    /// The client stopped a session's stream.
    pub(super) fn stream_stopped(self, code: PeerCode) {
        tracing::info!(%code, "the client stopped a stream");
        self.print(
            "stream_stopped",
            json!({ "code": code.app, "wire_code": code.wire.value() }),
        );
    }

    fn print(self, event: &str, fields: Value) {
        // A reader that has gone away is no reason to stop serving.
        if self.output.is_json()
            && let Err(error) = self.output.event(event, fields)
        {
            tracing::debug!(%error, "cannot print an event");
        }
    }
}
