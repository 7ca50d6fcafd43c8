//! A client for many servers: requests in, answers out, and connections in between that
//! nobody has to think of.
//!
//! ```no_run
//! # use aqueduct_handles::client::{Body, Client, Error};
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let response = client.get("https://example.com/").await?;
//! println!("{}", response.status());
//! let content = response.into_body().bytes(1 << 20).await?;
//! # let request = http::Request::post("https://example.com/").body("content")?;
//! let response = client.request(request).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! - Requests share connections, which a [pool](aqueduct_core::pool) of each origin makes
//!   when they are needed and gives up when they are not. A connection is dialled once for
//!   all who wait, at all addresses of its name in turn (RFC 8305).
//! - Content streams both ways, and both sides hold back each other.
//! - A request whose datagrams are the point is a [`Channel`], which tells what comes and how
//!   it ends.
//! - Whoever drops the future of a request, or the [`Body`] of its answer before the end,
//!   cancels it with H3_REQUEST_CANCELLED and frees its place at once.
//! - Nothing is sent again by itself. [`Error::is_unprocessed`] says what may be.
//! - A server that goes away (GOAWAY) gets nothing new and ends what it has; what it says
//!   that it did not process fails as that.
//! - Where an origin says that it is served elsewhere, too (`alt-svc`, RFC 7838), or a
//!   [resolver](Resolve::https) says so, it is dialled there, by its own name in TLS and in
//!   `:authority`, and at its own place when that fails. Other protocols than `h3` are left
//!   alone.
//! - All of it goes through a proxy where there is one ([`ClientBuilder::proxy`]).
//! - Safe requests go out before the handshake is complete where that is asked for
//!   ([`ClientBuilder::early_data`]), and say what became of that ([`EarlyOutcome`]).
//! - An answer that was cut short is an error and never looks complete.
//!
//! # What it tells
//!
//! Spans of `tracing` with the target `aqueduct::client`, all at the level DEBUG:
//!
//! | span | from, to | fields |
//! |---|---|---|
//! | `request` | the call, the head of the answer | `method`, `uri`, `stream`, `status`, or `error` |
//! | `queue` | a request has to wait, its turn | `origin` |
//! | `handshake` | a dial, its outcome; names and all attempts within | `origin`, `connection`, `error` |
//! | `draining` | either side's GOAWAY, the end of the connection | `origin`, `connection`, `by` |
//!
//! Numbers are [`Client::stats`] and [`Client::origin_stats`], and whoever counts gets each
//! thing as it happens, with its time: [`ClientBuilder::metrics`], [`Metric`].
//!
//! # What it costs
//!
//! A task for each connection. A request that finds a connection takes the client's lock
//! twice, for O(log n) of its origins and connections.

mod alternatives;
mod body;
mod builder;
mod cancel;
mod channel;
mod dial;
mod early;
mod error;
mod exchange;
#[cfg(feature = "http-body")]
mod http_body;
mod hub;
mod metrics;
mod proxy;
mod runtime;
mod send;
mod services;
mod times;
#[cfg(feature = "tower")]
mod tower;

use std::fmt;
use std::sync::Arc;

use aqueduct_core::pool::{Origin, OriginStats, PoolStats, StoredAlternative};
use aqueduct_core::uri::UriError;
use http::{Method, Request, Response, Uri};
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, Span};

pub use body::{Body, Part};
pub use builder::{ClientBuilder, Timeouts};
pub use channel::{Channel, ChannelEvent};
pub use early::EarlyOutcome;
pub use error::{BoxError, Error, Timeout};
pub use metrics::{DatagramDrop, Metric, Metrics};
pub use proxy::ClientProxy;
pub use runtime::{Resolve, Resolving, ResolvingHttps, Runtime, Task};
pub use send::{OnInterim, OpenRequest, Place};

use hub::Hub;

/// Of the spans.
const TARGET: &str = "aqueduct::client";

/// A client for many servers; see [the module](self). Clones are the same client.
///
/// Dropping the last clone ends what nobody uses; requests that are under way, and answers
/// that are read, go on.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

struct Handle(Arc<Hub>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

impl Client {
    pub(crate) fn of(hub: Arc<Hub>) -> Self {
        Self(Arc::new(Handle(hub)))
    }

    /// Sends a request and waits for the head of the answer, whose content comes with the
    /// [`Body`]. The URI names the server. Among the extensions, [`Timeouts`] and
    /// [`OnInterim`] are for this request alone.
    ///
    /// Content of the request is sent meanwhile; when the answer comes before its end, the
    /// rest is sent by a task. A `content-length` is added where the length is known.
    ///
    /// Dropping the future cancels the request.
    ///
    /// # Errors
    /// [`Error`]. The request is over.
    pub async fn request<B: Into<Body>>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Body>, Error> {
        send::request(&self.0.0, request.map(Into::into)).await
    }

    /// Sends the head of a request and gives its stream: for
    /// [datagrams](crate::RequestStream::datagrams),
    /// [capsules](crate::RequestStream::into_capsules), tunnels, and content that is
    /// written and read in other ways. An extended CONNECT waits for the server's SETTINGS.
    /// Cancel safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`Error`]; nothing was sent.
    pub async fn open(&self, request: Request<()>) -> Result<OpenRequest, Error> {
        let span = request_span(request.method(), request.uri());
        send::open_request(&self.0.0, request)
            .instrument(span)
            .await
    }

    /// Opens a request whose datagrams are the point, of any method: an extended CONNECT
    /// has a [`Protocol`](aqueduct_core::head::Protocol) among its extensions. Datagrams are
    /// taken from the first moment on. Waits for the server's SETTINGS, within
    /// [`Timeouts::first_byte`]. Cancel safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`Error`], [`Error::DatagramsDisabled`] among others; nothing was sent.
    pub async fn open_channel(&self, request: Request<()>) -> Result<Channel, Error> {
        let span = request_span(request.method(), request.uri());
        channel::open(&self.0.0, request).instrument(span).await
    }

    /// Sends GET for a URI, as [`request`](Self::request).
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get<U>(&self, uri: U) -> Result<Response<Body>, Error>
    where
        U: TryInto<Uri>,
        U::Error: Into<http::Error>,
    {
        let wrong = |error: U::Error| UriError::Syntax(error.into().to_string().into());
        let uri = uri.try_into().map_err(wrong)?;
        send::get(&self.0.0, uri).await
    }

    /// Takes no more requests: those that wait for a connection fail, those that are
    /// under way go on. See [`closed`](Self::closed).
    pub fn drain(&self) {
        self.0.0.shut_down();
    }

    /// Waits until a [drained](Self::drain) client has come to its end: no request is left,
    /// and the last words of its endpoint's connections have gone out, those of others that
    /// share it included. Cancel safe.
    pub async fn closed(&self) {
        self.0.0.over().await;
        self.0.0.endpoint.wait_idle().await;
    }

    /// The alternative services that are known (RFC 7838), for
    /// [`ClientBuilder::known_alternatives`] of another time. O(all).
    #[must_use]
    pub fn alternatives(&self) -> Vec<StoredAlternative> {
        let alternatives = self.0.0.settings.alternatives.as_ref();
        alternatives.map_or_else(Vec::new, |known| known.export())
    }

    /// This host is on another network: alternative services that are not said to persist
    /// are forgotten, and those that failed may be tried again. O(all).
    pub fn network_changed(&self) {
        if let Some(alternatives) = &self.0.0.settings.alternatives {
            alternatives.network_changed();
        }
    }

    /// All of its connections and requests in numbers.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.0.0.stats()
    }

    /// Those of one origin.
    #[must_use]
    pub fn origin_stats(&self, origin: &Origin) -> OriginStats {
        self.0.0.origin_stats(origin)
    }

    #[cfg(test)]
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.0
    }
}

/// The span of the request, if somebody may listen.
fn span() -> Option<Span> {
    let may = LevelFilter::current() >= LevelFilter::DEBUG;
    may.then(Span::current).filter(|span| !span.is_disabled())
}

fn request_span(method: &Method, uri: &Uri) -> Span {
    tracing::debug_span!(
        target: TARGET, "request", %method, %uri, stream = Empty, status = Empty, error = Empty
    )
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
