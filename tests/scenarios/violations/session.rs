//! Rules of capsules and sessions, whose breach ends one session, and nothing else.

use aqueduct_core::capsule::{CapsuleError, CapsuleType, Reader};
use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::fault::Violation as Rule;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Side, StreamId};
use aqueduct_core::testing::raw::{
    RawPeer, WEBTRANSPORT, connect, data, frame, headers, join, status, varint,
};
use aqueduct_core::webtransport::ConnectRequest;
use aqueduct_tests::wt::{
    CLOSE_SESSION, DRAIN_SESSION, MAX_DATA, admit, limited, limits, send_capsule,
};
use aqueduct_tests::{assert_refused, bidi};
use bytes::Bytes;

use super::Scenario;
use super::Scope::{Session, Unheard};

/// A session of our server that has heard these capsules.
fn heard(capsules: &[u8]) -> (RawPeer, StreamId) {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), WEBTRANSPORT);
    let (id, _) = admit(&mut peer, &connect());
    peer.write(id, &data(capsules));
    (peer, id)
}

pub(super) const ALL: &[Scenario] = &[
    (Rule::CapsuleMalformed, Session, || {
        heard(&frame(DRAIN_SESSION, &[0])).0
    }),
    (Rule::CapsuleTruncated, Session, || {
        let (mut peer, id) = heard(&varint(CLOSE_SESSION));
        peer.finish(id);
        peer
    }),
    (Rule::DataAfterClose, Unheard, || {
        heard(&join(&[&frame(CLOSE_SESSION, &[0; 4]), b"x"])).0
    }),
    (Rule::CloseReasonInvalid, Session, || {
        heard(&frame(CLOSE_SESSION, &[0, 0, 0, 0, 0xff])).0
    }),
    (Rule::CapsuleProhibited, Session, || {
        heard(&frame(0x190b_4d3e, &[0, 0])).0
    }),
    (Rule::ProtocolNotOffered, Session, || {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), WEBTRANSPORT);
        let mut request = ConnectRequest::new(http::Uri::from_static("https://example.com/"));
        request.protocol_required = true;
        peer.access().open_session(&request).expect("asks");
        peer.drive();
        peer.write(bidi(0), &status(200));
        peer
    }),
    (Rule::FlowControl, Session, || {
        let (mut peer, id, _) = limited(limits(10, 2, 3), limits(20, 4, 5));
        send_capsule(&mut peer, id, MAX_DATA, 19);
        peer
    }),
];

/// The rule of who reads capsules without a session.
pub(super) const OF_AN_APPLICATION: Rule = Rule::CapsuleTooLarge;

/// A server's application reads capsules by itself, and resets its stream with the code
/// of what it found.
#[test]
fn a_capsule_too_large_for_an_application() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), WEBTRANSPORT);
    let id = peer.request(&headers(&[
        (":method", "CONNECT"),
        (":protocol", "of-our-own"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ]));
    let key = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    let ok = ResponseHead::new(http::StatusCode::OK);
    peer.access().respond(key, &ok, End::More).expect("answers");
    peer.write(id, &data(&join(&[&varint(9), &varint(31)])));

    let mut access = peer.access();
    let mut out = [const { Bytes::new() }; 1];
    let read = access.recv(key).expect("a stream").read(100, &mut out);
    read.expect("content");
    let error = Reader::with_max_len(30).read(&mut out[0]);
    let error = error.expect_err("31 bytes");
    assert_eq!(error, CapsuleError::TooLarge(CapsuleType(9)));
    assert_eq!(Rule::from(error), OF_AN_APPLICATION);
    let code = error.code();
    assert_eq!(code, OF_AN_APPLICATION.code());
    access
        .send(key)
        .expect("a stream")
        .reset(code.value())
        .expect("resets");
    peer.drive();
    assert_refused(&peer, id, Code::H3_EXCESSIVE_LOAD, "31 bytes");
}
