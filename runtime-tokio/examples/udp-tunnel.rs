//! Says hello to a UDP target through a proxy, and waits for it to say so back.
//!
//! ```text
//! cargo run -p aqueduct-examples --bin mio-proxy -- 127.0.0.1:4433 cert.der
//! cargo run -p aqueduct-tokio --features proxy --example udp-tunnel -- 127.0.0.1:4433 cert.der
//! ```

use std::net::SocketAddr;

use aqueduct_tokio::Endpoint;
use aqueduct_tokio::protocol::endpoint::Target;
use aqueduct_tokio::proxy::{Dialect, OpenTunnel, Template, TunnelKind};
use aqueduct_tokio::tls::{self, Trust};
use tokio::net::UdpSocket;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let proxy: SocketAddr = args.next().as_deref().unwrap_or("127.0.0.1:4433").parse()?;
    let file = args.next().unwrap_or_else(|| "cert.der".into());

    // The target: it gives back what it gets.
    let echo = UdpSocket::bind("127.0.0.1:0").await?;
    let target = echo.local_addr()?;
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = echo.recv_from(&mut buffer).await {
            let _ = echo.send_to(&buffer[..len], from).await;
        }
    });

    let tls = tls::client_config(Trust::certificates([std::fs::read(file)?.into()]))?;
    let endpoint = Endpoint::client("0.0.0.0:0".parse()?)?;
    let to = Target::new(proxy, "localhost", tls.into());
    let connection = endpoint.connect_carrier(to)?.await?;

    let origin = format!("https://localhost:{}/", proxy.port()).parse()?;
    let template = Template::default_for(TunnelKind::Udp, &origin);
    let open = OpenTunnel::new(Dialect::Udp, target.to_string().parse()?, template);
    let tunnel = connection.open_tunnel(&open).await?;
    let tunnel = tunnel.into_udp().ok_or("asked for UDP")?;
    tunnel.send(b"hello through a proxy").await?;
    let answer = tunnel.recv().await?;
    println!("{target} says: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
