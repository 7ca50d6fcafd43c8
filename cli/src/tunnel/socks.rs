//! `--socks`: SOCKS5 (RFC 1928), CONNECT and UDP ASSOCIATE, without authentication.
//!
//! The handshake and the header of packets are read by the crate fast-socks5; sockets and tunnels
//! are from here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::protocol::masque::proxy_error;
use aqueduct_tokio::proxy::{Host, OpenTunnelError, Target};
use bytes::Bytes;
use fast_socks5::server::Socks5ServerProtocol;
use fast_socks5::server::states::CommandRead;
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command, new_udp_header, parse_udp_request};
use http::StatusCode;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::flows::{self, Back, Flows, LARGEST};
use super::tcp::{accept, relay};
use super::upstream::{Upstream, Why};

/// How long a client may take to say what it wants.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when a socket fails.
const PAUSE: Duration = Duration::from_millis(10);
/// What is told of addresses that are the proxy's to know.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

type Commanded = Socks5ServerProtocol<TcpStream, CommandRead>;
type SocksError = fast_socks5::server::SocksServerError;

/// Serves clients for ever.
pub(super) async fn run(listener: TcpListener, upstream: &Upstream) {
    accept(listener, |stream| {
        let upstream = upstream.clone();
        async move {
            if let Err(error) = serve(stream, &upstream).await {
                tracing::debug!(%error, "a client of SOCKS was not served");
            }
        }
    })
    .await;
}

async fn serve(stream: TcpStream, upstream: &Upstream) -> Result<(), SocksError> {
    let addresses = stream.local_addr().ok().zip(stream.peer_addr().ok());
    let asked = async {
        let stream = Socks5ServerProtocol::accept_no_auth(stream).await?;
        stream.read_command().await
    };
    let Ok(asked) = tokio::time::timeout(HANDSHAKE, asked).await else {
        tracing::debug!("a client of SOCKS did not say in time what it wants");
        return Ok(());
    };
    let (client, command, address) = asked?;
    match (command, addresses) {
        (Socks5Command::TCPConnect, _) => connect(client, address, upstream).await,
        (Socks5Command::UDPAssociate, Some((here, peer))) => {
            let peer = expected(peer, &address);
            associate(client, here.ip(), peer, upstream).await
        }
        (Socks5Command::UDPAssociate, None) => {
            client.reply_error(&ReplyError::GeneralFailure).await
        }
        (Socks5Command::TCPBind, _) => client.reply_error(&ReplyError::CommandNotSupported).await,
    }
}

async fn connect(
    client: Commanded,
    address: TargetAddr,
    upstream: &Upstream,
) -> Result<(), SocksError> {
    let Some(target) = target(&address) else {
        return client.reply_error(&ReplyError::HostUnreachable).await;
    };
    match upstream.tcp_or_why(&target).await {
        Ok(tunnel) => {
            let stream = client.reply_success(UNKNOWN).await?;
            relay(tunnel, stream).await;
            Ok(())
        }
        Err(why) => {
            let reply = reply(&why);
            upstream.tell(&why.into_failure(&target));
            client.reply_error(&reply).await
        }
    }
}

/// Takes packets until the client's connection ends.
async fn associate(
    client: Commanded,
    here: IpAddr,
    peer: Peer,
    upstream: &Upstream,
) -> Result<(), SocksError> {
    let Ok(socket) = UdpSocket::bind((here, 0)).await else {
        return client.reply_error(&ReplyError::GeneralFailure).await;
    };
    let Ok(bound) = socket.local_addr() else {
        return client.reply_error(&ReplyError::GeneralFailure).await;
    };
    let mut stream = client.reply_success(bound).await?;
    let mut buffer = [0; 512];
    //= https://www.rfc-editor.org/rfc/rfc1928#section-7
    // An association is over when the connection is that it was asked for on.
    let over = async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} };
    tokio::select! {
        () = over => {}
        () = packets(socket, peer, upstream) => {}
    }
    Ok(())
}

/// Carries packets, with a tunnel for each target, for as long as it is wanted.
async fn packets(socket: UdpSocket, mut peer: Peer, upstream: &Upstream) {
    let socket = Arc::new(socket);
    let mut flows: Flows<String> = Flows::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "no packet could be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if !peer.is(from) {
            tracing::debug!(%from, "a packet of a stranger's is dropped");
            continue;
        }
        let packet = buffer.get(..len).unwrap_or_default();
        //= https://www.rfc-editor.org/rfc/rfc1928#section-7
        // Who does not put fragments together drops them.
        let Ok((0, address, payload)) = parse_udp_request(packet).await else {
            tracing::debug!("a packet that is a fragment, or malformed, is dropped");
            continue;
        };
        let Some(target) = target(&address) else {
            tracing::debug!("a packet to nowhere is dropped");
            continue;
        };
        // What comes back says where it is from as the client said where to.
        let Ok(header) = new_udp_header(address) else {
            continue;
        };
        let payload = Bytes::copy_from_slice(payload);
        flows.pass(&target.to_string(), payload, |packets| {
            let back = Back {
                socket: socket.clone(),
                to: from,
                header,
            };
            tokio::spawn(flows::run(upstream.clone(), target, None, packets, back));
        });
    }
}

/// Who may send packets in an association.
#[derive(Clone, Copy, Debug)]
struct Peer {
    ip: IpAddr,
    port: Option<u16>,
}

impl Peer {
    /// Whether it is this one. The first of its address that sends is it, if its port was not told.
    fn is(&mut self, from: SocketAddr) -> bool {
        let same = self.ip.to_canonical() == from.ip().to_canonical();
        same && *self.port.get_or_insert(from.port()) == from.port()
    }
}

//= https://www.rfc-editor.org/rfc/rfc1928#section-4
// The address is where the client will send from, zeros where it does not know. Behind a translation
// it may be wrong, so that its port counts on this host alone, and the connection's address always.
fn expected(connected: SocketAddr, told: &TargetAddr) -> Peer {
    let port = match told {
        TargetAddr::Ip(told) if connected.ip().is_loopback() => Some(told.port()),
        _ => None,
    };
    Peer {
        ip: connected.ip(),
        port: port.filter(|port| *port != 0),
    }
}

/// Where a client wants to, if a proxy can be asked for it.
fn target(address: &TargetAddr) -> Option<Target> {
    match address {
        TargetAddr::Ip(address) => {
            let port = address.port().try_into().ok()?;
            Some(Target::new(Host::from(address.ip()), port))
        }
        TargetAddr::Domain(name, port) => {
            // Some clients write addresses as names, and IPv6 in brackets.
            let name = name
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'))
                .unwrap_or(name);
            let port = (*port).try_into().ok()?;
            Some(Target::new(Host::parse(name).ok()?, port))
        }
    }
}

/// What a client is told of a tunnel that it does not get.
fn reply(why: &Why) -> ReplyError {
    let Why::Proxy(OpenTunnelError::Refused(head)) = why else {
        return ReplyError::GeneralFailure;
    };
    let error = proxy_error(&head.headers);
    match (error.as_deref(), head.status) {
        (Some("connection_refused"), _) => ReplyError::ConnectionRefused,
        (Some("destination_ip_prohibited" | "http_request_denied"), _)
        | (
            None,
            StatusCode::FORBIDDEN
            | StatusCode::UNAUTHORIZED
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        ) => ReplyError::ConnectionNotAllowed,
        (Some("destination_ip_unroutable"), _) => ReplyError::NetworkUnreachable,
        (Some("connection_timeout" | "dns_timeout" | "dns_error"), _)
        | (None, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) => {
            ReplyError::HostUnreachable
        }
        _ => ReplyError::GeneralFailure,
    }
}

#[cfg(test)]
mod tests {
    use aqueduct_tokio::proxy::Refusal;

    use super::*;

    #[test]
    fn a_client_says_where_it_wants_to_in_several_ways() {
        let name = |name: &str| target(&TargetAddr::Domain(name.to_owned(), 53));
        assert_eq!(name("a.example").unwrap().to_string(), "a.example:53");
        for v6 in ["2001:db8::1", "[2001:db8::1]"] {
            assert_eq!(name(v6).unwrap().to_string(), "[2001:db8::1]:53");
        }
        for wrong in ["", "a b", "127.1", "\u{1b}[2J"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        let ip = |address: &str| target(&TargetAddr::Ip(address.parse().unwrap()));
        assert_eq!(ip("[::1]:53").unwrap().to_string(), "[::1]:53");
        assert_eq!(ip("127.0.0.1:0"), None);
    }

    #[test]
    fn packets_are_taken_from_who_asked_for_it() {
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let zeros = TargetAddr::Ip(address("0.0.0.0:0"));
        let mut peer = expected(address("127.0.0.1:9999"), &zeros);
        assert!(!peer.is(address("127.0.0.2:1")));
        assert!(peer.is(address("[::ffff:127.0.0.1]:1")));
        assert!(peer.is(address("127.0.0.1:1")) && !peer.is(address("127.0.0.1:2")));
        let told = TargetAddr::Ip(address("0.0.0.0:7"));
        let mut peer = expected(address("127.0.0.1:9999"), &told);
        assert!(!peer.is(address("127.0.0.1:8")) && peer.is(address("127.0.0.1:7")));
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_socks() {
        for (refusal, code) in [
            (Refusal::Refused, 5),
            (Refusal::Forbidden, 2),
            (Refusal::Unroutable, 3),
            (Refusal::ResolutionFailed { rcode: None }, 4),
            (Refusal::ConnectTimeout, 4),
            (Refusal::TooManyTunnels, 1),
        ] {
            let head = Box::new(refusal.head("p"));
            let why = Why::Proxy(OpenTunnelError::Refused(head));
            assert_eq!(reply(&why).as_u8(), code, "{refusal:?}");
        }
        assert_eq!(reply(&Why::Late).as_u8(), 1);
    }
}
