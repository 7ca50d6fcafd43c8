//! Sessions share a QUIC connection fairly.

use std::collections::BTreeMap;

use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::id::{Dir, Side, StreamId, StreamKey};
use aqueduct_core::testing::pair::Options;
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_tests::model::{Actor, World};
use aqueduct_tests::wt::limits;
use aqueduct_tests_quic::{Quic, Weather};
use bytes::Bytes;

const MIB: usize = 1 << 20;
/// Bytes of each session.
const SIZE: usize = 2 * MIB;

/// Writes what is taken of the rest of a stream.
fn write(world: &mut Quic, stream: StreamKey, sent: &mut usize) {
    world.act(Side::Client, &mut |actor: &mut dyn Actor| {
        while *sent < SIZE {
            let offered = (SIZE - *sent).min(MIB);
            let taken = actor
                .write(stream, Bytes::from(vec![7; offered]))
                .expect("a stream");
            *sent += taken;
            // Less than offered means that a writable event follows.
            if taken < offered {
                return;
            }
        }
        actor.finish(stream);
    });
}

/// Row B23: eight sessions send through windows of 1 MiB over one connection, with
/// room for all of them in QUIC and without. When the first is through, none has
/// less than half of what would be its share.
#[test]
fn eight_sessions() {
    for (loss, room) in [
        (0, 16 * MIB),
        (20, 16 * MIB),
        (0, MIB),
        (20, MIB),
        (0, MIB / 8),
    ] {
        let window = limits(MIB as u64, 10, 10);
        let weather = Weather {
            seed: 7,
            loss,
            duplicates: 0,
            jitter: 0,
        };
        let mut options = Options {
            seed: 7,
            ..Options::default()
        };
        options.transport.receive_window = room as u64;
        options.transport.send_window = room as u64;
        let mut world = Quic::with(options, weather, Some([window, window]));
        let sessions: Vec<_> = (0..8).map(|_| world.session()[0]).collect();
        let mut sending = BTreeMap::new();
        for session in sessions {
            let mut opened = None;
            world.act(Side::Client, &mut |actor| {
                opened = actor.open(session, Dir::Uni).ok();
            });
            sending.insert(opened.expect("credit"), 0);
        }
        for (stream, sent) in &mut sending {
            write(&mut world, *stream, sent);
        }
        let mut arrived: BTreeMap<StreamId, usize> = BTreeMap::new();
        let mut through = None;
        while through.is_none() {
            world.go(1);
            for event in world.events(Side::Client) {
                if let Event::Stream(stream, StreamEvent::Writable) = event {
                    let sent = sending.get_mut(&stream).expect("one of the eight");
                    write(&mut world, stream, sent);
                }
            }
            for event in world.events(Side::Server) {
                let stream = match event {
                    Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream,
                    Event::Stream(stream, StreamEvent::Readable) => stream,
                    _ => continue,
                };
                world.act(Side::Server, &mut |actor| {
                    let got = arrived.entry(stream.id()).or_default();
                    while let Ok((read, _)) = actor.read(stream, usize::MAX) {
                        *got += read.bytes;
                        match read.state {
                            ReadState::Open => {}
                            ReadState::Blocked => return,
                            ReadState::Finished => {
                                through = Some(stream);
                                return;
                            }
                        }
                    }
                });
            }
        }
        let share = arrived.values().sum::<usize>() / 8;
        assert_eq!(arrived.len(), 8, "loss {loss}, room {room}: {arrived:?}");
        let least = arrived.values().min().expect("eight");
        assert!(*least >= share / 2, "loss {loss}, room {room}: {arrived:?}");
    }
}
