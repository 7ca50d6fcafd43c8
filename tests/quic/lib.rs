//! Two endpoints over a simulated network, as a world for the model's player.

use std::time::Duration;

use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, SessionKey, Side};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent, SessionFlow};
use aqueduct_tests::model::{Actor, World};
use aqueduct_tests::wt::{speaking, there};

/// A pair of endpoints and one connection between them.
#[derive(Debug)]
pub struct Quic {
    /// The endpoints.
    pub pair: Pair,
    keys: [ConnKey; 2],
}

/// A network that is not kind: per mille lost and doubled, and how much later a
/// packet may come than the one before it.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// All luck follows from it.
    pub seed: u64,
    /// Per mille of packets lost.
    pub loss: u64,
    /// Per mille of packets that come twice.
    pub duplicates: u64,
    /// Milliseconds by which packets overtake each other.
    pub jitter: u64,
}

impl Quic {
    /// Establishes a connection, then lets the weather change.
    #[must_use]
    pub fn new(weather: Weather, flow: Option<[SessionFlow; 2]>) -> Self {
        let options = Options {
            seed: weather.seed,
            ..Options::default()
        };
        Self::with(options, weather, flow)
    }

    /// As [`Self::new`], with QUIC's own settings.
    #[must_use]
    pub fn with(mut options: Options, weather: Weather, flow: Option<[SessionFlow; 2]>) -> Self {
        aqueduct_tests::replayed::replay_all();
        if let Some([client, server]) = flow {
            options.client = speaking(Dialects::SET_B, Some(client));
            options.server = speaking(Dialects::SET_B, Some(server));
        }
        if flow.is_none() {
            options.client.webtransport.flow = None;
            options.server.webtransport.flow = None;
        }
        let (pair, client, server) = Pair::connected(options);
        let mut quic = Self {
            pair,
            keys: [client, server],
        };
        quic.settle();
        for link in [&mut quic.pair.client.link, &mut quic.pair.server.link] {
            (link.loss, link.duplicates) = (weather.loss, weather.duplicates);
            link.jitter = Duration::from_millis(weather.jitter);
        }
        quic
    }

    /// Streams in the tables of both sides.
    pub fn live_streams(&mut self) -> [usize; 2] {
        [Side::Client, Side::Server].map(|side| {
            let mut live = 0;
            self.act(side, &mut |actor| live = actor.live_streams());
            live
        })
    }

    /// Opens and accepts a session, and forgets the events of it.
    ///
    /// # Panics
    /// When that does not work.
    pub fn session(&mut self) -> [SessionKey; 2] {
        let [client, server] = self.keys;
        let opened = self.pair.client(client).access().open_session(&there());
        let opened = opened.expect("asks");
        self.settle();
        let asked = self
            .events(Side::Server)
            .into_iter()
            .find_map(|event| match event {
                Event::WebTransport(key, SessionEvent::Requested(_)) => Some(key),
                _ => None,
            });
        let asked = asked.expect("is asked");
        let answer = ConnectAnswer::default();
        let accepted = self
            .pair
            .server(server)
            .access()
            .webtransport(asked)
            .accept(&answer);
        accepted.expect("accepts");
        self.settle();
        self.events(Side::Client);
        [opened, asked]
    }
}

impl World for Quic {
    fn act(&mut self, side: Side, what: &mut dyn FnMut(&mut dyn Actor)) {
        let key = self.keys[side as usize];
        let mut connection = match side {
            Side::Client => self.pair.client(key),
            Side::Server => self.pair.server(key),
        };
        what(&mut connection.access());
    }

    fn events(&mut self, side: Side) -> Vec<Event> {
        let key = self.keys[side as usize];
        // What the applications did has events of its own, without time passing.
        self.pair.step();
        match side {
            Side::Client => self.pair.client.take(key),
            Side::Server => self.pair.server.take(key),
        }
    }

    fn go(&mut self, n: u8) {
        self.pair.advance(Duration::from_millis(n.into()));
    }

    fn settle(&mut self) {
        self.pair.drive();
    }
}
