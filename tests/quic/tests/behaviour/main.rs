//! Behaviours of connections, sessions and tunnels, on virtual time.

mod circles;
mod connection;
mod ends;
mod failures;
mod hand_off;
mod lossy;
mod modes;
mod sending;
mod sessions;
mod starts;
mod tunnels;
mod world;

use aqueduct_core::behaviour::{Action, At, Mode, StreamAction, Want};
use aqueduct_core::id::{Dir, Side, StreamId, StreamKey};
use bytes::Bytes;

use world::{Conn, Ev, Log, Stream, World};

/// Before the first test: all of them are replayed when they end.
#[ctor::ctor(unsafe)]
fn replay_all() {
    aqueduct_tests::replayed::replay_all();
}

fn bytes(data: &'static str) -> Bytes {
    Bytes::from_static(data.as_bytes())
}

fn send(data: &'static str) -> StreamAction<&'static str> {
    StreamAction::Send(bytes(data))
}

fn exact(length: usize) -> StreamAction<&'static str> {
    StreamAction::Receive(Want::Exact(length))
}

const ANY: StreamAction<&'static str> = StreamAction::Receive(Want::Any);

/// Data with its place.
fn data(of: &'static str, offset: u64) -> Ev {
    Ev::Data(bytes(of), At::new(offset))
}

/// The same, and the end.
fn last(of: &'static str, offset: u64) -> Ev {
    Ev::Data(bytes(of), At::new(offset).end())
}

/// The client's first stream, as both ends name it.
const FIRST: StreamKey = StreamKey::new(StreamId::new(Side::Client, Dir::Bi, 0), 0);

/// A client that has begun a stream with these bytes, and a server that receives in this
/// mode. The stream is `own` there and `peer` here, and both have been told that it began.
fn received(mode: Mode, first: &'static str, finish: bool) -> (World, Log) {
    let log = Log::default();
    let server = Conn::new("server", &log).listening("peer", mode);
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), first, finish);
    let started = log.take_first("peer");
    assert_eq!(started, Some(Ev::Started));
    assert_eq!(log.take_first("own"), Some(Ev::Started));
    let complete = Ev::SendComplete { cancelled: false };
    assert_eq!(log.take_first("own"), Some(complete));
    (world, log)
}
