//! Early data (row A18): what is remembered for it, what it may not take back, what goes
//! early and what waits, and how both ends learn what became of it.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::{CloseReason, DatagramError, Gone, RequestError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::fault::Violation;
use aqueduct_core::head::{Early, End, Protocol, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::settings::Settings;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{RawPeer, WEBTRANSPORT, connect, get as raw_get, settings};
use aqueduct_core::transport::EarlyData;
use aqueduct_core::webtransport::{ConnectRequest, OpenStreamError, SessionEvent};
use aqueduct_tests::{assert_closed, config, get, seeds};
use http::{Method, StatusCode};

/// Settings as a client would have kept them.
fn kept(pairs: &[(u64, u64)]) -> Settings {
    // Behind the frame's type and length.
    Settings::decode(&settings(pairs).split_off(2)).expect("settings")
}

/// A network on which a client that remembers these settings may send early data, and the
/// handshake is held at both ends.
fn knobs(early: EarlyData, remembered: &[(u64, u64)]) -> Knobs {
    Knobs::default().early(early, kept(remembered))
}

/// What our own server says by default.
const OURS: &[(u64, u64)] = &[
    (0x01, 4096),
    (0x06, 65_536),
    (0x07, 16),
    (0x08, 1),
    (0x33, 1),
];

/// A client that may send early data to a server like ours, which has not heard of it.
fn pair(early: EarlyData) -> LoopbackPair {
    pair_on(knobs(early, OURS))
}

fn pair_on(knobs: Knobs) -> LoopbackPair {
    let plain = || config(|c| c.webtransport.enabled = false);
    let mut pair = LoopbackPair::new(plain(), plain(), knobs);
    pair.drive();
    assert!(pair.client().may_send_early());
    pair
}

/// Lets the handshake come to its end on a side.
fn release(pair: &mut LoopbackPair, side: Side) {
    pair.net.end(side).knobs().held = false;
    pair.drive();
}

fn server_sees(pair: &mut LoopbackPair) -> (StreamKey, bool) {
    expect_event!(pair, Side::Server, Event::Request { stream, early, .. } => (stream, early))
}

/// A request of this method, that may be early data as said.
fn asks(method: Method, early: Early) -> RequestHead {
    let mut head = RequestHead::new(method, "https://example.com/".parse().expect("an address"));
    head.early = early;
    head
}

/// A tunnel's request.
fn tunnel() -> RequestHead {
    let mut head = asks(Method::CONNECT, Early::Always);
    head.protocol = Some(Protocol::new("connect-udp"));
    head
}

/// RFC 9001 section 4.6: a request arrives with the first flight, and its answer with the
/// server's. What became of early data is not known before.
#[test]
fn a_request_is_answered_before_the_handshake_is_complete() {
    let mut pair = pair(EarlyData::Accepted);
    assert_eq!(pair.client().early_data(), None);
    let asked = pair.client().request(&get(), End::Fin).expect("goes early");
    let (stream, early) = server_sees(&mut pair);
    assert!(early);
    assert_eq!(pair.server().early_data(), None);
    let head = ResponseHead::new(StatusCode::OK);
    pair.server()
        .respond(stream, &head, End::Fin)
        .expect("answers");

    release(&mut pair, Side::Client);
    assert_eq!(
        expect_event!(pair, Side::Client, Event::Connected { early } => early),
        EarlyData::Accepted
    );
    let answered = expect_event!(pair, Side::Client, Event::Response { stream, .. } => stream);
    assert_eq!(answered, asked);
    assert_eq!(pair.client().early_data(), Some(EarlyData::Accepted));
    assert!(!pair.client().may_send_early());

    // What comes whole after the handshake is no replay.
    release(&mut pair, Side::Server);
    expect_event!(pair, Side::Server, Event::Connected { early: EarlyData::Accepted } => ());
    pair.client().request(&get(), End::Fin).expect("goes");
    assert!(!server_sees(&mut pair).1);
    for side in [Side::Client, Side::Server] {
        let stats = pair.access(side).stats();
        let counts = [stats.early_requests, stats.early_requests_rejected];
        assert_eq!(counts, [1, 0], "{side}");
    }
}

/// RFC 9001 section 4.6.2: a server that does not take early data has seen nothing of it.
/// Each request is told by its stream, once, and none is sent again. The connection begins
/// anew: SETTINGS, tables, stream ids.
#[test]
fn what_was_rejected_is_told_and_not_sent_again() {
    let mut pair = pair(EarlyData::Rejected);
    let mut head = get();
    head.headers
        .insert("x", "indexed".parse().expect("a value"));
    let asked: Vec<_> = (0..3)
        .map(|_| pair.client().request(&head, End::Fin).expect("goes early"))
        .collect();
    release(&mut pair, Side::Client);
    let told = pair.events(Side::Client);
    let early = EarlyData::Rejected;
    assert_eq!(told[0], Event::Connected { early });
    let rejected = |stream: &StreamKey| Event::Stream(*stream, StreamEvent::EarlyDataRejected);
    assert_eq!(told[1..], asked.iter().map(rejected).collect::<Vec<_>>());

    // The same ids, and yet other streams.
    let again: Vec<_> = asked
        .iter()
        .map(|_| pair.client().request(&head, End::Fin).expect("goes"))
        .collect();
    for (old, new) in asked.iter().zip(&again) {
        assert_eq!(new.id(), old.id());
        let gone = pair.client().send(*old).map(drop);
        assert_eq!(gone, Err(Gone::Over));
    }
    release(&mut pair, Side::Server);
    expect_event!(pair, Side::Server, Event::Connected { early: EarlyData::None } => ());
    expect_event!(pair, Side::Server, Event::Settings(_) => ());
    expect_event!(pair, Side::Client, Event::Settings(_) => ());
    for new in again {
        let (stream, early) = server_sees(&mut pair);
        assert!(!early);
        let ok = ResponseHead::new(StatusCode::OK);
        let answered = pair.server().respond(stream, &ok, End::Fin);
        answered.expect("answers");
        let answered = expect_event!(pair, Side::Client, Event::Response { stream, .. } => stream);
        assert_eq!(answered, new);
    }
    let more = pair.take(Side::Server, |event| match event {
        Event::Request { stream, .. } => Ok(stream),
        event => Err(event),
    });
    assert_eq!(more, None, "nothing is sent again by itself");
    let stats = pair.client().stats();
    let counts = [
        stats.requests,
        stats.early_requests,
        stats.early_requests_rejected,
    ];
    assert_eq!(counts, [6, 3, 3]);
}

/// The same on networks where nothing comes in one piece, or in order.
#[test]
fn early_data_survives_unpleasant_networks() {
    for seed in seeds(200) {
        let early = [EarlyData::Accepted, EarlyData::Rejected][(seed % 2) as usize];
        let mut pair = pair_on(Knobs::adversarial(seed).early(early, kept(OURS)));
        let asked = pair.client().request(&get(), End::Fin).expect("goes early");
        release(&mut pair, Side::Client);
        release(&mut pair, Side::Server);
        let told = pair.events(Side::Client);
        let rejected = told.contains(&Event::Stream(asked, StreamEvent::EarlyDataRejected));
        assert_eq!(rejected, early == EarlyData::Rejected, "{}", pair.story());
        if rejected {
            pair.client().request(&get(), End::Fin).expect("goes");
        }
        let (stream, _) = server_sees(&mut pair);
        let ok = ResponseHead::new(StatusCode::OK);
        pair.server()
            .respond(stream, &ok, End::Fin)
            .expect("answers");
        expect_event!(pair, Side::Client, Event::Response { .. } => ());
        for side in [Side::Client, Side::Server] {
            assert!(!pair.connection(side).0.is_closed(), "{}", pair.story());
        }
    }
}

/// RFC 8470 section 4: safe methods go early; others where the caller asks for it; CONNECT
/// never, nor sessions, claimed streams and datagrams.
#[test]
fn what_is_not_safe_waits_for_the_handshake() {
    let mut pair = LoopbackPair::new(
        config(|c| c.claimed_bidi = vec![0x1234]),
        Config::default(),
        knobs(EarlyData::Accepted, OURS),
    );
    pair.drive();
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
    for method in safe {
        let never = pair
            .client()
            .request(&asks(method.clone(), Early::Never), End::Fin);
        assert_eq!(never, Err(RequestError::NotConnected), "{method}");
        let goes = pair
            .client()
            .request(&asks(method.clone(), Early::IfSafe), End::Fin);
        assert!(goes.is_ok(), "{method}");
        assert!(server_sees(&mut pair).1, "{method}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let waits = pair
            .client()
            .request(&asks(method.clone(), Early::IfSafe), End::Fin);
        assert_eq!(waits, Err(RequestError::NotConnected), "{method}");
        let goes = pair
            .client()
            .request(&asks(method.clone(), Early::Always), End::Fin);
        assert!(goes.is_ok(), "{method}");
        assert!(server_sees(&mut pair).1, "{method}");
    }
    let mut plain = tunnel();
    plain.protocol = None;
    for head in [tunnel(), plain] {
        let waits = pair.client().request(&head, End::More);
        assert_eq!(waits, Err(RequestError::NotConnected));
    }
    let session = ConnectRequest::new("https://example.com/".parse().expect("an address"));
    let waits = pair.client().open_session(&session);
    assert_eq!(waits, Err(RequestError::NotConnected.into()));
    let waits = pair.client().open_claimed(Dir::Bi, 0x1234);
    assert_eq!(waits, Err(OpenStreamError::Blocked));
    let asked = pair
        .client()
        .request(&get(), End::More)
        .expect("goes early");
    pair.client().enable_datagrams(asked).expect("a request");
    let waits = pair.client().send_datagram(asked, b"x");
    assert_eq!(waits, Err(DatagramError::Pending));

    for side in [Side::Client, Side::Server] {
        release(&mut pair, side);
    }
    pair.client().send_datagram(asked, b"x").expect("goes");
    pair.client().open_session(&session).expect("goes");
    pair.client().request(&tunnel(), End::More).expect("goes");
}

/// RFC 8470 section 5.2: a server that does not want to act upon what may be a replay says
/// 425, and is asked again when the handshake is complete.
#[test]
fn a_server_may_say_that_it_is_too_early() {
    let mut pair = pair(EarlyData::Accepted);
    for (status, expected) in [(StatusCode::TOO_EARLY, true), (StatusCode::OK, false)] {
        let asked = pair.client().request(&get(), End::Fin).expect("goes");
        let (stream, early) = server_sees(&mut pair);
        assert_eq!(early, expected);
        let head = ResponseHead::new(status);
        pair.server()
            .respond(stream, &head, End::Fin)
            .expect("answers");
        release(&mut pair, Side::Client);
        let answer =
            expect_event!(pair, Side::Client, Event::Response { stream, head } => (stream, head));
        assert_eq!((answer.0, answer.1.status), (asked, status));
        release(&mut pair, Side::Server);
    }
}

/// A server asks its application about a session that a client asked for too early only
/// when the handshake has shown that it is no replay.
#[test]
fn a_session_that_came_early_waits_at_the_server() {
    let net = Loopback::new(knobs(EarlyData::Accepted, OURS));
    let mut peer = RawPeer::over(Side::Server, Config::default(), net);
    peer.control(&settings(WEBTRANSPORT));
    peer.request(&connect());
    peer.request(&raw_get());
    let told = peer.events();
    let asked = |event: &Event| matches!(event, Event::WebTransport(_, SessionEvent::Requested(_)));
    let came = |event: &Event| matches!(event, Event::Request { early: true, .. });
    assert!(!told.iter().any(asked) && told.iter().any(came), "{told:?}");
    for side in [Side::Client, Side::Server] {
        peer.net.end(side).knobs().held = false;
    }
    peer.drive();
    assert!(peer.events().iter().any(asked));
}

/// A client that remembers these settings, before the server's arrive.
fn client(early: EarlyData, remembered: &[(u64, u64)]) -> RawPeer {
    let net = Loopback::new(Knobs {
        held: false,
        ..knobs(early, remembered)
    });
    RawPeer::over(Side::Client, Config::default(), net)
}

/// RFC 9114 section 7.2.4.2: remembered settings count when early data was taken, and
/// in no other case.
#[test]
fn remembered_settings_count_with_early_data_alone() {
    let remembered = [(0x08, 1), (0x06, 250)];
    let mut peer = client(EarlyData::Accepted, &remembered);
    let opened = peer.access().request(&tunnel(), End::More);
    assert!(opened.is_ok(), "{opened:?}");
    let mut large = tunnel();
    let value = "v".repeat(200).parse().expect("a value");
    large.headers.insert("x", value);
    let refused = peer.access().request(&large, End::More);
    assert_eq!(refused, Err(RequestError::HeadTooLarge));
    for early in [EarlyData::None, EarlyData::Rejected] {
        let mut peer = client(early, &remembered);
        let refused = peer.access().request(&tunnel(), End::More);
        assert_eq!(refused, Err(RequestError::SettingsNotReceived), "{early:?}");
    }
}

/// RFC 9114 section 7.2.4.2: a server that took early data takes nothing back and leaves
/// nothing out; RFC 9204 section 3.2.3: it keeps the capacity of the table; RFC 9297
/// section 2.1.1 and draft-ietf-webtrans-http3 section 3.2: datagrams and session limits.
#[test]
fn settings_that_take_something_back() {
    const ALL: &[(u64, u64)] = &[
        (0x01, 100),
        (0x06, 5000),
        (0x07, 2),
        (0x08, 1),
        (0x33, 1),
        (0x2b60_3742, 1),
        (0xc671_706a, 3),
        (0x2b61, 10),
        (0x2b64, 11),
        (0x2b65, 12),
    ];
    let check = |said: &[(u64, u64)], expected: Option<Violation>| {
        let mut peer = client(EarlyData::Accepted, ALL);
        peer.control(&settings(said));
        if let Some(rule) = expected {
            let code = match rule {
                Violation::SettingsTable => Code::QPACK_DECODER_STREAM_ERROR,
                _ => Code::H3_SETTINGS_ERROR,
            };
            let why = assert_closed(&mut peer, code, &format!("{said:x?}"));
            assert_eq!(why, rule, "{said:x?}");
        } else {
            assert_eq!(peer.closed(), None, "{said:x?}");
        }
        let mut peer = client(EarlyData::Rejected, ALL);
        peer.control(&settings(said));
        assert_eq!(peer.closed(), None, "nothing was counted on");
    };
    for at in 0..ALL.len() {
        let but_for = |value: Option<u64>| {
            let mut said = ALL.to_vec();
            match value {
                Some(value) => said[at].1 = value,
                None => drop(said.remove(at)),
            }
            said
        };
        let (id, value) = ALL[at];
        let reduced = match id {
            0x01 => Violation::SettingsTable,
            _ => Violation::SettingsReduced,
        };
        check(&but_for(Some(value - 1)), Some(reduced));
        check(&but_for(None), Some(Violation::SettingsReduced));
        match id {
            0x01 => check(&but_for(Some(value + 1)), Some(reduced)),
            // Those that are 0 or 1 have nothing above.
            0x08 | 0x33 | 0x2b60_3742 => {}
            _ => check(&but_for(Some(value + 1)), None),
        }
    }
    check(ALL, None);
    // No limit is the largest of limits; a capacity of 0 may become any other.
    let mut peer = client(EarlyData::Accepted, &[]);
    peer.control(&settings(&[(0x06, 1 << 40)]));
    let why = assert_closed(&mut peer, Code::H3_SETTINGS_ERROR, "a limit");
    assert_eq!(why, Violation::SettingsReduced);
    let mut peer = client(EarlyData::Accepted, &[]);
    peer.control(&settings(&[(0x01, 100), (0x07, 2), (0x33, 1), (0x08, 1)]));
    assert_eq!(peer.closed(), None, "more is welcome");
}

/// RFC 9204 section 3.2.3: early data uses the table as the remembered settings allow it.
#[test]
fn the_table_is_used_as_remembered() {
    for (remembered, uses_it) in [(&[(0x01, 4096), (0x07, 16)][..], true), (&[], false)] {
        let net = Loopback::new(knobs(EarlyData::Accepted, remembered));
        let mut peer = RawPeer::over(Side::Client, Config::default(), net);
        let mut head = get();
        head.headers
            .insert("x", "the same again".parse().expect("a value"));
        for _ in 0..3 {
            peer.access().request(&head, End::Fin).expect("goes early");
        }
        // The peer is a server's end, which hears of it only in its own first flight.
        peer.drive();
        let instructions = peer.uni_of_type(2).map_or(0, |(_, seen)| seen.bytes.len());
        assert_eq!(instructions > 1, uses_it, "{instructions}");
    }
}

/// A client that winds the connection down before the handshake is complete still gets the
/// answers to what went early, or hears that it was rejected.
#[test]
fn a_drain_waits_for_what_went_early() {
    for early in [EarlyData::Accepted, EarlyData::Rejected] {
        let mut pair = pair(early);
        pair.client().request(&get(), End::Fin).expect("goes early");
        let until = pair.now() + std::time::Duration::from_secs(60);
        pair.client().drain(until);
        release(&mut pair, Side::Client);
        release(&mut pair, Side::Server);
        if early == EarlyData::Accepted {
            expect_event!(pair, Side::Server, Event::Draining { by: Side::Client } => ());
            let (stream, _) = server_sees(&mut pair);
            let ok = ResponseHead::new(StatusCode::OK);
            let answered = pair.server().respond(stream, &ok, End::Fin);
            answered.expect("answers");
            let stream =
                expect_event!(pair, Side::Client, Event::Response { stream, .. } => stream);
            pair.read_to_end(Side::Client, stream).expect("nothing");
            pair.drive();
        }
        let told = pair.events(Side::Client);
        let rejected =
            |event: &Event| matches!(event, Event::Stream(_, StreamEvent::EarlyDataRejected));
        assert_eq!(told.iter().any(rejected), early == EarlyData::Rejected);
        let drained = Event::Closed(Box::new(CloseReason::Drained));
        assert_eq!(told.last(), Some(&drained));
    }
}
