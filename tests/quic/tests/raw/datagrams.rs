//! Row E12: datagrams, their largest size, and why one is not sent.

use aqueduct_core::event::Event;
use aqueduct_core::id::Side;
use aqueduct_core::quic::{self, DatagramError};
use aqueduct_core::testing::pair::Pair;
use bytes::Bytes;

use super::talk::{Talk, options};

fn send(talk: &mut Talk, side: Side, len: usize) -> Result<(), DatagramError> {
    talk.act(side, |access| access.send_datagram(vec![7; len].into()))
}

fn received(talk: &mut Talk, side: Side) -> Vec<usize> {
    talk.act(side, |access| {
        let datagrams = std::iter::from_fn(|| access.recv_datagram());
        datagrams.map(|datagram| datagram.len()).collect()
    })
}

/// Told first with `Connected`, and again when the path turns out to take more.
#[test]
fn the_largest_size_is_told_and_told_again_when_it_changes() {
    let mut pair = Pair::new(options(|_, _| {}));
    let client = pair.connect();
    pair.drive();
    let states = |events: &[Event]| -> Vec<_> {
        let state = |event: &Event| match event {
            Event::Quic(quic::Event::DatagramState(max)) => Some(*max),
            _ => None,
        };
        events.iter().filter_map(state).collect()
    };
    let events = pair.client.take(client);
    assert!(matches!(events[0], Event::Connected { .. }), "{events:?}");
    assert!(matches!(
        events[1],
        Event::Quic(quic::Event::DatagramState(Some(_)))
    ));
    let mut told = states(&events);
    pair.advance(std::time::Duration::from_secs(20));
    told.extend(states(&pair.client.take(client)));
    assert!(told.len() > 1 && told.is_sorted(), "{told:?}");
    let max = pair.client_quic(client).access().max_datagram_size();
    assert_eq!(told.last(), Some(&max));
}

#[test]
fn datagrams_of_any_size_up_to_the_largest() {
    let mut talk = Talk::new();
    let max = talk.act(Side::Client, |it| it.max_datagram_size());
    let max = max.expect("enabled");
    for len in [0, 1, max] {
        assert_eq!(send(&mut talk, Side::Client, len), Ok(()));
    }
    assert_eq!(talk.events(Side::Server), [quic::Event::Datagrams]);
    assert_eq!(received(&mut talk, Side::Server), [0, 1, max]);
    assert_eq!(received(&mut talk, Side::Server), [] as [usize; 0]);
    // Told again, since `None` was given.
    assert_eq!(send(&mut talk, Side::Client, 5), Ok(()));
    assert_eq!(talk.events(Side::Server), [quic::Event::Datagrams]);
    assert_eq!(send(&mut talk, Side::Client, 6), Ok(()));
    assert_eq!(talk.events(Side::Server), [], "not twice");
    assert_eq!(received(&mut talk, Side::Server), [5, 6]);
}

#[test]
fn larger_ones_are_refused_by_who_does_not_take_them() {
    let mut talk = Talk::with(|options, _| options.transport.datagram_receive_buffer = 2_000);
    let max = talk.act(Side::Client, |it| it.max_datagram_size());
    let max = max.expect("enabled");
    let refused = send(&mut talk, Side::Client, max + 200);
    assert_eq!(refused, Err(DatagramError::TooLargeForPath));
    let refused = send(&mut talk, Side::Client, 1 << 20);
    assert_eq!(refused, Err(DatagramError::TooLarge));
    assert_eq!(talk.events(Side::Server), []);
}

#[test]
fn a_full_buffer_says_when_there_is_room() {
    let mut talk = Talk::with(|options, _| options.transport.datagram_send_buffer = 4_000);
    let mut sent = 0;
    while send(&mut talk, Side::Client, 1_000) == Ok(()) {
        sent += 1;
    }
    assert!((2..=4).contains(&sent), "{sent}");
    let blocked = send(&mut talk, Side::Client, 1_000);
    assert_eq!(blocked, Err(DatagramError::Blocked));
    let events = talk.events(Side::Client);
    assert_eq!(events, [quic::Event::DatagramsUnblocked]);
    assert_eq!(received(&mut talk, Side::Server), vec![1_000; sent]);
    assert_eq!(send(&mut talk, Side::Client, 1_000), Ok(()));
}

/// Either end can do without, and the other learns.
#[test]
fn an_end_without_datagrams_takes_and_sends_none() {
    for [client, server] in [[false, true], [true, false]] {
        let mut talk = Talk::with(|options, quic| {
            options.server.datagrams = false;
            quic.only = true;
            quic.client.datagrams = client;
            quic.server.datagrams = server;
        });
        for side in [Side::Client, Side::Server] {
            let refused = send(&mut talk, side, 1);
            assert_eq!(
                refused,
                Err(DatagramError::Disabled),
                "{side} of {client}, {server}"
            );
        }
        assert_eq!(talk.events(Side::Client), []);
        assert_eq!(talk.events(Side::Server), []);
    }
}

/// HTTP/3 beside it takes datagrams, so QUIC says so; raw QUIC's are dropped.
#[test]
fn a_server_whose_http3_takes_datagrams_drops_those_that_raw_quic_does_not_take() {
    let mut talk = Talk::with(|_, quic| quic.server.datagrams = false);
    for _ in 0..100 {
        assert_eq!(send(&mut talk, Side::Client, 1_000), Ok(()));
        assert_eq!(talk.events(Side::Server), []);
    }
    assert_eq!(received(&mut talk, Side::Server), [] as [usize; 0]);
    let refused = send(&mut talk, Side::Server, 1);
    assert_eq!(refused, Err(DatagramError::Disabled), "although QUIC would");
}

#[test]
fn none_before_the_connection_is_established_and_none_after() {
    let mut pair = Pair::new(options(|_, _| {}));
    let client = pair.connect();
    let early = |pair: &mut Pair| {
        let datagram = Bytes::from_static(b"early");
        pair.client_quic(client).access().send_datagram(datagram)
    };
    assert_eq!(early(&mut pair), Err(DatagramError::NotConnected));
    pair.drive();
    assert_eq!(early(&mut pair), Ok(()));
    let closed = pair.client_quic(client).access().close(0, "");
    assert_eq!(closed, Ok(()));
    assert_eq!(early(&mut pair), Err(DatagramError::Closed));
}
