//! A chat room over WebTransport, with a browser page and a terminal as clients.
//!
//! ```text
//! cargo run -p aqueduct-tokio --example chat
//! cargo run -p aqueduct-tokio --example chat -- --join URL --hash HASH --name Ann
//! ```
//!
//! The server prints the address of the page and how to join from a terminal. Its
//! certificate is made anew at each start; clients trust it by its SHA-256, which the
//! page has filled in.
//!
//! Each member opens one bidirectional stream in a session and sends lines on it,
//! the name first; the lines of everybody come back on it.

mod join;
mod page;
mod room;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::webtransport::Origins;
use aqueduct_tokio::tls::{self, CertificateHash, Identity};
use aqueduct_tokio::{Connection, Endpoint};
use http::StatusCode;
use tokio::net::TcpListener;

use crate::room::Room;

type Anything = Box<dyn Error + Send + Sync>;

/// What the command line says.
struct Args {
    listen: SocketAddr,
    page: SocketAddr,
    join: Option<http::Uri>,
    hash: Option<CertificateHash>,
    name: String,
}

fn args() -> Result<Args, Anything> {
    let mut args = Args {
        listen: ([127, 0, 0, 1], 4433).into(),
        page: ([127, 0, 0, 1], 8080).into(),
        join: None,
        hash: None,
        name: "somebody".into(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or("every flag has a value")?;
        match flag.as_str() {
            "--listen" => args.listen = value.parse()?,
            "--page" => args.page = value.parse()?,
            "--join" => args.join = Some(value.parse()?),
            "--hash" => args.hash = Some(value.parse()?),
            "--name" => args.name = value,
            other => return Err(format!("there is no flag {other}").into()),
        }
    }
    Ok(args)
}

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let args = args()?;
    match args.join {
        Some(url) => {
            let hash = args.hash.ok_or("--join needs --hash")?;
            join::run(&url, hash, &args.name).await
        }
        None => serve(args.listen, args.page).await,
    }
}

async fn serve(listen: SocketAddr, page: SocketAddr) -> Result<(), Anything> {
    let identity = Identity::self_signed(["localhost", "127.0.0.1"], SystemTime::now())?;
    let hash = identity.hash();
    let tls = tls::server_config(identity.chain, identity.key)?;

    let listener = TcpListener::bind(page).await?;
    let page = listener.local_addr()?;
    let mut http = Config::default();
    // A browser lets any page ask; only ours gets in. Other clients send no origin.
    http.webtransport.origins = Origins::listed([
        format!("http://{page}"),
        format!("http://localhost:{}", page.port()),
    ]);
    let config = EndpointConfig::server(tls.into(), http)?;
    let endpoint = Endpoint::server(config, listen)?;
    let url = format!("https://{}/chat", endpoint.local_addr());

    println!("page: http://{page}/");
    println!("join: --join {url} --hash {hash}");
    tokio::spawn(page::serve(listener, page::fill(&url, hash)));

    let room = Arc::new(Room::default());
    loop {
        tokio::select! {
            connection = endpoint.accept() => match connection {
                Some(connection) => {
                    tokio::spawn(sessions(connection, room.clone()));
                }
                None => break,
            },
            stop = tokio::signal::ctrl_c() => {
                stop?;
                room.say("* the room closes\n");
                // GOAWAY, and a moment for the last lines to arrive.
                endpoint.drain(Duration::from_secs(1));
            }
        }
    }
    endpoint.wait_idle().await;
    Ok(())
}

async fn sessions(connection: Connection, room: Arc<Room>) {
    while let Some(request) = connection.accept_session().await {
        if request.uri().path() != "/chat" {
            // A client that has gone meanwhile needs no answer.
            request.reject(StatusCode::NOT_FOUND).ok();
        } else if let Ok(session) = request.accept() {
            tokio::spawn(room::member(session, room.clone()));
        }
    }
}
