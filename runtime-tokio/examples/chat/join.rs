//! A member at a terminal: what is typed goes to the room, what is said there is
//! printed. When the connection is lost for a reason that may pass, it comes back.

use std::net::SocketAddr;
use std::time::Duration;

use aqueduct_tokio::error::{OpenSessionError, OpenStreamError, WriteError};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::endpoint::ConnectError as BeginError;
use aqueduct_tokio::protocol::error::CloseReason;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::protocol::webtransport::SessionClose;
use aqueduct_tokio::tls::{self, CertificateHash, Trust};
use aqueduct_tokio::{Endpoint, Session};
use http::Uri;
use tokio::io::BufReader;
use tokio::sync::mpsc;

use crate::Anything;
use crate::room::{LINE, Lines};

/// How long to wait between tries: twice as long each time, up to the last.
const WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Why a visit ended, and whether another one may fare better.
struct Failed {
    retryable: bool,
    why: Anything,
}

macro_rules! failures {
    ($($error:ty),*) => { $(
        impl From<$error> for Failed {
            fn from(error: $error) -> Self {
                Self { retryable: error.is_retryable(), why: error.into() }
            }
        }
    )* };
}

failures!(CloseReason, OpenSessionError, OpenStreamError, WriteError);

impl From<BeginError> for Failed {
    fn from(error: BeginError) -> Self {
        Self {
            retryable: false,
            why: error.into(),
        }
    }
}

/// Takes part until the end of the standard input.
pub(crate) async fn run(url: &Uri, hash: CertificateHash, name: &str) -> Result<(), Anything> {
    let host = url.host().ok_or("the URL has no host")?;
    let port = url.port_u16().unwrap_or(443);
    let mut found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await?;
    let address = found.next().ok_or("the host has no address")?;
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let endpoint = Endpoint::client(any.parse()?)?;
    let mut typed = typed();
    let mut wait = WAIT;
    loop {
        let visit = async {
            let session = enter(&endpoint, address, url, hash).await?;
            println!("* connected");
            wait = WAIT;
            talk(&session, name, &mut typed).await
        };
        match visit.await {
            Ok(()) => break,
            Err(Failed { retryable, why }) if retryable => {
                println!("* {why}; again in {wait:?}");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            Err(Failed { why, .. }) => return Err(why),
        }
    }
    endpoint.close(Code::H3_NO_ERROR, "");
    endpoint.wait_idle().await;
    Ok(())
}

/// Lines as they are typed. What is typed between two connections waits.
fn typed() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    // A thread of its own: the runtime would wait for a read that nobody ends.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

async fn enter(
    endpoint: &Endpoint,
    address: SocketAddr,
    url: &Uri,
    hash: CertificateHash,
) -> Result<Session, Failed> {
    let tls = tls::client_config(Trust::hashes([hash])).map_err(|error| Failed {
        retryable: false,
        why: error.into(),
    })?;
    let name = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let connecting = endpoint.connect(address, name, tls.into())?;
    let connection = tokio::time::timeout(HANDSHAKE, connecting)
        .await
        .map_err(|_| Failed {
            retryable: true,
            why: "nobody answers".into(),
        })??;
    Ok(connection
        .open_session(ConnectRequest::new(url.clone()))
        .await?)
}

async fn talk(
    session: &Session,
    name: &str,
    typed: &mut mpsc::Receiver<String>,
) -> Result<(), Failed> {
    let (mut send, recv) = session.open_bi().await?;
    send.write_all(format!("{name}\n").as_bytes()).await?;
    let writing = async {
        while let Some(line) = typed.recv().await {
            if line.len() >= LINE {
                println!("* that line is too long");
                continue;
            }
            send.write_all(format!("{line}\n").as_bytes()).await?;
        }
        send.finish()?;
        // Everything has arrived when the end is acknowledged. If the session ends
        // before we hear of that, its end tells how it went.
        match send.stopped().await {
            Ok(_) => Ok(()),
            Err(_) => std::future::pending().await,
        }
    };
    let reading = async {
        let mut lines = Lines(BufReader::new(recv));
        while let Ok(Some(line)) = lines.next().await {
            println!("{line}");
        }
        match session.closed().await {
            // The room's answer to the end of our lines.
            SessionClose::Closed { code: 0, .. } => Ok(()),
            close => Err(Failed {
                retryable: close.is_retryable(),
                why: close.into(),
            }),
        }
    };
    tokio::select! {
        written = writing => written,
        end = reading => end,
    }
}
