//! A task that keeps its thread for seconds, and with it the driver of a runtime that has one.

use aqueduct_core::webtransport::SessionClose;

use super::*;
use crate::clock::skip;

/// What is begun afterwards has all of its time: the close of a session would be cut off by
/// the reset of a stream whose end was waited for long enough.
#[test]
fn waits_begin_after_it() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    net.settle();
    assert_eq!(server.send_datagram(b"soon"), Ok(()));
    skip(Duration::from_secs(4));
    server.close(7, "after all").expect("is open");
    let close = net.run(client.closed());
    let SessionClose::Closed { code, reason, .. } = close else {
        panic!("{close}");
    };
    assert_eq!((code, reason.as_str()), (7, "after all"));
}
