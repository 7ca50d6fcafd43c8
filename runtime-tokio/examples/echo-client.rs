//! Talks to the example `echo-server`: a request with content, a stream and a
//! datagram of a WebTransport session, all on one connection.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aqueduct_tokio::Endpoint;
use aqueduct_tokio::http::Request;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::tls::{self, Trust};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let addr: SocketAddr = args.next().as_deref().unwrap_or("127.0.0.1:4433").parse()?;
    let file = args.next().unwrap_or_else(|| "cert.der".into());
    let tls = tls::client_config(Trust::certificates([std::fs::read(file)?.into()]))?;

    let any = if addr.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let endpoint = Endpoint::client(any.parse()?)?;
    let connection = endpoint.connect(addr, "localhost", tls.into())?.await?;

    let request = Request::post("https://localhost/echo").body(())?;
    let mut stream = connection.request(request).await?;
    stream.send_data("hello over HTTP/3".into()).await?;
    stream.finish()?;
    let status = stream.recv_response().await?.status();
    println!(
        "{status}: {}",
        String::from_utf8_lossy(&stream.read_to_end(1000).await?)
    );

    let session = connection
        .open_session(ConnectRequest::new("https://localhost/echo".parse()?))
        .await?;
    let (mut send, mut recv) = session.open_bi().await?;
    send.write_all(b"hello over a WebTransport stream").await?;
    send.finish()?;
    println!(
        "{}",
        String::from_utf8_lossy(&recv.read_to_end(1000).await?)
    );

    let sent = Instant::now();
    session.send_datagram(b"ping")?;
    session.recv_datagram().await?;
    println!("a datagram took {:?} there and back", sent.elapsed());
    session.close(0, "done")?;

    connection.drain(Duration::from_secs(1));
    println!("{}", connection.closed().await);
    endpoint.wait_idle().await;
    Ok(())
}
