//! Row E19: what an endpoint does with all of its connections, of either protocol and of none
//! yet.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::{Arrival, Protocol, Target};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir, Side};
use aqueduct_core::quic::{Config, Shutdown, StreamEvent};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::Pair;

use super::talk::{Talk, options, reason};

/// A server with a connection of HTTP/3, one of raw QUIC, and one that has not come so far;
/// the client's names for the first two.
fn all_kinds() -> (Pair, [ConnKey; 2]) {
    let mut pair = Pair::new(options(|_, _| {}));
    let tls = Identity::localhost().client_arc();
    let http = Target::new(pair.server.addr, "localhost", tls);
    let http = pair.client.endpoint.connect(pair.now, &http);
    let http = http.expect("connects");
    let quic = pair.connect();
    pair.drive();
    undecided(&mut pair);
    assert_eq!(pair.server.endpoint.open_connections(), 3);
    let protocols = [http, quic].map(|key| pair.client.endpoint.protocol(key));
    assert_eq!(protocols, [Some(Protocol::Http3), Some(Protocol::Quic)]);
    pair.client.events.clear();
    pair.server.events.clear();
    (pair, [http, quic])
}

/// A client whose first packet alone has arrived, of those that its names need: TLS cannot say
/// yet which protocol it wants.
fn undecided(pair: &mut Pair) {
    let names = (0..6).map(|number| vec![b'a' + number; 255]);
    let target = pair.target().quic(names, Config::new());
    let (now, client) = (pair.now, &mut pair.client.endpoint);
    let connected = client.connect(now, &target.expect("names"));
    connected.expect("connects");
    let mut out = Vec::new();
    let first = client.poll_transmit(now, 1, &mut out).expect("a packet");
    let from = Arrival::new(pair.client.addr);
    let server = &mut pair.server.endpoint;
    server.handle_datagram(now, from, out[..first.size].into());
    let mut lost = 0;
    while client.poll_transmit(now, 1, &mut out).is_some() {
        lost += 1;
    }
    assert!(lost > 0, "it all fits into one packet");
    server.handle_timeout(now);
    assert!(server.poll_event().is_none());
}

#[test]
fn a_close_of_all_reaches_every_connection() {
    let (mut pair, keys) = all_kinds();
    pair.server.endpoint.close(pair.now, Code::new(77), "all");
    pair.drive();
    for key in keys {
        let told = reason(&pair.client.take(key));
        let Some(CloseReason::Remote { code, reason }) = told else {
            panic!("{told:?}");
        };
        assert_eq!((code, &reason[..]), (Code::new(77), &b"all"[..]));
    }
    each_is_told_once(&mut pair, 3);
}

#[test]
fn a_drain_of_all_ends_those_that_do_nothing() {
    let (mut pair, keys) = all_kinds();
    let until = pair.now + Duration::from_secs(3);
    pair.server.endpoint.drain(pair.now, until);
    pair.advance(Duration::from_secs(4));
    for key in keys {
        assert!(reason(&pair.client.take(key)).is_some());
    }
    each_is_told_once(&mut pair, 3);
}

/// A code that HTTP/3 could not say either is the largest that there is.
#[test]
fn a_code_that_is_too_large_is_cut() {
    let mut talk = Talk::new();
    let now = talk.pair.now;
    talk.pair
        .client
        .endpoint
        .close(now, Code::new(u64::MAX), "");
    let told = reason(&talk.all(Side::Server));
    assert!(matches!(told, Some(CloseReason::Remote { .. })), "{told:?}");
}

/// A client that never says more than its first packet is given up.
#[test]
fn a_connection_that_is_undecided_ends_in_time() {
    let mut pair = Pair::new(options(|_, _| {}));
    undecided(&mut pair);
    pair.client.link.down = true;
    assert_eq!(pair.server.endpoint.open_connections(), 1);
    pair.advance(Duration::from_secs(15));
    let events: Vec<_> = pair
        .server
        .events
        .drain(..)
        .map(|(_, event)| event)
        .collect();
    let late = Some(CloseReason::Transport(TransportFailure::TimedOut));
    assert_eq!(reason(&events), late);
    assert_eq!(pair.server.endpoint.open_connections(), 0);
}

/// Row E19: who lets go of one stream ends that stream and nothing else.
#[test]
fn one_stream_is_abandoned_and_nothing_else() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    let [others, as_theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.shutdown(Side::Client, ours, Shutdown::Immediate(0));
    let events = talk.events(Side::Server);
    assert!(super::talk::of(&events, theirs).contains(&StreamEvent::Reset(0)));
    assert_eq!(super::talk::of(&events, as_theirs), []);
    talk.write(Side::Client, others, b"goes on");
    talk.pair.drive();
    assert_eq!(talk.read(Side::Server, as_theirs).0, b"goes on");
}

/// A full server ends an idle connection of whoever holds most, for a newcomer.
#[test]
fn an_idle_connection_makes_place() {
    let mut talk = Talk::with(|options, _| {
        options.incoming.max_connections = 2;
        options.incoming.max_per_address = Some(2);
        options.incoming.max_per_network = Some(2);
    });
    let (idle, _) = (talk.server, talk.client);
    let (client, _) = talk.pair.establish();
    let start = aqueduct_core::quic::Start::new();
    let mut connection = talk.pair.client_quic(client);
    let mut access = connection.access();
    let stream = access.start(Dir::Bi, start).expect("begins");
    let taken = access.write(stream, &mut [bytes::Bytes::from_static(b"work")]);
    assert_eq!(taken, Ok(4));
    talk.pair.drive();
    talk.pair.server.events.clear();

    talk.pair.client.addr = ([10, 5, 0, 1], 4433).into();
    let newcomer = talk.pair.connect();
    talk.pair.drive();
    let events = talk.pair.client.take(newcomer);
    assert!(matches!(events[0], Event::Connected { .. }), "{events:?}");
    let told = reason(&talk.pair.server.take(idle));
    let full = CloseReason::Local {
        code: Code::new(0),
        reason: "idle, and the server is full".into(),
    };
    assert_eq!(told, Some(full));
    let left: Vec<_> = talk.pair.server.events.drain(..).collect();
    assert!(
        !left
            .iter()
            .any(|(_, event)| matches!(event, Event::Closed(_))),
        "{left:?}"
    );
}

/// Every connection of the server's is told of its end, once, and then there is none.
fn each_is_told_once(pair: &mut Pair, all: usize) {
    let closed =
        |(key, event): &(ConnKey, Event)| matches!(event, Event::Closed(_)).then(|| key.index());
    let mut told: Vec<_> = pair.server.events.iter().filter_map(closed).collect();
    assert!(told.len() == all, "{told:?}");
    let count = told.len();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), count, "one of them twice");
    assert_eq!(pair.server.endpoint.open_connections(), 0);
    pair.advance(Duration::from_secs(60));
    assert!(pair.server.endpoint.is_idle());
}
