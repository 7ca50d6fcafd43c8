//! Streams that the peer ends because their session is over.

use std::time::Instant;

use aqueduct_core::id::Side;
use aqueduct_core::webtransport::SessionClose;

use super::{Net, both};
use crate::error::{ReadError, WriteError};

/// The packet with the close is lost and comes behind those that end a stream: all that
/// wait for the stream learn how the session ended.
#[test]
fn they_tell_how_it_ended() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    net.settle();
    server.close(7, "bye").expect("is open");
    let [(_, wire), (worker, theirs)] = &mut net.ends;
    worker.turn(Instant::now(), theirs).expect("no errors here");
    let lost = std::mem::take(&mut *wire.inbox.lock().expect("no panic"));
    assert!(!lost.is_empty(), "the close is on its way");
    // The client does not know yet.
    let (mut send, mut recv) = net.run(client.open_bi()).expect("opens");
    let stopped = send.stopped();
    let write = async {
        loop {
            if let Err(error) = send.write_all(&[0; 1000]).await {
                return error;
            }
        }
    };
    let mut out = [0; 10];
    let halves = both(write, recv.read(&mut out));
    let ((written, read), stopped) = net.run(both(halves, stopped));
    let close = SessionClose::Closed {
        by: Side::Server,
        code: 7,
        reason: "bye".into(),
    };
    assert_eq!(written, WriteError::Session(close.clone()));
    assert_eq!(stopped, Err(WriteError::Session(close.clone())));
    assert_eq!(read, Err(ReadError::Session(close)));
}
