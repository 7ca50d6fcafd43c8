//! What follows when something has happened to a connection: it is pumped and put on the
//! lists where it belongs, and its timer is armed, each once for however much has happened.

use std::collections::VecDeque;

use quinn_proto::ConnectionHandle;

use super::connection::State;
use super::shares::{Doing, Place};
use super::{Endpoint, state_of};
use crate::id::ConnKey;
use crate::time::{Deadline, Why};

impl Endpoint {
    /// Pumps every connection that something happened to, and puts it on the
    /// lists where it may belong.
    pub(super) fn process(&mut self) {
        let Some(now) = self.now else { return };
        while let Some(key) = self.dirty.pop_front() {
            self.decide(now, key);
            let Self {
                slots,
                quinn,
                timers,
                undated: waiting,
                eventful,
                sending,
                shares,
                buffers,
                memory,
                config,
                turn,
                stats,
                ..
            } = self;
            let Some(slot) = slots.get_mut(key.index()) else {
                continue;
            };
            let Some(state) = slot
                .state
                .as_mut()
                .filter(|_| slot.generation == key.generation)
            else {
                continue;
            };
            state.dirty = false;
            let handle = ConnectionHandle(key.index());
            state.pump(quinn, handle, now);
            stats.count_early(state.early_outcome.take());
            turn.spend(state.cost());
            let origin = state.place.as_ref().map(Place::origin);
            let share = || {
                let left = |origin| config.bounds().left(shares.held(origin));
                origin.map_or(usize::MAX, left)
            };
            state.settle(memory, share, buffers);
            undated(waiting, state, key);
            if !state.eventful && !state.told {
                state.eventful = true;
                eventful.push_back(key);
            }
            if !state.sending {
                state.sending = true;
                sending.push_back(key);
            }
            let over = state.upper.is_closed();
            if state.handshaking && (over || !state.quic.is_handshaking()) {
                state.handshaking = false;
                self.handshakes -= 1;
            }
            if let Some(place) = &mut state.place {
                let doing = Doing {
                    handshaking: state.handshaking,
                    idle: state.upper.is_idle(),
                    over,
                    bytes: state.windows.promised(),
                };
                shares.update(place, key, doing);
            }
            if state.open && over {
                state.open = false;
                self.open -= 1;
                self.closing += 1;
            }
            if state.told
                && let Some(drained) = state.drained.take()
            {
                // Nothing comes back for this event; the handle is free after it.
                let _ = quinn.handle_event(handle, drained);
                memory.remove(&mut state.windows);
                let place = state.place.take();
                self.vacate(key, place.as_ref());
            } else if let Some(farewell) = state.farewell() {
                memory.remove(&mut state.windows);
                let deadline = Deadline {
                    at: farewell.until,
                    why: Why::Quic,
                };
                timers.arm(key, Some(deadline));
                slot.farewell = Some(Box::new(farewell));
                slot.state = None;
            }
        }
    }

    /// Arms the timers of those to whom something has happened since it was done last.
    pub(super) fn arm_timers(&mut self) {
        while let Some(key) = self.undated.pop() {
            if let Some(state) = state_of(&mut self.slots, key) {
                state.undated = false;
                let deadline = state.deadline();
                self.timers.arm(key, deadline);
            }
        }
    }
}

/// Something happened to a connection: it is pumped before anything is polled.
pub(super) fn touched(dirty: &mut VecDeque<ConnKey>, state: &mut State, key: ConnKey) {
    if !state.dirty {
        state.dirty = true;
        dirty.push_back(key);
    }
}

/// Something happened to a connection: its deadline is asked for before any is told.
pub(super) fn undated(list: &mut Vec<ConnKey>, state: &mut State, key: ConnKey) {
    if !state.undated {
        state.undated = true;
        list.push(key);
    }
}
