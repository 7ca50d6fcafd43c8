//! Handles of what is over keep no connection open.

use aqueduct_core::webtransport::SessionClose;
use http::Response;

use super::Net;

/// `wait_idle` ends although a stream of a session that is over is still in scope, and
/// the session's close arrives.
#[test]
fn streams_of_a_session_that_was_closed() {
    for by_client in [true, false] {
        let mut net = Net::new();
        let (ours, theirs) = net.connect();
        let (session, server_session) = net.session(&ours, &theirs);
        let _streams = net.run(session.open_bi()).expect("opens");
        net.settle();
        drop(ours);
        let closed = if by_client {
            session.close(7, "bye").expect("open");
            net.run(server_session.closed())
        } else {
            server_session.close(7, "bye").expect("open");
            net.run(session.closed())
        };
        assert!(
            matches!(closed, SessionClose::Closed { code: 7, .. }),
            "{closed}"
        );
        // In scope as well.
        let _session = session;
        let client = net.client.clone();
        net.run(client.wait_idle());
        assert_eq!(client.open_connections(), 0);
    }
}

/// Nor does a request that was answered and read to the end.
#[test]
fn a_request_that_is_over() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    drop(ours);
    client.finish().expect("open");
    net.run(server.read_to_end(0)).expect("nothing");
    let answered = server.send.send_empty(Response::new(()));
    answered.expect("answers");
    net.run(client.recv_response()).expect("arrives");
    net.settle();
    assert_eq!(net.client.open_connections(), 1, "its end was not read");
    assert_eq!(net.run(client.recv_data()), Ok(None));
    let endpoint = net.client.clone();
    net.run(endpoint.wait_idle());
    assert_eq!(endpoint.open_connections(), 0);
    drop((client, server));
}

/// What is not over does.
#[test]
fn a_session_that_goes_on() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (first, first_there) = net.session(&ours, &theirs);
    let (second, second_there) = net.session(&ours, &theirs);
    drop(ours);
    first.close(0, "").expect("open");
    net.run(first_there.closed());
    net.settle();
    assert_eq!(net.client.open_connections(), 1);
    let mut stream = net.run(second.open_uni()).expect("goes on");
    net.run(stream.write_all(b"hi")).expect("room");
    net.run(second_there.accept_uni()).expect("goes on");
}
