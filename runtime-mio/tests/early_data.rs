//! Row A18: requests in early data on ports of mio, taken and not taken.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use aqueduct_mio::protocol::code::Code;
use aqueduct_mio::protocol::config::Config;
use aqueduct_mio::protocol::endpoint::tls::rustls::{ClientConfig, ServerConfig};
use aqueduct_mio::protocol::endpoint::tls::{Ticket, TicketStore};
use aqueduct_mio::protocol::endpoint::{EndpointConfig, Target};
use aqueduct_mio::protocol::event::{Event, StreamEvent};
use aqueduct_mio::protocol::head::{End, RequestHead, ResponseHead};
use aqueduct_mio::protocol::id::ConnKey;
use aqueduct_mio::protocol::testing::cert::Identity;
use aqueduct_mio::protocol::transport::EarlyData;
use aqueduct_mio::{App, PortKey, Ports, run};
use http::{Method, StatusCode};
use mio::Poll;

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The tickets of one server name.
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

fn server(tls: &Arc<ServerConfig>, http: Config) -> EndpointConfig {
    let config = EndpointConfig::server(tls.clone(), http);
    let config = config.and_then(|config| config.early_data(true));
    config.expect("suits")
}

/// Connects to one server after the other, and asks each for one thing.
struct Asking {
    store: Arc<Store>,
    tls: Arc<ClientConfig>,
    client: PortKey,
    servers: VecDeque<SocketAddr>,
    /// Of the connection: its answer and a ticket are here.
    here: (bool, bool),
    is_over: bool,
    /// What became of early data.
    outcomes: Vec<EarlyData>,
    rejected: usize,
    /// Whether the requests that servers saw were early.
    came: Vec<bool>,
}

impl Asking {
    fn next(&mut self, ports: &mut Ports) {
        let Some(address) = self.servers.pop_front() else {
            self.is_over = true;
            return;
        };
        self.here = (false, false);
        let target = Target::new(address, "localhost", self.tls.clone())
            .tickets(self.store.clone())
            .early_data(true);
        let key = ports.connect(self.client, target).expect("begins");
        let mut connection = ports.connection(self.client, key).expect("is there");
        if connection.access().may_send_early() {
            self.ask(ports, key);
        }
    }

    fn ask(&self, ports: &mut Ports, key: ConnKey) {
        let uri = "https://localhost/".parse().expect("an address");
        let head = RequestHead::new(Method::GET, uri);
        let mut connection = ports.connection(self.client, key).expect("is there");
        let asked = connection.access().request(&head, End::Fin);
        asked.expect("goes");
    }

    fn client_event(&mut self, ports: &mut Ports, key: ConnKey, event: Event) {
        match event {
            Event::Connected { early } => {
                self.outcomes.push(early);
                if early == EarlyData::None {
                    self.ask(ports, key);
                }
            }
            // It may be sent again, by whoever sent it.
            Event::Stream(_, StreamEvent::EarlyDataRejected) => {
                self.rejected += 1;
                self.ask(ports, key);
            }
            Event::Response { .. } => self.here.0 = true,
            Event::Ticket => self.here.1 = true,
            Event::Closed(_) => return self.next(ports),
            _ => return,
        }
        if self.here == (true, true) {
            let mut connection = ports.connection(self.client, key).expect("is there");
            connection.access().close(Code::H3_NO_ERROR, "");
        }
    }
}

impl App for Asking {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, key: ConnKey, event: Event) {
        if port == self.client {
            return self.client_event(ports, key, event);
        }
        if let Event::Request { stream, early, .. } = event {
            self.came.push(early);
            let head = ResponseHead::new(StatusCode::OK);
            let mut connection = ports.connection(port, key).expect("is there");
            let answer = connection.access().respond(stream, &head, End::Fin);
            answer.expect("goes");
        }
    }

    fn is_over(&mut self, _: &mut Ports) -> bool {
        self.is_over
    }
}

/// What a client sees of a server and of another that stands in its place later, and what they see.
fn asked(before: EndpointConfig, after: EndpointConfig) -> (Vec<EarlyData>, usize, Vec<bool>) {
    let mut poll = Poll::new().expect("a poll");
    let mut ports = Ports::new(poll.registry(), 0..4).expect("one waker");
    let servers = [before, after].map(|config| {
        let port = ports.bind(config, ANY).expect("binds");
        ports.local_addr(port).expect("is bound")
    });
    let client = ports.bind(EndpointConfig::client(), ANY).expect("binds");
    let mut app = Asking {
        store: Arc::default(),
        tls: Identity::localhost().client_arc(),
        client,
        servers: servers.into(),
        here: (false, false),
        is_over: false,
        outcomes: Vec::new(),
        rejected: 0,
        came: Vec::new(),
    };
    app.next(&mut ports);
    run(&mut poll, &mut ports, &mut app).expect("the sockets work");
    (app.outcomes, app.rejected, app.came)
}

/// Two endpoints of one process that share a TLS configuration know each other's tickets.
#[test]
fn a_request_is_taken_with_the_first_flight() {
    let tls = Arc::new(Identity::localhost().server());
    let [before, after] = [(); 2].map(|()| server(&tls, Config::default()));
    let (outcomes, rejected, came) = asked(before, after);
    assert_eq!(outcomes, [EarlyData::None, EarlyData::Accepted]);
    assert_eq!(rejected, 0);
    assert_eq!(came, [false, true]);
}

#[test]
fn a_request_that_is_not_taken_is_told_and_goes_again() {
    let [tls, other] = [(); 2].map(|()| Arc::new(Identity::localhost().server()));
    let mut less = Config::default();
    less.limits.field_section /= 2;
    let changes = [
        (&other, Config::default(), "it has lost its sessions"),
        (&tls, less, "it takes less than it did"),
    ];
    for (now, http, why) in changes {
        let (outcomes, rejected, came) = asked(server(&tls, Config::default()), server(now, http));
        assert_eq!(outcomes, [EarlyData::None, EarlyData::Rejected], "{why}");
        assert_eq!(rejected, 1, "{why}");
        assert_eq!(came, [false, false], "{why}");
    }
}
