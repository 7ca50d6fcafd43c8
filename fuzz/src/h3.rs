//! One real connection over the loopback transport, against a peer that the
//! input steers: streams, chunks, resets, stops, ends, datagrams, time.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::transport::Transport;
use bytes::Bytes;

use crate::application::Application;
use crate::input::Input;

/// More steps show nothing that fewer would not.
const MAX_STEPS: usize = 300;
/// Every stream that flow control lets exist, both initiators and directions.
const MAX_STREAMS: usize = 4 * 100;

/// Runs the connection of `ours` as the input says, then winds it down.
pub fn run(ours: Side, data: &[u8]) {
    let mut input = Input::new(data);
    let seed = input.byte();
    let knobs = if seed < 128 {
        Knobs::default()
    } else {
        Knobs::adversarial(u64::from(seed))
    };
    let choice = input.byte();
    aqueduct_tests::replayed::replay_all();
    let mut run = Run {
        ours,
        peer: RawPeer::over(ours, config(choice), Loopback::new(knobs)),
        app: Application::new(choice & 1 == 0),
        streams: Vec::new(),
        unis: 0,
    };
    if choice & 2 == 0 {
        run.open(
            Dir::Uni,
            &raw::join(&[&[0x00], &raw::settings(raw::WEBTRANSPORT)]),
        );
    }
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        run.step(&mut input);
    }
    run.wind_down();
}

/// The configuration that an input chooses.
pub(crate) fn config_of(data: &[u8]) -> Config {
    config(data.get(1).copied().unwrap_or_default())
}

/// The default configuration, or one with every cap low.
fn config(choice: u8) -> Config {
    let mut config = Config::default();
    config.datagrams = choice & 4 == 0;
    config.webtransport.enabled = choice & 8 == 0;
    config.webtransport.strict_draining = choice & 16 != 0;
    if choice & 32 != 0 {
        let limits = &mut config.limits;
        limits.field_section = 300;
        limits.frame_payload = 16;
        limits.sessions = 1;
        limits.early_streams = 2;
        limits.early_datagrams = 2;
        limits.datagrams = 2;
        limits.datagram_capsule = 32;
        limits.early_priorities = 2;
        limits.qpack_table = 200;
        limits.qpack_blocked_streams = 2;
        limits.field_section_encoded = 300;
        limits.head_bytes = 16 * 1024;
        limits.all_datagram_bytes = 4 * 1024;
        limits.early_datagram_bytes = 1024;
        limits.nuisance = 20;
    }
    config
}

struct Run {
    ours: Side,
    peer: RawPeer,
    app: Application,
    /// Streams the peer writes on, resets and stops.
    streams: Vec<StreamId>,
    /// Unidirectional streams the peer has opened.
    unis: usize,
}

impl Run {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0 => {
                let start: &[u8] = [
                    &[0x00][..],
                    &[0x02],
                    &[0x03],
                    &[0x40, 0x54, 0x00],
                    &[0x40, 0x54, 0x04],
                    &[0x01],
                    &[],
                ][input.below(7)];
                self.open(Dir::Uni, &raw::join(&[start, input.chunk()]));
            }
            1 | 2 => {
                let start = match input.below(6) {
                    0 => raw::get(),
                    1 | 2 => raw::connect(),
                    3 => vec![0x40, 0x41, 0x00],
                    4 => vec![0x40, 0x41, 0x04],
                    _ => Vec::new(),
                };
                self.open(Dir::Bi, &raw::join(&[&start, input.chunk()]));
            }
            3 | 4 => {
                let at = input.byte();
                self.write(at, input.chunk());
            }
            5 | 6 => {
                let at = input.byte();
                let message = message(input);
                self.write(at, &message);
            }
            7 => self.with_stream(input, |end, id, _| end.finish(id)),
            8 => self.with_stream(input, |end, id, code| end.reset(id, code, &[])),
            9 => self.with_stream(input, |end, id, code| end.stop(id, code)),
            10 => {
                let datagram = Bytes::copy_from_slice(input.chunk());
                let _ = self.peer.end().send_datagram(datagram);
            }
            11 => self
                .peer
                .advance(Duration::from_millis(u64::from(input.byte()) * 50)),
            12 if input.byte() == 0 => self.peer.end().close(0x100, "bye".into()),
            _ => self.act(input),
        }
        self.settle();
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let now = self.peer.now();
        self.app.act(input, now, &mut self.peer.access());
    }

    /// Lets everything happen that follows, and looks at it.
    fn settle(&mut self) {
        loop {
            let events = self.peer.events();
            if events.is_empty() {
                break;
            }
            for event in events {
                self.app.hear(&event, &mut self.peer.access());
                if let Event::Closed(why) = event {
                    self.check_close(&why);
                }
            }
        }
        let theirs = self
            .peer
            .streams()
            .map(|(id, _)| id)
            .filter(|id| id.dir() == Dir::Bi);
        let known = self.streams.clone();
        self.streams.extend(theirs.filter(|id| !known.contains(id)));
        assert!(
            self.peer.connection().live_streams() <= MAX_STREAMS,
            "a table grows"
        );
        assert_eq!(
            self.peer.connection().is_closed(),
            self.app.ledger.is_closed()
        );
    }

    /// What the application is told is what the wire says.
    fn check_close(&self, why: &CloseReason) {
        match why {
            CloseReason::PeerMisbehaved { code, why } => {
                assert_eq!(*code, why.code());
                assert_ne!(*code, Code::H3_NO_ERROR);
                let heard = self.peer.closed();
                assert!(
                    heard.is_none_or(|heard| heard == *code),
                    "{heard:?}, told {code:?}"
                );
            }
            CloseReason::Drained | CloseReason::PeerDrained => {
                assert!(
                    self.peer
                        .closed()
                        .is_none_or(|code| code == Code::H3_NO_ERROR)
                );
            }
            _ => {}
        }
    }

    fn open(&mut self, dir: Dir, bytes: &[u8]) {
        let Some(id) = self.peer.end().open(dir) else {
            return;
        };
        self.unis += usize::from(dir == Dir::Uni);
        self.streams.push(id);
        self.write_on(id, bytes);
    }

    fn write(&mut self, at: u8, bytes: &[u8]) {
        let at = usize::from(at) % self.streams.len().max(1);
        if let Some(id) = self.streams.get(at) {
            self.write_on(*id, bytes);
        }
    }

    fn write_on(&mut self, id: StreamId, bytes: &[u8]) {
        let mut chunks = [Bytes::copy_from_slice(bytes)];
        while let Ok(taken) = self.peer.end().write(id, &mut chunks) {
            self.peer.drive();
            if taken == 0 || chunks[0].is_empty() {
                break;
            }
        }
    }

    fn with_stream(
        &mut self,
        input: &mut Input<'_>,
        work: impl FnOnce(&mut aqueduct_core::testing::loopback::End, StreamId, u64),
    ) {
        let at = input.below(self.streams.len().max(1));
        let code = [0x100, 0x10c, 0x52e4_a40f_a8db, 0x3994_bd84, 0x170d_7b68, 7][input.below(6)];
        if let Some(id) = self.streams.get(at) {
            work(self.peer.end(), *id, code);
        }
    }

    /// Both sides end all they began. What is left then are unidirectional
    /// streams, and the connection can drain.
    fn wind_down(mut self) {
        self.app.calm();
        self.app.wind_down(&mut self.peer.access());
        self.settle();
        for id in std::mem::take(&mut self.streams) {
            if id.dir() == Dir::Bi {
                self.peer.end().reset(id, 0x10c, &[]);
                self.peer.end().stop(id, 0x10c);
            }
        }
        self.peer.advance(Duration::from_secs(60));
        self.settle();
        if !self.app.ledger.is_closed() {
            let ours = self.peer.streams().map(|(id, _)| id);
            let ours = ours.filter(|id| id.dir() == Dir::Uni && id.initiator() == self.ours);
            let most = self.unis + ours.count();
            let live = self.peer.connection().live_streams();
            assert!(
                live <= most,
                "{live} streams left of {most}: {}",
                self.peer.story()
            );
        }
        let until = self.peer.now() + Duration::from_secs(1);
        self.peer.access().drain(until);
        self.peer.advance(Duration::from_secs(2));
        self.settle();
        assert!(
            self.app.ledger.is_closed(),
            "drained, and open: {}",
            self.peer.story()
        );
        assert!(self.peer.connection().poll_timeout().is_none());

        // A closed connection is silent, whatever is done with it.
        let mut rest = Input::new(b"\0\0\x01\0\x02\0\x02\x01\x07\0\x11\0\x13\0");
        while !rest.is_empty() {
            self.act(&mut rest);
        }
        assert!(self.peer.events().is_empty());
    }
}

/// Well-formed bytes for the middle of a stream, so that states behind them are
/// reached soon.
fn message(input: &mut Input<'_>) -> Vec<u8> {
    match input.below(16) {
        0 => raw::status(200),
        1 => raw::status(103),
        2 => raw::data(input.chunk()),
        3 => raw::headers(&[("x-trailer", "end")]),
        4 => raw::data(&raw::frame(
            0x2843,
            &raw::join(&[&[0, 0, 0, 17], input.chunk()]),
        )),
        5 => raw::data(&raw::frame(0x78ae, &[])),
        6 => raw::data(&raw::frame(0x00, input.chunk())),
        7 => raw::frame(0x07, &raw::varint(u64::from(input.byte()))),
        8 => raw::frame(
            0xf0700,
            &raw::join(&[&raw::varint(input.byte().into()), b"u=1, i"]),
        ),
        9 => raw::frame(0x21, input.chunk()),
        10 => raw::settings(raw::WEBTRANSPORT),
        11 => raw::frame(0x0d, &raw::varint(input.number())),
        12 => raw::frame(0x01, input.chunk()),
        // Capacity 220, then what RFC 9204 B.2 inserts and refers to.
        13 => b"\x3f\xbd\x01\xc0\x0fwww.example.com\xc1\x0c/sample/path".to_vec(),
        14 => raw::frame(0x01, b"\x03\x81\xd1\xd7\x10\x11"),
        _ => raw::data(&raw::frame(0x190b_4d3d, &raw::varint(input.number()))),
    }
}
