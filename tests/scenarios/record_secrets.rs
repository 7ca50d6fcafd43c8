//! Secrets are not in a recording unless they are asked for.

use std::sync::Arc;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::connection::Connection;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::transport::Transport;
use aqueduct_core::webtransport::{ConnectRequest, SessionEvent};
use aqueduct_core::{expect_event, testing};
use aqueduct_record::Recording;
use aqueduct_record::{HEADER, Options, Record, Tape};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

/// Each of these goes over the wire in its own way below.
const SECRETS: [&str; 9] = [
    "qTokenInQuery",
    "dXNlcjpzZWNyZXQ",
    "CookieMonster42",
    "UploadedBodyText",
    "AnsweredBodyText",
    "TrailingSecret77",
    "StreamPayloadAbc",
    "DatagramPayload9",
    "BecauseOfReason",
];

/// Whether a text has `secret`, as it is or in hexadecimal.
fn holds(text: &str, secret: &str) -> bool {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    text.contains(secret) || text.contains(&hex)
}

fn secret_head() -> RequestHead {
    let uri = format!("https://example.com/login?t={}", SECRETS[0]);
    let mut head = RequestHead::new(Method::POST, uri.parse().expect("an address"));
    let mut basic = HeaderValue::from_static(SECRETS[1]);
    basic.set_sensitive(true);
    head.headers.insert("authorization", basic);
    head.headers
        .insert("cookie", HeaderValue::from_static(SECRETS[2]));
    head
}

#[test]
fn a_masked_recording_has_none() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let request = pair.client().request(&secret_head(), End::More);
    let request = request.expect("a request");
    let asked = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
    pair.transfer(Side::Client, request, asked, SECRETS[3].as_bytes());
    let head = ResponseHead::new(StatusCode::OK);
    pair.server()
        .respond(asked, &head, End::More)
        .expect("answers");
    pair.write_all(Side::Server, asked, SECRETS[4].as_bytes())
        .expect("room");
    let trailers = [("x-sum", SECRETS[5])].map(|(name, value)| {
        let name = http::HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    let trailers = trailers.into_iter().collect();
    pair.server().trailers(asked, &trailers).expect("ends");
    assert_eq!(
        pair.read_to_end(Side::Client, request),
        Ok(SECRETS[4].into())
    );

    let (client, server) = pair.session("https://example.com/wt");
    let here = pair
        .client()
        .webtransport(client)
        .open_stream(Dir::Bi)
        .expect("a stream");
    let there = expect_event!(
        pair, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    pair.transfer(Side::Client, here, there, SECRETS[6].as_bytes());
    pair.client()
        .send_datagram(client, SECRETS[7].as_bytes())
        .expect("room");
    pair.drive();
    assert_eq!(pair.server().recv_datagram(server), Some(SECRETS[7].into()));
    pair.client()
        .webtransport(client)
        .close(1, SECRETS[8])
        .expect("closes");
    expect_event!(pair, Side::Server, Event::WebTransport(_, SessionEvent::Closed(_)) => ());

    let lines = pair.recording();
    for secret in SECRETS {
        assert!(!holds(&lines, secret), "{secret} is in\n{lines}");
    }
    // What a reader of the report needs is there.
    for shape in ["example.com", ":method POST", "authorization !", "cookie "] {
        assert!(lines.contains(shape), "{shape} is not in\n{lines}");
    }
    let recording = Recording::read(&lines).expect("a recording");
    for connection in recording.connections() {
        let replayed = connection.replay(testing::epoch(), &mut |_, _| {});
        assert!(replayed.is_ok(), "{replayed:?}");
    }
}

/// With them, the bytes are there, and it is replayed as well.
#[test]
fn they_can_be_asked_for() {
    let mut net = Loopback::new(Knobs::default());
    let options = Options::default().secrets(true).transport(true);
    let record = Record::new(5, testing::epoch(), options);
    let config = Arc::new(Config::default());
    let (sender, lines) = std::sync::mpsc::channel();
    let sink = Box::new(move |text: &str| sender.send(text.to_owned()).expect("a receiver"));
    let tape = Tape::new(&record, Side::Server, &config, 1, sink);
    let mut ours = Connection::new(Side::Server, Arc::clone(&config), 1).observed(Box::new(tape));
    let mut peer = Connection::new(Side::Client, config, 2);
    let now = testing::epoch();
    let mut heard = Vec::new();
    let mut settle = |net: &mut Loopback, ours: &mut Connection, peer: &mut Connection| {
        while net.step(&mut heard) {
            for (side, event) in heard.drain(..) {
                match side {
                    Side::Server => ours.handle(net.end(side), now, event),
                    Side::Client => peer.handle(net.end(side), now, event),
                }
            }
        }
    };
    settle(&mut net, &mut ours, &mut peer);
    let mut access = peer.access(net.end(Side::Client), now);
    let stream = access
        .request(&secret_head(), End::More)
        .expect("a request");
    let mut body = [Bytes::from_static(SECRETS[3].as_bytes())];
    let mut send = access.send(stream).expect("a stream");
    send.write(&mut body).expect("room");
    settle(&mut net, &mut ours, &mut peer);
    let asked = std::iter::from_fn(|| ours.poll_event()).find_map(|event| match event {
        Event::Request { stream, .. } => Some(stream),
        _ => None,
    });
    let mut out = [Bytes::new()];
    let mut access = ours.access(net.end(Side::Server), now);
    let mut half = access.recv(asked.expect("a request")).expect("a stream");
    assert_eq!(
        half.read(100, &mut out).map(|read| read.bytes),
        Ok(SECRETS[3].len())
    );

    drop(ours.unobserve());
    let lines = format!("{HEADER}{}", lines.iter().collect::<String>());
    for secret in &SECRETS[..4] {
        assert!(holds(&lines, secret), "{secret} is not in\n{lines}");
    }
    let recording = Recording::read(&lines).expect("a recording");
    let [connection] = recording.connections() else {
        panic!("one connection");
    };
    assert_eq!((connection.number(), connection.side()), (5, Side::Server));
    let replayed = connection.replay_transport(now, &mut |_, _| {});
    assert!(replayed.is_ok(), "{replayed:?}");
}

/// A session asked for with a token in its path.
#[test]
fn paths_of_sessions_are_masked() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let uri = format!("https://example.com/{}", SECRETS[0]);
    let request = ConnectRequest::new(uri.parse().expect("an address"));
    let session = pair.client().open_session(&request).expect("a session");
    let asked = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let mut head = ResponseHead::new(StatusCode::FORBIDDEN);
    head.headers
        .insert("www-authenticate", HeaderValue::from_static(SECRETS[1]));
    let why = Bytes::from_static(SECRETS[4].as_bytes());
    pair.server()
        .webtransport(asked)
        .reject_with(&head, why)
        .expect("rejects");
    expect_event!(pair, Side::Client, Event::WebTransport(_, SessionEvent::Rejected { .. }) => ());
    assert_eq!(session.id(), asked.id());
    let lines = pair.recording();
    for secret in [SECRETS[0], SECRETS[1], SECRETS[4]] {
        assert!(!holds(&lines, secret), "{secret} is in\n{lines}");
    }
}

/// QUIC's own reasons, from the peer.
#[test]
fn reasons_of_the_peer_are_masked() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    pair.net.end(Side::Client).close(0x100, SECRETS[8].into());
    pair.drive();
    let reason = expect_event!(pair, Side::Server, Event::Closed(reason) => reason);
    assert!(reason.to_string().ends_with(SECRETS[8]), "{reason}");
    let lines = pair.recording();
    assert!(!holds(&lines, SECRETS[8]), "{lines}");
    let closed = format!("closed remote {} ", Code::H3_NO_ERROR.value());
    assert!(lines.contains(&closed), "{lines}");
}
