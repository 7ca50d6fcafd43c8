//! Who waits when more has come than an endpoint deals with in one turn: not those who
//! ask for little.

use std::net::SocketAddr;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::{Arrival, Endpoint, EndpointConfig, Retry, Target};
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::ConnKey;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::time::Why;
use bytes::BytesMut;

use super::policy;

/// Datagrams that are work for one turn, beside a request in one of them.
const TURN: usize = 127;

/// What a client's request is on the wire, before anybody has it.
fn asked(pair: &mut Pair, client: ConnKey) -> Vec<(Arrival, BytesMut)> {
    let uri = "https://localhost/".parse().expect("a URI");
    let get = RequestHead::new(http::Method::GET, uri);
    let asked = pair.client(client).access().request(&get, End::Fin);
    asked.expect("is sent");
    pair.step();
    let at = pair.client.link.next_arrival().expect("on the way");
    std::iter::from_fn(|| pair.client.link.receive(at)).collect()
}

fn feed(pair: &mut Pair, datagrams: &[(Arrival, BytesMut)]) {
    for (from, datagram) in datagrams {
        let copy = pair.server.endpoint.copy_datagram(datagram);
        pair.server.endpoint.handle_datagram(pair.now, *from, copy);
    }
}

/// Whose requests are told.
fn told(pair: &mut Pair) -> Vec<ConnKey> {
    let events = std::iter::from_fn(|| pair.server.endpoint.poll_event());
    events
        .filter_map(|(key, event)| matches!(event, Event::Request { .. }).then_some(key))
        .collect()
}

fn is_behind(pair: &mut Pair) -> bool {
    let deadline = pair.server.endpoint.poll_timeout().expect("open");
    deadline.why == Why::Work && deadline.at <= pair.now
}

/// Two connections of one client, and what each asks.
#[expect(clippy::type_complexity, reason = "two of the same, and where")]
fn two() -> (Pair, [(ConnKey, Vec<(Arrival, BytesMut)>); 2]) {
    let (mut pair, loud, loud_there) = Pair::connected(Options::default());
    let (quiet, quiet_there) = pair.establish();
    pair.drive();
    let loud = asked(&mut pair, loud);
    let quiet = asked(&mut pair, quiet);
    pair.server.endpoint.handle_timeout(pair.now);
    (pair, [(loud_there, loud), (quiet_there, quiet)])
}

#[test]
fn who_had_nothing_waiting_goes_first() {
    let (mut pair, [(loud_there, loud), (quiet_there, quiet)]) = two();
    // The same again and again, all from one receive call, and the other's behind it.
    for _ in 0..3 * TURN {
        feed(&mut pair, &loud);
    }
    feed(&mut pair, &quiet);
    assert_eq!(told(&mut pair), [loud_there]);
    assert!(is_behind(&mut pair));
    pair.server.endpoint.handle_timeout(pair.now);
    assert_eq!(told(&mut pair), [quiet_there]);
    assert!(is_behind(&mut pair), "the first still has some waiting");
    pair.server.endpoint.handle_timeout(pair.now);
    assert!(!is_behind(&mut pair));
    assert_eq!(pair.server.endpoint.stats().datagrams_dropped, 0);
}

/// What ends with a connection is work, of which a turn does no more than others can wait
/// for; and one network, however many connections of it end, is waited for as one.
#[test]
fn connections_of_a_network_that_end_together_are_waited_for_once() {
    const ENDING: usize = 10;
    let (mut pair, quiet, quiet_there) = Pair::connected(Options::default());
    let home = pair.client.addr;
    pair.client.addr.set_ip([10, 7, 0, 1].into());
    let mut last = Vec::new();
    for _ in 0..ENDING {
        let (client, _) = pair.establish();
        for _ in 0..100 {
            let uri = "https://localhost/".parse().expect("a URI");
            let get = RequestHead::new(http::Method::GET, uri);
            let asked = pair.client(client).access().request(&get, End::Fin);
            asked.expect("is sent");
        }
        pair.drive();
        pair.client(client).access().close(Code::H3_NO_ERROR, "");
        pair.step();
        let at = pair.client.link.next_arrival().expect("on the way");
        last.extend(std::iter::from_fn(|| pair.client.link.receive(at)));
    }
    pair.client.addr = home;
    let quiet = asked(&mut pair, quiet);
    told(&mut pair);
    pair.server.endpoint.handle_timeout(pair.now);
    let ended = |pair: &mut Pair, quiet: &mut bool| {
        let mut ended = 0;
        while let Some((key, event)) = pair.server.endpoint.poll_event() {
            ended += usize::from(matches!(event, Event::Closed(_)));
            *quiet |= key == quiet_there && matches!(event, Event::Request { .. });
        }
        ended
    };
    // All from one receive call, and the quiet one's request behind them.
    feed(&mut pair, &last);
    feed(&mut pair, &quiet);
    let mut heard = false;
    let mut turns = vec![(ended(&mut pair, &mut heard), heard)];
    while is_behind(&mut pair) {
        pair.server.endpoint.handle_timeout(pair.now);
        turns.push((ended(&mut pair, &mut heard), heard));
    }
    let most = turns.iter().map(|(ended, _)| *ended).max();
    assert!(most == Some(1) && turns[2].1, "{turns:?}");
    assert_eq!(turns.iter().map(|(ended, _)| ended).sum::<usize>(), ENDING);
}

#[test]
fn what_waits_for_a_connection_is_bounded_by_what_it_may_hold() {
    let (mut pair, [(loud_there, loud), (quiet_there, quiet)]) = two();
    let holds = |pair: &Pair| {
        let info = pair.server.endpoint.info(loud_there).expect("open");
        info.memory().receive_window as usize
    };
    // Its window, an eighth of it, and 256 KiB.
    let max = holds(&pair) * 9 / 8 + 256 * 1024;
    let each = loud[0].1.len() + 128;
    let fits = max / each;
    for _ in 0..TURN + fits + 100 {
        feed(&mut pair, &loud[..1]);
    }
    assert_eq!(pair.server.endpoint.stats().datagrams_dropped, 100);
    feed(&mut pair, &quiet);
    assert_eq!(pair.server.endpoint.stats().datagrams_dropped, 100);
    pair.server.endpoint.handle_timeout(pair.now);
    assert!(told(&mut pair).contains(&quiet_there));
}

#[test]
fn handshakes_take_turns_and_a_flood_loses_its_own() {
    let (mut pair, loud, _) = Pair::connected(Options::default());
    let before = pair.server.endpoint.stats().accepted;
    let tls = Identity::localhost().client_arc();
    let target = Target::new(pair.server.addr, "localhost", tls);
    let initial = |pair: &mut Pair, host: [u8; 4], port: u16| {
        let mut client = Endpoint::new(EndpointConfig::client()).expect("suits");
        client.connect(pair.now, &target).expect("begins");
        let mut out = Vec::new();
        let sent = client.poll_transmit(pair.now, 1, &mut out).expect("sends");
        let from = Arrival::new((host, port).into());
        let data = out[..sent.size].into();
        pair.server.endpoint.handle_datagram(pair.now, from, data);
    };
    let asks = asked(&mut pair, loud);
    for port in 1..=300 {
        initial(&mut pair, [10, 7, 0, 1], port);
    }
    let stats = pair.server.endpoint.stats();
    // One is taken at once, and 256 wait.
    assert_eq!((stats.accepted - before, stats.attempts_dropped), (1, 43));
    // One of another network gets its place from them.
    initial(&mut pair, [10, 8, 0, 1], 1);
    assert_eq!(pair.server.endpoint.stats().attempts_dropped, 44);
    // Nobody who is connected waits for them.
    feed(&mut pair, &asks);
    assert_eq!(told(&mut pair).len(), 1);
    let mut turns = 0;
    while is_behind(&mut pair) {
        pair.server.endpoint.handle_timeout(pair.now);
        turns += 1;
        let accepted = pair.server.endpoint.stats().accepted - before;
        assert!(accepted <= turns + 1, "{accepted} in {turns} turns");
    }
    let stats = pair.server.endpoint.stats();
    // From 64 unfinished ones on, the network shows its addresses, which costs less.
    assert_eq!((stats.accepted - before, stats.retried), (65, 192));
}

/// Events of the server that say that a connection is established.
fn established(pair: &mut Pair) -> usize {
    let events = std::iter::from_fn(|| pair.server.endpoint.poll_event());
    events
        .filter(|(_, event)| matches!(event, Event::Connected { .. }))
        .count()
}

#[test]
fn handshakes_that_are_under_way_keep_nobody_waiting() {
    let (mut pair, quiet, _) = Pair::connected(Options::default());
    let asks = asked(&mut pair, quiet);
    let before = pair.server.endpoint.stats().accepted;
    for _ in 0..20 {
        pair.connect();
    }
    // The first flights, and the server's; then the second ones, which are held back.
    pair.step();
    pair.now = pair.client.link.next_arrival().expect("first flights");
    while pair.server.endpoint.stats().accepted - before < 20 {
        pair.step();
    }
    while let Some(at) = pair.server.link.next_arrival() {
        pair.now = at;
        pair.step();
    }
    let late = pair.now + Duration::from_secs(1);
    let second: Vec<_> = std::iter::from_fn(|| pair.client.link.receive(late)).collect();
    feed(&mut pair, &second);
    assert_eq!(established(&mut pair), 2, "of 20, in this turn");
    feed(&mut pair, &asks);
    assert_eq!(told(&mut pair).len(), 1);
    let mut all = 2;
    while is_behind(&mut pair) {
        pair.server.endpoint.handle_timeout(pair.now);
        let more = established(&mut pair);
        assert!(more <= 2, "{more} in one turn");
        all += more;
    }
    assert_eq!(all, 20);
}

/// One network keeps hundreds of handshakes busy, another's goes on beside them: it waits
/// for one datagram of the flood's at a time, not for one of each.
#[test]
fn networks_take_turns_with_their_handshakes() {
    let mut pair = Pair::new(policy(|policy| policy.retry = Retry::Never));
    let tls = Identity::localhost().client_arc();
    let target = Target::new(pair.server.addr, "localhost", tls);
    let flood: Vec<(Arrival, BytesMut)> = (1..=200)
        .map(|port| {
            let mut client = Endpoint::new(EndpointConfig::client()).expect("suits");
            client.connect(pair.now, &target).expect("begins");
            let mut out = Vec::new();
            let sent = client.poll_transmit(pair.now, 1, &mut out).expect("sends");
            let from = Arrival::new(([10, 7, 0, 1], port).into());
            (from, out[..sent.size].into())
        })
        .collect();
    // All are under way, and the same comes for each again and again.
    feed(&mut pair, &flood);
    while is_behind(&mut pair) {
        pair.server.endpoint.handle_timeout(pair.now);
    }
    assert_eq!(pair.server.endpoint.stats().accepted, 200);
    let from = SocketAddr::from(([10, 8, 0, 1], 1));
    let mut newcomer = Endpoint::new(EndpointConfig::client()).expect("suits");
    newcomer.connect(pair.now, &target).expect("begins");
    let mut out = Vec::new();
    for turns in 1.. {
        assert!(turns < 10, "{turns} turns");
        feed(&mut pair, &flood);
        while let Some(sent) = newcomer.poll_transmit(pair.now, 1, &mut out) {
            let datagram = out[..sent.size].into();
            feed(&mut pair, &[(Arrival::new(from), datagram)]);
        }
        pair.server.endpoint.handle_timeout(pair.now);
        while let Some(sent) = pair.server.endpoint.poll_transmit(pair.now, 1, &mut out) {
            if sent.remote == from {
                let arrival = Arrival::new(pair.server.addr);
                newcomer.handle_datagram(pair.now, arrival, out[..sent.size].into());
            }
        }
        if established(&mut pair) == 1 {
            eprintln!(
                "TURNS {turns} dropped {}",
                pair.server.endpoint.stats().datagrams_dropped
            );
            return;
        }
    }
}
