//! Connections from first datagram to last event, over QUIC and TLS on virtual
//! time.

mod closes;
mod crawler;
mod drain;
mod early_data;
mod farewell;
mod http;
mod last_words;
mod memory;
mod order;
mod random;
mod recorded;
mod renewed;
mod resources;
mod shares;
mod silent;
mod stream_credit;
mod thin_line;
mod tickets;
mod turns;
mod unanswerable;
mod versions;
mod writers;

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::connection::{Command, CommandError};
use aqueduct_core::endpoint::{
    Arrival, ConfigError, ConnectError, Endpoint, EndpointConfig, IncomingPolicy, Retry, Target,
    tls,
};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Side};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::loopback::Rng;
use aqueduct_core::testing::pair::{Options, Pair};
use bytes::BytesMut;

/// Before the first test: all of them are replayed when they end.
#[ctor::ctor(unsafe)]
fn replay_all() {
    aqueduct_tests::replayed::replay_all();
}

/// The reason in a connection's last event.
fn closed(events: &[Event]) -> Option<&CloseReason> {
    match events.last()? {
        Event::Closed(reason) => Some(reason),
        _ => None,
    }
}

/// 1,200 bytes of a version that nobody knows: they are answered with version
/// negotiation (RFC 9000 section 6.1).
fn unknown_version() -> BytesMut {
    let mut datagram = BytesMut::zeroed(1200);
    datagram[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8]);
    datagram[14] = 8;
    datagram
}

fn policy(change: impl FnOnce(&mut IncomingPolicy)) -> Options {
    let mut options = Options::default();
    change(&mut options.incoming);
    options
}

#[test]
fn a_handshake_agrees_on_h3_and_tells_both_ends() {
    let (pair, client, server) = Pair::connected(Options::default());
    let ours = pair.client.endpoint.info(client).expect("known");
    let theirs = pair.server.endpoint.info(server).expect("known");
    assert_eq!((ours.side(), theirs.side()), (Side::Client, Side::Server));
    assert_eq!(ours.alpn().as_deref(), Some(tls::ALPN));
    assert_eq!(theirs.alpn().as_deref(), Some(tls::ALPN));
    assert_eq!(theirs.server_name().as_deref(), Some("localhost"));
    assert_eq!(ours.peer_certificates(), [Identity::localhost().cert]);
    assert_eq!(ours.remote_address(), pair.server.addr);
    assert_eq!(ours.rtt(), Duration::from_millis(20));
    assert!(!ours.is_handshaking());
    let peer = ours.peer_parameters().expect("the handshake is complete");
    assert_eq!(peer.max_idle_timeout, 30_000);
    assert_eq!(peer.initial_max_streams_bidi, 100);
    // An eighth of 96 KiB.
    assert_eq!(peer.initial_max_stream_data_bidi_remote, 12 * 1024);
    assert_eq!(peer.max_datagram_frame_size, Some(65_535));
    let (mut a, mut b) = ([0; 32], [0; 32]);
    ours.export_keying_material(&mut a, b"EXPORTER", b"")
        .expect("exports");
    theirs
        .export_keying_material(&mut b, b"EXPORTER", b"")
        .expect("exports");
    assert_eq!(a, b);
}

#[test]
fn datagrams_are_announced_only_when_http_wants_them() {
    let mut options = Options::default();
    options.server.datagrams = false;
    let (pair, client, server) = Pair::connected(options);
    let ours = pair.client.endpoint.info(client).expect("known");
    let theirs = pair.server.endpoint.info(server).expect("known");
    assert_eq!(
        ours.peer_parameters()
            .expect("complete")
            .max_datagram_frame_size,
        None
    );
    assert!(
        theirs
            .peer_parameters()
            .expect("complete")
            .max_datagram_frame_size
            .is_some()
    );
}

#[test]
fn silence_ends_a_connection() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    pair.client.link.down = true;
    pair.server.link.down = true;
    pair.advance(Duration::from_secs(40));
    let timed_out = CloseReason::Transport(TransportFailure::TimedOut);
    assert_eq!(closed(&pair.client.take(client)), Some(&timed_out));
    assert_eq!(closed(&pair.server.take(server)), Some(&timed_out));
    assert!(pair.client.endpoint.is_idle() && pair.server.endpoint.is_idle());
    assert_eq!(pair.client.endpoint.poll_timeout(), None);
}

#[test]
fn keep_alive_keeps_a_connection() {
    let mut options = Options::default();
    options.transport.keep_alive = Some(Duration::from_secs(10));
    let (mut pair, client, server) = Pair::connected(options);
    pair.advance(Duration::from_secs(299));
    assert!(closed(&pair.client.take(client)).is_none());
    assert!(pair.server.endpoint.connection(pair.now, server).is_some());
}

#[test]
fn a_close_reaches_the_peer_and_both_forget() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let close = Command::Close(Code::H3_INTERNAL_ERROR, "enough".into());
    pair.client_command(client, close.clone())
        .expect("a connection");
    pair.drive();
    let code = Code::H3_INTERNAL_ERROR;
    assert_eq!(
        closed(&pair.client.take(client)),
        Some(&CloseReason::Local {
            code,
            reason: "enough".into()
        })
    );
    assert_eq!(
        closed(&pair.server.take(server)),
        Some(&CloseReason::Remote {
            code,
            reason: "enough".into()
        })
    );
    // A key that is outlived by its connection names nothing.
    assert!(pair.client.endpoint.connection(pair.now, client).is_none());
    assert_eq!(
        pair.client_command(client, close),
        Err(CommandError::NoConnection)
    );
    pair.advance(Duration::from_secs(5));
    assert!(pair.client.endpoint.info(client).is_none());
    assert!(pair.client.endpoint.is_idle() && pair.server.endpoint.is_idle());
    // Nor does it name the next connection in the same slot.
    let (next, _) = pair.establish();
    assert_eq!((next.index(), next == client), (client.index(), false));
    assert!(pair.client.endpoint.connection(pair.now, client).is_none());
}

#[test]
fn of_a_long_reason_arrives_what_a_packet_holds() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let reason = "x".repeat(5000);
    let close = Command::Close(Code::H3_NO_ERROR, reason.into());
    pair.client_command(client, close).expect("a connection");
    pair.drive();
    let Some(CloseReason::Remote { reason, .. }) = closed(&pair.server.take(server)).cloned()
    else {
        panic!("the peer is not told");
    };
    assert!((1000..1500).contains(&reason.len()), "{}", reason.len());
}

#[test]
fn connections_of_one_endpoint_do_not_notice_each_other() {
    let (mut pair, first, _) = Pair::connected(Options::default());
    let (second, server) = pair.establish();
    assert_eq!(
        (pair.client.endpoint.open_connections(), first == second),
        (2, false)
    );
    pair.server_command(server, Command::Close(Code::H3_NO_ERROR, "".into()))
        .expect("a connection");
    pair.drive();
    assert!(closed(&pair.client.take(second)).is_some());
    assert!(pair.client.take(first).is_empty());
    assert!(pair.client.endpoint.connection(pair.now, first).is_some());
    assert_eq!(pair.server.endpoint.open_connections(), 1);
}

#[test]
fn more_connections_than_allowed_are_refused() {
    let mut pair = Pair::new(policy(|policy| policy.max_connections = 1));
    let (first, _) = pair.establish();
    let second = pair.connect();
    pair.drive();
    //= https://www.rfc-editor.org/rfc/rfc9000#section-20.1
    // CONNECTION_REFUSED is 0x02.
    let events = pair.client.take(second);
    let refused = closed(&events);
    assert!(
        matches!(
            refused,
            Some(CloseReason::Transport(TransportFailure::ClosedByPeer {
                code: 0x02,
                ..
            }))
        ),
        "{refused:?}"
    );
    assert!(pair.client.endpoint.connection(pair.now, first).is_some());
    let stats = pair.server.endpoint.stats();
    assert_eq!((stats.accepted, stats.refused_full), (1, 1));
}

#[test]
fn an_endpoint_that_stops_accepting_refuses() {
    let (mut pair, first, _) = Pair::connected(Options::default());
    pair.server.endpoint.set_accepting(false);
    let second = pair.connect();
    pair.drive();
    assert!(closed(&pair.client.take(second)).is_some());
    assert!(closed(&pair.client.take(first)).is_none());
    pair.server.endpoint.set_accepting(true);
    pair.establish();
}

#[test]
fn a_retry_costs_one_round_trip_and_connects() {
    let time = |retry| {
        let mut pair = Pair::new(policy(|policy| policy.retry = retry));
        let start = pair.now;
        let client = pair.connect();
        assert!(pair.drive_until(|pair| !pair.client.events.is_empty()));
        assert!(matches!(
            pair.client.take(client)[..],
            [Event::Connected { .. }]
        ));
        pair.now - start
    };
    assert_eq!(
        time(Retry::Always) - time(Retry::Never),
        Duration::from_millis(20)
    );
}

#[test]
fn a_certificate_that_is_not_trusted_ends_the_handshake_on_both_sides() {
    let stranger = Identity::new(2, &["localhost"]).client_arc();
    let mut pair = Pair::new(Options {
        client_tls: Some(stranger),
        ..Options::default()
    });
    let client = pair.connect();
    pair.drive();
    //= https://www.rfc-editor.org/rfc/rfc9001#section-4.8
    // 0x100 and the TLS alert; 48 is unknown_ca.
    let ours = pair.client.take(client);
    assert!(
        matches!(
            closed(&ours),
            Some(CloseReason::Transport(TransportFailure::Error {
                code: 0x130,
                ..
            }))
        ),
        "{ours:?}"
    );
    let theirs = pair.server.events.pop().expect("told").1;
    assert!(
        matches!(
            closed(std::slice::from_ref(&theirs)),
            Some(CloseReason::Transport(TransportFailure::ClosedByPeer {
                code: 0x130,
                ..
            }))
        ),
        "{theirs:?}"
    );
    assert_eq!(pair.server.endpoint.open_connections(), 0);
}

#[test]
fn a_client_without_h3_is_turned_away() {
    let mut tls = Identity::localhost().client();
    tls.alpn_protocols = vec![b"hq-interop".to_vec()];
    let mut pair = Pair::new(Options {
        client_tls: Some(Arc::new(tls)),
        ..Options::default()
    });
    let (now, target) = (pair.now, pair.target());
    let refused = pair.client.endpoint.connect(now, &target);
    assert!(
        matches!(refused, Err(ConnectError::Config(ConfigError::NoHttp3))),
        "{refused:?}"
    );
    assert!(pair.client.endpoint.is_idle(), "nothing was begun");
}

#[test]
fn a_handshake_survives_a_bad_path() {
    for seed in 0..20 {
        let mut pair = Pair::new(Options {
            seed,
            ..Options::default()
        });
        for link in [&mut pair.client.link, &mut pair.server.link] {
            (link.loss, link.duplicates, link.jitter) = (200, 100, Duration::from_millis(30));
        }
        let client = pair.connect();
        assert!(pair.drive_until(|pair| !pair.client.events.is_empty()));
        let events = pair.client.take(client);
        assert!(
            matches!(events.first(), Some(Event::Connected { .. })),
            "SEED={seed} {events:?}"
        );
    }
}

#[test]
fn an_answer_from_nobody_ends_in_a_timeout() {
    let mut pair = Pair::default();
    pair.client.link.down = true;
    let client = pair.connect();
    pair.advance(Duration::from_secs(60));
    let timed_out = CloseReason::Transport(TransportFailure::TimedOut);
    assert_eq!(closed(&pair.client.take(client)), Some(&timed_out));
}

#[test]
fn a_client_that_moves_keeps_its_connection() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    pair.rebind_client();
    pair.client.endpoint.handle_rebind(pair.now);
    pair.drive();
    let addr = pair.client.addr;
    assert_eq!(
        pair.server
            .endpoint
            .info(server)
            .expect("known")
            .remote_address(),
        addr
    );
    assert!(closed(&pair.client.take(client)).is_none());
}

#[test]
fn timeouts_may_come_early_late_and_twice() {
    let (mut pair, client, _) = Pair::connected(Options::default());
    for _ in 0..3 {
        pair.client.endpoint.handle_timeout(pair.now);
        pair.client.endpoint.handle_timeout(pair.now);
        assert!(pair.client.endpoint.poll_event().is_none());
    }
    let late = pair.now + Duration::from_secs(3600);
    pair.client.endpoint.handle_timeout(late);
    pair.client.endpoint.handle_timeout(late);
    let mut told = Vec::new();
    while let Some((key, event)) = pair.client.endpoint.poll_event() {
        assert_eq!(key, client);
        told.push(event);
    }
    assert_eq!(told.len(), 1, "Closed once: {told:?}");
    pair.client.endpoint.handle_timeout(late);
    assert!(pair.client.endpoint.poll_event().is_none());
    assert_eq!(pair.client.endpoint.poll_timeout(), None);
}

#[test]
fn an_endpoint_knows_whether_it_has_events() {
    let (mut pair, client, _) = Pair::connected(Options::default());
    let (now, endpoint) = (pair.now, &mut pair.client.endpoint);
    while endpoint.poll_event().is_some() {}
    assert!(!endpoint.has_events());
    let close = Command::Close(Code::H3_NO_ERROR, "".into());
    let closed = endpoint.handle_command(now, client, close);
    closed.expect("is open");
    assert!(endpoint.has_events());
    // Asking takes nothing.
    let (key, event) = endpoint.poll_event().expect("as it said");
    assert!(key == client && matches!(event, Event::Closed(_)));
    assert!(!endpoint.has_events());
}

#[test]
fn an_ipv6_socket_reaches_ipv4_hosts() {
    let tls = Identity::localhost().client_arc();
    let target = |addr: &str| Target::new(addr.parse().expect("one"), "localhost", tls.clone());
    for (local, host, reached) in [
        ("[::]:9", "192.0.2.1:443", "[::ffff:192.0.2.1]:443"),
        ("[::]:9", "[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("0.0.0.0:9", "192.0.2.1:443", "192.0.2.1:443"),
    ] {
        let target = target(host).reached_from(local.parse().expect("an address"));
        assert_eq!(target.addr, reached.parse().expect("an address"));
    }
}

#[test]
fn close_all_leaves_nothing_behind() {
    let (mut pair, ..) = Pair::connected(Options::default());
    pair.establish();
    pair.server
        .endpoint
        .close(pair.now, Code::H3_NO_ERROR, "going home");
    pair.drive();
    pair.advance(Duration::from_secs(5));
    assert!(pair.server.endpoint.is_idle() && pair.client.endpoint.is_idle());
    let closes = |events: &[(ConnKey, Event)]| {
        events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Closed(_)))
            .count()
    };
    assert_eq!(
        (closes(&pair.client.events), closes(&pair.server.events)),
        (2, 2)
    );
}

#[test]
fn answers_to_nobody_are_bounded() {
    let mut pair = Pair::default();
    let remote = ([10, 0, 0, 9], 9).into();
    // An Initial of a version nobody speaks is answered with version negotiation.
    let mut packet = vec![0xc0, 0x0a, 0x0b, 0x0c, 0x0d, 8];
    packet.extend([1; 8]);
    packet.push(0);
    packet.resize(1200, 0);
    for _ in 0..1000 {
        pair.server
            .endpoint
            .handle_datagram(pair.now, Arrival::new(remote), packet[..].into());
    }
    let mut out = Vec::new();
    let mut answers = 0;
    while let Some(transmit) = pair.server.endpoint.poll_transmit(pair.now, 1, &mut out) {
        assert_eq!((transmit.remote, transmit.size), (remote, out.len()));
        answers += 1;
    }
    assert_eq!(answers, 64);
}

#[test]
fn bytes_of_any_kind_are_taken() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let mut luck = Rng::new(7);
    let from = Arrival::new(pair.client.addr);
    for _ in 0..20_000 {
        let len = luck.bits() as usize % 1500;
        let bytes: Vec<u8> = (0..len).map(|_| luck.bits() as u8).collect();
        pair.server
            .endpoint
            .handle_datagram(pair.now, from, bytes[..].into());
    }
    pair.drive();
    assert!(pair.server.endpoint.connection(pair.now, server).is_some());
    assert!(pair.client.endpoint.connection(pair.now, client).is_some());
}

#[test]
fn a_connection_that_cannot_be_begun_says_why() {
    let now = Pair::default().now;
    let mut endpoint = Endpoint::new(EndpointConfig::client()).expect("a client");
    let tls = Identity::localhost().client_arc();
    let to = |addr: ([u8; 4], u16), name| Target::new(addr.into(), name, Arc::clone(&tls));
    let nowhere = endpoint.connect(now, &to(([127, 0, 0, 1], 0), "localhost"));
    assert!(
        matches!(nowhere, Err(ConnectError::InvalidAddress(_))),
        "{nowhere:?}"
    );
    let nameless = endpoint.connect(now, &to(([127, 0, 0, 1], 1), "not a name"));
    assert!(
        matches!(nameless, Err(ConnectError::InvalidServerName(_))),
        "{nameless:?}"
    );
    endpoint.close(now, Code::H3_NO_ERROR, "");
    let late = endpoint.connect(now, &to(([127, 0, 0, 1], 1), "localhost"));
    assert!(matches!(late, Err(ConnectError::Refused)), "{late:?}");
    assert!(endpoint.is_idle());
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut pair = Pair::new(Options {
            seed,
            ..Options::default()
        });
        pair.client.link.loss = 100;
        pair.server.link.loss = 100;
        for _ in 0..3 {
            pair.connect();
        }
        pair.drive();
        let counts = (pair.client.link.counts, pair.server.link.counts);
        (pair.elapsed(), counts, format!("{:?}", pair.client.events))
    };
    for seed in 0..5 {
        assert_eq!(trace(seed), trace(seed), "SEED={seed}");
    }
    assert_ne!(trace(1), trace(2));
}

#[test]
fn time_that_runs_backwards_is_not_believed() {
    let (mut pair, client, _) = Pair::connected(Options::default());
    let early = pair.now - Duration::from_millis(15);
    pair.client.endpoint.handle_timeout(early);
    pair.client(client).access().close(Code::H3_NO_ERROR, "");
    let mut out = Vec::new();
    assert!(
        pair.client
            .endpoint
            .poll_transmit(early, 1, &mut out)
            .is_some()
    );
    let deadline = pair.client.endpoint.poll_timeout().expect("closing");
    assert!(deadline.at > pair.now);
}

#[cfg(feature = "qlog")]
#[test]
fn each_connection_has_a_trace_of_its_own() {
    use std::io::Write;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let sinks = Arc::new(Mutex::new(Vec::new()));
    let made = Arc::clone(&sinks);
    let factory = move |side: Side, _| -> Option<Box<dyn Write + Send + Sync>> {
        let sink = Sink::default();
        made.lock().expect("one thread").push((side, sink.clone()));
        Some(Box::new(sink))
    };
    let mut pair = Pair::default();
    let config = EndpointConfig::client().qlog(Arc::new(factory));
    pair.client.endpoint = Endpoint::new(config).expect("a client");
    pair.establish();
    pair.establish();
    let sinks = sinks.lock().expect("one thread");
    assert_eq!(sinks.len(), 2);
    for (side, sink) in sinks.iter() {
        let trace = sink.0.lock().expect("one thread");
        assert_eq!(*side, Side::Client);
        assert!(
            trace.windows(10).any(|at| at == b"recovery:m"),
            "{} bytes",
            trace.len()
        );
    }
}

/// RFC 9001 section 5: every QUIC connection begins with AES-128-GCM.
#[test]
fn tls_without_the_first_cipher_does_not_suit() {
    let now = Pair::default().now;
    let mut endpoint = Endpoint::new(EndpointConfig::client()).expect("a client");
    let mut provider = (*tls::provider()).clone();
    let first = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.retain(|one| one.suite() != first);
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("other ciphers of TLS 1.3 are left")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let to = Target::new(([127, 0, 0, 1], 1).into(), "localhost", Arc::new(config));
    let unsuited = endpoint.connect(now, &to);
    assert!(
        matches!(
            unsuited,
            Err(ConnectError::Config(ConfigError::NoInitialSuite))
        ),
        "{unsuited:?}"
    );
    assert!(endpoint.is_idle());
}
