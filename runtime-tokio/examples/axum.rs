//! An axum application over HTTP/3, and WebTransport echo, on one port and on the
//! same connections.
//!
//! ```text
//! cargo run -p aqueduct-tokio --features tower --example axum -- 127.0.0.1:4433 cert.der
//! cargo run -p aqueduct-tokio --example echo-client -- 127.0.0.1:4433 cert.der
//! ```
//!
//! The certificate is made anew at each start and written to the file for the
//! client to trust.

use std::error::Error;
use std::net::SocketAddr;
use std::time::SystemTime;

use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::tls::{self, Identity};
use aqueduct_tokio::tower::serve;
use aqueduct_tokio::{Connection, Endpoint, Session};
use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let addr: SocketAddr = args.next().as_deref().unwrap_or("127.0.0.1:4433").parse()?;
    let file = args.next().unwrap_or_else(|| "cert.der".into());

    let identity = Identity::self_signed(["localhost", "127.0.0.1"], SystemTime::now())?;
    std::fs::write(&file, &identity.chain[0])?;
    let tls = tls::server_config(identity.chain, identity.key)?;
    let endpoint = Endpoint::server(EndpointConfig::server(tls.into(), Config::default())?, addr)?;
    println!(
        "https://{} with the certificate in {file}",
        endpoint.local_addr()
    );

    let app = Router::new()
        .route("/", get(|| async { "hello from axum, over HTTP/3\n" }))
        // The content goes back as it comes; nothing is collected.
        .route(
            "/echo",
            post(|request: Request| async { request.into_body() }),
        );
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(serve(connection.clone(), app.clone()));
        tokio::spawn(sessions(connection));
    }
    Ok(())
}

async fn sessions(connection: Connection) {
    while let Some(request) = connection.accept_session().await {
        // A client that has gone meanwhile is no reason to stop.
        let Ok(session) = request.accept() else {
            continue;
        };
        tokio::spawn(echo(session));
    }
}

async fn echo(session: Session) {
    let streams = async {
        while let Ok((mut send, mut recv)) = session.accept_bi().await {
            tokio::spawn(async move {
                if tokio::io::copy(&mut recv, &mut send).await.is_ok() {
                    send.finish().ok();
                }
            });
        }
    };
    let datagrams = async {
        while let Ok(datagram) = session.recv_datagram().await {
            // An echo that does not fit is lost, as datagrams are.
            session.send_datagram(&datagram).ok();
        }
    };
    tokio::join!(streams, datagrams);
}
