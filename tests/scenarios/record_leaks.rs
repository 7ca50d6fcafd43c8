//! Places from which a secret could find its way into a recording: what a peer
//! sends that is no ordinary message.

use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::error::TransportFailure;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, Protocol, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use aqueduct_record::Recording;
use http::{HeaderValue, Method, StatusCode};

const SECRET: &str = "Sup3rSecretText";

/// The secret as it is, in hexadecimal, and Huffman-coded as clients send it.
fn assert_hidden(lines: &str, what: &str) {
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    // A part of it would tell enough.
    for part in [&SECRET[..6], &SECRET[8..], &hex[..8], &hex[16..]] {
        assert!(!lines.contains(part), "{what}: {part} is in\n{lines}");
    }
    let recording = Recording::read(lines).expect("a recording");
    for connection in recording.connections() {
        let replayed = connection.replay(testing::epoch(), &mut |_, _| {});
        assert!(replayed.is_ok(), "{what}: {}", replayed.unwrap_err());
    }
}

fn secret() -> &'static [u8] {
    SECRET.as_bytes()
}

/// Reads whatever there is to read, as an application does.
fn read_all(peer: &mut RawPeer, stream: StreamKey) {
    let mut out = [const { bytes::Bytes::new() }; 4];
    while let Ok(mut half) = peer.access().recv(stream)
        && let Ok(read) = half.read(10_000, &mut out)
        && read.bytes > 0
    {}
    peer.drive();
}

/// A server is sent this on a stream of its own, and reads it.
fn told_a_server(config: &Config, message: &[u8]) -> String {
    let mut peer = RawPeer::greeted(Side::Server, config.clone(), raw::WEBTRANSPORT);
    peer.request(message);
    for event in peer.events() {
        match event {
            Event::Request { stream, .. } => read_all(&mut peer, stream),
            Event::WebTransport(session, SessionEvent::Requested(_)) => {
                let answer = ConnectAnswer::default();
                peer.access()
                    .webtransport(session)
                    .accept(&answer)
                    .expect("accepts");
                peer.drive();
            }
            _ => {}
        }
    }
    drop(peer.events());
    peer.recording()
}

#[test]
fn user_information_is_no_part_of_a_host() {
    let named = format!("anna:{SECRET}@example.com");
    let pseudo = [(":method", "GET"), (":scheme", "https"), (":path", "/")];
    let with = |more: &[(&str, &str)]| raw::headers(&[&pseudo[..], more].concat());
    for message in [
        with(&[(":authority", &named)]),
        with(&[("host", &named)]),
        with(&[(":authority", &named), ("host", &named)]),
        raw::headers(&[(":method", "CONNECT"), (":authority", &named)]),
    ] {
        let lines = told_a_server(&Config::default(), &message);
        assert_hidden(&lines, "received");
        let host = "406578616d706c652e636f6d";
        assert!(lines.contains(host), "{lines}");
    }

    let mut pair = LoopbackPair::connected(Knobs::default());
    let uri = format!("https://{named}/").parse().expect("an address");
    let head = RequestHead::new(Method::GET, uri);
    pair.client()
        .request(&head, End::Fin)
        .expect_err("no peer would take it");
    let uri = format!("https://{named}/wt").parse().expect("an address");
    pair.client()
        .open_session(&ConnectRequest::new(uri))
        .expect_err("no peer would take it");
    assert_hidden(&pair.recording(), "sent");
}

/// Names in certificates are in the words that TLS has for what it refuses.
#[test]
fn what_tls_says_is_masked() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    pair.fail(&TransportFailure::Error {
        code: 0x12a,
        reason: format!("certificate is only valid for {SECRET}"),
    });
    expect_event!(pair, Side::Client, Event::Closed(_) => ());
    assert_hidden(&pair.recording(), "an alert");

    let mut pair = LoopbackPair::connected(Knobs::default());
    pair.fail(&TransportFailure::Error {
        code: 0x0a,
        reason: "frame not allowed here".to_owned(),
    });
    expect_event!(pair, Side::Client, Event::Closed(_) => ());
    assert!(pair.recording().contains("frame%20not%20allowed"));
}

/// Crumbs of a cookie, which are joined for the application.
#[test]
fn cookies_of_a_session_are_masked_and_replayed() {
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "webtransport"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/wt"),
        ("sec-webtransport-http3-draft02", "1"),
        ("cookie", "first=1234567"),
        ("cookie", "second=Sup3rSecretText"),
        ("cookie", "third=abcdefg; fourth=7654321"),
    ];
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    peer.request(&raw::headers(&connect));
    let asked = peer.take(Side::Server, |event| match event {
        Event::WebTransport(_, SessionEvent::Requested(request)) => Ok(request),
        other => Err(other),
    });
    let cookies = asked.expect("a session").headers.get("cookie").cloned();
    assert!(cookies.is_some_and(|value| value.len() > 60));
    assert_hidden(&peer.recording(), "cookies");
}

/// All that may come on a stream of requests, in places where it may not, too.
#[test]
fn streams_of_clients() {
    let udp = raw::headers(&[
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/Sup3rSecretText/53/"),
        ("capsule-protocol", "?1"),
        ("authorization", SECRET),
        ("te", "trailers"),
        ("expect", SECRET),
        ("origin", "https://page/Sup3rSecretText"),
    ]);
    let closing = raw::frame(0x2843, &raw::join(&[&[0, 0, 0, 7], secret()]));
    let closing = raw::join(&[&closing, secret()]);
    let capsules = raw::join(&[
        &raw::frame(0x00, secret()),
        &raw::frame(0x1d_7fff, secret()),
        &closing,
    ]);
    let tunnel = raw::headers(&[(":method", "CONNECT"), (":authority", "example.com:22")]);
    let trailers = raw::headers(&[("x-sum", SECRET)]);
    let promise = raw::frame(0x05, &raw::join(&[&[0], secret()]));
    let messages: &[&[u8]] = &[
        &raw::join(&[&udp, &raw::data(&capsules)]),
        &raw::join(&[&udp, &raw::data(secret()), &raw::data(secret())]),
        &raw::join(&[&tunnel, &raw::data(secret())]),
        &raw::join(&[
            &raw::get(),
            &raw::data(secret()),
            &trailers,
            &raw::frame(0x21, secret()),
        ]),
        &raw::join(&[&raw::connect(), &raw::data(&capsules), &trailers]),
        &raw::join(&[&raw::connect(), &raw::data(&closing)]),
        &raw::join(&[&[0x40, 0x41, 0x00], secret()]),
    ];
    for webtransport in [true, false] {
        let mut config = Config::default();
        config.webtransport.enabled = webtransport;
        for message in messages {
            assert_hidden(&told_a_server(&config, message), "a stream of requests");
        }
        for last in [
            &promise,
            &raw::frame(0x04, secret()),
            &raw::join(&[&[0x02], secret()]),
        ] {
            let lines = told_a_server(&config, &raw::join(&[&raw::get(), last]));
            assert_hidden(&lines, "a frame that is not allowed");
        }
    }
}

#[test]
fn unidirectional_streams() {
    // Types: encoder, decoder, push, WebTransport, unknown; and frames of control.
    let inserts = raw::join(&[
        &[0x3f, 0xbd, 0x01, 0xc5, 15],
        secret(),
        &[0x43],
        b"abc\x0f",
        secret(),
        &[0xc5, 100],
        secret(),
    ]);
    let streams: &[(u64, &[u8])] = &[
        (0x02, &inserts),
        (0x02, secret()),
        (0x03, secret()),
        (0x01, secret()),
        (0x21, secret()),
    ];
    for (ty, bytes) in streams {
        for twice in [false, true] {
            // Nothing on it is no instruction, which are numbers of streams.
            if *ty == 0x03 && !twice {
                continue;
            }
            let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
            let stream = raw::join(&[&raw::varint(*ty), bytes]);
            if twice {
                peer.uni(&raw::varint(*ty));
            }
            if !peer.connection().is_closed() {
                peer.uni(&stream);
            }
            assert_hidden(&peer.recording(), &format!("a stream of type {ty}"));
        }
    }
    let frames: &[Vec<u8>] = &[
        raw::frame(0x21, secret()),
        raw::frame(0x00, secret()),
        raw::frame(0x01, secret()),
        raw::frame(0x05, secret()),
    ];
    for frame in frames {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
        let control = peer.control(&[]);
        peer.write(control, frame);
        assert_hidden(&peer.recording(), "a frame on the control stream");
    }
}

/// A server answers with everything a response can have.
#[test]
fn streams_of_servers() {
    // For a session, it has to be a capsule.
    let body = raw::data(&raw::frame(0x00, secret()));
    let answers: &[&[u8]] = &[
        &raw::join(&[
            &raw::headers(&[(":status", "103"), ("link", SECRET)]),
            &raw::frame(0x05, &raw::join(&[&[0], secret()])),
        ]),
        &raw::join(&[
            &raw::headers(&[(":status", "103"), ("link", SECRET)]),
            &raw::headers(&[(":status", "200"), ("set-cookie", SECRET), ("date", SECRET)]),
            &body,
            &raw::headers(&[("x-sum", SECRET)]),
        ]),
        &raw::join(&[&raw::status(200), &body, &raw::frame(0x21, secret())]),
        &raw::join(&[&raw::status(403), &raw::data(secret())]),
    ];
    for answer in answers {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
        let uri = "https://example.com/Sup3rSecretText"
            .parse()
            .expect("an address");
        let mut head = RequestHead::new(Method::GET, uri);
        head.headers
            .insert("cookie", HeaderValue::from_static(SECRET));
        let request = peer.access().request(&head, End::Fin).expect("a request");
        let mut udp = head.clone();
        udp.method = Method::CONNECT;
        udp.protocol = Some(Protocol::new("connect-udp"));
        let tunnel = peer.access().request(&udp, End::More).expect("a request");
        let session = peer.access().open_session(&ConnectRequest::new(head.uri));
        let session = session.expect("a session");
        peer.drive();
        for stream in [request, tunnel, session.stream()] {
            peer.write(stream.id(), answer);
            drop(peer.events());
            read_all(&mut peer, stream);
        }
        peer.advance(Duration::from_secs(1));
        drop(peer.events());
        assert_hidden(&peer.recording(), "an answer");
    }
}

/// What an application is told about calls that fail, and what it says itself.
#[test]
fn calls_that_fail() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (client, server) = pair.session("https://example.com/Sup3rSecretText");
    let mut answer = ConnectAnswer::default();
    answer
        .headers
        .insert("set-cookie", HeaderValue::from_static(SECRET));
    pair.server()
        .webtransport(server)
        .accept(&answer)
        .expect_err("it was accepted");
    let stream = pair
        .client()
        .webtransport(client)
        .open_stream(Dir::Bi)
        .expect("a stream");
    pair.drive();
    let mut head = ResponseHead::new(StatusCode::OK);
    head.headers = answer.headers;
    pair.client()
        .respond(stream, &head, End::More)
        .expect_err("no request");
    pair.client()
        .trailers(stream, &head.headers)
        .expect_err("no message");
    let long = SECRET.repeat(100);
    pair.client()
        .webtransport(client)
        .close(7, &long)
        .expect_err("too long");
    pair.write_all(Side::Client, stream, secret())
        .expect("room");
    pair.client()
        .webtransport(client)
        .close(7, SECRET)
        .expect("closes");
    pair.drive();
    drop(pair.events(Side::Client));
    drop(pair.events(Side::Server));
    assert_hidden(&pair.recording(), "a call");
}

/// A server promises a push, although none was allowed: what is wrong with it first
/// is its push id, which need not fit into the frame.
#[test]
fn promises_of_servers() {
    for (id, why) in [
        (&[0x01][..], "push-not-allowed"),
        (&[0xf6], "frame-malformed"),
    ] {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
        let uri = "https://example.com/".parse().expect("an address");
        let head = RequestHead::new(Method::GET, uri);
        let request = peer.access().request(&head, End::Fin).expect("a request");
        peer.drive();
        let rest = if why == "frame-malformed" {
            &[0; 3]
        } else {
            secret()
        };
        peer.write(request.id(), &raw::frame(0x05, &raw::join(&[id, rest])));
        let lines = peer.recording();
        assert!(lines.contains(&format!(" {why}\n")), "{lines}");
        assert_hidden(&lines, why);
    }
}
