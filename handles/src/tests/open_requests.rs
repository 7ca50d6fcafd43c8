//! Limit `open_requests`: who works for a client is bounded, whatever it does with the
//! streams that the work began on.

use std::pin::pin;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::PeerCode;
use aqueduct_core::webtransport::ConnectRequest;
use bytes::Bytes;
use http::{Request, Response};

use super::{Net, poll, table};
use crate::error::ReadError;
use crate::{Cancelled, Connection, RequestStream, ServerRequest, SessionRequest};

const LIMIT: usize = 100;

/// A server that suffers any number of useless streams.
fn patient() -> Net {
    let mut config = Config::default();
    assert_eq!(config.limits.open_requests, LIMIT);
    config.limits.nuisance = u32::MAX;
    Net::with(config)
}

/// What a handler that never finishes holds.
enum Work {
    Request(ServerRequest),
    #[expect(dead_code, reason = "held, not used")]
    Capsules(crate::CapsuleStream),
    Session(SessionRequest),
}

fn request() -> Request<()> {
    Request::post("https://localhost/").body(()).expect("valid")
}

/// A request that the server works on when it takes it.
fn begin(net: &mut Net, ours: &Connection, theirs: &Connection) -> (RequestStream, Option<Work>) {
    let client = net.run(ours.request(request())).expect("is sent");
    net.settle();
    let server = poll(pin!(theirs.accept_request())).flatten();
    (client, server.map(|(_, server)| Work::Request(server)))
}

type GiveUp = fn(&mut Net, &Connection, &Connection) -> Option<Work>;

/// The ways a client has to end a stream on which work goes on.
const WAYS: [(&str, GiveUp); 5] = [
    ("stop", |net, ours, theirs| {
        let (mut client, work) = begin(net, ours, theirs);
        // Refused already when it is one too many.
        let _ = client.finish();
        let _ = client.recv.stop(Code::H3_REQUEST_CANCELLED);
        work
    }),
    ("reset", |net, ours, theirs| {
        let (mut client, work) = begin(net, ours, theirs);
        let _ = client.send.reset(Code::H3_REQUEST_CANCELLED);
        work
    }),
    ("both", |net, ours, theirs| begin(net, ours, theirs).1),
    ("malformed", |net, ours, theirs| {
        let (mut client, work) = begin(net, ours, theirs);
        let Some(Work::Request(server)) = work else {
            return work;
        };
        // The content ends inside a capsule.
        net.run(client.send_data(Bytes::from_static(b"\x21")))
            .expect("room");
        client.finish().expect("open");
        let mut capsules = server.into_capsules();
        net.run(capsules.recv(9)).expect_err("cut off");
        Some(Work::Capsules(capsules))
    }),
    ("session", |net, ours, theirs| {
        let asked = ConnectRequest::new("https://localhost/".parse().expect("a URI"));
        let mut opening = pin!(ours.open_session(asked));
        let _ = poll(opening.as_mut());
        net.settle();
        let _ = poll(opening.as_mut());
        net.settle();
        poll(pin!(theirs.accept_session()))
            .flatten()
            .map(Work::Session)
    }),
];

fn rejected() -> ReadError {
    ReadError::Reset(PeerCode::http(Code::H3_REQUEST_REJECTED.value()))
}

#[test]
fn handlers_that_never_finish_are_bounded() {
    for (way, give_up) in WAYS {
        let mut net = patient();
        let (ours, theirs) = net.connect();
        net.run(ours.settings()).expect("arrive");
        let mut at_work = Vec::new();
        for _ in 0..LIMIT + 50 {
            at_work.extend(give_up(&mut net, &ours, &theirs));
            net.settle();
        }
        assert_eq!(at_work.len(), LIMIT, "{way}");
        assert_eq!(theirs.open_requests(), Some(LIMIT), "{way}");
        assert_eq!(theirs.stats().expect("open").requests_rejected, 50, "{way}");
        assert_eq!(table(&theirs, |conn| conn.streams.len()), LIMIT, "{way}");
        let mut client = net.run(ours.request(request())).expect("is sent");
        let refused = net.run(client.recv_response());
        assert_eq!(refused.map(|_| ()), Err(rejected()), "{way}");

        // One that ends makes room for one.
        at_work.pop();
        net.settle();
        let (client, server) = net.post(&ours, &theirs);
        drop((client, server, at_work));
        net.settle();
        assert_eq!(theirs.open_requests(), Some(0), "{way}");
        let (mut client, mut server) = net.post(&ours, &theirs);
        server
            .send
            .send_empty(Response::new(()))
            .expect("not sent yet");
        let answer = net.run(client.recv_response()).expect("is answered");
        assert_eq!(answer.status(), 200, "{way}");
        drop((client, server));
        // A drain has nothing to wait for.
        theirs.drain(Duration::from_secs(3600));
        net.run(ours.closed());
    }
}

#[test]
fn sessions_that_are_given_up_are_told_so() {
    let mut net = patient();
    let (ours, theirs) = net.connect();
    net.run(ours.settings()).expect("arrive");
    let (_, session) = WAYS[4];
    let Some(Work::Session(request)) = session(&mut net, &ours, &theirs) else {
        unreachable!("there is room")
    };
    net.run(request.cancelled()).expect("given up");
}

#[test]
fn requests_that_are_stopped_before_they_are_accepted_are_forgotten() {
    let mut net = patient();
    let (ours, theirs) = net.connect();
    for _ in 0..3 * LIMIT {
        let mut client = net.run(ours.request_empty(request())).expect("is sent");
        net.settle();
        client
            .recv
            .stop(Code::H3_REQUEST_CANCELLED)
            .expect("is open");
        net.settle();
    }
    assert_eq!(theirs.open_requests(), Some(0));
    assert_eq!(theirs.stats().expect("open").requests_rejected, 0);
    let left = table(&theirs, |conn| (conn.requests.len(), conn.streams.len()));
    assert_eq!(left, (0, 0));
    // Nothing of them is left in the core, which a drain would wait for.
    theirs.drain(Duration::from_secs(3600));
    net.run(ours.closed());
}

#[test]
fn requests_that_nobody_accepts_are_bounded() {
    let mut net = patient();
    let (ours, theirs) = net.connect();
    let mut waiting: Vec<_> = (0..LIMIT)
        .map(|_| net.run(ours.request(request())).expect("is sent"))
        .collect();
    net.settle();
    assert_eq!(table(&theirs, |conn| conn.requests.len()), LIMIT);
    // QUIC has no credit for more until some are given up, and these are forgotten.
    waiting.truncate(LIMIT / 2);
    net.settle();
    assert_eq!(table(&theirs, |conn| conn.requests.len()), LIMIT / 2);
    let _client = net.run(ours.request(request())).expect("is sent");
    drop(waiting);
    net.settle();
    assert_eq!(table(&theirs, |conn| conn.requests.len()), 1);
    assert_eq!(theirs.open_requests(), Some(1));
    assert!(poll(pin!(theirs.accept_request())).flatten().is_some());
}

#[test]
fn a_future_that_waits_for_the_end_counts_as_a_handle() {
    let mut net = patient();
    let (ours, theirs) = net.connect();
    let (client, server) = net.post(&ours, &theirs);
    let cancelled = server.cancelled();
    drop(server);
    net.settle();
    assert_eq!(theirs.open_requests(), Some(1));
    drop(client);
    let told = net.run(cancelled);
    assert_eq!(told, None::<Cancelled>, "this side has reset it");
    assert_eq!(theirs.open_requests(), Some(0));
}
