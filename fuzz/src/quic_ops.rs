//! Two connections of raw QUIC over the loopback, both applications doing anything that can be
//! done, with any argument. Each run is replayed, too.

use std::time::Duration;

use aqueduct_core::error::TransportFailure;
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::quic::About;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::transport::TransportEvent;
use arbitrary::{Arbitrary, Unstructured};

use crate::quic::{Act, App, STREAMS, config};

/// More operations show nothing that fewer would not.
const MAX_OPS: usize = 200;

/// What happens next.
#[derive(Arbitrary, Debug)]
enum Op {
    Act(bool, Act),
    Hear(bool),
    Steps(u8),
    Rest,
    Advance(u8),
    /// What QUIC tells of itself, at any time.
    Tell(bool, u8, u8),
    /// Seldom.
    Fail(u8),
}

/// Runs a list of operations derived from the input.
pub fn target(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let [seed, client, server] = source.arbitrary::<[u8; 3]>().unwrap_or_default();
    let mut knobs = if seed < 64 {
        Knobs::default()
    } else {
        Knobs::adversarial(seed.into())
    };
    (knobs.bi_streams, knobs.uni_streams) = (STREAMS, STREAMS);
    aqueduct_tests::replayed::replay_all();
    let mut run = Run {
        pair: LoopbackQuic::new(config(client), config(server), knobs),
        apps: <[App; 2]>::default(),
    };
    for _ in 0..MAX_OPS {
        let Ok(op) = source.arbitrary() else { break };
        run.apply(op);
        if source.is_empty() {
            break;
        }
    }
    run.wind_down();
}

struct Run {
    pair: LoopbackQuic,
    apps: [App; 2],
}

const fn side(server: bool) -> Side {
    if server { Side::Server } else { Side::Client }
}

impl Run {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Act(server, act) => {
                let [client, of_server] = &mut self.apps;
                let (app, other) = match server {
                    false => (client, &*of_server),
                    true => (of_server, &*client),
                };
                let strangers: Vec<StreamKey> = other.keys.clone();
                app.act(act, &strangers, &mut self.pair.access(side(server)));
            }
            Op::Hear(server) => self.hear(server),
            Op::Steps(count) => _ = (0..count).all(|_| self.pair.step()),
            Op::Rest => self.pair.drive(),
            Op::Advance(time) => self
                .pair
                .advance(Duration::from_millis(u64::from(time) * 20)),
            Op::Tell(server, what, how) => {
                let dir = if how & 1 == 0 { Dir::Bi } else { Dir::Uni };
                let about = About::new(([192, 0, 2, how], 1).into());
                let event = match what % 4 {
                    0 => TransportEvent::About(Box::new(about)),
                    1 => TransportEvent::StreamsBlocked(dir),
                    2 => TransportEvent::Ticket,
                    _ => TransportEvent::Opened(dir),
                };
                self.pair.tell(side(server), event);
            }
            Op::Fail(seldom) if seldom > 250 => self.pair.fail(&TransportFailure::TimedOut),
            Op::Fail(_) => {}
        }
    }

    fn hear(&mut self, server: bool) {
        let app = &mut self.apps[usize::from(server)];
        for event in self.pair.events(side(server)) {
            app.hear(&event);
        }
    }

    /// Everything comes to an end: one closes, both hear of it.
    fn wind_down(mut self) {
        for server in [false, true] {
            self.pair.advance(Duration::from_secs(1));
            self.hear(server);
        }
        let _ = self.pair.client().close(0, "done");
        self.pair.advance(Duration::from_secs(2));
        for server in [false, true] {
            self.hear(server);
            assert!(
                self.apps[usize::from(server)].closed,
                "{} is open",
                side(server)
            );
            let mut access = self.pair.access(side(server));
            let keys: Vec<_> = access.streams().collect();
            for key in keys {
                // What had arrived goes, read or not.
                let _ = access.shutdown(key, aqueduct_core::quic::Shutdown::Abort(0));
            }
            assert_eq!(access.live_streams(), 0);
            self.hear(server);
        }
    }
}
