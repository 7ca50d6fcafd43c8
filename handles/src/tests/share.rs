//! Handles that are always ready give way, small pieces are joined, and the driver
//! holds the lock for a bounded number of events.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use aqueduct_core::code::Code;
use bytes::Bytes;
use http::Request;

use super::{Count, Net, poll, table};
use crate::share::{PRICE, SHARE};
use crate::shared::Shared;
use crate::{Connection, RecvStream, SendStream, ServerRequest, Session};

/// A read of one byte.
const BYTE: u32 = PRICE + 1;

/// Bytes and pieces that a request's content gives before it must wait.
fn content(server: &mut ServerRequest) -> (usize, usize) {
    let (mut bytes, mut pieces) = (0, 0);
    while let Some(Ok(Some(data))) = poll(pin!(server.recv_data())) {
        bytes += data.len();
        pieces += 1;
    }
    (bytes, pieces)
}

/// A stream of the session with so many bytes in it, either side.
fn stream(net: &mut Net, of: &(Session, Session), bytes: usize) -> (SendStream, RecvStream) {
    let mut send = net.run(of.0.open_uni()).expect("opens");
    net.run(send.write_all(&vec![7; bytes])).expect("room");
    let recv = net.run(of.1.accept_uni()).expect("arrives");
    net.settle();
    (send, recv)
}

/// Reads byte by byte as long as the stream is ready.
fn bytes_ready(recv: &mut RecvStream, waker: &Waker) -> usize {
    let mut read = 0;
    while pin!(recv.read_chunk(1))
        .poll(&mut Context::from_waker(waker))
        .is_ready()
    {
        read += 1;
    }
    read
}

/// Uses up what the handles of a connection may take.
fn exhaust(connection: &Connection) {
    connection.0.lock().take_share(connection.0.at, SHARE);
}

#[test]
fn one_byte_frames_are_read_in_joined_pieces() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    for _ in 0..2000 {
        net.run(client.send_data(Bytes::from_static(b"x")))
            .expect("room");
    }
    net.settle();
    let (mut bytes, mut pieces) = (0, 0);
    while bytes < 2000 {
        let (more, reads) = content(&mut server);
        (bytes, pieces) = (bytes + more, pieces + reads);
        net.settle();
    }
    assert!(pieces <= 16, "{pieces} pieces of 2000 frames");

    // A piece is as large as its frames allow, and what comes behind stays whole.
    let large = Bytes::from(vec![9; 1000]);
    net.run(client.send_data(Bytes::from_static(b"x")))
        .expect("room");
    net.run(client.send_data(large.clone())).expect("room");
    client.finish().expect("open");
    let all = net.run(server.read_to_end(5000)).expect("whole");
    assert_eq!((all.len(), &all[1..]), (1001, &large[..]));
}

/// What `AsyncRead` and `read` do.
#[test]
fn one_byte_frames_fill_a_buffer() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    for _ in 0..600 {
        net.run(client.send_data(Bytes::from_static(b"x")))
            .expect("room");
    }
    net.settle();
    let (mut bytes, mut reads) = (0, 0);
    let mut buffer = [0; 4096];
    while bytes < 600 {
        let recv = &mut server.recv.0;
        let read = net.run(poll_fn(|cx| recv.poll_read(cx, &mut buffer)));
        bytes += read.expect("open").expect("not the end");
        reads += 1;
    }
    assert!(reads <= 4, "{reads} reads of 600 frames");
}

#[test]
fn an_end_behind_small_pieces_is_told_after_them() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let sessions = net.session(&ours, &theirs);
    let (mut send, mut recv) = stream(&mut net, &sessions, 1);
    net.run(send.write_all(b"yz")).expect("room");
    send.finish().expect("open");
    net.settle();
    let mut out = [0; 9];
    assert_eq!(net.run(recv.read(&mut out)), Ok(Some(3)));
    assert_eq!(net.run(recv.read(&mut out)), Ok(None));
}

#[test]
fn a_reader_that_is_always_ready_waits_for_the_driver() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let sessions = net.session(&ours, &theirs);
    let (_a, mut first) = stream(&mut net, &sessions, 5000);
    let (_b, mut second) = stream(&mut net, &sessions, 5000);
    table(&theirs, |conn| conn.taken = 0);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());

    let share = SHARE.div_ceil(BYTE) as usize;
    assert_eq!(bytes_ready(&mut first, &waker), share);
    // Another handle of the same connection is no way around it.
    assert_eq!(bytes_ready(&mut second, &waker), 0);
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    assert_eq!(theirs.rests(), 1);
    // The driver has been told, and takes a turn.
    assert!(theirs.0.lock().state().kicked);
    net.turn();
    assert_eq!(count.0.load(Ordering::Relaxed), 2, "each once");
    assert_eq!(bytes_ready(&mut second, &waker), share);
    assert_eq!(theirs.rests(), 2);
}

#[test]
fn one_connections_share_is_not_anothers() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (honest, honest_server) = net.connect();
    let sessions = net.session(&honest, &honest_server);
    let (_send, mut recv) = stream(&mut net, &sessions, 3);
    let _greedy = net.post(&ours, &theirs);
    exhaust(&theirs);
    assert_eq!(bytes_ready(&mut recv, Waker::noop()), 3);
}

#[test]
fn accepting_and_datagrams_wait_for_the_driver_too() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    let _bi = net.run(client.open_bi()).expect("opens");
    client.send_datagram(b"d").expect("room");
    let request = Request::post("https://localhost/").body(()).expect("valid");
    let _request = net.run(ours.request(request)).expect("is sent");
    net.settle();
    exhaust(&theirs);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    {
        let (mut bi, mut datagram) = (pin!(server.accept_bi()), pin!(server.recv_datagram()));
        let mut request = pin!(theirs.accept_request());
        for _ in 0..2 {
            assert!(bi.as_mut().poll(&mut cx).is_pending());
            assert!(datagram.as_mut().poll(&mut cx).is_pending());
            assert!(request.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(theirs.0.lock().state().resting.len(), 3);
        net.turn();
        assert_eq!(count.0.load(Ordering::Relaxed), 3, "each once");
        assert!(bi.as_mut().poll(&mut cx).is_ready());
        assert!(datagram.as_mut().poll(&mut cx).is_ready());
        assert!(request.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(table(&theirs, |conn| conn.taken), 3 * PRICE);
}

#[test]
fn what_had_arrived_is_read_when_nobody_drives_any_more() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    net.run(client.send_data(vec![7; 2000].into()))
        .expect("room");
    client.finish().expect("open");
    net.settle();
    exhaust(&theirs);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let recv = &mut server.recv.0;
    assert!(pin!(recv.read_chunk(1)).poll(&mut cx).is_pending());
    ours.close(Code::H3_NO_ERROR, "");
    net.settle();
    assert_ne!(count.0.load(Ordering::Relaxed), 0, "woken");
    assert!(theirs.close_reason().is_some());
    // More than one share, and no turn follows.
    exhaust(&theirs);
    for _ in 0..2000 {
        let byte = poll(pin!(recv.read_chunk(1))).expect("need not wait");
        assert!(byte.expect("had arrived").is_some());
    }
}

#[test]
fn capsules_without_bytes_count() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, server) = net.post(&ours, &theirs);
    // Two bytes each, four thousand in a few pieces.
    let capsules = Bytes::from([0x21, 0].repeat(4000));
    net.run(client.send_data(capsules)).expect("room");
    net.settle();
    table(&theirs, |conn| conn.taken = 0);
    let mut recv = server.into_capsules().recv;
    let (mut rounds, mut total) = (0, 0);
    while total < 4000 {
        let mut taken = 0;
        while poll(pin!(recv.recv(9))).is_some() {
            taken += 1;
        }
        assert!(taken <= SHARE as usize, "{taken} at once");
        (rounds, total) = (rounds + 1, total + taken);
        net.turn();
    }
    assert!(rounds >= 4, "{rounds}");
}

/// Looks at a connection when it is woken.
struct Look {
    at: Arc<Shared>,
    waiting: Mutex<Vec<Vec<usize>>>,
}

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        let mut locked = self.at.lock();
        let conns = locked.state().conns.iter();
        let waiting = conns.map(|(_, conn)| conn.requests.len()).collect();
        self.waiting.lock().expect("no panic").push(waiting);
    }
}

#[test]
fn the_lock_is_held_for_a_bounded_number_of_events() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (honest, honest_server) = net.connect();
    for connection in [&ours, &honest] {
        net.run(connection.settings()).expect("arrive");
    }
    let ask = |connection: &Connection, times: usize| -> Vec<_> {
        let uri = || "https://localhost/".parse().expect("a URI");
        let requests = (0..times).map(|_| poll(pin!(connection.get(uri()))));
        requests.map(|sent| sent.expect("credit")).collect()
    };
    // All of them in one turn; the honest client's comes last.
    let _requests = (ask(&ours, 40), ask(&honest, 1));
    let look = Arc::new(Look {
        at: net.server.shared().clone(),
        waiting: Mutex::default(),
    });
    let waker = Waker::from(look.clone());
    let mut accepts = (
        pin!(theirs.accept_request()),
        pin!(honest_server.accept_request()),
    );
    let mut cx = Context::from_waker(&waker);
    assert!(accepts.0.as_mut().poll(&mut cx).is_pending());
    assert!(accepts.1.as_mut().poll(&mut cx).is_pending());
    net.ends[1].0.events = 8;
    net.turn();
    let waiting = look.waiting.lock().expect("no panic").clone();
    // Both were woken by the first events, when the lock was let go of, and the one
    // was not behind the forty.
    assert_eq!(waiting.len(), 2);
    assert!(waiting[0][0] <= 8 && waiting[0][1] == 1, "{waiting:?}");
    // The same turn has gone on.
    assert_eq!(table(&theirs, |conn| conn.requests.len()), 40);

    // Beyond what one turn hands out, the next goes on, and is asked for at once.
    let _more = ask(&ours, 40);
    net.ends[1].0.events = 2;
    let [(client, wire), (worker, server_wire)] = &mut net.ends;
    client.turn(Instant::now(), wire).expect("no errors");
    // Two of each request, at most 17 times two a turn.
    for bounds in [50..=57, 60..=74] {
        let turn = worker.turn(Instant::now(), server_wire);
        let turn = turn.expect("no errors").expect("goes on");
        assert!(turn.more, "even when nothing was received");
        let filed = table(&theirs, |conn| conn.requests.len());
        assert!(bounds.contains(&filed), "{filed}");
    }
    net.settle();
    assert_eq!(table(&theirs, |conn| conn.requests.len()), 80);
}

/// What is asked of a busy endpoint goes before it takes more in.
#[test]
fn an_answer_does_not_wait_for_what_comes() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (_client, server) = net.session(&ours, &theirs);
    let ask = |net: &mut Net| {
        for _ in 0..30 {
            let get = Request::get("https://localhost/").body(()).expect("valid");
            drop(
                poll(pin!(ours.request(get)))
                    .expect("room")
                    .expect("is sent"),
            );
        }
        let [(client, wire), _] = &mut net.ends;
        client.turn(Instant::now(), wire).expect("no errors");
    };
    net.settle();
    net.ends[1].0.events = 2;
    for busy in [false, true] {
        ask(&mut net);
        if busy {
            let [_, (worker, wire)] = &mut net.ends;
            let turn = worker.turn(Instant::now(), wire).expect("no errors");
            assert!(turn.expect("goes on").more);
            ask(&mut net);
        }
        let [_, (worker, wire)] = &mut net.ends;
        let comes = wire.inbox.lock().expect("no panic").len();
        assert!(comes > 0);
        server.send_datagram(b"an answer").expect("room");
        wire.waiting = None;
        worker.turn(Instant::now(), wire).expect("no errors");
        assert_eq!(wire.waiting, Some(if busy { comes } else { 0 }));
        net.ends[1].0.events = 512;
        net.settle();
        net.ends[1].0.events = 2;
    }
}

#[test]
fn a_blocked_peer_costs_small_copies() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    let mut send = net.run(client.open_uni()).expect("opens");
    let data = vec![7; 1 << 20];
    // Nobody reads: the windows fill up.
    let mut copied = 0;
    loop {
        let next = send.0.copies();
        match poll(pin!(send.write(&data))) {
            Some(taken) => copied += taken.expect("open"),
            None => break assert!(next <= 64 * 1024),
        }
        net.settle();
    }
    assert!(copied > 12_000, "{copied} bytes fit");
    for _ in 0..3 {
        assert_eq!(send.0.copies(), 1024);
        assert_eq!(poll(pin!(send.write(&data))), None);
    }
    // A peer that takes gets large writes again.
    let mut recv = net.run(server.accept_uni()).expect("arrives");
    let mut read = 0;
    while read < copied {
        read += net
            .run(recv.read_chunk(1 << 16))
            .expect("open")
            .map_or(0, |chunk| chunk.len());
        net.settle();
    }
    for step in 0..6 {
        assert_eq!(poll(pin!(send.write(&data))), Some(Ok(1024 << step)));
        net.settle();
    }
}
