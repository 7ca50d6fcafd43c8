//! Early data (row A18) over QUIC and TLS: who may send it, what becomes of it, and that
//! nothing is taken twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::endpoint::tls::{Ticket, TicketStore};
use aqueduct_core::endpoint::{Arrival, ConfigError, Endpoint, EndpointConfig};
use aqueduct_core::error::RequestError;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{ConnKey, StreamKey};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::EarlyData;
use aqueduct_tests::config;
use http::{Method, StatusCode};

/// The tickets of one server.
#[derive(Debug, Default)]
struct Store(Mutex<VecDeque<Ticket>>);

impl TicketStore for Store {
    fn insert(&self, _: &str, ticket: Ticket) {
        self.0.lock().expect("no panic").push_back(ticket);
    }

    fn take(&self, _: &str) -> Option<Ticket> {
        self.0.lock().expect("no panic").pop_back()
    }
}

/// What is different at a server.
type Change<'a> = &'a dyn Fn(&mut Options);

/// A client that keeps its tickets, and servers that keep their sessions.
struct World {
    store: Arc<Store>,
    options: Options,
}

impl World {
    fn new() -> Self {
        let identity = Identity::localhost();
        Self {
            store: Arc::default(),
            options: Options {
                client_tls: Some(identity.client_arc()),
                server_tls: Some(Arc::new(identity.server())),
                early_data: true,
                ..Options::default()
            },
        }
    }

    /// A pair whose client has a ticket of its server's.
    fn acquainted(&self) -> Pair {
        let mut pair = self.pair(|_| {});
        let first = self.connect(&mut pair);
        assert!(!pair.client(first).access().may_send_early());
        pair.drive();
        let told = pair.client.take(first);
        assert!(told.contains(&Event::Connected {
            early: EarlyData::None
        }));
        assert!(told.contains(&Event::Ticket), "{told:?}");
        pair.server.events.clear();
        pair
    }

    /// Another pair with the same tickets and sessions.
    fn pair(&self, change: impl FnOnce(&mut Options)) -> Pair {
        let mut options = self.options.clone();
        change(&mut options);
        Pair::new(options)
    }

    fn connect(&self, pair: &mut Pair) -> ConnKey {
        let target = pair.target().tickets(self.store.clone()).early_data(true);
        let connected = pair.client.endpoint.connect(pair.now, &target);
        connected.expect("begins")
    }
}

fn get() -> RequestHead {
    let uri = "https://localhost/".parse().expect("an address");
    RequestHead::new(Method::GET, uri)
}

/// The first request that the server hears of, and what it has heard before.
fn heard(pair: &mut Pair) -> (Vec<Event>, Option<(ConnKey, StreamKey, bool)>) {
    let mut before = Vec::new();
    for (key, event) in std::mem::take(&mut pair.server.events) {
        if let Event::Request { stream, early, .. } = event {
            return (before, Some((key, stream, early)));
        }
        before.push(event);
    }
    (before, None)
}

/// Answers the request that comes, and reads that at the client.
fn answered(pair: &mut Pair, client: ConnKey, asked: StreamKey) -> bool {
    let (_, request) = heard(pair);
    let (server, stream, early) = request.expect("arrives");
    answer(pair, server, stream);
    assert!(pair.drive_until(|pair| answers(&pair.client.take(client), asked)));
    early
}

fn answer(pair: &mut Pair, server: ConnKey, stream: StreamKey) {
    let ok = ResponseHead::new(StatusCode::OK);
    let answer = pair.server(server).access().respond(stream, &ok, End::Fin);
    answer.expect("answers");
}

/// Whether the answer to a request is among what a client was told.
fn answers(told: &[Event], asked: StreamKey) -> bool {
    let mut told = told.iter();
    told.any(|event| matches!(event, Event::Response { stream, .. } if *stream == asked))
}

/// Row A18: a request and the first flight arrive together, a round trip before the server
/// is connected; the SETTINGS that are kept with the ticket count until the server's own come.
#[test]
fn a_request_goes_out_with_the_first_flight() {
    let world = World::new();
    let mut pair = world.acquainted();
    let kept = world.store.take("localhost").expect("a ticket");
    assert!(kept.allows_early_data());
    let said = kept.settings().expect("kept").qpack_max_table_capacity();
    assert_eq!(said, Config::default().limits.qpack_table);
    world.store.insert("localhost", kept);

    let second = world.connect(&mut pair);
    let begun = pair.elapsed();
    let mut connection = pair.client(second);
    let mut access = connection.access();
    assert!(access.may_send_early());
    assert_eq!(access.early_data(), None);
    let mut post = get();
    post.method = Method::POST;
    let waits = access.request(&post, End::Fin);
    assert_eq!(waits, Err(RequestError::NotConnected));
    let asked = access.request(&get(), End::Fin).expect("goes early");
    let came = |pair: &mut Pair| {
        let request = |(_, event): &(ConnKey, Event)| matches!(event, Event::Request { .. });
        pair.server.events.iter().any(request)
    };
    assert!(pair.drive_until(came));
    assert_eq!(pair.elapsed() - begun, Duration::from_millis(10), "one way");
    let connected = |(_, event): &(ConnKey, Event)| matches!(event, Event::Connected { .. });
    assert!(!pair.server.events.iter().any(connected));

    let (_, request) = heard(&mut pair);
    let (server, stream, early) = request.expect("arrives");
    assert!(early);
    answer(&mut pair, server, stream);
    let mut told = Vec::new();
    assert!(pair.drive_until(|pair| {
        told.extend(pair.client.take(second));
        answers(&told, asked)
    }));
    assert_eq!(
        pair.elapsed() - begun,
        Duration::from_millis(20),
        "one round trip"
    );
    assert_eq!(
        told[0],
        Event::Connected {
            early: EarlyData::Accepted
        }
    );
    pair.drive();
    let told: Vec<_> = pair.server.take(server);
    assert!(
        told.contains(&Event::Connected {
            early: EarlyData::Accepted
        }),
        "{told:?}"
    );
    assert_eq!(pair.client.endpoint.stats().early_data_accepted, 1);
    assert_eq!(pair.server.endpoint.stats().early_data_accepted, 1);
    assert_eq!(pair.client(second).access().stats().early_requests, 1);
    let asked = pair.client(second).access().request(&get(), End::Fin);
    pair.drive();
    assert!(!answered(&mut pair, second, asked.expect("goes")));
}

/// RFC 9114 section 7.2.4.2, RFC 9000 section 7.4.1: a server takes early data only while
/// it says no less than when it gave the ticket.
#[test]
fn a_server_that_offers_less_takes_no_early_data() {
    let http =
        |change: fn(&mut Config)| move |options: &mut Options| options.server = config(change);
    let window = |options: &mut Options| options.transport.stream_receive_window /= 2;
    let (taken, not) = (EarlyData::Accepted, EarlyData::Rejected);
    let less: [(&str, Change<'_>, EarlyData); 5] = [
        ("the same", &|_| {}, taken),
        (
            "more",
            &http(|c| c.limits.qpack_blocked_streams += 1),
            taken,
        ),
        ("sections", &http(|c| c.limits.field_section /= 2), not),
        ("table", &http(|c| c.limits.qpack_table /= 2), not),
        ("window", &window, not),
    ];
    for (name, change, expected) in less {
        let world = World::new();
        drop(world.acquainted());
        let mut pair = world.pair(change);
        let second = world.connect(&mut pair);
        let asked = pair.client(second).access().request(&get(), End::Fin);
        let asked = asked.expect("goes early");
        pair.drive();
        let told = pair.client.take(second);
        assert_eq!(told[0], Event::Connected { early: expected }, "{name}");
        if expected == EarlyData::Accepted {
            assert!(heard(&mut pair).1.is_some(), "{name}");
            continue;
        }
        let rejected = Event::Stream(asked, StreamEvent::EarlyDataRejected);
        assert_eq!(told[1], rejected, "{name}");
        assert_eq!(pair.client.endpoint.stats().early_data_rejected, 1);
        let (before, request) = heard(&mut pair);
        assert_eq!(request, None, "{name}");
        let settings = |event: &Event| matches!(event, Event::Settings(_));
        assert!(before.iter().any(settings), "said again");
        // The connection is as good as any.
        for _ in 0..3 {
            let again = pair.client(second).access().request(&get(), End::Fin);
            pair.drive();
            assert!(!answered(&mut pair, second, again.expect("goes")), "{name}");
        }
    }
}

/// A renewed certificate changes nothing of it.
#[test]
fn a_server_whose_tls_is_renewed_still_takes_early_data() {
    let world = World::new();
    let mut pair = world.acquainted();
    let tls = world.options.server_tls.as_ref().expect("there is one");
    let renewed = Arc::new(rustls::ServerConfig::clone(tls));
    let set = pair.server.endpoint.set_server_tls(renewed);
    set.expect("suits");
    let second = world.connect(&mut pair);
    let asked = pair.client(second).access().request(&get(), End::Fin);
    pair.drive();
    assert!(answered(&mut pair, second, asked.expect("goes early")));
}

/// Off by default: no ticket allows early data, whatever the TLS configuration says.
#[test]
fn a_server_takes_early_data_only_when_it_is_told_to() {
    let mut world = World::new();
    world.options.early_data = false;
    let mut tls = Identity::localhost().server();
    tls.max_early_data_size = u32::MAX;
    world.options.server_tls = Some(Arc::new(tls));
    let mut pair = world.acquainted();
    let second = world.connect(&mut pair);
    assert!(!pair.client(second).access().may_send_early());
    let asked = pair.client(second).access().request(&get(), End::Fin);
    assert_eq!(asked, Err(RequestError::NotConnected));
}

/// The same of a client, and of one that keeps no tickets.
#[test]
fn a_client_sends_early_data_only_when_it_is_told_to() {
    let world = World::new();
    let mut pair = world.acquainted();
    for target in [
        pair.target().tickets(world.store.clone()),
        pair.target().early_data(true),
    ] {
        let second = pair.client.endpoint.connect(pair.now, &target);
        let second = second.expect("begins");
        assert!(!pair.client(second).access().may_send_early());
    }
}

/// RFC 8446 section 8: who has recorded a first flight and sends it again is not heard, by
/// any endpoint of the process that shares the sessions.
#[test]
fn a_replay_is_not_taken() {
    let world = World::new();
    let mut pair = world.acquainted();
    let client = world.connect(&mut pair);
    let asked = pair.client(client).access().request(&get(), End::Fin);
    asked.expect("goes early");
    let (mut flight, mut out) = (Vec::new(), Vec::new());
    while let Some(transmit) = pair.client.endpoint.poll_transmit(pair.now, 1, &mut out) {
        flight.push(out[..transmit.size].to_vec());
    }
    let tls = world.options.server_tls.clone().expect("there is one");
    let config = EndpointConfig::server(tls, Config::default())
        .and_then(|config| config.early_data(true))
        .expect("suits");
    let requests = [(); 2].map(|()| {
        let mut server = Endpoint::new(config.clone()).expect("suits");
        for datagram in &flight {
            let from = Arrival::new(pair.client.addr);
            server.handle_datagram(pair.now, from, datagram[..].into());
        }
        server.handle_timeout(pair.now);
        let events = std::iter::from_fn(|| server.poll_event());
        let early = |(_, event): &(_, Event)| matches!(event, Event::Request { early: true, .. });
        events.filter(early).count()
    });
    assert_eq!(requests, [1, 0]);
}

/// Early data needs sessions that serve once: without, it is refused at the configuration.
#[test]
fn early_data_with_sealed_tickets_is_refused() {
    let tls = || Identity::localhost().server();
    let refused = |tls: rustls::ServerConfig| {
        EndpointConfig::server(Arc::new(tls), Config::default())
            .expect("suits")
            .early_data(true)
            .map(drop)
    };
    assert_eq!(refused(tls()), Ok(()));
    let mut none = tls();
    none.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    assert_eq!(refused(none), Err(ConfigError::NoEarlyData));
}

/// Packets are lost, late and twice; whatever becomes of early data, each request is
/// answered or told as rejected, and never both.
#[test]
fn early_data_over_a_bad_network() {
    for seed in aqueduct_tests::seeds(20) {
        let mut world = World::new();
        world.options.seed = seed;
        drop(world.acquainted());
        let less = seed % 2 == 1;
        let mut pair = world.pair(|options| {
            if less {
                options.server = config(|c| c.limits.field_section /= 2);
            }
        });
        for link in [&mut pair.client.link, &mut pair.server.link] {
            (link.loss, link.duplicates, link.jitter) = (150, 50, Duration::from_millis(15));
        }
        let second = world.connect(&mut pair);
        let mut open: Vec<_> = (0..3)
            .map(|_| pair.client(second).access().request(&get(), End::Fin))
            .map(|asked| asked.expect("goes early"))
            .collect();
        let mut rejected = 0;
        let done = pair.drive_until(|pair| {
            for (server, event) in std::mem::take(&mut pair.server.events) {
                if let Event::Request { stream, .. } = event {
                    answer(pair, server, stream);
                }
            }
            for event in pair.client.take(second) {
                let over = match event {
                    Event::Response { stream, .. } => stream,
                    Event::Stream(stream, StreamEvent::EarlyDataRejected) => {
                        rejected += 1;
                        stream
                    }
                    Event::Closed(reason) => panic!("SEED={seed}: {reason}"),
                    _ => continue,
                };
                let at = open.iter().position(|stream| *stream == over);
                open.swap_remove(at.expect("told once"));
            }
            open.is_empty()
        });
        assert!(done, "SEED={seed}: {open:?}");
        assert_eq!(rejected, if less { 3 } else { 0 }, "SEED={seed}");
    }
}
