//! Many clients at one server: who gets in, who makes place, and who waits no longer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::endpoint::{
    Arrival, Endpoint, EndpointConfig, EndpointStats, IncomingPolicy, Retry, Target,
};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::ConnKey;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::Pair;

struct Client {
    addr: SocketAddr,
    endpoint: Endpoint,
    key: ConnKey,
    events: Vec<Event>,
}

impl Client {
    fn is_connected(&self) -> bool {
        let connected = |event: &Event| matches!(event, Event::Connected { .. });
        self.events.iter().any(connected)
    }

    fn closed(&self) -> Option<&CloseReason> {
        super::closed(&self.events)
    }
}

/// A server and its clients, on a network without delay.
struct Town {
    server: Endpoint,
    clients: Vec<Client>,
    now: Instant,
}

impl Town {
    fn new(policy: impl FnOnce(&mut IncomingPolicy)) -> Self {
        let mut incoming = IncomingPolicy::default();
        policy(&mut incoming);
        Self::with(|config| config.incoming(incoming))
    }

    fn with(change: impl FnOnce(EndpointConfig) -> EndpointConfig) -> Self {
        let tls = Identity::localhost().server().into();
        let config = EndpointConfig::server(tls, Config::default()).expect("suits");
        Self {
            server: Endpoint::new(change(config)).expect("suits"),
            clients: Vec::new(),
            now: Pair::default().now,
        }
    }

    /// One more client, at this host, after everything that follows from it.
    fn arrive(&mut self, host: [u8; 4]) -> &mut Client {
        let mut endpoint = Endpoint::new(EndpointConfig::client()).expect("suits");
        let tls = Identity::localhost().client_arc();
        let target = Target::new(([10, 9, 9, 9], 443).into(), "localhost", tls);
        let key = endpoint.connect(self.now, &target).expect("begins");
        let port = 1000 + self.clients.len() as u16;
        self.clients.push(Client {
            addr: (host, port).into(),
            endpoint,
            key,
            events: Vec::new(),
        });
        self.settle();
        self.clients.last_mut().expect("arrived")
    }

    fn settle(&mut self) {
        let (now, mut buffer, mut busy) = (self.now, Vec::new(), true);
        while std::mem::take(&mut busy) {
            for client in &mut self.clients {
                while let Some(sent) = client.endpoint.poll_transmit(now, 1, &mut buffer) {
                    let data = buffer[..sent.size].into();
                    self.server
                        .handle_datagram(now, Arrival::new(client.addr), data);
                    busy = true;
                }
                while let Some((_, event)) = client.endpoint.poll_event() {
                    client.events.push(event);
                }
            }
            self.server.handle_timeout(now);
            while self.server.poll_event().is_some() {}
            while let Some(sent) = self.server.poll_transmit(now, 1, &mut buffer) {
                let to = self
                    .clients
                    .iter_mut()
                    .find(|client| client.addr == sent.remote);
                if let Some(client) = to {
                    let from = Arrival::new(([10, 9, 9, 9], 443).into());
                    let data = buffer[..sent.size].into();
                    client.endpoint.handle_datagram(now, from, data);
                }
                busy = true;
            }
        }
    }

    /// A request of a client that is never answered.
    fn ask(&mut self, client: usize) {
        let now = self.now;
        let client = &mut self.clients[client];
        let uri = "https://localhost/".parse().expect("a URI");
        let get = RequestHead::new(http::Method::GET, uri);
        let mut connection = client.endpoint.connection(now, client.key).expect("open");
        connection
            .access()
            .request(&get, End::Fin)
            .expect("is sent");
        self.settle();
    }

    fn stats(&self) -> EndpointStats {
        self.server.stats()
    }
}

fn refused(client: &Client) -> bool {
    matches!(
        client.closed(),
        //= https://www.rfc-editor.org/rfc/rfc9000#section-20.1
        // CONNECTION_REFUSED is 0x02.
        Some(CloseReason::Transport(TransportFailure::ClosedByPeer {
            code: 2,
            ..
        }))
    )
}

#[test]
fn an_address_and_a_network_get_their_shares() {
    let mut town = Town::new(|policy| policy.max_connections = 8);
    for _ in 0..4 {
        assert!(town.arrive([10, 0, 0, 1]).is_connected());
    }
    assert!(refused(town.arrive([10, 0, 0, 1])), "one beyond half");
    // Neighbours have what the network has left: three quarters of all.
    assert!(town.arrive([10, 0, 0, 2]).is_connected());
    assert!(town.arrive([10, 0, 0, 3]).is_connected());
    assert!(refused(town.arrive([10, 0, 0, 4])), "one beyond");
    assert!(town.arrive([10, 0, 1, 1]).is_connected(), "another network");
    let stats = town.stats();
    assert_eq!(
        (stats.accepted, stats.refused_share, stats.refused_full),
        (7, 2, 0)
    );
}

/// A server for four that one address may fill.
fn filled() -> Town {
    let mut town = Town::new(|policy| {
        policy.max_connections = 4;
        policy.max_per_address = Some(4);
        policy.max_per_network = Some(4);
    });
    for _ in 0..4 {
        assert!(town.arrive([10, 0, 0, 1]).is_connected());
    }
    town
}

#[test]
fn the_largest_holder_makes_place_for_others_and_not_for_itself() {
    let mut town = filled();
    town.ask(0);
    assert!(town.arrive([10, 5, 0, 1]).is_connected());
    // The first is not idle, so the second went.
    let (bye, reason) = (
        town.clients[1].closed(),
        "idle, and the server is full".into(),
    );
    let no_error = CloseReason::Remote {
        code: Code::H3_NO_ERROR,
        reason,
    };
    assert_eq!(bye, Some(&no_error));
    assert!(town.clients[0].closed().is_none() && town.clients[2].closed().is_none());
    assert!(refused(town.arrive([10, 0, 0, 1])), "the largest itself");
    // The newcomer showed its address before anybody lost a connection.
    let stats = town.stats();
    assert_eq!((stats.evicted_idle, stats.retried), (1, 1));
    assert_eq!((stats.refused_full, stats.accepted), (1, 5));
    assert_eq!(town.server.open_connections(), 4);
}

#[test]
fn who_is_busy_makes_no_place() {
    let mut town = filled();
    (0..4).for_each(|client| town.ask(client));
    assert!(refused(town.arrive([10, 5, 0, 1])));
    let stats = town.stats();
    assert_eq!((stats.evicted_idle, stats.refused_full), (0, 1));
}

#[test]
fn where_all_have_the_same_nobody_makes_place() {
    let mut town = Town::new(|policy| policy.max_connections = 4);
    for network in 0..4 {
        assert!(town.arrive([10, network, 0, 1]).is_connected());
    }
    assert!(refused(town.arrive([10, 5, 0, 1])));
    assert_eq!(town.stats().refused_full, 1);
}

/// What a connection is promised at first.
const LEAST: usize = 736 * 1024;

#[test]
fn the_memory_has_shares_as_well() {
    // For eight, far below the 10,000.
    let mut town = Town::with(|config| config.memory(8 * LEAST));
    for _ in 0..4 {
        assert!(town.arrive([10, 0, 0, 1]).is_connected());
    }
    assert!(refused(town.arrive([10, 0, 0, 1])), "one beyond half");
    for host in 2..4 {
        assert!(town.arrive([10, 0, 0, host]).is_connected());
    }
    assert!(refused(town.arrive([10, 0, 0, 4])), "beyond three quarters");
    assert!(town.arrive([10, 5, 0, 1]).is_connected());
    assert!(town.arrive([10, 6, 0, 1]).is_connected());
    let stats = town.stats();
    assert_eq!((stats.accepted, stats.memory_promised), (8, 8 * LEAST));
    assert_eq!((stats.refused_share, stats.refused_memory), (2, 0));
}

#[test]
fn whoever_has_most_of_the_memory_makes_place_when_it_is_full() {
    let mut town = Town::with(|config| config.memory(8 * LEAST));
    for host in [1, 1, 1, 1, 2, 3] {
        assert!(town.arrive([10, 0, 0, host]).is_connected());
    }
    for network in 5..20 {
        let newcomer = [10, network, 0, 1];
        assert!(town.arrive(newcomer).is_connected(), "{newcomer:?}");
        if network == 9 {
            break;
        }
    }
    let stats = town.stats();
    // There was place for two; each other showed where it is before one had to go.
    assert_eq!(
        (stats.accepted, stats.evicted_idle, stats.retried),
        (11, 3, 3)
    );
    let gone = |town: &Town| {
        let closed = town.clients.iter().map(|client| client.closed().is_some());
        closed.take(6).collect::<Vec<_>>()
    };
    assert_eq!(gone(&town), [true, true, true, false, false, false]);
    // None of who is busy.
    (3..11).for_each(|client| town.ask(client));
    assert!(refused(town.arrive([10, 20, 0, 1])));
    let stats = town.stats();
    assert_eq!((stats.refused_memory, stats.refused_full), (1, 0));
}

#[test]
fn a_network_with_many_handshakes_shows_its_addresses() {
    let mut town = Town::new(|policy| policy.busy_handshakes_per_network = 2);
    // The server's answers get lost: nobody is there.
    for port in 1..=3 {
        let mut client = Endpoint::new(EndpointConfig::client()).expect("suits");
        let tls = Identity::localhost().client_arc();
        let target = Target::new(([10, 9, 9, 9], 443).into(), "localhost", tls);
        client.connect(town.now, &target).expect("begins");
        let mut buffer = Vec::new();
        let sent = client
            .poll_transmit(town.now, 1, &mut buffer)
            .expect("an Initial");
        let from = Arrival::new(([10, 0, 0, 1], port).into());
        town.server
            .handle_datagram(town.now, from, buffer[..sent.size].into());
        town.server.handle_timeout(town.now);
    }
    assert_eq!((town.stats().accepted, town.stats().retried), (2, 1));
    assert!(town.arrive([10, 5, 0, 1]).is_connected());
    assert_eq!(town.stats().retried, 1, "others are not asked");
}

#[test]
fn a_handshake_has_ten_seconds() {
    let mut pair = Pair::default();
    // What the server says gets lost; the client asks again and again.
    pair.server.link.down = true;
    let client = pair.connect();
    pair.advance(Duration::from_millis(9_990));
    assert_eq!(pair.server.endpoint.open_connections(), 1);
    assert_eq!(pair.client.endpoint.open_connections(), 1);
    // Nor does the client's goodbye arrive. Its first datagram was 10 ms on the way.
    pair.client.link.down = true;
    pair.advance(Duration::from_millis(21));
    assert_eq!(pair.server.endpoint.open_connections(), 0);
    assert_eq!(pair.server.endpoint.stats().handshakes_timed_out, 1);
    assert_eq!(pair.client.endpoint.stats().handshakes_timed_out, 1);
    let timed_out = CloseReason::Transport(TransportFailure::TimedOut);
    assert_eq!(super::closed(&pair.client.take(client)), Some(&timed_out));
    // A connection that is established has all the time it likes.
    (pair.client.link.down, pair.server.link.down) = (false, false);
    let (client, _) = pair.establish();
    pair.advance(Duration::from_secs(11));
    assert!(super::closed(&pair.client.take(client)).is_none());
}

#[test]
fn a_flood_takes_nobodys_answers_or_turns() {
    let mut town = Town::new(|policy| policy.retry = Retry::Never);
    town.arrive([10, 5, 0, 1]);
    town.ask(0);
    let (now, server) = (town.now, &mut town.server);
    let flood = Arrival::new(([10, 0, 0, 1], 1).into());
    for _ in 0..200 {
        server.handle_datagram(now, flood, super::unknown_version());
    }
    let honest = Arrival::new(([10, 7, 0, 1], 1).into());
    server.handle_datagram(now, honest, super::unknown_version());
    assert_eq!(server.stats().responses_dropped, 200 - 64 + 1);
    // A connection with something to send has every other turn.
    server.close(now, Code::H3_NO_ERROR, "");
    let (mut buffer, mut to) = (Vec::new(), Vec::new());
    while let Some(sent) = server.poll_transmit(now, 1, &mut buffer) {
        to.push(sent.remote);
    }
    assert_eq!(to.get(1), Some(&town.clients[0].addr), "{to:?}");
    assert!(
        to.contains(&honest.remote) && to.len() == 65,
        "{}",
        to.len()
    );
}
