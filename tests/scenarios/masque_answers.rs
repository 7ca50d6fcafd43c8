//! What a client makes of answers, and of a proxy that goes away.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Side, StreamKey};
use aqueduct_core::masque::{
    AnswerFault, Dialect, OpenTunnelError, TunnelClose, TunnelEvent, TunnelKey, TunnelsConfig,
};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{RawPeer, headers};
use aqueduct_tests::stream_events;
use aqueduct_tests::tunnels::{TunnelPair, asking, tunnels};
use http::{HeaderName, HeaderValue};

/// A client before a proxy that is no machine's.
fn before_a_stranger() -> TunnelPair {
    let none = tunnels(|config| {
        (config.gate.udp, config.gate.tcp) = (None, None);
        config.gate.classic = false;
    });
    let pair = LoopbackPair::connected(Knobs::default());
    TunnelPair::over(pair, TunnelsConfig::default(), none)
}

/// A tunnel that the stranger was asked for.
fn ask(pair: &mut TunnelPair, dialect: Dialect) -> (TunnelKey, StreamKey) {
    let client = pair.open(&asking(dialect));
    let asked = pair
        .others(Side::Server)
        .into_iter()
        .find_map(|event| match event {
            Event::Request { stream, .. } => Some(stream),
            _ => None,
        });
    (client, asked.expect("a request"))
}

fn answer(
    pair: &mut TunnelPair,
    stream: StreamKey,
    status: u16,
    fields: &[(&'static str, &'static str)],
) {
    let mut head = ResponseHead::new(status.try_into().expect("a status"));
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        head.headers.append(HeaderName::from_static(name), value);
    }
    let answered = pair.pair.server().respond(stream, &head, End::More);
    answered.expect("an answer");
}

/// Row C25: any 2xx opens a tunnel, whether it speaks of capsules or not.
#[test]
fn every_2xx_opens_a_tunnel() {
    let mut pair = before_a_stranger();
    for dialect in [Dialect::Udp, Dialect::Tcp12, Dialect::Classic] {
        for (status, fields) in [
            (200, &[][..]),
            (201, &[("capsule-protocol", "?0")]),
            (299, &[]),
        ] {
            let (client, stream) = ask(&mut pair, dialect);
            answer(&mut pair, stream, 103, &[]);
            assert_eq!(pair.told(Side::Client, client), []);
            answer(&mut pair, stream, status, fields);
            let told = pair.told(Side::Client, client);
            assert!(matches!(told[..], [TunnelEvent::Opened(_)]), "{told:?}");
        }
    }
}

/// Row C25: answers that contradict themselves open nothing, and the stream is reset with
/// H3_MESSAGE_ERROR.
#[test]
fn answers_that_open_nothing() {
    let field = |name| TunnelClose::BadAnswer(AnswerFault::Field(name));
    let status = |status| TunnelClose::BadAnswer(AnswerFault::Status(status));
    let capsules = TunnelClose::BadAnswer(AnswerFault::Capsules);
    let cases = [
        (
            Dialect::Udp,
            200,
            Some(("content-type", "text/plain")),
            field("content-type"),
        ),
        (
            Dialect::Tcp12,
            200,
            Some(("content-length", "0")),
            field("content-length"),
        ),
        (Dialect::Tcp07, 204, None, status(204)),
        (Dialect::Udp, 205, None, status(205)),
        (Dialect::Udp, 206, None, status(206)),
        (
            Dialect::Classic,
            200,
            Some(("capsule-protocol", "?1")),
            capsules,
        ),
    ];
    let mut pair = before_a_stranger();
    for (dialect, status, fields, why) in cases {
        let (client, stream) = ask(&mut pair, dialect);
        answer(&mut pair, stream, status, fields.as_slice());
        assert_eq!(pair.closed(Side::Client, client), why);
        let events = stream_events(&pair.others(Side::Server), stream);
        assert!(
            format!("{events:?}").contains("H3_MESSAGE_ERROR"),
            "{events:?}"
        );
        assert!(pair.tunnels(Side::Client).is_empty());
    }
}

/// Row C25: a redirection is an answer like any that opens nothing; its content is
/// nobody's, and its end is not waited for without end.
#[test]
fn a_redirection_opens_nothing() {
    let mut pair = before_a_stranger();
    let fields = [
        ("location", "https://other.example/"),
        ("content-type", "text/html"),
    ];
    for ends in [true, false] {
        let (client, stream) = ask(&mut pair, Dialect::Udp);
        answer(&mut pair, stream, 307, &fields);
        let head = pair.refused(client);
        assert_eq!(head.status, 307);
        pair.write_raw(Side::Server, stream, &[7; 100_000]);
        if ends {
            pair.finish_raw(Side::Server, stream);
        } else {
            assert!(!pair.tunnels(Side::Client).is_empty());
            pair.advance(Duration::from_secs(3));
        }
        assert!(pair.tunnels(Side::Client).is_empty(), "{ends}");
        assert_eq!(pair.tunnels(Side::Client).live(), 0);
        assert_eq!(pair.others(Side::Client), []);
        assert_eq!(pair.told(Side::Client, client), []);
    }
}

/// RFC 9114 section 4.1: a proxy that refuses may stop the request first; what it says
/// is heard.
#[test]
fn a_refusal_after_a_stop_is_heard() {
    let mut pair = before_a_stranger();
    for (code, heard) in [
        (Code::H3_NO_ERROR, true),
        (Code::H3_REQUEST_REJECTED, false),
    ] {
        let (client, stream) = ask(&mut pair, Dialect::Udp);
        let mut access = pair.pair.server();
        let mut recv = access.recv(stream).expect("a stream");
        recv.stop(code.value()).expect("stops");
        pair.drive();
        if heard {
            answer(&mut pair, stream, 403, &[]);
            assert_eq!(pair.refused(client).status, 403);
        } else {
            assert_eq!(pair.closed(Side::Client, client), TunnelClose::Reset(code));
        }
    }
}

/// A client's close waits a while for a proxy that never ends its own half.
#[test]
fn a_proxy_that_never_ends() {
    let mut pair = before_a_stranger();
    for dialect in [Dialect::Udp, Dialect::Tcp12] {
        let (client, stream) = ask(&mut pair, dialect);
        answer(&mut pair, stream, 200, &[]);
        pair.drive();
        pair.close(Side::Client, client);
        pair.drive();
        // TCP is aborted, which needs no answer.
        assert_eq!(
            pair.tunnels(Side::Client).is_empty(),
            dialect == Dialect::Tcp12
        );
        assert_eq!(pair.tunnels(Side::Client).live(), 0);
        pair.advance(Duration::from_secs(3));
        assert!(pair.tunnels(Side::Client).is_empty());
        let events = stream_events(&pair.others(Side::Server), stream);
        assert!(format!("{events:?}").contains("Stopped"), "{events:?}");
    }
}

/// Row C28: a GOAWAY ends the tunnels that it says were not processed; the others go on,
/// and nothing new is asked for.
#[test]
fn a_goaway_ends_what_it_does_not_process() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (low, low_server) = pair.tunnel(Dialect::Udp);
    let high = pair.open(&asking(Dialect::Tcp12));
    // It has not arrived when the proxy decides.
    let until = pair.pair.now() + Duration::from_secs(60);
    pair.pair.server().drain(until);
    assert_eq!(pair.closed(Side::Client, high), TunnelClose::Unprocessed);
    assert_eq!(pair.told(Side::Client, low), [TunnelEvent::Draining]);
    let again = pair.with(Side::Client, |tunnels, access, now| {
        tunnels.open(access, now, &asking(Dialect::Udp)).map(drop)
    });
    assert!(
        matches!(again, Err(OpenTunnelError::Request(_))),
        "{again:?}"
    );
    pair.send(Side::Client, low, b"goes on").expect("room");
    assert_eq!(pair.recv(Side::Server, low_server), [&b"goes on"[..]]);
    pair.close(Side::Client, low);
    pair.drive();
    assert!(pair.tunnels(Side::Client).is_empty());
    let closed = pair.others(Side::Client);
    let drained = Event::Closed(Box::new(CloseReason::PeerDrained));
    assert!(closed.contains(&drained), "{closed:?}");
}

/// Row C2: what a tunnel's request has to have, HTTP holds it to; no gate is asked.
#[test]
fn requests_without_their_parts_are_malformed() {
    let all = [
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "https"),
        (":authority", "proxy.example"),
        (":path", "/.well-known/masque/udp/target.example/443/"),
    ];
    let without = |name| {
        all.into_iter()
            .filter(move |(of, _)| *of != name)
            .collect::<Vec<_>>()
    };
    let empty = |name| {
        all.map(|(of, value)| (of, if of == name { "" } else { value }))
            .to_vec()
    };
    let with_host = [&without(":authority")[..], &[("host", "proxy.example")]].concat();
    for fields in [
        without(":scheme"),
        without(":path"),
        empty(":path"),
        with_host,
    ] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[(0x08, 1), (0x33, 1)]);
        let id = peer.request(&headers(&fields));
        let asked = peer
            .events()
            .into_iter()
            .any(|event| matches!(event, Event::Request { .. }));
        assert!(!asked, "{fields:?}");
        assert_eq!(
            peer.seen(id).reset,
            Some(Code::H3_MESSAGE_ERROR),
            "{fields:?}"
        );
    }
}
