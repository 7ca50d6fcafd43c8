//! How many streams a peer may open while others of its live long.

use aqueduct_core::endpoint::ConnectionMut;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::wt::there;
use bytes::Bytes;
use http::{Method, StatusCode};

fn head(method: Method) -> RequestHead {
    RequestHead::new(method, "https://a/".parse().expect("a URI"))
}

fn read_to_end(mut connection: ConnectionMut<'_>, stream: StreamKey) {
    let mut access = connection.access();
    let mut recv = access.recv(stream).expect("there");
    let mut out = [Bytes::new()];
    while recv.read(usize::MAX, &mut out).expect("open").state != ReadState::Finished {}
}

#[test]
fn requests_go_on_however_few_streams_are_left_for_them() {
    for (most, stay) in [(100, 88), (100, 99), (9, 8), (8, 7), (2, 1)] {
        let mut options = Options::default();
        options.transport.max_streams_bidi = most;
        let (mut pair, client, server) = Pair::connected(options);
        for _ in 0..stay {
            pair.request([client, server], &head(Method::POST), End::More);
        }
        for _ in 0..30 {
            let [ours, theirs] = pair.request([client, server], &head(Method::GET), End::Fin);
            read_to_end(pair.server(server), theirs);
            let answer = ResponseHead::new(StatusCode::NO_CONTENT);
            let mut there = pair.server(server);
            let answered = there.access().respond(theirs, &answer, End::Fin);
            answered.expect("is wanted");
            pair.drive();
            read_to_end(pair.client(client), ours);
            pair.drive();
        }
    }
}

#[test]
fn streams_of_a_session_go_on_however_few_are_left_for_them() {
    let mut options = Options::default();
    // QUIC's own limits are what is tried.
    options.server.webtransport.dialects = Dialects::SET_A;
    let (mut pair, client, server) = Pair::connected(options);
    let session = pair.client(client).access().open_session(&there());
    pair.drive();
    let asked = |event| match event {
        Event::WebTransport(key, SessionEvent::Requested(_)) => Some(key),
        _ => None,
    };
    let told = pair.server.take(server).into_iter().find_map(asked);
    let mut accepting = pair.server(server);
    let mut access = accepting.access();
    let mut theirs = access.webtransport(told.expect("is asked"));
    theirs.accept(&ConnectAnswer::new()).expect("accepts");
    pair.drive();
    for number in 0..200 {
        let mut opening = pair.client(client);
        let mut access = opening.access();
        let mut ours = access.webtransport(session.expect("is asked"));
        let stream = ours.open_stream(Dir::Uni).expect("there is one left");
        let mut send = access.send(stream).expect("there");
        send.write(&mut ["x".into()]).expect("room");
        // The first 95 stay.
        if number < 95 {
            pair.drive();
            continue;
        }
        send.finish().expect("open");
        pair.drive();
        let opened = |event| match event {
            Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => Some(stream),
            _ => None,
        };
        let arrived = pair
            .server
            .take(server)
            .into_iter()
            .filter_map(opened)
            .last();
        read_to_end(pair.server(server), arrived.expect("arrives"));
        pair.drive();
    }
}
