//! A proxy for UDP and TCP (MASQUE), and somebody who uses it: what an adapter for another
//! runtime needs beside the handles is its sockets.
//!
//! ```text
//! cargo run -p aqueduct-async-std --features self-signed --example proxy
//! ```

use std::io::ErrorKind;
use std::net::SocketAddr;

use aqueduct_async_std::protocol::{config::Config, endpoint::EndpointConfig};
use aqueduct_async_std::tls::{self, Identity, Trust};
use aqueduct_async_std::tunnel::{
    Asked, Dialect, Gate, GateConfig, Offer, OpenTunnel, Refusal, TargetPolicy, Template, Tunnel,
    TunnelError, UdpTunnel, is_this_host,
};
use aqueduct_async_std::{Connection, Endpoint};
use smol::future;
use smol::io::{AsyncReadExt, AsyncWriteExt, copy};
use smol::net::{TcpListener, TcpStream, UdpSocket};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let identity = Identity::self_signed(["localhost"], std::time::SystemTime::now())?;
    let trust = Trust::hashes([identity.hash()]);
    let server = tls::server_config(identity.chain, identity.key)?;
    let client = tls::client_config(trust)?;
    smol::block_on(async {
        let config = EndpointConfig::server(server.into(), Config::default())?;
        let spawn = |driver| smol::spawn(driver).detach();
        let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into(), spawn)?;
        let to = endpoint.local_addr();
        smol::spawn(serve(endpoint)).detach();
        let ours = Endpoint::client(([127, 0, 0, 1], 0).into(), spawn)?;
        let connection = ours.connect(to, "localhost", client.into())?.await?;
        println!("{}", talk(&connection).await?);
        Ok(())
    })
}

/// A proxy that leads to loopback, since this is an example.
pub(crate) async fn serve(endpoint: Endpoint) {
    let mut config = GateConfig::default();
    if let Ok(loopback) = "127.0.0.0/8".parse() {
        config.policy = TargetPolicy::default().allow(loopback);
    }
    let gate = Gate::new(config);
    while let Some(connection) = endpoint.accept().await {
        let gate = gate.clone();
        smol::spawn(async move {
            while let Some((request, stream)) = connection.accept_request().await {
                if let Asked::Tunnel(offer) = gate.ask(request, stream) {
                    smol::spawn(tunnel(*offer)).detach();
                }
            }
        })
        .detach();
    }
}

/// Targets are addresses here; a name's would go through `check_address` one by one.
async fn tunnel(offer: Offer) {
    let Some(ip) = offer.target().host.ip() else {
        return offer.refuse(&Refusal::ResolutionFailed { rcode: None });
    };
    let Ok(is_own) = is_this_host(ip) else {
        return offer.refuse(&Refusal::Internal);
    };
    if let Err(denied) = offer.check_address(ip, is_own.then_some(ip)) {
        return offer.refuse(&denied.into());
    }
    let to = SocketAddr::new(ip, offer.target().port.get());
    let ended = match offer.dialect() {
        Dialect::Udp => udp(offer, to).await,
        _ => tcp(offer, to).await,
    };
    if let Err(error) = ended {
        println!("{to}: {error}");
    }
}

async fn udp(offer: Offer, to: SocketAddr) -> Result<(), Failure> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(to).await?;
    let Tunnel::Udp(tunnel) = offer.accept(None)? else {
        return Ok(());
    };
    let there = async {
        loop {
            match tunnel.recv().await {
                // What the system does not take is lost.
                Ok(payload) => _ = socket.send(&payload).await,
                Err(TunnelError::Ended) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    };
    future::or(there, back(&tunnel, &socket)).await
}

async fn back(tunnel: &UdpTunnel, socket: &UdpSocket) -> Result<(), Failure> {
    let mut buffer = vec![0; 65_536];
    loop {
        let sent = match socket.recv(&mut buffer).await {
            Ok(len) => tunnel.send(&buffer[..len]).await,
            // Nobody listens there (RFC 9298 section 3.1); all else passes.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Err(error.into()),
            Err(_) => continue,
        };
        match sent {
            // Lost, as on any path.
            Ok(()) | Err(TunnelError::TooLarge) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn tcp(offer: Offer, to: SocketAddr) -> Result<(), Failure> {
    let stream = match TcpStream::connect(to).await {
        Ok(stream) => stream,
        Err(error) => {
            offer.refuse(&Refusal::Refused);
            return Err(error.into());
        }
    };
    let Tunnel::Tcp(tunnel) = offer.accept(None)? else {
        return Ok(());
    };
    let (mut send, recv) = tunnel.split();
    let (from, mut to) = (stream.clone(), stream);
    // Each direction ends by itself.
    let there = async {
        copy(recv, &mut to).await?;
        to.shutdown(std::net::Shutdown::Write)
    };
    let back = async {
        copy(from, &mut send).await?;
        send.close().await
    };
    future::try_zip(there, back).await?;
    Ok(())
}

/// Says hello to targets of its own, by UDP and by TCP.
pub(crate) async fn talk(proxy: &Connection) -> Result<String, Failure> {
    let origin = "https://localhost/".parse()?;
    let open = |dialect: Dialect, to: SocketAddr| {
        let template = Template::default_for(dialect.kind(), &origin);
        let target = to.to_string().parse().map_err(Failure::from)?;
        Ok::<_, Failure>(OpenTunnel::new(dialect, target, template))
    };
    let echo = UdpSocket::bind("127.0.0.1:0").await?;
    let asked = open(Dialect::Udp, echo.local_addr()?)?;
    let answering = smol::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((len, from)) = echo.recv_from(&mut buffer).await {
            let _ = echo.send_to(&buffer[..len], from).await;
        }
    });
    let tunnel = proxy
        .open_tunnel(&asked)
        .await?
        .into_udp()
        .ok_or("asked for UDP")?;
    tunnel.send(b"hello by UDP").await?;
    let udp = String::from_utf8(tunnel.recv().await?.to_vec())?;

    drop(answering);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let asked = open(Dialect::Tcp12, listener.local_addr()?)?;
    let tunnel = proxy
        .open_tunnel(&asked)
        .await?
        .into_tcp()
        .ok_or("asked for TCP")?;
    let (mut target, _) = listener.accept().await?;
    let (mut send, mut recv) = tunnel.split();
    send.write_all(b"hello by TCP").await?;
    send.close().await?;
    // All that comes, once it has ended; then the other way.
    let mut question = Vec::new();
    target.read_to_end(&mut question).await?;
    target.write_all(&question).await?;
    drop(target);
    let mut tcp = String::new();
    recv.read_to_string(&mut tcp).await?;
    Ok(format!("{udp}, {tcp}"))
}
