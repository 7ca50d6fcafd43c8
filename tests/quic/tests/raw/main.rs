//! Raw QUIC, a protocol of one's own on streams and datagrams, on virtual time.

mod addresses;
mod after_close;
mod alpn;
mod available;
mod before_accept;
mod caps;
mod closes;
mod commands;
mod confirm;
mod credit;
mod crowd;
mod datagrams;
mod drain;
mod early;
mod early_data;
mod endpoint_wide;
mod handed_over;
mod identities;
mod keys;
mod limits;
mod lossy;
mod options;
mod pulled;
mod recorded;
mod shutdowns;
mod starts;
mod stats;
mod streams;
mod talk;
mod tickets;
mod unread;
mod untaken;
mod verify;

use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, StreamKey};
use aqueduct_core::quic;
use aqueduct_core::testing::pair::{Options, Pair, Quic};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

/// Before the first test: all of them are replayed when they end.
#[ctor::ctor(unsafe)]
fn replay_all() {
    aqueduct_tests::replayed::replay_all();
}

/// Both ends speak `chat`, the server HTTP/3 as well.
fn chat() -> Options {
    Options {
        quic: Some(Quic::default()),
        ..Options::default()
    }
}

/// The events of raw QUIC among these, but for sizes of datagrams, which follow the path.
fn quic(events: Vec<Event>) -> Vec<quic::Event> {
    let of_quic = |event| match event {
        Event::Quic(quic::Event::DatagramState(_)) => None,
        Event::Quic(event) => Some(event),
        _ => None,
    };
    events.into_iter().filter_map(of_quic).collect()
}

/// The streams that the peer opened, by these events.
fn opened(events: &[quic::Event]) -> Vec<StreamKey> {
    let of_opened = |event: &quic::Event| match event {
        quic::Event::Opened(stream) => Some(*stream),
        _ => None,
    };
    events.iter().filter_map(of_opened).collect()
}

/// Which end a connection is at.
#[derive(Clone, Copy, Debug)]
enum At {
    Client(ConnKey),
    Server(ConnKey),
}

/// All that can be read of a stream, and how that ended.
fn read(pair: &mut Pair, at: At, stream: StreamKey) -> (Vec<u8>, ReadState) {
    let mut connection = match at {
        At::Client(key) => pair.client_quic(key),
        At::Server(key) => pair.server_quic(key),
    };
    let mut access = connection.access();
    let (mut all, mut out) = (Vec::new(), [const { Bytes::new() }; 4]);
    loop {
        let read = access.read(stream, usize::MAX, &mut out).expect("reads");
        for chunk in out.iter().take(read.chunks) {
            all.extend_from_slice(chunk);
        }
        if read.state != ReadState::Open {
            return (all, read.state);
        }
    }
}
