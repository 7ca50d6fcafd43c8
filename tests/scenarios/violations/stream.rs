//! Rules whose breach ends one message, and nothing else.

use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::error::ReadError;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::fault::Violation as Rule;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::Side::{Client, Server};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, data, headers, join, status};
use aqueduct_tests::wt::{connect_with, limits, speaking};
use aqueduct_tests::{bidi, config};
use bytes::Bytes;
use http::{Method, StatusCode};

use super::Scenario;
use super::Scope::{Stream, Unheard};
use aqueduct_core::webtransport::dialect::Dialects;

/// A client of ours that has asked, and is answered with these bytes.
fn answered(config: Config, bytes: &[u8]) -> RawPeer {
    let mut peer = RawPeer::greeted(Client, config, &[]);
    let asked = peer.access().request(&aqueduct_tests::get(), End::More);
    asked.expect("a request");
    peer.drive();
    peer.write(bidi(0), bytes);
    peer
}

pub(super) const ALL: &[Scenario] = &[
    (Rule::MessageMalformed, Stream, || {
        answered(Config::default(), &status(101))
    }),
    (Rule::ContentLength, Stream, || {
        let head = headers(&[(":status", "200"), ("content-length", "1")]);
        answered(Config::default(), &join(&[&head, &data(b"xy")]))
    }),
    (Rule::RequestIncomplete, Unheard, || {
        let mut peer = RawPeer::greeted(Server, Config::default(), &[]);
        let id = peer.request(&raw::frame(0x21, b"x"));
        peer.finish(id);
        peer
    }),
    (Rule::ResponseIncomplete, Stream, || {
        let mut peer = answered(Config::default(), &status(103));
        peer.finish(bidi(0));
        peer
    }),
    (Rule::FieldSectionTooLarge, Stream, || {
        let small = config(|c| c.limits.field_section = 100);
        answered(small, &headers(&[(":status", "200"), ("a", ""), ("b", "")]))
    }),
    (Rule::RequirementsNotMet, Unheard, || {
        let newest = speaking(Dialects::SET_B, Some(limits(9, 9, 9)));
        let mut peer = RawPeer::greeted(Server, newest, &[]);
        peer.request(&connect_with("webtransport-h3", &[]));
        peer
    }),
    (Rule::HeadTooSlow, Unheard, || {
        let mut peer = RawPeer::greeted(Server, Config::default(), &[]);
        peer.request(&[0x01]);
        peer.advance(Duration::from_secs(10));
        peer
    }),
    (Rule::SectionTooSlow, Unheard, || {
        let mut peer = RawPeer::greeted(Server, Config::default(), &[]);
        // One insertion is required, and does not come.
        peer.request(&raw::frame(0x01, &[0x02, 0x00, 0x80]));
        peer.advance(Duration::from_secs(10));
        peer
    }),
    (Rule::BodyTooSlow, Stream, || {
        let mut peer = RawPeer::greeted(Server, Config::default(), &[]);
        peer.request(&raw::get());
        let key = peer.take(Server, |event| match event {
            Event::Request { stream, .. } => Ok(stream),
            other => Err(other),
        });
        let mut access = peer.access();
        let mut recv = access.recv(key.expect("a request")).expect("a stream");
        recv.read(1, &mut [Bytes::new()]).expect("nothing yet");
        peer.advance(Duration::from_secs(60));
        peer
    }),
    (Rule::RequestUnanswered, Stream, || {
        let mut peer = RawPeer::greeted(Client, Config::default(), &[]);
        let request = peer.access().request(&aqueduct_tests::get(), End::Fin);
        request.expect("a request");
        peer.drive();
        peer.advance(Duration::from_secs(300));
        peer
    }),
    (Rule::ResponseNotTaken, Stream, || {
        let narrow = Knobs {
            stream_window: 1,
            ..Knobs::default()
        };
        let mut peer = RawPeer::greeted_over(Server, Config::default(), Loopback::new(narrow), &[]);
        peer.request(&raw::get());
        let key = peer.take(Server, |event| match event {
            Event::Request { stream, .. } => Ok(stream),
            other => Err(other),
        });
        peer.reading = false;
        let head = ResponseHead::new(StatusCode::OK);
        let answered = peer
            .access()
            .respond(key.expect("a request"), &head, End::Fin);
        answered.expect("it waits for an answer");
        peer.advance(Duration::from_secs(60));
        peer.reading = true;
        peer.drive();
        peer
    }),
    (Rule::ConnectUnanswered, Stream, || {
        let mut peer = RawPeer::greeted(Client, Config::default(), &[]);
        let uri = "example.com:443".parse().expect("a target");
        let head = RequestHead::new(Method::CONNECT, uri);
        peer.access().request(&head, End::More).expect("a request");
        peer.advance(Duration::from_secs(30));
        peer
    }),
    (Rule::DatagramNotExpected, Stream, || {
        let mut peer = RawPeer::greeted(Server, Config::default(), &[(0x33, 1)]);
        peer.request(&raw::get());
        peer.datagram(&[0x00]);
        peer
    }),
];

/// Who finds the breach by reading is told by the read as well.
#[test]
fn a_read_names_the_rule() {
    let mut peer = RawPeer::greeted(Server, Config::default(), &[]);
    let head = headers(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
        ("content-length", "3"),
    ]);
    let id = peer.request(&join(&[&head, &data(b"x")]));
    let key = expect_event!(peer, Server, Event::Request { stream, .. } => stream);
    peer.finish(id);
    let mut out = [const { Bytes::new() }; 2];
    let mut access = peer.access();
    let mut recv = access.recv(key).expect("a stream");
    let read = recv.read(usize::MAX, &mut out);
    assert_eq!(read, Err(ReadError::Malformed(Rule::ContentLength)));
}
