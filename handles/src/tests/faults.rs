//! Errors of the socket, as handles are told of them.

use std::pin::pin;

use super::{Net, poll};

/// ENOBUFS and EBADF of Linux.
const PASSING: i32 = 105;
const GONE: i32 = 9;

#[test]
fn whoever_waits_is_told_of_a_fault_and_connections_go_on() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let client = net.client.clone();
    let mut waiting = pin!(client.next_socket_fault());
    assert!(poll(waiting.as_mut()).is_none(), "nothing has failed yet");
    net.ends[0].1.failing.push_back(PASSING);
    let fault = net.run(waiting).expect("it has a driver");
    assert_eq!(fault.error.code, Some(PASSING));
    assert_eq!(
        (client.socket_fault(), client.stats().recv_errors),
        (Some(fault), 1)
    );
    net.session(&ours, &theirs);
}

#[test]
fn whoever_waits_is_told_of_the_end() {
    let mut net = Net::new();
    let (ours, _theirs) = net.connect();
    let client = net.client.clone();
    let mut waiting = pin!(client.next_socket_fault());
    assert!(poll(waiting.as_mut()).is_none());
    net.ends[0].1.failing.push_back(GONE);
    let (worker, wire) = &mut net.ends[0];
    let ended = worker.turn(crate::clock::now(), wire).expect_err("gone");
    assert_eq!(ended.raw_os_error(), Some(GONE));
    assert_eq!(poll(waiting.as_mut()), Some(None));
    assert!(poll(pin!(ours.closed()).as_mut()).is_some());
}
