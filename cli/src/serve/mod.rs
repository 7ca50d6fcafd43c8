//! `aqueduct serve`: files and demonstrations over HTTP/3 and WebTransport.

pub(crate) mod answer;
mod connection;
mod demo;
mod events;
mod files;
pub(crate) mod ready;
mod server;
mod session;
mod shutdown;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_tokio::protocol::webtransport::Origins;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::args::{Runtime, Serve};
use crate::exit::{Context as _, Exit, Failure};
use crate::files::{Places, Root};
use crate::identities::Identities;
use crate::output::{Output, unprinted};
use crate::page::{self, Page};
use crate::record::Recording;
use crate::signals::{Signal, Signals};
use crate::tls::{self, Certificates};
use crate::turns::Turns;
use crate::units;
use events::Events;
use server::Server;
use shutdown::Shutdown;

/// How long clients have to see that their sessions were closed.
const LAST_SESSIONS: Duration = Duration::from_millis(300);
/// Requests and sessions that have been taken and are not begun, for each processor.
const BEGINS: usize = 2;
/// How long the last packets may take to leave after everything is closed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What every connection, request and session of the server shares.
#[derive(Debug)]
struct Site {
    /// The folder to serve files from.
    root: Option<Root>,
    /// How many of its files may be open.
    places: Places,
    /// Who may begin next: requests and sessions.
    begins: Turns,
    /// The demonstration's page; `None` when there is no demonstration.
    demo: Option<Page>,
    /// Application protocols that sessions may select.
    protocols: Vec<String>,
    /// How long a drain may take.
    drain: Duration,
    /// When sessions end, if they have not ended by themselves.
    shutdown: Shutdown,
    events: Events,
}

/// Serves until a signal comes.
pub async fn run(options: &Serve, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    // From here on a signal drains, also while the server is being set up.
    let mut signals = Signals::listen().doing(|| "cannot listen for signals".to_owned())?;
    let mut certificates = Identities::load(&options.certified)?;
    let root = options.root.as_deref().map(|folder| {
        Root::open(folder).doing(|| format!("cannot serve files from `{}`", folder.display()))
    });
    let root = root.transpose()?;
    let listener = match options.page {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(bound.doing(|| format!("cannot serve the page on {address}"))?)
        }
        None => None,
    };
    let page_at = listener.as_ref().and_then(|it| it.local_addr().ok());
    let listed = options.allow_origin.iter().cloned();
    let origins = Origins::listed(listed.chain(page_at.into_iter().flat_map(ready::page_origins)));
    let endpoint = endpoint(options, certificates.tls(), origins, recording)?;
    // Before the line that says so: scripts read the file when they see the line.
    certificates.publish(&options.certified)?;
    let facts = facts(&certificates, endpoint.local_addr(), page_at);
    let pages = Pages {
        h3: Page::new(&facts.for_h3()),
        http: Page::new(&facts.for_http()),
    };
    let site = Arc::new(Site {
        root,
        places: Places::of_process(),
        begins: Turns::of_machine(|processors| processors * BEGINS),
        demo: options.demo_enabled().then(|| pages.h3.clone()),
        protocols: options.webtransport.protocols.clone(),
        drain: options.drain_timeout,
        shutdown: Shutdown::new(),
        events: Events::new(output),
    });
    let (stop_page, page_stopped) = oneshot::channel::<()>();
    let page = listener.map(|listener| {
        let page = pages.http.clone();
        tokio::spawn(page::serve(listener, page, async {
            // Dropping the sender is the signal.
            let _ = page_stopped.await;
        }))
    });
    certificates.warn(options.page.is_some(), output);
    facts.print(output).map_err(unprinted)?;
    if options.demo_enabled() {
        output.remark(crate::demo::RESOURCES);
    }

    let mut accepting = pin!(accept(&endpoint, &site));
    let signal = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Hangup => reload(&mut certificates, options, &pages, facts, output),
                signal => break signal,
            },
            // It ends only when the socket failed.
            () = &mut accepting => {
                return Err(Failure::new(Exit::Failure, "the UDP socket failed (-v tells more)"));
            }
        }
    };
    let limit = units::duration(options.drain_timeout);
    output.remark(&format!(
        "{signal}: finishing within {limit}; again to stop at once"
    ));
    drop(stop_page);
    let finished = drain(&endpoint, &site, &mut signals).await;
    output.remark(if finished {
        "stopped: all work was finished"
    } else {
        "stopped: what was not finished was closed"
    });
    if let Some(page) = page {
        page.await
            .doing(|| "the page's server broke down".to_owned())?;
    }
    Ok(Exit::Ok)
}

/// Lets work finish, then closes what is left: first its sessions, in words that their clients see,
/// then its connections. Whether there was nothing left.
async fn drain(endpoint: &Server, site: &Site, signals: &mut Signals) -> bool {
    // What the core would close at the deadline is closed from here, a moment before.
    endpoint.drain(site.drain + LAST_WORDS);
    let drained = tokio::select! {
        () = endpoint.wait_idle() => true,
        _ = signals.end() => false,
        () = tokio::time::sleep(site.drain) => false,
    };
    if drained {
        return true;
    }
    site.shutdown.tell();
    let told = tokio::time::timeout(LAST_SESSIONS, endpoint.wait_idle());
    if told.await.is_ok() {
        return false;
    }
    endpoint.close(Code::H3_NO_ERROR, "shutting down");
    if tokio::time::timeout(LAST_WORDS, endpoint.wait_idle())
        .await
        .is_err()
    {
        tracing::debug!("some connections did not end in time");
    }
    false
}

/// The demonstration's page, as it is sent.
struct Pages {
    h3: Page,
    http: Page,
}

/// What a client must know.
fn facts(
    certificates: &Identities,
    listening: SocketAddr,
    page: Option<SocketAddr>,
) -> ready::Facts {
    ready::Facts {
        listening,
        page,
        fingerprints: certificates.fingerprints(),
        by_hash: certificates.unfit_for_browsers().is_empty(),
    }
}

/// Reads the certificates again, and puts the new ones into the pages.
fn reload(
    certificates: &mut Identities,
    options: &Serve,
    pages: &Pages,
    before: ready::Facts,
    output: Output,
) {
    if !certificates.reload(&options.certified, output) {
        return;
    }
    let facts = facts(certificates, before.listening, before.page);
    pages.h3.replace(&facts.for_h3());
    pages.http.replace(&facts.for_http());
    certificates.warn(options.page.is_some(), output);
    certificates.tell_reloaded(output);
}

fn endpoint(
    options: &Serve,
    certificates: &Certificates,
    origins: Origins,
    recording: &Recording,
) -> Result<Server, Failure> {
    if options.workers > 1 && options.runtime != Runtime::Tokio {
        let why = "--workers needs --runtime tokio: the others have one socket";
        return Err(Failure::new(Exit::Usage, why));
    }
    if options
        .keep_alive
        .is_some_and(|it| it >= options.idle_timeout)
    {
        let why = "--keep-alive keeps nothing unless it is less than --idle-timeout";
        return Err(Failure::new(Exit::Usage, why));
    }
    let doing = || format!("cannot listen on {}", options.listen);
    let tls = Arc::new(tls::server_config(certificates)?);
    let mut http = options.webtransport.config();
    http.webtransport.origins = origins;
    // `/headers` shows them as they came.
    http.field_lines = options.demo_enabled();
    let mut transport = TransportSettings::default();
    transport.idle_timeout = Some(options.idle_timeout);
    transport.keep_alive = options.keep_alive;
    let mut config = EndpointConfig::server(tls, http)
        .and_then(|config| config.transport(transport)?.early_data(options.early_data))
        .doing(doing)?;
    if options.demo_enabled() {
        config = config.resources(crate::demo::SESSIONS_ALONE);
    }
    if let Some(path) = &options.reset_key {
        config = config
            .reset_key(crate::reset_key::read(path)?)
            .doing(doing)?;
    }
    #[cfg(feature = "qlog")]
    let config = crate::qlog::Traces::begin(&options.qlog)?.of(config);
    Server::bind(options, recording.of(config)).doing(doing)
}

/// A task for each connection, so that none waits for another.
async fn accept(endpoint: &Server, site: &Arc<Site>) {
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(connection::run(connection, site.clone()));
    }
}
