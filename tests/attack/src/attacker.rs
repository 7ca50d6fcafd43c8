//! What every attack stands on: connections that are kept up, a clock, and luck.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quinn_proto::StreamId;

use crate::conn::Conn;
use crate::net::Net;
use crate::server::Kind;
use crate::wire;

/// Where attackers come from.
pub const HOSTILE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name, for the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub what: &'static str,
    /// The servers it makes sense against; the short form takes the first.
    pub on: &'static [Kind],
    /// Hostile connections at once: what it may hold follows from it.
    pub connections: u64,
    /// It leaves without a word, or what it leaves behind is the application's: memory need
    /// not be back two seconds later.
    pub lasting: bool,
    /// A server of ours has short deadlines, and must reset streams or close connections.
    pub cut: bool,
    /// Newcomers come to the page over HTTP/1.1.
    pub page: bool,
    /// A large file that newcomers ask for.
    pub file: Option<&'static str>,
    /// Further arguments of the server.
    pub args: &'static [&'static str],
    /// Does it, until [`Attacker::on`] says no.
    pub run: fn(&mut Attacker),
}

impl Attack {
    /// An attack on every server by one connection; the rest is by functional update.
    pub const fn new(name: &'static str, what: &'static str, run: fn(&mut Attacker)) -> Self {
        Self {
            name,
            what,
            on: Kind::ALL,
            connections: 1,
            lasting: false,
            cut: false,
            page: false,
            file: None,
            args: &[],
            run,
        }
    }

    /// By so many connections at once.
    #[must_use]
    pub const fn by(mut self, connections: u64) -> Self {
        self.connections = connections;
        self
    }

    /// What it leaves behind may stay for longer.
    #[must_use]
    pub const fn lasting(mut self) -> Self {
        self.lasting = true;
        self
    }

    /// A deadline must put an end to it: the servers of ours, to which deadlines can be given,
    /// reset streams or close connections within three seconds.
    #[must_use]
    pub const fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    /// It is the page that newcomers are to be served by.
    #[must_use]
    pub const fn page(mut self) -> Self {
        self.page = true;
        self
    }

    /// It is this large file that newcomers are to get.
    #[must_use]
    pub const fn file(mut self, path: &'static str) -> Self {
        self.file = Some(path);
        self
    }

    /// Against these servers only.
    #[must_use]
    pub const fn on(mut self, servers: &'static [Kind]) -> Self {
        self.on = servers;
        self
    }

    /// Against a server with these further arguments.
    #[must_use]
    pub const fn with(mut self, args: &'static [&'static str]) -> Self {
        self.args = args;
        self
    }
}

/// What an attack has to work with.
#[derive(Debug)]
pub struct Attacker {
    /// The socket and the connections.
    pub net: Net,
    /// The server under attack.
    pub kind: Kind,
    /// Its QUIC port.
    pub server: SocketAddr,
    /// Its page over HTTP/1.1.
    pub page: Option<SocketAddr>,
    /// How many connections the attack is to keep.
    pub connections: u64,
    /// Bytes a second not to be exceeded.
    pub bytes_per_second: Option<u64>,
    /// Luck; it follows from the seed.
    pub luck: Luck,
    /// Operations beyond those of connections.
    pub ops: u64,
    /// Open no connection in place of one that has ended.
    pub once: bool,
    began: Instant,
    stop: Arc<AtomicBool>,
}

impl Attacker {
    /// An attacker that goes on until `stop`.
    ///
    /// # Errors
    /// No socket.
    pub fn new(
        kind: Kind,
        server: SocketAddr,
        page: Option<SocketAddr>,
        connections: u64,
        seed: u64,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        Ok(Self {
            net: Net::new(server, HOSTILE)?,
            kind,
            server,
            page,
            connections,
            bytes_per_second: None,
            luck: Luck(seed | 1),
            ops: 0,
            once: false,
            began: Instant::now(),
            stop,
        })
    }

    /// Takes a turn of the network; false when the attack is to end.
    pub fn on(&mut self) -> bool {
        let mut busy = self.net.turn();
        if let Some(rate) = self.bytes_per_second {
            let allowed = self.began.elapsed().as_secs_f64() * rate as f64;
            busy &= (self.net.sent as f64) < allowed;
        }
        if !busy {
            thread::sleep(Duration::from_micros(100));
        }
        !self.stop.load(Ordering::Relaxed)
    }

    /// Time since the attack began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Keeps the attack's connections up, and each turn calls `each` for each of them that
    /// is open, with a state of its own. New ones are opened for those that end.
    pub fn storm<S: Default>(&mut self, mut each: impl FnMut(&mut Conn, &mut S)) {
        let mut states: BTreeMap<usize, S> = BTreeMap::new();
        while self.on() {
            let have = self.net.conns.len() as u64;
            let again = !self.once || self.net.ends.is_empty();
            // One a turn: handshakes are to be answered, too.
            if have < self.connections && again {
                let number = self.net.connect();
                states.remove(&number);
            }
            for (number, conn) in &mut self.net.conns {
                if conn.is_open() {
                    each(conn, states.entry(*number).or_default());
                }
            }
        }
    }

    /// The same of connections whose dynamic table has this field as its one entry: `each` is
    /// called once the server has shown that it knows the entry.
    pub fn storm_inserted(&mut self, name: &str, value: &str, mut each: impl FnMut(&mut Conn)) {
        let quick = self.kind.quick();
        self.storm(|conn, asked: &mut Option<StreamId>| {
            if conn.inserted(asked, name, value, quick) {
                each(conn);
            }
        });
    }

    /// Asks for sessions, 16 at a time on each connection, and calls `each` for each of them
    /// when it is open. It is to end the session: another is asked for in its place.
    pub fn sessions(&mut self, mut each: impl FnMut(&mut Conn, StreamId)) {
        let connect = wire::session(self.kind.open_session());
        self.storm(|conn, streams: &mut Vec<StreamId>| {
            let refused = [
                std::mem::take(&mut conn.done),
                std::mem::take(&mut conn.failed),
            ]
            .concat();
            streams.retain(|id| {
                let open = conn.heard(*id) > 0;
                if open {
                    each(conn, *id);
                }
                !open && !refused.contains(id)
            });
            while streams.len() < 16
                && let Some(id) = conn.request(&connect)
            {
                streams.push(id);
            }
        });
    }

    /// Leaves, saying so on every connection. What is under way arrives first, and few at a
    /// time are closed: a close that is lost would only be said again to whoever asks.
    pub fn leave(&mut self) {
        self.turns(Duration::from_millis(100));
        self.net.linger = true;
        let mut numbers: Vec<usize> = self.net.conns.keys().copied().collect();
        while !numbers.is_empty() {
            for number in numbers.drain(..numbers.len().min(16)) {
                if let Some(conn) = self.net.conns.get_mut(&number) {
                    conn.close(Instant::now());
                }
            }
            self.turns(Duration::from_millis(2));
        }
        self.turns(Duration::from_millis(200));
        for number in self.net.conns.keys().copied().collect::<Vec<_>>() {
            self.net.forget(number);
        }
    }

    fn turns(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            if !self.net.turn() {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Knuth's MMIX generator; its upper bits are good enough for churn.
#[derive(Clone, Copy, Debug)]
pub struct Luck(pub u64);

impl Luck {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
