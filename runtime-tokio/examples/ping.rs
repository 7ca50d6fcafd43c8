//! A protocol of one's own on HTTP/3: `example-ping`, with its client and its server.
//!
//! ```text
//! client                                     server
//! CONNECT, :protocol example-ping      ──►
//!                                      ◄──   200
//! capsule REGISTER: context 2 "fast"   ──►
//!                                      ◄──   capsule REGISTERED: context 2
//! datagram in context 2: any bytes     ──►
//!                                      ◄──   datagram in context 2: the same
//! end of the content                   ──►
//!                                      ◄──   capsule SUMMARY: context 2 "3 pings of fast"
//!                                      ◄──   end of the content
//! ```
//!
//! `cargo run -p aqueduct-tokio --example ping`

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use aqueduct_tokio::protocol::capsule::{CapsuleType, RawCapsule};
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::datagram::ContextId;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::head::Protocol;
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::{Connection, Endpoint, ServerRequest};
use bytes::Bytes;
use http::{Request, Response, StatusCode};

const PROTOCOL: &str = "example-ping";

/// Each has a context id, and a text behind it.
const REGISTER: CapsuleType = CapsuleType(0x2a_f001);
const REGISTERED: CapsuleType = CapsuleType(0x2a_f002);
const SUMMARY: CapsuleType = CapsuleType(0x2a_f003);
/// Longest value of one of them.
const LIMIT: usize = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let any: SocketAddr = "127.0.0.1:0".parse()?;
    let identity = Identity::localhost();
    let config = EndpointConfig::server(Arc::new(identity.server()), Config::default())?;
    let server = Endpoint::server(config, any)?;
    let address = server.local_addr();
    tokio::spawn(async move {
        while let Some(connection) = server.accept().await {
            tokio::spawn(serve(connection));
        }
    });

    let endpoint = Endpoint::client(any)?;
    let connecting = endpoint.connect(address, "localhost", identity.client_arc())?;
    ping(connecting.await?).await
}

async fn ping(connection: Connection) -> Result<(), Failure> {
    let request = Request::connect("https://localhost/ping").extension(Protocol::new(PROTOCOL));
    let request = request.header("capsule-protocol", "?1").body(())?;
    let mut stream = connection.request(request).await?;
    let datagrams = stream.datagrams();
    let status = stream.recv_response().await?.status();
    assert!(status.is_success(), "the server answered {status}");
    let (mut send, mut recv) = stream.into_capsules().split();

    let fast = ContextId::from_u32(2);
    send.send(REGISTER, value(fast, "fast")).await?;
    let answer = recv.recv(LIMIT).await?.ok_or("the server ended")?;
    assert_eq!(answer.ty, REGISTERED);
    println!("context {fast} is registered");
    for number in 1..=3 {
        let begun = Instant::now();
        datagrams.send_in(fast, &[number])?;
        let (context, echo) = datagrams.recv_in().await?;
        let time = begun.elapsed();
        println!("ping {} in context {context} took {time:?}", echo[0]);
    }
    send.finish().await?;
    while let Some(capsule) = recv.recv(LIMIT).await? {
        let (context, text) = ContextId::split(capsule.value)?;
        let text = String::from_utf8_lossy(&text);
        println!("the server had {text} in context {context}");
    }
    Ok(())
}

async fn serve(connection: Connection) {
    while let Some((request, mut stream)) = connection.accept_request().await {
        let protocol = request.extensions().get::<Protocol>();
        if protocol.is_some_and(|protocol| protocol.as_str() == PROTOCOL) {
            tokio::spawn(async move {
                if let Err(error) = pong(stream).await {
                    eprintln!("a tunnel failed: {error}");
                }
            });
        } else {
            let refusal = Response::builder().status(StatusCode::NOT_IMPLEMENTED);
            let refusal = refusal.body(()).expect("a valid status");
            // Whoever asked for something else may have gone.
            let _ = stream.send.send_empty(refusal);
        }
    }
}

async fn pong(mut stream: ServerRequest) -> Result<(), Failure> {
    let datagrams = stream.datagrams();
    stream.send_response(Response::new(()))?;
    let (mut send, mut recv) = stream.into_capsules().split();
    let mut contexts: BTreeMap<ContextId, (Bytes, u32)> = BTreeMap::new();
    loop {
        tokio::select! {
            capsule = recv.recv(LIMIT) => match capsule? {
                Some(RawCapsule { ty: REGISTER, value }) => {
                    let (context, name) = ContextId::split(value.clone())?;
                    contexts.insert(context, (name, 0));
                    send.send(REGISTERED, value).await?;
                }
                // Types that are not known are passed over.
                Some(_) => {}
                None => break,
            },
            datagram = datagrams.recv_in() => {
                let (context, payload) = datagram?;
                // What is in no context that is known, or finds no room, is lost.
                if let Some((_, pings)) = contexts.get_mut(&context) {
                    *pings += 1;
                    let _ = datagrams.send_in(context, &payload);
                }
            }
        }
    }
    for (context, (name, pings)) in contexts {
        let text = format!("{pings} pings of {}", String::from_utf8_lossy(&name));
        send.send(SUMMARY, value(context, &text)).await?;
    }
    send.finish().await?;
    Ok(())
}

fn value(context: ContextId, text: &str) -> Bytes {
    [&context.encode(), text.as_bytes()].concat().into()
}
