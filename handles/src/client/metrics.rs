//! What a client tells whoever counts.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aqueduct_core::id::Side;
use aqueduct_core::pool::{DialFailure, Origin, PoolError};
use aqueduct_core::stats::Stats;
use http::{Method, StatusCode, Uri};

use super::error::Error;
use crate::clock::now;
use crate::connection::{ConnHandle, Connection};
use crate::meter::Meter;

/// Counts what a client does ([`ClientBuilder::metrics`](super::ClientBuilder::metrics)).
/// Closures of this shape do.
///
/// Called where the thing happens, with no lock held: it should be brief. It may call the
/// client. A panic of it is caught and logged, and what it was told of goes on.
pub trait Metrics: Send + Sync + 'static {
    /// Something has happened.
    fn record(&self, metric: &Metric<'_>);
}

impl<F> Metrics for F
where
    F: Fn(&Metric<'_>) + Send + Sync + 'static,
{
    fn record(&self, metric: &Metric<'_>) {
        self(metric);
    }
}

/// Something that a client does, by a [name](Self::name) that stays.
///
/// | name | when | with |
/// |---|---|---|
/// | `handshake.start` | a dial begins, names and all attempts within | `origin` |
/// | `handshake.stop` | there is a connection | `origin`, `took` |
/// | `handshake.exception` | there is none | `origin`, `took`, `failure` |
/// | `queue.start` | a request has to wait for a connection | `origin` |
/// | `queue.stop` | it has one | `origin`, `took` |
/// | `queue.exception` | it gets none, or is not wanted any more | `origin`, `took`, `error` |
/// | `request.start` | a request is made | `method`, `uri` |
/// | `request.stop` | the head of its answer is there; of one that is opened, its stream | `method`, `uri`, `took`, `status` |
/// | `request.exception` | there is no answer, or the request is not wanted any more | `method`, `uri`, `took`, `error` |
/// | `draining` | either side winds a connection down | `origin`, `by` |
/// | `datagram.sent` | datagrams of a request are with QUIC | `origin`, `count`, `bytes` |
/// | `datagram.received` | the application has taken some | `origin`, `count`, `bytes` |
/// | `datagram.dropped` | some had come and were dropped | `origin`, `count`, `why` |
///
/// Each `start` has one `stop` or `exception`. `bytes` are those of payloads. Datagrams that
/// were dropped are counted by connection, and told when some are taken from it, when a
/// [channel](crate::RequestStream::datagrams) on it goes, when a request on it is answered
/// or fails, and with its own end.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the table says it, each name once")]
pub enum Metric<'a> {
    HandshakeStart {
        origin: &'a Origin,
    },
    HandshakeStop {
        origin: &'a Origin,
        took: Duration,
    },
    HandshakeException {
        origin: &'a Origin,
        took: Duration,
        /// `None`: nobody wants it any more, or its time is over.
        failure: Option<&'a DialFailure>,
    },
    QueueStart {
        origin: &'a Origin,
    },
    QueueStop {
        origin: &'a Origin,
        took: Duration,
    },
    QueueException {
        origin: &'a Origin,
        took: Duration,
        /// `None`: whoever waited does not any more.
        error: Option<&'a PoolError>,
    },
    RequestStart {
        method: &'a Method,
        uri: &'a Uri,
    },
    RequestStop {
        method: &'a Method,
        uri: &'a Uri,
        took: Duration,
        /// `None` of one that is opened ([`Client::open`](super::Client::open)).
        status: Option<StatusCode>,
    },
    RequestException {
        method: &'a Method,
        uri: &'a Uri,
        took: Duration,
        /// `None`: whoever asked does not wait any more.
        error: Option<&'a Error>,
    },
    Draining {
        origin: &'a Origin,
        by: Side,
    },
    DatagramSent {
        origin: &'a Origin,
        count: usize,
        bytes: usize,
    },
    DatagramReceived {
        origin: &'a Origin,
        count: usize,
        bytes: usize,
    },
    DatagramDropped {
        origin: &'a Origin,
        count: u64,
        why: DatagramDrop,
    },
}

/// Why datagrams that had come were dropped.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum DatagramDrop {
    /// Nobody took them in time: the limits are full.
    Overflowed,
    /// They were of no request that has datagrams: of one without a
    /// [channel](crate::RequestStream::datagrams), which ends with H3_DATAGRAM_ERROR unless
    /// it is a CONNECT, or of one that is over.
    NoChannel,
}

impl Metric<'_> {
    /// All names, in the order of the table.
    pub const NAMES: [&'static str; 13] = [
        "handshake.start",
        "handshake.stop",
        "handshake.exception",
        "queue.start",
        "queue.stop",
        "queue.exception",
        "request.start",
        "request.stop",
        "request.exception",
        "draining",
        "datagram.sent",
        "datagram.received",
        "datagram.dropped",
    ];

    /// What it is.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let at = match self {
            Self::HandshakeStart { .. } => 0,
            Self::HandshakeStop { .. } => 1,
            Self::HandshakeException { .. } => 2,
            Self::QueueStart { .. } => 3,
            Self::QueueStop { .. } => 4,
            Self::QueueException { .. } => 5,
            Self::RequestStart { .. } => 6,
            Self::RequestStop { .. } => 7,
            Self::RequestException { .. } => 8,
            Self::Draining { .. } => 9,
            Self::DatagramSent { .. } => 10,
            Self::DatagramReceived { .. } => 11,
            Self::DatagramDropped { .. } => 12,
        };
        Self::NAMES[at]
    }

    /// How long it took, of what has come to its end.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        match self {
            Self::HandshakeStop { took, .. }
            | Self::HandshakeException { took, .. }
            | Self::QueueStop { took, .. }
            | Self::QueueException { took, .. }
            | Self::RequestStop { took, .. }
            | Self::RequestException { took, .. } => Some(*took),
            _ => None,
        }
    }
}

/// Tells a hook. Its panic would end the task of a connection, unknown to the pool, or the
/// process while another unwinds.
pub(super) fn tell(hook: &dyn Metrics, metric: &Metric<'_>) {
    // Whoever panics has said why, and no state of ours is in its hands.
    let told = catch_unwind(AssertUnwindSafe(|| hook.record(metric)));
    if told.is_err() {
        tracing::error!(metric = metric.name(), "the hook for metrics panicked");
    }
}

/// The hook of a client, if it has one.
pub(super) type Hook = Option<Arc<dyn Metrics>>;

/// Something from its beginning to its end, told of where there is a hook. Its drop is an
/// end, too.
pub(super) struct Watch(Option<Box<Running>>);

struct Running {
    hook: Arc<dyn Metrics>,
    of: Of,
    began: Instant,
}

enum Of {
    Handshake(Origin),
    Queue(Origin),
    Request(Method, Uri),
}

/// How it ended.
pub(super) enum End<'a> {
    Done,
    Answered(StatusCode),
    NotDialed(&'a DialFailure),
    NotLent(&'a PoolError),
    Failed(&'a Error),
    GivenUp,
}

impl Watch {
    pub(super) fn handshake(hook: &Hook, origin: &Origin) -> Self {
        Self::new(hook, || Of::Handshake(origin.clone()))
    }

    pub(super) fn queue(hook: &Hook, origin: &Origin) -> Self {
        Self::new(hook, || Of::Queue(origin.clone()))
    }

    pub(super) fn request(hook: &Hook, method: &Method, uri: &Uri) -> Self {
        Self::new(hook, || Of::Request(method.clone(), uri.clone()))
    }

    fn new(hook: &Hook, of: impl FnOnce() -> Of) -> Self {
        Self(hook.as_ref().map(|hook| {
            let (hook, of) = (hook.clone(), of());
            let begins = match &of {
                Of::Handshake(origin) => Metric::HandshakeStart { origin },
                Of::Queue(origin) => Metric::QueueStart { origin },
                Of::Request(method, uri) => Metric::RequestStart { method, uri },
            };
            tell(&*hook, &begins);
            let began = now();
            Box::new(Running { hook, of, began })
        }))
    }

    /// The end of a request that is opened, and not exchanged for an answer.
    pub(super) fn opened<T>(self, outcome: &Result<T, Error>) {
        self.ends(&outcome.as_ref().map_or_else(End::Failed, |_| End::Done));
    }

    pub(super) fn ends(mut self, how: &End<'_>) {
        self.end(how);
    }

    fn end(&mut self, how: &End<'_>) {
        let Some(running) = self.0.take() else {
            return;
        };
        let Running { hook, of, began } = *running;
        let took = now().saturating_duration_since(began);
        let ends = match (&of, how) {
            (Of::Handshake(origin), End::Done) => Metric::HandshakeStop { origin, took },
            (Of::Handshake(origin), how) => {
                let failure = match how {
                    End::NotDialed(failure) => Some(*failure),
                    _ => None,
                };
                Metric::HandshakeException {
                    origin,
                    took,
                    failure,
                }
            }
            (Of::Queue(origin), End::Done) => Metric::QueueStop { origin, took },
            (Of::Queue(origin), how) => {
                let error = match how {
                    End::NotLent(error) => Some(*error),
                    _ => None,
                };
                Metric::QueueException {
                    origin,
                    took,
                    error,
                }
            }
            (Of::Request(method, uri), End::Done) => Metric::RequestStop {
                method,
                uri,
                took,
                status: None,
            },
            (Of::Request(method, uri), End::Answered(status)) => Metric::RequestStop {
                method,
                uri,
                took,
                status: Some(*status),
            },
            (Of::Request(method, uri), how) => {
                let error = match how {
                    End::Failed(error) => Some(*error),
                    _ => None,
                };
                Metric::RequestException {
                    method,
                    uri,
                    took,
                    error,
                }
            }
        };
        tell(&*hook, &ends);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end(&End::GivenUp);
    }
}

/// Counts the datagrams of one connection.
pub(super) struct Counter {
    hook: Arc<dyn Metrics>,
    origin: Origin,
    /// What has been told of those that were dropped.
    overflowed: AtomicU64,
    unclaimed: AtomicU64,
}

impl Counter {
    pub(super) fn new(hook: &Arc<dyn Metrics>, origin: &Origin) -> Self {
        Self {
            hook: hook.clone(),
            origin: origin.clone(),
            overflowed: AtomicU64::new(0),
            unclaimed: AtomicU64::new(0),
        }
    }
}

impl Meter for Counter {
    fn sent(&self, count: usize, bytes: usize) {
        let origin = &self.origin;
        let sent = Metric::DatagramSent {
            origin,
            count,
            bytes,
        };
        tell(&*self.hook, &sent);
    }

    fn received(&self, count: usize, bytes: usize) {
        let origin = &self.origin;
        let received = Metric::DatagramReceived {
            origin,
            count,
            bytes,
        };
        tell(&*self.hook, &received);
    }

    fn dropped(&self, stats: &Stats) {
        for (told, all, why) in [
            (
                &self.overflowed,
                stats.datagrams_overflowed,
                DatagramDrop::Overflowed,
            ),
            (
                &self.unclaimed,
                stats.datagrams_unclaimed,
                DatagramDrop::NoChannel,
            ),
        ] {
            // Two may look at once: each datagram is one's.
            let count = all.saturating_sub(told.fetch_max(all, Ordering::Relaxed));
            if count > 0 {
                let origin = &self.origin;
                let dropped = Metric::DatagramDropped { origin, count, why };
                tell(&*self.hook, &dropped);
            }
        }
    }
}

/// Looks, when it is dropped, which datagrams of a connection were dropped.
pub(super) struct Looks(Connection);

impl Looks {
    pub(super) fn at(conn: &Arc<ConnHandle>) -> Self {
        Self(Connection::of(conn))
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        let conn = &self.0.0;
        let meter = conn.lock().conn(conn.at).meter.clone();
        if let Some(meter) = meter {
            conn.count_dropped(&meter);
        }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
