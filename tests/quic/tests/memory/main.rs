//! What is kept for a peer is what is counted: a server's real memory, by an allocator
//! that counts, while a client sends what nobody reads, and while it has sessions.
//!
//! Its own binary, because it replaces the allocator.

mod handles;
mod sessions;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::driver::{Driver, IoLimits, UdpIo, quinn_udp};
use aqueduct_core::endpoint::{Endpoint, EndpointConfig, Target, TransportSettings};
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::{ConnKey, Dir, StreamKey};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::wt::there;
use bytes::Bytes;

struct Counting;

// Of this thread, and only while the server works.
thread_local! {
    static SERVING: Cell<bool> = const { Cell::new(false) };
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(size: isize) {
    // While a thread ends there is nothing left to count in.
    if SERVING.try_with(Cell::get).unwrap_or(false) {
        let _ = HELD.try_with(|held| held.set(held.get() + size));
    }
}

// SAFETY: passes everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Work of the server's, whose memory is counted.
fn serving<T>(work: impl FnOnce() -> T) -> T {
    SERVING.set(true);
    let result = work();
    SERVING.set(false);
    result
}

const KIB: isize = 1024;
const MIB: isize = 1024 * KIB;

/// A socket of two queues.
#[derive(Default)]
struct Io {
    inbox: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 1000);

impl UdpIo for Io {
    fn recv(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [quinn_udp::RecvMeta],
    ) -> io::Result<usize> {
        SERVING.set(false);
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(bytes) = self.inbox.pop_front() else {
                break;
            };
            buf[..bytes.len()].copy_from_slice(&bytes);
            *meta = quinn_udp::RecvMeta::default();
            meta.addr = SocketAddr::from(CLIENT);
            (meta.len, meta.stride) = (bytes.len(), bytes.len());
            count += 1;
        }
        SERVING.set(true);
        match count {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn send(&mut self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        SERVING.set(false);
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        let datagrams = transmit.contents.chunks(size).map(<[u8]>::to_vec);
        self.sent.extend(datagrams);
        SERVING.set(true);
        Ok(())
    }

    fn limits(&self) -> IoLimits {
        IoLimits::new()
    }
}

/// A client that does as it likes, and a server behind a driver.
struct Attack {
    now: Instant,
    client: Endpoint,
    connection: ConnKey,
    server: Endpoint,
    driver: Driver,
    io: Io,
    /// Sent along between any two datagrams of the client's.
    junk: Option<Vec<u8>>,
    /// Connections of the server's that it has heard of, and what of them.
    heard: Vec<(ConnKey, Event)>,
    /// What the server held once connected.
    before: isize,
}

impl Attack {
    fn new() -> Self {
        Self::with(TransportSettings::default())
    }

    fn with(transport: TransportSettings) -> Self {
        Self::of(Config::default(), transport)
    }

    fn of(http: Config, transport: TransportSettings) -> Self {
        let now = aqueduct_core::testing::epoch();
        let tls = Arc::new(Identity::localhost().server());
        let server = EndpointConfig::server(tls, http.clone()).expect("suits");
        let server = server.transport(transport).expect("in range");
        // Sends as much as it may, and at once.
        let mut fast = TransportSettings::default();
        fast.initial_send_window = 64 << 20;
        fast.send_window = 64 << 20;
        fast.initial_rtt = Duration::from_millis(1);
        let client = EndpointConfig::client().transport(fast).expect("in range");
        let (mut client, server) = (Endpoint::new(client), Endpoint::new(server));
        let target = Target::new(
            ([10, 0, 0, 2], 443).into(),
            "localhost",
            Identity::localhost().client_arc(),
        )
        .http(http.clone());
        let connection = client.as_mut().expect("a client").connect(now, &target);
        let mut attack = Self {
            now,
            client: client.expect("a client"),
            connection: connection.expect("begins"),
            server: server.expect("a server"),
            driver: Driver::new(1472, IoLimits::new()),
            io: Io::default(),
            junk: None,
            heard: Vec::new(),
            before: 0,
        };
        attack.drive();
        assert_eq!(attack.server.open_connections(), 1);
        attack.before = HELD.get();
        attack
    }

    /// Memory that the server holds beyond that of an idle connection.
    fn held(&self) -> isize {
        HELD.get() - self.before
    }

    fn send_all(&mut self) {
        let mut out = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now, 1, &mut out) {
            self.io.inbox.extend(self.junk.clone());
            self.io.inbox.push_back(out[..transmit.size].to_vec());
        }
    }

    /// Lets both do what there is to do, without waiting for anything long.
    fn drive(&mut self) {
        for round in 0..2_000 {
            self.send_all();
            if round > 0 && self.io.inbox.is_empty() && self.io.sent.is_empty() {
                let next = [self.client.poll_timeout(), self.server.poll_timeout()];
                let next = next.into_iter().flatten().map(|next| next.at).min();
                match next.filter(|at| *at < self.now + Duration::from_millis(100)) {
                    Some(at) => self.now = self.now.max(at),
                    None => break,
                }
            }
            self.now += Duration::from_micros(10);
            let Self {
                now,
                server,
                driver,
                io,
                heard,
                ..
            } = self;
            let turn = serving(|| {
                driver.turn(*now, server, io, &mut |_: &mut Endpoint, key, event| {
                    heard.push((key, event));
                })
            });
            assert!(!turn.expect("usable").wants_write);
            for datagram in self.io.sent.drain(..) {
                let data = self.client.copy_datagram(&datagram);
                let from = SocketAddr::from(([10, 0, 0, 2], 443));
                self.client.handle_datagram(self.now, from.into(), data);
            }
            self.client.handle_timeout(self.now);
            while self.client.poll_event().is_some() {}
        }
    }

    /// Sends each of the bytes in a packet of its own, as far as the peer lets it.
    fn write(&mut self, stream: StreamKey, bytes: &[u8], step: usize) {
        for chunk in bytes.chunks(step) {
            let client = self.client.connection(self.now, self.connection);
            let mut client = client.expect("open");
            let mut access = client.access();
            let mut send = access.send(stream).expect("a stream");
            if send.write(&mut [Bytes::copy_from_slice(chunk)]) != Ok(chunk.len()) {
                break;
            }
            self.drive_if_much();
        }
        self.drive();
    }

    fn drive_if_much(&mut self) {
        self.send_all();
        if self.io.inbox.len() > 8 {
            self.drive();
        }
    }

    fn post(&mut self) -> StreamKey {
        let head = RequestHead::new(http::Method::POST, "https://a/".parse().expect("a URI"));
        let client = self.client.connection(self.now, self.connection);
        let mut client = client.expect("open");
        client.access().request(&head, End::More).expect("begins")
    }

    fn sessions(&mut self, count: usize) -> Vec<aqueduct_core::id::SessionKey> {
        let mut sessions = Vec::new();
        for _ in 0..count {
            serving(|| self.heard.clear());
            let mut client = self
                .client
                .connection(self.now, self.connection)
                .expect("open");
            sessions.push(client.access().open_session(&there()).expect("asks"));
            self.drive();
            self.drive();
            let Self {
                now, server, heard, ..
            } = self;
            serving(|| {
                for (key, event) in heard.drain(..) {
                    if let Event::WebTransport(asked, SessionEvent::Requested(_)) = event {
                        let mut server = server.connection(*now, key).expect("open");
                        let mut access = server.access();
                        let answer = ConnectAnswer::default();
                        let accepted = access.webtransport(asked).accept(&answer);
                        accepted.expect("accepts");
                    }
                }
            });
            self.drive();
        }
        sessions
    }

    fn closed(&self) -> Option<CloseReason> {
        self.heard.iter().find_map(|(_, event)| match event {
            Event::Closed(reason) => Some(CloseReason::clone(reason)),
            _ => None,
        })
    }
}

/// They held 266 MiB: each a block of 64 KiB that was filled with others' bytes.
#[test]
fn datagrams_of_a_byte_hold_no_more_than_a_byte_and_its_place() {
    let mut attack = Attack::new();
    let sessions = attack.sessions(16);
    let before = attack.held();
    attack.junk = Some(vec![0x55; 1400]);
    for _ in 0..256 {
        for session in &sessions {
            let mut client = attack
                .client
                .connection(attack.now, attack.connection)
                .expect("open");
            client.access().send_datagram(*session, b"x").expect("room");
            attack.drive_if_much();
        }
    }
    attack.drive();
    let mut waiting = 0;
    let key = attack.heard.first().map(|(key, _)| *key).expect("events");
    let held = attack.held() - before;
    let mut server = attack.server.connection(attack.now, key).expect("open");
    let streams: Vec<_> = attack
        .heard
        .iter()
        .filter_map(|(_, event)| match event {
            Event::WebTransport(key, SessionEvent::Datagrams) => Some(*key),
            _ => None,
        })
        .collect();
    for session in streams {
        while server.access().recv_datagram(session).is_some() {
            waiting += 1;
        }
    }
    assert_eq!(waiting, 4096);
    assert!(held < MIB, "{held} bytes for 4,096");
}

/// 9 MB of it held 511 MiB.
#[test]
fn a_body_that_nobody_reads_holds_an_eighth_of_its_window() {
    for (step, at_most) in [(100, 50 * KIB), (20_000, 20 * KIB)] {
        let mut attack = Attack::new();
        let stream = attack.post();
        attack.junk = Some(vec![0x55; 1400]);
        attack.write(stream, &vec![7; 9_000_000], step);
        let held = attack.held();
        assert_eq!(attack.closed(), None);
        assert!(held > 12 * KIB, "{held} bytes arrived");
        assert!(held < at_most, "{held} bytes in steps of {step}");
    }
}

#[test]
fn streams_with_a_byte_each_hold_few_bytes_each() {
    let mut attack = Attack::new();
    attack.junk = Some(vec![0x55; 1400]);
    for _ in 0..100 {
        let stream = attack.post();
        attack.write(stream, b"x", 1);
    }
    let held = attack.held();
    let asked = |(_, event): &&(ConnKey, Event)| matches!(event, Event::Request { .. });
    assert_eq!(attack.heard.iter().filter(asked).count(), 100);
    assert!(held < 400 * KIB, "{held} bytes");
}

/// Packets that are full of other things, and a byte of a stream in each that nobody
/// reads: what they hold is bounded, whatever QUIC's own count says.
#[test]
fn a_peer_that_has_little_in_many_packets_is_shown_out() {
    for (streams, closes) in [(5, false), (180, true)] {
        let mut attack = Attack::new();
        let session = attack.sessions(1)[0];
        let before = attack.held();
        for n in 0..streams {
            let client = attack.client.connection(attack.now, attack.connection);
            let Some(mut client) = client else { break };
            let mut access = client.access();
            let dir = if n < 90 { Dir::Uni } else { Dir::Bi };
            let stream = access.webtransport(session).open_stream(dir);
            let Ok(stream) = stream else { break };
            for _ in 0..25 {
                let client = attack.client.connection(attack.now, attack.connection);
                let Some(mut client) = client else { break };
                let mut access = client.access();
                let Ok(mut send) = access.send(stream) else {
                    break;
                };
                if send.write(&mut [Bytes::from_static(b"x")]) != Ok(1) {
                    break;
                }
                access.send_datagram(session, &[7; 1000]).ok();
                attack.drive();
            }
        }
        let held = attack.held() - before;
        let hoarding = attack.server.stats().closed_hoarding;
        assert_eq!(hoarding, u64::from(closes), "{streams} streams");
        let excessive = |reason| matches!(reason, CloseReason::Local { code, .. } if code == Code::H3_EXCESSIVE_LOAD);
        assert_eq!(attack.closed().is_some_and(excessive), closes);
        assert!(held < 4 * MIB, "{held} bytes");
    }
}

/// All the streams there may be, each with all that it may carry.
#[test]
fn streams_that_nobody_reads_hold_less_than_the_window() {
    let mut attack = Attack::new();
    let session = attack.sessions(1)[0];
    let before = attack.held();
    let bytes = vec![7; 20_000];
    for n in 0..190 {
        let stream = if n < 95 {
            attack.post()
        } else {
            let client = attack.client.connection(attack.now, attack.connection);
            let mut client = client.expect("open");
            let mut access = client.access();
            let stream = access.webtransport(session).open_stream(Dir::Uni);
            stream.expect("opens")
        };
        attack.write(stream, &bytes, 1_000);
    }
    let held = attack.held() - before;
    assert_eq!(attack.closed(), None);
    let sent = 190 * 12 * KIB;
    assert!(held > sent, "{held} bytes arrived");
    assert!(held < 3 * MIB, "{held} bytes");
}
