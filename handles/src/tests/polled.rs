//! Sessions that are polled instead of awaited, as `moq-net` does.

use super::*;

#[test]
fn clones_that_are_polled_wait_each_for_itself() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, mut server) = net.session(&ours, &theirs);
    let mut other = server.clone();
    let counts = [(); 2].map(|()| Arc::new(Count::default()));
    let wakers = counts.clone().map(Waker::from);
    let mut cx = Context::from_waker(&wakers[0]);
    assert!(server.poll_accept_uni(&mut cx).is_pending());
    assert!(server.poll_accept_uni(&mut cx).is_pending());
    assert!(server.poll_recv_datagram(&mut cx).is_pending());
    let mut cx = Context::from_waker(&wakers[1]);
    assert!(other.poll_accept_uni(&mut cx).is_pending());
    assert_eq!(server.uni_waiters(), 2);

    let mut send = net.run(client.open_uni()).expect("opens");
    net.run(send.write_all(b"x")).expect("room");
    net.settle();
    assert_eq!(
        counts.clone().map(|count| count.0.load(Ordering::Relaxed)),
        [1, 1]
    );
    let Poll::Ready(Ok(_recv)) = server.poll_accept_uni(&mut cx) else {
        panic!("a stream waits")
    };
    assert!(other.poll_accept_uni(&mut cx).is_pending());
    assert_eq!(server.uni_waiters(), 1);

    // A clone that is not polled again leaves nothing behind, and closes nothing.
    drop(other);
    assert_eq!(server.uni_waiters(), 0);
    assert!(server.poll_closed(&mut cx).is_pending());
    drop(client);
    net.settle();
    assert!(server.poll_closed(&mut cx).is_ready());
}

#[test]
fn a_stream_that_is_polled_for_its_end_lets_go_of_its_place() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    let (send, mut recv) = net.run(client.open_bi()).expect("opens");
    let mut send = send;
    let mut cx = Context::from_waker(Waker::noop());
    assert!(send.0.poll_stopped(&mut cx).is_pending());
    let (conn, at) = (send.0.half.conn.clone(), send.0.half.at);
    let watchers = || conn.lock().stream(at).watchers.len();
    assert_eq!(watchers(), 1);
    drop(send);
    assert_eq!(watchers(), 0, "its other half keeps the entry");
    assert!(recv.0.poll_closed(&mut cx).is_pending());
    drop(server);
    net.settle();
    assert!(recv.0.poll_closed(&mut cx).is_ready());
}
