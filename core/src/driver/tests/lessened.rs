//! An error about one receiver costs nobody else GSO and ECN: sockets of this system,
//! because what it says and what quinn-udp makes of it is the matter.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use bytes::BytesMut;

use super::*;

/// A bound socket, into which a test may put arrivals that nobody has sent.
struct RealIo {
    socket: UdpSocket,
    state: UdpSocketState,
    inbox: VecDeque<(SocketAddr, Option<IpAddr>, Vec<u8>)>,
    restored: usize,
    /// The device refuses several datagrams at once.
    no_gso: bool,
    /// Whoever the system finds invalid: what goes there goes to port 0.
    invalid: Option<SocketAddr>,
    /// Datagrams per call that went.
    sent: Vec<usize>,
}

impl RealIo {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let state = prepare(|| (&socket).into()).expect("usable");
        Self {
            socket,
            state,
            inbox: VecDeque::new(),
            restored: 0,
            no_gso: false,
            invalid: None,
            sent: Vec::new(),
        }
    }

    /// A datagram that calls for an answer of one datagram: of a version that nobody
    /// knows (RFC 9000 section 6.1).
    fn ask(&mut self, from: SocketAddr, to: Option<IpAddr>) {
        let mut datagram = vec![0; 1200];
        datagram[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8]);
        datagram[14] = 8;
        self.inbox.push_back((from, to, datagram));
    }
}

impl UdpIo for RealIo {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let (from, to, datagram) = self.inbox.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        bufs[0][..datagram.len()].copy_from_slice(&datagram);
        meta[0] = RecvMeta::default();
        (meta[0].addr, meta[0].dst_ip) = (from, to);
        (meta[0].len, meta[0].stride) = (datagram.len(), datagram.len());
        Ok(1)
    }

    fn send(&mut self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        if self.no_gso && transmit.segment_size.is_some() {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let mut transmit = transmit.clone();
        if self.invalid == Some(transmit.destination) {
            transmit.destination.set_port(0);
        }
        self.state.try_send((&self.socket).into(), &transmit)?;
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        self.sent.push(transmit.contents.len().div_ceil(size));
        Ok(())
    }

    fn limits(&self) -> IoLimits {
        IoLimits::from(&self.state)
    }

    fn restore(&mut self) -> io::Result<()> {
        self.restored += 1;
        self.state = UdpSocketState::new((&self.socket).into())?;
        Ok(())
    }
}

fn server(io: &RealIo) -> (Endpoint, Driver) {
    let tls = Identity::localhost().server().into();
    let config = EndpointConfig::server(tls, Config::default()).expect("suits");
    open(config, io.limits()).expect("opens")
}

#[test]
fn what_one_receiver_cost_is_back_with_the_next_call() {
    let start = crate::testing::epoch();
    let mut io = RealIo::new();
    let (mut core, mut driver) = server(&io);
    let before = io.limits();
    assert!(before.gso > 1, "this system sends several at once");
    let peer = SocketAddr::from(([192, 0, 2, 1], 1));
    io.invalid = Some(peer);
    let mut turn = |second, io: &mut RealIo| {
        let now = start + Duration::from_secs(second);
        let turn = driver.turn(now, &mut core, io, &mut quiet);
        let _ = turn.expect("survives");
        core.stats().send_errors
    };
    io.ask(peer, None);
    assert_eq!(turn(0, &mut io), 1);
    assert_eq!((io.restored, io.limits()), (1, before), "at once");
    io.ask(peer, None);
    assert_eq!(turn(0, &mut io), 2);
    assert_eq!((io.restored, io.limits().gso), (1, 1), "once a second");
    assert_eq!(turn(1, &mut io), 2);
    assert_eq!((io.restored, io.limits()), (2, before));
    assert_eq!(turn(2, &mut io), 2);
    assert_eq!(io.restored, 2, "nothing has happened");
    let fault = core.socket_fault().expect("told");
    assert_eq!(fault.error.code, Some(libc::EINVAL));
}

/// Whoever nobody can answer is not answered, so the socket is not even asked.
#[test]
fn who_cannot_be_answered_costs_nothing() {
    let now = crate::testing::epoch();
    let mut io = RealIo::new();
    let (mut core, mut driver) = server(&io);
    let before = io.limits();
    let nobody = [
        (Ipv4Addr::LOCALHOST, 0),
        (Ipv4Addr::UNSPECIFIED, 1),
        (Ipv4Addr::BROADCAST, 1),
        (Ipv4Addr::new(224, 0, 0, 1), 1),
    ];
    for (ip, port) in nobody {
        io.ask((ip, port).into(), None);
        io.ask((ip.to_ipv6_mapped(), port).into(), None);
    }
    // Nor can anybody answer from there.
    let somebody = ([192, 0, 2, 1], 1).into();
    for group in [[224, 0, 0, 1], [255, 255, 255, 255]] {
        io.ask(somebody, Some(IpAddr::from(group)));
    }
    while !io.inbox.is_empty() {
        let turn = driver.turn(now, &mut core, &mut io, &mut quiet);
        let _ = turn.expect("survives");
    }
    assert_eq!(core.stats().unanswerable, 2 * nobody.len() as u64 + 2);
    assert_eq!(core.stats().send_errors, 0);
    assert_eq!((io.limits(), io.sent), (before, vec![]));
}

/// A device that takes datagrams one by one only: none is lost, and nothing is restored.
#[test]
fn a_device_that_does_not_segment_loses_nothing() {
    let now = crate::testing::epoch();
    let mut io = RealIo::new();
    io.no_gso = true;
    let (_, mut driver) = server(&io);
    let peer = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let transmit = Transmit {
        remote: peer.local_addr().expect("bound"),
        local_ip: None,
        ecn: None,
        size: 350,
        segment_size: Some(100),
        owner: None,
    };
    driver.queue.push_back(Queued {
        transmit,
        contents: vec![1; 350],
        sent: 0,
    });
    let _ = driver.flush(&mut io);
    driver.receive(now, &mut io).expect("nothing is there");
    assert_eq!((io.sent, io.restored), (vec![1; 4], 0));
    let mut received = BytesMut::zeroed(200);
    let sizes = [0; 4].map(|_| peer.recv(&mut received).expect("arrived"));
    assert_eq!(sizes, [100, 100, 100, 50]);
}
