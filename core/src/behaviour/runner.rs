//! Runs a behaviour on its connection.

use std::time::Instant;

use super::action::Action;
use super::config::Config;
use super::connection::Behaviour;
use crate::connection::quic::QuicAccess;
use crate::event::Event;
use crate::id::Side;
use crate::time::Deadline;
use crate::transport::Transport;

/// A behaviour at work on one connection.
#[derive(Debug)]
pub struct Runner<B: Behaviour> {
    behaviour: B,
}

#[expect(unused_variables, clippy::todo, reason = "to come")]
impl<B: Behaviour> Runner<B> {
    /// A behaviour whose connection has told nothing yet.
    #[must_use]
    pub fn new(side: Side, behaviour: B, config: Config) -> Self {
        Self { behaviour }
    }

    /// Takes an event of the connection, and what has arrived where it is wanted. Calls
    /// nothing of the behaviour's.
    pub fn handle<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>, event: Event) {
        todo!()
    }

    /// Calls what is due, at most [`Config::callbacks`], without the connection.
    pub fn run(&mut self, now: Instant) {
        todo!()
    }

    /// Does what callbacks have returned. Calls nothing of the behaviour's; more may be due
    /// afterwards.
    pub fn apply<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>) {
        todo!()
    }

    /// [`Self::run`] and [`Self::apply`] until nothing is left to do, or
    /// [`Config::callbacks`] have been called.
    pub fn turn<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>) {
        todo!()
    }

    /// Tells the behaviour something, by `Behaviour::message`.
    pub fn message(&mut self, message: B::Message) {
        todo!()
    }

    /// Does something as if a callback of the connection had returned it.
    pub fn act(&mut self, now: Instant, action: Action<B::Message>) {
        todo!()
    }

    /// Whether `run` or `apply` has something to do at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        todo!()
    }

    /// When `run` is wanted, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        todo!()
    }

    /// Whether `Behaviour::closed` has been called.
    #[must_use]
    pub fn is_over(&self) -> bool {
        todo!()
    }

    /// The behaviour.
    #[must_use]
    pub fn behaviour(&self) -> &B {
        &self.behaviour
    }

    /// The behaviour, to be changed.
    pub fn behaviour_mut(&mut self) -> &mut B {
        &mut self.behaviour
    }

    /// The behaviour again. Whoever takes it before the connection is over closes that.
    #[must_use]
    pub fn into_behaviour(self) -> B {
        self.behaviour
    }
}
