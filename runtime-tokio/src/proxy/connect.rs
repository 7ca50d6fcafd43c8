//! Ways to targets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Resolved;
use super::udp::Socket;

/// How long an address has before the next one is tried beside it (RFC 8305 section 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses that are tried of one name.
const MOST: usize = 16;

/// Addresses of one name that are looked at.
pub(super) const JUDGED: usize = 64;

/// The system's answer.
pub(super) fn lookup(name: String) -> Resolved {
    Box::pin(async move {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    })
}

/// Addresses with the families in turn, the first one's first.
pub(super) fn in_turn(addresses: Vec<IpAddr>) -> impl Iterator<Item = IpAddr> {
    //= https://www.rfc-editor.org/rfc/rfc8305#section-4
    // Families are interleaved, in the order of the resolver otherwise.
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (ahead, behind): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut ahead, mut behind) = (ahead.into_iter(), behind.into_iter());
    let mut turn = false;
    std::iter::from_fn(move || {
        turn = !turn;
        match turn {
            true => ahead.next().or_else(|| behind.next()),
            false => behind.next().or_else(|| ahead.next()),
        }
    })
    .take(MOST)
}

/// A socket that is connected to the first address that there is a way to.
pub(super) async fn udp(
    addresses: impl Iterator<Item = SocketAddr>,
) -> io::Result<(Socket, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
    for to in addresses {
        let local: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let connect = || {
            let socket = std::net::UdpSocket::bind((local, 0))?;
            //= https://www.rfc-editor.org/rfc/rfc9298#section-3.1
            // A connected socket takes nothing from anybody else.
            socket.connect(to)?;
            Socket::new(socket, to)
        };
        match connect() {
            Ok(socket) => return Ok((socket, to)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A connection to whichever address answers first; each has a head start before the
/// next.
pub(super) async fn tcp(
    mut addresses: impl Iterator<Item = SocketAddr>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut tries = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
    loop {
        let next = addresses.next();
        if let Some(to) = next {
            tries.spawn(async move { (TcpStream::connect(to).await, to) });
        }
        loop {
            let joined = match next {
                Some(_) => tokio::time::timeout(HEAD_START, tries.join_next()).await,
                None => Ok(tries.join_next().await),
            };
            match joined {
                Ok(Some(Ok((Ok(stream), to)))) => {
                    stream.set_nodelay(true)?;
                    return Ok((stream, to));
                }
                Ok(Some(Ok((Err(error), _)))) => last = error,
                Ok(Some(Err(error))) => last = io::Error::other(error),
                // Nobody is left.
                Ok(None) if next.is_none() => return Err(last),
                Ok(None) | Err(_) => break,
            }
            // One that has failed gives its place to the next at once.
            if next.is_some() {
                break;
            }
        }
    }
}
