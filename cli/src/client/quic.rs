//! Connections of QUIC with a protocol of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::endpoint::{self, tls};
use aqueduct_tokio::protocol::error::{CloseReason, TransportFailure};
use aqueduct_tokio::protocol::escape::escaped;
use aqueduct_tokio::protocol::quic::Config;
use aqueduct_tokio::{Endpoint, QuicConnection};

use super::reasons::NO_ALPN;
use super::{Dialer, Endpoints, race, resolve, unsent};
use crate::args::Target;
use crate::exit::{Context as _, Exit, Failure};
use crate::identity::Identity;

/// What a connection is to be.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// The protocols to offer, the preferred first.
    pub names: Vec<String>,
    /// How QUIC carries them.
    pub config: Config,
}

impl Dialer {
    /// One for connections without HTTP/3, which end after so much silence, or break it before.
    #[must_use]
    pub fn raw(mut self, idle: Duration, keep_alive: Option<Duration>) -> Self {
        // HTTP/3's codes mean nothing there.
        self.farewell = Code::new(0);
        self.transport.idle_timeout = Some(idle);
        self.transport.keep_alive = keep_alive;
        self
    }

    /// Shows servers that ask for it this certificate.
    ///
    /// # Errors
    /// When the key is of no use.
    pub fn identity(mut self, identity: &Identity) -> Result<Self, Failure> {
        let doing = || "the certificate and its key cannot be used".to_owned();
        let key = tls::provider()
            .key_provider
            .load_private_key(identity.key())
            .doing(doing)?;
        let certified = rustls::sign::CertifiedKey::new(identity.chain().to_vec(), key);
        let mut config = (*self.tls).clone();
        config.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        self.tls = Arc::new(config);
        Ok(self)
    }

    /// Connects to the first address of `target` that answers; `begin` has a connection run until
    /// its handshake is complete.
    ///
    /// # Errors
    /// There is no connection in time.
    pub async fn dial_quic<T, F, B>(
        &self,
        target: &Target,
        spoken: &Spoken,
        begin: B,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CloseReason>> + Send + 'static,
        B: Fn(QuicConnection) -> F + Clone + Send + Sync + 'static,
    {
        let limit = self.how.connect_timeout;
        self.verdict.set(None);
        let begun = tokio::time::Instant::now();
        let addresses = match self.how.address_of(target) {
            Some(address) => vec![address],
            None => tokio::time::timeout(limit, resolve(target))
                .await
                .map_err(|_| self.late(target, "its name was not resolved"))??,
        };
        let left = limit.saturating_sub(begun.elapsed());
        let tried = Endpoints::default();
        let race = race::race(addresses, |address| {
            let (dialer, target, spoken) = (self.clone(), target.clone(), spoken.clone());
            let (begin, tried) = (begin.clone(), tried.clone());
            async move {
                let endpoint = dialer.endpoint(address)?;
                tried.add(&endpoint);
                dialer
                    .try_quic(&endpoint, address, &target, &spoken, begin)
                    .await
            }
        });
        tokio::time::timeout(left, race)
            .await
            .map_err(|_| match tried.fault() {
                Some(fault) => self.late(target, &unsent(&fault)),
                None => self.late(target, QUIET),
            })?
    }

    async fn try_quic<T, F, B>(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        target: &Target,
        spoken: &Spoken,
        begin: B,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, CloseReason>>,
        B: Fn(QuicConnection) -> F,
    {
        let doing = || self.connecting(target, address);
        tracing::info!(%address, name = target.host(), "connecting");
        let to = endpoint::Target::new(address, target.host(), self.tls.clone())
            .tickets(self.tickets.clone())
            .quic(
                spoken.names.iter().map(String::as_str),
                spoken.config.clone(),
            )
            .doing(doing)?;
        let connection = endpoint.connect_quic(to).doing(doing)?;
        self.opened.hold(endpoint);
        begin(connection).await.map_err(|reason| match &reason {
            CloseReason::Transport(
                TransportFailure::ClosedByPeer { code: NO_ALPN, .. }
                | TransportFailure::Error { code: NO_ALPN, .. },
            ) => {
                let names = spoken.names.iter().map(|name| escaped(name).to_string());
                let names = names.collect::<Vec<_>>().join(", ");
                let doing = format!("{}: the server does not speak {names} (ALPN)", doing());
                Failure::because(Exit::Failure, doing, reason)
            }
            CloseReason::Transport(TransportFailure::TimedOut) => {
                Failure::new(Exit::Failure, format!("{}: {QUIET}", doing()))
            }
            // With a code of the protocol's own, before there was anything to say.
            CloseReason::Remote { .. } => {
                let what = format!("{}: {}", doing(), crate::quic::ended(&reason));
                Failure::new(Exit::Failure, what)
            }
            _ => self.unconnected(doing(), endpoint, &reason),
        })
    }
}

/// What is said of a server that does not answer.
const QUIET: &str = "no answer (is a server of QUIC listening on this UDP port?)";
