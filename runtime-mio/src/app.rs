//! The loop itself, for applications that are called back.

use std::io;
use std::time::Instant;

use aqueduct_core::event::Event;
use aqueduct_core::id::ConnKey;
use mio::{Events, Poll};

use crate::key::PortKey;
use crate::ports::Ports;

/// What [`run`] calls back.
pub trait App {
    /// Something happened on a connection.
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, connection: ConnKey, event: Event);

    /// A source of the application's own is ready: a token outside of the range
    /// that the ports were given.
    fn on_source(&mut self, ports: &mut Ports, event: &mio::event::Event) {
        _ = (ports, event);
    }

    /// When [`on_timeout`](Self::on_timeout) is wanted, for deadlines of the application's
    /// own; asked before the loop sleeps, and after whatever may have changed it.
    fn deadline(&mut self) -> Option<Instant> {
        None
    }

    /// The deadline has come. One that stays in the past makes the loop go round.
    fn on_timeout(&mut self, ports: &mut Ports) {
        _ = ports;
    }

    /// Whether the loop ends; asked before it sleeps. Draining every endpoint and
    /// waiting for [`Ports::is_idle`] is an orderly end.
    fn is_over(&mut self, ports: &mut Ports) -> bool {
        _ = ports;
        false
    }
}

/// Runs until the application says that it is over.
///
/// # Errors
/// `Poll` or a socket fails.
pub fn run(poll: &mut Poll, ports: &mut Ports, app: &mut impl App) -> io::Result<()> {
    let mut events = Events::with_capacity(256);
    loop {
        ports.receive()?;
        while let Some((port, connection, event)) = ports.poll_event() {
            app.on_event(ports, port, connection, event);
        }
        if app.deadline().is_some_and(|at| at <= Instant::now()) {
            app.on_timeout(ports);
        }
        let wait = ports.send();
        if app.is_over(ports) {
            return Ok(());
        }
        let own = app
            .deadline()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let wait = [wait, own].into_iter().flatten().min();
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if !ports.ready(event) {
                app.on_source(ports, event);
            }
        }
    }
}
