//! How tunnels live beside each other and end: timers, limits, counts.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::Side;
use aqueduct_core::masque::{
    Dialect, TunnelClose, TunnelEvent, TunnelKey, TunnelSendError, TunnelsConfig,
};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::tunnels::{TunnelPair, asking, tunnels};
use aqueduct_tests::wt::{speaking, there};
use aqueduct_tests::{config, get};
use http::StatusCode;

const DIALECTS: [Dialect; 4] = [
    Dialect::Udp,
    Dialect::Tcp12,
    Dialect::Tcp07,
    Dialect::Classic,
];
const SIDES: [Side; 2] = [Side::Client, Side::Server];

fn sends(pair: &mut TunnelPair, side: Side, key: TunnelKey, dialect: Dialect) {
    match dialect {
        Dialect::Udp => pair.send(side, key, b"ping").expect("room"),
        _ => _ = pair.write(side, key, &mut ["ping".into()]).expect("room"),
    }
}

fn takes(pair: &mut TunnelPair, side: Side, key: TunnelKey, dialect: Dialect) {
    match dialect {
        Dialect::Udp => assert_eq!(pair.recv(side, key).concat(), b"ping"),
        _ => assert_eq!(pair.read_all(side, key).0, b"ping"),
    }
}

/// Row C33: a tunnel through which nothing goes is closed, and what goes through keeps
/// it, whichever way.
#[test]
fn an_idle_tunnel_is_closed() {
    for dialect in DIALECTS {
        let pair = LoopbackPair::connected(Knobs::default());
        let patient = tunnels(|config| config.idle_timeout = Duration::MAX);
        let server = tunnels(|config| config.idle_timeout = Duration::from_secs(120));
        let mut pair = TunnelPair::over(pair, patient, server);
        let (client, server) = pair.ask(dialect);
        // The time that its start takes does not count.
        pair.advance(Duration::from_secs(20));
        pair.accept(server);
        pair.drive();
        pair.told(Side::Client, client);
        pair.advance(Duration::from_secs(119));
        sends(&mut pair, Side::Client, client, dialect);
        takes(&mut pair, Side::Server, server, dialect);
        pair.advance(Duration::from_secs(119));
        sends(&mut pair, Side::Server, server, dialect);
        takes(&mut pair, Side::Client, client, dialect);
        pair.advance(Duration::from_millis(119_999));
        assert_eq!(pair.tunnels(Side::Server).live(), 1, "{dialect:?}");
        pair.advance(Duration::from_millis(1));
        assert_eq!(pair.closed(Side::Server, server), TunnelClose::Idle);
        let why = pair.closed(Side::Client, client);
        let reset = TunnelClose::Reset(Code::H3_CONNECT_ERROR);
        let expected = match dialect {
            Dialect::Udp => TunnelClose::Finished,
            _ => reset,
        };
        assert_eq!(why, expected, "{dialect:?}");
        assert_eq!(pair.pair.server().open_requests(), 0);
    }
}

/// Row C33, row C17: a tunnel of which one half is over has less time, counted from what
/// last went through it; on whichever side.
#[test]
fn half_a_tunnel_has_less_time() {
    let patient = tunnels(|config| config.half_closed_timeout = Duration::MAX);
    for dialect in [Dialect::Tcp12, Dialect::Classic] {
        for (first, looks) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let mut configs = [patient.clone(), patient.clone()];
            configs[looks] = TunnelsConfig::default();
            let [client, server] = configs;
            let pair = LoopbackPair::connected(Knobs::default());
            let mut pair = TunnelPair::over(pair, client, server);
            let (client, server) = pair.tunnel(dialect);
            let (keys, first, other) = ([client, server], SIDES[first], SIDES[1 - first]);
            let [key, there] = [first, other].map(|side| keys[side as usize]);
            pair.advance(Duration::from_secs(100));
            pair.finish(first, key).expect("ends");
            assert_eq!(pair.read_all(other, there), (vec![], true));
            pair.advance(Duration::from_secs(29));
            sends(&mut pair, other, there, dialect);
            takes(&mut pair, first, key, dialect);
            pair.advance(Duration::from_millis(29_999));
            assert_eq!(pair.tunnels(SIDES[looks]).live(), 1);
            pair.advance(Duration::from_millis(1));
            let why = pair.closed(SIDES[looks], keys[looks]);
            assert_eq!(why, TunnelClose::Idle, "{dialect:?} {first:?}");
            for side in SIDES {
                assert!(pair.tunnels(side).is_empty());
            }
        }
    }
}

/// Row C23: what is not taken in time is dropped and counted, by its reason; in the sum
/// over all tunnels too, when they are gone.
#[test]
fn drops_are_counted_by_their_reason() {
    let few = config(|config| config.limits.datagrams = 10);
    let mut pair = LoopbackPair::new(Config::default(), few, Knobs::default());
    pair.connect();
    let mut pair = TunnelPair::over(pair, TunnelsConfig::default(), TunnelsConfig::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    for n in 0..30u8 {
        pair.send(Side::Client, client, &[n]).expect("room");
    }
    let came = pair.recv(Side::Server, server);
    assert_eq!(came.concat(), (20..30).collect::<Vec<_>>(), "the latest");
    let stats = pair.tunnels(Side::Server).stats(server).expect("a tunnel");
    assert_eq!((stats.drops.overflowed, stats.received), (20, 10));
    for n in 0..30u8 {
        pair.send(Side::Client, client, &[n]).expect("room");
    }
    pair.drive();
    pair.close(Side::Client, client);
    assert_eq!(pair.recv(Side::Server, server).len(), 10);
    let (_, all) = pair.tunnels(Side::Server).all_stats();
    assert_eq!((all.drops.overflowed, all.received), (40, 20));
    let (_, all) = pair.tunnels(Side::Client).all_stats();
    assert_eq!((all.sent, all.bytes_sent), (60, 60));
}

/// Row C27: a thousand payloads wait by default, the latest; they can be read when the tunnel
/// is over.
#[test]
fn a_thousand_payloads_wait() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    for n in 0..1010u16 {
        pair.send(Side::Client, client, &n.to_be_bytes())
            .expect("room");
        pair.drive();
    }
    pair.close(Side::Client, client);
    let came = pair.recv(Side::Server, server);
    assert_eq!((came.len(), &came[0][..]), (1000, &[0, 10][..]));
    let (_, all) = pair.tunnels(Side::Server).all_stats();
    assert_eq!((all.drops.overflowed, all.received), (10, 1000));
}

/// Row C23: a transport that is full takes no payload, which is counted, and told when it
/// takes some again.
#[test]
fn a_full_transport_is_told() {
    let knobs = Knobs {
        datagram_queue: 2,
        ..Knobs::default()
    };
    let mut pair = TunnelPair::connected(knobs);
    let (client, server) = pair.tunnel(Dialect::Udp);
    let sent: Vec<_> = (0..4u8)
        .map(|n| pair.send(Side::Client, client, &[n]))
        .collect();
    let blocked = Err(TunnelSendError::Blocked);
    assert_eq!(sent, [Ok(()), Ok(()), blocked, blocked]);
    let told = pair.told(Side::Client, client);
    assert_eq!(told, [TunnelEvent::DatagramsUnblocked]);
    pair.send(Side::Client, client, b"again").expect("room");
    assert_eq!(pair.told(Side::Client, client), [], "told once");
    assert_eq!(pair.recv(Side::Server, server).len(), 3);
    let stats = pair.tunnels(Side::Client).stats(client).expect("a tunnel");
    assert_eq!((stats.drops.blocked, stats.sent), (2, 3));
}

/// Row C27: what had come is read after the end, for as long as it lingers.
#[test]
fn what_has_come_is_read_after_the_end() {
    for fails in [false, true] {
        for late in [false, true] {
            let mut pair = TunnelPair::connected(Knobs::default());
            let (client, server) = pair.tunnel(Dialect::Udp);
            for n in 0..3u8 {
                pair.send(Side::Client, client, &[n]).expect("room");
            }
            pair.drive();
            if fails {
                pair.pair.server().close(Code::H3_NO_ERROR, "");
            } else {
                pair.close(Side::Client, client);
            }
            let mut told = pair.told(Side::Server, server);
            assert!(
                matches!(told.pop(), Some(TunnelEvent::Closed(_))),
                "{told:?}"
            );
            assert_eq!(told, [TunnelEvent::Datagrams]);
            assert_eq!(pair.tunnels(Side::Server).live(), 0);
            assert!(!pair.tunnels(Side::Server).is_empty());
            pair.advance(Duration::from_secs(if late { 30 } else { 29 }));
            let came = pair.recv(Side::Server, server).len();
            assert_eq!(came, if late { 0 } else { 3 }, "{fails}");
            assert!(pair.tunnels(Side::Server).is_empty());
            assert_eq!(pair.told(Side::Server, server), []);
        }
    }
}

/// Row C27: tunnels that are over count no more, so a peer can bring about many; what they
/// keep is bounded all the same, and what never was open keeps nothing.
#[test]
fn few_tunnels_linger() {
    let mut pair = TunnelPair::serving(|config| config.gate.max_tunnels = 3);
    let mut all = Vec::new();
    for _ in 0..5 {
        let (client, server) = pair.tunnel(Dialect::Udp);
        pair.send(Side::Client, client, b"late").expect("room");
        pair.drive();
        pair.close(Side::Client, client);
        assert_eq!(pair.closed(Side::Server, server), TunnelClose::Finished);
        all.push(server);
    }
    let (client, server) = pair.ask(Dialect::Udp);
    pair.send(Side::Client, client, b"early").expect("room");
    pair.drive();
    pair.close(Side::Client, client);
    pair.closed(Side::Server, server);
    all.push(server);
    let came = all.iter().map(|key| pair.recv(Side::Server, *key).len());
    assert_eq!(came.collect::<Vec<_>>(), [0, 0, 1, 1, 1, 0]);
    assert!(pair.tunnels(Side::Server).is_empty());
}

/// Row C14: who has failed says so, which is no end in order.
#[test]
fn a_failure_is_told() {
    for from in SIDES {
        let mut pair = TunnelPair::connected(Knobs::default());
        let (client, server) = pair.tunnel(Dialect::Udp);
        let (key, there) = match from {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        pair.with(from, |tunnels, access, now| tunnels.abort(access, now, key));
        let reset = TunnelClose::Reset(Code::H3_INTERNAL_ERROR);
        assert_eq!(pair.closed(from.peer(), there), reset);
        assert_eq!(pair.told(from, key), []);
        assert!(pair.tunnels(from).is_empty());
    }
}

/// Row C32: a proxy that drains takes nothing new, goes on with what it has, and may take
/// tunnels again.
#[test]
fn a_drain_can_be_taken_back() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    let (waiting, pending) = pair.ask(Dialect::Tcp12);
    pair.with(Side::Server, |tunnels, _, _| tunnels.set_draining(true));
    for dialect in DIALECTS {
        let new = pair.open(&asking(dialect));
        assert_eq!(pair.refused(new).status, StatusCode::SERVICE_UNAVAILABLE);
    }
    sends(&mut pair, Side::Client, client, Dialect::Udp);
    takes(&mut pair, Side::Server, server, Dialect::Udp);
    pair.accept(pending);
    let told = pair.told(Side::Client, waiting);
    assert!(matches!(told[..], [TunnelEvent::Opened(_)]), "{told:?}");
    pair.with(Side::Server, |tunnels, _, _| tunnels.set_draining(false));
    pair.tunnel(Dialect::Udp);
}

/// Row C36: a request, a session and tunnels share a connection, and nothing of one is
/// told to another.
#[test]
fn tunnels_beside_requests_and_sessions() {
    let wt = || speaking(Dialects::SET_B, None);
    let mut pair = LoopbackPair::new(wt(), wt(), Knobs::default());
    pair.connect();
    let (session, theirs) = pair.session("https://example.com/wt");
    let mut pair = TunnelPair::over(pair, TunnelsConfig::default(), TunnelsConfig::default());
    let keys = [Dialect::Udp, Dialect::Tcp12, Dialect::Classic].map(|d| (d, pair.tunnel(d)));
    pair.others(Side::Client);
    pair.others(Side::Server);
    let fetched = pair.pair.client().request(&get(), End::Fin).expect("asks");
    let asked = pair.others(Side::Server);
    let [Event::Request { stream, .. }, ..] = asked[..] else {
        panic!("{asked:?}")
    };
    for (dialect, (client, server)) in keys {
        sends(&mut pair, Side::Client, client, dialect);
        takes(&mut pair, Side::Server, server, dialect);
    }
    let ok = ResponseHead::new(StatusCode::OK);
    pair.pair
        .server()
        .respond(stream, &ok, End::Fin)
        .expect("answers");
    pair.pair
        .client()
        .send_datagram(session, b"session")
        .expect("room");
    let told = pair.others(Side::Server);
    assert!(told.iter().any(
        |event| matches!(event, Event::WebTransport(key, SessionEvent::Datagrams) if *key == theirs)
    ));
    assert_eq!(
        pair.pair.server().recv_datagram(theirs).as_deref(),
        Some(&b"session"[..])
    );
    let told = pair.others(Side::Client);
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Response { stream, .. } if *stream == fetched))
    );
    for (_, (client, server)) in keys {
        pair.close(Side::Client, client);
        pair.closed(Side::Server, server);
    }
    let others: Vec<_> = SIDES
        .into_iter()
        .flat_map(|side| pair.others(side))
        .collect();
    let of_tunnels = |event: &Event| match event {
        Event::Stream(stream, _) => keys.iter().any(|(_, (key, _))| key.id() == stream.id()),
        _ => false,
    };
    assert!(!others.iter().any(of_tunnels), "{others:?}");
}

/// Row C37: what is counted returns to nothing, and so does what is kept, after ten
/// thousand tunnels that ended in every way.
#[test]
fn ten_thousand_tunnels_leave_nothing() {
    let mut pair = TunnelPair::serving(|config| config.gate.max_tunnels = 3);
    pair.pair.stop_recording();
    let base = SIDES.map(|side| pair.pair.access(side).live_streams());
    for n in 0..10_000usize {
        let dialect = DIALECTS[n % 4];
        let (client, server) = pair.ask(dialect);
        match n / 4 % 6 {
            0 => pair.close(Side::Client, client),
            1 => pair.close(Side::Server, server),
            way => {
                pair.accept(server);
                sends(&mut pair, Side::Client, client, dialect);
                pair.drive();
                match way {
                    2 => pair.close(Side::Client, client),
                    3 => pair.close(Side::Server, server),
                    4 => {
                        takes(&mut pair, Side::Server, server, dialect);
                        pair.close(Side::Server, server);
                        pair.close(Side::Client, client);
                    }
                    _ => pair.advance(Duration::from_secs(301)),
                }
            }
        }
        pair.told(Side::Client, client);
        pair.told(Side::Server, server);
        pair.recv(Side::Server, server);
    }
    pair.advance(Duration::from_secs(31));
    for (side, base) in SIDES.into_iter().zip(base) {
        let (gate, _) = pair.tunnels(side).all_stats();
        assert_eq!((gate.pending, gate.active), (0, 0));
        assert!(pair.tunnels(side).is_empty());
        assert_eq!(pair.pair.access(side).live_streams(), base);
        assert_eq!(pair.others(side), []);
    }
    let (gate, _) = pair.tunnels(Side::Server).all_stats();
    assert_eq!((gate.asked, gate.opened), (10_000, 6664));
    assert_eq!(gate.asked, gate.opened + gate.refused + gate.given_up);
    assert_eq!(pair.pair.server().open_requests(), 0);
}

/// An accept of a session is not mistaken for a tunnel's.
#[test]
fn a_session_is_no_tunnel() {
    let wt = || speaking(Dialects::SET_B, None);
    let mut pair = LoopbackPair::new(wt(), wt(), Knobs::default());
    pair.connect();
    let mut pair = TunnelPair::over(pair, TunnelsConfig::default(), TunnelsConfig::default());
    pair.pair.client().open_session(&there()).expect("asks");
    let asked = pair.others(Side::Server);
    let Some(Event::WebTransport(key, SessionEvent::Requested(_))) = asked.last() else {
        panic!("{asked:?}")
    };
    let accepted = pair
        .pair
        .server()
        .webtransport(*key)
        .accept(&ConnectAnswer::default());
    accepted.expect("accepts");
    assert!(pair.tunnels(Side::Server).is_empty());
    expect_event!(pair.pair, Side::Client, Event::WebTransport(_, SessionEvent::Established(_)) => ());
}
