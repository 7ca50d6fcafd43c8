//! Acknowledged is not read: what a close takes, and the ways around it.

use aqueduct_core::webtransport::SessionClose;

use super::{Net, both};
use crate::error::ReadError;
use crate::{RecvStream, Session};

/// A stream that the client has in full, and has not read.
fn unread(net: &mut Net) -> (Session, Session, RecvStream) {
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    let mut sending = net.run(server.open_uni()).expect("opens");
    net.run(sending.write_all(b"words")).expect("room");
    sending.finish().expect("open");
    assert_eq!(net.run(sending.stopped()), Ok(None), "it is acknowledged");
    let receiving = net.run(client.accept_uni()).expect("arrives");
    (client, server, receiving)
}

#[test]
fn a_close_takes_what_was_acknowledged() {
    let mut net = Net::new();
    let (_client, server, mut receiving) = unread(&mut net);
    server.close(7, "too soon").expect("open");
    net.settle();
    let read = net.run(receiving.read_to_end(100));
    let closed = net.run(server.closed());
    assert_eq!(read, Err(ReadError::Session(closed)));
}

/// Who reads closes.
#[test]
fn a_session_that_drains_is_closed_by_who_reads() {
    let mut net = Net::new();
    let (client, server, mut receiving) = unread(&mut net);
    server.drain().expect("open");
    let reader = async {
        assert!(client.draining().await);
        let read = receiving.read_to_end(100).await;
        client.close(0, "").expect("open");
        read
    };
    let (read, closed) = net.run(both(reader, server.closed()));
    assert_eq!(read.as_deref(), Ok(&b"words"[..]));
    assert!(matches!(closed, SessionClose::Closed { code: 0, .. }));
}

/// An answer of one's own.
#[test]
fn a_close_behind_an_answer_takes_nothing() {
    let mut net = Net::new();
    let (client, server, mut receiving) = unread(&mut net);
    let reader = async {
        let read = receiving.read_to_end(100).await;
        client.send_datagram(b"thanks").expect("room");
        read
    };
    let writer = async {
        let thanks = server.recv_datagram().await;
        server.close(0, "").expect("open");
        thanks
    };
    let (read, thanks) = net.run(both(reader, writer));
    assert_eq!(read.as_deref(), Ok(&b"words"[..]));
    assert_eq!(thanks.as_deref(), Ok(&b"thanks"[..]));
}
