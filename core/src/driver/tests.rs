//! The driver over a socket made of two queues.

mod faults;
#[cfg(target_os = "linux")]
mod lessened;

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::config::Config;
use crate::endpoint::{EndpointConfig, Target};
use crate::testing::cert::Identity;

/// A socket that takes `room` transmits before it is full.
struct FakeIo {
    inbox: VecDeque<(SocketAddr, Vec<u8>, usize)>,
    sent: Vec<(SocketAddr, Vec<u8>, Option<usize>)>,
    room: usize,
    gso: usize,
    /// What the next calls come to instead.
    recv_errors: VecDeque<io::Error>,
    send_errors: VecDeque<io::Error>,
    /// Of the datagrams to send, by their number from 0, those that are too long.
    too_long: std::ops::Range<usize>,
    send_calls: usize,
    /// How often it was asked.
    recv_calls: usize,
}

impl FakeIo {
    fn new() -> Self {
        Self {
            inbox: VecDeque::new(),
            sent: Vec::new(),
            room: 1000,
            gso: 8,
            recv_errors: VecDeque::new(),
            send_errors: VecDeque::new(),
            too_long: 0..0,
            send_calls: 0,
            recv_calls: 0,
        }
    }

    fn driver(&self) -> Driver {
        Driver::new(1472, self.limits())
    }
}

impl UdpIo for FakeIo {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        self.recv_calls += 1;
        if let Some(error) = self.recv_errors.pop_front() {
            return Err(error);
        }
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((from, bytes, stride)) = self.inbox.pop_front() else {
                break;
            };
            buf[..bytes.len()].copy_from_slice(&bytes);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (from, bytes.len(), stride);
            count += 1;
        }
        if count == 0 {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(count)
        }
    }

    fn send(&mut self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        if self.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.send_calls += 1;
        if self.too_long.contains(&(self.send_calls - 1)) {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        if let Some(error) = self.send_errors.pop_front() {
            return Err(error);
        }
        self.room -= 1;
        let contents = transmit.contents.to_vec();
        self.sent
            .push((transmit.destination, contents, transmit.segment_size));
        Ok(())
    }

    fn limits(&self) -> IoLimits {
        IoLimits {
            gso: self.gso,
            gro: 8,
            may_fragment: true,
        }
    }
}

fn client(connections: u16, now: Instant) -> Endpoint {
    let mut core = Endpoint::new(EndpointConfig::client()).expect("a client");
    let tls = Identity::localhost().client_arc();
    for port in 1..=connections {
        let target = Target::new(([127, 0, 0, 1], port).into(), "localhost", Arc::clone(&tls));
        core.connect(now, &target).expect("connects");
    }
    core
}

fn quiet(_: &mut Endpoint, _: ConnKey, _: Event) {}

#[test]
fn a_full_socket_loses_and_repeats_nothing() {
    let now = crate::testing::epoch();
    let (mut core, mut io) = (client(100, now), FakeIo::new());
    let mut driver = io.driver();
    io.room = 10;
    let turn = driver
        .turn(now, &mut core, &mut io, &mut quiet)
        .expect("usable");
    assert_eq!((io.sent.len(), driver.queued()), (10, 1), "one waits");
    assert!(
        turn.wants_write && !turn.more && turn.deadline.is_some(),
        "{turn:?}"
    );
    // Called again for nothing, it does nothing.
    let again = driver
        .turn(now, &mut core, &mut io, &mut quiet)
        .expect("usable");
    assert!(again.wants_write && driver.queued() == 1, "{again:?}");
    io.room = 1000;
    let turn = driver
        .turn(now, &mut core, &mut io, &mut quiet)
        .expect("usable");
    assert!(
        !turn.wants_write && !turn.more && driver.queued() == 0,
        "{turn:?}"
    );
    let ports: Vec<_> = io.sent.iter().map(|(to, ..)| to.port()).collect();
    assert_eq!(ports, (1..=100).collect::<Vec<_>>());
}

#[test]
fn two_drivers_carry_a_handshake() {
    let now = crate::testing::epoch();
    let server_tls = Arc::new(Identity::localhost().server());
    let config = EndpointConfig::server(server_tls, Config::default()).expect("suits");
    let mut cores = [client(1, now), Endpoint::new(config).expect("a server")];
    let mut ios = [FakeIo::new(), FakeIo::new()];
    let mut drivers = [ios[0].driver(), ios[1].driver()];
    let mut connected = [false; 2];
    for _ in 0..10 {
        for side in 0..2 {
            let sink = &mut |_: &mut Endpoint, _, event| {
                connected[side] |= matches!(event, Event::Connected { .. });
            };
            let turn = drivers[side].turn(now, &mut cores[side], &mut ios[side], sink);
            assert!(!turn.expect("usable").wants_write);
            // What was sent in segments arrives coalesced.
            for (_, bytes, segment) in std::mem::take(&mut ios[side].sent) {
                let stride = segment.unwrap_or(bytes.len());
                let from = ([127, 0, 0, 1], 1).into();
                ios[1 - side].inbox.push_back((from, bytes, stride));
            }
        }
    }
    assert_eq!(connected, [true, true]);
}

#[test]
fn more_datagrams_than_the_socket_takes_at_once_are_sent_in_parts() {
    let remote = ([127, 0, 0, 1], 1).into();
    let transmit = Transmit {
        remote,
        local_ip: None,
        ecn: Some(Ecn::Ect0),
        size: 25,
        segment_size: Some(10),
        owner: None,
    };
    let mut queued = Queued {
        transmit,
        contents: (0..25).collect(),
        sent: 0,
    };
    let mut io = FakeIo::new();
    io.room = 1;
    // The socket can no longer segment, and is full after the first datagram.
    let blocked = send(&mut queued, 1, &mut io).expect_err("full");
    assert_eq!(
        (blocked.kind(), queued.sent),
        (io::ErrorKind::WouldBlock, 10)
    );
    io.room = 5;
    send(&mut queued, 1, &mut io).expect("room");
    let lengths: Vec<_> = io
        .sent
        .iter()
        .map(|(_, bytes, at)| (bytes.len(), *at))
        .collect();
    assert_eq!(lengths, [(10, None), (10, None), (5, None)]);
    let bytes: Vec<_> = io
        .sent
        .iter()
        .flat_map(|(_, bytes, _)| bytes.clone())
        .collect();
    assert_eq!(bytes, (0..25).collect::<Vec<_>>());
}

#[test]
fn a_datagram_that_cannot_be_sent_is_lost_alone() {
    let now = crate::testing::epoch();
    let (mut core, mut io) = (client(3, now), FakeIo::new());
    let mut driver = io.driver();
    io.send_errors
        .push_back(io::ErrorKind::PermissionDenied.into());
    let turn = driver
        .turn(now, &mut core, &mut io, &mut quiet)
        .expect("usable");
    assert_eq!(
        (io.sent.len(), driver.queued(), turn.wants_write),
        (2, 0, false)
    );
}

/// Each transmit is sent before the next one is made, in a turn of one owner and in slices
/// of one behind a lock.
#[test]
fn what_is_made_is_sent_before_the_next_is_made() {
    let now = crate::testing::epoch();
    let (mut core, mut io) = (client(20, now), FakeIo::new());
    let mut driver = io.driver();
    let _ = driver.send(&mut core, now, &mut io);
    assert_eq!((io.sent.len(), driver.spare.len()), (20, 1), "one buffer");
    let (mut core, mut io) = (client(20, now), FakeIo::new());
    let mut driver = io.driver();
    for (more, sent) in [(true, 8), (true, 16), (false, 20)] {
        assert_eq!(driver.collect_some(&mut core, now), more);
        assert!(driver.flush_some(&mut io), "the socket takes it");
        assert_eq!(io.sent.len(), sent);
    }
    assert!(driver.spare.len() <= 8, "{} buffers", driver.spare.len());
}

/// The next busy turn finds its buffers, and a quiet time gives them back.
#[test]
fn buffers_are_kept_for_as_long_as_turns_use_them() {
    let now = crate::testing::epoch();
    let (mut core, mut io) = (client(MAX_QUEUE as u16, now), FakeIo::new());
    let mut driver = io.driver();
    let mut turn = |core: &mut Endpoint, now| {
        driver.feed(core, now);
        driver.collect(core, now);
        let _ = driver.flush(&mut io);
        driver.spare.len()
    };
    let busy = turn(&mut core, now);
    assert!(busy >= MAX_QUEUE - 1, "{busy}");
    // The same datagrams again, because nobody has answered.
    let due = core.poll_timeout().expect("not answered").at;
    assert_eq!(turn(&mut core, due), busy, "all are used");
    let mut silent = Endpoint::new(EndpointConfig::client()).expect("a client");
    let quiet_turns = (0..2 * MAX_QUEUE).map(|_| turn(&mut silent, due));
    assert_eq!(quiet_turns.last(), Some(KEPT));
}

#[test]
fn a_turn_is_bounded_however_much_arrives() {
    let now = crate::testing::epoch();
    let (mut core, mut io) = (client(0, now), FakeIo::new());
    let mut driver = io.driver();
    let from = ([127, 0, 0, 1], 1).into();
    io.inbox = (0..10_000).map(|_| (from, vec![0; 100], 100)).collect();
    let turn = driver
        .turn(now, &mut core, &mut io, &mut quiet)
        .expect("usable");
    assert!(turn.more);
    assert_eq!(io.inbox.len(), 10_000 - ROUNDS * (MAX_DATAGRAMS + BATCH));
}

#[test]
fn a_turn_hands_out_more_events_than_one_round_takes() {
    let count = 300;
    let start = crate::testing::epoch();
    let (mut core, mut io) = (client(count, start), FakeIo::new());
    let mut driver = io.driver();
    let turn = driver.turn(start, &mut core, &mut io, &mut quiet);
    assert!(!turn.expect("usable").more);
    // Nobody answers: all end at once, without a word.
    io.sent.clear();
    let (late, mut closed) = (start + Duration::from_secs(600), 0);
    let sink = &mut |_: &mut Endpoint, _, event| {
        closed += u16::from(matches!(event, Event::Closed(_)));
    };
    let turn = driver.turn(late, &mut core, &mut io, sink);
    let turn = turn.expect("usable");
    assert_eq!((closed, io.sent.len(), turn.more), (count, 0, false));
}

#[test]
fn a_turn_says_how_long_the_loop_may_sleep() {
    let now = crate::testing::epoch();
    let second = Duration::from_secs(1);
    let mut turn = Turn::default();
    assert_eq!(turn.wait(now), None);
    turn.deadline = Some(now + second);
    assert_eq!(turn.wait(now), Some(second));
    assert_eq!(turn.wait(now + 2 * second), Some(Duration::ZERO));
    turn.more = true;
    assert_eq!(turn.wait(now), Some(Duration::ZERO));
}

#[test]
fn an_endpoint_is_opened_with_buffers_for_its_socket() {
    let limits = FakeIo::new().limits();
    let (core, driver) = open(EndpointConfig::client(), limits).expect("suits");
    assert_eq!(driver.buffer_len, core.max_udp_payload() * limits.gro);
}

#[test]
fn a_batch_never_exceeds_what_one_packet_holds() {
    // 64 datagrams of 1,452 bytes are more than the 65,507 that a system takes at once.
    let mut io = FakeIo::new();
    io.gso = 64;
    let contents: Vec<u8> = (0..64 * 1452_u32).map(|at| (at % 251) as u8).collect();
    let transmit = Transmit {
        remote: ([127, 0, 0, 1], 1).into(),
        local_ip: None,
        ecn: None,
        size: contents.len(),
        segment_size: Some(1452),
        owner: None,
    };
    let mut queued = Queued {
        transmit,
        contents: contents.clone(),
        sent: 0,
    };
    send(&mut queued, io.gso, &mut io).expect("room for it");
    let lens: Vec<_> = io.sent.iter().map(|(_, part, _)| part.len()).collect();
    assert_eq!(lens, [45 * 1452, 19 * 1452]);
    let all: Vec<u8> = io
        .sent
        .iter()
        .flat_map(|(_, part, _)| part.clone())
        .collect();
    assert!(all == contents, "nothing is lost or repeated");
    assert!(io.sent.iter().all(|(.., size)| *size == Some(1452)));
}

#[test]
fn what_is_diverted_is_not_fed() {
    let now = crate::testing::epoch();
    let mut server = {
        let tls = Identity::localhost().server().into();
        let config = EndpointConfig::server(tls, Config::default()).expect("suits");
        Endpoint::new(config).expect("suits")
    };
    // Two clients' first datagrams, coalesced into one buffer.
    let (mut clients, mut io) = (client(2, now), FakeIo::new());
    let mut driver = io.driver();
    let turn = driver
        .turn(now, &mut clients, &mut io, &mut quiet)
        .expect("usable");
    assert_eq!((io.sent.len(), turn.more), (2, false));
    let (from, both) = (
        ([127, 0, 0, 1], 9).into(),
        io.sent.drain(..).flat_map(|(_, bytes, _)| bytes).collect(),
    );
    io.inbox.push_back((from, both, 1200));

    let (mut driver, mut seen) = (io.driver(), Vec::new());
    assert!(driver.receive(now, &mut io).expect("usable"));
    for _ in 0..2 {
        // Shown once, even if asked twice.
        driver.divert(|arrival, datagram| {
            seen.push((arrival.remote, datagram.len()));
            seen.len() == 1
        });
    }
    assert_eq!(seen, [(from, 1200), (from, 1200)]);
    driver.feed(&mut server, now);
    assert_eq!(server.open_connections(), 1);
    // The next batch is judged anew.
    driver.divert(|_, _| unreachable!("nothing was received"));
}
