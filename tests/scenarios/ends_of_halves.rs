//! Row B27: what is tried with half of a stream that is over says how it ended, before
//! the peer has acknowledged that and after.

use aqueduct_core::connection::{Command, CommandError};
use aqueduct_core::error::{Gone, PeerCode, ReadError, SendError, WriteError};
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use bytes::Bytes;
use http::{Method, StatusCode};

use super::wt_streams::opened;

/// A connection with a stream that both ends may use: as the client knows it, as the
/// server does, and how codes on it are told.
type Case = (LoopbackPair, StreamKey, StreamKey, fn(u32) -> PeerCode);

fn request() -> Case {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let head = RequestHead::new(Method::POST, "https://a/".parse().expect("a URI"));
    let here = pair.client().request(&head, End::More).expect("begins");
    let there = expect_event!(
        pair, Side::Server, Event::Request { stream, .. } => stream
    );
    let head = ResponseHead::new(StatusCode::OK);
    let begun = pair.server().respond(there, &head, End::More);
    begun.expect("open");
    pair.drive();
    (pair, here, there, |code| PeerCode::http(code.into()))
}

fn session_stream() -> Case {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (session, _) = pair.session("https://example.com/wt");
    let mut client = pair.client();
    let here = client.webtransport(session).open_stream(Dir::Bi);
    let here = here.expect("a stream");
    let there = opened(&mut pair, Side::Server);
    let told = |code| PeerCode::webtransport(aqueduct_core::code::app_to_http(code));
    (pair, here, there, told)
}

const CASES: [fn() -> Case; 2] = [request, session_stream];

/// What a write says, and an end.
fn sends(pair: &mut LoopbackPair, side: Side, stream: StreamKey) -> (WriteError, SendError) {
    let mut access = pair.access(side);
    let mut send = access.send(stream).expect("the other half is open");
    let written = send.write(&mut ["x".into()]);
    let ended = send.finish();
    (written.expect_err("over"), ended.expect_err("over"))
}

fn reads(pair: &mut LoopbackPair, side: Side, stream: StreamKey) -> ReadError {
    let mut access = pair.access(side);
    let mut recv = access.recv(stream).expect("the other half is open");
    let read = recv.read(1, &mut [Bytes::new()]);
    read.expect_err("over")
}

#[test]
fn finished() {
    for case in CASES {
        let (mut pair, here, there, _) = case();
        pair.client()
            .send(here)
            .expect("open")
            .finish()
            .expect("is");
        let said = (WriteError::Finished, SendError::Finished);
        assert_eq!(sends(&mut pair, Side::Client, here), said);
        assert_eq!(pair.read_to_end(Side::Server, there), Ok(Vec::new()));
        assert_eq!(reads(&mut pair, Side::Server, there), ReadError::Finished);
        pair.drive();
        assert_eq!(sends(&mut pair, Side::Client, here), said, "acknowledged");
    }
}

#[test]
fn reset_by_this_side() {
    for case in CASES {
        let (mut pair, here, there, told) = case();
        pair.client()
            .send(here)
            .expect("open")
            .reset(7)
            .expect("is");
        let said = (WriteError::Reset, SendError::Reset);
        assert_eq!(sends(&mut pair, Side::Client, here), said);
        pair.drive();
        assert_eq!(sends(&mut pair, Side::Client, here), said, "acknowledged");
        // Told to whoever asks, as often as they ask.
        let reset = ReadError::Reset(told(7));
        assert_eq!(reads(&mut pair, Side::Server, there), reset);
        assert_eq!(reads(&mut pair, Side::Server, there), reset);
    }
}

#[test]
fn stopped_by_this_side() {
    for case in CASES {
        let (mut pair, here, there, told) = case();
        pair.server()
            .recv(there)
            .expect("open")
            .stop(9)
            .expect("is");
        assert_eq!(reads(&mut pair, Side::Server, there), ReadError::Stopped);
        pair.drive();
        assert_eq!(reads(&mut pair, Side::Server, there), ReadError::Stopped);
        let code = told(9);
        let stopped = (WriteError::Stopped(code), SendError::Stopped(code));
        assert_eq!(sends(&mut pair, Side::Client, here), stopped);
        assert_eq!(sends(&mut pair, Side::Client, here), stopped);
    }
}

/// Half closed: one half is as usable as ever.
#[test]
fn the_other_half_goes_on() {
    for case in CASES {
        let (mut pair, here, there, _) = case();
        pair.client()
            .send(here)
            .expect("open")
            .finish()
            .expect("is");
        pair.drive();
        assert_eq!(pair.write_all(Side::Server, there, "z"), Ok(()));
        let mut all = Vec::new();
        assert_eq!(pair.read_some(Side::Client, here, &mut all), Ok(false));
        assert_eq!(all, b"z");
    }
}

/// A message has its order, and what is over is over for heads as well.
#[test]
fn heads() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let head = RequestHead::new(Method::GET, "https://a/".parse().expect("a URI"));
    let here = pair.client().request(&head, End::Fin).expect("begins");
    let there = expect_event!(
        pair, Side::Server, Event::Request { stream, .. } => stream
    );
    let early = pair.write_all(Side::Server, there, "x");
    assert_eq!(early, Err(WriteError::WrongState), "no head before it");
    let head = ResponseHead::new(StatusCode::OK);
    let answer = |pair: &mut LoopbackPair| pair.server().respond(there, &head, End::Fin);
    assert_eq!(answer(&mut pair), Ok(()));
    assert_eq!(answer(&mut pair), Err(SendError::Finished));
    assert_eq!(pair.read_to_end(Side::Server, there), Ok(Vec::new()));
    assert_eq!(pair.read_to_end(Side::Client, here), Ok(Vec::new()));
    pair.drive();
    assert_eq!(answer(&mut pair), Err(SendError::Gone));
}

#[test]
fn over_or_never_there_or_without_such_a_half() {
    let gone = |gone| Err(CommandError::Gone(gone));
    for case in CASES {
        let (mut pair, here, there, _) = case();
        let mut fresh = LoopbackPair::connected(Knobs::default());
        let finish = |stream| Command::Finish(stream);
        let unknown = finish(here).apply(&mut fresh.client());
        assert_eq!(unknown, gone(Gone::Unknown));
        for (side, stream) in [(Side::Client, here), (Side::Server, there)] {
            let ended = pair.access(side).send(stream).expect("open").finish();
            ended.expect("open");
        }
        assert_eq!(pair.read_to_end(Side::Server, there), Ok(Vec::new()));
        assert_eq!(pair.read_to_end(Side::Client, here), Ok(Vec::new()));
        pair.drive();
        let over = finish(here).apply(&mut pair.client());
        assert_eq!(over, gone(Gone::Over), "both halves are over");
    }
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (session, _) = pair.session("https://example.com/wt");
    let mut client = pair.client();
    let uni = client.webtransport(session).open_stream(Dir::Uni);
    let uni = uni.expect("a stream");
    let none = client.recv(uni).map(drop);
    assert_eq!(none, Err(Gone::NoSuchHalf));
    let none = client.send(session.stream()).map(drop);
    assert_eq!(none, Err(Gone::NoSuchHalf), "the session's own");
}
