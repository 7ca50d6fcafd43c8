//! Early data (0-RTT): what is remembered of a server for it, and what is left of it when
//! the server does not take it.
//!
//! ```text
//!  client:  remember ─▶ begin ─▶ requests ─▶ accepted: established, settings are compared
//!                                         └▶ rejected: reject_early, restart, begin
//!  server:  begin ─▶ requests that say so ─▶ established
//! ```

use bytes::Bytes;

use super::connection::H3;
use super::streams::{Recv, Send};
use super::{Fact, H3Event};
use crate::fault::{Fault, Violation};
use crate::id::StreamKey;
use crate::wire::settings::{SettingId, Settings};

impl H3 {
    /// Keeps to what the server said on an earlier connection, until its own settings
    /// come (client).
    pub(crate) fn remember(&mut self, settings: &Settings) {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.3
        // The encoder may use the table that was allowed then. It is a new one, to which any
        // capacity can be said.
        let set = self.encoder.set_peer_limits(
            settings.qpack_max_table_capacity(),
            settings.qpack_blocked_streams(),
            self.config.limits.qpack_encoder_table,
        );
        debug_assert!(set.is_ok(), "an encoder that has not been told anything");
        self.remembered = Some(settings.clone());
    }

    /// The handshake is complete. What is remembered of the server's settings counts, until
    /// its own come, if it took early data; if not, [`Self::restart`] has forgotten it.
    pub(crate) fn established(&mut self) {
        self.established = true;
        self.greeted_from = self.budget.now();
    }

    /// The peer's settings, or what is remembered of them until they arrive.
    pub(crate) fn settings_in_force(&self) -> Option<&Settings> {
        self.peer_settings.as_ref().or(self.remembered.as_ref())
    }

    /// Compares the server's settings with those by which early data was sent that it took.
    pub(super) fn check_remembered(&mut self, settings: &Settings) -> Result<(), Fault> {
        let Some(remembered) = self.remembered.take() else {
            return Ok(());
        };
        match settings.broken(&remembered) {
            None => Ok(()),
            //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.3
            // Another capacity has a code of its own; one that is left out is left out.
            Some(id @ SettingId::QPACK_MAX_TABLE_CAPACITY) if settings.get(id).is_some() => {
                Err(Fault::Connection(Violation::SettingsTable))
            }
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.2
            // Settings that are not compatible are an error of the connection.
            Some(_) => Err(Fault::Connection(Violation::SettingsReduced)),
        }
    }

    /// Tells that no request has reached the server, and that the streams are over: QUIC
    /// has forgotten them. [`Self::restart`] follows when that was taken in.
    pub(crate) fn reject_early(&mut self) {
        let requests: Vec<StreamKey> = self.table.keys().collect();
        for key in requests {
            self.await_no_more(key);
            let Some(slot) = self.table.get_mut(key) else {
                continue;
            };
            (slot.recv, slot.send) = (Recv::Closed, Send::Closed);
            slot.held = Bytes::new();
            slot.owed.clear();
            self.stats.early_requests_rejected += 1;
            let fact = Fact::EarlyDataRejected;
            self.events.push_back(H3Event::On(key, fact));
            self.settle(key);
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.2
    // Remembered settings are for 0-RTT; without it, the defaults hold.
    /// As if nothing had been sent: what this side says when a connection begins goes out
    /// again, on streams whose ids begin anew, with tables that are empty. What was counted
    /// stays, and keys of the streams that were forgotten name none of the new ones.
    pub(crate) fn restart(&mut self) {
        let new = Self::new(
            self.side,
            std::sync::Arc::clone(&self.config),
            self.seed,
            self.claims,
        );
        let before = std::mem::replace(self, new);
        self.table.restart_after(&before.table);
        self.extension_settings = before.extension_settings;
        self.events = before.events;
        self.budget = before.budget;
        self.stats = before.stats;
        self.keep_lines = before.keep_lines;
    }
}
