//! `aqueduct serve`: files and demonstrations over HTTP/3 and WebTransport.

mod answer;
mod connection;
mod demo;
mod events;
mod files;
mod origin;
mod ready;
mod server;
mod session;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::args::{Runtime, Serve};
use crate::exit::{Context as _, Exit, Failure};
use crate::files::{Places, Root};
use crate::identity::Identity;
use crate::output::{Output, unprinted};
use crate::page::{self, Page};
use crate::record::Recording;
use crate::signals::Signals;
use crate::{tls, units};
use events::Events;
use origin::Origins;
use server::Server;

/// How long the last packets may take to leave after everything is closed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What every connection, request and session of the server shares.
#[derive(Debug)]
struct Site {
    /// The folder to serve files from.
    root: Option<Root>,
    /// How many of its files may be open.
    places: Places,
    /// The demonstration's page; `None` when there is no demonstration.
    demo: Option<Page>,
    /// Whose pages may open sessions.
    origins: Origins,
    /// Application protocols that sessions may select.
    protocols: Vec<String>,
    /// How long a drain may take.
    drain: Duration,
    events: Events,
}

/// Serves until a signal comes.
pub async fn run(options: &Serve, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    // From here on a signal drains, also while the server is being set up.
    let mut signals = Signals::listen().doing(|| "cannot listen for signals".to_owned())?;
    let identity = identity(options)?;
    let root = options.root.as_deref().map(|folder| {
        Root::open(folder).doing(|| format!("cannot serve files from `{}`", folder.display()))
    });
    let root = root.transpose()?;
    let endpoint = endpoint(options, &identity, recording)?;
    let listener = match options.page {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.doing(|| format!("cannot serve the page on {address}"))?)
        }
        None => None,
    };
    // Before the line that says so: scripts read the file when they see the line.
    if let Some(path) = &options.cert_out {
        identity.write_pem(path)?;
    }
    let facts = ready::Facts {
        listening: endpoint.local_addr(),
        page: listener
            .as_ref()
            .and_then(|listener| listener.local_addr().ok()),
        fingerprints: identity.fingerprints(),
        self_signed: options.cert.is_none(),
    };
    let site = Arc::new(Site {
        root,
        places: Places::of_process(),
        demo: options.demo_enabled().then(|| facts.page_for_h3()),
        origins: Origins::new(
            options
                .allow_origin
                .iter()
                .cloned()
                .chain(facts.page_origins()),
        ),
        protocols: options.webtransport.protocols.clone(),
        drain: options.drain_timeout,
        events: Events::new(output),
    });
    let (stop_page, page_stopped) = oneshot::channel::<()>();
    let page = listener.map(|listener| {
        let page = facts.page_for_http();
        tokio::spawn(page::serve(listener, page, async {
            // Dropping the sender is the signal.
            let _ = page_stopped.await;
        }))
    });
    facts.print(output).map_err(unprinted)?;

    let signal = tokio::select! {
        signal = signals.next() => signal,
        // It ends only when the socket failed.
        () = accept(&endpoint, &site) => {
            return Err(Failure::new(Exit::Failure, "the UDP socket failed (-v tells more)"));
        }
    };
    let limit = units::duration(options.drain_timeout);
    output.remark(&format!(
        "{signal}: finishing within {limit}; again to stop at once"
    ));
    drop(stop_page);
    endpoint.drain(options.drain_timeout);
    let drained = tokio::select! {
        () = endpoint.wait_idle() => true,
        _ = signals.next() => false,
        () = tokio::time::sleep(options.drain_timeout) => false,
    };
    if !drained {
        endpoint.close(Code::H3_NO_ERROR, "shutting down");
        if tokio::time::timeout(LAST_WORDS, endpoint.wait_idle())
            .await
            .is_err()
        {
            tracing::debug!("some connections did not end in time");
        }
    }
    if let Some(page) = page {
        page.await
            .doing(|| "the page's server broke down".to_owned())?;
    }
    Ok(Exit::Ok)
}

fn identity(options: &Serve) -> Result<Identity, Failure> {
    match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => Identity::load(cert, key),
        _ => Identity::self_signed(SystemTime::now()),
    }
}

fn endpoint(
    options: &Serve,
    identity: &Identity,
    recording: &Recording,
) -> Result<Server, Failure> {
    if options.workers > 1 && options.runtime != Runtime::Tokio {
        let why = "--workers needs --runtime tokio: the others have one socket";
        return Err(Failure::new(Exit::Usage, why));
    }
    let doing = || format!("cannot listen on {}", options.listen);
    let tls = Arc::new(tls::server_config(identity)?);
    let mut http = options.webtransport.config();
    // `/headers` shows them as they came.
    http.field_lines = options.demo_enabled();
    let config = EndpointConfig::server(tls, http).doing(doing)?;
    #[cfg(feature = "qlog")]
    let config = match &options.qlog {
        Some(folder) => config.qlog(crate::qlog::factory(folder, options.qlog_limit)?),
        None => config,
    };
    Server::bind(options, recording.of(config)).doing(doing)
}

/// A task for each connection, so that none waits for another.
async fn accept(endpoint: &Server, site: &Arc<Site>) {
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(connection::run(connection, site.clone()));
    }
}
