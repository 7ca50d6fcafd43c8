//! Clients with a pool each, and servers that restart, over connections of the core. All
//! of it on virtual time and from one seed, but for the bytes that TLS draws.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aqueduct_core::error::{CloseReason, RequestError, TransportFailure};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::RequestHead;
use aqueduct_core::id::{Dir, Side, StreamId, StreamKey};
use aqueduct_core::pool::{
    Action, ConnId, DialFailure, Origin, OriginConfig, Pool, PoolConfig, PoolError, Rules, Ticket,
};
use aqueduct_core::testing::loopback::Rng;
use aqueduct_core::transport::ReadState;
use http::Method;

use crate::ends::{Connect, Ends};

/// One turn of the world.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Servers there are.
pub(crate) const SERVERS: usize = 4;

/// What became of a request. Each has one, in the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The whole answer was read.
    Answered,
    /// The pool says why not.
    Failed(PoolError),
    /// The connection says that it was not processed.
    Unprocessed,
    /// The server reset it, or the answer has no end.
    Reset,
}

impl Outcome {
    /// Whether the server is said to have done nothing.
    pub(crate) fn is_unprocessed(&self) -> bool {
        match self {
            Self::Failed(error) => error.is_unprocessed(),
            Self::Unprocessed => true,
            Self::Answered | Self::Reset => false,
        }
    }
}

/// A request of a client.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ticket: Ticket,
    pub(crate) server: usize,
    pub(crate) outcome: Option<Outcome>,
    lent: bool,
}

/// A connection, as both ends know it.
struct Wire {
    server: usize,
    ends: Box<dyn Ends>,
    /// The turn in which it begins to move; until then it is on its way.
    begins: u64,
    /// Requests by their streams at the client.
    streams: BTreeMap<StreamKey, u64>,
    /// Requests at the server, and when they are answered.
    owed: Vec<(u64, StreamKey)>,
    /// What the client does not know yet: streams of a GOAWAY are told by themselves.
    draining: bool,
    closed: bool,
}

/// One client.
struct Client {
    pool: Pool,
    wires: BTreeMap<ConnId, Wire>,
    /// Tickets that are lent, and when their holders look.
    lent: Vec<(u64, Ticket, ConnId)>,
    /// Streams that the pool is told of later.
    opened: Vec<(u64, Ticket, StreamId)>,
    tickets: BTreeMap<Ticket, u64>,
}

/// What a server has done, and whether it is there.
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// Requests that its application saw, and how often.
    pub(crate) log: BTreeMap<u64, u32>,
    down_until: u64,
}

/// All of it.
pub(crate) struct World {
    rng: Rng,
    pub(crate) turn: u64,
    start: Instant,
    clients: Vec<Client>,
    pub(crate) servers: Vec<Server>,
    pub(crate) requests: BTreeMap<u64, Asked>,
    /// What is on the way goes wrong now and then.
    pub(crate) rough: bool,
    connect: Connect,
}

pub(crate) fn origin(server: usize) -> Origin {
    Origin::new(&format!("s{server}.example"), 443).expect("an origin")
}

fn timed_out() -> TransportFailure {
    TransportFailure::TimedOut
}

impl World {
    /// A world with so many clients, whose connections are made by `connect`.
    pub(crate) fn new(
        seed: u64,
        clients: usize,
        connect: Connect,
        change: impl Fn(&mut OriginConfig),
    ) -> Self {
        let mut all = OriginConfig::default();
        change(&mut all);
        let mut config = PoolConfig::default();
        config.rules = Rules::new(all).expect("rules");
        let client = |n| {
            config.seed = n as u64;
            Client {
                pool: Pool::new(config.clone()).expect("a pool"),
                wires: BTreeMap::new(),
                lent: Vec::new(),
                opened: Vec::new(),
                tickets: BTreeMap::new(),
            }
        };
        Self {
            rng: Rng::new(seed),
            turn: 0,
            start: aqueduct_core::testing::epoch(),
            clients: (0..clients).map(client).collect(),
            servers: (0..SERVERS).map(|_| Server::default()).collect(),
            requests: BTreeMap::new(),
            rough: true,
            connect,
        }
    }

    fn now(&self) -> Instant {
        self.start + TICK * u32::try_from(self.turn).expect("a short test")
    }

    pub(crate) fn pool(&self, client: usize) -> &Pool {
        &self.clients[client].pool
    }

    /// Connections that are there, and streams of theirs at the client's end.
    pub(crate) fn wires(&mut self, client: usize) -> (usize, usize) {
        let wires = &mut self.clients[client].wires;
        let streams = wires.values_mut().map(|wire| wire.ends.live_streams());
        (streams.len(), streams.sum())
    }

    /// A client asks a server for something.
    pub(crate) fn ask(&mut self, client: usize, server: usize) -> u64 {
        let number = self.requests.len() as u64;
        let now = self.now();
        let asked = self.clients[client].pool.checkout(now, &origin(server));
        match asked {
            Ok(ticket) => {
                self.clients[client].tickets.insert(ticket, number);
                let asked = Asked {
                    ticket,
                    server,
                    outcome: None,
                    lent: false,
                };
                self.requests.insert(number, asked);
                self.act(client);
            }
            // Told at once, and nobody has to wait for more.
            Err(error) => assert!(error.is_unprocessed(), "{error}"),
        }
        number
    }

    /// A client does not want an answer any more (row D9).
    pub(crate) fn drop_one(&mut self, client: usize) {
        let tickets: Vec<_> = self.clients[client].tickets.keys().copied().collect();
        let at = self.rng.below(tickets.len() as u64) as usize;
        let Some(ticket) = tickets.get(at) else {
            return;
        };
        let number = self.clients[client].tickets[ticket];
        for wire in self.clients[client].wires.values_mut() {
            let stream = wire.streams.iter().find(|(_, one)| **one == number);
            if let Some(stream) = stream.map(|(stream, _)| *stream) {
                wire.streams.remove(&stream);
                wire.ends.cancel(stream);
            }
        }
        self.over(client, *ticket, Outcome::Reset);
    }

    /// A server begins to go away, as one that is told to restart does.
    pub(crate) fn drain(&mut self, server: usize) {
        for wire in self.wires_of(server) {
            wire.ends.drain(Duration::from_secs(2));
        }
    }

    /// A server is gone, and back after a while.
    pub(crate) fn stop(&mut self, server: usize, turns: u64) {
        self.servers[server].down_until = self.turn + turns;
        for wire in self.wires_of(server) {
            wire.ends.vanish();
        }
    }

    fn wires_of(&mut self, server: usize) -> impl Iterator<Item = &mut Wire> {
        let wires = self
            .clients
            .iter_mut()
            .flat_map(|client| client.wires.values_mut());
        wires.filter(move |wire| wire.server == server && !wire.closed)
    }

    /// Lets a turn pass.
    pub(crate) fn tick(&mut self) {
        self.turn += 1;
        for client in 0..self.clients.len() {
            self.act(client);
            self.hold(client);
            let conns: Vec<_> = self.clients[client].wires.keys().copied().collect();
            for conn in conns {
                self.move_wire(client, conn);
            }
            self.act(client);
        }
    }

    /// Holders of tickets do what is theirs, in an order of their own.
    fn hold(&mut self, client: usize) {
        let now = self.now();
        let turn = self.turn;
        let mut lent = std::mem::take(&mut self.clients[client].lent);
        while !lent.is_empty() {
            let at = self.rng.below(lent.len() as u64) as usize;
            let (due, ticket, conn) = lent.swap_remove(at);
            if due > turn {
                self.clients[client].lent.push((due, ticket, conn));
                continue;
            }
            self.send(client, ticket, conn);
        }
        let opened = std::mem::take(&mut self.clients[client].opened);
        for (due, ticket, stream) in opened {
            if due > turn {
                self.clients[client].opened.push((due, ticket, stream));
            } else {
                self.clients[client]
                    .pool
                    .request_opened(now, ticket, stream);
                self.act(client);
            }
        }
    }

    fn send(&mut self, client: usize, ticket: Ticket, conn: ConnId) {
        let now = self.now();
        let this = &mut self.clients[client];
        let Some(number) = this.tickets.get(&ticket).copied() else {
            return;
        };
        let uri = format!("https://s.example/{number}")
            .parse()
            .expect("a URI");
        let head = RequestHead::new(Method::GET, uri);
        let wire = this.wires.get_mut(&conn).filter(|wire| !wire.closed);
        let sent = match wire {
            Some(wire) => wire.ends.request(&head),
            None => Err(RequestError::Closed),
        };
        match sent {
            Ok(stream) => {
                let wire = this.wires.get_mut(&conn).expect("it has sent");
                wire.streams.insert(stream, number);
                let late = if self.rough { self.rng.below(3) } else { 0 };
                let opened = (self.turn + late, ticket, stream.id());
                this.opened.push(opened);
            }
            Err(
                RequestError::Blocked
                | RequestError::Draining
                | RequestError::Closed
                | RequestError::NotConnected,
            ) => {
                this.pool.give_back(now, ticket);
                self.act(client);
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// A connection moves on, and both ends do what it tells them.
    fn move_wire(&mut self, client: usize, conn: ConnId) {
        let (turn, rough) = (self.turn, self.rough);
        // Some connections are slower than others, and than themselves.
        let stalls = rough && self.rng.percent(20);
        let steps = match rough {
            true => self.rng.below(40),
            false => 1_000,
        };
        let breaks = rough && self.rng.below(2_000) == 0;
        let up = |world: &Self, server: usize| world.servers[server].down_until <= turn;
        let Some(server) = self.clients[client]
            .wires
            .get(&conn)
            .map(|wire| wire.server)
        else {
            return;
        };
        let up = up(self, server);
        let wire = self.clients[client]
            .wires
            .get_mut(&conn)
            .expect("it is there");
        if wire.begins > turn || stalls {
            return;
        }
        // Nobody is there, or is any more.
        if (wire.begins == turn && !up) || breaks {
            wire.ends.vanish();
        }
        wire.ends.pass(TICK, steps);
        self.serve(client, conn);
        self.listen(client, conn);
    }

    /// The server's end: it answers what it is asked, after a while.
    fn serve(&mut self, client: usize, conn: ConnId) {
        let turn = self.turn;
        let wire = self.clients[client]
            .wires
            .get_mut(&conn)
            .expect("it is there");
        let log = &mut self.servers[wire.server].log;
        while let Some(event) = wire.ends.take(Side::Server) {
            if let Event::Request { stream, head, .. } = event {
                let path = head.uri.path().trim_start_matches('/');
                let number: u64 = path.parse().expect("a number");
                *log.entry(number).or_default() += 1;
                let late = if self.rough { self.rng.below(30) } else { 0 };
                wire.owed.push((turn + late, stream));
            }
        }
        let owed = std::mem::take(&mut wire.owed);
        for (due, stream) in owed {
            if due > turn {
                wire.owed.push((due, stream));
                continue;
            }
            wire.ends.answer(stream);
        }
    }

    /// The client's end: what it hears goes to the pool and to whoever asked.
    fn listen(&mut self, client: usize, conn: ConnId) {
        let now = self.now();
        loop {
            let rough = self.rough;
            let by_id = rough && self.rng.percent(50);
            let this = &mut self.clients[client];
            let Some(wire) = this.wires.get_mut(&conn) else {
                return;
            };
            let Some(event) = wire.ends.take(Side::Client) else {
                return;
            };
            match event {
                Event::Connected { .. } => {
                    let max = wire.ends.granted().filter(|_| by_id);
                    if !this.pool.connected(now, conn, max) {
                        self.close(client, conn);
                        return;
                    }
                }
                Event::Available(Dir::Bi) => {
                    let max = wire.ends.granted().filter(|_| by_id);
                    this.pool.credit(now, conn, max);
                }
                Event::Draining { .. } => {
                    wire.draining = true;
                    self.goaway(client, conn, by_id);
                }
                Event::Response { stream, .. } => self.read(client, conn, stream),
                Event::Stream(stream, StreamEvent::Readable) => self.read(client, conn, stream),
                Event::Stream(stream, StreamEvent::Unprocessed) => {
                    self.told(client, conn, stream, Outcome::Unprocessed);
                }
                Event::Stream(stream, StreamEvent::Reset(code)) => {
                    let outcome = match code.is_unprocessed() {
                        true => Outcome::Unprocessed,
                        false => Outcome::Reset,
                    };
                    self.told(client, conn, stream, outcome);
                }
                Event::Closed(reason) => {
                    wire.closed = true;
                    this.pool.closed(now, conn, *reason);
                    self.act(client);
                    self.clients[client].wires.remove(&conn);
                    return;
                }
                _ => {}
            }
            self.act(client);
        }
    }

    /// The GOAWAY by its id, as a connection would know it that does not tell of streams,
    /// or without.
    fn goaway(&mut self, client: usize, conn: ConnId, by_id: bool) {
        let now = self.now();
        let this = &mut self.clients[client];
        let wire = this.wires.get_mut(&conn).expect("it is there");
        if !by_id {
            return this.pool.goaway(now, conn, None);
        }
        let mut beyond = BTreeSet::new();
        while let Some(stream) = wire.ends.take_unprocessed() {
            beyond.insert(stream.id());
            wire.streams.remove(&stream);
        }
        let none = StreamId::new(Side::Client, Dir::Bi, 1 << 40);
        let id = beyond.first().copied().unwrap_or(none);
        this.pool.goaway(now, conn, Some(id));
    }

    fn read(&mut self, client: usize, conn: ConnId, stream: StreamKey) {
        let wire = self.clients[client]
            .wires
            .get_mut(&conn)
            .expect("it is there");
        let Some(read) = wire.ends.read(stream) else {
            return;
        };
        let outcome = match read {
            Ok(ReadState::Finished) => Outcome::Answered,
            Ok(_) => return,
            Err(_) => Outcome::Reset,
        };
        self.told(client, conn, stream, outcome);
    }

    fn told(&mut self, client: usize, conn: ConnId, stream: StreamKey, outcome: Outcome) {
        let this = &mut self.clients[client];
        let wire = this.wires.get_mut(&conn).expect("it is there");
        let Some(number) = wire.streams.remove(&stream) else {
            return;
        };
        let ticket = self.requests[&number].ticket;
        self.over(client, ticket, outcome);
    }

    /// A request is over for whoever asked.
    fn over(&mut self, client: usize, ticket: Ticket, outcome: Outcome) {
        let now = self.now();
        let this = &mut self.clients[client];
        let Some(number) = this.tickets.remove(&ticket) else {
            return;
        };
        // What was sent is told before its end.
        let at = this.opened.iter().position(|(_, one, _)| *one == ticket);
        if let Some((_, _, stream)) = at.map(|at| this.opened.swap_remove(at)) {
            this.pool.request_opened(now, ticket, stream);
        }
        this.lent.retain(|(_, one, _)| *one != ticket);
        assert!(this.pool.release(now, ticket), "{ticket:?} is over already");
        let asked = self.requests.get_mut(&number).expect("it was asked");
        assert_eq!(asked.outcome, None, "request {number} has one end");
        asked.outcome = Some(outcome);
        self.act(client);
    }

    fn close(&mut self, client: usize, conn: ConnId) {
        let wire = self.clients[client].wires.remove(&conn);
        if let Some(mut wire) = wire {
            wire.ends.close();
        }
    }

    /// Does what the pool wants, until it wants no more.
    fn act(&mut self, client: usize) {
        let now = self.now();
        while let Some(action) = self.clients[client].pool.poll_action(now) {
            self.take(client, action);
        }
    }

    fn take(&mut self, client: usize, action: Action) {
        let now = self.now();
        match action {
            Action::Dial { conn, origin: to } => {
                let server = (0..SERVERS).find(|server| origin(*server) == to);
                let server = server.expect("a server");
                let refused = self.rough && self.rng.percent(3);
                if refused {
                    let failure = DialFailure::Closed(CloseReason::Transport(timed_out()));
                    return self.clients[client].pool.dial_failed(now, conn, failure);
                }
                let ends = (self.connect)(self.rough.then(|| self.rng.bits()));
                let late = if self.rough { self.rng.below(10) } else { 0 };
                let wire = Wire {
                    server,
                    ends,
                    begins: self.turn + 1 + late,
                    streams: BTreeMap::new(),
                    owed: Vec::new(),
                    draining: false,
                    closed: false,
                };
                self.clients[client].wires.insert(conn, wire);
            }
            Action::Lend { ticket, conn } => {
                self.in_order(client, ticket);
                let late = if self.rough { self.rng.below(3) } else { 0 };
                self.clients[client]
                    .lent
                    .push((self.turn + late, ticket, conn));
            }
            Action::Fail { ticket, error } => {
                let this = &mut self.clients[client];
                let number = this.tickets.remove(&ticket).expect("it is not over");
                for wire in this.wires.values_mut() {
                    wire.streams.retain(|_, one| *one != number);
                }
                this.lent.retain(|(_, one, _)| *one != ticket);
                let asked = self.requests.get_mut(&number).expect("it was asked");
                assert_eq!(asked.outcome, None, "request {number} has one end");
                asked.outcome = Some(Outcome::Failed(error));
            }
            Action::Retire { conn, .. } => self.close(client, conn),
            other => panic!("{other:?}"),
        }
    }

    /// Whoever is lent a connection for the first time has waited for longest.
    fn in_order(&mut self, client: usize, ticket: Ticket) {
        let number = self.clients[client].tickets[&ticket];
        let server = self.requests[&number].server;
        for (earlier, number) in self.clients[client].tickets.range(..ticket) {
            let asked = &self.requests[number];
            let waits = asked.server == server && !asked.lent;
            assert!(!waits, "{ticket:?} before {earlier:?}");
        }
        self.requests.get_mut(&number).expect("it was asked").lent = true;
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_quiet(&self) -> bool {
        self.clients.iter().all(|client| client.tickets.is_empty())
    }

    /// What must hold when all have their answers.
    pub(crate) fn judge(&self) {
        for (number, asked) in &self.requests {
            let outcome = asked.outcome.as_ref();
            let outcome = outcome.unwrap_or_else(|| panic!("request {number} is lost"));
            let times = |server: &Server| server.log.get(number).copied().unwrap_or(0);
            let processed: u32 = self.servers.iter().map(times).sum();
            assert!(
                processed <= 1,
                "request {number} was sent {processed} times"
            );
            match outcome {
                Outcome::Answered => assert_eq!(processed, 1, "request {number}"),
                said if said.is_unprocessed() => {
                    assert_eq!(processed, 0, "request {number}: {said:?}");
                }
                _ => {}
            }
        }
        for client in &self.clients {
            let stats = client.pool.stats();
            assert_eq!((stats.all.active, stats.all.queued), (0, 0), "{stats:?}");
            assert_eq!((client.lent.len(), client.opened.len()), (0, 0));
        }
    }
}
