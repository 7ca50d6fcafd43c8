//! Two machines of tunnels on a pair of connections, with a clock that only tests move.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aqueduct_core::connection::Access;
use aqueduct_core::event::Event;
use aqueduct_core::head::ResponseHead;
use aqueduct_core::id::{Side, StreamKey};
use aqueduct_core::masque::{
    Dialect, OpenTunnel, Template, TunnelClose, TunnelEvent, TunnelIoError, TunnelKey, TunnelRead,
    TunnelRequest, TunnelSendError, Tunnels, TunnelsConfig,
};
use aqueduct_core::testing::loopback::{End, Knobs};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use bytes::Bytes;

/// Turns after which two machines that still move are taken to run in circles.
const TOO_MANY_TURNS: usize = 5_000_000;

/// Both ends of a connection with tunnels.
#[derive(Debug)]
pub struct TunnelPair {
    /// The connections. What is done on it alone reaches the machines with the next
    /// [`Self::drive`].
    pub pair: LoopbackPair,
    /// Requests reach the server's machine as if they were early data.
    pub early: bool,
    ends: [Machine; 2],
}

#[derive(Debug)]
struct Machine {
    tunnels: Tunnels,
    told: VecDeque<(TunnelKey, TunnelEvent)>,
    others: Vec<Event>,
}

/// The default configuration, changed.
pub fn tunnels(change: impl FnOnce(&mut TunnelsConfig)) -> TunnelsConfig {
    let mut config = TunnelsConfig::default();
    change(&mut config);
    config
}

/// What asks for a tunnel to `target.example:443`.
///
/// # Panics
/// Never.
#[must_use]
pub fn asking(dialect: Dialect) -> OpenTunnel {
    let target = "target.example:443".parse().expect("a target");
    let origin = "https://proxy.example/".parse().expect("an origin");
    let template = Template::default_for(dialect.kind(), &origin);
    OpenTunnel::new(dialect, target, template)
}

impl TunnelPair {
    /// Machines on a pair of connections that are connected.
    #[must_use]
    pub fn over(pair: LoopbackPair, client: TunnelsConfig, server: TunnelsConfig) -> Self {
        let machine = |config| Machine {
            tunnels: Tunnels::new(config),
            told: VecDeque::new(),
            others: Vec::new(),
        };
        Self {
            pair,
            early: false,
            ends: [machine(client), machine(server)],
        }
    }

    /// Machines and connections as they are by default, connected.
    #[must_use]
    pub fn connected(knobs: Knobs) -> Self {
        let config = TunnelsConfig::default();
        Self::over(LoopbackPair::connected(knobs), config.clone(), config)
    }

    /// The same with another proxy.
    #[must_use]
    pub fn serving(change: impl FnOnce(&mut TunnelsConfig)) -> Self {
        let pair = LoopbackPair::connected(Knobs::default());
        Self::over(pair, TunnelsConfig::default(), tunnels(change))
    }

    fn end(&mut self, side: Side) -> &mut Machine {
        let [client, server] = &mut self.ends;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// One side's machine, to be looked at.
    #[must_use]
    pub fn tunnels(&self, side: Side) -> &Tunnels {
        let [client, server] = &self.ends;
        match side {
            Side::Client => &client.tunnels,
            Side::Server => &server.tunnels,
        }
    }

    /// Does something with one side's machine, and takes what it tells.
    pub fn with<R>(
        &mut self,
        side: Side,
        work: impl FnOnce(&mut Tunnels, &mut Access<'_, End>, Instant) -> R,
    ) -> R {
        let now = self.pair.now();
        let [client, server] = &mut self.ends;
        let machine = match side {
            Side::Client => client,
            Side::Server => server,
        };
        let mut access = self.pair.access(side);
        let result = work(&mut machine.tunnels, &mut access, now);
        let told = std::iter::from_fn(|| machine.tunnels.poll_event());
        machine.told.extend(told);
        result
    }

    // ---- time ----------------------------------------------------------------------

    /// Moves everything there is to move, without letting time pass.
    ///
    /// # Panics
    /// When that does not end.
    pub fn drive(&mut self) {
        for _ in 0..TOO_MANY_TURNS {
            let heard = self.hear();
            let worked = self.work();
            if !(heard | worked | self.pair.step()) {
                return;
            }
        }
        panic!("the tunnels do not come to rest; {}", self.story());
    }

    /// Gives the connections' events to the machines; false if there are none.
    pub fn hear(&mut self) -> bool {
        let mut heard = false;
        for side in [Side::Client, Side::Server] {
            while let Some(mut event) = self.pair.take(side, Ok) {
                heard = true;
                if let Event::Request { early, .. } = &mut event {
                    *early |= self.early;
                }
                let other = self.with(side, |tunnels, access, now| {
                    tunnels.handle_event(access, now, event)
                });
                self.end(side).others.extend(other);
            }
        }
        heard
    }

    /// Lets the machines go on with what they left for another turn.
    fn work(&mut self) -> bool {
        let mut worked = false;
        for side in [Side::Client, Side::Server] {
            let now = self.pair.now();
            let due = self.end(side).tunnels.poll_timeout(now);
            if due.is_some_and(|due| due.at <= now) {
                worked = true;
                self.with(side, |tunnels, access, now| {
                    tunnels.handle_timeout(access, now);
                });
            }
        }
        worked
    }

    /// Lets time pass, doing what falls due on the way, each at its time.
    pub fn advance(&mut self, by: Duration) {
        let until = self.pair.now() + by;
        self.drive();
        while let Some(at) = self.next_timeout().filter(|at| *at <= until) {
            let by = at.saturating_duration_since(self.pair.now());
            self.pair.advance(by);
            self.drive();
        }
        self.pair.advance(until - self.pair.now());
        self.drive();
    }

    /// The earliest deadline of the connections and the machines.
    pub fn next_timeout(&mut self) -> Option<Instant> {
        let now = self.pair.now();
        let machines = [Side::Client, Side::Server].map(|side| {
            let due = self.end(side).tunnels.poll_timeout(now);
            due.map(|due| due.at)
        });
        let all = machines.into_iter().chain([self.pair.next_timeout()]);
        all.flatten().min()
    }

    /// What a failed test tells.
    #[must_use]
    pub fn story(&self) -> String {
        let [client, server] = &self.ends;
        format!(
            "client's tunnels told {:?}, others {:?}; server's {:?}, others {:?}; {}",
            client.told,
            client.others,
            server.told,
            server.others,
            self.pair.story()
        )
    }

    // ---- what was told -------------------------------------------------------------

    /// All that one side was told of a tunnel since the last call.
    pub fn told(&mut self, side: Side, key: TunnelKey) -> Vec<TunnelEvent> {
        self.drive();
        let all = std::mem::take(&mut self.end(side).told);
        let (mine, rest): (Vec<_>, _) = all.into_iter().partition(|(of, _)| *of == key);
        self.end(side).told = rest.into();
        mine.into_iter().map(|(_, event)| event).collect()
    }

    /// All that one side has been told of tunnels, without moving anything.
    pub fn all_told(&mut self, side: Side) -> Vec<(TunnelKey, TunnelEvent)> {
        std::mem::take(&mut self.end(side).told).into()
    }

    /// Whether there is something that was not asked for by [`Self::told`].
    pub fn told_anything(&mut self, side: Side) -> bool {
        self.drive();
        !self.end(side).told.is_empty()
    }

    /// Events that are of no tunnel, since the last call, credit for streams left out.
    pub fn others(&mut self, side: Side) -> Vec<Event> {
        self.drive();
        let mut others = std::mem::take(&mut self.end(side).others);
        others.retain(|event| !matches!(event, Event::Available(_)));
        others
    }

    /// The next request for a tunnel.
    pub fn requested(&mut self) -> Option<(TunnelKey, TunnelRequest)> {
        self.drive();
        let told = &mut self.end(Side::Server).told;
        let asks = |(_, event): &(_, TunnelEvent)| matches!(event, TunnelEvent::Requested(_));
        let at = told.iter().position(asks)?;
        match told.remove(at)? {
            (key, TunnelEvent::Requested(request)) => Some((key, *request)),
            _ => None,
        }
    }

    /// How a tunnel ended, by the last event of it.
    ///
    /// # Panics
    /// When it has not, or more is told afterwards.
    pub fn closed(&mut self, side: Side, key: TunnelKey) -> TunnelClose {
        let mut told = self.told(side, key);
        let ends = |event: &&TunnelEvent| matches!(event, TunnelEvent::Closed(_));
        assert_eq!(told.iter().filter(ends).count(), 1, "{key:?}: {told:?}");
        match told.pop() {
            Some(TunnelEvent::Closed(why)) => why,
            last => panic!("{key:?}: {last:?} after {told:?}"),
        }
    }

    /// The head of a refusal, the last event of a tunnel of the client's.
    ///
    /// # Panics
    /// When there is none.
    pub fn refused(&mut self, key: TunnelKey) -> ResponseHead {
        let mut told = self.told(Side::Client, key);
        match told.pop() {
            Some(TunnelEvent::Refused(head)) => *head,
            last => panic!("{key:?}: {last:?} after {told:?}; {}", self.story()),
        }
    }

    // ---- what is done --------------------------------------------------------------

    /// The client asks for a tunnel.
    ///
    /// # Panics
    /// When it cannot.
    pub fn open(&mut self, open: &OpenTunnel) -> TunnelKey {
        let opened = self.with(Side::Client, |tunnels, access, now| {
            tunnels.open(access, now, open)
        });
        opened.expect("asks for a tunnel")
    }

    /// The client asks for a tunnel, and the server is asked.
    ///
    /// # Panics
    /// When it is not.
    pub fn ask(&mut self, dialect: Dialect) -> (TunnelKey, TunnelKey) {
        let client = self.open(&asking(dialect));
        let Some((server, _)) = self.requested() else {
            panic!("not asked; {}", self.story());
        };
        assert_eq!(client.id(), server.id());
        (client, server)
    }

    /// A tunnel that is open.
    ///
    /// # Panics
    /// When it does not open.
    pub fn tunnel(&mut self, dialect: Dialect) -> (TunnelKey, TunnelKey) {
        let (client, server) = self.ask(dialect);
        self.accept(server);
        let told = self.told(Side::Client, client);
        assert!(matches!(told[..], [TunnelEvent::Opened(_)]), "{told:?}");
        assert_eq!(self.told(Side::Server, server), []);
        (client, server)
    }

    /// The server opens a tunnel.
    ///
    /// # Panics
    /// When it cannot.
    pub fn accept(&mut self, key: TunnelKey) {
        let accepted = self.with(Side::Server, |tunnels, access, now| {
            tunnels.accept(access, now, key, None)
        });
        accepted.expect("opens a tunnel");
    }

    /// Sends a UDP payload.
    ///
    /// # Errors
    /// As [`Tunnels::send`].
    pub fn send(
        &mut self,
        side: Side,
        key: TunnelKey,
        payload: &[u8],
    ) -> Result<(), TunnelSendError> {
        self.with(side, |tunnels, access, now| {
            tunnels.send(access, now, key, payload)
        })
    }

    /// The UDP payloads there are.
    pub fn recv(&mut self, side: Side, key: TunnelKey) -> Vec<Bytes> {
        self.drive();
        let mut all = Vec::new();
        while let Some(payload) =
            self.with(side, |tunnels, access, now| tunnels.recv(access, now, key))
        {
            all.push(payload);
        }
        all
    }

    /// Writes bytes of TCP once.
    ///
    /// # Errors
    /// As [`Tunnels::write`].
    pub fn write(
        &mut self,
        side: Side,
        key: TunnelKey,
        chunks: &mut [Bytes],
    ) -> Result<usize, TunnelIoError> {
        self.with(side, |tunnels, access, now| {
            tunnels.write(access, now, key, chunks)
        })
    }

    /// Ends one side's bytes of TCP.
    ///
    /// # Errors
    /// As [`Tunnels::finish`].
    pub fn finish(&mut self, side: Side, key: TunnelKey) -> Result<(), TunnelIoError> {
        self.with(side, |tunnels, access, now| {
            tunnels.finish(access, now, key)
        })
    }

    /// Reads bytes of TCP once.
    ///
    /// # Errors
    /// As [`Tunnels::read`].
    pub fn read(
        &mut self,
        side: Side,
        key: TunnelKey,
        max: usize,
    ) -> Result<TunnelRead, TunnelIoError> {
        self.with(side, |tunnels, access, now| {
            tunnels.read(access, now, key, max)
        })
    }

    /// Reads the bytes of TCP there are, and whether they have ended.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read_all(&mut self, side: Side, key: TunnelKey) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        let mut blocked = 0;
        loop {
            self.drive();
            match self.read(side, key, usize::MAX).expect("can be read") {
                TunnelRead::Bytes(bytes) => all.extend_from_slice(&bytes),
                TunnelRead::End => return (all, true),
                // The connection may have left more for another turn.
                TunnelRead::Blocked if blocked > 0 => return (all, false),
                TunnelRead::Blocked => blocked += 1,
            }
        }
    }

    /// Closes a tunnel.
    pub fn close(&mut self, side: Side, key: TunnelKey) {
        self.with(side, |tunnels, access, now| {
            tunnels.close(access, now, key);
        });
    }

    // ---- a side without a machine ----------------------------------------------------

    /// Writes content to a stream by hand, as far as it goes.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_raw(&mut self, side: Side, stream: StreamKey, bytes: &[u8]) -> usize {
        let mut chunks = [Bytes::copy_from_slice(bytes)];
        let mut access = self.pair.access(side);
        let mut send = access.send(stream).expect("a stream to write to");
        let taken = send.write(&mut chunks).expect("content is taken");
        self.drive();
        taken
    }

    /// Ends a stream by hand.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn finish_raw(&mut self, side: Side, stream: StreamKey) {
        let mut access = self.pair.access(side);
        let mut send = access.send(stream).expect("a stream to end");
        send.finish().expect("ends");
        self.drive();
    }
}
