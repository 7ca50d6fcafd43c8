//! The chat on mio: one thread, one loop, all connections in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aqueduct_core::behaviour::Behaviour;
use aqueduct_core::endpoint::{EndpointConfig, Target};
use aqueduct_core::event::Event;
use aqueduct_core::id::ConnKey;
use aqueduct_mio::{App, Behaviours, PortKey, Ports, run};
use mio::Poll;

use crate::room::Room;
use crate::visitor::Visitor;
use crate::{Result, any, read_keyboard};

pub(crate) fn serve(config: EndpointConfig, address: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut ports = Ports::new(poll.registry(), 0..2)?;
    let port = ports.bind(config, address)?;
    println!("chat at {}", ports.local_addr(port)?);
    let room = Room::default();
    let members = Behaviours::new(&ports, move |mailbox| {
        room.member(Box::new(move |said| drop(mailbox.try_send(said))))
    });
    let mut chat = Chat {
        connections: members,
        over: Arc::default(),
    };
    Ok(run(&mut poll, &mut ports, &mut chat)?)
}

pub(crate) fn join(target: Target, name: &str) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut ports = Ports::new(poll.registry(), 0..2)?;
    let port = ports.bind(EndpointConfig::client(), any(&target))?;
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    // A client's endpoint accepts nobody.
    let visitors = Behaviours::new(&ports, |_| Visitor::new("nobody"));
    let mut connections = visitors.on_over(move |_, _, _| is_over.store(true, Ordering::Relaxed));
    connections.connect(&mut ports, port, target, |mailbox| {
        read_keyboard(move |typed| drop(mailbox.try_send(typed)));
        Visitor::new(name)
    })?;
    let mut chat = Chat { connections, over };
    Ok(run(&mut poll, &mut ports, &mut chat)?)
}

/// What the loop calls back.
struct Chat<B: Behaviour> {
    connections: Behaviours<B>,
    /// A client's connection is.
    over: Arc<AtomicBool>,
}

impl<B: Behaviour> App for Chat<B> {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, connection: ConnKey, event: Event) {
        if let Some(event) = self.connections.on_event(ports, port, connection, event) {
            eprintln!("nobody's: {event:?}");
        }
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.connections.deadline()
    }

    fn on_timeout(&mut self, ports: &mut Ports) {
        self.connections.turn(ports);
    }

    fn is_over(&mut self, ports: &mut Ports) -> bool {
        self.over.load(Ordering::Relaxed) && ports.is_idle()
    }
}
