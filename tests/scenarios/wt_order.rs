//! Order and groups of a session's streams.

use aqueduct_core::id::{Dir, SessionKey, Side, StreamKey};
use aqueduct_core::priority::Priority;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;

use crate::wt_streams::opened;

/// A stream of the client with an order.
fn open(pair: &mut LoopbackPair, session: SessionKey, order: i32) -> StreamKey {
    let stream = pair
        .client()
        .webtransport(session)
        .open_stream(Dir::Bi)
        .expect("a stream");
    set_order(pair, stream, order);
    stream
}

fn set_order(pair: &mut LoopbackPair, stream: StreamKey, order: i32) {
    pair.client()
        .send(stream)
        .expect("a stream")
        .set_send_order(order);
}

/// What a side's transport was told about a stream.
fn number(pair: &mut LoopbackPair, side: Side, stream: StreamKey) -> i32 {
    let (_, end) = pair.connection(side);
    end.priority(stream.id()).expect("a stream that is sending")
}

/// The streams' numbers, counted from the highest: 0 goes first.
fn ranks<const N: usize>(pair: &mut LoopbackPair, streams: [StreamKey; N]) -> [i32; N] {
    let numbers = streams.map(|stream| number(pair, Side::Client, stream));
    let highest = numbers.into_iter().max().unwrap_or_default();
    numbers.map(|number| highest - number)
}

/// Row B28: an order counts inside its session, whatever its number; the first of
/// every session share.
#[test]
fn orders_stay_within_their_session() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (loud, _) = pair.session("https://example.com/loud");
    let (quiet, _) = pair.session("https://example.com/quiet");
    let first = open(&mut pair, loud, i32::MAX);
    let second = open(&mut pair, loud, 1000);
    let third = open(&mut pair, loud, -7);
    let plain = open(&mut pair, quiet, 0);
    let behind = open(&mut pair, quiet, i32::MIN);
    let streams = [first, second, third, plain, behind];
    assert_eq!(ranks(&mut pair, streams), [0, 1, 2, 0, 1]);

    // The same order is the same rank, and a change moves whom it must.
    set_order(&mut pair, third, 1000);
    assert_eq!(ranks(&mut pair, streams), [0, 1, 1, 0, 1]);
    set_order(&mut pair, first, 0);
    assert_eq!(ranks(&mut pair, streams), [1, 0, 0, 0, 1]);
}

/// Row B28: streams of one group are ordered among themselves alone.
#[test]
fn groups_share() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (session, _) = pair.session("https://example.com/");
    let streams = [5, 4, 3, 2].map(|order| open(&mut pair, session, order));
    assert_eq!(ranks(&mut pair, streams), [0, 1, 2, 3]);
    for stream in &streams[2..] {
        let mut access = pair.client();
        access.send(*stream).expect("a stream").set_send_group(9);
    }
    assert_eq!(ranks(&mut pair, streams), [0, 1, 0, 1]);
}

/// Row B28: whoever has sent everything, gave up or was stopped is in nobody's way.
#[test]
fn who_is_done_makes_room() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (session, _) = pair.session("https://example.com/");
    let [sent, reset, stopped, gone, last] =
        [5, 4, 3, 2, 1].map(|order| open(&mut pair, session, order));
    pair.drive();
    let [_, _, theirs, also, _] = [0; 5].map(|_| opened(&mut pair, Side::Server));
    let rank = |pair: &mut LoopbackPair, of| {
        let top = open(pair, session, i32::MAX);
        let rank = ranks(pair, [top, of])[1];
        pair.client()
            .send(top)
            .expect("a stream")
            .reset(0)
            .expect("it is open");
        rank
    };
    assert_eq!(rank(&mut pair, last), 5);
    pair.client()
        .send(reset)
        .expect("a stream")
        .reset(1)
        .expect("it is open");
    assert_eq!(rank(&mut pair, last), 4);
    pair.server()
        .recv(theirs)
        .expect("a stream")
        .stop(1)
        .expect("it is open");
    pair.drive();
    assert_eq!(rank(&mut pair, last), 3);
    assert_eq!(stopped.id(), theirs.id(), "the third");

    // An end that is not acknowledged may still have bytes to send.
    let mut access = pair.client();
    access
        .send(sent)
        .expect("a stream")
        .finish()
        .expect("is open");
    assert_eq!(rank(&mut pair, last), 3);
    pair.drive();
    assert_eq!(rank(&mut pair, last), 2);

    // Both halves over: the stream has left the session.
    let mut access = pair.client();
    access
        .send(gone)
        .expect("a stream")
        .reset(0)
        .expect("is open");
    access
        .recv(gone)
        .expect("a stream")
        .stop(0)
        .expect("is open");
    let _ = pair.server().send(also).map(|mut send| send.reset(0));
    pair.drive();
    assert_eq!(rank(&mut pair, last), 1);
}

/// Row B28: as many ranks as there are do not reach the next urgency.
#[test]
fn ranks_are_bounded() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (session, _) = pair.session("https://example.com/");
    let streams: Vec<_> = (0..90)
        .map(|order| open(&mut pair, session, -order))
        .collect();
    let numbers: Vec<i32> = streams
        .iter()
        .map(|stream| number(&mut pair, Side::Client, *stream))
        .collect();
    assert!(numbers[..64].is_sorted_by(|a, b| a > b), "{numbers:?}");
    assert!(numbers[63..].iter().all(|n| *n == numbers[63]));
    let (other, _) = pair.session("https://example.com/less-urgent");
    let less = Priority::new(4, false);
    pair.client()
        .set_priority(other.stream(), less)
        .expect("a session");
    let top = open(&mut pair, other, 1_000_000);
    assert!(number(&mut pair, Side::Client, top) < numbers[89]);
}

/// Row A19: another priority of the CONNECT request moves the session's streams on
/// both sides.
#[test]
fn streams_follow_their_sessions_priority() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (session, _) = pair.session("https://example.com/");
    let ours = open(&mut pair, session, 0);
    pair.drive();
    let theirs = opened(&mut pair, Side::Server);
    let before = (
        number(&mut pair, Side::Client, ours),
        number(&mut pair, Side::Server, theirs),
    );
    let urgent = Priority::new(0, false);
    pair.client()
        .set_priority(session.stream(), urgent)
        .expect("a session");
    pair.drive();
    assert!(number(&mut pair, Side::Client, ours) > before.0);
    assert!(number(&mut pair, Side::Server, theirs) > before.1);
}
