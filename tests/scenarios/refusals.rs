//! What an application asks for and cannot have is refused with a reason.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::connection::{Command, CommandError, Reply};
use aqueduct_core::error::{DatagramError, Gone, RequestError, ResetError, SendError};
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, SessionKey, Side};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, WEBTRANSPORT};
use aqueduct_core::webtransport::{
    AcceptError, ConnectAnswer, OpenSessionError, OpenStreamError, RejectError, SessionError,
    SessionEvent,
};
use aqueduct_tests::get;
use aqueduct_tests::wt::{admit, there};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

/// A server of which a session was asked that has not been answered.
fn asked(pairs: &[(u64, u64)]) -> (RawPeer, SessionKey) {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), pairs);
    peer.request(&raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    (peer, session)
}

/// RFC 9114 section 4.4: a plain CONNECT names host and port.
#[test]
fn a_request_that_no_peer_would_take() {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
    let mut head = get();
    head.method = Method::CONNECT;
    let refused = peer.access().request(&head, End::Fin).expect_err("no port");
    let RequestError::InvalidHead(wrong) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(wrong.field, ":authority");
    assert!(peer.access().request(&get(), End::Fin).is_ok());
}

/// RFC 9114 section 4.2: fields of one connection are in no answer; a better one may
/// follow.
#[test]
fn an_answer_that_no_peer_would_take() {
    let (mut peer, session) = asked(WEBTRANSPORT);
    let close = HeaderValue::from_static("close");
    let mut answer = ConnectAnswer::default();
    answer.headers.insert(header::CONNECTION, close.clone());
    let mut refusal = ResponseHead::new(StatusCode::FORBIDDEN);
    refusal.headers.insert(header::CONNECTION, close);

    let accepted = peer.access().webtransport(session).accept(&answer);
    assert!(
        matches!(accepted, Err(AcceptError::InvalidHead(wrong)) if wrong.field == "connection"),
        "{accepted:?}"
    );
    let mut access = peer.access();
    let mut session = access.webtransport(session);
    let no_content = ConnectAnswer::new().status(StatusCode::NO_CONTENT);
    assert_eq!(session.accept(&no_content), Err(AcceptError::InvalidStatus));
    let rejected = session.reject_with(&refusal, Bytes::new());
    assert!(
        matches!(rejected, Err(RejectError::InvalidHead(wrong)) if wrong.field == "connection"),
        "{rejected:?}"
    );
    assert_eq!(session.accept(&ConnectAnswer::default()), Ok(()));
}

/// RFC 9114 section 4.2.2: the peer has said how much it takes.
#[test]
fn an_answer_that_is_too_large() {
    let pairs = [WEBTRANSPORT, &[(0x06, 300)]].concat();
    let (mut peer, session) = asked(&pairs);
    let large = HeaderValue::from_maybe_shared(vec![b'x'; 300]).expect("a value");
    let mut answer = ConnectAnswer::default();
    answer.headers.insert("x", large.clone());
    let mut refusal = ResponseHead::new(StatusCode::FORBIDDEN);
    refusal.headers.insert("x", large);
    let mut access = peer.access();
    let mut session = access.webtransport(session);
    let accepted = session.accept(&answer);
    assert_eq!(accepted, Err(AcceptError::HeadTooLarge));
    let rejected = session.reject_with(&refusal, Bytes::new());
    assert_eq!(rejected, Err(RejectError::HeadTooLarge));
    assert_eq!(session.reject(StatusCode::FORBIDDEN), Ok(()));
}

/// A datagram of a session waits for the server's answer, as a stream does.
#[test]
fn a_session_that_is_not_open_yet() {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), WEBTRANSPORT);
    let session = peer.access().open_session(&there()).expect("asked for");
    let sent = peer.access().send_datagram(session, b"early");
    assert_eq!(sent, Err(DatagramError::Pending));
    peer.drive();
    peer.write(session.id(), &raw::status(200));
    let sent = peer.access().send_datagram(session, b"in time");
    assert_eq!(sent, Ok(()));
}

/// A command fails as the method it stands for.
#[test]
fn commands() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), WEBTRANSPORT);
    let (_, session) = admit(&mut peer, &raw::connect());
    peer.request(&raw::get());
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    let ok = Box::new(ResponseHead::new(StatusCode::OK));
    let mut fails = |command: Command| command.apply(&mut peer.access()).expect_err("refused");

    let request = Command::Request(Box::new(get()), End::Fin);
    let wrong_side = CommandError::Request(RequestError::WrongSide);
    assert_eq!(fails(request), wrong_side);
    let open = Command::OpenSession(Box::new(there()));
    let wrong_side = OpenSessionError::Request(RequestError::WrongSide);
    assert_eq!(fails(open), CommandError::OpenSession(wrong_side));
    let accept = Command::AcceptSession(session, Box::default());
    let past = CommandError::Accept(AcceptError::WrongState);
    assert_eq!(fails(accept), past);
    let reject = Command::RejectSession(session, ok.clone(), Bytes::new());
    let past = CommandError::Reject(RejectError::WrongState);
    assert_eq!(fails(reject), past);
    let close = Command::CloseSession(session, 0, "x".repeat(1025));
    let too_long = CommandError::Session(SessionError::ReasonTooLong);
    assert_eq!(fails(close), too_long);
    let reset = Command::Reset(stream, u64::MAX);
    let out_of_range = CommandError::Reset(ResetError::CodeOutOfRange);
    assert_eq!(fails(reset), out_of_range);

    let answer = || Command::Respond(stream, ok.clone(), End::More);
    assert_eq!(answer().apply(&mut peer.access()), Ok(Reply::Done));
    let again = answer().apply(&mut peer.access());
    let past = CommandError::Send(SendError::WrongState);
    assert_eq!(again, Err(past));

    // Another connection has no such stream, nor such a session.
    let mut other = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let gone = Command::Finish(stream).apply(&mut other.access());
    assert_eq!(gone, Err(CommandError::Gone(Gone::Unknown)));
    let open = Command::OpenStream(session, Dir::Uni).apply(&mut other.access());
    let gone = CommandError::OpenStream(OpenStreamError::SessionGone);
    assert_eq!(open, Err(gone));
    let mut access = other.access();
    let rejected = access.webtransport(session).reject(StatusCode::GONE);
    assert_eq!(rejected, Err(RejectError::Gone));
}

/// A connection that allows no streams yet, and one that is over.
#[test]
fn connections_that_open_nothing() {
    let none = Knobs {
        bi_streams: 0,
        ..Knobs::default()
    };
    let mut peer = RawPeer::over(Side::Client, Config::default(), Loopback::new(none));
    let blocked = peer.access().request(&get(), End::Fin);
    assert_eq!(blocked, Err(RequestError::Blocked));

    let mut peer = RawPeer::greeted(Side::Server, Config::default(), WEBTRANSPORT);
    let (_, session) = admit(&mut peer, &raw::connect());
    peer.access().close(Code::H3_NO_ERROR, "");
    let open = peer.access().webtransport(session).open_stream(Dir::Uni);
    assert_eq!(open, Err(OpenStreamError::Closed));
}
