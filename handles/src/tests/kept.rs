//! What a client has of an answer is not lost with the connection.

use aqueduct_core::code::Code;
use aqueduct_core::error::CloseReason;
use http::Response;

use super::{Net, table};
use crate::Connection;
use crate::RequestStream;
use crate::error::ReadError;

/// All that a window takes that nobody reads yet, and what goes at once.
const LEN: usize = 30_000;
const PART: usize = 8_000;

/// An answer that has arrived, whole or not, and of which nothing was taken; then the
/// server closes, and QUIC forgets the connection.
fn closed(net: &mut Net, whole: bool) -> (Connection, RequestStream) {
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    client.finish().expect("open");
    net.run(server.read_to_end(0)).expect("nothing");
    server.send_response(Response::new(())).expect("answers");
    let len = if whole { LEN } else { PART };
    let sent = net.run(server.send_data(vec![7; len].into()));
    sent.expect("room");
    if whole {
        server.finish().expect("open");
        net.run(server.send.stopped())
            .expect("all of it has arrived");
    }
    net.settle();
    theirs.close(Code::H3_NO_ERROR, "");
    let reason = net.run(ours.closed());
    assert!(matches!(reason, CloseReason::Remote { .. }), "{reason}");
    let endpoint = net.client.clone();
    net.run(endpoint.wait_idle());
    (ours, client)
}

/// RFC 9114 section 5.2: a close without error says that all was sent. What of it has
/// been acknowledged is ours to keep.
#[test]
fn a_whole_answer_is_read_after_the_end() {
    let mut net = Net::new();
    let (ours, mut client) = closed(&mut net, true);
    let head = net.run(client.recv_response()).expect("kept");
    assert_eq!(head.status(), 200);
    let body = net.run(client.read_to_end(LEN)).expect("kept");
    assert!(body.len() == LEN && body.iter().all(|byte| *byte == 7));
    drop(client);
    assert_eq!(table(&ours, |conn| conn.streams.len()), 0);
}

/// What is missing is told behind what is there.
#[test]
fn a_part_of_an_answer_ends_with_the_reason() {
    let mut net = Net::new();
    let (_ours, mut client) = closed(&mut net, false);
    net.run(client.recv_response()).expect("kept");
    let mut got = 0;
    let error = loop {
        match net.run(client.recv_data()) {
            Ok(Some(data)) => got += data.len(),
            Ok(None) => panic!("it has no end"),
            Err(error) => break error,
        }
    };
    assert_eq!(got, PART);
    assert!(
        matches!(error, ReadError::Connection(CloseReason::Remote { .. })),
        "{error}"
    );
}

/// Who does not want the rest holds nothing of it.
#[test]
fn a_kept_answer_can_be_given_up() {
    let mut net = Net::new();
    let (ours, client) = closed(&mut net, true);
    let (send, recv) = client.split();
    let kept = |conn: &mut crate::table::Conn| {
        let kept = conn
            .streams
            .iter()
            .filter(|(_, stream)| stream.kept.is_some());
        kept.count()
    };
    assert_eq!(table(&ours, kept), 1);
    drop(recv);
    assert_eq!(table(&ours, kept), 0);
    drop(send);
}
