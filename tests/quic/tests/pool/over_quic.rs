//! The world of restarts over QUIC.

use std::collections::VecDeque;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::TransportSettings;
use aqueduct_core::error::{ReadError, RequestError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::{ConnKey, Side, StreamKey};
use aqueduct_core::testing::loopback::Rng;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;

use crate::ends::{self, Ends};
use crate::restarts::play;

/// Silence after which a connection is over.
const IDLE: Duration = Duration::from_secs(2);

struct Quic {
    pair: Pair,
    client: ConnKey,
    server: Option<ConnKey>,
    events: [VecDeque<Event>; 2],
}

/// A connection over a path with this luck.
fn quic(luck: Option<u64>) -> Box<dyn Ends> {
    let mut rng = Rng::new(luck.unwrap_or(1));
    let mut transport = TransportSettings::default();
    transport.idle_timeout = Some(IDLE);
    let mut pair = Pair::new(Options {
        seed: rng.bits(),
        transport,
        record: false,
        ..Options::default()
    });
    if luck.is_some() {
        for link in [&mut pair.client.link, &mut pair.server.link] {
            link.delay = Duration::from_millis(rng.below(15));
            // Later than what was sent behind it, and so in another order.
            link.jitter = Duration::from_millis(rng.below(30));
            (link.loss, link.duplicates) = (rng.below(200), rng.below(100));
        }
    }
    let client = pair.connect();
    Box::new(Quic {
        pair,
        client,
        server: None,
        events: Default::default(),
    })
}

impl Ends for Quic {
    fn pass(&mut self, time: Duration, _: u64) {
        self.pair.advance(time);
        for (_, event) in self.pair.client.events.drain(..) {
            self.events[0].push_back(event);
        }
        for (key, event) in self.pair.server.events.drain(..) {
            self.server.get_or_insert(key);
            self.events[1].push_back(event);
        }
    }

    fn vanish(&mut self) {
        (self.pair.client.link.down, self.pair.server.link.down) = (true, true);
    }

    fn take(&mut self, side: Side) -> Option<Event> {
        self.events[usize::from(side == Side::Server)].pop_front()
    }

    fn take_unprocessed(&mut self) -> Option<StreamKey> {
        let ours = &mut self.events[0];
        let known = |event: &Event| match event {
            Event::Stream(stream, StreamEvent::Unprocessed) => Some(*stream),
            _ => None,
        };
        let at = ours.iter().position(|event| known(event).is_some())?;
        ours.remove(at).as_ref().and_then(known)
    }

    fn granted(&mut self) -> Option<u64> {
        None
    }

    fn request(&mut self, head: &RequestHead) -> Result<StreamKey, RequestError> {
        let ours = self
            .pair
            .client
            .endpoint
            .connection(self.pair.now, self.client);
        let Some(mut ours) = ours else {
            return Err(RequestError::Closed);
        };
        ours.access().request(head, End::Fin)
    }

    fn read(&mut self, stream: StreamKey) -> Option<Result<ReadState, ReadError>> {
        let Pair { client, now, .. } = &mut self.pair;
        let mut ours = client.endpoint.connection(*now, self.client)?;
        ends::read(&mut ours.access(), stream)
    }

    fn cancel(&mut self, stream: StreamKey) {
        let Pair { client, now, .. } = &mut self.pair;
        if let Some(mut ours) = client.endpoint.connection(*now, self.client) {
            ends::cancel(&mut ours.access(), stream);
        }
    }

    fn answer(&mut self, stream: StreamKey) {
        let Pair { server, now, .. } = &mut self.pair;
        let key = self.server.expect("it has asked");
        if let Some(mut theirs) = server.endpoint.connection(*now, key) {
            ends::answer(&mut theirs.access(), stream);
        }
    }

    fn drain(&mut self, within: Duration) {
        let Pair { server, now, .. } = &mut self.pair;
        let key = self.server;
        if let Some(mut theirs) = key.and_then(|key| server.endpoint.connection(*now, key)) {
            theirs.access().drain(*now + within);
        }
    }

    fn close(&mut self) {
        let Pair { client, now, .. } = &mut self.pair;
        if let Some(mut ours) = client.endpoint.connection(*now, self.client) {
            ours.access().close(Code::H3_NO_ERROR, "");
        }
    }

    fn live_streams(&mut self) -> usize {
        let Pair { client, now, .. } = &mut self.pair;
        let ours = client.endpoint.connection(*now, self.client);
        ours.map_or(0, |mut ours| ours.access().live_streams())
    }
}

/// Rows D1 to D3, D7 to D11, D13, D14, with loss and reordering: no request is lost without
/// an answer, none that was told unprocessed was processed, none was sent twice, and queues
/// keep their order. `SEEDS=1000` makes 10,000 runs.
#[test]
fn no_request_is_lost_with_packets_when_servers_restart() {
    let (runs, answered, unprocessed) = play("aqueduct-tests-quic", 10, quic);
    assert!(answered > 10 * runs, "{answered} answered in {runs} runs");
    assert!(
        runs < 10 || unprocessed > runs,
        "{unprocessed} in {runs} runs"
    );
}
