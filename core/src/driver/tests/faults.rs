//! Which errors of a socket are survived, how they are waited out, and who is told.

use super::*;
use crate::driver::faults::{FIRST_PAUSE, LONGEST_PAUSE, PEER_ERRORS};
use crate::error::{CloseReason, OsError, TransportFailure};

/// What may pass.
const PASSING: [i32; 9] = [
    libc::ENOBUFS,
    libc::ENOMEM,
    libc::EPERM,
    libc::ENETDOWN,
    libc::EMSGSIZE,
    libc::EPROTO,
    libc::ETIMEDOUT,
    libc::EINVAL,
    libc::EIO,
];
/// What does not.
const GONE: [i32; 6] = [
    libc::EBADF,
    libc::ENOTSOCK,
    libc::ENOTCONN,
    libc::EPIPE,
    libc::EOPNOTSUPP,
    libc::ENOSYS,
];
/// What a peer, or a path to it, is to blame for.
const PEERS: [i32; 4] = [
    libc::ECONNREFUSED,
    libc::ECONNRESET,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
];

fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn one_turn(now: Instant, core: &mut Endpoint, driver: &mut Driver, io: &mut FakeIo) -> Turn {
    let turn = driver.turn(now, core, io, &mut quiet);
    turn.expect("survives")
}

#[test]
fn what_may_pass_is_survived_and_counted() {
    let now = crate::testing::epoch();
    for code in PASSING.into_iter().chain(PEERS) {
        let (mut core, mut io) = (client(0, now), FakeIo::new());
        let mut driver = io.driver();
        io.recv_errors.push_back(error(code));
        let _ = one_turn(now, &mut core, &mut driver, &mut io);
        assert_eq!(core.stats().recv_errors, 1, "{}", error(code));
        let fault = core.socket_fault().expect("told");
        assert_eq!((fault.remote, fault.error), (None, OsError::new(code)));
        // Once it has passed, what arrives is received.
        let from = ([127, 0, 0, 1], 1).into();
        io.inbox.push_back((from, vec![0; 100], 100));
        let turn = one_turn(now + FIRST_PAUSE, &mut core, &mut driver, &mut io);
        assert!(io.inbox.is_empty() && !turn.paused, "{}", error(code));
    }
}

#[test]
fn a_socket_that_is_gone_ends_the_endpoint() {
    let now = crate::testing::epoch();
    for code in GONE {
        let (mut core, mut io) = (client(1, now), FakeIo::new());
        let mut driver = io.driver();
        io.recv_errors.push_back(error(code));
        let ended = driver.turn(now, &mut core, &mut io, &mut quiet);
        let ended = ended.expect_err("gone");
        assert_eq!(ended.raw_os_error(), Some(code));
        // While something is sent, likewise: within the same turn.
        let mut driver = io.driver();
        io.send_errors.push_back(error(code));
        let ended = driver.turn(now, &mut core, &mut io, &mut quiet);
        assert_eq!(ended.expect_err("gone").raw_os_error(), Some(code));
    }
}

#[test]
fn a_socket_that_fails_for_ever_is_asked_once_a_second() {
    let mut now = crate::testing::epoch();
    let (mut core, mut io) = (client(0, now), FakeIo::new());
    let mut driver = io.driver();
    io.recv_errors = (0..1000).map(|_| error(libc::ENOBUFS)).collect();
    let mut waits = Vec::new();
    for asked in 1..=14 {
        let turn = one_turn(now, &mut core, &mut driver, &mut io);
        let wait = turn.wait(now).expect("a deadline");
        assert!(turn.paused && !turn.more, "{turn:?}");
        // Woken early, it does not ask.
        let _ = one_turn(now + wait / 2, &mut core, &mut driver, &mut io);
        assert_eq!(io.recv_calls, asked);
        waits.push(wait.as_millis());
        now += wait;
    }
    let doubling = (0..14).map(|at| 1000.min(1 << at));
    assert_eq!(waits, doubling.collect::<Vec<u128>>());
    assert_eq!(waits.last(), Some(&LONGEST_PAUSE.as_millis()));
    // A call that works makes the next pause the first again.
    io.recv_errors.clear();
    let _ = one_turn(now, &mut core, &mut driver, &mut io);
    io.recv_errors.push_back(error(libc::ENOBUFS));
    let turn = one_turn(now, &mut core, &mut driver, &mut io);
    assert_eq!(turn.wait(now), Some(FIRST_PAUSE));
}

#[test]
fn peers_cannot_make_the_socket_wait_for_long() {
    let now = crate::testing::epoch();
    let (mut core, mut io) = (client(0, now), FakeIo::new());
    let mut driver = io.driver();
    io.recv_errors = (0..1000).map(|_| error(libc::ECONNREFUSED)).collect();
    for _ in 0..PEER_ERRORS {
        let turn = one_turn(now, &mut core, &mut driver, &mut io);
        assert!(!turn.paused, "{turn:?}");
    }
    for _ in 0..10 {
        let turn = one_turn(now + FIRST_PAUSE, &mut core, &mut driver, &mut io);
        assert!(turn.paused, "{turn:?}");
    }
    assert_eq!(io.recv_calls, PEER_ERRORS as usize + 1);
    let turn = one_turn(now + 2 * FIRST_PAUSE, &mut core, &mut driver, &mut io);
    assert_eq!(turn.wait(now + 2 * FIRST_PAUSE), Some(FIRST_PAUSE));
}

/// The end of a client's only connection to nobody, of whose datagrams these are too
/// long for the system, and how many of them it counted.
fn end_of(too_long: std::ops::Range<usize>) -> (CloseReason, u64) {
    let mut now = crate::testing::epoch();
    let (mut core, mut io) = (client(1, now), FakeIo::new());
    let mut driver = io.driver();
    io.too_long = too_long;
    let mut reason = None;
    loop {
        let sink = &mut |_: &mut Endpoint, _, event| {
            if let Event::Closed(why) = event {
                reason = Some(*why);
            }
        };
        let turn = driver.turn(now, &mut core, &mut io, sink).expect("usable");
        if let Some(reason) = reason {
            return (reason, core.stats().send_errors);
        }
        now += turn.wait(now).expect("a deadline");
    }
}

#[test]
fn a_timeout_tells_that_the_system_sent_nothing() {
    let (reason, counted) = end_of(0..usize::MAX);
    let too_long = OsError::new(libc::EMSGSIZE);
    let failed = CloseReason::Transport(TransportFailure::SendFailed(too_long));
    assert_eq!(reason, failed);
    assert!(counted > 2, "{counted}");
    assert!(reason.to_string().contains("Message too long"), "{reason}");
    assert!(reason.is_retryable());
    // A path that ends on the way, likewise.
    assert_eq!(end_of(2..usize::MAX).0, failed);
}

#[test]
fn a_timeout_of_what_was_sent_is_only_that() {
    let timed_out = CloseReason::Transport(TransportFailure::TimedOut);
    assert_eq!(end_of(0..0), (timed_out.clone(), 0));
    // The first ones failed, and then the system sent again.
    assert_eq!(end_of(0..2), (timed_out, 2));
}

/// A client's only connection, whose first send meets this error: the reason it ends with
/// in the same instant, if it does.
fn ends_at_once(code: i32) -> Option<CloseReason> {
    let now = crate::testing::epoch();
    let (mut core, mut io) = (client(1, now), FakeIo::new());
    let mut driver = io.driver();
    io.send_errors.push_back(error(code));
    let mut reason = None;
    let sink = &mut |_: &mut Endpoint, _, event| {
        if let Event::Closed(why) = event {
            reason = Some(*why);
        }
    };
    while driver
        .turn(now, &mut core, &mut io, sink)
        .expect("usable")
        .more
    {}
    reason
}

#[test]
fn a_server_to_which_there_is_no_way_is_given_up_at_once() {
    for (code, retryable) in [
        (libc::EAFNOSUPPORT, false),
        (libc::EADDRNOTAVAIL, false),
        (libc::ENETUNREACH, true),
    ] {
        let failed = TransportFailure::SendFailed(OsError::new(code));
        let reason = ends_at_once(code).expect("ends");
        assert_eq!(reason, CloseReason::Transport(failed));
        assert_eq!(reason.is_retryable(), retryable, "{reason}");
    }
    for code in [libc::EMSGSIZE, libc::ENOBUFS, libc::EPERM, libc::EINVAL] {
        assert_eq!(ends_at_once(code), None, "{}", error(code));
    }
}
