//! What is left of attempts that fail: nothing, but an error that says whether
//! another one is worth it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::Target;
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::id::Side;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::webtransport::ConnectRequest;
use http::StatusCode;

use super::{Net, poll, table};
use crate::Endpoint;
use crate::error::{NegotiationFailure, OpenSessionError};
use aqueduct_core::error::RequestError as Refusal;

fn session_request() -> ConnectRequest {
    ConnectRequest::new("https://localhost/".parse().expect("a URI"))
}

/// Entries and waiting tasks in the tables of an endpoint.
fn left(endpoint: &Endpoint) -> (usize, usize) {
    let shared = endpoint.shared();
    let mut locked = shared.lock();
    let state = locked.state();
    let waiting = state.conns.iter().flat_map(|(_, conn)| &conn.waiters);
    let waiting = waiting.map(|waiters| waiters.len()).sum::<usize>();
    (state.conns.len(), state.waiters.len() + waiting)
}

/// Row B36: of connections that do not come about.
#[test]
fn nothing_is_left_of_a_failed_connect() {
    let mut net = Net::new();
    let (client, server) = (net.client.clone(), net.server.clone());
    let address = ([127, 0, 0, 1], 2).into();

    // A certificate that is not trusted is final.
    let stranger = Arc::new(Identity::new(9, &["localhost"]).client());
    let connecting = client.connect(address, "localhost", stranger);
    let reason = net
        .run(connecting.expect("begins").established())
        .expect_err("not trusted");
    assert!(
        matches!(
            reason,
            CloseReason::Transport(TransportFailure::Error { .. })
        ),
        "{reason:?}"
    );
    assert!(!reason.is_retryable(), "{reason}");

    // Attempts are abandoned in the middle.
    for turns in [1, 2] {
        let tls = Identity::localhost().client_arc();
        let connecting = client.connect(address, "localhost", tls);
        let connection = connecting.expect("begins").early();
        let mut opening = pin!(connection.open_session(session_request()));
        for _ in 0..turns {
            assert!(poll(opening.as_mut()).is_none(), "it waits");
            net.turn();
        }
    }
    net.settle();
    net.run(client.wait_idle());
    net.run(server.wait_idle());
    assert_eq!(left(&client), (0, 0));
    assert_eq!(left(&server), (0, 0));
    assert_eq!(
        (client.open_connections(), server.open_connections()),
        (0, 0)
    );
}

/// Row B36: of sessions that do not come about; the connection goes on.
#[test]
fn nothing_is_left_of_a_failed_session() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    net.run(ours.settings()).expect("arrive");
    for (status, retryable) in [(404, false), (403, false), (503, true), (429, true)] {
        let mut opening = pin!(ours.open_session(session_request()));
        assert!(poll(opening.as_mut()).is_none());
        let asked = net.run(theirs.accept_session()).expect("arrives");
        let status = StatusCode::from_u16(status).expect("a status");
        asked.reject(status).expect("still wanted");
        let error = net.run(opening).expect_err("rejected");
        assert!(
            matches!(error, OpenSessionError::Rejected { status: told, .. } if told == status),
            "{error}"
        );
        assert_eq!(error.is_retryable(), retryable, "{error}");
    }
    net.settle();
    for connection in [&ours, &theirs] {
        assert_eq!(table(connection, |conn| conn.streams.len()), 0);
        let waiting = |conn: &mut crate::table::Conn| -> usize {
            conn.waiters.iter().map(|waiters| waiters.len()).sum()
        };
        assert_eq!(table(connection, waiting), 0);
    }
    assert!(ours.negotiated().is_ok());
    net.session(&ours, &theirs);
}

/// Rows B20, B36: a request that crosses the server's GOAWAY was never looked at and
/// may be repeated; so may one that comes after it.
#[test]
fn a_goaway_invites_to_come_back_elsewhere() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (_session, _server_session) = net.session(&ours, &theirs);
    theirs.drain(Duration::from_secs(60));
    let mut opening = pin!(ours.open_session(session_request()));
    assert!(poll(opening.as_mut()).is_none(), "it is on its way");
    let crossed = net.run(opening).expect_err("left out");
    let OpenSessionError::Session(close) = &crossed else {
        panic!("{crossed:?}")
    };
    // By GOAWAY or by a reset, whichever comes first.
    assert!(crossed.is_retryable() && close.is_unprocessed());

    let late = net
        .run(ours.open_session(session_request()))
        .expect_err("too late");
    assert_eq!(late, OpenSessionError::Refused(Refusal::Draining.into()));
    assert!(late.is_retryable());
    // The one session that both sides have is all there is.
    assert_eq!(table(&ours, |conn| conn.streams.len()), 1);
}

/// Row B2: what was agreed on is known as long as the connection is.
#[test]
fn what_is_missing_is_told_before_and_after() {
    let mut net = Net::new();
    let tls = Identity::localhost().client_arc();
    let target = Target::new(([127, 0, 0, 1], 2).into(), "localhost", tls);
    let client = net.client.clone();
    let connecting = client.connect_with(target).expect("begins");
    let early: NegotiationFailure = connecting.early().negotiated().expect_err("too early");
    assert!(early.is_retryable(), "{early}");
    assert!(early.missing.iter().all(|(side, _)| *side == Side::Server));
    let connection = net.run(connecting.established()).expect("shakes hands");
    net.run(connection.settings()).expect("arrive");
    connection.negotiated().expect("both speak WebTransport");
    connection.close(Code::H3_NO_ERROR, "");
    net.settle();
    connection.negotiated().expect_err("it is over");
}
