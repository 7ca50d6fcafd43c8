//! What is lost, doubled and reordered on the way costs time and no byte.

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir, Side, StreamId, StreamKey};
use aqueduct_core::quic::{self, Shutdown, Start, StreamEvent};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

use super::talk::Talk;

/// Bytes of each stream.
const LEN: usize = 60_000;

/// Byte `at` of a stream.
fn byte(stream: StreamId, at: usize) -> u8 {
    (at.wrapping_mul(131) ^ (at >> 8) ^ stream.wire() as usize) as u8
}

/// An application that sends back what it gets, or a client that sends and compares.
#[derive(Default)]
struct App {
    owed: BTreeMap<StreamKey, Vec<Bytes>>,
    ended: BTreeMap<StreamKey, bool>,
    got: BTreeMap<StreamId, usize>,
    over: usize,
}

impl App {
    fn hear(&mut self, talk: &mut Talk, side: Side) {
        for event in super::quic(take(talk, side)) {
            match event {
                quic::Event::Opened(stream) => drop(self.owed.insert(stream, Vec::new())),
                quic::Event::Stream(stream, StreamEvent::Readable) => self.read(talk, side, stream),
                quic::Event::Stream(stream, StreamEvent::Writable) => {
                    self.write(talk, side, stream);
                }
                quic::Event::Stream(_, StreamEvent::Closed(_)) => self.over += 1,
                _ => {}
            }
        }
    }

    fn read(&mut self, talk: &mut Talk, side: Side, stream: StreamKey) {
        let (bytes, state) = talk.read(side, stream);
        let got = self.got.entry(stream.id()).or_default();
        for told in &bytes {
            assert_eq!(*told, byte(stream.id(), *got), "byte {got} of {stream:?}");
            *got += 1;
        }
        if side == Side::Server {
            self.owed.entry(stream).or_default().push(bytes.into());
            self.ended.insert(stream, state == ReadState::Finished);
            self.write(talk, side, stream);
        }
    }

    fn write(&mut self, talk: &mut Talk, side: Side, stream: StreamKey) {
        let Some(owed) = self.owed.get_mut(&stream) else {
            return;
        };
        let taken = talk.act(side, |access| access.write(stream, owed));
        assert!(taken.is_ok() || owed.is_empty(), "{taken:?}");
        owed.retain(|chunk| !chunk.is_empty());
        if owed.is_empty() && self.ended.get(&stream) == Some(&true) {
            self.owed.remove(&stream);
            talk.shutdown(side, stream, Shutdown::Graceful);
        }
    }
}

fn take(talk: &mut Talk, side: Side) -> Vec<Event> {
    let key: ConnKey = match side {
        Side::Client => talk.client,
        Side::Server => talk.server,
    };
    match side {
        Side::Client => talk.pair.client.take(key),
        Side::Server => talk.pair.server.take(key),
    }
}

#[test]
fn an_echo_of_several_streams_is_whole() {
    for seed in 0..6 {
        let mut talk = Talk::with(|options, quic| {
            options.seed = seed;
            options.transport.max_streams_bidi = 3;
            options.record = false;
            quic.client.queued_starts = 8;
        });
        for link in [&mut talk.pair.client.link, &mut talk.pair.server.link] {
            (link.loss, link.duplicates) = (50, 20);
            link.jitter = Duration::from_millis(7);
        }
        let (mut client, mut server) = (App::default(), App::default());
        for _ in 0..5 {
            let stream = talk.act(Side::Client, |it| it.start(Dir::Bi, Start::new()));
            let stream = stream.expect("begins, or waits");
            let all: Vec<u8> = (0..LEN).map(|at| byte(stream.id(), at)).collect();
            client.owed.insert(stream, vec![all.into()]);
            client.ended.insert(stream, true);
            client.write(&mut talk, Side::Client, stream);
        }
        for _ in 0..60_000 {
            client.hear(&mut talk, Side::Client);
            server.hear(&mut talk, Side::Server);
            if client.over == 5 && server.over == 5 {
                break;
            }
            talk.pair.advance(Duration::from_millis(2));
        }
        assert_eq!((client.over, server.over), (5, 5), "SEED={seed}");
        assert!(client.got.values().all(|got| *got == LEN), "SEED={seed}");
        assert_eq!((talk.live(Side::Client), talk.live(Side::Server)), (0, 0));
    }
}
