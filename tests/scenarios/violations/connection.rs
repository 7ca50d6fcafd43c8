//! Rules whose breach closes the connection.

use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::fault::Violation as Rule;
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::settings::{SettingId, Settings};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{
    RawPeer, WEBTRANSPORT, data, frame, get, join, settings, varint,
};
use aqueduct_core::transport::EarlyData;
use aqueduct_core::varint::VarInt;
use aqueduct_tests::config;

use super::Scenario;
use super::Scope::Connection;
use Side::{Client, Server};

/// A peer whose control stream begins with these frames.
fn begun(ours: Side, frames: &[u8]) -> RawPeer {
    let mut peer = RawPeer::new(ours, Config::default());
    peer.control(frames);
    peer
}

/// A peer whose control stream has these frames after SETTINGS.
fn said(ours: Side, frames: &[u8]) -> RawPeer {
    begun(ours, &join(&[&settings(&[]), frames]))
}

/// A peer that has opened a unidirectional stream with these bytes.
fn uni(ours: Side, bytes: &[u8]) -> RawPeer {
    let mut peer = RawPeer::greeted(ours, Config::default(), WEBTRANSPORT);
    peer.uni(bytes);
    peer
}

/// A client that has sent these bytes as a request.
fn request(bytes: &[u8]) -> RawPeer {
    let mut peer = RawPeer::greeted(Server, Config::default(), &[]);
    peer.request(bytes);
    peer
}

fn without_datagrams() -> RawPeer {
    let none = Knobs {
        datagram_size: None,
        ..Knobs::default()
    };
    let net = Loopback::with_ends(Knobs::default(), none);
    let mut peer = RawPeer::over(Client, Config::default(), net);
    peer.control(&settings(&[(0x33, 1)]));
    peer
}

/// A peer that allows our side so many unidirectional streams.
pub(crate) fn stingy(ours: Side, uni_streams: u64) -> RawPeer {
    let few = Knobs {
        uni_streams,
        ..Knobs::default()
    };
    let net = match ours {
        Client => Loopback::with_ends(Knobs::default(), few),
        Server => Loopback::with_ends(few, Knobs::default()),
    };
    RawPeer::over(ours, Config::default(), net)
}

/// A server that has taken early data by the first of these and says the second.
fn resumed(remembered: (SettingId, u32), now: (u64, u64)) -> RawPeer {
    let mut before = Settings::new();
    let (id, value) = remembered;
    before.set(id, VarInt::from_u32(value)).expect("a setting");
    let early = Knobs {
        early: EarlyData::Accepted,
        remembered: Some(before),
        ..Knobs::default()
    };
    let mut peer = RawPeer::over(Client, Config::default(), Loopback::new(early));
    peer.control(&settings(&[now]));
    peer
}

pub(super) const ALL: &[Scenario] = &[
    (Rule::MissingSettings, Connection, || {
        begun(Server, &frame(0x07, &[0]))
    }),
    (Rule::SettingsInvalid, Connection, || {
        begun(Server, &settings(&[(0x02, 0)]))
    }),
    (Rule::SettingsMalformed, Connection, || {
        begun(Server, &frame(0x04, &[0x06]))
    }),
    (Rule::SettingsTooMany, Connection, || {
        let one = config(|c| c.limits.settings = 1);
        RawPeer::greeted(Server, one, &[(0x06, 1000), (0x99, 1)])
    }),
    (
        Rule::DatagramWithoutTransport,
        Connection,
        without_datagrams,
    ),
    (Rule::SettingsReduced, Connection, || {
        resumed((SettingId::MAX_FIELD_SECTION_SIZE, 1000), (0x06, 999))
    }),
    (Rule::SettingsTable, Connection, || {
        resumed((SettingId::QPACK_MAX_TABLE_CAPACITY, 100), (0x01, 101))
    }),
    (Rule::StreamTwice, Connection, || uni(Server, &[0x00])),
    (Rule::PushStreamFromClient, Connection, || {
        uni(Server, &[0x01])
    }),
    (Rule::PushNotAllowed, Connection, || uni(Client, &[0x01, 0])),
    (Rule::ServerBidi, Connection, || {
        let mut peer = RawPeer::greeted(Client, Config::default(), WEBTRANSPORT);
        peer.request(&get());
        peer
    }),
    (Rule::CriticalStreamClosed, Connection, || {
        let mut peer = RawPeer::greeted(Server, Config::default(), &[]);
        peer.finish(StreamId::new(Client, Dir::Uni, 0));
        peer
    }),
    (Rule::FrameUnexpected, Connection, || request(&data(b"x"))),
    (Rule::FrameMalformed, Connection, || {
        said(Server, &frame(0x07, &[0, 0]))
    }),
    (Rule::FrameTruncated, Connection, || {
        let mut peer = RawPeer::greeted(Server, Config::default(), &[]);
        let id = peer.request(&get()[..5]);
        peer.finish(id);
        peer
    }),
    (Rule::FrameTooLarge, Connection, || {
        said(Server, &join(&[&varint(0xf0700), &varint(4 * 1024 + 1)]))
    }),
    (Rule::SignalNotFirst, Connection, || {
        request(&join(&[&get(), &[0x40, 0x41, 0x00]]))
    }),
    (Rule::GoawayGrew, Connection, || {
        said(Client, &join(&[&frame(0x07, &[0]), &frame(0x07, &[4])]))
    }),
    (Rule::GoawayNotRequest, Connection, || {
        said(Client, &frame(0x07, &[1]))
    }),
    (Rule::PriorityNotRequest, Connection, || {
        said(Server, &frame(0xf0700, b"\x01u=1"))
    }),
    (Rule::PriorityPush, Connection, || {
        said(Server, &frame(0xf0701, b"\x00u=1"))
    }),
    (Rule::PriorityMalformed, Connection, || {
        said(Server, &frame(0xf0700, b"\x00u="))
    }),
    (Rule::MaxPushIdShrank, Connection, || {
        said(Server, &join(&[&frame(0x0d, &[5]), &frame(0x0d, &[4])]))
    }),
    (Rule::SessionIdInvalid, Connection, || {
        uni(Server, &[0x40, 0x54, 0x01])
    }),
    (Rule::DatagramMalformed, Connection, || {
        let mut peer = RawPeer::greeted(Server, Config::default(), WEBTRANSPORT);
        peer.datagram(&[0x40]);
        peer
    }),
    // Static entry 190 of 99.
    (Rule::QpackDecompression, Connection, || {
        request(&frame(0x01, &[0, 0, 0xff, 0x7f]))
    }),
    // A capacity above the one we announced.
    (Rule::QpackEncoderStream, Connection, || {
        uni(Server, &[0x02, 0x3f, 0xff, 0xff, 0x7f])
    }),
    // An increment of nothing.
    (Rule::QpackDecoderStream, Connection, || {
        uni(Server, &[0x03, 0x00])
    }),
    (Rule::NoSettings, Connection, || {
        let mut peer = RawPeer::new(Client, Config::default());
        peer.advance(Duration::from_secs(10));
        peer
    }),
    (Rule::TooFewStreams, Connection, || {
        let mut peer = stingy(Client, 2);
        peer.control(&settings(&[]));
        peer.advance(Duration::from_secs(10));
        peer
    }),
    (Rule::Nuisance, Connection, || {
        let strict = config(|c| c.limits.nuisance = 0);
        let mut peer = RawPeer::greeted(Server, strict, &[]);
        peer.uni(&[0x21]);
        peer
    }),
];
