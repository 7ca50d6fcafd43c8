//! A task that keeps its thread for seconds, and with it the driver of a runtime that has one.

use super::*;
use crate::clock::skip;

/// What is begun afterwards has all of its time: a session would be given up at once.
#[test]
fn waits_begin_after_it() {
    let mut net = Net::new();
    let mut http = Config::default();
    http.limits.connect_timeout = Duration::from_secs(3);
    let (ours, theirs) = net.connect_as(http);
    let (first, _theirs) = net.session(&ours, &theirs);
    net.settle();
    assert_eq!(first.send_datagram(b"before"), Ok(()));
    skip(Duration::from_secs(4));
    let (second, _theirs) = net.session(&ours, &theirs);
    assert_eq!(second.close_reason(), None);
}
