//! Nothing waits for ever for a peer: what it begins and does not go on with ends in
//! time, whatever else it sends.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::fault::Violation;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Side, StreamId, StreamKey};
use aqueduct_core::stats::Stats;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, data, frame};
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::{ConnectRequest, SessionClose, SessionEvent};
use bytes::Bytes;
use http::StatusCode;

const SECOND: Duration = Duration::from_secs(1);
/// Just before the end of a wait.
const ALMOST: Duration = Duration::from_millis(999);
const MOMENT: Duration = Duration::from_millis(1);

fn server() -> RawPeer {
    RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT)
}

fn reset(peer: &RawPeer, id: StreamId) -> Option<Code> {
    peer.seen(id).reset
}

fn stats(peer: &mut RawPeer) -> Stats {
    peer.access().stats()
}

fn request(peer: &mut RawPeer, head: &[u8]) -> (StreamId, StreamKey) {
    let id = peer.request(head);
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    (id, stream)
}

/// What the application is told when a stream ends for this.
fn told(peer: &mut RawPeer, why: Violation) -> StreamKey {
    expect_event!(
        peer, peer.connection().side(),
        Event::Stream(stream, StreamEvent::Malformed(what)) if what == why => stream
    )
}

/// A byte now and then of a head, and of a stream's type.
#[test]
fn a_head_has_ten_seconds() {
    let mut peer = server();
    peer.events();
    let id = peer.request(&raw::get()[..3]);
    let unknown = peer.request(&[0x40]);
    for byte in &raw::get()[3..12] {
        peer.advance(SECOND);
        peer.write(id, &[*byte]);
    }
    peer.advance(ALMOST);
    assert_eq!((reset(&peer, id), reset(&peer, unknown)), (None, None));
    peer.advance(MOMENT);
    let rejected = Some(Code::H3_REQUEST_REJECTED);
    assert_eq!(
        (reset(&peer, id), reset(&peer, unknown)),
        (rejected, rejected)
    );
    assert_eq!(stats(&mut peer).heads_timed_out, 2);
    assert_eq!(peer.events(), [], "nobody knew of it");
    assert_eq!(peer.access().live_streams(), 1, "the control stream");
}

/// Many share a thin line: a head has longer while the messages of all of them come at
/// 240 bytes a second, together, and a minute at most.
#[test]
fn heads_that_come_together_have_a_minute() {
    for (bytes, in_time) in [(2_400, true), (2_399, false)] {
        let mut peer = server();
        let (other, stream) = request(&mut peer, &raw::post());
        peer.access().set_paced(stream, false);
        let id = peer.request(&raw::get()[..3]);
        for window in 1..=6 {
            assert_eq!(reset(&peer, id), None, "{bytes} {window}");
            peer.write(other, &data(&vec![7; bytes - 3]));
            while !read(&mut peer, stream) {}
            peer.advance(9 * SECOND + ALMOST);
            assert_eq!(reset(&peer, id), None, "{bytes} {window}");
            peer.advance(MOMENT);
            let late = !in_time || window == 6;
            assert_eq!(
                stats(&mut peer).heads_timed_out,
                u64::from(late),
                "{bytes} {window}"
            );
            if late {
                break;
            }
        }
        assert_eq!(reset(&peer, id), Some(Code::H3_REQUEST_REJECTED));
    }
}

/// The rest of a request has time after its head.
#[test]
fn a_head_that_came_is_not_waited_for() {
    let mut peer = server();
    let id = peer.request(&raw::get()[..3]);
    peer.advance(9 * SECOND);
    peer.write(id, &raw::get()[3..]);
    peer.advance(3_600 * SECOND);
    assert_eq!(reset(&peer, id), None);
    assert_eq!(stats(&mut peer).heads_timed_out, 0);
}

/// A session that waits for SETTINGS which never come.
#[test]
fn settings_that_a_session_needs_have_ten_seconds() {
    let mut peer = RawPeer::new(Side::Server, Config::default());
    let id = peer.request(&raw::connect());
    peer.advance(9 * SECOND + ALMOST);
    assert_eq!(reset(&peer, id), None);
    peer.advance(MOMENT);
    assert_eq!(reset(&peer, id), Some(Code::H3_REQUEST_REJECTED));
    assert_eq!(stats(&mut peer).heads_timed_out, 1);
}

#[test]
fn a_section_that_waits_for_insertions_has_ten_seconds() {
    let mut peer = server();
    peer.uni(&[0x02]);
    // Required Insert Count 1, and the entry that is not there.
    let id = peer.request(&frame(0x01, &[0x02, 0x00, 0x80]));
    peer.advance(9 * SECOND + ALMOST);
    assert_eq!(reset(&peer, id), None);
    peer.advance(MOMENT);
    assert_eq!(reset(&peer, id), Some(Code::H3_REQUEST_CANCELLED));
    assert_eq!(stats(&mut peer).sections_timed_out, 1);
}

/// Reads what there is; whether the application waits for more then.
fn read(peer: &mut RawPeer, stream: StreamKey) -> bool {
    let mut out = [const { Bytes::new() }; 8];
    let mut access = peer.access();
    let read = access
        .recv(stream)
        .expect("a stream")
        .read(usize::MAX, &mut out);
    read.expect("content").state == ReadState::Blocked
}

/// 240 bytes a second, over a minute from when they are awaited.
#[test]
fn awaited_content_keeps_a_pace() {
    let mut peer = server();
    let (id, stream) = request(&mut peer, &raw::post());
    peer.advance(3_600 * SECOND);
    assert!(read(&mut peer, stream), "not awaited before");
    for bytes in [14_400, 14_399] {
        assert_eq!(reset(&peer, id), None);
        for _ in 0..59 {
            peer.advance(SECOND);
        }
        peer.write(id, &data(&vec![7; bytes - 3]));
        while !read(&mut peer, stream) {}
        // Only a read that finds nothing waits.
        assert!(read(&mut peer, stream));
        peer.advance(SECOND);
    }
    assert_eq!(told(&mut peer, Violation::BodyTooSlow), stream);
    assert_eq!(reset(&peer, id), Some(Code::H3_REQUEST_CANCELLED));
    assert_eq!(stats(&mut peer).bodies_timed_out, 1);
}

/// Who stops a request waits for none of it, however long the answer takes.
#[test]
fn content_that_is_not_wanted_is_not_waited_for() {
    let mut peer = server();
    let (id, stream) = request(&mut peer, &raw::post());
    assert!(read(&mut peer, stream), "nothing has come");
    let mut access = peer.access();
    let mut recv = access.recv(stream).expect("a stream");
    recv.stop(Code::H3_NO_ERROR.value()).expect("is open");
    peer.advance(300 * SECOND);
    assert_eq!(reset(&peer, id), None);
    assert_eq!(stats(&mut peer).bodies_timed_out, 0);
    let ok = ResponseHead::new(StatusCode::OK);
    let answered = peer.access().respond(stream, &ok, End::Fin);
    answered.expect("it waits for an answer");
}

/// Who does not ask for content does not blame its sender.
#[test]
fn content_that_waits_for_the_application_is_in_time() {
    let mut peer = server();
    let (id, stream) = request(&mut peer, &raw::post());
    assert!(read(&mut peer, stream));
    peer.write(id, &data(b"slow"));
    peer.advance(3_600 * SECOND);
    assert_eq!(reset(&peer, id), None);
    assert!(read(&mut peer, stream));
    peer.advance(3_600 * SECOND);
    assert_eq!(reset(&peer, id), None);
    assert!(read(&mut peer, stream));
    peer.advance(60 * SECOND);
    assert_eq!(told(&mut peer, Violation::BodyTooSlow), stream);
}

/// A server whose peer gives it credit for few bytes.
fn unread(stream_window: u64) -> (RawPeer, StreamId, StreamKey) {
    let knobs = Knobs {
        stream_window,
        ..Knobs::default()
    };
    let mut peer =
        RawPeer::greeted_over(Side::Server, Config::default(), Loopback::new(knobs), &[]);
    peer.reading = false;
    let (id, stream) = request(&mut peer, &raw::get());
    (peer, id, stream)
}

#[test]
fn a_response_that_nobody_reads_is_given_up() {
    for whole in [false, true] {
        let (mut peer, id, stream) = unread(100);
        let head = ResponseHead::new(StatusCode::OK);
        peer.access()
            .respond(stream, &head, End::More)
            .expect("a request");
        let mut access = peer.access();
        let mut send = access.send(stream).expect("a stream");
        send.write(&mut [Bytes::from(vec![7; 1_000])])
            .expect("takes some");
        if whole {
            send.finish().expect("ends");
        }
        peer.advance(59 * SECOND + ALMOST);
        assert_eq!(reset(&peer, id), None);
        peer.advance(MOMENT);
        peer.reading = true;
        assert_eq!(told(&mut peer, Violation::ResponseNotTaken), stream);
        assert_eq!(reset(&peer, id), Some(Code::H3_REQUEST_CANCELLED));
        assert_eq!(stats(&mut peer).responses_timed_out, 1);
    }
}

/// What is on its way may arrive at 240 bytes a second.
#[test]
fn a_whole_response_has_time_to_arrive() {
    for (left, late) in [(MOMENT, 0), (Duration::ZERO, 1)] {
        let (mut peer, _, stream) = unread(100_000);
        let head = ResponseHead::new(StatusCode::OK);
        let mut access = peer.access();
        access.respond(stream, &head, End::More).expect("a request");
        let mut send = access.send(stream).expect("a stream");
        // With its head, 239 seconds' worth and a little. Nothing of it arrives in time.
        send.write(&mut [Bytes::from(vec![7; 57_390])])
            .expect("takes all");
        send.finish().expect("ends");
        peer.advance((60 + 239) * SECOND - left);
        assert_eq!(stats(&mut peer).responses_timed_out, late);
    }
}

/// A response that its application is slow with waits for nobody.
#[test]
fn a_response_that_is_not_written_is_not_waited_for() {
    let mut peer = server();
    let (id, stream) = request(&mut peer, &raw::get());
    let head = ResponseHead::new(StatusCode::OK);
    peer.access()
        .respond(stream, &head, End::More)
        .expect("a request");
    peer.drive();
    peer.advance(3_600 * SECOND);
    assert_eq!(reset(&peer, id), None);
}

#[test]
fn connect_is_answered_in_thirty_seconds() {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
    let request = ConnectRequest::new("https://example.com/wt".parse().expect("an address"));
    let session = peer.access().open_session(&request).expect("may be opened");
    peer.drive();
    let id = session.id();
    // An interim response is no answer.
    peer.write(id, &raw::status(103));
    peer.advance(29 * SECOND + ALMOST);
    assert_eq!(reset(&peer, id), None);
    peer.advance(MOMENT);
    let close = expect_event!(
        peer, Side::Client, Event::WebTransport(_, SessionEvent::Closed(close)) => close
    );
    let why = Violation::ConnectUnanswered;
    let code = why.code();
    assert_eq!(*close, SessionClose::PeerMisbehaved { code, why });
    assert_eq!(reset(&peer, id), Some(Code::H3_REQUEST_CANCELLED));
    assert_eq!(stats(&mut peer).connects_timed_out, 1);
}

/// Pings and what goes on on the control stream are no reason to keep a connection.
#[test]
fn a_connection_without_requests_ends_after_five_minutes() {
    let mut peer = RawPeer::new(Side::Server, Config::default());
    let control = peer.control(&raw::settings(&[]));
    peer.advance(290 * SECOND);
    let (id, stream) = request(&mut peer, &raw::get());
    peer.advance(3_600 * SECOND);
    let head = ResponseHead::new(StatusCode::OK);
    peer.access()
        .respond(stream, &head, End::Fin)
        .expect("a request");
    peer.access()
        .recv(stream)
        .expect("a stream")
        .stop(0x100)
        .expect("open");
    peer.drive();
    for _ in 0..299 {
        peer.advance(SECOND);
        peer.write(control, &frame(0x21, b""));
    }
    peer.advance(ALMOST);
    assert_eq!(peer.closed(), None, "{id}");
    assert!(!stats(&mut peer).idled_out);
    peer.advance(MOMENT);
    assert!(stats(&mut peer).idled_out);
    // It was told, and could close when it has read all it has: not for ever.
    peer.advance(29 * SECOND + ALMOST);
    assert_eq!(peer.closed(), None);
    peer.advance(MOMENT);
    assert_eq!(peer.closed(), Some(Code::H3_NO_ERROR));
}

#[test]
fn a_connection_with_one_request_left_is_not_idle() {
    let mut peer = server();
    let [one, _two] = [0, 1].map(|_| request(&mut peer, &raw::get()).1);
    let head = ResponseHead::new(StatusCode::OK);
    let mut access = peer.access();
    access.respond(one, &head, End::Fin).expect("a request");
    let mut recv = access.recv(one).expect("a stream");
    recv.stop(0x100).expect("open");
    peer.drive();
    peer.advance(3_600 * SECOND);
    assert_eq!(peer.closed(), None);
    assert!(!stats(&mut peer).idled_out);
}

/// Who says so may converse from the start, and take that back.
#[test]
fn content_without_a_pace() {
    let mut peer = server();
    let (id, stream) = request(&mut peer, &raw::post());
    assert!(read(&mut peer, stream));
    peer.access().set_paced(stream, false);
    peer.advance(3_600 * SECOND);
    assert!(read(&mut peer, stream));
    peer.advance(3_600 * SECOND);
    assert_eq!(reset(&peer, id), None);
    peer.access().set_paced(stream, true);
    assert!(read(&mut peer, stream));
    peer.advance(60 * SECOND);
    assert_eq!(told(&mut peer, Violation::BodyTooSlow), stream);
}

/// A client that has asked with POST and sent so much of the content.
fn asking(net: Loopback, content: &[u8], end: bool) -> (RawPeer, StreamKey) {
    let mut peer = RawPeer::greeted_over(Side::Client, Config::default(), net, &[]);
    let mut head = aqueduct_tests::get();
    head.method = http::Method::POST;
    let stream = peer.access().request(&head, End::More).expect("a request");
    let mut access = peer.access();
    let mut send = access.send(stream).expect("a stream");
    send.write(&mut [Bytes::copy_from_slice(content)])
        .expect("takes some");
    if end {
        send.finish().expect("ends");
    }
    peer.drive();
    (peer, stream)
}

/// The first byte of a response, and an interim one, which is not the response.
#[test]
fn a_response_begins_in_five_minutes() {
    let (mut peer, stream) = asking(Loopback::new(Knobs::default()), b"x", true);
    peer.advance(299 * SECOND);
    peer.write(stream.id(), &raw::status(103));
    // A byte now and then of the head is none.
    for byte in &raw::status(200)[..3] {
        peer.advance(90 * SECOND);
        peer.write(stream.id(), &[*byte]);
    }
    peer.advance(29 * SECOND + ALMOST);
    assert_eq!(stats(&mut peer).answers_timed_out, 0);
    peer.advance(MOMENT);
    let late = StreamEvent::Malformed(Violation::RequestUnanswered);
    expect_event!(peer, Side::Client, Event::Stream(key, event) if key == stream && event == late => ());
    assert_eq!(
        peer.seen(stream.id()).stop,
        Some(Code::H3_REQUEST_CANCELLED)
    );
    let stats = stats(&mut peer);
    assert_eq!((stats.requests, stats.answers_timed_out), (1, 1));
    assert_eq!(peer.closed(), None);
}

/// What follows the head of a response comes when there is some.
#[test]
fn a_response_that_has_begun_may_take_its_time() {
    let (mut peer, stream) = asking(Loopback::new(Knobs::default()), b"x", true);
    peer.advance(299 * SECOND);
    peer.write(stream.id(), &raw::status(200));
    peer.advance(3_600 * SECOND);
    assert_eq!(stats(&mut peer).answers_timed_out, 0);
    assert_eq!(peer.seen(stream.id()).stop, None);
}

/// A server that takes nothing of a request is as silent as one that does not answer.
#[test]
fn a_request_is_taken_or_answered() {
    let narrow = || {
        Loopback::new(Knobs {
            stream_window: 100,
            ..Knobs::default()
        })
    };
    for progress in [false, true] {
        let (mut peer, stream) = asking(narrow(), &[7; 1_000], false);
        peer.reading = false;
        let mut access = peer.access();
        let mut send = access.send(stream).expect("a stream");
        send.write(&mut [Bytes::from(vec![7; 1_000])])
            .expect("open");
        peer.advance(290 * SECOND);
        // Credit for a little more.
        peer.reading = progress;
        peer.drive();
        peer.reading = false;
        peer.advance(10 * SECOND);
        let late = stats(&mut peer).answers_timed_out;
        assert_eq!(late, u64::from(!progress), "progress: {progress}");
    }
}

/// The application has not sent all of it: nobody else is late.
#[test]
fn a_request_that_its_application_does_not_end() {
    let (mut peer, stream) = asking(Loopback::new(Knobs::default()), b"x", false);
    peer.advance(3_600 * SECOND);
    assert_eq!(stats(&mut peer).answers_timed_out, 0);
    // From its end on it is.
    let mut access = peer.access();
    access.send(stream).expect("open").finish().expect("ends");
    peer.drive();
    peer.advance(300 * SECOND);
    assert_eq!(stats(&mut peer).answers_timed_out, 1);
}

/// RFC 9114 section 6.2: three streams in each direction. Who allows fewer makes the
/// other side wait; the rest may come a little later.
#[test]
fn three_streams_are_allowed_in_ten_seconds() {
    for ours in [Side::Client, Side::Server] {
        for few in 0..=3 {
            let mut peer = super::violations::connection::stingy(ours, few);
            peer.control(&raw::settings(&[]));
            peer.advance(9 * SECOND + ALMOST);
            assert_eq!(peer.closed(), None, "{few} at the {ours}");
            peer.advance(MOMENT);
            let closed = (few < 3).then_some(Code::H3_GENERAL_PROTOCOL_ERROR);
            assert_eq!(peer.closed(), closed, "{few} at the {ours}");
        }
    }
}

/// A client that is told nothing of what the server takes waits no longer; a server needs
/// to know for sessions alone.
#[test]
fn a_servers_settings_come_in_ten_seconds() {
    for (ours, closed) in [
        (Side::Client, Some(Code::H3_MISSING_SETTINGS)),
        (Side::Server, None),
    ] {
        let mut peer = RawPeer::new(ours, Config::default());
        peer.advance(9 * SECOND + ALMOST);
        assert_eq!(peer.closed(), None, "{ours}");
        peer.advance(MOMENT);
        assert_eq!(peer.closed(), closed, "{ours}");
    }
    let mut peer = RawPeer::new(Side::Client, Config::default());
    peer.advance(9 * SECOND);
    peer.control(&raw::settings(&[]));
    peer.advance(60 * SECOND);
    assert_eq!(peer.closed(), None);
}
