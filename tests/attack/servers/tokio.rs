//! A server on tokio whose handlers never finish by themselves, unless the path is `/` or
//! `/sink`: they wait until nobody wants them any more, and for `/deaf` even longer.

use std::error::Error;
use std::net::SocketAddr;

use aqueduct_attack::heap::{Counting, Handler, ready, report};
use aqueduct_attack::limits::config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, tls};
use aqueduct_tokio::{Connection, Endpoint, ServerRequest, Session};
use bytes::Bytes;
use http::Response;
use rustls::pki_types::PrivatePkcs8KeyDer;

#[global_allocator]
static HEAP: Counting = Counting;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr: SocketAddr = std::env::args().nth(1).ok_or("an address")?.parse()?;
    let identity = rcgen::generate_simple_self_signed(["localhost".into()])?;
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let tls = tls::server_config(vec![identity.cert.der().clone()], key.into())?;
    let endpoint = Endpoint::server(EndpointConfig::server(tls.into(), config())?, addr)?;
    ready(endpoint.local_addr())?;
    report()?;
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(requests(connection.clone()));
        tokio::spawn(sessions(connection));
    }
    Ok(())
}

async fn requests(connection: Connection) {
    while let Some((request, stream)) = connection.accept_request().await {
        // From here on nobody accepts requests, and the connection goes on.
        let last = request.uri().path() == "/last";
        // Clients that go away are no reason to say anything.
        tokio::spawn(async move { answer(request.uri().path(), stream).await.ok() });
        if last {
            break;
        }
    }
    connection.closed().await;
}

async fn answer(path: &str, mut stream: ServerRequest) -> Outcome {
    let _handler = Handler::start();
    match path {
        "/" | "/last" => {
            stream.send_response(Response::new(()))?;
            stream.send_data(Bytes::from_static(b"hello")).await?;
        }
        "/sink" => {
            while stream.recv_data().await?.is_some() {}
            stream.send_response(Response::new(()))?;
        }
        "/big" => {
            stream.send_response(Response::new(()))?;
            loop {
                // Content of its own: what is not sent is held.
                stream.send_data(Bytes::from(vec![0; 16_384])).await?;
            }
        }
        "/deaf" => return std::future::pending().await,
        _ => {
            stream.cancelled().await;
            return Ok(());
        }
    }
    Ok(stream.finish()?)
}

async fn sessions(connection: Connection) {
    while let Some(request) = connection.accept_session().await {
        tokio::spawn(async move {
            let _handler = Handler::start();
            match request.uri().path() {
                "/hang" => drop(request.cancelled().await),
                // Nothing of it is ever taken.
                "/idle" => {
                    if let Ok(session) = request.accept() {
                        session.closed().await;
                    }
                }
                _ => {
                    if let Ok(session) = request.accept() {
                        take(session).await;
                    }
                }
            }
        });
    }
}

/// Takes streams and datagrams of a session as they come.
async fn take(session: Session) {
    loop {
        tokio::select! {
            stream = session.accept_bi() => match stream {
                Ok((mut send, mut recv)) => drop(tokio::spawn(async move {
                    while let Ok(Some(_)) = recv.read_chunk(1 << 16).await {}
                    send.finish().ok();
                })),
                Err(_) => break,
            },
            stream = session.accept_uni() => match stream {
                Ok(mut recv) => drop(tokio::spawn(async move {
                    while let Ok(Some(_)) = recv.read_chunk(1 << 16).await {}
                })),
                Err(_) => break,
            },
            datagram = session.recv_datagram() => if datagram.is_err() { break },
        }
    }
}
