//! Ours on mio: one owner, no locks.

use std::time::Instant;

use aqueduct_mio::protocol::event::Event;
use aqueduct_mio::protocol::id::ConnKey;
use aqueduct_mio::{PortKey, Ports};
use mio::Poll;

use crate::contestants::{bound, ours};
use crate::setup::{Res, Setup};
use crate::works::Load;

struct App(ours::App, PortKey);

pub fn run(setup: &Setup, load: Option<Load>) -> Res<()> {
    let mut poll = Poll::new()?;
    let mut ports = Ports::new(poll.registry(), 0..2)?;
    let server = load.is_none();
    let config = if server {
        ours::server(setup)?
    } else {
        ours::client()?
    };
    let port = ports.add(config, bound(setup, server)?)?;
    let mut app = App(ours::App::new(load, setup)?, port);
    app.dial(&mut ports);
    Ok(aqueduct_mio::run(&mut poll, &mut ports, &mut app)?)
}

impl App {
    fn dial(&mut self, ports: &mut Ports) {
        self.0.dial(|target| Ok(ports.connect(self.1, target)?));
    }
}

impl aqueduct_mio::App for App {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, key: ConnKey, event: Event) {
        if let Some(mut lent) = ports.connection(port, key) {
            self.0.on(key, &mut lent, event);
        }
        self.dial(ports);
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.0.deadline()
    }

    fn on_timeout(&mut self, ports: &mut Ports) {
        self.0.tick(|key| ports.connection(self.1, key));
    }
}
