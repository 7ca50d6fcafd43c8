//! The connection to the proxy: one at a time, made again when it is lost, and the tunnels that are
//! opened on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aqueduct_tokio::Connection;
use aqueduct_tokio::error::RequestError;
use aqueduct_tokio::protocol::error::{CloseReason, RequestError as Impossible};
use aqueduct_tokio::proxy::{Dialect, OpenTunnelError, Target, TcpTunnel, Tunnel, UdpTunnel};
use http::StatusCode;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::backoff::Backoff;
use crate::args;
use crate::client::{Client, Proxy, tunnel_failed};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::throttle::Throttle;
use crate::units;

/// How long a tunnel may take to open, a connection to the proxy included if there is none.
const OPENING: Duration = Duration::from_secs(30);
/// How long after a failure the proxy is tried again, at first and at last.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// How long before a tunnel is asked for again on a connection that was about to end.
const AGAIN: Duration = Duration::from_millis(50);

/// Tunnels that others could not have, of all.
static FAILED: Throttle = Throttle::new();

/// The connection is made again as long as there is this.
#[derive(Debug)]
pub(super) struct Keeping(JoinHandle<()>);

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A way to open tunnels. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    proxy: Arc<Proxy>,
    connection: watch::Receiver<Option<Connection>>,
    /// Whether TCP is asked for by CONNECT.
    classic: Arc<AtomicBool>,
    backoff: Arc<Backoff>,
    output: Output,
}

impl Upstream {
    /// Connects, and keeps connected from then on.
    ///
    /// # Errors
    /// When there is no connection, or the proxy says that it opens no tunnels for this client, or
    /// none to where they are to lead.
    pub(super) async fn connect(
        proxy: Arc<Proxy>,
        options: &args::Tunnel,
        output: Output,
    ) -> Result<(Self, Keeping), Failure> {
        let client = proxy.dial().await?;
        if options.udp.is_none() {
            proxy
                .check(client.connection(), options.tcp.as_ref())
                .await?;
        }
        let (tell, connection) = watch::channel(Some(client.connection().clone()));
        let keeping = tokio::spawn(keep(proxy.clone(), client, tell, output));
        let upstream = Self {
            proxy,
            connection,
            classic: Arc::new(AtomicBool::new(options.classic)),
            backoff: Arc::default(),
            output,
        };
        Ok((upstream, Keeping(keeping)))
    }

    /// A tunnel for UDP. Waits for a connection.
    pub(super) async fn udp(&self, target: &Target) -> Result<UdpTunnel, Failure> {
        let opened = self.opened(target, self.open(Dialect::Udp, target));
        let tunnel = opened.await?.into_udp();
        tunnel.ok_or_else(|| Failure::new(Exit::Failure, "the tunnel is for TCP"))
    }

    /// A tunnel for TCP. Waits for a connection.
    pub(super) async fn tcp(&self, target: &Target) -> Result<TcpTunnel, Failure> {
        let tunnel = self.tcp_or_why(target).await;
        tunnel.map_err(|why| why.into_failure(target))
    }

    /// The same, and why not as the proxy says it.
    pub(super) async fn tcp_or_why(&self, target: &Target) -> Result<TcpTunnel, Why> {
        let opened = tokio::time::timeout(OPENING, self.either(target)).await;
        let tunnel = opened.unwrap_or_else(|_| Err(self.late()))?.into_tcp();
        tunnel.ok_or(Why::Late)
    }

    /// By connect-tcp, and by CONNECT where that is not known.
    async fn either(&self, target: &Target) -> Result<Tunnel, Why> {
        if self.classic.load(Ordering::Relaxed) {
            return self.open(Dialect::Classic, target).await;
        }
        let refused = match self.open(Dialect::Tcp12, target).await {
            Err(Why::Proxy(error)) if is_unknown(&error) => error,
            opened => return opened,
        };
        let opened = self.open(Dialect::Classic, target).await;
        match &opened {
            // Neither is known: the first answer is the one that matters.
            Err(Why::Proxy(error)) if is_unknown(error) => return Err(Why::Proxy(refused)),
            Err(Why::Proxy(OpenTunnelError::Refused(_))) | Ok(_) => {
                if !self.classic.swap(true, Ordering::Relaxed) {
                    tracing::info!(%refused, "the proxy takes CONNECT, and no connect-tcp");
                }
            }
            Err(_) => {}
        }
        opened
    }

    async fn opened(
        &self,
        target: &Target,
        opening: impl Future<Output = Result<Tunnel, Why>>,
    ) -> Result<Tunnel, Failure> {
        let opened = tokio::time::timeout(OPENING, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(self.late()));
        opened.map_err(|why| why.into_failure(target))
    }

    /// Asks for a tunnel on the connection that there is, or is next. Asks again when it was not
    /// looked at because the connection was about to end.
    async fn open(&self, dialect: Dialect, target: &Target) -> Result<Tunnel, Why> {
        let ask = self.proxy.ask(dialect, target);
        loop {
            let connection = self.connection().await?;
            match connection.open_tunnel(&ask).await {
                Err(OpenTunnelError::Request(error)) if passes(&error) => {}
                Err(OpenTunnelError::NoAnswer(error)) if error.is_retryable() => {}
                opened => return opened.map_err(Why::Proxy),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What has taken too long.
    fn late(&self) -> Why {
        match &*self.connection.borrow() {
            Some(_) => Why::Late,
            None => Why::Unconnected,
        }
    }

    /// The connection, or the next one.
    async fn connection(&self) -> Result<Connection, Why> {
        let mut connection = self.connection.clone();
        let usable = |connection: &Option<Connection>| {
            let connection = connection.as_ref();
            connection.is_some_and(|connection| connection.close_reason().is_none())
        };
        let Ok(connection) = connection.wait_for(usable).await else {
            // Whoever keeps it ends with the program, which is about to.
            return std::future::pending().await;
        };
        connection.clone().ok_or(Why::Late)
    }

    /// Targets of UDP that are left alone for a while.
    pub(super) fn backoff(&self) -> Arc<Backoff> {
        self.backoff.clone()
    }

    /// Tells how many packets were not sent to where nobody answers.
    pub(super) fn tell_dropped(&self, target: &str, count: u64) {
        if count > 0 {
            tracing::debug!(target, count, "packets were dropped");
            let fields = json!({ "target": target, "count": count });
            print(self.output, "packets_dropped", fields);
        }
    }

    /// Tells that somebody could not have a tunnel; once a second.
    pub(super) fn tell(&self, failure: &Failure) {
        tracing::debug!(%failure, "no tunnel");
        if let Some(count) = FAILED.occasion() {
            self.output.warning(&failure.to_string());
            if self.output.is_json() {
                let fields = json!({ "message": failure.to_string(), "count": count });
                // A reader that has gone away is no reason to stop.
                let _ = self.output.event("tunnel_failed", fields);
            }
        }
    }
}

/// Why there is no tunnel.
#[derive(Debug)]
pub(super) enum Why {
    /// What the proxy says, or became of the connection to it.
    Proxy(OpenTunnelError),
    /// It took too long.
    Late,
    /// There was no connection for too long.
    Unconnected,
}

impl Why {
    pub(super) fn into_failure(self, target: &Target) -> Failure {
        let doing = format!("no tunnel to {target}");
        match self {
            Self::Proxy(error) => tunnel_failed(doing, error),
            Self::Late => {
                let limit = units::duration(OPENING);
                let what = format!("{doing}: the proxy did not open it within {limit}");
                Failure::new(Exit::Failure, what)
            }
            Self::Unconnected => {
                let limit = units::duration(OPENING);
                let what = format!("{doing}: there was no connection to the proxy for {limit}");
                Failure::new(Exit::Failure, what)
            }
        }
    }
}

/// Whether another connection may do.
fn passes(error: &RequestError) -> bool {
    matches!(error, RequestError::Connection(_)) || error.is_retryable()
}

/// Whether a proxy knows nothing of what it was asked by.
fn is_unknown(error: &OpenTunnelError) -> bool {
    match error {
        OpenTunnelError::Refused(head) => matches!(
            head.status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        ),
        OpenTunnelError::Request(RequestError::Refused(why)) => {
            matches!(why, Impossible::ConnectProtocolNotEnabled)
        }
        _ => false,
    }
}

/// Connects again whenever the connection ends or takes nothing new.
async fn keep(
    proxy: Arc<Proxy>,
    mut client: Client,
    tell: watch::Sender<Option<Connection>>,
    output: Output,
) {
    loop {
        let connection = client.connection().clone();
        // It is told of the end, too.
        connection.draining().await;
        tell.send_replace(None);
        match connection.close_reason() {
            // The end of the program.
            Some(CloseReason::Local { .. }) => return,
            Some(reason) => {
                output.warning(&format!("the connection to the proxy is lost: {reason}"));
                let fields = json!({ "reason": reason.to_string() });
                print(output, "disconnected", fields);
            }
            None => {
                output.remark("the proxy winds the connection down: making another");
                print(output, "going_away", json!({}));
                // Its tunnels go on until they end.
                tokio::spawn(async move {
                    connection.closed().await;
                    drop(client);
                });
            }
        }
        client = again(&proxy, output).await;
        output.remark("connected to the proxy again");
        print(output, "connected", json!({}));
        tell.send_replace(Some(client.connection().clone()));
    }
}

async fn again(proxy: &Proxy, output: Output) -> Client {
    let [mut pause, longest] = PAUSES;
    loop {
        let begun = Instant::now();
        match proxy.dial().await {
            Ok(client) => return client,
            Err(failure) => {
                let next = units::duration(pause);
                output.warning(&format!("{failure}; again after {next}"));
                tokio::time::sleep_until(begun + pause).await;
                pause = longest.min(pause * 2);
            }
        }
    }
}

fn print(output: Output, event: &str, fields: serde_json::Value) {
    if output.is_json() {
        // A reader that has gone away is no reason to stop.
        let _ = output.event(event, fields);
    }
}
