//! Serves HTTP/3 and WebTransport echo on one port.
//!
//! ```text
//! cargo run -p aqueduct-tokio --example echo-server -- 127.0.0.1:4433 cert.der
//! cargo run -p aqueduct-tokio --example echo-client -- 127.0.0.1:4433 cert.der
//! ```
//!
//! The certificate is made anew at each start and written to the file for the
//! client to trust.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use aqueduct_tokio::http::Response;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::tls::{self, Identity};
use aqueduct_tokio::{Connection, Endpoint, RecvStream, SendStream, ServerRequest, Session};

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
    loop {
        tokio::select! {
            connection = endpoint.accept() => match connection {
                Some(connection) => {
                    tokio::spawn(requests(connection.clone()));
                    tokio::spawn(sessions(connection));
                }
                None => break,
            },
            stop = tokio::signal::ctrl_c() => {
                stop?;
                // GOAWAY, then what is under way gets a moment.
                endpoint.drain(Duration::from_secs(2));
            }
        }
    }
    endpoint.wait_idle().await;
    Ok(())
}

async fn requests(connection: Connection) {
    while let Some((request, stream)) = connection.accept_request().await {
        println!("{} {}", request.method(), request.uri());
        tokio::spawn(async move {
            if let Err(error) = echo_request(stream).await {
                eprintln!("{error}");
            }
        });
    }
    println!("{}", connection.closed().await);
}

/// Sends a request's content back as it comes.
async fn echo_request(mut stream: ServerRequest) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.send_response(Response::new(()))?;
    while let Some(chunk) = stream.recv_data().await? {
        stream.send_data(chunk).await?;
    }
    Ok(stream.finish()?)
}

async fn sessions(connection: Connection) {
    while let Some(request) = connection.accept_session().await {
        println!("session {} from {:?}", request.uri(), request.origin());
        // A client that has gone meanwhile is no reason to stop.
        let Ok(session) = request.accept() else {
            continue;
        };
        tokio::spawn(echo_session(session));
    }
}

async fn echo_session(session: Session) {
    let streams = async {
        while let Ok((send, recv)) = session.accept_bi().await {
            tokio::spawn(echo_stream(send, recv));
        }
    };
    let datagrams = async {
        while let Ok(datagram) = session.recv_datagram().await {
            // An echo that does not fit is lost, as datagrams are.
            session.send_datagram(&datagram).ok();
        }
    };
    tokio::join!(streams, datagrams);
    println!("session {}", session.closed().await);
}

async fn echo_stream(mut send: SendStream, mut recv: RecvStream) {
    match tokio::io::copy(&mut recv, &mut send).await {
        Ok(_) => send.finish().unwrap_or_else(|error| eprintln!("{error}")),
        Err(error) => eprintln!("{error}"),
    }
}
