//! A close that no full congestion window holds back.
//!
//! quinn-proto 0.11.19 holds the packet that closes a connection to the congestion window
//! as long as stream data is pending, and from the close on takes in no acknowledgement
//! that would make room in it: such a close is never sent, and the peer learns of it from
//! its idle timeout. So every congestion controller is wrapped in one whose window has no
//! end once the connection is closed: then QUIC sends that packet and nothing else. A
//! test of the endpoint tells when quinn-proto does without, and this file can go.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

/// What quinn takes as the maker of congestion controllers.
pub(super) type Factory = Arc<dyn ControllerFactory + Send + Sync>;

/// Whether one connection is closed, as its congestion controllers see it. quinn owns
/// these and lends them for reading only, so the word is shared.
#[derive(Clone, Debug, Default)]
pub(super) struct Closing(Arc<AtomicBool>);

impl Closing {
    /// The connection is closed: what is sent from here on waits for no window.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The same controllers, for as long as the connection is open.
    pub(super) fn wrap(&self, inner: Factory) -> Factory {
        let closing = self.clone();
        Arc::new(OpenEnded { closing, inner })
    }
}

struct OpenEnded<T> {
    closing: Closing,
    inner: T,
}

impl<T> fmt::Debug for OpenEnded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenEnded")
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

impl ControllerFactory for OpenEnded<Factory> {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(OpenEnded {
            closing: self.closing.clone(),
            inner: Arc::clone(&self.inner).build(now, mtu),
        })
    }
}

impl Controller for OpenEnded<Box<dyn Controller>> {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, last: Option<u64>) {
        self.inner.on_end_acks(now, in_flight, app_limited, last);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        self.inner.on_congestion_event(now, sent, persistent, lost);
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.inner.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        if self.closing.0.load(Ordering::Relaxed) {
            // Nor is it paced, from 2^32 on.
            return u64::MAX;
        }
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(OpenEnded {
            closing: self.closing.clone(),
            inner: self.inner.clone_box(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self.inner.into_any()
    }
}
