//! Datagrams of requests, beside their content.

use std::sync::atomic::Ordering;

use aqueduct_core::code::Code;
use aqueduct_core::datagram::ContextId;
use aqueduct_core::error::{CloseReason, PeerCode};
use aqueduct_core::head::Protocol;

use super::*;
use crate::Datagrams;
use crate::error::DatagramError;

/// An extended CONNECT that the server has not answered.
pub(super) fn tunnel(net: &mut Net) -> (RequestStream, ServerRequest) {
    let (ours, theirs) = net.connect();
    let request = Request::connect("https://localhost/ping").extension(Protocol::new("ping"));
    let request = request.body(()).expect("valid");
    let client = net.run(ours.request(request)).expect("is sent");
    let (head, server) = net.run(theirs.accept_request()).expect("arrives");
    let protocol = head.extensions().get::<Protocol>();
    assert_eq!(protocol, Some(&Protocol::new("ping")));
    (client, server)
}

fn pair(net: &mut Net) -> (RequestStream, ServerRequest, Datagrams, Datagrams) {
    let (client, server) = tunnel(net);
    let (ours, theirs) = (client.datagrams(), server.datagrams());
    (client, server, ours, theirs)
}

/// Polls a future with a task that counts its wake-ups.
fn poll_counted<T>(future: Pin<&mut impl Future<Output = T>>, count: &Arc<Count>) -> Poll<T> {
    let waker = Waker::from(count.clone());
    future.poll(&mut Context::from_waker(&waker))
}

#[test]
fn they_go_both_ways_beside_the_content_of_any_request() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    let (at_client, at_server) = (client.datagrams(), server.recv.datagrams());
    server.send_response(Response::new(())).expect("not sent");
    net.run(client.recv_response()).expect("arrives");
    at_client.send(b"up").expect("room");
    assert_eq!(net.run(at_server.recv()), Ok("up".into()));
    at_server.send(b"down").expect("room");
    assert_eq!(net.run(at_client.clone().recv()), Ok("down".into()));
    net.run(client.send_data("content".into())).expect("taken");
    let data = net.run(server.recv_data()).expect("whole");
    assert_eq!(data.as_deref(), Some(&b"content"[..]));
    let max = at_client.max_datagram_size().expect("enabled");
    assert!(max > 1000);
    let (full, more) = (vec![0; max], vec![0; max + 1]);
    assert_eq!(at_client.send(&more), Err(DatagramError::TooLargeForPath));
    assert_eq!(at_client.send(&full), Ok(()));
}

#[test]
fn what_a_client_sends_ahead_waits_for_the_server() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let request = Request::connect("https://localhost/").extension(Protocol::new("ping"));
    let request = request.body(()).expect("valid");
    let client = net.run(ours.request(request)).expect("is sent");
    client.datagrams().send(b"ahead").expect("room");
    net.settle();
    let (_, server) = net.run(theirs.accept_request()).expect("arrives");
    net.settle();
    let datagrams = server.datagrams();
    assert_eq!(net.run(datagrams.recv()), Ok("ahead".into()));
}

#[test]
fn a_context_id_is_told_and_its_lack_counted() {
    let mut net = Net::new();
    let (_client, _server, ours, theirs) = pair(&mut net);
    let context = ContextId::from_u32(300);
    ours.send(b"\x40").expect("room");
    ours.send_in(context, b"hello").expect("room");
    net.run(ours.send_wait_in(ContextId::ZERO, b""))
        .expect("room");
    assert_eq!(net.run(theirs.recv_in()), Ok((context, "hello".into())));
    assert_eq!(net.run(theirs.recv_in()), Ok((ContextId::ZERO, "".into())));
    assert_eq!(theirs.stats().no_context, 1);
    // Whoever wants to act on it takes it whole.
    ours.send(b"\x40").expect("room");
    assert_eq!(net.run(theirs.recv()), Ok(Bytes::from_static(b"\x40")));
    assert_eq!(theirs.stats().no_context, 1);
}

#[test]
fn those_that_nobody_takes_are_counted() {
    let mut net = Net::new();
    let (_client, _server, ours, theirs) = pair(&mut net);
    let limit = Config::default().limits.datagrams;
    for n in 0..limit + 3 {
        ours.send(&n.to_be_bytes()).expect("room");
        net.settle();
    }
    assert_eq!(theirs.stats().overflowed, 3);
    let oldest = net.run(theirs.recv()).expect("waits");
    assert_eq!(oldest, 3usize.to_be_bytes()[..]);
}

#[test]
fn sending_waits_for_room_and_is_woken_for_it() {
    let mut net = Net::new();
    let (mut client, _server, ours, _) = pair(&mut net);
    let payload = [7; 1000];
    while ours.send(&payload).is_ok() {}
    assert_eq!(ours.send(&payload), Err(DatagramError::Blocked));
    let count = Arc::new(Count::default());
    let mut waiting = pin!(ours.send_wait(&payload));
    assert!(poll_counted(waiting.as_mut(), &count).is_pending());
    let mut turns = 0;
    while count.0.load(Ordering::Relaxed) == 0 {
        net.turn();
        turns += 1;
        assert!(turns < 10_000, "the wake-up is lost");
    }
    assert_eq!(net.run(waiting), Ok(()));

    while ours.send(&payload).is_ok() {}
    let count = Arc::new(Count::default());
    let mut waiting = pin!(ours.send_wait(&payload));
    assert!(poll_counted(waiting.as_mut(), &count).is_pending());
    client.finish().expect("not finished");
    assert_eq!(
        count.0.load(Ordering::Relaxed),
        1,
        "there is no room to come"
    );
    assert_eq!(net.run(waiting), Err(DatagramError::Closed));
}

#[test]
fn whoever_waits_learns_of_the_end() {
    let mut net = Net::new();
    let (client, server, ours, theirs) = pair(&mut net);
    let (mut to_server, _answer) = client.split();
    let (_response, mut content) = server.split();
    let count = Arc::new(Count::default());
    let mut waiting = pin!(theirs.recv());
    assert!(poll_counted(waiting.as_mut(), &count).is_pending());
    ours.send(b"last").expect("room");
    net.settle();
    to_server.finish().expect("not finished");
    assert_eq!(ours.send(b"x"), Err(DatagramError::Closed), "and no more");
    assert_eq!(net.run(ours.send_wait(b"x")), Err(DatagramError::Closed));
    assert_eq!(
        net.run(waiting),
        Ok("last".into()),
        "what had arrived is told"
    );
    let mut waiting = pin!(theirs.recv());
    let before = count.0.load(Ordering::Relaxed);
    assert!(poll_counted(waiting.as_mut(), &count).is_pending());
    assert_eq!(net.run(content.recv_data()), Ok(None));
    assert_eq!(count.0.load(Ordering::Relaxed), before + 1, "woken once");
    assert_eq!(net.run(waiting), Err(ReadError::Closed));
}

#[test]
fn a_reset_and_a_close_end_them() {
    let mut net = Net::new();
    let (client, server, ours, theirs) = pair(&mut net);
    let mut waiting = pin!(theirs.recv());
    assert!(poll(waiting.as_mut()).is_none());
    client.cancel();
    let cancelled = PeerCode::http(Code::H3_REQUEST_CANCELLED.value());
    assert_eq!(net.run(waiting), Err(ReadError::Reset(cancelled)));
    drop(server);
    assert_eq!(ours.max_datagram_size(), None);
    let (client, _server, ours, theirs) = pair(&mut net);
    let mut waiting = pin!(theirs.recv());
    assert!(poll(waiting.as_mut()).is_none());
    client.connection().close(Code::H3_NO_ERROR, "bye");
    let closed = net.run(waiting).expect_err("closed");
    assert!(matches!(
        closed,
        ReadError::Connection(CloseReason::Remote { .. })
    ));
    let closed = ours.send(b"x").expect_err("closed");
    assert!(matches!(
        closed,
        DatagramError::Connection(CloseReason::Local { .. })
    ));
}

#[test]
fn a_dropped_future_leaves_nothing_and_a_handle_no_entry() {
    let mut net = Net::new();
    let (client, server, ours, theirs) = pair(&mut net);
    let connection = server.connection();
    let at = theirs.half().at.stream;
    let waiters = |topic: MessageTopic| {
        table(&connection, |conn| {
            let message = conn.streams[at].message.as_ref().expect("a request");
            message.waiters[topic as usize].len()
        })
    };
    {
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(theirs.recv())).collect();
        let pending = waiting.iter_mut().all(|w| poll(w.as_mut()).is_none());
        assert!(pending && waiters(MessageTopic::Datagrams) == 3);
    }
    assert_eq!(waiters(MessageTopic::Datagrams), 0);
    let many: Vec<_> = (0..300).map(|_| server.datagrams()).collect();
    drop((client, server, ours, theirs, many));
    net.settle();
    assert_eq!(table(&connection, |conn| conn.streams.len()), 0);
}

/// Datagrams go and come in batches as they do one by one.
#[test]
fn many_go_with_one_look() {
    let mut net = Net::new();
    let (_client, _server, ours, theirs) = pair(&mut net);
    let zero = ContextId::ZERO;
    assert_eq!(ours.send_segments_in(zero, b"onetwo3", 3), Ok(7));
    assert_eq!(ours.send_segments_in(zero, b"", 3), Ok(0));
    let large = ours.send_segments_in(zero, &[7; 4000], 2000);
    assert!(matches!(
        large,
        Err(DatagramError::TooLarge | DatagramError::TooLargeForPath)
    ));
    net.settle();
    let mut came = Vec::new();
    assert_eq!(theirs.try_recv_many(&mut came, 2), 2);
    assert_eq!(theirs.try_recv_many(&mut came, 9), 2);
    assert_eq!(theirs.try_recv_many(&mut came, 9), 0);
    let expected: [&[u8]; 4] = [b"\0one", b"\0two", b"\x003", b"\0"];
    assert_eq!(came, expected);
}

/// What had arrived is told after a reset and a close, but goes with a request of which
/// nothing is left.
#[test]
fn what_had_arrived_outlives_one_half() {
    let mut net = Net::new();
    for end in ["reset", "close", "both halves"] {
        let (mut client, mut server, ours, theirs) = pair(&mut net);
        server.send_response(Response::new(())).expect("not sent");
        server.finish().expect("not finished");
        ours.send(b"first").expect("room");
        net.settle();
        match end {
            "reset" => drop(client),
            "close" => client.connection().close(Code::H3_NO_ERROR, "bye"),
            _ => {
                client.finish().expect("not finished");
                assert_eq!(net.run(server.recv_data()), Ok(None));
            }
        }
        net.settle();
        if end != "both halves" {
            assert_eq!(net.run(theirs.recv()), Ok("first".into()), "{end}");
        }
        assert!(net.run(theirs.recv()).is_err(), "{end}");
    }
}
