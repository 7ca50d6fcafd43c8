//! What a peer may send and we do not know is skipped, whatever its pieces.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, data, frame, headers, join, settings};
use aqueduct_core::transport::{ReadState, Transport};

/// A request with unknown and reserved frames wherever they may stand.
fn request() -> Vec<u8> {
    join(&[
        &frame(0x21, b"before"),
        &raw::get(),
        &frame(0x40, b""),
        &data(b"hel"),
        &frame(0x1234_5678_9abc, &[0; 300]),
        &data(b"lo"),
        &headers(&[("x-checksum", "1")]),
        &frame(0x5f, b"after"),
    ])
}

/// Row A5: events are the same for the whole request at once and for each split
/// into two pieces, and byte by byte.
#[test]
fn split_requests_give_the_same_events() {
    let bytes = request();
    let tell = |pieces: &[&[u8]]| {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        peer.events();
        let id = peer.request(b"");
        for piece in pieces {
            peer.write(id, piece);
        }
        peer.finish(id);
        let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
        let mut all: Vec<u8> = Vec::new();
        let mut out = [const { bytes::Bytes::new() }; 4];
        loop {
            let mut access = peer.access();
            let mut recv = access.recv(stream).expect("a stream to read");
            let read = recv.read(usize::MAX, &mut out).expect("content");
            all.extend(out.iter().take(read.chunks).flatten());
            if read.state == ReadState::Finished {
                break;
            }
        }
        assert_eq!(all, b"hello");
        assert_eq!(peer.closed(), None);
        expect_event!(
            peer, Side::Server, Event::Trailers { trailers, .. } => format!("{trailers:?}")
        )
    };
    let whole = tell(&[&bytes]);
    for at in 1..bytes.len() {
        assert_eq!(tell(&[&bytes[..at], &bytes[at..]]), whole, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(tell(&single), whole, "byte by byte");
}

/// Row A5: unknown settings, frames on the control stream, and whole streams.
#[test]
fn the_connection_goes_on() {
    for side in [Side::Client, Side::Server] {
        let knobs = Knobs {
            max_chunk: 1,
            ..Knobs::default()
        };
        let mut peer = RawPeer::over(side, Config::default(), Loopback::new(knobs));
        let control = peer.control(&settings(&[(0x21, 1), (0x0bad_cafe, 2)]));
        peer.write(control, &frame(0x21, &[7; 100]));
        peer.write(control, &frame(0xf123, b"unknown"));
        for ty in [vec![0x21], vec![0x40, 0x7e], vec![0x80, 0, 0x77, 0x77]] {
            let id = peer.end().open(Dir::Uni).expect("credit");
            peer.write(id, &ty);
            let stop = peer.seen(id).stop;
            assert!(
                stop.is_none_or(|c| c == Code::H3_STREAM_CREATION_ERROR),
                "{stop:?}"
            );
            peer.write(id, b"whatever follows");
        }
        assert_eq!(peer.closed(), None, "{}", peer.story());
        assert_eq!(peer.access().stats().unknown_streams, 3);
        assert_eq!(peer.access().stats().unknown_frames, 2);
    }
}
